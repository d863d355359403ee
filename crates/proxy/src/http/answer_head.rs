//! The head of a container's answer. Pure.
//!
//! Less strict than a request's, for it is written anew before a client sees it, and old servers are old: a bare LF ends a
//! line, and equal lengths are one. What could be understood in two ways is no answer.

use super::head::{self, Kind, Line, Span};

/// Bytes of a head.
pub(crate) const HEAD_BYTES: usize = 64 << 10;
/// Header lines of an answer.
const LINES: usize = 200;

/// How an answer's body ends, where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Sized(u64),
    Chunked,
    /// With the connection.
    Close,
}

/// What a head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnswerHead {
    /// Bytes of it.
    pub(crate) length: usize,
    pub(crate) status: u16,
    pub(crate) reason: Span,
    pub(crate) lines: Vec<Line>,
    pub(crate) framing: Framing,
    /// Whether the connection may go on after it.
    pub(crate) keeps: bool,
    /// `Connection` names other headers.
    pub(crate) names_others: bool,
    pub(crate) dated: bool,
}

/// What the bytes at hand are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Nothing whole. So many need not be looked at again.
    More(usize),
    Head(AnswerHead),
    Wrong(&'static str),
}

/// Reads a head; `seen` bytes were looked at before.
pub(crate) fn read(bytes: &[u8], seen: usize) -> Read {
    let mut at = seen;
    while let Some(found) = memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default()) {
        at += found;
        match bytes.get(at + 1..) {
            Some([b'\n', ..]) => return whole(bytes.get(..at + 2).unwrap_or_default()),
            Some([b'\r', b'\n', ..]) => return whole(bytes.get(..at + 3).unwrap_or_default()),
            Some([] | [b'\r']) | None => return More::at(at, bytes),
            Some(_) => at += 1,
        }
    }
    More::at(bytes.len(), bytes)
}

struct More;

impl More {
    fn at(at: usize, bytes: &[u8]) -> Read {
        // What does not begin as an answer does is not waited for.
        let start = bytes.get(..5).unwrap_or(bytes);
        match b"HTTP/".starts_with(start) {
            true if bytes.len() < HEAD_BYTES => Read::More(at),
            true => Read::Wrong("its head is larger than 64 KiB"),
            false => Read::Wrong("it does not begin with a version"),
        }
    }
}

fn whole(bytes: &[u8]) -> Read {
    parsed(bytes).map_or_else(Read::Wrong, Read::Head)
}

fn parsed(bytes: &[u8]) -> Result<AnswerHead, &'static str> {
    let mut at = 0;
    let mut next = || {
        let rest = bytes.get(at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        let begins = at;
        at += end + 1;
        (begins, line.strip_suffix(b"\r").unwrap_or(line))
    };
    let (modern, status, reason) = status_line(next().1)?;
    let mut lines = Vec::with_capacity(16);
    let (mut length, mut chunked, mut closes, mut keeps, mut names_others, mut dated) =
        (None, false, false, false, false, false);
    loop {
        let (begins, line) = next();
        if line.is_empty() {
            break;
        }
        if lines.len() >= LINES {
            return Err("its head has more than 200 headers");
        }
        let (name, value) = head::name_and_value(line, begins)?;
        let kind = Kind::of(name.of(bytes));
        let word = value.of(bytes);
        match kind {
            Kind::Length => {
                let number = head::length_of(word).ok_or("its Content-Length is no number")?;
                if length.replace(number).is_some_and(|other| other != number) {
                    return Err("it has two lengths");
                }
            }
            Kind::Connection => {
                for word in head::words(word) {
                    let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
                    match () {
                        () if is("close") => closes = true,
                        () if is("keep-alive") => keeps = true,
                        () if is("upgrade") => {}
                        () => names_others = true,
                    }
                }
            }
            Kind::Hop if name.of(bytes).eq_ignore_ascii_case(b"transfer-encoding") => {
                if chunked || !word.eq_ignore_ascii_case(b"chunked") {
                    return Err("its Transfer-Encoding is not `chunked`, once");
                }
                chunked = true;
            }
            Kind::Date => dated = true,
            _ => {}
        }
        lines.push(Line { name, value, kind });
    }
    let framing = match (chunked, length) {
        // A length beside it says nothing (RFC 9112, 6.3), and is not passed on.
        (true, _) => Framing::Chunked,
        (false, Some(length)) => Framing::Sized(length),
        (false, None) => Framing::Close,
    };
    let keeps = !closes && (modern || keeps) && !(chunked && length.is_some());
    Ok(AnswerHead { length: bytes.len(), status, reason, lines, framing, keeps, names_others, dated })
}

/// Whether it is HTTP/1.1, the status, and its reason.
fn status_line(line: &[u8]) -> Result<(bool, u16, Span), &'static str> {
    let modern = match line.get(..9) {
        Some(b"HTTP/1.1 ") => true,
        Some(b"HTTP/1.0 ") => false,
        _ => return Err("it begins with another version than HTTP/1.1 or HTTP/1.0"),
    };
    let status = match line.get(9..12) {
        Some([a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']) => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return Err("its status is no number of three digits"),
    };
    match line.get(12..) {
        None | Some([] | [b' ', ..]) => {}
        Some(_) => return Err("its status is no number of three digits"),
    }
    let reason = line.get(13..).unwrap_or_default();
    if !reason.iter().all(|byte| head::in_value(*byte)) {
        return Err("its reason has control characters");
    }
    Ok((modern, status, Span::new(13, line.len().max(13))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> AnswerHead {
        match read(text.as_bytes(), 0) {
            Read::Head(head) => head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn how_an_answer_ends() {
        for (lines, framing, keeps) in [
            ("HTTP/1.1 200 OK\r\n", Framing::Close, true),
            ("HTTP/1.1 200\r\nContent-Length: 3\r\n", Framing::Sized(3), true),
            ("HTTP/1.1 200 OK\nContent-Length: 3\nContent-Length: 3\n", Framing::Sized(3), true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nConnection: a, close\r\n", Framing::Chunked, false),
            // Whoever says both may mean either: its connection is used for nothing more.
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n", Framing::Chunked, false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n", Framing::Sized(3), false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n", Framing::Sized(3), true),
        ] {
            for end in ["\r\n", "\n"] {
                let text = format!("{lines}{end}rest");
                let head = head(&text);
                assert_eq!((head.framing, head.keeps), (framing, keeps), "{text:?}");
                assert_eq!(head.length, text.len() - 4, "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_no_answer() {
        for wrong in [
            "what?",
            "http/1.1 200 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 200 O\0K\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ] {
            assert!(matches!(read(wrong.as_bytes(), 0), Read::Wrong(_)), "{wrong:?}: {:?}", read(wrong.as_bytes(), 0));
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(HEAD_BYTES));
        assert_eq!(read(long.as_bytes(), 0), Read::Wrong("its head is larger than 64 KiB"));
    }

    #[test]
    fn how_bytes_arrive_changes_nothing() {
        for text in ["HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\nA: b\n\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            let mut seen = 0;
            for length in 0..text.len() {
                match read(&text.as_bytes()[..length], seen) {
                    Read::More(further) => seen = further,
                    other => panic!("{text:?}, {length}: {other:?}"),
                }
            }
            assert_eq!(read(text.as_bytes(), seen), Read::Head(head(text)));
        }
    }
}
