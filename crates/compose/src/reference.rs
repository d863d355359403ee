//! Image references: which registry, which name, which tag, by the rules of Docker's client (distribution/reference).
//! Pure.

/// An image reference taken apart, with Docker's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Registry host with its port; `docker.io` for the Hub.
    pub host: String,
    /// Repository path, `library/` added for official images.
    pub path: String,
    /// Tag, if there is one or neither tag nor digest was given (`latest`).
    pub tag: Option<String>,
    /// Digest with its algorithm.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a reference; `None` when it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if digest.contains(':') => (rest, Some(digest.to_owned())),
            Some(_) => return None,
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if tag.as_deref() == Some("") {
            return None;
        }
        let (host, path) = match name.split_once('/') {
            Some((first, path))
                if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first =>
            {
                (first.to_owned(), path.to_owned())
            }
            _ => ("docker.io".to_owned(), name.to_owned()),
        };
        let host = if host == "index.docker.io" { "docker.io".to_owned() } else { host };
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        if path.is_empty() || path.starts_with('/') || path.ends_with('/') || !path.chars().all(allowed) {
            return None;
        }
        let path = if host == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path };
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Some(Self { host, path, tag, digest })
    }

    /// As people write it: without the Hub's name, with a tag where there is no digest.
    pub fn familiar(&self) -> String {
        let path = match self.host.as_str() {
            "docker.io" => self.path.strip_prefix("library/").unwrap_or(&self.path).to_owned(),
            host => format!("{host}/{}", self.path),
        };
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{path}{tag}{digest}")
    }

    /// Name without tag and digest, as the engine wants it in `fromImage`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// What the engine wants in `tag`: the digest, if there is one, else the tag.
    pub fn tag_or_digest(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }
}

/// A reference as people write it, with its tag, by which images are told apart; what is none, such as an ID, stays as it
/// is.
pub fn familiar(text: &str) -> String {
    if text.starts_with("sha256:") {
        return text.to_owned();
    }
    Reference::parse(text).map_or_else(|| text.to_owned(), |parsed| parsed.familiar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for (text, host, path, tag, digest) in [
            ("nginx", "docker.io", "library/nginx", Some("latest"), None),
            ("nginx:1.27", "docker.io", "library/nginx", Some("1.27"), None),
            ("me/app", "docker.io", "me/app", Some("latest"), None),
            ("docker.io/nginx", "docker.io", "library/nginx", Some("latest"), None),
            ("localhost/app", "localhost", "app", Some("latest"), None),
            ("localhost:5000/a/b:c", "localhost:5000", "a/b", Some("c"), None),
            ("ghcr.io/o/n@sha256:ab", "ghcr.io", "o/n", None, Some("sha256:ab")),
            ("127.0.0.1:5000/x:y@sha256:ab", "127.0.0.1:5000", "x", Some("y"), Some("sha256:ab")),
        ] {
            let expected = Reference {
                host: host.into(),
                path: path.into(),
                tag: tag.map(str::to_owned),
                digest: digest.map(str::to_owned),
            };
            assert_eq!(Reference::parse(text), Some(expected), "{text}");
        }
        for text in ["", "UPPER", "a//", "/a", "a:", "a@b", "a b"] {
            assert_eq!(Reference::parse(text), None, "{text:?}");
        }
    }
}
