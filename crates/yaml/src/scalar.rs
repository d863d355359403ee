//! Types of plain scalars: the YAML 1.2 core schema with what Go's yaml.v3 adds, because that is how Compose reads.
//!
//! Additions: `0x` `0o` `0b` and leading-zero octal integers, `_` between digits, dates. `yes`, `no`, `on`, `off` and
//! `12:30` stay text.

use super::Value;

/// The value of a plain, untagged scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let Some(first) = text.bytes().next() else { return Value::Null };
    match first {
        b'.' if is_float(text) => float(text, text),
        // A fraction may have `_` between digits; elsewhere they are dropped wherever they stand.
        b'.' if text[1..].split('_').all(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())) => {
            float(&text.replace('_', ""), text)
        }
        b'0'..=b'9' | b'+' | b'-' => {
            if let Some(time) = timestamp(text) {
                return Value::Time(time);
            }
            let plain = text.replace('_', "");
            integer(&plain).unwrap_or_else(
                || {
                    if is_float(&plain) { float(&plain, text) } else { Value::Str(text.into()) }
                },
            )
        }
        _ => Value::Str(text.into()),
    }
}

/// Whether a plain scalar is text rather than another type.
pub fn reads_as_text(text: &str) -> bool {
    matches!(resolve(text), Value::Str(_))
}

/// An integer of any base, or `None`.
fn integer(plain: &str) -> Option<Value> {
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if body.is_empty() || !body.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(body, radix).ok()?;
    if negative {
        return i64::try_from(-i128::from(magnitude)).ok().map(Value::Int);
    }
    match i64::try_from(magnitude) {
        Ok(number) => Some(Value::Int(number)),
        // Go's unsigned numbers have no sign.
        Err(_) if plain.starts_with('+') => None,
        Err(_) => Some(Value::Uint(magnitude)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    mantissa_ok && exponent_ok
}

/// The number that `plain` means, or else the text as it was written.
fn float(plain: &str, text: &str) -> Value {
    match plain.parse::<f64>() {
        // Out of range is an error to Go, which then reads text.
        Ok(number) if number.is_finite() => Value::Float(number),
        _ => Value::Str(text.into()),
    }
}

/// The RFC 3339 form of a date or time as yaml.v3 recognises them, or `None`.
fn timestamp(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes.get(4) != Some(&b'-') || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (date, clock) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((text.as_bytes().get(at).copied(), &text[at + 1..]))),
        None => (text, None),
    };
    let mut parts = date.split('-').map(|p| if p.len() <= 4 { p.parse::<u32>().ok() } else { None });
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    let Some((separator, clock)) = clock else { return Some(format!("{date}T00:00:00Z")) };
    let (clock, zone) = match clock.find(['Z', '+', '-']) {
        // A blank between date and time goes without a zone.
        Some(_) if separator == Some(b' ') => return None,
        Some(at) => (&clock[..at], &clock[at..]),
        None if separator == Some(b' ') => (clock, "Z"),
        None => return None,
    };
    let zone_ok = zone == "Z"
        || (zone.len() == 6
            && zone.as_bytes().get(3) == Some(&b':')
            && zone.bytes().enumerate().all(|(i, b)| i == 0 || i == 3 || b.is_ascii_digit()));
    if !zone_ok {
        return None;
    }
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(c, f)| (c, Some(f)));
    let mut parts = clock.split(':').map(|p| if p.len() <= 2 { p.parse::<u32>().ok() } else { None });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match fraction {
        Some(f) if f.is_empty() || !f.bytes().all(|b| b.is_ascii_digit()) => return None,
        Some(f) if !f.trim_end_matches('0').is_empty() => format!(".{}", f.trim_end_matches('0')),
        _ => String::new(),
    };
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_typed_like_the_oracle_types_them() {
        let text = |s: &str| Value::Str(s.into());
        let time = |s: &str| Value::Time(s.into());
        for (given, want) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("NULL", Value::Null),
            ("nULL", text("nULL")),
            ("true", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
            ("yes", text("yes")),
            ("on", text("on")),
            ("n", text("n")),
            ("12", Value::Int(12)),
            ("-12", Value::Int(-12)),
            ("+12", Value::Int(12)),
            ("0", Value::Int(0)),
            ("017", Value::Int(15)),
            ("0o17", Value::Int(15)),
            ("0x1F", Value::Int(31)),
            ("-0x1F", Value::Int(-31)),
            ("0b101", Value::Int(5)),
            ("08", Value::Float(8.0)),
            ("1_000", Value::Int(1000)),
            ("12:30", text("12:30")),
            ("1.50", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("1.", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            ("1e", text("1e")),
            ("1e999", text("1e999")),
            ("1e99_9", text("1e99_9")),
            (".5_0", Value::Float(0.5)),
            ("._5", text("._5")),
            (".", text(".")),
            ("1.2.3", text("1.2.3")),
            ("-", text("-")),
            ("0x", text("0x")),
            ("12345678901234567890", Value::Uint(12_345_678_901_234_567_890)),
            ("0xFFFFFFFFFFFFFFFF", Value::Uint(u64::MAX)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("+9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("2024-01-01", time("2024-01-01T00:00:00Z")),
            ("2024-1-2", time("2024-01-02T00:00:00Z")),
            ("2024-01-01 10:00:00", time("2024-01-01T10:00:00Z")),
            ("2024-01-01T10:00:00.50+02:00", time("2024-01-01T10:00:00.5+02:00")),
            ("2024-02-30", text("2024-02-30")),
            ("2024-01-01-3", text("2024-01-01-3")),
            ("2024-01", text("2024-01")),
            ("é", text("é")),
        ] {
            assert_eq!(resolve(given), want, "{given:?}");
        }
        assert!(matches!(resolve(".nan"), Value::Float(f) if f.is_nan()));
    }
}
