//! HTTP/2 frame by frame (RFC 9113, 4): what a sound library would not send.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::Client;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags: of SETTINGS and PING an answer, of HEADERS and DATA the end of the stream.
pub(crate) const ACK: u8 = 1;
pub(crate) const END: u8 = 1;
/// The end of the header block.
pub(crate) const WHOLE: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITIZED: u8 = 32;

/// `PRI * HTTP/2.0`, and what belongs to it.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it goes over the wire (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn number(out: &mut Vec<u8>, number: usize) {
    if number < 127 {
        return out.push(u8::try_from(number).unwrap());
    }
    out.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

/// A header block (RFC 7541): each line as it is, remembered by nobody.
pub(crate) fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in lines {
        out.push(0);
        for text in [name, value] {
            number(&mut out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// A request's block.
pub(crate) fn asks<'a>(path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<u8> {
    let mut lines = vec![(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)];
    lines.extend_from_slice(more);
    block(&lines)
}

/// A request without a body.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END | WHOLE, stream, &asks(path, &[]))
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error of RST_STREAM, and of GOAWAY.
    pub(crate) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// An answer's status, where it is one of the table (RFC 7541, appendix A), or stands there in digits.
    pub(crate) fn status(&self) -> u16 {
        // A change of the table's size may come first.
        let block = match self.payload.as_slice() {
            [32..=63, rest @ ..] => rest,
            all => all,
        };
        match block {
            [byte @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)],
            [0x08 | 0x48, 3, a, b, c, ..] => String::from_utf8(vec![*a, *b, *c]).unwrap().parse().unwrap(),
            _ => 0,
        }
    }
}

/// A connection on which anything can be said.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// One that has begun as it should.
    pub(crate) fn to(listen: SocketAddr) -> Raw {
        let mut raw = Raw::new(listen);
        raw.says(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        raw
    }

    pub(crate) fn new(listen: SocketAddr) -> Raw {
        let Client(stream) = Client::to(listen);
        stream.set_nodelay(true).unwrap();
        Raw(stream)
    }

    /// What is said after the other end has left is lost, which is no fault here.
    pub(crate) fn says(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Says the same again and again; whether the other end took all of it. Else it has left, or takes nothing.
    pub(crate) fn floods(&mut self, bytes: &[u8], times: usize) -> bool {
        self.0.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        (0..times).all(|_| self.0.write_all(bytes).is_ok())
    }

    pub(crate) fn next(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap()];
        self.0.read_exact(&mut payload)?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// What comes of this kind next.
    pub(crate) fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().unwrap();
            assert!(frame.kind == kind || frame.kind != GOAWAY, "{frame:?}");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// How the connection ended: with which error, if it was told.
    pub(crate) fn goes_away(&mut self) -> Option<u32> {
        let mut told = None;
        while let Ok(frame) = self.next() {
            if frame.kind == GOAWAY {
                told = Some(frame.error());
            }
        }
        told
    }
}
