//! What of a client's bytes is a request, strictly. Pure: bytes in, decisions out.
//!
//! hyper is lenient where others are (it takes a bare LF for the end of a line, folds two equal lengths into one, and drops
//! a length that stands beside `chunked`), and what two parsers understand differently is how a request is smuggled in. So
//! nothing reaches hyper that this has not understood first, and in one way only. Where a request ends is decided here.

use super::{
    head::{self, Body, Head},
    refusal::Refusal,
};

/// Bytes of a head, request line and empty line included.
pub(crate) const HEAD_BYTES: usize = 32 << 10;
/// Bytes of one line that frames a chunk, extensions included.
const CHUNK_LINE: usize = 256;
/// Bytes of a chunked body's trailers.
const TRAILER_BYTES: usize = 8 << 10;

/// What is to be done with the bytes at hand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, before there are more.
    More,
    /// The first so many are of no use.
    Skip(usize),
    /// The first so many are a whole head.
    Head(usize, Head),
    /// The first so many belong to the body.
    Body(usize),
    /// What is there is no head. Nothing after it is looked at.
    Refuse(Refusal),
    /// What is there is no body. Nothing after it is looked at.
    Broken(Refusal),
    /// Whether the next bytes are HTTP is decided by the answer.
    Undecided,
}

/// Follows one connection's requests.
#[derive(Debug)]
pub(crate) struct Guard {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between requests, or in a head of which `seen` bytes were looked at.
    Head {
        seen: usize,
        blank: bool,
    },
    Sized(u64),
    Chunked(Chunk),
    Undecided,
    /// Nothing is a request any more.
    Done,
}

/// Where in a chunked body.
#[derive(Debug, Clone, Copy)]
enum Chunk {
    /// In the line with the size: digits so far, their value, bytes of the line, whether an extension began.
    Size {
        digits: u8,
        size: u64,
        line: usize,
        extension: bool,
    },
    /// After its CR.
    SizeEnd {
        size: u64,
    },
    Data(u64),
    DataCr,
    DataLf,
    /// In the trailers, `total` bytes of them; `line` bytes of this line, `colon`: its name has ended.
    Trailer {
        total: usize,
        line: usize,
        colon: bool,
    },
    /// After a CR; `last`: the line was empty.
    TrailerLf {
        total: usize,
        last: bool,
    },
}

const SIZE: Chunk = Chunk::Size { digits: 0, size: 0, line: 0, extension: false };

impl Guard {
    pub(crate) fn new() -> Guard {
        Guard { state: State::Head { seen: 0, blank: false } }
    }

    /// Whether a request's head is what comes next, or is under way.
    pub(crate) fn in_head(&self) -> bool {
        matches!(self.state, State::Head { .. })
    }

    /// Whether nothing is looked at any more.
    pub(crate) fn done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The answer was no upgrade: what follows is HTTP.
    pub(crate) fn go_on(&mut self) {
        if matches!(self.state, State::Undecided) {
            self.state = State::Head { seen: 0, blank: false };
        }
    }

    /// Looks at nothing any more.
    pub(crate) fn end(&mut self) {
        self.state = State::Done;
    }

    /// What to do with these bytes, which begin where the last step ended.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Step {
        match &mut self.state {
            State::Done => Step::Skip(bytes.len()),
            State::Undecided => Step::Undecided,
            _ if bytes.is_empty() => Step::More,
            State::Head { .. } => self.head(bytes),
            State::Sized(left) => {
                let length = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= u64::try_from(length).unwrap_or(0);
                if *left == 0 {
                    self.state = State::Head { seen: 0, blank: false };
                }
                Step::Body(length)
            }
            State::Chunked(chunk) => {
                let (length, outcome) = chunk.walk(bytes);
                match outcome {
                    Walked::On => Step::Body(length),
                    Walked::End => {
                        self.state = State::Head { seen: 0, blank: false };
                        Step::Body(length)
                    }
                    Walked::Wrong(reason) => {
                        self.state = State::Done;
                        Step::Broken(Refusal::new(400, reason))
                    }
                }
            }
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Step {
        let State::Head { seen, blank } = &mut self.state else { return Step::More };
        // One empty line before a request is tolerated, as RFC 9112 asks: old clients end a body with one.
        if *seen <= 1 && !*blank && bytes.starts_with(b"\r\n") {
            (*seen, *blank) = (0, true);
            return Step::Skip(2);
        }
        let from = *seen;
        for (at, byte) in bytes.iter().enumerate().skip(from) {
            match byte {
                b'\n' => {
                    if at == 0 || bytes.get(at - 1) != Some(&b'\r') {
                        return self.refuse(Refusal::new(400, "a line of the head ends with a bare LF"));
                    }
                    if at >= 3 && bytes.get(at - 3..=at) == Some(b"\r\n\r\n") {
                        return self.whole(bytes, at + 1);
                    }
                }
                _ if at > 0 && bytes.get(at - 1) == Some(&b'\r') => {
                    return self.refuse(Refusal::new(400, "a CR without LF in the head"));
                }
                b'\r' | b'\t' | 0x20..=0x7e | 0x80..=0xff => {}
                _ => return self.refuse(Refusal::new(400, "a control character in the head")),
            }
            if at + 1 >= HEAD_BYTES {
                return self.refuse(Refusal::new(431, "the head is larger than 32 KiB"));
            }
        }
        *seen = bytes.len();
        Step::More
    }

    fn whole(&mut self, bytes: &[u8], length: usize) -> Step {
        let read = bytes.get(..length).ok_or(Refusal::new(400, "no head")).and_then(head::read);
        match read {
            Err(refusal) => self.refuse(refusal),
            Ok(head) => {
                self.state = match head.body {
                    _ if head.upgrade => State::Undecided,
                    Body::None => State::Head { seen: 0, blank: false },
                    Body::Sized(length) => State::Sized(length),
                    Body::Chunked => State::Chunked(SIZE),
                };
                Step::Head(length, head)
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Step {
        self.state = State::Done;
        Step::Refuse(refusal)
    }
}

enum Walked {
    On,
    End,
    Wrong(&'static str),
}

impl Chunk {
    /// Walks over what is framed rightly; how far, and why no further.
    fn walk(&mut self, bytes: &[u8]) -> (usize, Walked) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let next = match *self {
                Chunk::Data(left) => {
                    let rest = bytes.len() - at;
                    let length = usize::try_from(left).map_or(rest, |left| left.min(rest));
                    at += length;
                    let left = left - u64::try_from(length).unwrap_or(0);
                    *self = if left == 0 { Chunk::DataCr } else { Chunk::Data(left) };
                    continue;
                }
                Chunk::Size { .. } => self.size(byte),
                Chunk::SizeEnd { size } => match (byte, size) {
                    (b'\n', 0) => Ok(Chunk::Trailer { total: 0, line: 0, colon: false }),
                    (b'\n', size) => Ok(Chunk::Data(size)),
                    _ => Err("a CR without LF after the size of a chunk"),
                },
                Chunk::DataCr if byte == b'\r' => Ok(Chunk::DataLf),
                Chunk::DataLf if byte == b'\n' => Ok(SIZE),
                Chunk::DataCr | Chunk::DataLf => Err("a chunk is longer than its size says"),
                Chunk::Trailer { .. } => self.trailer(byte),
                Chunk::TrailerLf { last: true, .. } if byte == b'\n' => return (at + 1, Walked::End),
                Chunk::TrailerLf { total, .. } if byte == b'\n' => Ok(Chunk::Trailer { total, line: 0, colon: false }),
                Chunk::TrailerLf { .. } => Err("a CR without LF in the trailers"),
            };
            match next {
                Ok(next) => *self = next,
                // What was right before it may go on; it is no end of a body.
                Err(reason) => return (at, Walked::Wrong(reason)),
            }
            at += 1;
        }
        (at, Walked::On)
    }

    fn size(self, byte: u8) -> Result<Chunk, &'static str> {
        let Chunk::Size { digits, size, line, extension } = self else { return Ok(self) };
        if line >= CHUNK_LINE {
            return Err("the line before a chunk is too long");
        }
        let line = line + 1;
        match byte {
            b'\r' if digits > 0 => Ok(Chunk::SizeEnd { size }),
            b';' if digits > 0 => Ok(Chunk::Size { digits, size, line, extension: true }),
            b'\t' | 0x20..=0x7e if extension => Ok(Chunk::Size { digits, size, line, extension }),
            _ => match char::from(byte).to_digit(16) {
                // Fifteen digits are more than any body has, and no parser's overflow.
                Some(value) if digits < 15 => {
                    Ok(Chunk::Size { digits: digits + 1, size: size << 4 | u64::from(value), line, extension })
                }
                Some(_) => Err("the size of a chunk is too large"),
                None => Err("the size of a chunk is no number"),
            },
        }
    }

    fn trailer(self, byte: u8) -> Result<Chunk, &'static str> {
        let Chunk::Trailer { total, line, colon } = self else { return Ok(self) };
        let total = total + 1;
        if total > TRAILER_BYTES {
            return Err("the trailers are larger than 8 KiB");
        }
        match byte {
            b'\r' if line == 0 || colon => Ok(Chunk::TrailerLf { total, last: line == 0 }),
            b':' if line > 0 => Ok(Chunk::Trailer { total, line: line + 1, colon: true }),
            byte if colon && head::in_value(byte) || !colon && head::in_token(byte) => {
                Ok(Chunk::Trailer { total, line: line + 1, colon })
            }
            _ => Err("a trailer is no header"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All decisions about these bytes, which come `at_once` at a time, until one is final.
    fn walked(bytes: &[u8], at_once: usize) -> (usize, Vec<String>) {
        let (mut guard, mut from, mut to, mut said) = (Guard::new(), 0, 0, Vec::new());
        loop {
            match guard.step(&bytes[from..to]) {
                Step::More if to == bytes.len() => return (from, said),
                Step::More => to = (to + at_once).min(bytes.len()),
                Step::Skip(length) => from += length,
                Step::Head(length, head) => {
                    from += length;
                    said.push(format!("{:?}", head.body));
                }
                Step::Body(length) => from += length,
                Step::Refuse(Refusal { status, .. }) => {
                    said.push(status.to_string());
                    return (from, said);
                }
                Step::Broken(_) => {
                    said.push("broken".to_owned());
                    return (from, said);
                }
                Step::Undecided => {
                    said.push("undecided".to_owned());
                    return (from, said);
                }
            }
        }
    }

    fn check(text: &str, expected: &[&str]) {
        for at_once in [1, 2, 7, text.len()] {
            let (_, said) = walked(text.as_bytes(), at_once);
            assert_eq!(said, expected, "{text:?}, {at_once} at once");
        }
    }

    #[test]
    fn requests_end_where_they_say() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &["None", "None"]);
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &["Sized(3)", "None"],
        );
        check(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &["Chunked", "None"],
        );
        check("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz", &["None", "undecided"]);
    }

    #[test]
    fn chunks_that_are_none_break_the_body() {
        for wrong in [
            "\r\n",
            "g\r\n",
            "+5\r\n",
            "-1\r\n",
            " 5\r\n",
            "0x5\r\n",
            "5 \r\n",
            "5\n",
            "5\r5",
            "5\r\nabcdeX",
            "5\r\nabcde\n",
            "10000000000000000\r\n",
            "0\r\nA b: c\r\n",
            "0\r\n: c\r\n",
            "0\r\n b: c\r\n",
            "0\r\nA: b\n",
            "0\r\nA: \0\r\n",
            "5;\x01\r\n",
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{wrong}");
            check(&text, &["Chunked", "broken"]);
        }
    }

    #[test]
    fn a_head_has_bounds() {
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "x".repeat(HEAD_BYTES));
        check(&long, &["431"]);
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(200));
        check(&many, &["431"]);
    }

    #[test]
    fn how_bytes_arrive_changes_nothing() {
        const PIECES: [&str; 16] = [
            "GET / HTTP/1.1\r\n",
            "POST / HTTP/1.1\r\n",
            "Host: a\r\n",
            "Content-Length: 3\r\n",
            "Content-Length: 0\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Upgrade: x\r\nConnection: upgrade\r\n",
            "\r\n",
            "\r\n",
            "abc",
            "3\r\nabc\r\n",
            "0\r\n",
            "0\r\n\r\n",
            "\n",
            "\r",
            "A : b\r\n",
        ];
        let (mut seed, mut whole) = (0x9e37_79b9_7f4a_7c15_u64, 0);
        for _ in 0..50_000 {
            let mut text = String::new();
            // Many begin as requests do: else few would come further than their first line.
            let good = seed % 3;
            if good > 0 {
                text.push_str("POST / HTTP/1.1\r\nHost: a\r\n");
            }
            for _ in 0..8 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                text.push_str(PIECES[usize::try_from(seed % 16).unwrap()]);
            }
            let at_once = walked(text.as_bytes(), text.len());
            whole += at_once.1.iter().filter(|said| !said.starts_with('4')).count();
            for length in [1, 3] {
                assert_eq!(walked(text.as_bytes(), length).1, at_once.1, "{text:?}, {length} at once");
            }
        }
        assert!(whole > 5_000, "{whole}");
    }
}
