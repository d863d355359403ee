//! Watches on after the verdict of a success, without its lane: a container that falls over then is a fact of that
//! deployment, and of none that comes later. The next deployment that changes the stack ends the watch.
//!
//! What happens comes as events of the engine. After a lost connection, or a restart of turnout, the engine is asked for
//! what it remembers and looked at once; nothing is asked in turn.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Deployer, Recorder, clock::at_ms, now_ms};
use crate::{
    engine::{
        Engine, EngineError,
        aftermath::{self, Aftermath, News, Now, Sight},
    },
    report::{Event, Reporter as _, Silent},
    store::{self, Watched},
};

/// Pause before the engine is asked again after a lost connection.
const AGAIN: Duration = Duration::from_secs(2);
/// How much longer is watched at most while something that fell has not come back for good.
const LONGER: Duration = Duration::from_secs(10 * 60);
/// A watch whose time ended so long ago, while no turnout ran, is not taken up: what is found then says nothing.
const STALE: Duration = Duration::from_secs(60 * 60);
/// Lines of a container's log that are kept.
const LOG_LINES: usize = 20;
/// Lines of such logs that one watch keeps at most.
const ALL_LINES: usize = 1_000;
/// Nanoseconds in a millisecond: the engine counts in the former, the store in the latter.
const NANOS: i64 = 1_000_000;

/// What is to be watched from the last look before the verdict on; nothing where that is not wanted.
pub(super) async fn from(engine: &Engine, looked: SystemTime, length: Duration) -> Option<store::Watch> {
    let length = millis(length);
    if length == 0 {
        return None;
    }
    // Kept by the engine's clock, which is the one of everything that is told later, whatever becomes of ours.
    let since = at_ms(looked).saturating_add(engine.ahead().await / NANOS);
    // Counted from now: what came between was the deployment's own work.
    Some(store::Watch { since, until: now_ms().saturating_add(length) })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// When a watch began.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Began {
    /// With the verdict: nothing was missed.
    Now,
    /// Before this daemon, or this connection to the engine.
    Before,
}

impl Deployer {
    /// Begins to watch what was deployed just now.
    pub fn watch_on(self: &Arc<Self>, watched: Watched) {
        self.begin_watch(watched, Began::Now);
    }

    fn begin_watch(self: &Arc<Self>, watched: Watched, began: Began) {
        let deployer = Arc::clone(self);
        let (repo, deployment) = (watched.repo.clone(), watched.deployment);
        self.watches.begin(&repo, deployment, |end| async move {
            tokio::select! {
                () = async { Watch::of(&deployer, &watched, began).await.run().await } => {}
                () = end.cancelled() => {}
            }
            // What the daemon's end cuts off, its next start goes on with.
            if !deployer.watches.stops()
                && let Err(error) = deployer.store.end_watch(watched.deployment).await
            {
                tracing::warn!(repo = watched.repo, deployment, %error, "cannot record the end of a watch");
            }
        });
    }

    /// Takes up what was watched when the daemon ended.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn resume_watches(self: &Arc<Self>) -> Result<(), store::StoreError> {
        let stale = |watched: &Watched| {
            let ended = now_ms().saturating_sub(watched.watch.until);
            ended > i64::try_from(STALE.as_millis()).unwrap_or(i64::MAX) || self.planner.find(&watched.repo).is_err()
        };
        let (over, open): (Vec<_>, Vec<_>) = self.store.watched().await?.into_iter().partition(stale);
        // What may fail comes first: this may be tried again, and begins each watch once.
        for watched in over {
            self.store.end_watch(watched.deployment).await?;
        }
        open.into_iter().for_each(|watched| self.begin_watch(watched, Began::Before));
        Ok(())
    }

    /// Ends what is watched of a repository: from now on its containers change because a deployment changes them.
    /// That is on the disk before it does: after a crash in the middle, what was done to them is no fall of an earlier
    /// success.
    pub(super) async fn end_watch(&self, repo: &str, by: store::DeploymentId) {
        // The watch notes its end itself; what is recorded now and waited for comes after that.
        if self.watches.end(repo).await.is_some()
            && let Err(error) = self.store.update(by, store::Update::default()).await
        {
            tracing::warn!(repo, deployment = by, %error, "cannot record the end of a watch");
        }
    }
}

/// The watch after one deployment's verdict.
struct Watch<'a> {
    deployer: &'a Deployer,
    watched: &'a Watched,
    began: Began,
    /// How long something that came back must stay up.
    settle: Duration,
    /// How long is watched.
    length: Duration,
    known: Aftermath,
    /// Where what happened is told; made when something does.
    recorder: Option<Recorder>,
    /// Lines of containers that may be kept yet; none where it is not known what in them is secret.
    lines: usize,
}

/// What a watch knows of the engine's clock, in nanoseconds.
///
/// ```text
/// as usual:       verdict ────────────── begun ──► now
/// set back since: back ── begun ──► now ··················· verdict
/// ```
#[derive(Clone, Copy)]
struct Times {
    verdict: i64,
    /// What it showed at this instant of ours.
    begun: (i64, Instant),
    /// Of a clock that was set back since the verdict: what happened from here on, by the new time, counts as well.
    back: Option<i64>,
}

impl<'a> Watch<'a> {
    async fn of(deployer: &'a Deployer, watched: &'a Watched, began: Began) -> Watch<'a> {
        let daemons = deployer.planner.settings.timeouts;
        let repo = deployer.planner.find(&watched.repo);
        let timeouts = repo.as_ref().map_or(daemons, |repo| repo.timeouts.over(&daemons));
        // A deployment has read the project; after a restart its secrets are not known until somebody reads it.
        let read = match (&repo, began) {
            (_, Began::Now) => true,
            (Ok(repo), Began::Before) => deployer.planner.read(repo, &Silent).await.is_ok(),
            (Err(_), Began::Before) => false,
        };
        let lines = if read { ALL_LINES } else { 0 };
        // A store that does not answer is told of when something is to be recorded.
        let before = match began {
            Began::Now => None,
            Began::Before => deployer.store.deployment(watched.deployment).await.ok().flatten(),
        };
        let falls = before.into_iter().flat_map(|deployment| deployment.falls);
        let known = Aftermath::new(falls.map(|fall| fallen(fall, watched)).collect());
        let (settle, length) = (timeouts.settle, timeouts.watch);
        Watch { deployer, watched, began, settle, length, known, recorder: None, lines }
    }

    /// Watches until the time is over and nothing is open.
    async fn run(mut self) {
        let (due, now) = (self.watched.watch.until, now_ms());
        // A clock that was set back makes no watch longer than it was to be.
        let left = due.saturating_sub(now).min(millis(self.length));
        if now.saturating_add(left) < due
            && let Err(error) = self.deployer.store.watch_until(self.watched.deployment, now.saturating_add(left)).await
        {
            let (repo, deployment) = (self.watched.repo.as_str(), self.watched.deployment);
            tracing::warn!(repo, deployment, %error, "cannot record when a watch ends");
        }
        let until = Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0));
        loop {
            match self.connected(until).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(repo = self.watched.repo, deployment = self.watched.deployment, %error, "the watch waits for the engine");
                }
            }
            self.began = Began::Before;
            if Instant::now() > until {
                let (repo, deployment) = (self.watched.repo.as_str(), self.watched.deployment);
                tracing::warn!(
                    repo,
                    deployment,
                    "whether all stayed up after the verdict is not known: the engine did not answer"
                );
                break;
            }
            sleep(AGAIN).await;
        }
        if let Some(recorder) = &self.recorder
            && let Err(error) = recorder.close().await
        {
            tracing::warn!(repo = self.watched.repo, deployment = self.watched.deployment, %error, "cannot write the log of a watch");
        }
    }

    /// Watches over one connection. Whether the watch is over, not only the connection.
    async fn connected(&mut self, until: Instant) -> Result<bool, EngineError> {
        let engine = self.deployer.planner.engine().await?;
        let project = self.watched.project.as_str();
        let ahead = engine.ahead().await;
        let now = now_ms().saturating_mul(NANOS).saturating_add(ahead);
        let times = Times::new(self.watched.watch.since.saturating_mul(NANOS), now, self.length);
        let mut since = times.first();
        if self.began == Began::Before {
            let now = times.now();
            // No longer than the watch itself: what stands and what does not is seen without it, too.
            let left = until.saturating_duration_since(Instant::now()).max(AGAIN);
            let happened = engine.happened(project, times.first(), now, left).await;
            // Looked at later, so that what has happened up to now is in one of them.
            let sights = engine.sights(project).await?;
            let missed = match happened {
                Ok(happened) => {
                    for happening in happened {
                        // By a clock that was set back it may be of long before: then of containers replaced since.
                        if times.back.is_some() && !sights.iter().any(|sight| sight.id == happening.id) {
                            continue;
                        }
                        let news = self.known.take(&happening, true);
                        self.tell(&engine, times, news).await;
                    }
                    None
                }
                Err(error) => Some(error),
            };
            self.compare(&engine, times, sights).await;
            match missed {
                Some(_) if Instant::now() >= until => return Ok(true),
                Some(error) => return Err(error),
                None => since = now,
            }
        }
        let mut happenings = engine.happenings(project, since);
        // When to look whether what came back has stayed.
        let mut look: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if now >= until && (!self.known.is_open() || now >= until + LONGER) {
                // Events can stay away without a word.
                let sights = engine.sights(project).await?;
                self.compare(&engine, times, sights).await;
                return Ok(true);
            }
            if self.known.is_up_again() {
                look = look.or(Some(now + self.settle.max(AGAIN)));
            }
            let limit = if now < until { until } else { until + LONGER };
            tokio::select! {
                happening = happenings.next() => {
                    let Some(happening) = happening else { return Ok(false) };
                    let news = self.known.take(&happening, false);
                    self.tell(&engine, times, news).await;
                }
                () = sleep_until(look.map_or(limit, |look| look.min(limit))) => {
                    if look.is_some_and(|look| look <= Instant::now()) {
                        look = None;
                        self.look_whether_they_stay(&engine, times).await?;
                    }
                }
            }
        }
    }

    /// Compares what is known with the containers as they are now.
    async fn compare(&mut self, engine: &Engine, times: Times, sights: Vec<Sight>) {
        let now = times.now();
        for sight in sights {
            let ended = sight.ended.filter(|at| times.is_after(*at));
            let news = self.known.look(&Sight { ended, ..sight }, times.first(), now);
            self.tell(engine, times, news).await;
        }
    }

    async fn look_whether_they_stay(&mut self, engine: &Engine, times: Times) -> Result<(), EngineError> {
        let settle = i64::try_from(self.settle.as_nanos()).unwrap_or(i64::MAX);
        for fall in self.known.up_since(times.now().saturating_sub(settle)) {
            if engine.stands(&fall.id).await? {
                let news = self.known.mend(&fall.container, times.now());
                self.tell(engine, times, news).await;
            }
        }
        Ok(())
    }

    async fn tell(&mut self, engine: &Engine, times: Times, news: Option<News>) {
        match news {
            None => {}
            Some(News::Ended { container, at }) => {
                let after = times.after(at) / 1000;
                self.recorder().await.info(format!("{container} ended with exit code 0 {after} s after the verdict"));
            }
            Some(News::Fell(fall)) => {
                self.note(times, &fall).await;
                // Of one that falls again and again each of the first is told, then ever fewer.
                if !fall.times.is_power_of_two() {
                    return;
                }
                let recorder = self.recorder().await;
                let mut last = engine.last_lines(&fall.id, LOG_LINES, recorder).await;
                if fall.said == aftermath::UNHEALTHY {
                    last.extend(engine.check_said(&fall.id).await);
                }
                last.truncate(self.lines);
                self.lines = self.lines.saturating_sub(last.len());
                let words = words(&fall, times);
                let recorder = self.recorder().await;
                recorder.warn(match last.last() {
                    Some(line) => format!("{words}; its last words: {line}"),
                    None => words,
                });
                for line in last {
                    recorder.report(Event::Output { source: fall.container.clone(), line });
                }
            }
            Some(News::Changed(fall)) => {
                self.note(times, &fall).await;
                if fall.times.is_power_of_two() {
                    let words = words(&fall, times);
                    self.recorder().await.info(words);
                }
            }
            Some(News::Mended(fall)) => {
                self.note(times, &fall).await;
                let words = words(&fall, times);
                self.recorder().await.info(words);
            }
        }
    }

    async fn note(&self, times: Times, fall: &aftermath::Fall) {
        let id = self.watched.deployment;
        if let Err(error) = self.deployer.store.note_fall(id, recorded(fall, times)).await {
            tracing::error!(repo = self.watched.repo, deployment = id, %error, "cannot record what happened after a deployment");
        }
    }

    async fn recorder(&mut self) -> &Recorder {
        let Deployer { store, live, redactor, .. } = self.deployer;
        let Watched { repo, deployment, .. } = self.watched;
        let last = match &self.recorder {
            Some(_) => 0,
            // A store that does not answer does not take lines either.
            None => store.last_line(*deployment).await.unwrap_or_default(),
        };
        self.recorder.get_or_insert_with(|| Recorder::after(store, live.clone(), redactor, *deployment, repo, last))
    }
}

impl Times {
    /// `now`: what the engine's clock shows; `length`: of the watch.
    fn new(verdict: i64, now: i64, length: Duration) -> Times {
        // When it was set back nobody knows; while it was watched, or the watch would be over.
        let back = now.saturating_sub(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX));
        Times { verdict, begun: (now, Instant::now()), back: (now < verdict).then_some(back) }
    }

    /// The engine's time.
    fn now(self) -> i64 {
        let (at, begun) = self.begun;
        at.saturating_add(i64::try_from(begun.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }

    /// From when on what happened is asked for.
    fn first(self) -> i64 {
        self.back.unwrap_or(self.verdict)
    }

    /// Whether something that was then happened after the verdict.
    fn is_after(self, at: i64) -> bool {
        at > self.verdict || self.back.is_some_and(|back| at > back && at <= self.now())
    }

    /// Milliseconds from the verdict to then.
    fn after(self, at: i64) -> i64 {
        let from = if at < self.verdict { self.first() } else { self.verdict };
        at.saturating_sub(from).max(0) / NANOS
    }
}

/// A fall as it is kept.
fn recorded(fall: &aftermath::Fall, times: Times) -> store::Fall {
    store::Fall {
        container: fall.container.clone(),
        after: times.after(fall.first),
        said: fall.said.clone(),
        times: fall.times,
        mended: match fall.now {
            Now::Mended { since } => Some(times.after(since)),
            Now::Fallen | Now::Up { .. } | Now::Gone => None,
        },
        seen: fall.last,
    }
}

fn words(fall: &aftermath::Fall, times: Times) -> String {
    recorded(fall, times).to_string()
}

/// A fall that was recorded before.
fn fallen(fall: store::Fall, watched: &Watched) -> aftermath::Fall {
    let at = |after: i64| watched.watch.since.saturating_add(after).saturating_mul(NANOS);
    aftermath::Fall {
        id: String::new(),
        first: at(fall.after),
        last: fall.seen,
        times: fall.times,
        now: fall.mended.map_or(Now::Fallen, |after| Now::Mended { since: at(after) }),
        container: fall.container,
        said: fall.said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn times_are_those_of_a_clock_that_may_be_set_back() {
        let minute = Duration::from_secs(60);
        let usual = Times::new(1_000 * SECOND, 1_020 * SECOND, minute);
        assert_eq!((usual.first(), usual.after(1_007 * SECOND)), (1_000 * SECOND, 7_000));
        assert!(usual.is_after(1_001 * SECOND) && !usual.is_after(999 * SECOND));
        assert!(usual.now() >= 1_020 * SECOND);
        let back = Times::new(1_000 * SECOND, 500 * SECOND, minute);
        assert_eq!(back.first(), 440 * SECOND);
        // Ends by the new time, of before and after the verdict by the old, and of long ago.
        for (at, is_after, after) in [(499, true, 59_000), (1_005, true, 5_000), (900, false, 460_000), (300, false, 0)]
        {
            assert_eq!((back.is_after(at * SECOND), back.after(at * SECOND)), (is_after, after), "{at}");
        }
    }
}
