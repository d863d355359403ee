//! Where a remote lies. Understands what git understands (git-fetch(1), "Git URLs"): URLs, `user@host:path`, and plain
//! paths.

use std::fmt;

use super::error::{GitError, clean};

/// The address of a remote, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A path or `file://` URL on this machine.
    Local(String),
    /// SSH, in either notation.
    Ssh {
        /// User name, if one is given.
        user: Option<String>,
        /// Host without brackets.
        host: String,
        /// The one that was given, else the protocol's own.
        port: u16,
        /// The path as it goes to the server: absolute for URLs, relative to the home for `host:path`.
        path: String,
        /// Whether it was written as `host:path`.
        scp: bool,
    },
    /// The unauthenticated git protocol.
    Git {
        /// Host without brackets.
        host: String,
        /// The one that was given, else the protocol's own.
        port: u16,
        /// Path with its slash.
        path: String,
    },
    /// HTTP or HTTPS.
    Http {
        /// The whole URL, possibly with credentials.
        url: url::Url,
        /// Host without brackets.
        host: String,
        /// The one that was given, else the protocol's own.
        port: u16,
    },
}

impl Address {
    /// Takes an address apart.
    ///
    /// # Errors
    /// When the scheme is none that git fetches from, or the host is missing.
    pub fn parse(text: &str) -> Result<Self, GitError> {
        let bad = |message: &str| GitError::BadAddress { address: clean(text), message: message.to_owned() };
        if text.is_empty() || text.contains(char::is_control) {
            return Err(bad("it is empty or has control characters"));
        }
        if text.starts_with('-') {
            return Err(bad("it begins with a dash"));
        }
        let Some((scheme, _)) = text.split_once("://") else { return Ok(scp(text)) };
        if scheme == "file" {
            return Ok(Self::Local(text.to_owned()));
        }
        let url = url::Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        let path = url.path().to_owned();
        match scheme {
            "http" | "https" => {
                let port = url.port_or_known_default().unwrap_or(443);
                Ok(Self::Http { url, host, port })
            }
            "ssh" | "git+ssh" | "ssh+git" => {
                let user = (!url.username().is_empty()).then(|| url.username().to_owned());
                Ok(Self::Ssh { user, host, port: url.port().unwrap_or(22), path, scp: false })
            }
            "git" => Ok(Self::Git { host, port: url.port().unwrap_or(9418), path }),
            _ => Err(bad("the scheme is none of https, http, ssh, git, file")),
        }
    }

    /// The host that is talked to; none for a local path.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Local(_) => None,
            Self::Ssh { host, .. } | Self::Git { host, .. } | Self::Http { host, .. } => Some(host),
        }
    }

    /// The address as it may be stored in `.git/config`: like the original, without a password.
    pub(super) fn storable(&self) -> String {
        self.to_string()
    }
}

/// `host:path` or a local path. As in git, a colon counts only before the first slash.
fn scp(text: &str) -> Address {
    let local = || Address::Local(text.to_owned());
    let (front, path) = if let Some(rest) = text.strip_prefix('[') {
        // [user@host:port]:path
        let Some((front, path)) = rest.split_once("]:") else { return local() };
        (front, path)
    } else {
        match text.split_once(':') {
            Some((front, path)) if !front.contains('/') && !front.is_empty() => (front, path),
            _ => return local(),
        }
    };
    let (user, host_port) = match front.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, front),
    };
    let (host, port) = match host_port.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().unwrap_or(22)),
        _ => (host_port, 22),
    };
    Address::Ssh { user, host: host.to_owned(), port, path: path.to_owned(), scp: true }
}

impl fmt::Display for Address {
    /// Without user, password or token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => f.write_str(path),
            Self::Ssh { user, host, port, path, scp } => {
                let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                match (scp, port) {
                    (true, 22) => write!(f, "{user}{host}:{path}"),
                    (true, port) => write!(f, "[{user}{host}:{port}]:{path}"),
                    (false, port) => {
                        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                        let port = if *port == 22 { String::new() } else { format!(":{port}") };
                        write!(f, "ssh://{user}{host}{port}{path}")
                    }
                }
            }
            Self::Git { host, port: 9418, path } => write!(f, "git://{host}{path}"),
            Self::Git { host, port, path } => write!(f, "git://{host}:{port}{path}"),
            Self::Http { url, .. } => {
                let mut url = url.clone();
                // Both fail only for URLs without a host, which http URLs always have.
                let _ = url.set_password(None);
                let _ = url.set_username("");
                f.write_str(url.as_str())
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let table = [
            ("https://bob:pw@example.org/a/b.git", "https://example.org/a/b.git", "example.org:443"),
            ("http://example.org:8080/b", "http://example.org:8080/b", "example.org:8080"),
            ("git@example.org:a/b.git", "git@example.org:a/b.git", "example.org:22"),
            ("example.org:b", "example.org:b", "example.org:22"),
            ("[git@example.org:2222]:b", "[git@example.org:2222]:b", "example.org:2222"),
            ("ssh://git@[::1]:2222/a/b", "ssh://git@[::1]:2222/a/b", "::1:2222"),
            ("ssh://example.org/~/b", "ssh://example.org/~/b", "example.org:22"),
            ("git://example.org/b", "git://example.org/b", "example.org:9418"),
            ("/srv/git/b.git", "/srv/git/b.git", ""),
            ("./a:b", "./a:b", ""),
            ("../b", "../b", ""),
            ("file:///srv/b", "file:///srv/b", ""),
        ];
        for (text, shown, peer) in table {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown, "{text}");
            let got = match &address {
                Address::Local(_) => String::new(),
                Address::Ssh { host, port, .. }
                | Address::Git { host, port, .. }
                | Address::Http { host, port, .. } => {
                    format!("{host}:{port}")
                }
            };
            assert_eq!(got, peer, "{text}");
        }
    }

    #[test]
    fn bad_addresses_are_refused_without_their_password() {
        for text in
            ["", "ftp://u:secretpw@h/x", "https://", "ext::sh -c x://", "--upload-pack=x", "https://u:secretpw@:x/"]
        {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secretpw"), "{error}");
        }
    }
}
