//! What routes go by: hosts, the beginnings of paths, networks of clients.

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
    /// Its length in bytes: of two that fit the longer one counts.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

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

    /// Its text.
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
