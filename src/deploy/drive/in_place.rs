//! The actions of a deployment in place: a plan carried out, and what it started watched.

use std::collections::BTreeSet;

use super::{Done, Drive, Ended, Found};
use crate::{
    deploy::{
        Deployer, Failure, acts::Manner, called_off, clock, colours::Rerouted, guard, leftovers, of::Of, outcome,
        prepared::Prepared, trigger, wanted, watch_on,
    },
    engine::{ApplyError, ContainerRef, EngineError},
    plan::Action as Step,
    rollout::{Fact, Phase},
    store::{Deployment, DeploymentId, State},
};

impl Drive<'_> {
    /// Carries the plan out.
    pub(super) async fn apply(&mut self) -> Result<Fact, Ended> {
        let Of { repo, timeouts, recorder, cancel, .. } = self.of;
        if let Some(rerouted) = &self.found.rerouted {
            self.deployer.reroute(self.of, rerouted).await?;
        }
        let Some(prepared) = &self.found.prepared else { return Err(guard::fault("nothing was planned").into()) };
        let Prepared { loaded, decision, plan, .. } = prepared;
        if !plan.steps.is_empty() {
            self.deployer.tidy.disturb(&loaded.project.name);
        }
        // As with `docker compose up`: who is waited for says so at its own pace (ADR 43).
        let applied = self.deployer.apply(prepared, repo, timeouts, Manner::default(), recorder, cancel).await;
        self.deployer.note_reads(prepared, &applied).await;
        if decision.trigger_file_to_remove && trigger::builds_succeeded(plan, &applied) {
            trigger::remove_trigger(repo, recorder).await;
        }
        match applied {
            Ok(report) => {
                self.found.report = Some(report);
                Ok(Fact::Applied)
            }
            Err(error) => {
                let failure = outcome::apply_failed(plan, &error);
                if let ApplyError::Step { report, .. } | ApplyError::Cancelled { report, .. } = &error {
                    // It is watched too, whatever a later plan brings.
                    self.found.started.extend(report.started.iter().cloned());
                }
                Err(match error {
                    ApplyError::Step { error: EngineError::Stale(reason), .. } => Ended::Stale(reason, failure),
                    _ => Ended::Failed(failure),
                })
            }
        }
    }

    /// Watches whether what was started stays up, and puts together what there is to say of a success.
    pub(super) async fn settle(&mut self) -> Result<Fact, Ended> {
        let Of { job, repo, timeouts, recorder, cancel } = self.of;
        let (Some(prepared), Some(report)) = (self.found.prepared.take(), self.found.report.take()) else {
            return Err(guard::fault("nothing was applied").into());
        };
        let Prepared { loaded, engine, plan, stands, .. } = &prepared;
        let (store, project) = (&self.deployer.store, &loaded.project);
        let fresh: BTreeSet<String> = report.started.iter().map(|container| container.id.clone()).collect();
        let earlier: Vec<ContainerRef> = std::mem::take(&mut self.found.started);
        let mut watched = report.started.clone();
        if !earlier.is_empty() {
            // Of them those that are still there; a later plan may have replaced others.
            let look = engine.observe_containers(&project.name);
            let seen = called_off::at_once(look, outcome::WATCHING, cancel).await?.map_err(Failure::from)?;
            let there: BTreeSet<String> = seen.containers.into_iter().map(|container| container.id).collect();
            watched.extend(earlier.into_iter().filter(|one| there.contains(&one.id) && !fresh.contains(&one.id)));
        }
        self.found.started.clone_from(&watched);
        let mut looked = clock::now();
        let unjudged = self.unjudged().await?;
        let judged = unjudged.is_none();
        let doubtful = if plan.steps.is_empty() && watched.is_empty() {
            // Nothing was done since: how it stood is how it stands, and what came after that is heard by whoever watches on.
            looked = stands.looked;
            stands.doubtful(timeouts.settle, judged)
        } else {
            let doubtful = engine.doubtful(project, &watched, timeouts.settle, judged);
            called_off::at_once(doubtful, outcome::WATCHING, cancel).await?.map_err(Failure::from)?
        };
        watched.extend(doubtful.watch);
        if !watched.is_empty() {
            self.enter(Phase::Settling).await;
            let earlier = store.previous(&repo.name).await.is_ok_and(|previous| previous.is_some());
            let watch = outcome::Watch {
                engine,
                prepared: &prepared,
                report: &report,
                watched: &watched,
                earlier,
                unjudged: unjudged.as_ref(),
            };
            let settled = outcome::settle(&watch, timeouts, recorder, cancel);
            looked = called_off::at_once(settled, outcome::WATCHING, cancel).await??;
        }
        let built = plan.steps.iter().any(|step| matches!(step.action, Step::Build { .. }));
        let keep = self.deployer.planner.settings.keep_build_cache.filter(|_| built);
        leftovers::tidy(&self.deployer.tidy, engine, repo, &project.name, keep, recorder, cancel).await;
        let Found { commit, branch, by_hand, rerouted, .. } = &self.found;
        let reached = wanted::reached(store, job, repo, commit, branch, recorder).await?;
        let more = [doubtful.restarted, by_hand.clone()].concat();
        let summary = outcome::summary(&prepared, &report, rerouted.as_ref().map(Rerouted::summary), &more, commit);
        let watch = watch_on::from(engine, looked, timeouts.watch).await;
        self.found.done = Some(Done { project: project.name.clone(), summary, commit: commit.clone(), reached, watch });
        Ok(Fact::Settled { watch: watch.map(|watch| watch.until) })
    }

    /// The deployment that may have started what runs without having come to say whether it stays up: an earlier one, or
    /// this one before it was put down.
    pub(super) async fn unjudged(&self) -> Result<Option<(DeploymentId, State)>, Failure> {
        let job = self.of.job;
        match self.taken_up {
            true => Ok(Some((job.id, State::Running))),
            false => self.deployer.unjudged(job).await,
        }
    }
}

impl Deployer {
    /// The last deployment of the repository that began before this one, where that did not come to say whether what it
    /// had started stays up: it was interrupted, cancelled, superseded while it waited, or failed. Its containers are not judged by being there.
    async fn unjudged(&self, job: &Deployment) -> Result<Option<(DeploymentId, State)>, Failure> {
        let last = self.store.last_begun(&job.repo, job.id).await.map_err(|error| Failure::new(error.to_string()))?;
        Ok(last.filter(|(_, state)| *state != State::Succeeded))
    }
}
