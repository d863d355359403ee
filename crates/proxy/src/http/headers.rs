//! What is changed of a message's head on its way: what concerns one connection only, and who asked.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, SocketAddr},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Of one connection, whether `Connection` names them or not (RFC 9110, 7.6.1). `Proxy` becomes HTTP_PROXY in CGI programs.
const OF_ONE_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// Not taken away however `Connection` names them: the message would mean something else.
const VITAL: [HeaderName; 5] =
    [header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE, header::AUTHORIZATION, header::COOKIE];
/// Bytes of a request id that is kept.
const ID_BYTES: usize = 128;

/// Takes away what concerns one connection.
pub(crate) fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let values: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
        let words = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        for name in words.filter_map(|word| HeaderName::from_bytes(word.trim().as_bytes()).ok()) {
            if !VITAL.contains(&name) {
                headers.remove(name);
            }
        }
    }
    for name in OF_ONE_CONNECTION {
        headers.remove(name);
    }
}

/// Whether a client takes trailers.
pub(crate) fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("trailers"))
}

/// Who asked, for which host: told to the container. `trusted`: what the sender says of it is kept, and the sender added.
pub(crate) fn forwarded(headers: &mut HeaderMap, peer: SocketAddr, trusted: bool) {
    if trusted {
        // Names that a CGI program cannot tell from ours.
        take(headers, |name| name.contains('_') && is_ours(name));
    } else {
        take(headers, is_ours);
    }
    let ip = peer.ip().to_canonical();
    let host = headers.get(header::HOST).cloned();
    let added = forwarded_element(ip, host.as_ref());
    extend(headers, FORWARDED_FOR, ip.to_string());
    extend(headers, header::FORWARDED, added);
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if let Some(host) = host
        && !headers.contains_key(FORWARDED_HOST)
    {
        headers.insert(FORWARDED_HOST, host);
    }
    if !headers
        .get(REQUEST_ID)
        .is_some_and(|id| (1..=ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic))
        || headers.get_all(REQUEST_ID).iter().count() > 1
    {
        let id = HeaderValue::try_from(request_id()).unwrap_or(HeaderValue::from_static("none"));
        headers.insert(REQUEST_ID, id);
    }
}

/// Whether a header says who asked. To a CGI program `_` is no other character than `-`.
fn is_ours(name: &str) -> bool {
    if name.contains('_') {
        return is_ours(&name.replace('_', "-"));
    }
    name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip" | "x-request-id")
}

fn take(headers: &mut HeaderMap, which: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| which(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// One list of several lines, and a further entry.
fn extend(headers: &mut HeaderMap, name: HeaderName, added: String) {
    let list = if headers.contains_key(&name) {
        let mut list: Vec<u8> = Vec::new();
        for value in headers.get_all(&name) {
            list.extend_from_slice(value.as_bytes());
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(added.as_bytes());
        HeaderValue::try_from(list)
    } else {
        HeaderValue::try_from(added)
    };
    if let Ok(value) = list {
        headers.insert(name, value);
    }
}

/// `for=…;host=…;proto=http` (RFC 7239).
fn forwarded_element(ip: IpAddr, host: Option<&HeaderValue>) -> String {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("\"[{ip}]\""),
    };
    let host = host.and_then(|host| host.to_str().ok()).filter(|host| !host.contains(['"', '\\']));
    match host {
        Some(host) if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')) => {
            format!("for={ip};host={host};proto=http")
        }
        Some(host) => format!("for={ip};host=\"{host}\";proto=http"),
        None => format!("for={ip};proto=http"),
    }
}

/// 32 hexadecimal digits, the same ones never again.
fn request_id() -> String {
    static START: OnceLock<(u64, u64)> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The hasher's keys are random in each process.
    let (high, low) = *START.get_or_init(|| (RandomState::new().hash_one(1), RandomState::new().hash_one(2)));
    let number = NEXT.fetch_add(1, Relaxed);
    format!("{high:016x}{:016x}", low.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_concerns_one_connection_goes() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-One, host"),
            ("connection", "x-two"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("proxy", "evil"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("host", "a"),
        ]);
        assert!(takes_trailers(&headers));
        strip(&mut headers);
        assert_eq!(headers, map(&[("x-three", "3"), ("host", "a")]));
    }

    #[test]
    fn who_asked_is_made_anew_or_extended() {
        let told = [
            ("host", "a:8080"),
            ("x-forwarded-for", "10.0.0.9"),
            ("x-forwarded-for", "10.0.0.8"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example.org"),
            ("forwarded", "for=10.0.0.9"),
            ("x-real-ip", "10.0.0.9"),
            ("x-request-id", "abc"),
        ];
        let text = |headers: &HeaderMap, name: &str| {
            headers.get(name).map_or("-".to_owned(), |value| value.to_str().unwrap().to_owned())
        };
        let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-real-ip"];
        let mut trusted = map(&told);
        forwarded(&mut trusted, ([127, 0, 0, 1], 5).into(), true);
        assert_eq!(
            names.map(|name| text(&trusted, name)),
            [
                "10.0.0.9, 10.0.0.8, 127.0.0.1",
                "https",
                "shop.example.org",
                "for=10.0.0.9, for=127.0.0.1;host=\"a:8080\";proto=http",
                "10.0.0.9"
            ]
        );
        assert_eq!((text(&trusted, "x-request-id"), text(&trusted, "x_forwarded_for")), ("abc".into(), "-".into()));
        let mut other = map(&told);
        forwarded(&mut other, ([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x207], 5).into(), false);
        assert_eq!(
            names.map(|name| text(&other, name)),
            ["192.0.2.7", "http", "a:8080", "for=192.0.2.7;host=\"a:8080\";proto=http", "-"]
        );
        assert_eq!(text(&other, "x-request-id").len(), 32);
        assert_ne!(request_id(), request_id());
    }
}
