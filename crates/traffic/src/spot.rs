//! Where on its listener a route stands: hosts, beginnings of paths; and networks of clients. Each is read strictly.

use std::{fmt, net::IpAddr};

use serde::{Serialize, Serializer};

use crate::bounds;

/// A host that requests name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// This one, in small letters.
    Exact(String),
    /// Any name below this one; written `*.example.org`.
    Below(String),
}

impl Host {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Host, &'static str> {
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        let label = |label: &str| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
            (1..=63).contains(&label.len())
                && label.chars().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > bounds::HOST || !name.split('.').all(label) {
            return Err(
                "is no host name; as shop.example.org or *.example.org, in small letters, without a port or a dot at the end",
            );
        }
        let name = name.to_owned();
        Ok(if below { Host::Below(name) } else { Host::Exact(name) })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Exact(host) => f.write_str(host),
            Host::Below(host) => write!(f, "*.{host}"),
        }
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The beginning of a path, which ends where a segment does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Prefix(String);

impl Prefix {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Prefix, &'static str> {
        let segment = |segment: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c);
            !segment.is_empty() && segment.chars().all(inner) && !matches!(segment, "." | "..")
        };
        match text.strip_prefix('/') {
            Some(rest) if text.len() <= bounds::PATH && rest.split('/').all(segment) => Ok(Prefix(text.to_owned())),
            _ => Err(
                "is no beginning of a path; as /api or /api/v2: without / at its end, empty segments, . and .., %, ? and #",
            ),
        }
    }

    /// The path that begins it, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is left of a path behind it. None: the path does not begin with it.
    pub fn rest<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let rest = path.strip_prefix(self.0.as_bytes())?;
        matches!(rest.first(), None | Some(b'/' | b'?')).then_some(rest)
    }
}

/// A network of addresses: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads one; an address alone is a network of one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Network, &'static str> {
        const WRONG: &str = "is no network; as 10.0.0.0/8, fd00::/8 or 192.0.2.7";
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| WRONG)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(digits) if digits.len() <= 3 && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().ok().filter(|bits| *bits <= most).ok_or(WRONG)?
            }
            Some(_) => return Err(WRONG),
        };
        let network = Network { address, bits };
        match network.number(address) == Some(unmasked(address)) {
            true => Ok(network),
            false => Err("has bits beyond its length; write the network's own address"),
        }
    }

    /// Whether an address is in it.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let own = self.number(self.address);
        own.is_some() && self.number(address) == own
    }

    /// An address without the bits beyond the network's length. None: it is of the other family.
    fn number(&self, address: IpAddr) -> Option<u128> {
        if address.is_ipv4() != self.address.is_ipv4() {
            return None;
        }
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let beyond = width.saturating_sub(u32::from(self.bits));
        let kept = u128::MAX.checked_shl(beyond).unwrap_or(0);
        Some(unmasked(address) & kept)
    }
}

fn unmasked(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a request names.
#[derive(Debug, Clone, Copy)]
pub struct Aim<'a> {
    /// As in `Host`: in any letters, with a port or without. Empty where there is none.
    pub host: &'a [u8],
    /// Path and query.
    pub path: &'a [u8],
}

/// Why a request is no route's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// Its host is none that is served here.
    Host,
    /// The host is, and its path is not.
    Path,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths_are_read_strictly() {
        for (text, good) in [
            ("a", true),
            ("shop.example.org", true),
            ("*.example.org", true),
            ("xn--bcher-kva.example", true),
            ("a_b.example", true),
            ("192.0.2.7", true),
            ("", false),
            ("*", false),
            ("*.", false),
            ("a.*.b", false),
            ("**.a", false),
            ("A.b", false),
            ("a.b.", false),
            ("a..b", false),
            ("-a.b", false),
            ("a:80", false),
            ("b\u{fc}cher.example", false),
            ("a b", false),
        ] {
            assert_eq!(Host::read(text).map(|host| host.to_string()).ok(), good.then(|| text.to_owned()), "{text}");
        }
        assert!(Host::read(&"a".repeat(64)).is_err() && Host::read(&"a.".repeat(200)).is_err());
        for (text, good) in [
            ("/a", true),
            ("/a/b.c", true),
            ("/", false),
            ("", false),
            ("a", false),
            ("/a/", false),
            ("//a", false),
            ("/a//b", false),
            ("/a/../b", false),
            ("/./a", false),
            ("/a%20b", false),
            ("/a?b", false),
            ("/a#b", false),
            ("/a b", false),
        ] {
            assert_eq!(Prefix::read(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn networks() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("fd00::/8", "fd12::1", "fe00::1"),
            ("192.0.2.0/24", "::ffff:192.0.2.9", "::ffff:192.0.3.9"),
            ("::/0", "fe80::1", "1.2.3.4"),
        ] {
            let network = Network::read(text).unwrap();
            let has = |text: &str| network.has(text.parse().unwrap());
            assert!(has(inside) && !has(outside), "{text}");
        }
        for wrong in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "a/8", "fd00::1/8", ""] {
            assert!(Network::read(wrong).is_err(), "{wrong}");
        }
    }
}
