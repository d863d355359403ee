//! Stopping and removing containers.

use std::time::Duration;

use bollard::query_parameters::{
    InspectContainerOptions, RemoveContainerOptions, RestartContainerOptions, StopContainerOptions,
};

use super::{executor::Executor, schedule::Did};
use crate::{
    Engine, EngineError,
    error::{Refusal, status_of},
};

/// Grace of a container that sets none.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// A removal that is already in progress is waited for this long.
const REMOVAL_WAIT: Duration = Duration::from_secs(60);
const REMOVAL_POLL: Duration = Duration::from_millis(100);

impl Executor<'_> {
    /// [`turnout_plan::Action::StopContainer`].
    pub(super) async fn stop(&self, service: &str, id: &str, name: &str, hooks: bool) -> Result<Did, EngineError> {
        match self.world.by_id(id) {
            None => return Ok(Did::Skipped(format!("{name} is gone"))),
            Some(known) if !known.active => return Ok(Did::Skipped(format!("{name} does not run"))),
            Some(_) => {}
        }
        if hooks {
            self.pre_stop(service, id, name).await?;
        }
        self.stop_with_grace(service, id, name).await?;
        Ok(Did::Done(format!("stopped {name}")))
    }

    /// [`turnout_plan::Action::RestartContainer`].
    pub(super) async fn restart(&self, service: &str, id: &str, name: &str) -> Result<Did, EngineError> {
        let known = self.world.by_id(id).ok_or_else(|| EngineError::Stale(format!("container {name} is gone")))?;
        if known.active {
            self.pre_stop(service, id, name).await?;
        }
        self.world.stopping(id, true);
        let restarted = self.engine.restart_container(id, name, self.run.stop_timeout, self.grace_of(service)).await;
        self.heard(id, restarted)?;
        self.world.set_active(id, true);
        self.after_start(service, id, name).await?;
        Ok(Did::Done(format!("restarted {name}")))
    }

    /// [`turnout_plan::Action::RemoveContainer`].
    pub(super) async fn remove(&self, id: &str, name: &str, volumes: bool) -> Result<Did, EngineError> {
        // It would be killed without its time to end.
        if self.world.by_id(id).is_some_and(|known| known.active) {
            return Err(EngineError::Stale(format!("container {name}, which is to be removed, runs")));
        }
        self.engine.remove_container(id, name, volumes).await?;
        self.world.remove(id);
        Ok(Did::Done(format!("removed {name}")))
    }

    async fn pre_stop(&self, service: &str, id: &str, name: &str) -> Result<(), EngineError> {
        // Containers of services that are gone have no hooks any more.
        let Some(definition) = self.run.project.services.get(service) else { return Ok(()) };
        for hook in &definition.pre_stop {
            match self.run_hook(service, definition, id, name, hook, "pre_stop").await {
                // It stopped by itself meanwhile.
                Err(error) if matches!(error.status(), Some(404 | 409)) => return Ok(()),
                other => other?,
            }
        }
        Ok(())
    }

    /// Stops without hooks; no container or none running is a good end.
    async fn stop_with_grace(&self, service: &str, id: &str, name: &str) -> Result<(), EngineError> {
        self.world.stopping(id, true);
        let stopped = self.engine.stop_container(id, name, self.run.stop_timeout, self.grace_of(service)).await;
        self.heard(id, stopped)?;
        self.world.set_active(id, false);
        Ok(())
    }

    /// Notes that the engine has answered to a stop, if it has. Who is given up in between never comes here.
    fn heard(&self, id: &str, answer: Result<(), EngineError>) -> Result<(), EngineError> {
        if answer.as_ref().map_or_else(|error| error.status().is_some(), |()| true) {
            self.world.stopping(id, false);
        }
        answer
    }

    fn grace_of(&self, service: &str) -> Option<Duration> {
        let own = self.run.project.services.get(service)?.stop_grace_period;
        own.map(|d| Duration::from_nanos(u64::try_from(d.0).unwrap_or(0)))
    }
}

impl Engine {
    /// Stops a container: `over` is a grace over the container's own, `expected` the grace it is known to have.
    pub(crate) async fn stop_container(
        &self,
        id: &str,
        name: &str,
        over: Option<Duration>,
        expected: Option<Duration>,
    ) -> Result<(), EngineError> {
        let patience = self.patience(id, over, expected).await;
        let docker = self.docker_with_timeout(patience);
        let options = StopContainerOptions { signal: None, t: over.map(whole_seconds) };
        match self.ask_for(patience, docker.stop_container(id, Some(options))).await {
            Ok(()) => Ok(()),
            Err(error) if status_of(&error) == Some(404) => Ok(()),
            Err(error) => Err(EngineError::api(format!("stop {name}"), error)),
        }
    }

    /// Restarts a container in place, with graces as [`Engine::stop_container`].
    async fn restart_container(
        &self,
        id: &str,
        name: &str,
        over: Option<Duration>,
        expected: Option<Duration>,
    ) -> Result<(), EngineError> {
        let patience = self.patience(id, over, expected).await;
        let docker = self.docker_with_timeout(patience);
        let options = RestartContainerOptions { signal: None, t: over.map(whole_seconds) };
        let restarted = self.ask_for(patience, docker.restart_container(id, Some(options))).await;
        restarted.map_err(|error| EngineError::api(format!("restart {name}"), error))
    }

    /// How long a stop may take: the grace, and what any call may take, for the engine kills, unmounts and releases
    /// networks after it.
    pub(crate) async fn patience(&self, id: &str, over: Option<Duration>, expected: Option<Duration>) -> Duration {
        let grace = match over {
            Some(grace) => grace,
            // The container's own counts, and the file may say another since it was made.
            None => self.own_grace(id).await.max(expected.unwrap_or_default()),
        };
        grace.saturating_add(self.call_timeout())
    }

    /// The grace stored on the container, for the length of our own patience.
    async fn own_grace(&self, id: &str) -> Duration {
        let inspected = self.ask(self.docker().inspect_container(id, None::<InspectContainerOptions>)).await;
        let seconds = inspected.ok().and_then(|c| c.config).and_then(|c| c.stop_timeout);
        seconds.and_then(|s| u64::try_from(s).ok()).map_or(DEFAULT_GRACE, Duration::from_secs)
    }

    /// Removes a container; one that is gone, or going, is a good end.
    pub(crate) async fn remove_container(&self, id: &str, name: &str, volumes: bool) -> Result<(), EngineError> {
        let options = RemoveContainerOptions { v: volumes, force: true, link: false };
        let removed = self.ask(self.docker().remove_container(id, Some(options))).await;
        match removed.map_err(|error| EngineError::api(format!("remove {name}"), error)) {
            Err(error) if error.status() == Some(404) => Ok(()),
            Err(error) if error.refusal() == Some(&Refusal::RemovalInProgress) => self.await_removal(id, name).await,
            done => done,
        }
    }

    async fn await_removal(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let deadline = tokio::time::Instant::now() + REMOVAL_WAIT;
        while tokio::time::Instant::now() < deadline {
            let inspected = self.ask(self.docker().inspect_container(id, None::<InspectContainerOptions>)).await;
            if inspected.is_err_and(|e| status_of(&e) == Some(404)) {
                return Ok(());
            }
            tokio::time::sleep(REMOVAL_POLL).await;
        }
        let message = format!("its removal does not end within {} s", REMOVAL_WAIT.as_secs());
        Err(EngineError::refused(format!("remove {name}"), 0, &message))
    }
}

fn whole_seconds(grace: Duration) -> i32 {
    i32::try_from(grace.as_secs()).unwrap_or(i32::MAX)
}
