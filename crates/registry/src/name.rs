//! Names of what lies in a registry, by the grammar of Docker's own client: `nginx` is
//! `docker.io/library/nginx:latest`. Pure.
//!
//! What an engine is asked to pull is read by the Compose loader (its `reference`), which leaves the judgement to the
//! engine; here the name itself is printed or spoken to a registry, so every byte counts.

use std::fmt;

use super::hub::{HUB, HUB_HOST, OLD_HUB, key_of};

/// Longest path and longest tag, in characters.
const MAX_PATH: usize = 255;
const MAX_TAG: usize = 128;

/// A name with all of its parts. It has a tag or a digest; after [`Name::pinned`] it may have both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A digest of a known kind: `sha256:` and 64 digits, for instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(String);

/// Why a text is no name. The words are those of Docker's client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// Capitals in the path.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Capitals(String),
    /// It could be taken for the identity of an image.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identity(String),
    /// The path is too long.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// The digest is none.
    #[error("{0}")]
    Digest(&'static str),
}

impl Name {
    /// Reads a name. Without tag and digest it gets `latest`; with both, the tag says nothing and is dropped.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn parse(text: &str) -> Result<Name, BadName> {
        let lower_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if text.len() == 64 && text.chars().all(lower_hex) {
            return Err(BadName::Identity(text.to_owned()));
        }
        let (domain, rest) = split_domain(text);
        let bare = rest.split(':').next().unwrap_or_default();
        if bare.to_lowercase() != bare {
            return Err(BadName::Capitals(bare.to_owned()));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest.as_str(), None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let fits = is_domain(&domain)
            && path.split('/').all(is_component)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(looks_like_digest);
        if !fits {
            return Err(BadName::Format);
        }
        if path.len() > MAX_PATH {
            return Err(BadName::TooLong);
        }
        let digest = digest.map(Digest::parse).transpose()?;
        let tag = match (&digest, tag) {
            (Some(_), _) => None,
            (None, tag) => Some(tag.unwrap_or("latest").to_owned()),
        };
        Ok(Name { domain, path: path.to_owned(), tag, digest })
    }

    /// The same with a digest.
    pub fn pinned(&self, digest: Digest) -> Name {
        Name { digest: Some(digest), ..self.clone() }
    }

    /// The digest, if there is one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a registry is asked for: the digest, else the tag.
    pub fn wanted(&self) -> &str {
        self.digest.as_ref().map(|digest| digest.0.as_str()).or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// Path of the repository.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `host[:port]` of the registry that has it.
    pub fn host(&self) -> &str {
        if self.domain == HUB { HUB_HOST } else { &self.domain }
    }

    /// Key of the registry in the Docker client's settings.
    pub fn credentials_key(&self) -> &str {
        key_of(&self.domain)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, path, tag, digest } = self;
        write!(f, "{domain}/{path}")?;
        if let Some(tag) = tag {
            write!(f, ":{tag}")?;
        }
        digest.iter().try_for_each(|Digest(text)| write!(f, "@{text}"))
    }
}

impl Digest {
    /// Reads a digest.
    ///
    /// # Errors
    /// [`BadName::Digest`].
    pub fn parse(text: &str) -> Result<Digest, BadName> {
        let Some((algorithm, digits)) = text.split_once(':').filter(|(a, d)| !a.is_empty() && !d.is_empty()) else {
            return Err(BadName::Digest("invalid checksum digest format"));
        };
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return Err(BadName::Digest("unsupported digest algorithm")),
        };
        if digits.len() != length {
            return Err(BadName::Digest("invalid checksum digest length"));
        }
        if !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(BadName::Digest("invalid checksum digest format"));
        }
        Ok(Digest(text.to_owned()))
    }

    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        use sha2::Digest as _;
        Digest(format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes))))
    }

    /// Whether it is the digest of these bytes.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        use sha2::Digest as _;
        let found = match self.0.split_once(':') {
            Some(("sha256", _)) => hex::encode(sha2::Sha256::digest(bytes)),
            Some(("sha384", _)) => hex::encode(sha2::Sha384::digest(bytes)),
            Some(("sha512", _)) => hex::encode(sha2::Sha512::digest(bytes)),
            _ => return false,
        };
        self.digits() == found
    }

    /// The digits alone.
    pub fn digits(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, digits)| digits)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The registry, and the rest of a name; what is before the first slash is a registry only if it looks like a host.
fn split_domain(text: &str) -> (String, String) {
    let (domain, rest) = match text.split_once('/') {
        Some((OLD_HUB, rest)) => (HUB, rest),
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) || first.to_lowercase() != first => {
            (first, rest)
        }
        _ => (HUB, text),
    };
    let official = domain == HUB && !rest.contains('/');
    (domain.to_owned(), if official { format!("library/{rest}") } else { rest.to_owned() })
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    }
    host.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// Letters and digits, with one dot, one or two underscores or any number of dashes between them.
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut bytes = text.bytes().peekable();
    loop {
        if !bytes.next().is_some_and(word) {
            return false;
        }
        while bytes.next_if(|b| word(*b)).is_some() {}
        match bytes.next() {
            None => return true,
            Some(b'.') => {}
            Some(b'_') => {
                bytes.next_if_eq(&b'_');
            }
            Some(b'-') => while bytes.next_if_eq(&b'-').is_some() {},
            Some(_) => return false,
        }
    }
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn looks_like_digest(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else { return false };
    let word = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(word)
        && digits.len() >= 32
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_dockers_client_does() {
        let zeros = "0".repeat(64);
        for (text, whole, host) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned(), HUB_HOST),
            ("index.docker.io/a/b:t", "docker.io/a/b:t".to_owned(), HUB_HOST),
            ("me/a__b.c---d", "docker.io/me/a__b.c---d:latest".to_owned(), HUB_HOST),
            ("localhost/x:1", "localhost/x:1".to_owned(), "localhost"),
            ("Host/x", "Host/x:latest".to_owned(), "Host"),
            ("[::1]:5000/x/y", "[::1]:5000/x/y:latest".to_owned(), "[::1]:5000"),
            (&format!("r.io:1/x:t@sha256:{zeros}"), format!("r.io:1/x@sha256:{zeros}"), "r.io:1"),
        ] {
            let name = Name::parse(text).unwrap();
            assert_eq!((name.to_string(), name.host()), (whole, host), "{text}");
        }
        let name = Name::parse("nginx:1").unwrap();
        assert_eq!(name.credentials_key(), crate::hub::HUB_KEY);
        let pinned = name.pinned(Digest::of(b"x"));
        assert_eq!(pinned.to_string(), format!("docker.io/library/nginx:1@{}", Digest::of(b"x")));
        assert!(pinned.digest().unwrap().fits(b"x") && !pinned.digest().unwrap().fits(b"y"));
        assert!(pinned.wanted().starts_with("sha256:"));
    }

    /// Seen with Compose 2.40.3.
    #[test]
    fn what_is_no_name_is_refused_in_the_words_of_dockers_client() {
        let hex = "1234567890123456789012345678901234567890123456789012345678901234";
        for (text, why) in [
            ("UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase".to_owned()),
            ("a@b", "invalid reference format".to_owned()),
            ("", "invalid reference format".to_owned()),
            ("a:", "invalid reference format".to_owned()),
            ("a___b", "invalid reference format".to_owned()),
            ("a._b", "invalid reference format".to_owned()),
            ("-a", "invalid reference format".to_owned()),
            ("a-", "invalid reference format".to_owned()),
            ("a//b", "invalid reference format".to_owned()),
            ("-h.x/a", "invalid reference format".to_owned()),
            ("h:p/a", "invalid reference format".to_owned()),
            ("${x:-a}", "invalid reference format".to_owned()),
            (&format!("a:{}", "t".repeat(129)), "invalid reference format".to_owned()),
            ("localhost:1/x@sha256:aa", "invalid reference format".to_owned()),
            (hex, format!("invalid repository name ({hex}), cannot specify 64-byte hexadecimal strings")),
            (&format!("a@sha512:{hex}"), "invalid checksum digest length".to_owned()),
            (&format!("a@md5:{hex}"), "unsupported digest algorithm".to_owned()),
            (&format!("a@sha256:{}", "A".repeat(64)), "invalid checksum digest format".to_owned()),
            (&"a".repeat(300), "repository name must not be more than 255 characters".to_owned()),
        ] {
            assert_eq!(Name::parse(text).unwrap_err().to_string(), why, "{text}");
        }
    }
}
