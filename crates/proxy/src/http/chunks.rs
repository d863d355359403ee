//! The frames of a body in chunks, strictly. Pure: bytes in, what they are out.

use super::head;

/// Bytes of one line that frames a chunk, extensions included.
const CHUNK_LINE: usize = 256;
/// Bytes of a body's trailers.
const TRAILER_BYTES: usize = 8 << 10;

/// What the first bytes at hand are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// So many frame what comes after them.
    Frame(usize),
    /// So many are data.
    Data(usize),
    /// So many frame it, and the body has ended with them.
    End(usize),
    /// They are no chunk.
    Wrong(&'static str),
}

/// Follows one body.
#[derive(Debug)]
pub(crate) struct Chunks {
    at: At,
    /// Whether spaces may stand after a size: old servers pad theirs.
    padded: bool,
    trailers: Vec<u8>,
}

/// Where in a body.
#[derive(Debug, Clone, Copy)]
enum At {
    /// In the line with the size: digits so far, their value, bytes of the line, what may follow.
    Size {
        digits: u8,
        size: u64,
        line: usize,
        after: After,
    },
    /// After its CR.
    SizeEnd {
        size: u64,
    },
    Data(u64),
    DataCr,
    DataLf,
    /// In the trailers; `line` bytes of this line, `colon`: its name has ended.
    Trailer {
        line: usize,
        colon: bool,
    },
    /// After a CR; `last`: the line was empty.
    TrailerLf {
        last: bool,
    },
    /// Nothing is a chunk any more.
    Wrong(&'static str),
}

/// What has come after the digits of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    Spaces,
    Extension,
}

const SIZE: At = At::Size { digits: 0, size: 0, line: 0, after: After::Nothing };

impl Chunks {
    /// Of a client.
    pub(crate) fn strict() -> Chunks {
        Chunks { at: SIZE, padded: false, trailers: Vec::new() }
    }

    /// Of a container.
    pub(crate) fn padded() -> Chunks {
        Chunks { padded: true, ..Chunks::strict() }
    }

    /// What followed the last chunk: whole header lines.
    pub(crate) fn trailers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.trailers)
    }

    /// How many bytes of data come next; none, where a frame does.
    pub(crate) fn data(&self) -> u64 {
        if let At::Data(left) = self.at { left } else { 0 }
    }

    /// What the first of these bytes are, which begin where the last step ended; there is one at least.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Piece {
        if let At::Data(left) = &mut self.at {
            let length = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
            *left -= u64::try_from(length).unwrap_or(0);
            if *left == 0 {
                self.at = At::DataCr;
            }
            return Piece::Data(length);
        }
        for (at, byte) in bytes.iter().enumerate() {
            let next = match self.at {
                At::Data(_) => return Piece::Frame(at),
                At::Wrong(reason) => return Piece::Wrong(reason),
                At::Size { .. } => self.size(*byte),
                At::SizeEnd { size } => match (byte, size) {
                    (b'\n', 0) => Ok(At::Trailer { line: 0, colon: false }),
                    (b'\n', size) => Ok(At::Data(size)),
                    _ => Err("a CR without LF after the size of a chunk"),
                },
                At::DataCr if *byte == b'\r' => Ok(At::DataLf),
                At::DataLf if *byte == b'\n' => Ok(SIZE),
                At::DataCr | At::DataLf => Err("a chunk is longer than its size says"),
                At::Trailer { line, colon } => self.trailer(*byte, line, colon),
                At::TrailerLf { last: true } if *byte == b'\n' => return Piece::End(at + 1),
                At::TrailerLf { .. } if *byte == b'\n' => {
                    self.trailers.extend_from_slice(b"\r\n");
                    Ok(At::Trailer { line: 0, colon: false })
                }
                At::TrailerLf { .. } => Err("a CR without LF in the trailers"),
            };
            match next {
                Ok(next) => self.at = next,
                Err(reason) => {
                    self.at = At::Wrong(reason);
                    return Piece::Wrong(reason);
                }
            }
        }
        Piece::Frame(bytes.len())
    }

    fn size(&self, byte: u8) -> Result<At, &'static str> {
        let At::Size { digits, size, line, after } = self.at else { return Ok(self.at) };
        if line >= CHUNK_LINE {
            return Err("the line before a chunk is too long");
        }
        let line = line + 1;
        let went = |after| Ok(At::Size { digits, size, line, after });
        match (byte, after) {
            (b'\r', _) if digits > 0 => Ok(At::SizeEnd { size }),
            (b'\t' | 0x20..=0x7e, After::Extension) => went(After::Extension),
            (b';', _) if digits > 0 => went(After::Extension),
            (b' ' | b'\t', _) if digits > 0 && self.padded => went(After::Spaces),
            (_, After::Nothing) => match char::from(byte).to_digit(16) {
                // Fifteen digits are more than any body has, and no parser's overflow.
                Some(value) if digits < 15 => {
                    Ok(At::Size { digits: digits + 1, size: size << 4 | u64::from(value), line, after })
                }
                Some(_) => Err("the size of a chunk is too large"),
                None => Err("the size of a chunk is no number"),
            },
            _ => Err("the size of a chunk is no number"),
        }
    }

    fn trailer(&mut self, byte: u8, line: usize, colon: bool) -> Result<At, &'static str> {
        if self.trailers.len() >= TRAILER_BYTES {
            return Err("the trailers are larger than 8 KiB");
        }
        let next = match byte {
            b'\r' if line == 0 || colon => return Ok(At::TrailerLf { last: line == 0 }),
            b':' if line > 0 => At::Trailer { line: line + 1, colon: true },
            byte if colon && head::in_value(byte) || !colon && head::in_token(byte) => {
                At::Trailer { line: line + 1, colon }
            }
            _ => return Err("a trailer is no header"),
        };
        self.trailers.push(byte);
        Ok(next)
    }
}
