//! When a certificate is obtained: before the one that is there ends, and after a failure. Pure; times are seconds since 1970.

use std::time::Duration;

use crate::files::Record;

/// Pauses after failures, in seconds: at most five an hour, which is what Let's Encrypt allows for a host.
const PAUSES: [i64; 6] = [60, 300, 900, 1_800, 3_600, 7_200];
/// The longest one, from then on.
const LONGEST: i64 = 4 * 3_600;
/// The longest time that an authority may forbid: what is longer is a mistake.
const FORBIDDEN: i64 = 7 * 24 * 3_600;

/// How long a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// From when on.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// Of the certificate: spreads renewals, and stays the same over restarts.
    pub salt: u64,
}

impl Lifetime {
    /// When it is to be renewed: at two thirds, and up to a twentieth of its lifetime later.
    pub fn renewal(&self) -> i64 {
        let whole = self.to.saturating_sub(self.from).max(0);
        let later = i64::try_from(self.salt % 1_000).unwrap_or(0);
        // Thousandths: 667 to 717.
        self.from.saturating_add(whole.saturating_mul(666_700 + later * 50) / 1_000_000)
    }
}

/// When a host's certificate is to be obtained. `there`: the one that is used, if any.
pub fn at(there: Option<Lifetime>, record: &Record, directory: &str) -> i64 {
    let same = record.directory == directory;
    // One of another authority is replaced at once: that is why the settings were changed.
    let wanted = there.filter(|_| same).map_or(0, |there| there.renewal());
    if same { wanted.max(record.not_before) } else { wanted }
}

/// Keeps a failure in mind.
pub fn failed(record: &mut Record, now: i64, words: String, retry_after: Option<Duration>) {
    let pause = usize::try_from(record.failures).ok().and_then(|many| PAUSES.get(many)).copied().unwrap_or(LONGEST);
    record.failures = record.failures.saturating_add(1);
    let forbidden = retry_after.and_then(|time| i64::try_from(time.as_secs()).ok()).unwrap_or(0).clamp(0, FORBIDDEN);
    record.forbidden_until = now.saturating_add(forbidden);
    record.not_before = now.saturating_add(pause).max(record.forbidden_until);
    record.said = Some(words);
}

/// Somebody asks for another try: it may be made at once, but for what the authority forbids.
pub fn again(record: &mut Record) {
    record.not_before = record.forbidden_until;
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600;

    #[test]
    fn renewal_is_at_two_thirds_and_a_little_later() {
        for (salt, least, most) in [(0, 60, 61), (999, 64, 65), (1_500, 62, 63)] {
            let there = Lifetime { from: 1_000, to: 1_000 + 90 * DAY, salt };
            let days = (there.renewal() - 1_000) / DAY;
            assert!((least..most).contains(&days), "{salt}: {days}");
        }
        // Short lifetimes keep their third.
        assert_eq!(Lifetime { from: 0, to: 30, salt: 0 }.renewal(), 20);
        assert_eq!(Lifetime { from: 10, to: 0, salt: 7 }.renewal(), 10);
        assert!(Lifetime { from: i64::MAX - 1, to: i64::MAX, salt: 999 }.renewal() > 0);
    }

    #[test]
    fn failures_wait_longer_and_longer_and_the_authority_counts() {
        let mut record = Record { directory: "d".to_owned(), ..Record::default() };
        let mut waits = Vec::new();
        for _ in 0..8 {
            failed(&mut record, 1_000, "no".to_owned(), None);
            waits.push(at(None, &record, "d") - 1_000);
        }
        assert_eq!(waits, [60, 300, 900, 1_800, 3_600, 7_200, LONGEST, LONGEST]);
        again(&mut record);
        assert_eq!(at(None, &record, "d"), 1_000);
        for (asked, expected) in [(90_000, 90_000), (5, LONGEST), (u64::MAX, LONGEST), (90 * 24 * 3_600, FORBIDDEN)] {
            failed(&mut record, 1_000, "no".to_owned(), Some(Duration::from_secs(asked)));
            assert_eq!(at(None, &record, "d") - 1_000, expected, "{asked}");
        }
        again(&mut record);
        assert_eq!(at(None, &record, "d"), 1_000 + FORBIDDEN);
        // Another authority has forbidden nothing, and its certificate is not the one that is there.
        assert_eq!(at(Some(Lifetime { from: 0, to: DAY, salt: 0 }), &record, "other"), 0);
    }
}
