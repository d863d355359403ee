//! Compose files that lie elsewhere: in a git repository, or as an OCI artifact.
//!
//! Which texts count as remote, and what they mean, is as in Compose 2.40 (BuildKit's `ParseGitRef`); fetching is the
//! caller's, through [`super::source::FileSource::fetch`].

/// A file that is not on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteFile {
    /// `https://host/path.git#ref:folder`, `git@host:path#ref:folder`, `github.com/owner/name`, …
    Git(GitFile),
    /// `oci://registry/name:tag`: what stands after the scheme.
    Oci(String),
}

/// A place in a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitFile {
    /// Repository, as git takes it: a URL or `user@host:path`.
    pub url: String,
    /// Branch, tag or commit; empty = the repository's default branch.
    pub reference: String,
    /// File or folder inside it; empty = the top.
    pub folder: String,
}

/// The file that a published project consists of; it may have been many before.
pub const ARTIFACT_FILE: &str = "compose.yaml";

/// Schemes that name a git repository wherever they point.
const GIT_SCHEMES: [&str; 2] = ["git", "ssh"];

/// Schemes that name one only when the path ends with `.git`.
const WEB_SCHEMES: [&str; 2] = ["http", "https"];

/// What a path means if it is none of this machine.
pub fn parse(path: &str) -> Option<RemoteFile> {
    if let Some(reference) = path.strip_prefix("oci://") {
        return Some(RemoteFile::Oci(reference.to_owned()));
    }
    if path.starts_with("./") || path.starts_with("../") {
        return None;
    }
    let (address, fragment) = path.split_once('#').unwrap_or((path, ""));
    let url = if let Some((scheme, rest)) = address.split_once("://") {
        let scheme = scheme.to_ascii_lowercase();
        let (_, place) = rest.split_once('/')?;
        let web = WEB_SCHEMES.contains(&scheme.as_str()) && place.split('?').next()?.ends_with(".git");
        (web || GIT_SCHEMES.contains(&scheme.as_str())).then(|| address.to_owned())?
    } else if address.starts_with("github.com/") {
        format!("https://{address}")
    } else {
        is_scp(address).then(|| address.to_owned())?
    };
    let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
    Some(RemoteFile::Git(GitFile { url, reference: reference.to_owned(), folder: folder.to_owned() }))
}

/// Whether it is of the form `user@host:path`, SSH without a scheme.
fn is_scp(address: &str) -> bool {
    let Some((user, rest)) = address.split_once('@') else { return false };
    let Some((host, _)) = rest.split_once(':') else { return false };
    let word = |text: &str, also: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
    };
    word(user, b"-_") && word(host, b"-.")
}

impl GitFile {
    /// The folder, if it stays inside the repository.
    ///
    /// # Errors
    ///
    /// Says why it does not.
    pub fn inside(&self) -> Result<String, String> {
        let folder = super::lexical::clean(&self.folder);
        if folder.starts_with('/') || folder == ".." || folder.starts_with("../") {
            return Err(format!("the folder {:?} leads out of the repository", self.folder));
        }
        Ok(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_files_are_told_from_local_ones() {
        let git = |url: &str, reference: &str, folder: &str| {
            Some(RemoteFile::Git(GitFile { url: url.into(), reference: reference.into(), folder: folder.into() }))
        };
        for (path, want) in [
            ("https://h/a/b.git", git("https://h/a/b.git", "", "")),
            ("https://h/a/b.git#main:sub/c.yaml", git("https://h/a/b.git", "main", "sub/c.yaml")),
            ("http://h:1/a.git#v1", git("http://h:1/a.git", "v1", "")),
            ("git@h:a/b.git#x", git("git@h:a/b.git", "x", "")),
            ("ssh://git@h/a", git("ssh://git@h/a", "", "")),
            ("git://h/a", git("git://h/a", "", "")),
            ("github.com/a/b#:c", git("https://github.com/a/b", "", "c")),
            ("oci://r/a:b", Some(RemoteFile::Oci("r/a:b".into()))),
            ("https://h/compose.yaml", None),
            ("./a@b:c", None),
            ("compose.yaml", None),
            ("/abs/x.git", None),
            ("file:///x.git", None),
            ("a b@h:c", None),
        ] {
            assert_eq!(parse(path), want, "{path}");
        }
    }

    #[test]
    fn a_folder_stays_inside_the_repository() {
        let file = |folder: &str| GitFile { url: String::new(), reference: String::new(), folder: folder.into() };
        for (folder, want) in
            [("a/../b", Some("b")), ("", Some(".")), ("../x", None), ("/etc", None), ("a/../../x", None)]
        {
            assert_eq!(file(folder).inside().ok().as_deref(), want, "{folder}");
        }
    }
}
