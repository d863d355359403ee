//! Whether a colour answers worse than another one, from what a proxy has counted of both. Numbers in, a verdict with its figures
//! out: who counts, when that is read, and what follows from a verdict is decided elsewhere.
//!
//! ```text
//! two readings ──► Counts::since ──► judge ──► Looks::seen ──► so many in a row: the reason to go back
//! ```

use serde::{Deserialize, Serialize};

pub use crate::switch::said::{Rules, TIMES};

/// These classes, and one for what took longer than all of them.
const CLASSES: usize = TIMES.len() + 1;
/// A whole, in hundredths of a percent.
const WHOLE: u64 = 10_000;

/// What was counted of a colour in some time, or since its proxy began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests of which it is known what came of them. Those that are under way are none.
    pub ended: u64,
    /// Of these, those that failed: answered with 5xx, by the proxy in the colour's place (502, 503, 504), or broken off.
    pub failed: u64,
    /// Answers by their time, as the proxy counts them.
    pub times: [u64; CLASSES],
}

impl Counts {
    /// What came since an earlier reading; `None` where counts fell: they began anew, and the earlier reading is worth nothing.
    #[must_use]
    pub fn since(&self, before: &Counts) -> Option<Counts> {
        let mut times = [0; CLASSES];
        for (class, (now, then)) in times.iter_mut().zip(self.times.iter().zip(&before.times)) {
            *class = now.checked_sub(*then)?;
        }
        let (ended, failed) = (self.ended.checked_sub(before.ended)?, self.failed.checked_sub(before.failed)?);
        Some(Counts { ended, failed, times })
    }

    /// Those of two routes together.
    #[must_use]
    pub fn and(&self, other: &Counts) -> Counts {
        let mut times = self.times;
        for (class, more) in times.iter_mut().zip(&other.times) {
            *class = class.saturating_add(*more);
        }
        let (ended, failed) = (self.ended.saturating_add(other.ended), self.failed.saturating_add(other.failed));
        Counts { ended, failed, times }
    }

    /// The share that failed, in hundredths of a percent; `None`: there was no request.
    pub fn share_failed(&self) -> Option<u64> {
        share(self.failed, self.ended)
    }

    /// Up to when so many percent of the answers had begun, in milliseconds: the upper end of the class. `None`: there was no answer,
    /// or it took longer than all classes.
    pub fn within(&self, percent: u64) -> Option<u64> {
        let all: u128 = self.times.iter().map(|count| u128::from(*count)).sum();
        let mut so_far = 0;
        let reached = self.times.iter().position(|count| {
            so_far += u128::from(*count);
            so_far > 0 && so_far * 100 >= all * u128::from(percent)
        });
        reached.and_then(|class| TIMES.get(class).copied())
    }

    /// Answers, and those of them that took longer than one of [`TIMES`].
    fn later_than(&self, millis: u64) -> (u64, u64) {
        let sum = |classes: &[u64]| classes.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let in_time = TIMES.partition_point(|end| *end <= millis);
        (sum(self.times.get(in_time..).unwrap_or_default()), sum(&self.times))
    }
}

/// In hundredths of a percent.
fn share(part: u64, whole: u64) -> Option<u64> {
    let share = u128::from(part.min(whole)) * u128::from(WHOLE) / u128::from(whole.max(1));
    (whole > 0).then(|| u64::try_from(share).unwrap_or(WHOLE))
}

/// What a colour is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other<'a> {
    /// What was counted of it.
    pub counts: &'a Counts,
    /// When, or of whom, as it ends "of 4,100 requests": `before`, `of blueshop meanwhile`.
    pub which: &'a str,
}

/// What one look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Too few requests came to say anything.
    TooFew,
    /// Nothing speaks against it.
    Fine,
    /// It is worse: the figures, in words.
    Worse(String),
}

/// Judges a colour by what came of its requests, and of those of another one. Where that one had too few to be compared with, the
/// bounds alone count.
pub fn judge(rules: &Rules, now: &Counts, other: Other<'_>) -> Verdict {
    let least = rules.min_requests.max(1);
    if now.ended < least {
        return Verdict::TooFew;
    }
    let known = other.counts.ended >= least;
    let failed = (now.failed.min(now.ended), now.ended);
    let before = known.then(|| (other.counts.failed.min(other.counts.ended), other.counts.ended));
    if exceeds(failed, rules.errors, before, rules.times_before) {
        return Verdict::Worse(format!("5xx or no answer {}", compared(failed, before, other.which)));
    }
    for (time, allowed) in [(rules.p50, 50), (rules.p99, 1)] {
        let Some(time) = time else { continue };
        let (late, before) = (now.later_than(time), known.then(|| other.counts.later_than(time)));
        if exceeds(late, allowed * WHOLE / 100, before, rules.times_before) {
            return Verdict::Worse(format!(
                "answers later than {time} ms: {} (p{} is to be no more)",
                compared(late, before, other.which),
                100 - allowed
            ));
        }
    }
    Verdict::Fine
}

/// Whether a part of a whole is more than is let pass, and more than so many times that of the other one.
fn exceeds((part, whole): (u64, u64), allowed: u64, other: Option<(u64, u64)>, times: u64) -> bool {
    // A product of two counts fits, and one of three may not.
    let wide = u128::from;
    let over = wide(part) * wide(WHOLE) > wide(allowed) * wide(whole);
    let as_before =
        other.is_some_and(|(its, all)| wide(part) * wide(all) <= (wide(its) * wide(whole)).saturating_mul(wide(times)));
    over && !as_before
}

/// `12.3 % of 310 requests, 0.2 % of 4,100 before`.
fn compared((part, whole): (u64, u64), other: Option<(u64, u64)>, which: &str) -> String {
    let shown = |part, whole| percent(share(part, whole).unwrap_or_default());
    let beside = match other {
        Some((part, whole)) => format!("{} of {} {which}", shown(part, whole), grouped(whole)),
        None => format!("too few {which} to compare with"),
    };
    format!("{} of {} requests, {beside}", shown(part, whole), grouped(whole))
}

/// What was counted, and whether that is enough, in words. `which`: see [`Other`].
pub fn figures(rules: &Rules, now: &Counts, other: Other<'_>) -> String {
    let least = rules.min_requests.max(1);
    if now.ended < least {
        return format!("not judged: {} of the {} requests that it takes", grouped(now.ended), grouped(least));
    }
    let before = (other.counts.ended >= least).then_some((other.counts.failed, other.counts.ended));
    format!("5xx or no answer {}", compared((now.failed, now.ended), before, other.which))
}

/// Hundredths of a percent, to a tenth: `12.3 %`. What is not nothing is not shown as nothing.
pub fn percent(hundredths: u64) -> String {
    match hundredths {
        1..10 => format!("0.0{hundredths} %"),
        _ => format!("{}.{} %", hundredths / 100, hundredths % 100 / 10),
    }
}

/// A number with its thousands apart: `4,100`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Looks in a row. One alone may be a moment's; so others have to say the same, each with requests that came in between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// Those in a row that were worse.
    worse: u64,
    /// How many requests had ended at the last of them.
    at: u64,
}

impl Looks {
    /// Takes a look in, of so many requests. Answers why to go back, where that is certain now. `suspended`: something that both
    /// colours need is down, and nothing that is seen meanwhile says anything of one of them.
    pub fn seen(&mut self, rules: &Rules, verdict: &Verdict, ended: u64, suspended: bool) -> Option<String> {
        let Verdict::Worse(why) = verdict else {
            *self = Looks::default();
            return None;
        };
        if suspended {
            *self = Looks::default();
            return None;
        }
        if self.worse == 0 || ended < self.at {
            *self = Looks { worse: 1, at: ended };
        } else if ended > self.at {
            // The same requests once more are no further look.
            *self = Looks { worse: self.worse.saturating_add(1), at: ended };
        }
        (self.worse >= rules.looks).then(|| why.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { min_requests: 50, errors: 500, times_before: 3, p50: None, p99: None, looks: 2 };

    fn counts(failed: u64, ended: u64) -> Counts {
        Counts { ended, failed, times: [0; CLASSES] }
    }

    fn judged(rules: &Rules, now: &Counts, before: &Counts) -> Verdict {
        judge(rules, now, Other { counts: before, which: "before" })
    }

    /// So many answers, and so many of them that took longer than 50 ms.
    fn timed(late: u64, all: u64) -> Counts {
        let mut counts = counts(0, all);
        (counts.times[4], counts.times[6]) = (all - late, late);
        counts
    }

    #[test]
    fn it_is_worse_beyond_a_share_and_so_many_times_before() {
        let worse = |said: &str| Verdict::Worse(format!("5xx or no answer {said}"));
        for (now, before, expected) in [
            ((49, 49), (0, 100), Verdict::TooFew),
            ((0, 50), (0, 100), Verdict::Fine),
            ((5, 100), (0, 100), Verdict::Fine),
            ((6, 100), (0, 100), worse("6.0 % of 100 requests, 0.0 % of 100 before")),
            ((6, 100), (2, 100), Verdict::Fine),
            ((50, 50), (50, 50), Verdict::Fine),
            ((30, 100), (10, 100), Verdict::Fine),
            ((31, 100), (10, 100), worse("31.0 % of 100 requests, 10.0 % of 100 before")),
            ((38, 310), (8, 4_100), worse("12.2 % of 310 requests, 0.1 % of 4,100 before")),
            ((50, 50), (49, 49), worse("100.0 % of 50 requests, too few before to compare with")),
            ((60, 50), (0, 0), worse("100.0 % of 50 requests, too few before to compare with")),
            ((u64::MAX, u64::MAX), (u64::MAX, u64::MAX), Verdict::Fine),
        ] {
            let (now, before) = (counts(now.0, now.1), counts(before.0, before.1));
            assert_eq!(judged(&RULES, &now, &before), expected, "{now:?} {before:?}");
        }
        let strict = Rules { errors: 0, times_before: 1, min_requests: 1, ..RULES };
        assert_eq!(judged(&strict, &counts(1, 1_000), &counts(1, 1_000)), Verdict::Fine);
        assert!(matches!(judged(&strict, &counts(2, 1_000), &counts(1, 1_000)), Verdict::Worse(_)));
    }

    #[test]
    fn it_is_worse_where_answers_come_late_and_did_not_before() {
        let rules = Rules { p99: Some(50), ..RULES };
        let said = "answers later than 50 ms: 4.0 % of 100 requests, 1.0 % of 100 before (p99 is to be no more)";
        for (now, before, expected) in [
            (timed(1, 100), timed(0, 100), Verdict::Fine),
            (timed(3, 100), timed(1, 100), Verdict::Fine),
            (timed(4, 100), timed(1, 100), Verdict::Worse(said.to_owned())),
            (timed(4, 49), timed(0, 100), Verdict::TooFew),
        ] {
            assert_eq!(judged(&rules, &now, &before), expected, "{now:?} {before:?}");
        }
        // The bound itself is in time, and so is what is longer than another one's.
        assert_eq!(judged(&Rules { p99: Some(100), ..RULES }, &timed(100, 100), &timed(0, 100)), Verdict::Fine);
        assert_eq!(judged(&RULES, &timed(100, 100), &timed(0, 100)), Verdict::Fine);
        let half = Rules { p50: Some(50), ..RULES };
        assert_eq!(judged(&half, &timed(50, 100), &timed(0, 100)), Verdict::Fine);
        assert!(matches!(judged(&half, &timed(51, 100), &timed(0, 100)), Verdict::Worse(_)));
    }

    #[test]
    fn more_failures_are_never_better_and_who_is_as_bad_as_before_is_never_worse() {
        for ended in 50..120 {
            for failed_before in 0..=ended {
                let before = counts(failed_before, ended);
                assert_eq!(judged(&RULES, &before, &before), Verdict::Fine);
                let is_worse = |failed| matches!(judged(&RULES, &counts(failed, ended), &before), Verdict::Worse(_));
                let all: Vec<bool> = (0..=ended).map(is_worse).collect();
                assert!(all.is_sorted(), "{ended} {failed_before}");
            }
        }
    }

    #[test]
    fn looks_in_a_row_with_requests_in_between_are_certain() {
        let worse = || Verdict::Worse("bad".to_owned());
        for (looks, certain) in [
            (vec![(worse(), 50, false)], false),
            (vec![(worse(), 50, false), (worse(), 51, false)], true),
            (vec![(worse(), 50, false), (worse(), 50, false)], false),
            (vec![(worse(), 50, false), (worse(), 50, false), (worse(), 51, false)], true),
            (vec![(worse(), 50, false), (Verdict::Fine, 60, false), (worse(), 70, false)], false),
            (vec![(worse(), 50, false), (worse(), 60, true), (worse(), 70, false)], false),
            (vec![(worse(), 50, true), (worse(), 60, true)], false),
            (vec![(worse(), 90, false), (worse(), 60, false)], false),
            // Counts that fell began anew, and so do looks at them.
            (vec![(worse(), 90, false), (worse(), 60, false), (worse(), 61, false)], true),
        ] {
            let mut seen = Looks::default();
            let mut last = None;
            for (verdict, ended, suspended) in &looks {
                last = seen.seen(&RULES, verdict, *ended, *suspended);
            }
            assert_eq!(last.is_some(), certain, "{looks:?}");
        }
        let one = Rules { looks: 1, ..RULES };
        assert!(Looks::default().seen(&one, &worse(), 50, false).is_some());
        let (mut three, looks) = (Looks::default(), Rules { looks: 3, ..RULES });
        let said: Vec<bool> = (50..53).map(|at| three.seen(&looks, &worse(), at, false).is_some()).collect();
        assert_eq!(said, [false, false, true]);
        // A look at the same requests takes nothing back of what others have said.
        let mut again = Looks::default();
        let said = [50, 51, 51, 52].map(|at| again.seen(&looks, &worse(), at, false).is_some());
        assert_eq!(said, [false, false, false, true]);
    }

    #[test]
    fn counts_that_fell_began_anew() {
        let (old, new) = (counts(3, 100), counts(5, 160));
        assert_eq!(new.since(&old), Some(counts(2, 60)));
        assert_eq!(old.since(&new), None);
        assert_eq!(old.and(&counts(2, 60)), new);
        let mut slower = new;
        slower.times[14] = 1;
        assert_eq!(new.since(&slower), None);
    }

    #[test]
    fn figures_say_when_they_are_too_few_and_times_are_upper_ends() {
        let other = Other { counts: &counts(1, 4_000), which: "before" };
        assert_eq!(figures(&RULES, &counts(0, 12), other), "not judged: 12 of the 50 requests that it takes");
        assert_eq!(
            figures(&RULES, &counts(3, 1_200), other),
            "5xx or no answer 0.2 % of 1,200 requests, 0.02 % of 4,000 before"
        );
        assert_eq!(
            figures(&RULES, &counts(0, 50), other),
            "5xx or no answer 0.0 % of 50 requests, 0.02 % of 4,000 before"
        );
        let shares = [(1, 4_000), (1, 2), (0, 5), (0, 0)].map(|(failed, ended)| counts(failed, ended).share_failed());
        assert_eq!(shares, [Some(2), Some(5_000), Some(0), None]);
        let timed = timed(2, 100);
        assert_eq!((timed.within(50), timed.within(98), timed.within(99)), (Some(20), Some(20), Some(100)));
        assert_eq!(counts(0, 0).within(50), None);
        let mut longest = counts(0, 1);
        longest.times[14] = 1;
        assert_eq!(longest.within(50), None);
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
