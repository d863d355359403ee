//! The PROXY protocol (HAProxy's `proxy-protocol.txt`, versions 1 and 2): what a sender says first on a connection, namely for
//! which client it is. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use turnout_traffic::ProxyProtocol;

/// How version 2 begins.
pub(crate) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 does.
pub(crate) const TEXT: &[u8] = b"PROXY ";
/// Bytes of a line of version 1, its end included.
pub(crate) const LINE: usize = 107;
/// Bytes of what follows the head of version 2: addresses, and what else a sender adds.
pub(crate) const BLOCK: usize = 4 << 10;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A client's, from there.
    Client(SocketAddr),
    /// The sender's own, or of one it does not name: a look whether we are there, for one.
    Senders,
}

/// What a line of version 1 says, without its end.
///
/// # Errors
/// Why it says nothing.
pub(crate) fn line(line: &[u8]) -> Result<Whose, &'static str> {
    let wrong = "its line is none of the PROXY protocol";
    let text = std::str::from_utf8(line).map_err(|_| wrong)?;
    let mut words = text.strip_prefix("PROXY ").ok_or(wrong)?.split(' ');
    let family = words.next().ok_or(wrong)?;
    if family == "UNKNOWN" {
        return Ok(Whose::Senders);
    }
    let (Some(from), Some(to), Some(port), Some(port_to), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong);
    };
    let ip = |text: &str| match family {
        "TCP4" => text.parse().map(IpAddr::V4).map_err(|_| wrong),
        "TCP6" => text.parse().map(IpAddr::V6).map_err(|_| wrong),
        _ => Err(wrong),
    };
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = plain.then(|| text.parse::<u16>().ok()).flatten();
        number.filter(|_| text == "0" || !text.starts_with('0')).ok_or(wrong)
    };
    ip(to)?;
    number(port_to)?;
    Ok(Whose::Client((ip(from)?, number(port)?).into()))
}

/// What follows the signature of version 2: the length of the block after it, once these four bytes are sound.
///
/// # Errors
/// Why they are not.
pub(crate) fn length([version, _, high, low]: [u8; 4]) -> Result<usize, &'static str> {
    if version >> 4 != 2 {
        return Err("its PROXY protocol has another version than 1 or 2");
    }
    match usize::from(u16::from_be_bytes([high, low])) {
        length if length <= BLOCK => Ok(length),
        _ => Err("what it says of its client is longer than 4 KiB"),
    }
}

/// What version 2 says.
///
/// # Errors
/// Why it says nothing.
pub(crate) fn block([version, family, ..]: [u8; 4], block: &[u8]) -> Result<Whose, &'static str> {
    match (version & 0xf, family, block) {
        (0, ..) => Ok(Whose::Senders),
        (1, 0x11, [a, b, c, d, _, _, _, _, high, low, _, _, ..]) => {
            Ok(Whose::Client((Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*high, *low])).into()))
        }
        (1, 0x21, long) if long.len() >= 36 => v6(long),
        (1, 0x11 | 0x21, _) => Err("it names a client, and has no room for its address"),
        // Neither TCP over IPv4 nor over IPv6: whoever it is has no address that is understood.
        (1, ..) => Ok(Whose::Senders),
        _ => Err("its command is neither LOCAL nor PROXY"),
    }
}

fn v6(block: &[u8]) -> Result<Whose, &'static str> {
    let wrong = "it names a client, and has no room for its address";
    let octets: [u8; 16] = block.get(..16).and_then(|octets| octets.try_into().ok()).ok_or(wrong)?;
    let port: [u8; 2] = block.get(32..34).and_then(|port| port.try_into().ok()).ok_or(wrong)?;
    Ok(Whose::Client((Ipv6Addr::from(octets), u16::from_be_bytes(port)).into()))
}

/// What a container is told of a client that came to this address.
pub(crate) fn told(version: ProxyProtocol, client: SocketAddr, at: SocketAddr) -> Vec<u8> {
    // Of one family both: where they are not, the older one is written as the newer.
    let (from, to) = match (client.ip().to_canonical(), at.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (IpAddr::V4(from), IpAddr::V4(to)),
        (from, to) => (IpAddr::V6(as_v6(from)), IpAddr::V6(as_v6(to))),
    };
    let (port, port_at) = (client.port(), at.port());
    match version {
        ProxyProtocol::V1 => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {from} {to} {port} {port_at}\r\n").into_bytes()
        }
        ProxyProtocol::V2 => {
            let mut out = SIGNATURE.to_vec();
            match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    out.extend([0x21, 0x11, 0, 12]);
                    out.extend(from.octets());
                    out.extend(to.octets());
                }
                (from, to) => {
                    out.extend([0x21, 0x21, 0, 36]);
                    out.extend(as_v6(from).octets());
                    out.extend(as_v6(to).octets());
                }
            }
            out.extend(port.to_be_bytes());
            out.extend(port_at.to_be_bytes());
            out
        }
    }
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let client = |text: &str| Ok(Whose::Client(text.parse().unwrap()));
        let wrong = Err("its line is none of the PROXY protocol");
        for (text, expected) in [
            ("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443", client("192.0.2.7:56324")),
            ("PROXY TCP6 2001:db8::7 2001:db8::1 5 443", client("[2001:db8::7]:5")),
            ("PROXY UNKNOWN", Ok(Whose::Senders)),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2", Ok(Whose::Senders)),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 56324", wrong),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 x", wrong),
            ("PROXY TCP4  192.0.2.7 198.51.100.1 56324 443", wrong),
            ("PROXY TCP4 2001:db8::7 2001:db8::1 5 443", wrong),
            ("PROXY TCP6 192.0.2.7 198.51.100.1 5 443", wrong),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 65536 443", wrong),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 +5 443", wrong),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 05 443", wrong),
            ("PROXY TCP4 192.0.2.07 198.51.100.1 5 443", wrong),
            ("PROXY UDP4 192.0.2.7 198.51.100.1 5 443", wrong),
            ("PROXY ", wrong),
            ("GET / HTTP/1.1", wrong),
        ] {
            assert_eq!(line(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_told_is_understood() {
        for (client, at) in [
            ("192.0.2.7:56324", "198.51.100.1:443"),
            ("[2001:db8::7]:5", "[2001:db8::1]:80"),
            ("[::ffff:192.0.2.7]:5", "198.51.100.1:80"),
        ] {
            let (client, at): (SocketAddr, SocketAddr) = (client.parse().unwrap(), at.parse().unwrap());
            let canonical = SocketAddr::from((client.ip().to_canonical(), client.port()));
            let text = told(ProxyProtocol::V1, client, at);
            assert_eq!(line(text.strip_suffix(b"\r\n").unwrap()), Ok(Whose::Client(canonical)));
            let bytes = told(ProxyProtocol::V2, client, at);
            let (signature, rest) = bytes.split_at(12);
            assert_eq!(signature, SIGNATURE);
            let (head, rest) = rest.split_at(4);
            let head: [u8; 4] = head.try_into().unwrap();
            assert_eq!(length(head), Ok(rest.len()));
            assert_eq!(block(head, rest), Ok(Whose::Client(canonical)));
            // What a sender adds is gone past.
            assert_eq!(block(head, &[rest, b"\x03\0\x04abcd"].concat()), Ok(Whose::Client(canonical)));
            assert!(block(head, &rest[..rest.len() - 1]).is_err());
        }
    }

    #[test]
    fn heads_that_are_none() {
        assert!(length([0x11, 0x11, 0, 12]).is_err());
        assert!(length([0x21, 0x11, 0x10, 1]).is_err());
        assert_eq!(block([0x20, 0x11, 0, 0], &[]), Ok(Whose::Senders));
        assert_eq!(block([0x21, 0x31, 0, 0], &[]), Ok(Whose::Senders));
        assert!(block([0x22, 0x11, 0, 12], &[0; 12]).is_err());
    }
}
