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

/// What a head says of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of it.
    pub(crate) length: usize,
    pub(crate) body: Body,
    /// What comes after it may be another protocol.
    pub(crate) upgrade: bool,
    /// The body is sent when somebody asks for it.
    pub(crate) expects: bool,
}

/// Whether a byte may stand in a header's value.
pub(crate) fn in_value(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..=0xff)
}

/// Whether a byte may stand in a method, or in a header's name.
pub(crate) fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a byte may stand in a host.
fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(&byte)
}

const fn bad(reason: &'static str) -> Refusal {
    Refusal::new(400, reason)
}

/// The request line: its version's last digit, and the authority of an absolute target.
fn request_line(line: &[u8]) -> Result<(bool, Option<&[u8]>), Refusal> {
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
    let absolute = |scheme: &[u8]| {
        let start = target.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme));
        start.and(target.get(scheme.len()..))
    };
    match target {
        [b'/', ..] => Ok((modern, None)),
        b"*" if method == b"OPTIONS" => Ok((modern, None)),
        _ => match absolute(b"http://").or_else(|| absolute(b"https://")) {
            Some(rest) => {
                let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
                Ok((modern, rest.get(..end)))
            }
            None => Err(bad("the target is neither a path nor an http address")),
        },
    }
}

fn trimmed(value: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = value.iter().position(|byte| !space(byte)).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !space(byte)).map_or(from, |at| at + 1);
    value.get(from..to).unwrap_or_default()
}

/// What is collected from header lines.
#[derive(Default)]
struct Found<'h> {
    host: Option<&'h [u8]>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    asks_upgrade: bool,
    expects: bool,
}

impl<'h> Found<'h> {
    fn line(&mut self, line: &'h [u8]) -> Result<(), Refusal> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(bad("a header is continued on the next line"));
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err(bad("a header line has no colon"));
        };
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().all(|byte| in_token(*byte)) {
            return Err(bad("a header's name has characters that none may have; a space before the colon is one"));
        }
        let value = trimmed(value.get(1..).unwrap_or_default());
        if !value.iter().all(|byte| in_value(*byte)) {
            return Err(bad("a header's value has control characters"));
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if value.is_empty() || !value.iter().all(|byte| in_host(*byte)) {
                    return Err(bad("Host is no host"));
                }
                if self.host.replace(value).is_some() {
                    return Err(bad("Host stands there twice"));
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let digits = !value.is_empty() && value.len() <= LENGTH_DIGITS && value.iter().all(u8::is_ascii_digit);
                let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
                let number = number.ok_or(bad("Content-Length is no number"))?;
                if self.length.replace(number).is_some() {
                    return Err(bad("Content-Length stands there twice"));
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::new(501, "only `Transfer-Encoding: chunked`, once, is understood"));
                }
                self.chunked = true;
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = !value.is_empty(),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                let words = value.split(|byte| *byte == b',');
                self.asks_upgrade |= words.into_iter().any(|word| trimmed(word).eq_ignore_ascii_case(b"upgrade"));
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
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
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (modern, authority) = request_line(lines.next().unwrap_or_default())?;
    let mut found = Found::default();
    for (number, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        if number >= LINES {
            return Err(Refusal::new(431, "the head has more than 100 headers"));
        }
        found.line(line)?;
    }
    let Found { host, length, chunked, upgrade, asks_upgrade, expects } = found;
    match (host, authority) {
        (None, _) if modern => return Err(bad("Host is missing")),
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
            return Err(bad("Host is another host than the target's"));
        }
        (_, Some(authority)) if authority.is_empty() || !authority.iter().all(|byte| in_host(*byte)) => {
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
    // A request with a body that asks for another protocol is answered in this one.
    let upgrade = upgrade && asks_upgrade && modern && body == Body::None;
    Ok(Head { length: bytes.len(), body, upgrade, expects: expects && modern && body != Body::None })
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
