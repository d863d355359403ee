//! The answers of a new colour are compared with those of the one before: while it bakes with what that one answered before the
//! move, while both share the requests with what it answers meanwhile. Beside the lane, one question to the proxy a second at most.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    super::{
        Deployer, Failure,
        judgings::{Away, Judging},
        now_ms,
        of::Of,
    },
    judged::{self, Baseline},
    made::Made,
    other,
    way::Way,
};
use crate::{
    config::Repo,
    git,
    report::Reporter as _,
    rollout::{
        Generation,
        analysis::{Counts, Other, Rules, Verdict, figures, judge},
    },
    steer::Steer,
    store::{ColourRecord, Fall, TakenBack},
    traffic::control::Counters,
};

/// How long the proxy may take to say what it has counted: a deployment, and whoever looks, goes on without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a colour is compared with while requests go there alone.
const BEFORE: &str = "before";

fn which(one: &ColourRecord) -> (&str, Generation) {
    (&one.colour, one.generation)
}

impl Deployer {
    /// What turnout-proxy has counted of a repository, by a reading that is a second old at most.
    ///
    /// # Errors
    /// It does not say, or not in time.
    pub async fn counted(&self, repo: &str) -> Result<Arc<Counters>, Failure> {
        if let Some(counters) = self.judgings.fresh(repo) {
            return Ok(counters);
        }
        let counters = self.count_now(repo).await?;
        self.judgings.keep(repo, &counters);
        Ok(counters)
    }

    /// A reading for one purpose: of the moment before the routes move nothing is true a moment later.
    async fn count_now(&self, repo: &str) -> Result<Arc<Counters>, Failure> {
        let steer = Steer::new(self.planner.settings.proxy_socket.clone());
        let counters = match timeout(PATIENCE, steer.counters(repo)).await {
            Ok(counters) => Arc::new(counters?),
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                return Err(Failure::new(format!("turnout-proxy has not said within {seconds} s what it has counted")));
            }
        };
        Ok(counters)
    }

    /// A deployment begins to make its colour: what is counted from now on are the minutes before the move.
    pub(super) async fn analysis_begins(&self, repo: &str, way: &Way) {
        let wanted = way.made.judged.rules.is_some() && way.live.is_some() && way.steer.own().is_some();
        let counters = if wanted { self.counted(repo).await.ok() } else { None };
        self.judgings.begins(repo, counters);
    }

    /// Requests are about to move: what was counted until now is kept with the new colour, on the disk.
    pub(super) async fn analysis_moves(&self, of: Of<'_>, way: &mut Way, made: u64) {
        let Of { repo, recorder, .. } = of;
        way.made.judged.baseline = None;
        if way.goes_back {
            // Somebody wants it. It is what it is, and what it would be compared with is what they left.
            (way.made.judged.rules, way.made.judged.measures) = (None, None);
        }
        let (Some(rules), Some((live, _)), Some(_)) = (way.made.judged.rules, &way.live, way.steer.own()) else {
            return;
        };
        match self.count_now(&repo.name).await {
            Ok(now) => {
                let next = (way.colour.as_str(), Generation::try_from(made).unwrap_or(Generation::MAX));
                let first = self.judgings.began(&repo.name);
                way.made.judged.baseline = Some(Baseline::at(&now, first.as_deref(), &rules, which(live), next));
            }
            Err(failure) => recorder.warn(format!("answers are not judged while it bakes: {failure}")),
        }
        self.judgings.over(&repo.name);
        if let Err(error) = self.store.note_made(&repo.name, &way.colour, &way.made.to_text()).await {
            recorder.warn(format!("what was counted before could not be recorded: {error}"));
        }
    }

    /// Why the live colour is to be taken back, if its answers say so.
    pub(super) async fn worse_than_before(&self, repo: &str, live: &ColourRecord, made: &Made) -> Option<String> {
        let (rules, baseline) = (made.judged.rules?, made.judged.baseline?);
        let counters = self.counted(repo).await.ok()?;
        let mut judging = self.judgings.of(repo, live.generation);
        let came = match &mut judging.away {
            None => baseline.since(&counters, which(live))?,
            Some(away) => {
                let all = judged::of(&counters, which(live), &judged::any)?;
                let came = away.since(counters.began, &all);
                self.judgings.note(repo, judging.clone());
                came?
            }
        };
        let other = Other { counts: &baseline.before, which: BEFORE };
        self.seen(repo, judging, &rules, &came, other).await
    }

    /// The engine is away while a colour bakes: [`Away`].
    pub(super) fn engine_is_away(&self, repo: &str, live: &ColourRecord) {
        let judging = Judging { away: Some(Away::now()), ..self.judgings.of(repo, live.generation) };
        self.judgings.note(repo, judging);
    }

    /// Why a next colour that gets a share of the requests is to be given up, if its answers say so beside those of the live one.
    pub(super) async fn worse_beside(&self, repo: &str, next: &ColourRecord, made: &Made) -> Option<String> {
        let rules = made.judged.rules?;
        let (stands, counters) = (self.recorded(repo).await.ok()?, self.counted(repo).await.ok()?);
        let live = stands.live()?;
        let both = judged::shared(which(live), which(next));
        let own = judged::of(&counters, which(next), &both)?;
        let its = judged::of(&counters, which(live), &both)?;
        let mut judging = self.judgings.of(repo, next.generation);
        let known = judging.began.filter(|(began, ..)| *began == counters.began);
        let differences = known.and_then(|(_, first, other)| Some((own.since(&first)?, its.since(&other)?)));
        let Some((came, beside)) = differences else {
            judging.began = Some((counters.began, own, its));
            self.judgings.note(repo, judging);
            return None;
        };
        let meanwhile = meanwhile(live);
        self.seen(repo, judging, &rules, &came, Other { counts: &beside, which: &meanwhile }).await
    }

    /// Takes a look in.
    async fn seen(
        &self,
        repo: &str,
        mut judging: Judging,
        rules: &Rules,
        came: &Counts,
        other: Other<'_>,
    ) -> Option<String> {
        let verdict = judge(rules, came, other);
        // The engine is asked only where it matters.
        let down = if matches!(verdict, Verdict::Worse(_)) { self.stays_down(repo).await } else { None };
        if let Some(down) = down.as_ref().filter(|_| judging.suspended.is_none()) {
            tracing::warn!(repo, "answers are not judged while {down}");
        }
        let worse = judging.looks.seen(rules, &verdict, came.ended, down.is_some());
        judging.suspended = down;
        self.judgings.note(repo, judging);
        worse
    }

    /// What both colours need and is down, in words: nothing that is answered meanwhile speaks of one of them.
    async fn stays_down(&self, repo: &str) -> Option<String> {
        let staying = self.planner.find(repo).ok()?.project.clone();
        let engine = self.planner.engine().await.ok()?;
        let sights = engine.sights(&staying).await.ok()?;
        let mut all = sights.iter();
        let down = all.find(|sight| sight.restarting || sight.unhealthy || (!sight.running && sight.code != 0));
        down.map(|sight| format!("{}, which both colours need, is down", sight.container))
    }

    /// Why turnout counts none of a repository's requests: another proxy leads them.
    pub fn led_elsewhere(&self, repo: &Repo) -> Option<String> {
        let other = other::of(repo).ok().flatten()?;
        Some(format!("{} leads them", other.name()))
    }

    /// A next colour is given up for its answers: its commit is not deployed again by itself.
    pub(super) async fn note_turned_down(&self, repo: &str, next: &ColourRecord, why: &str) {
        let Some(commit) = &next.commit else { return };
        let left = TakenBack { commits: vec![commit.clone()], why: why.to_owned() };
        if let Err(error) = self.store.note_reverted(repo, left).await {
            tracing::error!(repo, "that {} was given up could not be recorded: {error}", git::short(commit));
        }
    }

    /// How the colour that is judged just now does, in words; `None`: none is.
    pub async fn judged_now(
        &self,
        repo: &str,
        live: Option<&ColourRecord>,
        next: Option<&ColourRecord>,
    ) -> Option<String> {
        let counters = self.counted(repo).await.ok()?;
        let said = match (next, live) {
            (Some(next), Some(live)) => {
                let rules = Made::read(&next.made).ok()?.judged.rules?;
                let (began, first, other) = self.judgings.of(repo, next.generation).began?;
                let both = judged::shared(which(live), which(next));
                let own = judged::of(&counters, which(next), &both)?;
                let its = judged::of(&counters, which(live), &both)?;
                let known = Some(()).filter(|()| began == counters.began);
                let (came, beside) = known.and_then(|()| Some((own.since(&first)?, its.since(&other)?)))?;
                figures(&rules, &came, Other { counts: &beside, which: &meanwhile(live) })
            }
            (None, Some(live)) => {
                let judged = Made::read(&live.made).ok()?.judged;
                let (rules, baseline) = (judged.rules?, judged.baseline?);
                let came = baseline.since(&counters, which(live))?;
                figures(&rules, &came, Other { counts: &baseline.before, which: BEFORE })
            }
            (_, None) => return None,
        };
        let judged = next.or(live)?;
        Some(match self.judgings.of(repo, judged.generation).suspended {
            Some(why) => format!("{said}; not judged while {why}"),
            None => said,
        })
    }

    /// What the end of a bake says of the answers that it has seen: those that were too few were not judged.
    pub(super) async fn judged_at_last(&self, repo: &str, live: &ColourRecord) -> Option<String> {
        let judged = Made::read(&live.made).ok()?.judged;
        judged.rules?;
        if judged.baseline.is_none() {
            return Some("its answers were not judged: what was counted before is not known".to_owned());
        }
        match self.judged_now(repo, Some(live), None).await {
            Some(said) => Some(format!("its answers: {said}")),
            None => Some("its answers were not judged: turnout-proxy does not say what it has counted".to_owned()),
        }
    }

    /// Has the history of the deployment that made a colour say that it was taken back, and why.
    pub(super) async fn note_taken_back(&self, repo: &str, left: &ColourRecord, why: &str) {
        let Some(id) = left.deployment else { return };
        // It stands live since its verdict, or little before.
        let after = now_ms().saturating_sub(left.since).max(0);
        let fall = Fall {
            container: left.project.clone(),
            after,
            said: format!("was taken back ({why})"),
            times: 1,
            mended: None,
            seen: 0,
        };
        if let Err(error) = self.store.note_fall(id, fall).await {
            tracing::warn!(
                repo,
                "that {} was taken back could not be recorded with its deployment: {error}",
                left.project
            );
        }
    }
}

fn meanwhile(live: &ColourRecord) -> String {
    format!("of {} meanwhile", live.project)
}
