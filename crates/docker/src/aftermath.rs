//! What becomes of a project's containers after the verdict of a deployment, told from the engine's events. Holds no
//! connection and no clock: times are the engine's, in nanoseconds since 1970.
//!
//! ```text
//!            die, unhealthy             start, healthy            stays up, healthy
//!   stands ──────────────────► fallen ──────────────────► up ──────────────────────► mended ──► (falls again)
//!     │                          │                         │
//!     └── kill, then die ────────┴─────────────────────────┴──► gone: somebody ended it, which is no crash
//! ```
//!
//! Whoever stops, kills, restarts or removes a container sends it a signal first, and the engine tells of that (`kill`)
//! before it tells of the end (`die`). An end without it is the container's own.

use std::collections::{BTreeMap, btree_map::Entry};

/// Signals that ask a container to end: whatever code it ends with then, it was asked. Of others (`HUP` for a reload, a
/// stop signal of its own) only an end with 0 or with the signal's own code counts as asked for.
const ENDING: [i64; 4] = [2, 3, 9, 15];
/// An event that tells of an end the engine tells of elsewhere, too, has a time of its own: so far apart they are one.
const SAME: i64 = 2_000_000_000;
/// What is said of one whose health check is not content any more.
pub const UNHEALTHY: &str = "became unhealthy";
/// What is added when it was started again.
const RESTARTED: &str = " and was restarted";
/// Containers of which something is kept at most: names are the project's, and a project may be scaled without a bound.
const MOST: usize = 1_000;

/// One event of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When it happened, in nanoseconds since 1970 by the engine's clock.
    pub at: i64,
    /// The container's full ID.
    pub id: String,
    /// The container's name, without the slash.
    pub container: String,
    /// What happened to it.
    pub what: What,
}

/// What happens to containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Its process ended, by itself or because it was told to.
    Died {
        /// With this exit code.
        code: i64,
    },
    /// It was started: by its restart policy or by somebody.
    Started,
    /// Somebody, or the engine for somebody, sent it a signal.
    Signalled {
        /// The signal's number, as the engine's machine counts them.
        signal: i64,
    },
    /// The kernel ended a process of it for want of memory.
    OutOfMemory,
    /// Its health check is content again.
    Healthy,
    /// Its health check is not content any more.
    Unhealthy,
    /// It was removed.
    Removed,
}

/// A container as one look at it shows it, where events may have been missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The container's full ID.
    pub id: String,
    /// The container's name, without the slash.
    pub container: String,
    /// It runs now, and is not between two starts.
    pub running: bool,
    /// It is between two starts.
    pub restarting: bool,
    /// Its health check is not content.
    pub unhealthy: bool,
    /// Exit code of its last end.
    pub code: i64,
    /// That end was for want of memory.
    pub out_of_memory: bool,
    /// How often the engine started it again.
    pub restarts: i64,
    /// When it ended last; `None` if it never did.
    pub ended: Option<i64>,
}

/// A container that fell over after the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fall {
    /// Its identifier; empty where that is not known any more.
    pub id: String,
    /// The container's name, without the slash.
    pub container: String,
    /// What happened: `exited (1) and was restarted`.
    pub said: String,
    /// When it fell first.
    pub first: i64,
    /// The last event that is counted in.
    pub last: i64,
    /// How often it fell.
    pub times: u32,
    /// How it is now.
    pub now: Now,
}

/// How a container that fell is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Now {
    /// It has not come back.
    Fallen,
    /// It runs again, and has yet to stay up.
    Up {
        /// When it was started again.
        since: i64,
    },
    /// It has come back and stays.
    Mended {
        /// When it was started again.
        since: i64,
    },
    /// Somebody has ended or removed it since.
    Gone,
}

/// What is worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A container fell.
    Fell(Fall),
    /// What is known of a fall changed: the container was started again.
    Changed(Fall),
    /// It stands again.
    Mended(Fall),
    /// A container ended with exit code 0: a job that is done, or a server that gave up without a word.
    Ended {
        /// The container's name, without the slash.
        container: String,
        /// By the engine's clock, as in [`Happening::at`].
        at: i64,
    },
}

/// What is known so far.
#[derive(Debug, Default)]
pub struct Aftermath {
    marks: BTreeMap<String, Marks>,
    falls: BTreeMap<String, Fall>,
}

/// What the events of a container that came before tell about the next.
#[derive(Debug, Default)]
struct Marks {
    signal: Option<i64>,
    out_of_memory: bool,
    ended_well: bool,
    died: Option<i64>,
    last: i64,
}

impl Aftermath {
    /// Goes on with what was known before.
    pub fn new(known: Vec<Fall>) -> Aftermath {
        let falls = known.into_iter().map(|fall| (fall.container.clone(), fall)).collect();
        Aftermath { marks: BTreeMap::new(), falls }
    }

    /// Something that fell has not come back for good, and may yet.
    pub fn is_open(&self) -> bool {
        self.falls.values().any(|fall| matches!(fall.now, Now::Fallen | Now::Up { .. }))
    }

    /// Containers that have been up again since `before` or longer: whoever can look may find that they stay.
    pub fn up_since(&self, before: i64) -> Vec<Fall> {
        let long = |fall: &&Fall| matches!(fall.now, Now::Up { since } if since <= before);
        self.falls.values().filter(long).cloned().collect()
    }

    /// Something that fell runs again, and has yet to stay up.
    pub fn is_up_again(&self) -> bool {
        self.falls.values().any(|fall| matches!(fall.now, Now::Up { .. }))
    }

    /// Takes an event. One that is told `again` after a lost connection counts once.
    pub fn take(&mut self, happening: &Happening, again: bool) -> Option<News> {
        let Happening { at, id, container, what } = happening;
        if self.marks.len() >= MOST && !self.marks.contains_key(id) {
            return None;
        }
        let marks = self.marks.entry(id.clone()).or_default();
        let counted = self.falls.get(container).is_some_and(|fall| *at <= fall.last);
        if again && *at <= marks.last {
            return None;
        }
        marks.last = marks.last.max(*at);
        match *what {
            What::Signalled { signal } => {
                marks.signal = Some(signal);
                None
            }
            What::Removed => {
                self.marks.remove(id);
                if !(again && counted) {
                    self.gone(container);
                }
                None
            }
            What::Died { code } => {
                let by_hand = marks.signal.take().is_some_and(|signal| asked_for(signal, code));
                let out_of_memory = std::mem::take(&mut marks.out_of_memory);
                marks.died = Some(*at);
                if again && counted {
                    return None;
                }
                if by_hand {
                    self.gone(container);
                    return None;
                }
                if code == 0 {
                    marks.ended_well = true;
                    return Some(News::Ended { container: container.clone(), at: *at });
                }
                let said = format!("exited ({code}){}", if out_of_memory { ", out of memory," } else { "" });
                Some(News::Fell(self.fall(happening, said, out_of_memory)))
            }
            What::Started => {
                marks.signal = None;
                let ended_well = std::mem::take(&mut marks.ended_well);
                if again && counted {
                    return None;
                }
                self.started(happening, ended_well)
            }
            What::OutOfMemory => {
                marks.out_of_memory = true;
                if again && counted {
                    return None;
                }
                let mut fall = self.fall(happening, "lost a process for want of memory".to_owned(), false);
                // Most often the container ends with it, and the next event says so.
                fall.now = Now::Up { since: *at };
                self.falls.insert(container.clone(), fall.clone());
                Some(News::Fell(fall))
            }
            What::Unhealthy | What::Healthy if again && counted => None,
            What::Unhealthy => Some(News::Fell(self.fall(happening, UNHEALTHY.to_owned(), false))),
            What::Healthy => self.mend(container, *at),
        }
    }

    /// Takes a look at a container, for what no event told of: `since` is the verdict.
    pub fn look(&mut self, sight: &Sight, since: i64, now: i64) -> Option<News> {
        let Sight { id, container, running, restarting, unhealthy, code, out_of_memory, restarts, ended } = sight;
        if let Some(fall) = self.falls.get_mut(container) {
            id.clone_into(&mut fall.id);
            return (*running && !unhealthy).then(|| fall.up(now)).flatten();
        }
        let happened = |at| Happening { at, id: id.clone(), container: container.clone(), what: What::Unhealthy };
        if *unhealthy {
            return Some(News::Fell(self.fall(&happened(now), UNHEALTHY.to_owned(), false)));
        }
        let ended = ended.filter(|ended| *ended > since)?;
        // What the events told of the same end counts.
        if self.marks.get(id).and_then(|marks| marks.died).is_some_and(|died| died + SAME >= ended) {
            return None;
        }
        let memory = if *out_of_memory { ", out of memory," } else { "" };
        let times = if *restarts == 1 { "once".to_owned() } else { format!("{restarts} times") };
        let said = match (*running, *restarting) {
            (true, _) if *restarts > 0 => format!("ended and was restarted {times}"),
            (false, true) => format!("exited ({code}){memory} and is being restarted"),
            // Whether somebody stopped it is not known any more, and these look as if.
            (false, false) if !matches!(code, 0 | 137 | 143) || *out_of_memory => format!("exited ({code}){memory}"),
            _ => return None,
        };
        let mut fall = self.fall(&happened(ended), said, false);
        if *running {
            fall.now = Now::Up { since: now };
            self.falls.insert(container.clone(), fall.clone());
        }
        Some(News::Fell(fall))
    }

    /// A container that fell stands again for good.
    pub fn mend(&mut self, container: &str, at: i64) -> Option<News> {
        let fall = self.falls.get_mut(container)?;
        if !matches!(fall.now, Now::Fallen | Now::Up { .. }) {
            return None;
        }
        fall.now = Now::Mended { since: at };
        fall.last = fall.last.max(at);
        Some(News::Mended(fall.clone()))
    }

    /// Notes a fall. `same`: it is the end of what was told of already.
    fn fall(&mut self, happening: &Happening, said: String, same: bool) -> Fall {
        let Happening { at, id, container, .. } = happening;
        let fall = match self.falls.entry(container.clone()) {
            Entry::Vacant(entry) => entry.insert(Fall {
                id: id.clone(),
                container: container.clone(),
                said,
                first: *at,
                last: *at,
                times: 1,
                now: Now::Fallen,
            }),
            Entry::Occupied(entry) => {
                let fall = entry.into_mut();
                id.clone_into(&mut fall.id);
                fall.said = said;
                fall.last = *at;
                fall.times = fall.times.saturating_add(u32::from(!same));
                fall.now = Now::Fallen;
                fall
            }
        };
        fall.clone()
    }

    fn started(&mut self, happening: &Happening, ended_well: bool) -> Option<News> {
        let Happening { at, container, .. } = happening;
        if ended_well {
            let mut fall = self.fall(happening, format!("exited (0){RESTARTED}"), false);
            fall.now = Now::Up { since: *at };
            self.falls.insert(container.clone(), fall.clone());
            return Some(News::Fell(fall));
        }
        let fall = self.falls.get_mut(container)?;
        let news = fall.up(*at);
        if news.is_some() {
            fall.last = *at;
        }
        news
    }

    fn gone(&mut self, container: &str) {
        if let Some(fall) = self.falls.get_mut(container) {
            fall.now = Now::Gone;
        }
    }
}

impl Fall {
    /// It runs again. News only where that was not said before.
    fn up(&mut self, since: i64) -> Option<News> {
        if self.now != Now::Fallen {
            return None;
        }
        self.now = Now::Up { since };
        if self.said.ends_with(RESTARTED) || !self.said.starts_with("exited") {
            return None;
        }
        self.said.push_str(RESTARTED);
        Some(News::Changed(self.clone()))
    }
}

/// Whether an end with this code is what the signal asked for.
fn asked_for(signal: i64, code: i64) -> bool {
    ENDING.contains(&signal) || code == 0 || code == 128 + signal
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn event(at: i64, what: What) -> Happening {
        Happening { at: at * SECOND, id: "1".to_owned(), container: "web".to_owned(), what }
    }

    /// What is told of one container by these events, one a second.
    fn told(events: &[What]) -> Vec<String> {
        let mut aftermath = Aftermath::default();
        let news = (1..).zip(events).filter_map(|(at, what)| aftermath.take(&event(at, *what), false));
        news.map(|news| words(&news)).collect()
    }

    fn words(news: &News) -> String {
        let all = |word: &str, fall: &Fall| format!("{word} {} x{}", fall.said, fall.times);
        match news {
            News::Fell(fall) => all("fell:", fall),
            News::Changed(fall) => all("changed:", fall),
            News::Mended(fall) => all("mended:", fall),
            News::Ended { .. } => "ended".to_owned(),
        }
    }

    #[test]
    fn ends_of_its_own_are_falls_and_those_that_were_asked_for_are_not() {
        use What::{Died, Healthy, OutOfMemory, Removed, Signalled, Started, Unhealthy};
        let table: [(&[What], &[&str]); 16] = [
            (&[Died { code: 1 }], &["fell: exited (1) x1"]),
            (&[Died { code: 1 }, Started], &["fell: exited (1) x1", "changed: exited (1) and was restarted x1"]),
            (
                &[Died { code: 1 }, Started, Died { code: 2 }, Started],
                &[
                    "fell: exited (1) x1",
                    "changed: exited (1) and was restarted x1",
                    "fell: exited (2) x2",
                    "changed: exited (2) and was restarted x2",
                ],
            ),
            // stop, kill, restart, remove
            (&[Signalled { signal: 15 }, Died { code: 143 }], &[]),
            (&[Signalled { signal: 15 }, Died { code: 1 }], &[]),
            (&[Signalled { signal: 15 }, Signalled { signal: 9 }, Died { code: 137 }], &[]),
            (&[Signalled { signal: 15 }, Died { code: 0 }, Started, Removed], &[]),
            (&[Signalled { signal: 37 }, Died { code: 0 }], &[]),
            // A reload that went wrong, and one after which it fell by itself.
            (&[Signalled { signal: 1 }, Died { code: 2 }], &["fell: exited (2) x1"]),
            (&[Signalled { signal: 15 }, Died { code: 143 }, Started, Died { code: 143 }], &["fell: exited (143) x1"]),
            (&[Died { code: 0 }], &["ended"]),
            (&[Died { code: 0 }, Started], &["ended", "fell: exited (0) and was restarted x1"]),
            (
                &[OutOfMemory, Died { code: 137 }, Started],
                &[
                    "fell: lost a process for want of memory x1",
                    "fell: exited (137), out of memory, x1",
                    "changed: exited (137), out of memory, and was restarted x1",
                ],
            ),
            (
                &[Unhealthy, Healthy, Unhealthy],
                &["fell: became unhealthy x1", "mended: became unhealthy x1", "fell: became unhealthy x2"],
            ),
            (&[Healthy, Started, Removed], &[]),
            (
                &[Died { code: 1 }, Started, Healthy],
                &[
                    "fell: exited (1) x1",
                    "changed: exited (1) and was restarted x1",
                    "mended: exited (1) and was restarted x1",
                ],
            ),
        ];
        for (events, wanted) in table {
            assert_eq!(told(events), wanted, "{events:?}");
        }
    }

    #[test]
    fn what_fell_is_open_until_it_stays_or_somebody_ends_it() {
        let mut aftermath = Aftermath::default();
        assert!(!aftermath.is_open());
        aftermath.take(&event(1, What::Died { code: 1 }), false);
        assert!(aftermath.is_open() && !aftermath.is_up_again());
        aftermath.take(&event(2, What::Started), false);
        assert!(aftermath.is_up_again());
        assert!(aftermath.up_since(SECOND).is_empty());
        assert_eq!(aftermath.up_since(2 * SECOND).len(), 1);
        assert!(aftermath.mend("web", 9 * SECOND).is_some() && aftermath.mend("web", 10 * SECOND).is_none());
        assert!(!aftermath.is_open());
        aftermath.take(&event(11, What::Died { code: 1 }), false);
        aftermath.take(&event(12, What::Removed), false);
        assert!(!aftermath.is_open());
    }

    #[test]
    fn what_is_told_again_counts_once_also_after_a_restart_of_turnout() {
        let events = [
            event(1, What::Signalled { signal: 15 }),
            event(2, What::Died { code: 1 }),
            event(3, What::Started),
            event(4, What::Died { code: 5 }),
            event(5, What::Started),
        ];
        let mut aftermath = Aftermath::default();
        let news: Vec<News> = events.iter().filter_map(|event| aftermath.take(event, false)).collect();
        assert_eq!(news.len(), 2);
        assert!(events.iter().all(|event| aftermath.take(event, true).is_none()));
        let Some(News::Changed(known)) = news.into_iter().next_back() else { panic!("not started again") };
        let mut later = Aftermath::new(vec![known]);
        assert!(events.iter().all(|event| later.take(event, true).is_none()));
        let news = later.take(&event(6, What::Died { code: 5 }), true).unwrap();
        assert_eq!(words(&news), "fell: exited (5) x2");
    }

    #[test]
    fn a_look_tells_what_no_event_told() {
        let calm = Sight {
            id: "1".to_owned(),
            container: "web".to_owned(),
            running: true,
            restarting: false,
            unhealthy: false,
            code: 0,
            out_of_memory: false,
            restarts: 0,
            ended: None,
        };
        let down = Sight { running: false, ended: Some(9 * SECOND), ..calm.clone() };
        for (sight, wanted) in [
            (calm.clone(), None),
            (Sight { unhealthy: true, ..calm.clone() }, Some("fell: became unhealthy x1")),
            (
                Sight { restarts: 2, ended: Some(9 * SECOND), ..calm.clone() },
                Some("fell: ended and was restarted 2 times x1"),
            ),
            // Before the verdict: that it was restarted is known and told.
            (Sight { restarts: 2, ended: Some(4 * SECOND), ..calm.clone() }, None),
            (Sight { code: 1, ..down.clone() }, Some("fell: exited (1) x1")),
            (Sight { code: 1, ended: Some(4 * SECOND), ..down.clone() }, None),
            (Sight { code: 143, ..down.clone() }, None),
            (Sight { code: 137, out_of_memory: true, ..down.clone() }, Some("fell: exited (137), out of memory, x1")),
            (Sight { code: 1, restarting: true, ..down.clone() }, Some("fell: exited (1) and is being restarted x1")),
        ] {
            let news = Aftermath::default().look(&sight, 5 * SECOND, 10 * SECOND);
            assert_eq!(news.as_ref().map(words).as_deref(), wanted, "{sight:?}");
        }
        // What fell before it was looked at, and came up meanwhile: said once.
        let mut aftermath = Aftermath::default();
        aftermath.take(&event(8, What::Died { code: 1 }), true);
        let news = aftermath.look(&calm, 5 * SECOND, 10 * SECOND);
        assert_eq!(news.as_ref().map(words).as_deref(), Some("changed: exited (1) and was restarted x1"));
        assert_eq!(aftermath.take(&event(11, What::Started), false), None);
        assert_eq!(aftermath.look(&calm, 5 * SECOND, 12 * SECOND), None);
        assert!(aftermath.is_up_again());
        // Somebody stopped it, and the events have told so.
        let mut aftermath = Aftermath::default();
        aftermath.take(&event(8, What::Signalled { signal: 15 }), true);
        aftermath.take(&event(9, What::Died { code: 1 }), true);
        assert_eq!(aftermath.look(&Sight { code: 1, ..down }, 5 * SECOND, 10 * SECOND), None);
    }
}
