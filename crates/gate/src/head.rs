//! The head of an answer.

/// Bytes of heads that are read; the proxy takes no larger ones either.
pub(crate) const BYTES: usize = 64 << 10;
/// Lines of a head: as many as hyper takes, through which the requests will go.
const LINES: usize = 100;

/// What the bytes that came are so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// The beginning of one.
    Begun,
    /// A whole one, with its status.
    Whole(u16),
    /// One that is too large for whoever will pass it on.
    TooLarge,
    /// Something that is no head of an HTTP answer.
    Other,
}

/// Reads what came. Answers that only announce another one (100 to 199, but for 101) are gone past.
pub(crate) fn read(mut bytes: &[u8]) -> Head {
    let whole = bytes.len();
    loop {
        let mut lines = [httparse::EMPTY_HEADER; LINES];
        let mut response = httparse::Response::new(&mut lines);
        match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => match response.code {
                Some(100 | 102..=199) => bytes = &bytes[length..],
                Some(status @ 101..=599) => return Head::Whole(status),
                _ => return Head::Other,
            },
            Ok(httparse::Status::Partial) if whole >= BYTES => return Head::TooLarge,
            Ok(httparse::Status::Partial) => return Head::Begun,
            Err(httparse::Error::TooManyHeaders) => return Head::TooLarge,
            Err(_) => return Head::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_told_from_what_is_none() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(BYTES));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(LINES + 1));
        let most = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(LINES));
        for (bytes, expected) in [
            ("", Head::Begun),
            ("H", Head::Begun),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", Head::Begun),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Head::Whole(200)),
            ("HTTP/1.0 502 Bad Gateway\r\n\r\n", Head::Whole(502)),
            ("HTTP/1.1 204\r\n\r\n", Head::Whole(204)),
            ("HTTP/1.1 100 Continue\r\n\r\n", Head::Begun),
            ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 302 Found\r\n\r\n", Head::Whole(302)),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Head::Whole(101)),
            ("HTTP/1.1 999 What\r\n\r\n", Head::Other),
            ("HTTP/1.1 099 What\r\n\r\n", Head::Other),
            ("HTTP/2 200\r\n\r\n", Head::Other),
            ("SSH-2.0-OpenSSH_9.2\r\n", Head::Other),
            ("220 mail.example.org ESMTP\r\n", Head::Other),
            ("\x15\x03\x01\0\x02\x02\x0a", Head::Other),
            ("<html>", Head::Other),
            (&long, Head::TooLarge),
            (&many, Head::TooLarge),
            (&most, Head::Whole(200)),
        ] {
            assert_eq!(read(bytes.as_bytes()), expected, "{:.60}", bytes);
        }
    }
}
