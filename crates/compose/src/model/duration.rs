//! Durations, read and written as Go does.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration in nanoseconds; JSON is Go text such as `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(pub i64);

impl Duration {
    /// As a standard duration; negative values become zero.
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// Whole seconds, truncated, as the engine's `StopTimeout` wants them.
    pub fn whole_seconds(self) -> i64 {
        self.0 / NANOS_PER_SECOND
    }

    /// Reads Go text, plus the units `d` (24 h) and `w` (7 d) that Compose files may use.
    ///
    /// A bare number is refused except `0`. The message of the error names the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text).map(Self)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let negative = self.0 < 0;
        let total = self.0.unsigned_abs();
        if total == 0 {
            return f.write_str("0s");
        }
        if negative {
            f.write_str("-")?;
        }
        let second = NANOS_PER_SECOND.unsigned_abs();
        if total < second {
            let (unit, name) = match total {
                0..1_000 => (1, "ns"),
                1_000..1_000_000 => (1_000, "µs"),
                _ => (1_000_000, "ms"),
            };
            return write!(f, "{}{name}", with_fraction(total, unit));
        }
        let minutes = total / (60 * second);
        let hours = minutes / 60;
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{}m", minutes % 60)?;
        }
        write!(f, "{}s", with_fraction(total % (60 * second), second))
    }
}

/// `value / unit` as a decimal without trailing zeros.
fn with_fraction(value: u64, unit: u64) -> String {
    let whole = value / unit;
    let rest = value % unit;
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or("")),
        Some(b'+') => (false, text.get(1..).unwrap_or("")),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut exact: i128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return Err(invalid()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 40 {
            return Err(invalid());
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        exact = whole.checked_mul(scale).and_then(|v| exact.checked_add(v)).ok_or_else(invalid)?;
        if !fraction.is_empty() {
            // Digits past the nanosecond of any unit carry no information; 20 keep the division within i128.
            let digits: String = fraction.chars().take(20).collect();
            let numerator: i128 = digits.parse().map_err(|_| invalid())?;
            let divisor = 10_i128.pow(u32::try_from(digits.len()).map_err(|_| invalid())?);
            exact = numerator
                .checked_mul(scale)
                .map(|v| v / divisor)
                .and_then(|v| exact.checked_add(v))
                .ok_or_else(invalid)?;
        }
        rest = after;
    }
    let value = i64::try_from(exact).map_err(|_| invalid())?;
    Ok(if negative { -value } else { value })
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_go_does() {
        for (text, printed) in [
            ("0", "0s"),
            ("1ns", "1ns"),
            ("1500us", "1.5ms"),
            ("1.5µs", "1.5µs"),
            ("90s", "1m30s"),
            ("1m30s", "1m30s"),
            ("1500ms", "1.5s"),
            ("2d", "48h0m0s"),
            ("1w", "168h0m0s"),
            (".5s", "500ms"),
            ("1h0.25s", "1h0m0.25s"),
            ("-1m", "-1m0s"),
        ] {
            assert_eq!(Duration::parse(text).map(|d| d.to_string()), Ok(printed.to_owned()), "{text}");
        }
        for text in ["", "10", "-", "1x", "s", ".s", "1..2s", "99999999999h", "1 s"] {
            assert!(Duration::parse(text).is_err(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_duration_reads_back(nanos in i64::MIN + 1..=i64::MAX) {
            let text = Duration(nanos).to_string();
            proptest::prop_assert_eq!(Duration::parse(&text), Ok(Duration(nanos)));
        }
    }
}
