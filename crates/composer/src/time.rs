//! Moments as `--since` and `--until` name them.

use anyhow::{Context as _, bail};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::session::now;

/// Seconds since the Unix epoch of an RFC 3339 time (also without zone or time of day, then UTC), of a number of
/// seconds, or of a span back from now such as `1h30m`.
///
/// # Errors
/// When the text is none of these.
pub(super) fn moment(text: &str) -> anyhow::Result<i32> {
    let seconds = if let Ok(seconds) = text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates; the narrowing below complains")]
        let whole = seconds as i64;
        whole
    } else if let Some(span) = span(text) {
        now().saturating_sub(span)
    } else {
        let whole = match text.len() {
            10 => format!("{text}T00:00:00Z"),
            16 => format!("{text}:00Z"),
            19 => format!("{text}Z"),
            _ => text.to_owned(),
        };
        match OffsetDateTime::parse(&whole, &Rfc3339) {
            Ok(time) => time.unix_timestamp(),
            Err(_) => {
                bail!("{text:?} is no moment: write 2026-01-02T03:04:05Z, seconds since 1970, or a span such as 10m")
            }
        }
    };
    i32::try_from(seconds).with_context(|| format!("{text:?} is too far away"))
}

/// Seconds of `1h30m`, `45s`, `1.5h`.
fn span(text: &str) -> Option<i64> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = next;
    }
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
    Some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, seconds) in [
            ("1700000000", Some(1_700_000_000)),
            ("1700000000.5", Some(1_700_000_000)),
            ("2026-01-02T03:04:05Z", Some(1_767_323_045)),
            ("2026-01-02T03:04:05", Some(1_767_323_045)),
            ("2026-01-02", Some(1_767_312_000)),
            ("yesterday", None),
            ("5x", None),
        ] {
            assert_eq!(moment(text).ok(), seconds, "{text}");
        }
        assert_eq!(span("1h30m"), Some(5_400));
        assert_eq!(span("1.5m"), Some(90));
    }
}
