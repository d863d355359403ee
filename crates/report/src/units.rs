//! Durations and sizes as people write and read them.

use std::time::Duration;

/// Longest duration taken from a configuration: ten years. Anything above is a slip.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Reads `10s`, `5m`, `1h30m`, `500ms`, `2d` or `0`. A bare number other than zero has no unit and is refused.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write it like 500ms, 10s, 5m, 1h30m or 2d");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        total = number
            .checked_mul(millis)
            .and_then(|millis| total.checked_add(Duration::from_millis(millis)))
            .ok_or_else(wrong)?;
        rest = tail;
    }
    if total > LONGEST {
        return Err(format!("`{text}` is longer than ten years"));
    }
    Ok(total)
}

/// Reads `26214400`, `512k`, `25MiB`, `26MB`, `1g`. `k`, `m`, `g` and `KiB`… count in 1024s, `kB`, `MB`, `GB` in 1000s.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write it like 26214400, 512KiB, 25MiB or 1g");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// A size as people read it: `12.3 MB`, in 1000s as Docker shows sizes.
pub fn shown(bytes: u64) -> String {
    let mut unit = ("B", 1_u64);
    for next in [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)] {
        if bytes >= next.1 {
            unit = next;
        }
    }
    let (name, factor) = unit;
    let tenths = u128::from(bytes) * 10 / u128::from(factor);
    if factor == 1 || tenths >= 1000 {
        format!("{} {name}", tenths / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// A duration in words, in the largest unit that it is a whole number of: `24 h`, `90 s`. What is left of a second is left out.
pub fn words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 3_600 && seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_whole_units() {
        for (seconds, said) in
            [(86_400, "24 h"), (5_400, "90 min"), (90, "90 s"), (60, "1 min"), (59, "59 s"), (0, "0 s")]
        {
            assert_eq!(words(Duration::from_secs(seconds)), said);
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("0", Some(0)),
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("10", None),
            ("", None),
            ("-1s", None),
            ("s", None),
            ("1x", None),
            ("99999999999999999999s", None),
            ("9000000d", None),
        ] {
            assert_eq!(duration(text).ok(), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn shown_sizes() {
        let shown = [0, 999, 1_000, 12_345_678, 999_999_999, 1_500_000_000, u64::MAX].map(shown);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "12.3 MB", "999 MB", "1.5 GB", "18446744 TB"]);
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("26214400", Some(26_214_400)),
            ("25MiB", Some(26_214_400)),
            ("26MB", Some(26_000_000)),
            ("512k", Some(524_288)),
            ("1 g", Some(1 << 30)),
            ("", None),
            ("MB", None),
            ("1tb", None),
            ("99999999999g", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }
}
