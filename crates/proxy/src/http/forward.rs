//! What a message's head becomes on its way: what concerns one connection is left out, who asked is told, and the rest is
//! written anew in one form. Pure.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, SocketAddr},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    answer_head::AnswerHead,
    head::{self, Body, Head, Kind, Line},
};
use turnout_traffic::{Route, choose::is_own_cookie};

/// Bytes of a request id that is kept.
const ID_BYTES: usize = 128;

/// Who is at the other end of a client's connection, as containers are told.
#[derive(Debug)]
pub(crate) struct Asker {
    ip: String,
    /// As `Forwarded` writes it.
    element: String,
    /// What it says of who asked is kept, and it is added, whatever the route says.
    near: bool,
    address: IpAddr,
    scheme: &'static str,
    /// What the client speaks, where it is no HTTP/1.
    version: Option<&'static str>,
    /// The listener, for requests that name no host.
    listen: String,
}

impl Asker {
    /// `spoken_for`: another one has connected, and says so.
    pub(crate) fn new(peer: SocketAddr, listen: SocketAddr, scheme: &'static str, spoken_for: bool) -> Asker {
        let ip = peer.ip().to_canonical();
        let element = match ip {
            IpAddr::V4(ip) => format!("for={ip}"),
            IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
        };
        let near = listen.ip().is_loopback() && !spoken_for;
        Asker { ip: ip.to_string(), element, near, address: ip, scheme, version: None, listen: listen.to_string() }
    }
}

impl Asker {
    /// It speaks HTTP/2.
    pub(crate) fn over_http2(self) -> Asker {
        Asker { version: Some("HTTP/2.0"), ..self }
    }

    /// What it speaks, where that is no HTTP/1.
    pub(crate) fn version(&self) -> Option<&'static str> {
        self.version
    }

    pub(crate) fn ip(&self) -> &str {
        &self.ip
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether it is believed what it says of who asked.
    pub(crate) fn is_trusted(&self, route: &Route) -> bool {
        self.near || route.trusts(self.address)
    }

    pub(crate) fn listen(&self) -> &str {
        &self.listen
    }
}

fn put(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether `Connection` names a header.
fn named(bytes: &[u8], lines: &[Line], name: &[u8]) -> bool {
    let lists = lines.iter().filter(|line| line.kind == Kind::Connection);
    lists.into_iter().any(|line| head::words(line.value.of(bytes)).any(|word| word.eq_ignore_ascii_case(name)))
}

/// Writes a request's head, as its route wants it; where in it the request's id stands.
pub(crate) fn request(
    out: &mut Vec<u8>,
    bytes: &[u8],
    head: &Head,
    asker: &Asker,
    route: &Route,
) -> std::ops::Range<usize> {
    out.extend_from_slice(head.method.of(bytes));
    out.push(b' ');
    let stripped = route.path.as_ref().filter(|_| route.strip_path);
    let path = head.path.of(bytes);
    let path = stripped.and_then(|prefix| prefix.rest(path)).unwrap_or(path);
    if !path.starts_with(b"/") && path != b"*" {
        out.push(b'/');
    }
    out.extend_from_slice(path);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // HTTP/1.0 knows no Host; what is sent on is HTTP/1.1.
    let host = if head.host.is_empty() { asker.listen.as_bytes() } else { head.host.of(bytes) };
    put(out, b"Host", host);
    let told = lines(out, bytes, head, asker.is_trusted(route));
    let id = who_asked(out, bytes, head, asker, &told, host);
    if let Some(stripped) = stripped {
        // Behind what others have left out before.
        out.extend_from_slice(b"X-Forwarded-Prefix: ");
        let before = told.prefix.map(|line| line.value.of(bytes)).unwrap_or_default();
        out.extend_from_slice(before.strip_suffix(b"/").unwrap_or(before));
        out.extend_from_slice(stripped.as_str().as_bytes());
        out.extend_from_slice(b"\r\n");
    } else if let Some(line) = told.prefix {
        put(out, b"X-Forwarded-Prefix", line.value.of(bytes));
    }
    match head.body {
        Body::Chunked => put(out, b"Transfer-Encoding", b"chunked"),
        Body::Sized(length) => number(out, b"Content-Length", length),
        Body::None if head.length_said => put(out, b"Content-Length", b"0"),
        Body::None => {}
    }
    if head.trailers {
        put(out, b"TE", b"trailers");
    }
    match (head.upgrade, head.trailers) {
        (true, true) => put(out, b"Connection", b"upgrade, te"),
        (true, false) => put(out, b"Connection", b"upgrade"),
        (false, true) => put(out, b"Connection", b"te"),
        (false, false) => {}
    }
    out.extend_from_slice(b"\r\n");
    id
}

/// What a trusted sender has told of who asked.
#[derive(Default)]
struct Told {
    to: bool,
    proto: bool,
    host: bool,
    forwarded: bool,
    prefix: Option<Line>,
    id: Option<Line>,
    ids: u8,
}

/// The lines that are passed on as they are.
fn lines(out: &mut Vec<u8>, bytes: &[u8], head: &Head, trusted: bool) -> Told {
    let mut told = Told::default();
    for line in &head.lines {
        let (name, value) = (line.name.of(bytes), line.value.of(bytes));
        // `Connection` names `Upgrade` itself, which has a rule of its own below.
        let has_a_rule = matches!(line.kind, Kind::Vital | Kind::Upgrade);
        if head.names_others && !has_a_rule && named(bytes, &head.lines, name) {
            continue;
        }
        let passed = match line.kind {
            Kind::Ordinary | Kind::Vital | Kind::Date => true,
            Kind::Upgrade => head.upgrade,
            Kind::Hop | Kind::Connection | Kind::Host | Kind::Length | Kind::Disguised => false,
            _ if !trusted => false,
            Kind::WhoAsked => true,
            Kind::Proto => {
                told.proto = true;
                true
            }
            Kind::ForwardedHost => {
                told.host = true;
                true
            }
            Kind::ForwardedPrefix => {
                told.prefix = Some(*line);
                false
            }
            Kind::For => {
                told.to = true;
                false
            }
            Kind::Forwarded => {
                told.forwarded = true;
                false
            }
            Kind::RequestId => {
                told.ids = told.ids.saturating_add(1);
                told.id = Some(*line);
                false
            }
        };
        if passed && line.kind == Kind::Vital && name.eq_ignore_ascii_case(b"cookie") {
            cookies(out, name, value);
        } else if passed {
            put(out, name, value);
        }
    }
    told
}

/// A line of cookies, without those that are the proxy's own: a preview's secret is no container's.
fn cookies(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let own = |pair: &[u8]| {
        let pair = pair.trim_ascii();
        is_own_cookie(pair.split(|byte| *byte == b'=').next().unwrap_or(pair))
    };
    if !value.split(|byte| *byte == b';').any(own) {
        return put(out, name, value);
    }
    let kept: Vec<&[u8]> =
        value.split(|byte| *byte == b';').filter(|pair| !own(pair)).map(<[u8]>::trim_ascii).collect();
    if !kept.is_empty() {
        put(out, name, &kept.join(&b"; "[..]));
    }
}

/// One line more in a head that was written.
pub(crate) fn one_more(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if out.ends_with(b"\r\n\r\n") {
        out.truncate(out.len() - 2);
        put(out, name, value);
        out.extend_from_slice(b"\r\n");
    }
}

/// Who asked, for which host.
fn who_asked(
    out: &mut Vec<u8>,
    bytes: &[u8],
    head: &Head,
    asker: &Asker,
    told: &Told,
    host: &[u8],
) -> std::ops::Range<usize> {
    // One list of several lines, and a further entry.
    let list = |out: &mut Vec<u8>, kind: Kind| {
        for line in head.lines.iter().filter(|line| line.kind == kind && !line.value.is_empty()) {
            out.extend_from_slice(line.value.of(bytes));
            out.extend_from_slice(b", ");
        }
    };
    out.extend_from_slice(b"X-Forwarded-For: ");
    if told.to {
        list(out, Kind::For);
    }
    out.extend_from_slice(asker.ip.as_bytes());
    out.extend_from_slice(b"\r\nForwarded: ");
    if told.forwarded {
        list(out, Kind::Forwarded);
    }
    out.extend_from_slice(asker.element.as_bytes());
    if host.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')) {
        out.extend_from_slice(b";host=");
        out.extend_from_slice(host);
    } else {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.push(b'"');
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(asker.scheme.as_bytes());
    out.extend_from_slice(b"\r\n");
    if !told.proto {
        put(out, b"X-Forwarded-Proto", asker.scheme.as_bytes());
    }
    if !told.host {
        put(out, b"X-Forwarded-Host", host);
    }
    let kept = told
        .id
        .map(|line| line.value.of(bytes))
        .filter(|id| told.ids == 1 && (1..=ID_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic));
    match kept {
        Some(id) => put(out, b"X-Request-Id", id),
        None => put(out, b"X-Request-Id", &request_id()),
    }
    let end = out.len() - 2;
    end - kept.map_or(32, <[u8]>::len)..end
}

/// How an answer goes to its client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goes {
    /// The client speaks HTTP/1.1.
    pub(crate) modern: bool,
    /// The connection goes on after it.
    pub(crate) keeps: bool,
    /// How its body is framed.
    pub(crate) body: Framed,
    /// For so many seconds the client is to ask over TLS only.
    pub(crate) hsts: Option<u64>,
}

/// How an answer's body is framed for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framed {
    /// There is none, nor a length of one.
    None,
    /// So many bytes; to HEAD, or in a 304, what there would be.
    Sized(u64),
    Chunked,
    /// Until the connection ends.
    Close,
}

/// Writes an answer's head.
pub(crate) fn answer(out: &mut Vec<u8>, bytes: &[u8], head: &AnswerHead, goes: Goes) {
    let Goes { modern, keeps, body, hsts } = goes;
    status_line(out, modern, head.status, head.reason.of(bytes));
    answer_lines(out, bytes, head);
    if let Some(seconds) = hsts {
        const NAME: &[u8] = b"Strict-Transport-Security";
        // The container may know better.
        if !head.lines.iter().any(|line| line.name.of(bytes).eq_ignore_ascii_case(NAME)) {
            put(out, NAME, format!("max-age={seconds}").as_bytes());
        }
    }
    if !head.dated {
        put(out, b"Date", &crate::date::now());
    }
    framing(out, body);
    connection(out, modern, keeps);
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim answer's head (103 and others), or that of one that changes the protocol.
pub(crate) fn interim(out: &mut Vec<u8>, bytes: &[u8], head: &AnswerHead) {
    status_line(out, true, head.status, head.reason.of(bytes));
    answer_lines(out, bytes, head);
    if head.status == 101 {
        put(out, b"Connection", b"upgrade");
    }
    out.extend_from_slice(b"\r\n");
}

/// `HTTP/1.1 200 OK`.
pub(crate) fn status_line(out: &mut Vec<u8>, modern: bool, status: u16, reason: &[u8]) {
    out.extend_from_slice(if modern { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
    out.extend([status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + u8::try_from(digit).unwrap_or(0)));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// How the body ends.
pub(crate) fn framing(out: &mut Vec<u8>, body: Framed) {
    match body {
        Framed::Sized(length) => number(out, b"Content-Length", length),
        Framed::Chunked => put(out, b"Transfer-Encoding", b"chunked"),
        Framed::None | Framed::Close => {}
    }
}

/// Whether the connection goes on, where the version does not say so.
pub(crate) fn connection(out: &mut Vec<u8>, modern: bool, keeps: bool) {
    match (modern, keeps) {
        (true, true) => {}
        (false, true) => put(out, b"Connection", b"keep-alive"),
        (_, false) => put(out, b"Connection", b"close"),
    }
}

fn answer_lines(out: &mut Vec<u8>, bytes: &[u8], head: &AnswerHead) {
    for line in &head.lines {
        let name = line.name.of(bytes);
        let passed = match line.kind {
            Kind::Hop | Kind::Connection | Kind::Length => false,
            Kind::Upgrade => head.status == 101,
            Kind::Vital => true,
            _ => !head.names_others || !named(bytes, &head.lines, name),
        };
        if passed {
            put(out, name, line.value.of(bytes));
        }
    }
}

/// Writes the trailers that are passed on. What would change what the message means is not: some servers take a trailer for
/// a header.
pub(crate) fn trailers(out: &mut Vec<u8>, bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        let Ok((name, value)) = head::name_and_value(line, 0) else { continue };
        let (name, value) = (name.of(line), value.of(line));
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let content = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
        let others = ["trailer", "expect", "range", "max-forwards", "cache-control", "set-cookie", "location"];
        if Kind::of(name) == Kind::Ordinary && !content && !others.into_iter().any(is) {
            put(out, name, value);
        } else {
            tracing::debug!(name = %String::from_utf8_lossy(name), "a trailer is none that is passed on");
        }
    }
}

fn number(out: &mut Vec<u8>, name: &[u8], number: u64) {
    let mut digits = [0; 20];
    let (mut rest, mut from) = (number, digits.len());
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        from = at;
        if rest == 0 {
            break;
        }
    }
    put(out, name, digits.get(from..).unwrap_or_default());
}

/// 32 hexadecimal digits, the same ones never again.
fn request_id() -> [u8; 32] {
    static START: OnceLock<(u64, u64)> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The hasher's keys are random in each process.
    let (high, low) = *START.get_or_init(|| (RandomState::new().hash_one(1), RandomState::new().hash_one(2)));
    let number = NEXT.fetch_add(1, Relaxed);
    let low = low.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let whole = u128::from(high) << 64 | u128::from(low);
    let mut shift = 128;
    [(); 32].map(|()| {
        shift -= 4;
        let digit = usize::try_from(whole >> shift & 15).unwrap_or(0);
        b"0123456789abcdef".get(digit).copied().unwrap_or(b'0')
    })
}

#[cfg(test)]
mod tests {
    use turnout_traffic::Protocol;

    use super::*;

    /// The lines of a request's head as a container gets them.
    fn written(text: &str, peer: IpAddr, trusted: bool) -> Vec<String> {
        let head = head::read(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        let listen: SocketAddr = ([if trusted { 127 } else { 0 }, 0, 0, 0], 80).into();
        let asker = Asker::new((peer, 5).into(), listen, "http", false);
        request(&mut out, text.as_bytes(), &head, &asker, &Route::new(listen, Protocol::Http, Vec::new()));
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\r\n\r\n"), "{text:?}");
        text.trim_end().split("\r\n").map(str::to_owned).collect()
    }

    fn value(lines: &[String], name: &str) -> String {
        let found = lines.iter().filter_map(|line| line.split_once(": ")).find(|(known, _)| *known == name);
        found.map_or("-".to_owned(), |(_, value)| value.to_owned())
    }

    #[test]
    fn what_concerns_one_connection_goes() {
        let text = concat!(
            "GET http://b?x HTTP/1.1\r\nConnection: keep-alive, X-One, host, cookie\r\nconnection: x-two\r\nKeep-Alive: 5\r\n",
            "TE: trailers\r\nProxy: evil\r\nX-One: 1\r\nx-two: 2\r\nX-Three:3 \r\nCookie: c\r\nHost: b\r\nUpgrade: x\r\n\r\n"
        );
        let lines = written(text, [127, 0, 0, 1].into(), false);
        assert_eq!(lines[..4], ["GET /?x HTTP/1.1", "Host: b", "X-Three: 3", "Cookie: c"]);
        assert_eq!(lines[lines.len() - 2..], ["TE: trailers", "Connection: te"]);
        assert_eq!(lines.len(), 11, "{lines:?}");
    }

    #[test]
    fn another_protocol_is_asked_for_whatever_else_is_of_the_connection() {
        let text = "GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nX-One: 1\r\nConnection: X-One, upgrade\r\n\r\n";
        let lines = written(text, [127, 0, 0, 1].into(), false);
        assert_eq!(lines[..3], ["GET / HTTP/1.1", "Host: b", "Upgrade: websocket"]);
        assert_eq!((value(&lines, "Connection"), value(&lines, "X-One")), ("upgrade".to_owned(), "-".to_owned()));
    }

    #[test]
    fn who_asked_is_made_anew_or_extended() {
        let text = concat!(
            "GET / HTTP/1.1\r\nHost: a:8080\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-For: 10.0.0.8\r\n",
            "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example.org\r\n",
            "Forwarded: for=10.0.0.9\r\nX-Real-IP: 10.0.0.9\r\nX-Request-Id: abc\r\n\r\n"
        );
        let names = [
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "X-Forwarded-Host",
            "Forwarded",
            "X-Real-IP",
            "X_Forwarded_For",
            "X-Request-Id",
        ];
        let trusted = written(text, [127, 0, 0, 1].into(), true);
        assert_eq!(
            names.map(|name| value(&trusted, name)),
            [
                "10.0.0.9, 10.0.0.8, 127.0.0.1",
                "https",
                "shop.example.org",
                "for=10.0.0.9, for=127.0.0.1;host=\"a:8080\";proto=http",
                "10.0.0.9",
                "-",
                "abc"
            ]
        );
        let other = written(text, [0, 0, 0, 0, 0, 0xffff, 0xc000, 0x207].into(), false);
        assert_eq!(
            names[..6].iter().map(|name| value(&other, name)).collect::<Vec<_>>(),
            ["192.0.2.7", "http", "a:8080", "for=192.0.2.7;host=\"a:8080\";proto=http", "-", "-"]
        );
        assert_eq!(value(&other, "X-Request-Id").len(), 32);
        assert_ne!(request_id(), request_id());
    }

    #[test]
    fn a_trailer_that_would_change_the_message_goes() {
        let mut out = Vec::new();
        let said = b"X-Sum: 1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: a\r\nCookie: c\r\nGrpc-Status: 0\r\n";
        trailers(&mut out, said);
        assert_eq!(String::from_utf8(out).unwrap(), "X-Sum: 1\r\nGrpc-Status: 0\r\n");
    }

    #[test]
    fn numbers() {
        for number in [0, 7, 10, 65_536, u64::MAX] {
            let mut out = Vec::new();
            super::number(&mut out, b"N", number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("N: {number}\r\n"));
        }
    }
}
