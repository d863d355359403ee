//! What is asked, and of whom.

use std::{fmt, net::SocketAddr, time::Duration};

/// What is known of an instance's protocol before it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP: an answer below 500 is wanted for this page.
    Http {
        /// Its path, and what may follow after `?`.
        page: String,
    },
    /// HTTP/2 without TLS, gRPC for one: the first words of a server of it are wanted.
    H2c,
    /// Something else: a connection that stays is wanted.
    Tcp,
    /// Nothing is known: HTTP, if it answers so; TLS, if it answers that. Anything else is not taken for readiness, since a
    /// port that only accepts proves nothing.
    Unknown {
        /// As for HTTP.
        page: String,
    },
}

/// What an instance turned out to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1, or 1.0.
    Http,
    /// HTTP/2 without TLS.
    H2c,
    /// Not asked: bytes.
    Tcp,
    /// TLS: passed through.
    Tls,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Http => "HTTP",
            Protocol::H2c => "HTTP/2",
            Protocol::Tcp => "TCP",
            Protocol::Tls => "TLS",
        })
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Where requests will be sent.
    pub address: SocketAddr,
    /// What is known of its protocol.
    pub spoken: Spoken,
    /// So many good answers in a row are wanted, each on a connection of its own; at least one is.
    pub successes: u32,
    /// Longest time between two tries; see [`Ask::pause`].
    pub apart: Duration,
    /// The host that a request names; else the address.
    pub host: Option<String>,
    /// What is said first on each connection: the PROXY protocol, to instances that want it.
    pub preamble: &'static [u8],
}

/// Good answers in a row, where nobody says otherwise.
const SUCCESSES: u32 = 3;
/// Longest time between two tries, where nobody says otherwise.
const APART: Duration = Duration::from_millis(100);
/// The shortest one. Whoever is ready at once is waited for by people: it bounds what asking costs an instance that starts.
const SOON: Duration = Duration::from_millis(25);
/// So many tries in vain are that close to each other: a second. What takes longer to start is not kept from it by being asked.
const EAGER: u32 = 40;

impl Ask {
    /// With the usual numbers: three times, at most 100 ms apart.
    pub fn new(address: SocketAddr, spoken: Spoken) -> Ask {
        Ask { address, spoken, successes: SUCCESSES, apart: APART, host: None, preamble: b"" }
    }

    /// How long to wait before the next try. `asked`: how often it was asked; `had`: how many good answers came in a row. Who does not
    /// answer yet is asked soon again for a second; good answers are the further apart the more of them there were, so that they
    /// are no single moment's.
    pub(crate) fn pause(&self, asked: u32, had: u32) -> Duration {
        let pause = match had {
            0 if asked < EAGER => SOON,
            0 => self.apart,
            had => SOON.saturating_mul(1 << (had - 1).min(8)),
        };
        pause.min(self.apart)
    }

    /// The request whose answer counts; none for bytes.
    pub(crate) fn request(&self) -> Option<String> {
        let page = self.page()?;
        let host = match &self.host {
            Some(host) => visible(host),
            // Not its own way to write itself, which has the zone of an address of the link.
            None if self.address.is_ipv6() => format!("[{}]:{}", self.address.ip(), self.address.port()),
            None => self.address.to_string(),
        };
        let version = env!("CARGO_PKG_VERSION");
        let slash = if page.starts_with('/') { "" } else { "/" };
        Some(format!(
            "GET {slash}{} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: turnout-gate/{version}\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n",
            visible(page)
        ))
    }

    /// The name that a client would ask a TLS server for: none where it has only an address.
    pub(crate) fn server_name(&self) -> Option<&str> {
        let host = self.host.as_deref()?;
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
        let is_name = !name.is_empty() && name.len() <= 253 && name.chars().all(fits);
        (is_name && name.parse::<std::net::Ipv4Addr>().is_err()).then_some(name)
    }

    /// The request as a log names it. What follows a `?` may be a secret.
    pub(crate) fn shown(&self) -> String {
        match self.page() {
            None if self.spoken == Spoken::H2c => "the first words of HTTP/2".to_owned(),
            None => "a connection".to_owned(),
            Some(page) => match page.split_once('?') {
                Some((path, _)) => format!("GET {}?…", visible(path)),
                None => format!("GET {}", visible(page)),
            },
        }
    }

    fn page(&self) -> Option<&str> {
        match &self.spoken {
            Spoken::Http { page } | Spoken::Unknown { page } => Some(page),
            Spoken::H2c | Spoken::Tcp => None,
        }
    }
}

/// A text as it may stand in the head of a request: whatever would end it, or begin another line, is encoded.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'#' => shown.push_str("%23"),
            0x21..=0x7e => shown.push(char::from(byte)),
            _ => shown.push_str(&format!("%{byte:02X}")),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: &str, page: &str, host: Option<&str>) -> Ask {
        let spoken = Spoken::Http { page: page.to_owned() };
        Ask { host: host.map(str::to_owned), ..Ask::new(address.parse().unwrap(), spoken) }
    }

    #[test]
    fn a_request_is_one_whatever_the_settings_say() {
        for (address, page, host, first, second) in [
            ("127.0.0.1:80", "/", None, "GET / HTTP/1.1", "Host: 127.0.0.1:80"),
            ("[::1]:80", "/a?b=c d", None, "GET /a?b=c%20d HTTP/1.1", "Host: [::1]:80"),
            ("[fe80::1%2]:80", "/", None, "GET / HTTP/1.1", "Host: [fe80::1]:80"),
            ("127.0.0.1:80", "up", Some("shop.example.org"), "GET /up HTTP/1.1", "Host: shop.example.org"),
            ("127.0.0.1:80", "", Some("x"), "GET / HTTP/1.1", "Host: x"),
            ("127.0.0.1:80", "/\r\nX: y", Some("a\r\nX: y"), "GET /%0D%0AX:%20y HTTP/1.1", "Host: a%0D%0AX:%20y"),
            ("127.0.0.1:80", "/ü#x", None, "GET /%C3%BC%23x HTTP/1.1", "Host: 127.0.0.1:80"),
        ] {
            let request = ask(address, page, host).request().unwrap();
            let lines: Vec<&str> = request.split("\r\n").collect();
            assert_eq!((lines[0], lines[1], lines.len()), (first, second, 7), "{request}");
            assert_eq!((lines[4], lines[5], lines[6]), ("Connection: close", "", ""), "{request}");
        }
        assert_eq!(Ask::new("127.0.0.1:80".parse().unwrap(), Spoken::Tcp).request(), None);
    }

    #[test]
    fn who_answers_at_once_is_asked_soon_again() {
        let usual = Ask::new("127.0.0.1:80".parse().unwrap(), Spoken::Tcp);
        let slow = Ask { apart: Duration::from_secs(2), ..usual.clone() };
        let quick = Ask { apart: Duration::from_millis(5), ..usual.clone() };
        for (ask, asked, had, millis) in [
            (&usual, 1, 0, 25),
            (&usual, 39, 0, 25),
            (&usual, 40, 0, 100),
            (&usual, 1, 1, 25),
            (&usual, 900, 1, 25),
            (&usual, 2, 2, 50),
            (&usual, 3, 3, 100),
            (&usual, 4, 4, 100),
            (&slow, 40, 0, 2_000),
            (&slow, 40, 40, 2_000),
            (&quick, 1, 0, 5),
            (&quick, 2, 1, 5),
        ] {
            assert_eq!(ask.pause(asked, had), Duration::from_millis(millis), "{asked} {had}");
        }
    }

    #[test]
    fn a_log_sees_no_query() {
        assert_eq!(ask("127.0.0.1:80", "/up?token=1", None).shown(), "GET /up?…");
        assert_eq!(ask("127.0.0.1:80", "/up", None).shown(), "GET /up");
    }

    #[test]
    fn only_a_name_is_asked_for_in_tls() {
        for (host, name) in [
            (None, None),
            (Some("shop.example.org"), Some("shop.example.org")),
            (Some("shop.example.org:8443"), Some("shop.example.org")),
            (Some("127.0.0.1:80"), None),
            (Some("[::1]:80"), None),
            (Some("a b"), None),
            (Some(""), None),
        ] {
            assert_eq!(ask("127.0.0.1:80", "/", host).server_name(), name, "{host:?}");
        }
    }
}
