//! The live colour is made whole after a deployment that was broken off: what of it stands still is started, and requests that are
//! held are let through. They wait for the answer of what they need, where that had been ended for a change-over.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    super::{Deployer, Failure},
    lead::Lead,
    made::Made,
    mend::stands_still,
    revert::answer,
    snapshots,
    stands::Stands,
};
use crate::{
    config::Repo,
    engine::{Engine, Wake},
    report::Reporter,
    store::ColourRecord,
};

/// How long the answer of what runs already may take, of which it is not known whether it was started just now.
const RUNS: Duration = Duration::from_secs(5);

impl Deployer {
    /// See the module. Requests are held no longer than the answer takes, which has its own bound, and are let through whatever
    /// becomes of it.
    ///
    /// # Errors
    /// When proxy or engine refuse. That something does not answer is only told: the next colour may.
    pub(super) async fn live_whole(
        &self,
        repo: &Repo,
        steer: &Lead,
        (stands, live): (&Stands, &ColourRecord),
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        let made = Made::read(&live.made).map_err(Failure::new)?;
        let held = steer.holds(&repo.name).await?;
        let woken = self.start_live(stands, live, &made, engine, reporter).await;
        if !held {
            return woken.map(drop);
        }
        if let Ok(woken) = &woken
            && let Err(failure) = answers(&made, &live.project, woken).await
        {
            reporter.warn(failure.summary);
        }
        if steer.resume(&repo.name).await? {
            reporter
                .warn("requests had been held by a deployment that was broken off: they are let through".to_owned());
        }
        woken.map(drop)
    }

    /// Starts what of the live colour stands still. Answers which services that were.
    async fn start_live(
        &self,
        stands: &Stands,
        live: &ColourRecord,
        made: &Made,
        engine: &Engine,
        reporter: &dyn Reporter,
    ) -> Result<Vec<String>, Failure> {
        let containers = engine.containers(&live.project, true).await?;
        let wakes: Vec<Wake> = [made.wakes(false), made.wakes(true)].concat();
        let wakes: Vec<Wake> = wakes.into_iter().filter(|wake| stands_still(&containers, &wake.service)).collect();
        if wakes.is_empty() {
            return Ok(Vec::new());
        }
        if let Err(failure) = snapshots::refuse_gone(&live.project, made) {
            // The engine would put empty folders in their place; what comes next is made anew.
            reporter.warn(format!("{} stands still in part, and is not started: {failure}", live.project));
            return Ok(Vec::new());
        }
        // Whatever must not run twice ends elsewhere first; of a colour that bakes only that.
        for other in stands.all.iter().filter(|other| other.colour != live.colour) {
            let alone = Made::read(&other.made).map(|made| made.alone()).unwrap_or_default();
            if !alone.is_empty() {
                engine.rest(&other.project, &alone).await?;
            }
        }
        let names: Vec<String> = wakes.iter().map(|wake| wake.service.clone()).collect();
        reporter.warn(format!("{} is live and stands still in part: {} is started", live.project, names.join(", ")));
        engine.wake(&live.project, &wakes, &made.networks).await?;
        Ok(names)
    }
}

/// Waits until what was started answers, and what changes over and runs already: that may have been started just before.
async fn answers(made: &Made, project: &str, woken: &[String]) -> Result<(), Failure> {
    let alone = made.alone();
    let (started, others): (Vec<_>, Vec<_>) =
        made.routes.iter().cloned().partition(|route| woken.contains(&route.service));
    let runs: Vec<_> = others.into_iter().filter(|route| alone.contains(&route.service)).collect();
    // What runs and does not answer within that time may have been silent before.
    let (started, _) = tokio::join!(answer(&started, project), timeout(RUNS, answer(&runs, project)));
    started
}
