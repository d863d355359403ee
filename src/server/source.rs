//! Who sends: the address of a connection, or the one that a trusted proxy names, as far as limits for each sender need
//! it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Names who a proxy speaks for; each proxy on the way adds the address that it was asked from.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Addresses of that header that are looked at, from the last one on.
const MOST_HOPS: usize = 16;

/// A sender, counted as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// One IPv4 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an address: whoever has one has all that begin so (RFC 4291, section 2.5.4).
    V6(u64),
    /// A trusted proxy that has not said who it speaks for. No limit of single senders holds for it.
    Proxy(IpAddr),
}

impl Source {
    /// The sender at the other end of a connection.
    pub fn of_peer(peer: IpAddr, proxies: &[IpNet]) -> Source {
        let peer = peer.to_canonical();
        if proxies.iter().any(|net| net.contains(&peer)) { Source::Proxy(peer) } else { Source::of(peer) }
    }

    /// The sender that a trusted proxy speaks for: the last address that is no trusted proxy's, because those before it
    /// were written by whoever sent them. `None` where there is none that can be read.
    pub fn forwarded(headers: &HeaderMap, proxies: &[IpNet]) -> Option<Source> {
        let values = headers.get_all(FORWARDED_FOR).iter().collect::<Vec<_>>().into_iter().rev();
        let hops = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        for hop in hops.take(MOST_HOPS) {
            let hop = hop.trim();
            let address = hop.parse().or_else(|_| hop.parse().map(|address: SocketAddr| address.ip()));
            match Source::of_peer(address.ok()?, proxies) {
                Source::Proxy(_) => {}
                source => return Some(source),
            }
        }
        None
    }

    fn of(address: IpAddr) -> Source {
        match address {
            IpAddr::V4(address) => Source::V4(address),
            IpAddr::V6(address) => Source::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::V4(address) => address.fmt(f),
            Source::V6(first) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*first) << 64)),
            Source::Proxy(address) => write!(f, "{address} (which may speak for others, and named nobody)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Vec<IpNet> {
        ["127.0.0.0/8", "::1/128", "10.0.0.0/24"].map(|net| net.parse().unwrap()).to_vec()
    }

    #[test]
    fn addresses_of_one_network_are_one_sender() {
        for (peer, shown) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::", "2001:db8:1:3::/64"),
            ("127.0.0.2", "127.0.0.2 (which may speak for others, and named nobody)"),
            ("::ffff:127.0.0.1", "127.0.0.1 (which may speak for others, and named nobody)"),
            ("::1", "::1 (which may speak for others, and named nobody)"),
        ] {
            assert_eq!(Source::of_peer(peer.parse().unwrap(), &proxies()).to_string(), shown, "{peer}");
        }
    }

    #[test]
    fn a_proxy_is_believed_about_the_last_stranger_only() {
        for (values, shown) in [
            (&["192.0.2.1"][..], Some("192.0.2.1")),
            (&["6.6.6.6, 192.0.2.1"], Some("192.0.2.1")),
            (&["6.6.6.6", "192.0.2.1,10.0.0.3"], Some("192.0.2.1")),
            (&["192.0.2.1:4711"], Some("192.0.2.1")),
            (&["[2001:db8::1]:80"], Some("2001:db8::/64")),
            (&["192.0.2.1, unknown"], None),
            (&["10.0.0.1, 127.0.0.1"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(FORWARDED_FOR, value.parse().unwrap());
            }
            let source = Source::forwarded(&headers, &proxies()).map(|source| source.to_string());
            assert_eq!(source.as_deref(), shown, "{values:?}");
        }
    }
}
