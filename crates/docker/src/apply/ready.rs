//! Waiting until a replacement is ready whose predecessor runs meanwhile.

use bollard::models::HealthStatusEnum as HealthStatus;
use turnout_compose::labels::final_name;
use turnout_report::{Event, Silent};

use super::{containers::gone, executor::Executor, report::ContainerRef, schedule::Did};
use crate::{EngineError, Settle, SettleError, patience::spoken};

impl Executor<'_> {
    /// [`turnout_plan::Action::AwaitReady`]: judged as after a deployment, but that an end with exit code 0 is none that
    /// was wanted. What is not ready is left to whoever puts back, so its last words are told here.
    pub(super) async fn await_ready(&self, service: &str, number: Option<u32>, name: &str) -> Result<Did, EngineError> {
        let known = self.world.find(service, number, name).ok_or_else(|| gone(name))?;
        let started = [ContainerRef { id: known.id.clone(), name: name.to_owned(), service: service.to_owned() }];
        let watch = Settle {
            project: self.run.project,
            started: &started,
            settle: self.run.settle,
            health_timeout: self.run.wait_timeout,
            probing: self.run.probing,
            reporter: &Silent,
            cancel: &self.halt,
        };
        let own = final_name(name);
        let fault = |reason: String| Err(EngineError::Dependency(format!("it {reason}; {own} was not touched")));
        match self.engine.settle(&watch).await {
            Ok(_) => {}
            Err(SettleError::Cancelled) => return Err(EngineError::Cancelled),
            Err(SettleError::Engine(error)) => return Err(error),
            Err(SettleError::Failed(those)) => {
                let Some(one) = those.into_iter().next() else { return fault("is not ready".to_owned()) };
                let last = one.log.last().map(|last| format!(", its last words: {last}")).unwrap_or_default();
                for line in one.log {
                    self.run.reporter.report(Event::Output { source: own.to_owned(), line });
                }
                return fault(format!("{}{last}", one.reason));
            }
        }
        let state = self.engine.find_container(&known.id).await?.and_then(|found| found.state).unwrap_or_default();
        if state.running != Some(true) {
            return fault(format!("ended with exit code {}", state.exit_code.unwrap_or_default()));
        }
        let healthy = state
            .health
            .is_some_and(|health| !matches!(health.status, None | Some(HealthStatus::EMPTY | HealthStatus::NONE)));
        let how =
            if healthy { "is healthy".to_owned() } else { format!("has stayed up for {}", spoken(self.run.settle)) };
        Ok(Did::Done(format!("the replacement of {own} {how}")))
    }
}
