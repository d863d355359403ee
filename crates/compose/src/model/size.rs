//! Sizes in bytes, and numbers as Go reads them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::scalar::NumberOrText;

/// A size in bytes; JSON is a quoted decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub i64);

impl Bytes {
    /// Reads `512`, `64m`, `1.5gb`, `2GiB` (1024-based). A file gives a negative size as a number, not as text.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse_bytes(text).map(Self)
    }
}

fn parse_bytes(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size {text:?}");
    let number_end = text.rfind(|c: char| c.is_ascii_digit() || c == '.').map_or(0, |i| i + 1);
    let (number, suffix) = text.split_at(number_end);
    // One space may stand between number and unit.
    let suffix = suffix.strip_prefix(' ').unwrap_or(suffix);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let value = go_float(number).filter(|value| value.is_finite()).ok_or_else(invalid)?;
    let suffix = suffix.to_ascii_lowercase();
    let power = match suffix.as_str() {
        "" | "b" => 0,
        _ => {
            let (letter, tail) = suffix.split_at_checked(1).ok_or_else(invalid)?;
            if !matches!(tail, "" | "b" | "ib") {
                return Err(invalid());
            }
            match letter {
                "k" => 1,
                "m" => 2,
                "g" => 3,
                "t" => 4,
                "p" => 5,
                _ => return Err(invalid()),
            }
        }
    };
    if value < 0.0 {
        return Err(invalid());
    }
    let bytes = value * 1024_f64.powi(power);
    // What does not fit becomes the least number, as Go has it on amd64.
    if bytes >= 9_223_372_036_854_775_808.0 {
        return Ok(i64::MIN);
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded just above; Go truncates the same way")]
    let bytes = bytes as i64;
    Ok(bytes)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => Ok(Self(number)),
            NumberOrText::Text(text) => {
                text.parse().map_or_else(|_| Self::parse(&text), |number| Ok(Self(number))).map_err(de::Error::custom)
            }
        }
    }
}

/// Reads a number as Go's `ParseFloat` does: `_` between digits and hexadecimal floats are fine, overflow is not.
pub fn go_float(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let value = match digits.get(..2) {
        Some("0x" | "0X") => hexadecimal_float(digits.get(2..)?)?,
        _ if digits.starts_with(['+', '-']) => return None,
        _ => {
            let bytes = digits.as_bytes();
            let digit_at = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
            let separates =
                |(at, b): (usize, &u8)| *b != b'_' || (digit_at(at.checked_sub(1)) && digit_at(Some(at + 1)));
            if !bytes.iter().enumerate().all(separates) {
                return None;
            }
            let value: f64 = digits.replace('_', "").parse().ok()?;
            let named = digits.starts_with(['i', 'I']);
            (value.is_finite() || value.is_nan() || named).then_some(value)?
        }
    };
    Some(if negative { -value } else { value })
}

/// `1.8p3` = 1.5 * 2^3; the exponent is required.
fn hexadecimal_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if (whole.is_empty() && fraction.is_empty()) || mantissa.len() > 64 {
        return None;
    }
    let digit = |value: f64, character: char| Some(value * 16.0 + f64::from(character.to_digit(16)?));
    let value = whole.chars().chain(fraction.chars()).try_fold(0.0, digit)?;
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    Some(value * 2_f64.powi(shift)).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_go_units_does() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("2 kb", 2048),
            ("1_0m", 10 << 20),
            ("0x1p2m", 4 << 20),
            ("8388607t", 8_388_607 << 40),
            ("9999999999g", i64::MIN),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "m", "1x", "1mm", "-2", "1e400", "1__0m", "_1m", "0x10m", "+-1m", "-1"] {
            assert!(Bytes::parse(text).is_err(), "{text:?}");
        }
    }
}
