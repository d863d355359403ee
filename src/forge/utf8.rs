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
