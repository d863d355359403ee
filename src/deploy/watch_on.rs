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

use super::{Deployer, Recorder, at_ms, now_ms};
use crate::{
    engine::{
        Engine, EngineError,
        aftermath::{self, Aftermath, News, Now},
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
pub(super) fn from(looked: SystemTime, length: Duration) -> Option<store::Watch> {
    let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let since = at_ms(looked);
    // Counted from now: what came between was the deployment's own work.
    (length > 0).then(|| store::Watch { since, until: now_ms().saturating_add(length) })
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
        for watched in self.store.watched().await? {
            let ended = now_ms().saturating_sub(watched.watch.until);
            if ended > i64::try_from(STALE.as_millis()).unwrap_or(i64::MAX) || self.planner.find(&watched.repo).is_err()
            {
                self.store.end_watch(watched.deployment).await?;
                continue;
            }
            self.begin_watch(watched, Began::Before);
        }
        Ok(())
    }

    /// Ends what is watched of a repository: from now on its containers change because a deployment changes them.
    pub(super) async fn end_watch(&self, repo: &str) {
        // The watch notes its end itself.
        let _of = self.watches.end(repo).await;
    }
}

/// One watch.
struct Watch<'a> {
    deployer: &'a Deployer,
    watched: &'a Watched,
    began: Began,
    /// How long something that came back must stay up.
    settle: Duration,
    known: Aftermath,
    /// Where what happened is told; made when something does.
    recorder: Option<Recorder>,
    /// Lines of containers that may be kept yet; none where it is not known what in them is secret.
    lines: usize,
}

/// What a watch knows of the engine's clock.
#[derive(Clone, Copy)]
struct Times {
    verdict: i64,
    ahead: i64,
}

impl<'a> Watch<'a> {
    async fn of(deployer: &'a Deployer, watched: &'a Watched, began: Began) -> Watch<'a> {
        let daemons = deployer.planner.settings.timeouts;
        let repo = deployer.planner.find(&watched.repo);
        let settle = repo.as_ref().map_or(daemons.settle, |repo| repo.timeouts.over(&daemons).settle);
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
        Watch { deployer, watched, began, settle, known, recorder: None, lines }
    }

    /// Watches until the time is over and nothing is open.
    async fn run(mut self) {
        let watch = self.watched.watch;
        // A clock that was set back makes no watch longer than it was to be.
        let left = watch.until.saturating_sub(now_ms()).min(watch.until.saturating_sub(watch.since));
        let until = Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0));
        loop {
            match self.connected(until).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(deployment = self.watched.deployment, %error, "the watch waits for the engine");
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
            tracing::warn!(deployment = self.watched.deployment, %error, "cannot write the log of a watch");
        }
    }

    /// Watches over one connection. Whether the watch is over, not only the connection.
    async fn connected(&mut self, until: Instant) -> Result<bool, EngineError> {
        let engine = self.deployer.planner.engine().await?;
        let project = self.watched.project.as_str();
        let ahead = engine.ahead().await;
        let times = Times { verdict: self.watched.watch.since.saturating_mul(NANOS).saturating_add(ahead), ahead };
        let mut since = times.verdict;
        if self.began == Began::Before {
            let now = times.now();
            // No longer than the watch itself: what stands and what does not is seen without it, too.
            let left = until.saturating_duration_since(Instant::now()).max(AGAIN);
            let missed = match engine.happened(project, times.verdict, now, left).await {
                Ok(happenings) => {
                    for happening in happenings {
                        let news = self.known.take(&happening, true);
                        self.tell(&engine, times, news).await;
                    }
                    None
                }
                Err(error) => Some(error),
            };
            self.look(&engine, times).await?;
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
                self.look(&engine, times).await?;
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

    /// Looks at the containers as they are now.
    async fn look(&mut self, engine: &Engine, times: Times) -> Result<(), EngineError> {
        let now = times.now();
        for sight in engine.sights(&self.watched.project).await? {
            let news = self.known.look(&sight, times.verdict, now);
            self.tell(engine, times, news).await;
        }
        Ok(())
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
                let mut last = engine.last_lines(&fall.id, LOG_LINES).await;
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
            tracing::error!(deployment = id, %error, "cannot record what happened after a deployment");
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
        self.recorder
            .get_or_insert_with(|| Recorder::after(store, live.clone(), redactor.clone(), *deployment, repo, last))
    }
}

impl Times {
    /// The engine's time.
    fn now(self) -> i64 {
        now_ms().saturating_mul(NANOS).saturating_add(self.ahead)
    }

    /// Milliseconds from the verdict to then.
    fn after(self, at: i64) -> i64 {
        at.saturating_sub(self.verdict).max(0) / NANOS
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
