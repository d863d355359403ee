//! What texts a setting takes: one reader for each kind of value, which is told its bounds by the declaration.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;

use super::{Secret, units};

/// The kind of a setting's value, with its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// `true` or `false`, in any case, and the usual other words.
    Switch,
    /// A duration, such as `30s` or `5m`.
    Time {
        /// 0 has a meaning.
        zero: bool,
    },
    /// A size, in bytes.
    Size {
        /// The smallest that is taken.
        least: u64,
        /// The largest that is taken.
        most: u64,
    },
    /// A whole number.
    Count {
        /// The smallest that is taken.
        least: usize,
        /// The largest that is taken.
        most: usize,
    },
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// An address with a port.
    Address,
    /// Networks or single addresses, separated by commas or blanks; `none` for none.
    Networks,
    /// An access mode, in octal.
    Mode,
    /// A path on this machine.
    Path,
    /// The address of a Docker engine.
    Engine,
    /// Any text; the setting itself says more.
    Text,
}

impl Takes {
    /// What stands for the value in the help, where the declaration has no better word.
    pub(super) const fn placeholder(&self) -> &'static str {
        match self {
            Takes::Switch => "BOOL",
            Takes::Time { .. } => "TIME",
            Takes::Size { .. } => "SIZE",
            Takes::Count { .. } => "N",
            Takes::Word(_) => "WORD",
            Takes::Address => "ADDR:PORT",
            Takes::Networks => "NETS",
            Takes::Mode => "OCTAL",
            Takes::Path => "FILE",
            Takes::Engine => "URL",
            Takes::Text => "TEXT",
        }
    }

    /// In words, for the reference.
    pub(super) fn words(&self) -> String {
        match self {
            Takes::Switch => "true or false".to_owned(),
            Takes::Time { zero: true } => "a duration such as 90s, or 0".to_owned(),
            Takes::Time { zero: false } => "a duration such as 90s, longer than 0".to_owned(),
            Takes::Size { least: 0, most: u64::MAX } => "a size such as 500MB or 1GiB".to_owned(),
            Takes::Size { least, most: u64::MAX } => format!("a size, {} at least", size(*least)),
            Takes::Size { least: 0, most } => format!("a size, {} at most", size(*most)),
            Takes::Size { least, most } => format!("a size from {} to {}", size(*least), size(*most)),
            Takes::Count { least, most } => format!("a whole number from {least} to {most}"),
            Takes::Word(words) => words.join(" or "),
            Takes::Address => "an address with a port".to_owned(),
            Takes::Networks => "networks or addresses, separated by commas, or none".to_owned(),
            Takes::Mode => "an access mode in octal".to_owned(),
            Takes::Path => "a path".to_owned(),
            Takes::Engine => "unix://…, tcp://… or ssh://…".to_owned(),
            Takes::Text => "a text".to_owned(),
        }
    }
}

/// A value that a setting can have: how it is read, given what the declaration takes.
pub(super) trait Value: Sized + 'static {
    /// Reads a text.
    fn read(takes: &Takes, text: &str) -> Result<Self, String>;
    /// What stands in its place while a mistake is on its way to the user. Never used for anything.
    fn stand_in() -> Self;
}

impl Value for bool {
    fn read(_: &Takes, text: &str) -> Result<bool, String> {
        // `true` in any case, as the ancestors of this program took it.
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(format!("`{text}` is neither true nor false")),
        }
    }

    fn stand_in() -> bool {
        false
    }
}

impl Value for Duration {
    fn read(takes: &Takes, text: &str) -> Result<Duration, String> {
        match (units::duration(text)?, takes) {
            (Duration::ZERO, Takes::Time { zero: false }) => Err("must be longer than 0".to_owned()),
            (time, _) => Ok(time),
        }
    }

    fn stand_in() -> Duration {
        Duration::ZERO
    }
}

impl Value for u64 {
    fn read(takes: &Takes, text: &str) -> Result<u64, String> {
        let found = units::bytes(text)?;
        let Takes::Size { least, most } = *takes else { return Ok(found) };
        if (least..=most).contains(&found) {
            return Ok(found);
        }
        Err(match (least, most) {
            (0, most) => format!("`{text}` is more than {}", size(most)),
            (least, u64::MAX) => format!("`{text}` is less than {}", size(least)),
            (least, most) => format!("`{text}` is not between {} and {}", size(least), size(most)),
        })
    }

    fn stand_in() -> u64 {
        0
    }
}

/// A size that an empty text leaves to others.
impl Value for Option<u64> {
    fn read(takes: &Takes, text: &str) -> Result<Option<u64>, String> {
        if text.is_empty() { Ok(None) } else { u64::read(takes, text).map(Some) }
    }

    fn stand_in() -> Option<u64> {
        None
    }
}

impl Value for usize {
    fn read(takes: &Takes, text: &str) -> Result<usize, String> {
        match *takes {
            Takes::Size { .. } => usize::try_from(u64::read(takes, text)?).map_err(|error| error.to_string()),
            Takes::Count { least, most } => match text.parse::<usize>() {
                Ok(number) if (least..=most).contains(&number) => Ok(number),
                _ => Err(format!("`{text}` is not a whole number from {least} to {most}")),
            },
            _ => text.parse().map_err(|_| format!("`{text}` is not a whole number")),
        }
    }

    fn stand_in() -> usize {
        0
    }
}

/// One of the declared words, as the declaration writes it.
impl Value for &'static str {
    fn read(takes: &Takes, text: &str) -> Result<&'static str, String> {
        let Takes::Word(words) = takes else { return Ok("") };
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied();
        found.ok_or_else(|| match words {
            [one, other] => format!("`{text}` is neither {one} nor {other}"),
            _ => format!("`{text}` is none of {}", words.join(", ")),
        })
    }

    fn stand_in() -> &'static str {
        ""
    }
}

impl Value for SocketAddr {
    fn read(_: &Takes, text: &str) -> Result<SocketAddr, String> {
        if let Ok(address) = SocketAddr::from_str(text) {
            return Ok(address);
        }
        let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
        Err(match port {
            Ok(port) => {
                format!("`{text}` has no address; write 127.0.0.1:{port}, or 0.0.0.0:{port} for every interface")
            }
            Err(_) => format!("`{text}` is not an address with a port; write it like 127.0.0.1:8000 or [::1]:8000"),
        })
    }

    fn stand_in() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }
}

impl Value for Vec<IpNet> {
    fn read(_: &Takes, text: &str) -> Result<Vec<IpNet>, String> {
        if text.trim() == "none" {
            return Ok(Vec::new());
        }
        let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
        let net = |part: &str| {
            let net = part.parse().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| {
                format!("`{part}` is no network; write it like 10.0.0.0/8, 192.0.2.7 or fd00::/8, or say none")
            })
        };
        parts.map(net).collect()
    }

    fn stand_in() -> Vec<IpNet> {
        Vec::new()
    }
}

/// Bits of an access mode.
impl Value for u32 {
    fn read(_: &Takes, text: &str) -> Result<u32, String> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => Err(format!("`{text}` is not an access mode; write it in octal, like 0660")),
        }
    }

    fn stand_in() -> u32 {
        0
    }
}

impl Value for PathBuf {
    fn read(_: &Takes, text: &str) -> Result<PathBuf, String> {
        Ok(PathBuf::from(text))
    }

    fn stand_in() -> PathBuf {
        PathBuf::new()
    }
}

impl Value for String {
    fn read(takes: &Takes, text: &str) -> Result<String, String> {
        match takes {
            Takes::Engine => engine(text),
            _ => Ok(text.to_owned()),
        }
    }

    fn stand_in() -> String {
        String::new()
    }
}

impl Value for Secret {
    fn read(_: &Takes, text: &str) -> Result<Secret, String> {
        Ok(Secret::new(text))
    }

    fn stand_in() -> Secret {
        Secret::new("")
    }
}

fn engine(text: &str) -> Result<String, String> {
    let wrong = || {
        let forms = "unix:///var/run/docker.sock, tcp://host:2375 or ssh://user@host";
        format!("`{text}` is not an engine's address; write {forms}")
    };
    if text.is_empty() {
        return Ok(String::new());
    }
    // Only what can be said without reading anything; the engine's own reader checks the rest.
    match text.split_once("://") {
        Some(("unix", path)) if Path::new(path).is_absolute() => Ok(text.to_owned()),
        Some(("tcp" | "http", host)) if !host.is_empty() => Ok(text.to_owned()),
        // Not repeated: it may hold a password, which is refused later.
        Some(("ssh", host)) if !host.is_empty() => Ok(text.to_owned()),
        Some(("npipe" | "fd", _)) => Err(format!("`{text}`: only unix://, tcp:// and ssh:// are supported")),
        _ => Err(wrong()),
    }
}

/// A size as a declaration would write it.
pub(super) fn size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let whole = units.into_iter().find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}
