//! Addresses of engines, as far as the Docker CLI understands them.

use std::{fmt, path::PathBuf};

use turnout_net::dial::TlsFiles;

use super::error::EngineError;

/// Where Docker listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// Port of a `tcp://` address without one, with TLS too; the CLI's own rule.
const DEFAULT_PORT: u16 = 2375;
/// Where the CLI looks when TLS is asked for and no address is given.
const DEFAULT_TLS_ADDRESS: &str = "localhost:2376";

/// Address of a daemon, and what it takes to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// Plain HTTP, as `host:port`. There is no encryption: for a daemon on the same host or a private network.
    Tcp(String),
    /// HTTP in TLS.
    Tls {
        /// `host:port`.
        address: String,
        /// Whom we trust and who we are.
        files: TlsFiles,
    },
    /// The daemon of a machine that SSH reaches.
    Ssh(SshTarget),
}

/// What the `ssh` program is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// User; as SSH's own settings say when `None`.
    pub user: Option<String>,
    /// Host, or a name from SSH's settings.
    pub host: String,
    /// Port; as SSH's own settings say when `None`.
    pub port: Option<u16>,
    /// The socket on that machine; where its `docker` looks when `None`.
    pub socket: Option<String>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Endpoint::Unix(PathBuf::from(DEFAULT_SOCKET))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Tcp(address) | Endpoint::Tls { address, .. } => write!(f, "tcp://{address}"),
            Endpoint::Ssh(target) => write!(f, "ssh://{target}"),
        }
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, host, port, socket } = self;
        if let Some(user) = user {
            write!(f, "{user}@")?;
        }
        if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }?;
        if let Some(port) = port {
            write!(f, ":{port}")?;
        }
        f.write_str(socket.as_deref().unwrap_or_default())
    }
}

impl Endpoint {
    /// Reads the value of `DOCKER_HOST`; `None` or an empty value is the default socket. No TLS: see
    /// [`Endpoint::of_environment`].
    ///
    /// # Errors
    /// An address that the Docker CLI would not take, or that cannot be used here.
    pub fn from_host(host: Option<&str>) -> Result<Endpoint, EngineError> {
        Endpoint::parse(host.unwrap_or_default(), None)
    }

    /// Reads an address; `tls` is used where the address is one of TCP, as for the CLI.
    pub(super) fn parse(host: &str, tls: Option<TlsFiles>) -> Result<Endpoint, EngineError> {
        let host = host.trim();
        let refuse = |reason: String| EngineError::Endpoint { value: without_password(host), reason };
        if host.is_empty() {
            return Ok(match tls {
                Some(files) => Endpoint::Tls { address: DEFAULT_TLS_ADDRESS.to_owned(), files },
                None => Endpoint::default(),
            });
        }
        let (scheme, rest) = match host.split_once("://") {
            Some(parts) => parts,
            None if host.starts_with('/') => ("unix", host),
            None => ("tcp", host),
        };
        match scheme {
            "unix" if rest.is_empty() => Ok(Endpoint::default()),
            "unix" if rest.starts_with('/') => Ok(Endpoint::Unix(PathBuf::from(rest))),
            "unix" => Err(refuse("a unix:// address needs an absolute path".to_owned())),
            "tcp" | "http" => {
                let address = tcp_address(rest).map_err(refuse)?;
                Ok(match tls {
                    Some(files) => Endpoint::Tls { address, files },
                    None => Endpoint::Tcp(address),
                })
            }
            "ssh" => ssh_target(host).map(Endpoint::Ssh).map_err(refuse),
            "https" => Err(refuse("write tcp://host:port and set DOCKER_TLS_VERIFY=1".to_owned())),
            "npipe" => Err(refuse("named pipes exist on Windows only; use unix://, tcp:// or ssh://".to_owned())),
            "fd" => Err(refuse("descriptors are for a daemon to listen on; use unix://, tcp:// or ssh://".to_owned())),
            _ => Err(refuse("write unix:///path/to/docker.sock, tcp://host:port or ssh://user@host".to_owned())),
        }
    }
}

/// `host:port` of a TCP address, with what the CLI fills in.
fn tcp_address(rest: &str) -> Result<String, String> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Ok(format!("localhost:{DEFAULT_PORT}"));
    }
    if rest.contains(['/', '?', '#']) {
        return Err("a path after the port is not supported: the engine must be at the root of the address".to_owned());
    }
    if rest.contains('@') {
        return Err("a user name means nothing to an engine; write tcp://host:port".to_owned());
    }
    let (host, port) = match rest.rsplit_once(':') {
        // The colon inside an IPv6 address is not the port's.
        Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.starts_with('[')) => (host, port),
        Some(_) if !rest.starts_with('[') => return Err("write an IPv6 address in brackets".to_owned()),
        _ => (rest, ""),
    };
    let host = if host.is_empty() { "localhost" } else { host };
    let port = if port.is_empty() { Ok(DEFAULT_PORT) } else { port.parse() };
    let port = port.map_err(|_| "the port is not a number between 1 and 65535".to_owned())?;
    if host.contains(char::is_whitespace) {
        return Err("the host has a space in it".to_owned());
    }
    Ok(format!("{host}:{port}"))
}

fn ssh_target(address: &str) -> Result<SshTarget, String> {
    let url = url::Url::parse(address).map_err(|error| format!("{error}; write ssh://user@host"))?;
    if url.password().is_some() {
        return Err("a password in the address is not supported; use a key".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query or fragment means nothing here; write ssh://user@host:port/path/to/docker.sock".to_owned());
    }
    if url.username().contains('%') || url.path().contains('%') {
        return Err("percent signs are not supported in the user or the path".to_owned());
    }
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err("the host is missing, write ssh://user@host".to_owned());
    }
    // The settings of SSH may hand both to a shell (`ProxyCommand`), and a dash begins an option.
    let unsafe_word = |word: &str| word.starts_with('-') || word.contains(|c: char| "'\"`$\\;&<>|(){}".contains(c));
    if unsafe_word(&host) || unsafe_word(url.username()) {
        return Err(
            "the host or the user begins with a dash or has a character that means something to a shell".to_owned()
        );
    }
    let socket = Some(url.path()).filter(|path| !path.trim_matches('/').is_empty()).map(str::to_owned);
    let user = Some(url.username()).filter(|user| !user.is_empty()).map(str::to_owned);
    Ok(SshTarget { user, host, port: url.port(), socket })
}

/// An address for a message.
fn without_password(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    let slashes = if scheme.is_empty() { "" } else { "://" };
    // The password may hold an at sign itself.
    match rest.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}{slashes}{user}:[redacted]@{host}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_cli_reads_them() {
        for (given, wanted) in [
            ("", "unix:///var/run/docker.sock"),
            (" ", "unix:///var/run/docker.sock"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("unix:///run/user/1000/docker.sock", "unix:///run/user/1000/docker.sock"),
            ("/run/other.sock", "unix:///run/other.sock"),
            ("tcp://10.0.0.1:2376", "tcp://10.0.0.1:2376"),
            ("http://localhost:2375/", "tcp://localhost:2375"),
            ("tcp://box", "tcp://box:2375"),
            ("tcp://:1234", "tcp://localhost:1234"),
            ("tcp://", "tcp://localhost:2375"),
            ("box:99", "tcp://box:99"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
            ("tcp://[::1]:77", "tcp://[::1]:77"),
            ("ssh://box", "ssh://box"),
            ("ssh://me@box:2222/run/docker.sock", "ssh://me@box:2222/run/docker.sock"),
            ("ssh://me@[fe80::1]:22/", "ssh://me@[fe80::1]:22"),
        ] {
            assert_eq!(Endpoint::from_host(Some(given)).unwrap().to_string(), wanted, "{given:?}");
        }
        assert_eq!(Endpoint::from_host(None).unwrap(), Endpoint::default());
    }

    #[test]
    fn other_addresses_are_refused_by_name() {
        for (given, wanted) in [
            ("unix://docker.sock", "absolute path"),
            ("npipe:////./pipe/docker_engine", "Windows"),
            ("fd://", "descriptors"),
            ("https://box:2376", "DOCKER_TLS_VERIFY"),
            ("tcp://box:port", "port"),
            ("tcp://::1:5", "brackets"),
            ("tcp://box:1/prefix", "path"),
            ("ssh://", "ssh://user@host"),
            ("ssh://box?x=1", "query"),
            ("gopher://box", "write unix://"),
            ("ssh://-oProxyCommand=touch", "dash"),
            ("ssh://-A@box", "dash"),
            ("ssh://a$(id)", "shell"),
            ("ssh://a$b@box", "shell"),
        ] {
            let error = Endpoint::from_host(Some(given)).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains(given), "{given:?}: {error}");
        }
        let error = Endpoint::from_host(Some("ssh://me:hunt@er2@box")).unwrap_err().to_string();
        assert!(error.contains("me:[redacted]@box") && !error.contains("hunt") && !error.contains("er2"), "{error}");
        let error = Endpoint::from_host(Some("me:hunter2@box:1")).unwrap_err().to_string();
        assert!(error.contains("me:[redacted]@box") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn tls_counts_for_tcp_only() {
        let tls = || Some(TlsFiles { verify: true, ..TlsFiles::default() });
        for (host, wanted) in [("", "tcp://localhost:2376"), ("tcp://box", "tcp://box:2375"), ("box:1", "tcp://box:1")]
        {
            let endpoint = Endpoint::parse(host, tls()).unwrap();
            assert!(matches!(&endpoint, Endpoint::Tls { .. }) && endpoint.to_string() == wanted, "{endpoint:?}");
        }
        assert_eq!(Endpoint::parse("unix:///s", tls()).unwrap(), Endpoint::Unix("/s".into()));
        assert!(matches!(Endpoint::parse("ssh://box", tls()).unwrap(), Endpoint::Ssh(_)));
    }
}
