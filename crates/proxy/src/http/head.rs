//! The head of a request, read strictly (RFC 9112 where it says MUST, and its safest choice where it leaves one). Pure.

use super::refusal::Refusal;

/// Header lines of a request.
const LINES: usize = 100;
/// Bytes of a request line.
const REQUEST_LINE: usize = 8 << 10;
/// Digits of a length: no body is longer, and no parser's number overflows.
const LENGTH_DIGITS: usize = 18;

/// How a request's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Sized(u64),
    Chunked,
}

/// Where something stands in a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    from: u32,
    to: u32,
}

impl Span {
    pub(crate) fn new(from: usize, to: usize) -> Span {
        // Heads are far shorter.
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { from: narrow(from), to: narrow(to) }
    }

    /// What stands there.
    pub(crate) fn of(self, head: &[u8]) -> &[u8] {
        let wide = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        head.get(wide(self.from)..wide(self.to)).unwrap_or_default()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.from >= self.to
    }
}

/// A header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: Span,
    /// Without spaces around it.
    pub(crate) value: Span,
    pub(crate) kind: Kind,
}

/// What a header is to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Passed on, unless `Connection` names it.
    Ordinary,
    /// Passed on, whatever `Connection` says: the message would mean something else without it.
    Vital,
    /// Of one connection only.
    Hop,
    /// `Connection` itself, which names further headers that are of one connection only (RFC 9110, section 7.6.1).
    Connection,
    Host,
    Length,
    Date,
    Upgrade,
    /// Who asked: `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`, `Forwarded`, `X-Request-Id`, and others.
    For,
    Proto,
    ForwardedHost,
    ForwardedPrefix,
    Forwarded,
    RequestId,
    WhoAsked,
    /// One of these with `_` for `-`: a CGI program cannot tell them apart.
    Disguised,
}

impl Kind {
    /// Of a name; letters of either case.
    pub(crate) fn of(name: &[u8]) -> Kind {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.first().map(u8::to_ascii_lowercase) {
            Some(b'c') if is("connection") => Kind::Connection,
            Some(b'c') if is("content-length") => Kind::Length,
            Some(b'c') if is("content-type") || is("cookie") => Kind::Vital,
            Some(b'h') if is("host") => Kind::Host,
            Some(b'a') if is("authorization") => Kind::Vital,
            Some(b'd') if is("date") => Kind::Date,
            Some(b'u') if is("upgrade") => Kind::Upgrade,
            // RFC 9110, 7.6.1. `Proxy` becomes HTTP_PROXY in CGI programs.
            Some(b'k') if is("keep-alive") => Kind::Hop,
            Some(b'p') if is("proxy-connection") || is("proxy") => Kind::Hop,
            Some(b't') if is("te") || is("transfer-encoding") => Kind::Hop,
            Some(b'f') if is("forwarded") => Kind::Forwarded,
            Some(b'x') => Kind::of_x(name),
            _ => Kind::Ordinary,
        }
    }

    fn of_x(name: &[u8]) -> Kind {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if name.contains(&b'_') {
            let plain: Vec<u8> = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
            return if Kind::of_x(&plain) == Kind::Ordinary { Kind::Ordinary } else { Kind::Disguised };
        }
        let starts = name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"));
        match starts {
            true if is("x-forwarded-for") => Kind::For,
            true if is("x-forwarded-proto") => Kind::Proto,
            true if is("x-forwarded-host") => Kind::ForwardedHost,
            true if is("x-forwarded-prefix") => Kind::ForwardedPrefix,
            true => Kind::WhoAsked,
            false if is("x-request-id") => Kind::RequestId,
            false if is("x-real-ip") => Kind::WhoAsked,
            false => Kind::Ordinary,
        }
    }
}

/// What a head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of it.
    pub(crate) length: usize,
    pub(crate) method: Span,
    /// Path and query; empty where an absolute target has none.
    pub(crate) path: Span,
    /// Of an absolute target, else `Host`; empty where there is none.
    pub(crate) host: Span,
    pub(crate) lines: Vec<Line>,
    /// HTTP/1.1, not 1.0.
    pub(crate) modern: bool,
    pub(crate) body: Body,
    /// `Content-Length` stands there.
    pub(crate) length_said: bool,
    /// What comes after it may be another protocol.
    pub(crate) upgrade: bool,
    /// The body is sent when somebody asks for it.
    pub(crate) expects: bool,
    /// The client takes trailers.
    pub(crate) trailers: bool,
    /// Whether the connection may go on after the answer.
    pub(crate) keeps: bool,
    /// `Connection` names other headers.
    pub(crate) names_others: bool,
}

/// What bytes may be, by bits.
const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const HOST: u8 = 4;

const BYTES: [u8; 256] = {
    const fn among(byte: u8, list: &[u8]) -> bool {
        let mut at = 0;
        while at < list.len() {
            if list[at] == byte {
                return true;
            }
            at += 1;
        }
        false
    }
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        let mut bits = 0;
        if byte.is_ascii_alphanumeric() || among(byte, b"!#$%&'*+-.^_`|~") {
            bits |= TOKEN;
        }
        if matches!(byte, b'\t' | 0x20..=0x7e | 0x80..=0xff) {
            bits |= VALUE;
        }
        if byte.is_ascii_alphanumeric() || among(byte, b"-._~%:[]") {
            bits |= HOST;
        }
        table[byte as usize] = bits;
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    table
};

fn is(byte: u8, bit: u8) -> bool {
    BYTES.get(usize::from(byte)).is_some_and(|bits| bits & bit != 0)
}

/// Whether a byte may stand in a header's value.
pub(crate) fn in_value(byte: u8) -> bool {
    is(byte, VALUE)
}

/// Whether a byte may stand in a method, or in a header's name.
pub(crate) fn in_token(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// Whether a byte may stand in a host.
pub(crate) fn in_host(byte: u8) -> bool {
    is(byte, HOST)
}

const fn bad(reason: &'static str) -> Refusal {
    Refusal::new(400, reason)
}

/// The request line.
struct First {
    modern: bool,
    method: Span,
    path: Span,
    authority: Option<Span>,
}

fn request_line(line: &[u8]) -> Result<First, Refusal> {
    if line.len() > REQUEST_LINE {
        return Err(Refusal::new(414, "the request line is longer than 8 KiB"));
    }
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad("the request line is not a method, a target and a version with one space between each"));
    };
    if method.is_empty() || !method.iter().all(|byte| in_token(*byte)) {
        return Err(bad("the method has characters that none may have"));
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) || target.contains(&b'#') {
        return Err(bad("the target has characters that must be percent-encoded"));
    }
    let modern = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        other if other.starts_with(b"HTTP/") => {
            return Err(Refusal::new(505, "the version is not HTTP/1.1 or HTTP/1.0"));
        }
        _ => return Err(bad("the request line does not end with a version")),
    };
    if method == b"CONNECT" {
        return Err(Refusal::new(405, "CONNECT is not served here: this is no forward proxy"));
    }
    let from = method.len() + 1;
    let to = from + target.len();
    let first = First { modern, method: Span::new(0, method.len()), path: Span::new(from, to), authority: None };
    match target {
        [b'/', ..] => return Ok(first),
        b"*" if method == b"OPTIONS" => return Ok(first),
        _ => {}
    }
    let scheme = [b"http://".as_slice(), b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let Some(scheme) = scheme else { return Err(bad("the target is neither a path nor an http address")) };
    let begins = from + scheme.len();
    let rest = target.get(scheme.len()..).unwrap_or_default();
    let ends = begins + rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Ok(First { path: Span::new(ends, to), authority: Some(Span::new(begins, ends)), ..first })
}

/// What is collected from header lines.
#[derive(Default)]
struct Found {
    lines: Vec<Line>,
    host: Option<Span>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    asks_upgrade: bool,
    expects: bool,
    trailers: bool,
    closes: bool,
    keeps: bool,
    names_others: bool,
}

/// A line's name and value, which begins at `at`.
pub(crate) fn name_and_value(line: &[u8], at: usize) -> Result<(Span, Span), &'static str> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err("a header is continued on the next line");
    }
    let colon = line.iter().position(|byte| !in_token(*byte));
    match colon.and_then(|colon| line.get(colon)) {
        Some(b':') if colon != Some(0) => {}
        None => return Err("a header line has no colon"),
        Some(_) => {
            return Err("a header's name has characters that none may have; a space before the colon is one");
        }
    }
    let colon = colon.unwrap_or_default();
    let value = line.get(colon + 1..).unwrap_or_default();
    if !value.iter().all(|byte| in_value(*byte)) {
        return Err("a header's value has control characters");
    }
    let space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = value.iter().position(|byte| !space(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !space(byte)).map_or(from, |last| last + 1);
    let begins = at + colon + 1;
    Ok((Span::new(at, at + colon), Span::new(begins + from, begins + to)))
}

/// The words of a list, without spaces around them.
pub(crate) fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

/// Digits only, and few enough.
pub(crate) fn length_of(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.len() <= LENGTH_DIGITS && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

impl Found {
    /// The line that begins at `at`.
    fn line(&mut self, bytes: &[u8], line: &[u8], at: usize) -> Result<(), Refusal> {
        let (name, value) = name_and_value(line, at).map_err(bad)?;
        let kind = Kind::of(name.of(bytes));
        self.lines.push(Line { name, value, kind });
        let word = value.of(bytes);
        match kind {
            Kind::Host => {
                if word.is_empty() || !word.iter().all(|byte| in_host(*byte)) {
                    return Err(bad("Host is no host"));
                }
                if self.host.replace(value).is_some() {
                    return Err(bad("Host stands there twice"));
                }
            }
            Kind::Length => {
                let number = length_of(word).ok_or(bad("Content-Length is no number"))?;
                if self.length.replace(number).is_some() {
                    return Err(bad("Content-Length stands there twice"));
                }
            }
            Kind::Upgrade => self.upgrade = !word.is_empty(),
            Kind::Connection => {
                for word in words(word) {
                    let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
                    match () {
                        () if is("upgrade") => self.asks_upgrade = true,
                        () if is("close") => self.closes = true,
                        () if is("keep-alive") => self.keeps = true,
                        () if is("te") => {}
                        () => self.names_others = true,
                    }
                }
            }
            Kind::Hop if name.of(bytes).eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !word.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::new(501, "only `Transfer-Encoding: chunked`, once, is understood"));
                }
                self.chunked = true;
            }
            Kind::Hop if name.of(bytes).eq_ignore_ascii_case(b"te") => {
                self.trailers |= words(word).any(|word| word.eq_ignore_ascii_case(b"trailers"));
            }
            Kind::Ordinary if name.of(bytes).eq_ignore_ascii_case(b"expect") => {
                if !word.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::new(417, "only `Expect: 100-continue` is understood"));
                }
                self.expects = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Reads a whole head, empty line included; its lines end with CR LF, and it has no other CR or LF.
pub(crate) fn read(bytes: &[u8]) -> Result<Head, Refusal> {
    let mut at = 0;
    let mut next = || {
        let rest = bytes.get(at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        let begins = at;
        at += end + 1;
        (begins, line.strip_suffix(b"\r").unwrap_or(line))
    };
    let First { modern, method, path, authority } = request_line(next().1)?;
    let mut found = Found { lines: Vec::with_capacity(16), ..Found::default() };
    loop {
        let (begins, line) = next();
        if line.is_empty() {
            break;
        }
        if found.lines.len() >= LINES {
            return Err(Refusal::new(431, "the head has more than 100 headers"));
        }
        found.line(bytes, line, begins)?;
    }
    let Found { lines, host, length, chunked, upgrade, asks_upgrade, expects, trailers, closes, keeps, names_others } =
        found;
    match (host, authority) {
        (None, _) if modern => return Err(bad("Host is missing")),
        (Some(host), Some(authority)) if !host.of(bytes).eq_ignore_ascii_case(authority.of(bytes)) => {
            return Err(bad("Host is another host than the target's"));
        }
        (_, Some(authority)) if authority.is_empty() || !authority.of(bytes).iter().all(|byte| in_host(*byte)) => {
            return Err(bad("the target has no host"));
        }
        _ => {}
    }
    let body = match (length, chunked) {
        (Some(_), true) => return Err(bad("Content-Length stands beside Transfer-Encoding")),
        (_, true) if !modern => return Err(bad("HTTP/1.0 has no Transfer-Encoding")),
        (_, true) => Body::Chunked,
        (None | Some(0), false) => Body::None,
        (Some(length), false) => Body::Sized(length),
    };
    Ok(Head {
        length: bytes.len(),
        method,
        path,
        host: authority.or(host).unwrap_or_default(),
        lines,
        modern,
        body,
        length_said: length.is_some(),
        // A request with a body that asks for another protocol is answered in this one.
        upgrade: upgrade && asks_upgrade && modern && body == Body::None,
        expects: expects && modern && body != Body::None,
        trailers,
        keeps: !closes && (modern || keeps),
        names_others,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> u16 {
        read(head.as_bytes()).map_or_else(|refusal| refusal.status, |_| 200)
    }

    #[test]
    fn request_lines() {
        for (line, expected) in [
            ("GET / HTTP/1.1", 200),
            ("GET http://a/x HTTP/1.1", 200),
            ("GET HTTP://A?x HTTP/1.1", 200),
            ("OPTIONS * HTTP/1.1", 200),
            ("GET * HTTP/1.1", 400),
            ("GET http://b/ HTTP/1.1", 400),
            ("GET http://u@a/ HTTP/1.1", 400),
            ("GET ftp://a/ HTTP/1.1", 400),
            ("GET a HTTP/1.1", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
            ("GET\t/ HTTP/1.1", 400),
            ("GET /", 400),
            ("GET /\u{e4} HTTP/1.1", 400),
            ("GET /#x HTTP/1.1", 400),
            ("G@T / HTTP/1.1", 400),
            ("GET / HTTP/2.0", 505),
            ("GET / http/1.1", 400),
            ("CONNECT a:80 HTTP/1.1", 405),
        ] {
            assert_eq!(status(&format!("{line}\r\nHost: a\r\n\r\n")), expected, "{line}");
        }
    }

    #[test]
    fn what_a_head_says_of_its_body() {
        for (lines, expected) in [
            ("", Body::None),
            ("Content-Length: 0\r\n", Body::None),
            ("content-length:\t12 \r\n", Body::Sized(12)),
            ("TRANSFER-ENCODING: Chunked\r\n", Body::Chunked),
        ] {
            let head = read(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes());
            assert_eq!(head.map(|head| head.body), Ok(expected), "{lines}");
        }
    }
}
