//! What stays is changed in place, before the next colour starts: with requests held where something that runs is replaced, and
//! put back as it was where it does not come up.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    super::{Deployer, Failure, Prepared, of::Of},
    came::Broke,
    checks::Checks,
    gating::{Gate, NEW_COLOUR},
    way::{How, Way},
};
use crate::{
    compose::model::Project,
    engine::{Engine, Remembered, translate},
    plan::{self, Action},
    report::Reporter as _,
    store::dies,
};

/// What became of what had been replaced.
#[derive(Debug, Default)]
struct Back {
    done: Vec<String>,
    failed: Vec<String>,
}

impl Deployer {
    /// See the module.
    ///
    /// # Errors
    /// It came to nothing, and the failure says whether what was there before runs again.
    pub(super) async fn change_what_stays(&self, of: Of<'_>, way: &mut Way, engine: &Engine) -> Result<(), Broke> {
        let How::Made(making) = &way.how else { return Ok(()) };
        let stays = making.stays.clone();
        if stays.plan.steps.is_empty() {
            return Ok(());
        }
        let stops = |action: &Action| matches!(action, Action::StopContainer { .. } | Action::RestartContainer { .. });
        let holds = way.live.is_some() && stays.plan.steps.iter().any(|step| stops(&step.action));
        let mut before = Vec::new();
        if holds {
            before = engine.remember(&of.repo.project).await?;
            self.hold(of, way, "what stays changes").await?;
        }
        dies::here("before", "changing what stays");
        let checks = Checks::in_place(&stays.plan, &stays.loaded.project, way.adopts.is_some());
        let changed = match self.carry_out(of, &stays, &checks).await {
            Ok(started) => {
                let gate = Gate {
                    whose: NEW_COLOUR,
                    engine,
                    project: &stays.loaded.project,
                    started: &started,
                    since: None,
                    routes: &mut [],
                    live: &[],
                    checks: &checks,
                    health: of.timeouts.apply,
                    bake: Duration::ZERO,
                    recorder: of.recorder,
                    cancel: of.cancel,
                };
                gate.pass().await.map_err(Broke::from)
            }
            Err(broke) => Err(broke),
        };
        dies::here("after", "changing what stays");
        let back = match &changed {
            Ok(()) => Back::default(),
            Err(_) => self.put_stays_back(of, engine, &stays, before).await,
        };
        // Where they are held for more than this, whoever holds them lets them through.
        if holds {
            self.let_through(of, way).await;
        }
        let is_live = way.live.is_some();
        changed.map_err(|broke| match broke {
            Broke::Failed(failure) if is_live => Broke::Failed(back.told(failure)),
            Broke::Failed(failure) => Broke::Failed(failure.hint("correct the change and push again")),
            stale => stale,
        })
    }

    /// Makes again what has been replaced, and waits until it is well, as requests are held all the while.
    async fn put_stays_back(&self, of: Of<'_>, engine: &Engine, stays: &Prepared, before: Vec<Remembered>) -> Back {
        let (project, mut back) = (&stays.loaded.project, Back::default());
        let order = plan::dependency_order(project);
        let mut before = before;
        before.sort_by_key(|one| order.iter().position(|name| *name == one.service));
        let mut started = Vec::new();
        for one in before {
            let copies = project.services.get(&one.service).is_some_and(|service| {
                translate::copied_files(project, &one.service, service).is_ok_and(|files| !files.is_empty())
            });
            if copies {
                // What the former one had in their place nobody knows any more.
                back.failed.push(format!("{}: configs or secrets are copied into it", one.name));
                continue;
            }
            match engine.make_again(&project.name, &one).await {
                Ok(Some(made)) => {
                    of.recorder.info(format!("{} was put back as it was before", one.name));
                    back.done.push(one.name);
                    started.push(made);
                }
                Ok(None) => {}
                Err(error) => back.failed.push(format!("{}: {error}", one.name)),
            }
        }
        if started.is_empty() {
            return back;
        }
        // Also where the deployment was called off: that is why this is needed.
        let cancel = CancellationToken::new();
        let known = Project { name: project.name.clone(), ..Project::default() };
        let gate = Gate {
            whose: NEW_COLOUR,
            engine,
            project: &known,
            started: &started,
            since: None,
            routes: &mut [],
            live: &[],
            checks: &Checks::default(),
            health: of.timeouts.apply,
            bake: Duration::ZERO,
            recorder: of.recorder,
            cancel: &cancel,
        };
        if let Err(failure) = gate.pass().await {
            back.failed.push(failure.summary);
        }
        back
    }
}

impl Back {
    fn told(self, failure: Failure) -> Failure {
        let Back { done, failed } = self;
        match (done.is_empty(), failed.is_empty()) {
            (true, true) => failure.hint("what stays runs as before, and so does the live colour; correct the change and push again"),
            (false, true) => failure.but(&format!("what stays was put back as it was: {}", done.join(", "))).hint(
                "the live colour goes on as before; correct the change and push again (what the new one has written stays written)",
            ),
            (_, false) => {
                failure.but(&format!("what stays could not be put back as it was: {}", failed.join("; "))).hint(
                    "the live colour goes on with what stays as it is now (`turnout status` shows it); correct the change and push again",
                )
            }
        }
    }
}
