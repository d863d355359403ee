//! After a switch both colours run: the bake. Beside the lane the new one is looked at; when the time is over the old one is
//! stopped and kept, and where the new one fails, or somebody asks for it, the routes lead back.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Deployer, Failure,
        bakes::{Ask, Question, UnderWay},
        now_ms,
    },
    lead::Lead,
    made::Made,
    measured::{Of, When},
    stands::Stands,
    start::Log,
};
use crate::{
    engine::happenings::Happenings,
    rollout::{Bake, Millis},
    store::{ColourRecord, ColourStanding},
};

/// Time between two looks at the new colour.
const LOOK: Duration = Duration::from_secs(1);
/// Questions that may wait.
const QUESTIONS: usize = 8;
/// Time between two tries where store, proxy or engine do not answer.
const AGAIN: Duration = Duration::from_secs(2);
/// A fault whose figures differ with each look.
const ANSWERS: &str = "answers";
/// What others say: its figures differ, too.
const MEASURES: &str = "measures";

impl Deployer {
    /// Looks after the bake of a repository, if it has one that nobody looks after.
    pub async fn bake_on(self: &Arc<Self>, repo: &str) {
        let bake = match self.store.rollout(repo).await {
            Ok(rollout) => rollout.bake,
            Err(error) => {
                tracing::error!(repo, %error, "whether a bake is under way cannot be read");
                None
            }
        };
        let Some(bake) = bake.filter(|_| !self.bakes.stop.is_cancelled()) else { return };
        let mut under_way = self.bakes.lock();
        if under_way.contains_key(repo) {
            return;
        }
        let (asks, asked) = mpsc::channel(QUESTIONS);
        let over = CancellationToken::new();
        under_way.insert(repo.to_owned(), UnderWay { asks, over: over.clone() });
        let (deployer, repo) = (Arc::clone(self), repo.to_owned());
        self.bakes.tasks.spawn(async move {
            let stop = deployer.bakes.stop.clone();
            tokio::select! {
                () = async {
                    // Whoever puts right what a daemon before left must not start what this stops.
                    deployer.mended(&repo).await;
                    deployer.look_after(&repo, bake, asked).await;
                } => {}
                () = stop.cancelled() => {}
            }
            deployer.bakes.lock().remove(&repo);
            over.cancel();
            // A deployment may wait for this.
            deployer.waits.one_more();
        });
    }

    /// Asks the bake of a repository; `None` where there is none.
    ///
    /// # Errors
    /// What it could not do.
    pub async fn ask_bake(self: &Arc<Self>, repo: &str, ask: Ask) -> Option<Result<String, Failure>> {
        self.bake_on(repo).await;
        let asks = self.bakes.lock().get(repo).map(|bake| bake.asks.clone())?;
        let (answer, answered) = oneshot::channel();
        asks.send((ask, answer)).await.ok()?;
        answered.await.ok()
    }

    async fn look_after(&self, repo: &str, bake: Bake, mut asked: mpsc::Receiver<Question>) {
        let left = u64::try_from(bake.until.saturating_sub(now_ms())).unwrap_or(0);
        let mut end = Instant::now() + Duration::from_millis(left);
        if self.recorded(repo).await.is_ok_and(|stands| stands.at(ColourStanding::Previous).is_none()) {
            // Somebody went back, and nobody lived to stop what had been live.
            end = Instant::now();
        }
        let mut told = String::new();
        let mut happenings = self.happenings(repo).await;
        loop {
            tokio::select! {
                biased;
                question = asked.recv() => {
                    let Some((ask, answer)) = question else { return };
                    let done = match &ask {
                        Ask::End => self.retire(repo).await,
                        Ask::Revert(why) => self.revert(repo, why, false).await,
                    };
                    let over = done.is_ok();
                    let _ = answer.send(done);
                    if over {
                        return;
                    }
                }
                () = sleep_until(end) => {
                    let retired = self.retire(repo).await;
                    match retired {
                        Ok(said) => {
                            tracing::info!(repo, "{said}");
                            return;
                        }
                        Err(failure) => {
                            tracing::warn!(repo, "the colour before cannot be stopped yet: {failure}");
                            sleep(AGAIN).await;
                        }
                    }
                }
                // Whatever happens to a container is looked at at once; an engine that is deaf, every second.
                () = happens(&mut happenings) => match self.fault(repo).await {
                    Ok(None) | Err(_) => {}
                    Ok(Some(fault)) => {
                        if told != fault.what {
                            told.clone_from(&fault.what);
                            if !fault.goes_back {
                                tracing::error!(repo, "{}; on_failure is pause: `turnout rollback {repo}` goes back", fault.said);
                                continue;
                            }
                            tracing::error!(repo, "{}: going back", fault.said);
                            let reverted = self.revert(repo, &fault.said, true).await;
                            match reverted {
                                Ok(said) => {
                                    tracing::warn!(repo, "{said}");
                                    return;
                                }
                                Err(failure) => {
                                    tracing::error!(repo, "there is no way back yet: {failure}");
                                    told.clear();
                                }
                            }
                        }
                    }
                },
            }
        }
    }

    /// What happens to the containers of the live colour from now on; nothing where the engine is not there.
    async fn happenings(&self, repo: &str) -> Option<Happenings> {
        let stands = self.recorded(repo).await.ok()?;
        let engine = self.planner.engine().await.ok()?;
        let since = now_ms().saturating_mul(1_000_000).saturating_add(engine.ahead().await);
        Some(engine.happenings(&stands.live()?.project, since))
    }

    /// What is wrong with the new colour.
    async fn fault(&self, repo: &str) -> Result<Option<Fault>, Failure> {
        let stands = self.recorded(repo).await?;
        let Some(live) = stands.live() else { return Ok(None) };
        let made = Made::read(&live.made).map_err(Failure::new)?;
        let goes_back = made.goes_back;
        let seen = self.fault_of(live, &made, |_| true).await;
        if seen.is_err() {
            self.engine_is_away(repo, live);
        }
        if let Some(seen) = seen? {
            let said = format!("{seen} while {} bakes", live.project);
            return Ok(Some(Fault { what: said.clone(), said, goes_back }));
        }
        if let Some(figures) = self.worse_than_before(repo, live, &made).await {
            let said = format!("answers of {} are worse: {figures}", live.project);
            return Ok(Some(Fault { what: ANSWERS.to_owned(), said, goes_back }));
        }
        let other = stands.at(ColourStanding::Previous);
        let said = self.measured_badly(Of { repo, one: live, made: &made, other, when: When::Bakes });
        Ok(said.map(|said| Fault { what: MEASURES.to_owned(), said, goes_back }))
    }

    /// What is wrong with the services of a colour that are to run.
    pub(super) async fn fault_of(
        &self,
        colour: &ColourRecord,
        made: &Made,
        runs: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, Failure> {
        let engine = self.planner.engine().await?;
        let listed = engine.containers(&colour.project, true).await?;
        for sight in engine.sights(&colour.project).await? {
            let Some(one) = listed.iter().find(|one| one.id == sight.id && !one.oneoff) else { continue };
            let service = made.services.iter().find(|service| service.name == one.service && !service.job);
            let Some(service) = service.filter(|service| runs(&service.name)) else { continue };
            let said = if sight.restarting || sight.restarts > 0 {
                // They were made, or started, for this colour.
                "ended and was restarted".to_owned()
            } else if sight.unhealthy {
                "is unhealthy".to_owned()
            } else if !sight.running && (sight.code != 0 || is_routed(made, &service.name)) {
                format!("ended with exit code {}", sight.code)
            } else {
                continue;
            };
            return Ok(Some(format!("{} {said}", one.name)));
        }
        Ok(None)
    }

    /// The bake is over: the colour before is stopped and kept.
    async fn retire(&self, repo: &str) -> Result<String, Failure> {
        let _act = self.acting.begin(repo, "the end of the bake").await;
        let (steer, stands) = self.asked(repo).await?;
        let Some(previous) = stands.at(ColourStanding::Previous) else {
            self.store.bake_over(repo).await.map_err(|error| Failure::new(error.to_string()))?;
            self.needs_mending(repo, "a bake was over, and no colour before it was known");
            return Ok("the bake is over".to_owned());
        };
        self.never_live(&stands, &previous.project)?;
        let since = stands.live().map_or(0, |live| live.since);
        let answers = match stands.live() {
            Some(live) => {
                let answers = self.judged_at_last(repo, live).await;
                let all: Vec<String> = answers.into_iter().chain(self.measured_at_last(repo, live)).collect();
                (!all.is_empty()).then(|| all.join("; "))
            }
            None => None,
        };
        self.leaves(repo, &steer, &stands, &previous.colour).await?;
        self.drain(&steer, previous, since).await?;
        let engine = self.planner.engine().await?;
        engine.rest(&previous.project, &[]).await?;
        self.store.bake_over(repo).await.map_err(|error| Failure::new(error.to_string()))?;
        let live = stands.live().map(|live| live.project.clone()).unwrap_or_default();
        let answers = answers.map(|said| format!("; {said}")).unwrap_or_default();
        let previous = &previous.project;
        Ok(format!("the bake is over: {live} stays live, {previous} is stopped and kept to go back to{answers}"))
    }

    /// Waits for what is open to a colour that has left the routes, for as long as its `drain` says.
    pub(super) async fn drain(&self, steer: &Lead, left: &ColourRecord, since: Millis) -> Result<(), Failure> {
        let made = Made::read(&left.made).map_err(Failure::new)?;
        let longest = made.routes.iter().filter_map(|route| route.drain).max().unwrap_or_default();
        let ago = u64::try_from(now_ms().saturating_sub(since)).unwrap_or_default();
        let drained = steer.drained(&left.colour, Duration::from_millis(ago), Duration::from_secs(longest)).await?;
        if let Some(open) = drained {
            tracing::warn!("{} is stopped all the same: {open}", left.project);
        }
        Ok(())
    }

    /// The proxy, and how the colours stand as the routes have it.
    pub(super) async fn asked(&self, repo: &str) -> Result<(Lead, Stands), Failure> {
        // Also of one that is in the list no more: what was begun is brought to its end.
        let steer = self.lead_of(repo).await?;
        let stands = self.stands(repo, &steer, &Log(repo)).await?;
        Ok((steer, stands))
    }

    /// The live colour is never stopped. Whoever comes here with it has a fault.
    pub(super) fn never_live(&self, stands: &Stands, project: &str) -> Result<(), Failure> {
        match stands.live().is_some_and(|live| live.project == project) {
            true => Err(super::super::guard::fault("the live colour was to be stopped")),
            false => Ok(()),
        }
    }
}

/// Waits until something happens, a second at most.
async fn happens(happenings: &mut Option<Happenings>) {
    let next = async {
        match happenings {
            Some(stream) => stream.next().await.is_some(),
            None => std::future::pending().await,
        }
    };
    if let Ok(false) = timeout(LOOK, next).await {
        // The connection was lost.
        *happenings = None;
    }
}

/// Something is wrong with the new colour.
struct Fault {
    /// By this it is told only once.
    what: String,
    said: String,
    goes_back: bool,
}

fn is_routed(made: &Made, service: &str) -> bool {
    made.routes.iter().any(|route| route.service == service)
}

/// Milliseconds that a bake has left.
pub fn left(bake: Bake) -> Millis {
    bake.until.saturating_sub(now_ms()).max(0)
}
