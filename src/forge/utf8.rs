//! UTF-8 that arrives in pieces.

/// Checks UTF-8 piece by piece.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// A character that began in an earlier piece.
    begun: Vec<u8>,
}

impl Utf8 {
    /// The next piece. False where it is no UTF-8.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while let (false, Some((first, rest))) = (self.begun.is_empty(), bytes.split_first()) {
            self.begun.push(*first);
            bytes = rest;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                self.begun.extend_from_slice(bytes.get(error.valid_up_to()..).unwrap_or_default());
                true
            }
        }
    }

    /// Whether no character is begun.
    pub(super) fn is_whole(&self) -> bool {
        self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is told at once that a text is none, not only when it ends.
    #[test]
    fn pieces_are_judged_as_they_come() {
        for (pieces, good, whole) in [
            (&[&b""[..], b"ab"][..], true, true),
            (&["é".as_bytes(), "€😀".as_bytes()], true, true),
            (&[b"a\xc3", b"\xa9b"], true, true),
            (&[b"\xe2", b"\x82", b"\xac", b"\xf0", b"\x9f\x98", b"\x80a"], true, true),
            (&[b"\xe2", b"\x82"], true, false),
            (&[b"\xf0\x9f\x98", b"\x80\xf0\x9f"], true, false),
            (&[b"a\xff"], false, false),
            (&[b"\xc3", b"a"], false, false),
            (&[b"\xe2\x82", b"("], false, false),
            (&[b"\xa9"], false, false),
        ] {
            let mut utf8 = Utf8::default();
            let verdicts: Vec<bool> = pieces.iter().map(|piece| utf8.feed(piece)).collect();
            let (last, before) = verdicts.split_last().unwrap();
            assert!(before.iter().all(|verdict| *verdict) && *last == good, "{pieces:?}: {verdicts:?}");
            // Where it is none, nobody asks any more.
            assert!(!good || utf8.is_whole() == whole, "{pieces:?}");
        }
    }
}
