//! The time as HTTP writes it (RFC 9110, 5.6.7), and as logs do.

use std::{
    cell::Cell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) type Date = [u8; 29];

thread_local! {
    /// Answers of one second have one date.
    static LAST: Cell<(u64, Date)> = const { Cell::new((u64::MAX, [0; 29])) };
}

/// The time of now.
pub(crate) fn now() -> Date {
    #[expect(clippy::disallowed_methods, reason = "what the headers say")]
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (second, date) = LAST.get();
    if second == seconds {
        return date;
    }
    let date = written(seconds);
    LAST.set((seconds, date));
    date
}

/// `29/Nov/2026:08:49:37 +0000`, as the combined log has it.
pub(crate) fn log(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    format!("{day:02}/{}/{year:04}:{} +0000", name(&MONTHS, month - 1), time_of_day(seconds))
}

/// In the form of RFC 3339, to the microsecond: `2026-11-29T08:49:37.123456Z`.
pub(crate) fn rfc3339(since: Duration) -> String {
    let seconds = since.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}T{}.{:06}Z", time_of_day(seconds), since.subsec_micros())
}

fn time_of_day(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn name(names: &[&'static str], at: u64) -> &'static str {
    usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
}

fn written(seconds: u64) -> Date {
    let days = seconds / 86_400;
    let (year, month, day) = civil(days);
    let (weekday, month) = (name(&DAYS, days % 7), name(&MONTHS, month - 1));
    let text = format!("{weekday}, {day:02} {month} {year:04} {} GMT", time_of_day(seconds));
    text.as_bytes().try_into().unwrap_or([b' '; 29])
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + u64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            assert_eq!(String::from_utf8(written(seconds).to_vec()).unwrap(), expected);
        }
        assert_eq!(log(784_111_777), "06/Nov/1994:08:49:37 +0000");
        assert_eq!(rfc3339(Duration::from_micros(951_782_400_000_007)), "2000-02-29T00:00:00.000007Z");
    }
}
