//! When a certificate is obtained: before the one that is there ends, and after a failure. Pure; times are seconds since 1970.

use std::time::Duration;

use crate::record::Record;

/// Pauses after failures, in seconds: at most five an hour, which is what Let's Encrypt allows for a host.
const PAUSES: [i64; 6] = [60, 300, 900, 1_800, 3_600, 7_200];
/// The longest one, from then on.
const LONGEST: i64 = 4 * 3_600;
/// Orders within [`WINDOW`]: of one host, and of all. Let's Encrypt takes 300 of an account in three hours, and five failures of a host
/// in one.
const OF_ONE: usize = 5;
const OF_ALL: usize = 60;
/// The window of [`OF_ALL`], in seconds.
const WINDOW: i64 = 3_600;
/// The longest time that an authority may forbid: what is longer is a mistake.
const FORBIDDEN: i64 = 7 * 24 * 3_600;

/// How long a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// `notBefore`, in seconds since 1970.
    pub from: i64,
    /// `notAfter`, in seconds since 1970.
    pub to: i64,
    /// Of the certificate: spreads renewals, and stays the same over restarts.
    pub salt: u64,
}

impl Lifetime {
    /// When it is to be renewed: before a third of its lifetime is left, up to a twentieth of it earlier.
    pub fn renewal(&self) -> i64 {
        let whole = self.to.saturating_sub(self.from).max(0);
        let earlier = i64::try_from(self.salt % 1_000).unwrap_or(0);
        // Thousandths: 616 to 666.
        self.from.saturating_add(whole.saturating_mul(666_600 - earlier * 50) / 1_000_000)
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

/// An order that was made: when, and for which host.
pub type Ordered = (i64, String);

/// Writes down that another order is made, if one more may be.
///
/// # Errors
/// In how many seconds one may.
pub fn order(made: &mut Vec<Ordered>, host: &str, now: i64) -> Result<(), i64> {
    // What is said to be later than now is of a clock that was set: it counts from now on.
    made.iter_mut().for_each(|(at, _)| *at = (*at).min(now));
    made.retain(|(at, _)| now - at < WINDOW);
    let of_one: Vec<i64> = made.iter().filter(|(_, of)| of == host).map(|(at, _)| *at).collect();
    let of_all: Vec<i64> = made.iter().map(|(at, _)| *at).collect();
    let frees = |times: Vec<i64>, most: usize| {
        let full = times.len() >= most;
        full.then(|| times.into_iter().min()).flatten().map(|first| first + WINDOW - now)
    };
    match frees(of_one, OF_ONE).max(frees(of_all, OF_ALL)) {
        Some(seconds) => Err(seconds),
        None => {
            made.push((now, host.to_owned()));
            Ok(())
        }
    }
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
    fn renewal_is_before_a_third_is_left() {
        for (salt, least, most) in [(0, 59, 60), (999, 55, 56), (1_500, 57, 58)] {
            let there = Lifetime { from: 1_000, to: 1_000 + 90 * DAY, salt };
            let days = (there.renewal() - 1_000) / DAY;
            assert!((least..most).contains(&days), "{salt}: {days}");
        }
        // Short lifetimes keep their third.
        assert_eq!(Lifetime { from: 0, to: 30, salt: 0 }.renewal(), 19);
        assert_eq!(Lifetime { from: 10, to: 0, salt: 7 }.renewal(), 10);
        assert!(Lifetime { from: i64::MAX - 1, to: i64::MAX, salt: 999 }.renewal() > 0);
    }

    #[test]
    fn orders_are_bounded_of_a_host_and_of_all() {
        let mut made = Vec::new();
        for second in 0..5 {
            assert_eq!(order(&mut made, "a", 1_000 + second), Ok(()));
        }
        assert_eq!(order(&mut made, "a", 1_010), Err(3_590));
        assert_eq!(order(&mut made, "b", 1_010), Ok(()));
        assert_eq!(order(&mut made, "a", 1_000 + WINDOW), Ok(()));
        assert_eq!(order(&mut made, "a", 1_000 + WINDOW), Err(1));
        for host in 0..OF_ALL {
            let _ = order(&mut made, &host.to_string(), 1_020);
        }
        assert_eq!((made.len(), order(&mut made, "new", 1_020)), (OF_ALL, Err(3_581)));
        // A clock that was set back keeps nobody waiting for longer than the window.
        assert_eq!(order(&mut made, "new", 10), Err(WINDOW));
        assert!(order(&mut made, "new", 10 + WINDOW).is_ok() && made.len() == 1);
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
