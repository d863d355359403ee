//! How the connections of a route are understood, and how that is known (docs/switch.md, "What a service speaks").

use std::fmt;

use crate::class::Source;

/// What is spoken on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 towards the container; WebSocket and other upgrades included.
    Http,
    /// HTTP/2 without TLS towards the container.
    H2c,
    /// gRPC: HTTP/2 without TLS, trailers included.
    Grpc,
    /// TLS that the container answers itself: passed through.
    Https,
    /// Bytes that nobody looks into.
    Tcp,
}

impl Protocol {
    /// The words of `protocol:`; some mean the same.
    pub const WORDS: &[&str] = &["http", "ws", "h2c", "http2", "grpc", "https", "tls", "tcp"];

    /// Reads the words of `protocol:` in `repos.yaml` and `x-turnout`.
    pub fn parse(word: &str) -> Option<Protocol> {
        Some(match word {
            "http" | "ws" => Protocol::Http,
            "h2c" | "http2" => Protocol::H2c,
            "grpc" => Protocol::Grpc,
            "https" | "tls" => Protocol::Https,
            "tcp" => Protocol::Tcp,
            _ => return None,
        })
    }

    /// Reads `app_protocol` of the long port form (Compose specification, `ports`), whose words are those of Kubernetes:
    /// IANA's names of services, and forms with a prefix. A name of another protocol than HTTP means bytes.
    pub fn of_app(word: &str) -> Option<Protocol> {
        const BYTES: &[&str] = &[
            "amqp",
            "amqps",
            "cassandra",
            "imap",
            "imaps",
            "kafka",
            "ldap",
            "ldaps",
            "mongo",
            "mongodb",
            "mqtt",
            "mysql",
            "nats",
            "pop3",
            "pop3s",
            "postgres",
            "postgresql",
            "redis",
            "rtmp",
            "sftp",
            "smtp",
            "smtps",
            "ssh",
            "stomp",
        ];
        let lower = word.to_ascii_lowercase();
        match lower.strip_prefix("kubernetes.io/").unwrap_or(&lower) {
            "wss" => Some(Protocol::Https),
            word if BYTES.contains(&word) => Some(Protocol::Tcp),
            word => Protocol::parse(word),
        }
    }

    /// Whether the gate asks for a page.
    pub fn is_http(self) -> bool {
        matches!(self, Protocol::Http | Protocol::H2c | Protocol::Grpc)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Http => "http",
            Protocol::H2c => "h2c",
            Protocol::Grpc => "grpc",
            Protocol::Https => "https, passed through",
            Protocol::Tcp => "tcp",
        })
    }
}

/// A protocol, or that the container will be asked, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// The user said it.
    Said(Protocol, Source),
    /// `app_protocol` of the port says it.
    App(Protocol, String),
    /// The port belongs to something that is no HTTP: bytes, and never asked.
    Port(&'static str),
    /// The gate asks the container: TLS is passed through, else HTTP, and no answer is a failure that names
    /// It was said, by `protocol: tcp`.
    Asked,
}

impl Spoken {
    /// What is known before the gate.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            Spoken::Said(protocol, _) | Spoken::App(protocol, _) => Some(*protocol),
            Spoken::Port(_) => Some(Protocol::Tcp),
            Spoken::Asked => None,
        }
    }

    /// Whether it is HTTP, with or without TLS, or may turn out to be.
    pub fn may_be_http(&self) -> bool {
        self.protocol() != Some(Protocol::Tcp)
    }
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spoken::Said(protocol, source) => write!(f, "{protocol} (said in {source})"),
            Spoken::App(protocol, word) => write!(f, "{protocol} (app_protocol: {word})"),
            Spoken::Port(what) => write!(f, "tcp (the port of {what})"),
            Spoken::Asked => f.write_str("asked in the gate"),
        }
    }
}
