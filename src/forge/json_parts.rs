//! Numbers and strings of a JSON text (RFC 8259, sections 6 and 7) that arrive in pieces.

use super::json_found::LONGEST;

/// How much of a number has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    pub(super) fn next(self, byte: u8) -> Option<Number> {
        use Number::{Digits, Exponent, Fraction, Minus, Point, Power, Sign, Zero};
        Some(match (self, byte) {
            (Minus, b'0') => Zero,
            (Minus | Digits, b'1'..=b'9') | (Digits, b'0') => Digits,
            (Zero | Digits, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Digits | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => Sign,
            (Exponent | Sign | Power, b'0'..=b'9') => Power,
            _ => return None,
        })
    }

    pub(super) fn may_end(self) -> bool {
        matches!(self, Number::Zero | Number::Digits | Number::Fraction | Number::Power)
    }
}

/// The string that is being read.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) is_name: bool,
    pub(super) keep: bool,
    pub(super) long: bool,
    pub(super) bytes: Vec<u8>,
    /// First half of a character that takes two `\u`.
    pub(super) high: Option<u16>,
}

impl Text {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if !self.keep {
            return;
        }
        self.settle();
        let room = LONGEST.saturating_sub(self.bytes.len());
        self.long |= bytes.len() > room;
        self.bytes.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }

    /// A `\u`: half of a character, or one.
    pub(super) fn take_unit(&mut self, unit: u16) {
        let both = [self.high.take().unwrap_or(unit), unit];
        let whole = if both[0] == unit { &both[1..] } else { &both[..] };
        if whole.len() == 1 && (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
            return;
        }
        for character in char::decode_utf16(whole.iter().copied()) {
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            self.take(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// A half without its other half is no character.
    pub(super) fn settle(&mut self) {
        if self.high.take().is_some() {
            self.take(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}
