//! What the engine holds, known without asking it each time: read whole once, and of a project again when an event of the
//! engine says that something changed.
//!
//! ```text
//!   Unknown ──► read ──► Fresh ◄──────────┐
//!      ▲                  │ event          │ read again
//!      │ stream ends      ├──► Changing ───┘
//!      └──────────────────┴──► (nothing heard for BOUND: whoever asks, asks the engine, and it is read anew)
//! ```
//!
//! What an event has not told yet is not known here either: that is the time it takes on its way, some milliseconds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use super::{Planner, former::Stacks, now_ms};
use crate::engine::{
    Engine, EngineError,
    held::{Changed, Changes, Held},
};

/// So long after the last event or look the engine is asked: a stream that is silent may be dead without a word, and what it
/// did not tell must not be told wrongly for longer than this.
pub const BOUND: Duration = Duration::from_secs(30);
/// So long after everything was read it is read again, however much is heard: an engine that has much to tell may forget some
/// of it, and clocks are set.
const WHOLE: Duration = Duration::from_secs(600);
/// After an event others are waited for, so that a deployment's many are one look.
const SETTLE: Duration = Duration::from_millis(100);
/// Before the engine is asked again after its events ended: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What the engine holds.
#[derive(Default)]
pub struct Holdings {
    known: Mutex<Known>,
    /// Somebody found that it is to be read whole again.
    anew: Notify,
    /// Something was read.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Known {
    held: Option<Held>,
    /// When everything was read.
    read: Option<Instant>,
    /// When the engine was heard last.
    heard: Option<Instant>,
    /// When the engine said so last, by the wall clock: to be told where it does not answer.
    true_at: i64,
    now: Now,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Now {
    Fresh,
    /// An event was heard, and what it changed is not read yet; or nothing was read yet.
    #[default]
    Changing,
    /// The events do not come.
    Deaf(String),
}

/// Why a connection was left.
enum Left {
    /// The engine closed it.
    Ended,
    /// Everything is to be read again.
    Anew,
}

/// Why it is better to ask the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// It changes just now, or it is time to: nothing is wrong.
    Moment,
    /// The engine's events do not come.
    Deaf(String),
}

impl Holdings {
    /// What the engine holds now, where that is known.
    ///
    /// # Errors
    /// Why it is to be asked instead.
    pub fn now(&self) -> Result<Stacks, Ask> {
        let known = self.lock();
        match (&known.now, &known.held) {
            (Now::Deaf(why), _) => Err(Ask::Deaf(why.clone())),
            (Now::Changing, _) | (Now::Fresh, None) => Err(Ask::Moment),
            (Now::Fresh, Some(_)) if is_old(known.heard, BOUND) || is_old(known.read, WHOLE) => {
                self.anew.notify_one();
                Err(Ask::Moment)
            }
            (Now::Fresh, Some(held)) => Ok(held.at(now_ms())),
        }
    }

    /// What the engine held when that was known last, and when that was: milliseconds since 1970.
    pub fn last(&self) -> Option<(Stacks, i64)> {
        let known = self.lock();
        known.held.as_ref().map(|held| (held.at(known.true_at), known.true_at))
    }

    /// What it held when everything that it has told was read; nothing while that is on its way, or does not come.
    pub fn as_told(&self) -> Option<Stacks> {
        let known = self.lock();
        known.held.as_ref().filter(|_| known.now == Now::Fresh).map(|held| held.at(known.true_at))
    }

    /// Changes whenever something of it was read.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Keeps it fresh, for ever.
    pub async fn keep(&self, planner: &Planner) {
        let mut pause = AGAIN.0;
        loop {
            let begun = Instant::now();
            let why = match self.connected(planner).await {
                Ok(Left::Anew) => continue,
                Ok(Left::Ended) => "the engine's events have ended".to_owned(),
                Err(error) => error.to_string(),
            };
            // An engine that takes the question and ends the answer at once is not asked every second for ever.
            if begun.elapsed() > AGAIN.1 {
                pause = AGAIN.0;
            }
            tracing::debug!("what runs is not kept fresh: {why}; trying again in {pause:?}");
            self.is(Now::Deaf(why));
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    /// Keeps it fresh over one connection.
    async fn connected(&self, planner: &Planner) -> Result<Left, EngineError> {
        let engine = planner.engine().await?;
        // Before the look: what happens meanwhile comes afterwards.
        let mut changes = engine.changes().await;
        self.read(&engine).await?;
        loop {
            tokio::select! {
                changed = changes.next() => {
                    let Some(first) = changed else { return Ok(Left::Ended) };
                    self.is(Now::Changing);
                    let ended = self.take(&engine, first, &mut changes).await?;
                    if ended {
                        return Ok(Left::Ended);
                    }
                }
                // The connection may be dead without a word: what is read again is read over a new one.
                () = self.anew.notified() => return Ok(Left::Anew),
            }
        }
    }

    /// Reads again what has changed. True where the events have ended meanwhile.
    async fn take(&self, engine: &Engine, first: Changed, changes: &mut Changes) -> Result<bool, EngineError> {
        let mut all = vec![first];
        let mut ended = false;
        sleep(SETTLE).await;
        while let Some(next) = changes.next().now_or_never() {
            match next {
                Some(changed) => all.push(changed),
                None => {
                    ended = true;
                    break;
                }
            }
        }
        if all.contains(&Changed::Anything) {
            self.read(engine).await?;
            return Ok(ended);
        }
        let mut projects: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for changed in all {
            if let Changed::Container { project, id } = changed {
                projects.entry(project).or_default().insert(id);
            }
        }
        let known = self.lock().held.clone().unwrap_or_default();
        for (project, changed) in projects {
            let part = engine.held_of(&project, &changed, &known).await?;
            if let Some(held) = &mut self.lock().held {
                held.replace(&project, part);
            }
        }
        let mut known = self.lock();
        (known.heard, known.true_at, known.now) = (Some(Instant::now()), now_ms(), Now::Fresh);
        drop(known);
        self.changed.send_replace(());
        Ok(ended)
    }

    async fn read(&self, engine: &Engine) -> Result<(), EngineError> {
        let before = self.lock().held.clone().unwrap_or_default();
        let held = engine.held(&before).await?;
        let now = Some(Instant::now());
        let mut known = self.lock();
        (known.held, known.read, known.heard, known.now) = (Some(held), now, now, Now::Fresh);
        known.true_at = now_ms();
        drop(known);
        self.changed.send_replace(());
        Ok(())
    }

    fn is(&self, now: Now) {
        self.lock().now = now;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Whole values are written under it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_old(at: Option<Instant>, bound: Duration) -> bool {
    at.is_none_or(|at| at.elapsed() > bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_believed_while_events_come_and_for_a_bounded_time() {
        let holdings = Holdings::default();
        assert!(holdings.now() == Err(Ask::Moment) && holdings.last().is_none(), "nothing was read yet");
        {
            let mut known = holdings.lock();
            let now = Some(Instant::now());
            (known.held, known.read, known.heard, known.now) = (Some(Held::default()), now, now, Now::Fresh);
        }
        assert_eq!(holdings.now(), Ok(Stacks::new()));
        assert_eq!(holdings.as_told(), Some(Stacks::new()));
        holdings.is(Now::Changing);
        assert_eq!((holdings.now(), holdings.as_told()), (Err(Ask::Moment), None));
        holdings.is(Now::Fresh);
        tokio::time::advance(BOUND).await;
        assert!(holdings.now().is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(holdings.now(), Err(Ask::Moment));
        // And it is read anew for the next who asks.
        holdings.anew.notified().await;
        holdings.lock().heard = Some(Instant::now());
        assert!(holdings.now().is_ok(), "an event was heard");
        tokio::time::advance(WHOLE).await;
        holdings.lock().heard = Some(Instant::now());
        assert_eq!(holdings.now(), Err(Ask::Moment), "however much is heard");
        holdings.lock().true_at = 1_000;
        holdings.is(Now::Fresh);
        assert_eq!(holdings.last().map(|(_, at)| at), Some(1_000), "what was not heard again is as old as it was");
        holdings.is(Now::Deaf("gone".to_owned()));
        holdings.is(Now::Deaf("still gone".to_owned()));
        assert_eq!(holdings.now(), Err(Ask::Deaf("still gone".to_owned())));
        let (_, at) = holdings.last().unwrap();
        assert_eq!(at, 1_000, "when it was known last is not when that was noticed");
    }
}
