//! Whether a colour answers worse than the one before it, from what a proxy has counted of both. Numbers in, a verdict with its
//! reason out: who counts, when that is read, and what follows from a verdict is decided elsewhere.
//!
//! ```text
//! two readings ──► Counts::since ──► judge ──► Looks::seen ──► two in a row: the reason to go back
//! ```

/// Classes of times in which answers are counted, and one for what took longer than all of them.
pub const CLASSES: usize = 15;

/// What was counted of a colour in some time, or since its proxy began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

    /// Two routes, or two times, together.
    #[must_use]
    pub fn and(&self, other: &Counts) -> Counts {
        let mut times = self.times;
        for (class, more) in times.iter_mut().zip(&other.times) {
            *class = class.saturating_add(*more);
        }
        let (ended, failed) = (self.ended.saturating_add(other.ended), self.failed.saturating_add(other.failed));
        Counts { ended, failed, times }
    }
}

/// From when on a colour counts as worse.
///
/// Times of answers are not among this: a colour that has just started fills its caches first, and the proxy's classes double
/// from one to the next, so that a bound that never goes back without need would hardly ever find anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Fewer requests than these say nothing, of either colour.
    pub min_requests: u64,
    /// A share of failures that is never too many, in percent.
    pub errors_percent: u64,
    /// Nor is one that is so many times the share of the colour before.
    pub times_before: u64,
}

impl Default for Rules {
    /// From 50 requests on: more than 5 %, and more than three times as many as before.
    fn default() -> Rules {
        Rules { min_requests: 50, errors_percent: 5, times_before: 3 }
    }
}

/// What one look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Too few requests came to say anything.
    TooFew,
    /// Nothing speaks against it.
    Fine,
    /// It is worse: why, in words.
    Worse(String),
}

/// Judges a colour by what came of its requests, and of those of the colour before it. Where that one had too few to be compared
/// with, `errors_percent` alone counts.
#[must_use]
pub fn judge(rules: &Rules, now: &Counts, before: &Counts) -> Verdict {
    if now.ended < rules.min_requests.max(1) {
        return Verdict::TooFew;
    }
    // Products of three counts do not fit, those of two and a small number do.
    let wide = |number: u64| u128::from(number);
    let (ended, failed) = (wide(now.ended), wide(now.failed.min(now.ended)));
    if failed * 100 <= wide(rules.errors_percent) * ended {
        return Verdict::Fine;
    }
    let known = before.ended >= rules.min_requests.max(1);
    let (then_ended, then_failed) = (wide(before.ended), wide(before.failed.min(before.ended)));
    if known && failed * then_ended <= (then_failed * ended).saturating_mul(wide(rules.times_before)) {
        return Verdict::Fine;
    }
    let share = |failed: u128, ended: u128| failed * 100 / ended;
    let beside = match known {
        true => format!("{} % of the colour before", share(then_failed, then_ended)),
        false => {
            format!("{} % are let pass; the colour before had too few requests to compare with", rules.errors_percent)
        }
    };
    let (count, of) = (now.failed.min(now.ended), now.ended);
    Verdict::Worse(format!("{count} of {of} requests failed ({} %; {beside})", share(failed, ended)))
}

/// Looks in a row. One alone may be a moment's; so a second one has to say the same, of requests that came in between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// How many requests had ended at a first look that was worse.
    worse_at: Option<u64>,
}

impl Looks {
    /// Takes a look in. Answers why to go back, where that is certain now. `suspended`: something that both colours need is down,
    /// and nothing that is seen meanwhile says anything of one of them.
    pub fn seen(&mut self, verdict: &Verdict, ended: u64, suspended: bool) -> Option<String> {
        match (verdict, self.worse_at) {
            (Verdict::Worse(why), Some(at)) if !suspended && ended > at => return Some(why.clone()),
            // The same requests once more are no second look; fewer are another count.
            (Verdict::Worse(_), Some(at)) if !suspended && ended == at => {}
            (Verdict::Worse(_), _) if !suspended => self.worse_at = Some(ended),
            _ => self.worse_at = None,
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(failed: u64, ended: u64) -> Counts {
        Counts { ended, failed, times: [0; CLASSES] }
    }

    #[test]
    fn it_is_worse_beyond_five_percent_and_three_times_before() {
        let rules = Rules::default();
        let few = "5 % are let pass; the colour before had too few requests to compare with";
        for (now, before, expected) in [
            ((49, 49), (0, 100), None),
            ((0, 50), (0, 100), Some(None)),
            ((5, 100), (0, 100), Some(None)),
            ((6, 100), (0, 100), Some(Some("6 of 100 requests failed (6 %; 0 % of the colour before)".to_owned()))),
            ((6, 100), (2, 100), Some(None)),
            ((50, 50), (50, 50), Some(None)),
            ((30, 100), (10, 100), Some(None)),
            (
                (31, 100),
                (10, 100),
                Some(Some("31 of 100 requests failed (31 %; 10 % of the colour before)".to_owned())),
            ),
            ((50, 50), (49, 49), Some(Some(format!("50 of 50 requests failed (100 %; {few})")))),
            ((50, 50), (0, 0), Some(Some(format!("50 of 50 requests failed (100 %; {few})")))),
            ((u64::MAX, u64::MAX), (u64::MAX, u64::MAX), Some(None)),
        ] {
            let expected = match expected {
                None => Verdict::TooFew,
                Some(None) => Verdict::Fine,
                Some(Some(why)) => Verdict::Worse(why),
            };
            assert_eq!(
                judge(&rules, &counts(now.0, now.1), &counts(before.0, before.1)),
                expected,
                "{now:?} {before:?}"
            );
        }
    }

    #[test]
    fn more_failures_are_never_better_and_who_is_as_bad_as_before_is_never_worse() {
        let (rules, rank) = (Rules::default(), |verdict| matches!(verdict, Verdict::Worse(_)));
        for ended in 50..120 {
            for failed_before in 0..=ended {
                let before = counts(failed_before, ended);
                assert_eq!(judge(&rules, &before, &before), Verdict::Fine);
                let all: Vec<bool> = (0..=ended).map(|now| rank(judge(&rules, &counts(now, ended), &before))).collect();
                assert!(all.is_sorted(), "{ended} {failed_before}");
            }
        }
    }

    #[test]
    fn two_looks_in_a_row_with_requests_in_between_are_certain() {
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
        ] {
            let mut seen = Looks::default();
            let mut last = None;
            for (verdict, ended, suspended) in &looks {
                last = seen.seen(verdict, *ended, *suspended);
            }
            assert_eq!(last.is_some(), certain, "{looks:?}");
        }
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
}
