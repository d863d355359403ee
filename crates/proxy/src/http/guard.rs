//! What of a client's bytes is a request, strictly. Pure: bytes in, decisions out.
//!
//! Many servers are lenient (they take a bare LF for the end of a line, fold two equal lengths into one, or drop a length that
//! stands beside `chunked`), and what two parsers understand differently is how a request is smuggled in. So nothing reaches a
//! container that this has not understood first, and in one way only. Where a request ends is decided here.

use super::{
    chunks::{Chunks, Piece},
    head::{self, Body, Head},
    refusal::Refusal,
};

/// Bytes of a head, request line and empty line included.
pub(crate) const HEAD_BYTES: usize = 32 << 10;

/// What is to be done with the bytes at hand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing, before there are more.
    More,
    /// The first so many are of no use, or frame what is.
    Skip(usize),
    /// The first so many are a whole head.
    Head(usize, Head),
    /// The first so many are data of the body.
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
    state: Part,
    trailers: Vec<u8>,
}

#[derive(Debug)]
enum Part {
    /// Between requests, or in a head of which `seen` bytes were looked at.
    Head {
        seen: usize,
        blank: bool,
    },
    Sized(u64),
    Chunked(Chunks),
    Undecided,
    /// Nothing is a request any more.
    Done,
}

impl Guard {
    pub(crate) fn new() -> Guard {
        Guard { state: Part::Head { seen: 0, blank: false }, trailers: Vec::new() }
    }

    /// Whether a request's head is what comes next, or is under way: no body is.
    pub(crate) fn is_between(&self) -> bool {
        matches!(self.state, Part::Head { .. })
    }

    /// The answer was no upgrade: what follows is HTTP.
    pub(crate) fn go_on(&mut self) {
        if matches!(self.state, Part::Undecided) {
            self.state = Part::Head { seen: 0, blank: false };
        }
    }

    /// What to do with these bytes, which begin where the last step ended.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Step {
        match &mut self.state {
            Part::Done => Step::Skip(bytes.len()),
            Part::Undecided => Step::Undecided,
            _ if bytes.is_empty() => Step::More,
            Part::Head { .. } => self.head(bytes),
            Part::Sized(left) => {
                let length = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= u64::try_from(length).unwrap_or(0);
                if *left == 0 {
                    self.state = Part::Head { seen: 0, blank: false };
                }
                Step::Body(length)
            }
            Part::Chunked(chunks) => match chunks.step(bytes) {
                Piece::Frame(length) => Step::Skip(length),
                Piece::Data(length) => Step::Body(length),
                Piece::End(length) => {
                    self.trailers = chunks.trailers();
                    self.state = Part::Head { seen: 0, blank: false };
                    Step::Skip(length)
                }
                Piece::Wrong(reason) => {
                    self.state = Part::Done;
                    Step::Broken(Refusal::new(400, reason))
                }
            },
        }
    }

    /// What followed a body in chunks: whole header lines.
    pub(crate) fn trailers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.trailers)
    }

    fn head(&mut self, bytes: &[u8]) -> Step {
        let Part::Head { seen, blank } = &mut self.state else { return Step::More };
        // One empty line before a request is tolerated, as RFC 9112 asks: old clients end a body with one.
        if *seen <= 1 && !*blank && bytes.starts_with(b"\r\n") {
            (*seen, *blank) = (0, true);
            return Step::Skip(2);
        }
        let mut at = *seen;
        while let Some(byte) = bytes.get(at) {
            if at >= HEAD_BYTES {
                return self.refuse(Refusal::new(431, "the head is larger than 32 KiB"));
            }
            match byte {
                b'\r' => match bytes.get(at + 1) {
                    // Looked at again when more has come.
                    None => break,
                    Some(b'\n') if at >= 2 && bytes.get(at - 2..at) == Some(b"\r\n") => {
                        return self.whole(bytes, at + 2);
                    }
                    Some(b'\n') => at += 2,
                    Some(_) => return self.refuse(Refusal::new(400, "a CR without LF in the head")),
                },
                b'\n' => return self.refuse(Refusal::new(400, "a line of the head ends with a bare LF")),
                byte if head::in_value(*byte) => at += 1,
                _ => return self.refuse(Refusal::new(400, "a control character in the head")),
            }
        }
        *seen = at;
        Step::More
    }

    fn whole(&mut self, bytes: &[u8], length: usize) -> Step {
        let read = bytes.get(..length).ok_or(Refusal::new(400, "no head")).and_then(head::read);
        match read {
            Err(refusal) => self.refuse(refusal),
            Ok(head) => {
                self.state = match head.body {
                    _ if head.upgrade => Part::Undecided,
                    Body::None => Part::Head { seen: 0, blank: false },
                    Body::Sized(length) => Part::Sized(length),
                    Body::Chunked => Part::Chunked(Chunks::strict()),
                };
                Step::Head(length, head)
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Step {
        self.state = Part::Done;
        Step::Refuse(refusal)
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
