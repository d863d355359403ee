//! One step of a plan: whether its condition holds, and who does it.

use turnout_plan::{Action, Condition, StepId};

use super::{
    executor::Executor,
    schedule::{Did, Ended},
};
use crate::EngineError;

impl Executor<'_> {
    /// Executes one step if its condition holds.
    pub(super) async fn step(&self, id: StepId, ended: Vec<Option<Ended>>) -> Result<Did, EngineError> {
        let Some(step) = self.run.plan.steps.get(id) else { return Ok(Did::Skipped("no such step".to_owned())) };
        if !self.holds(&step.only_if, &ended).await? {
            return Ok(Did::Skipped(unmet(&step.only_if)));
        }
        if let Action::WaitFor { service, condition, required, dependents } = &step.action {
            let failed_before =
                step.after.iter().any(|s| matches!(ended.get(*s), Some(Some(Ended::Failed | Ended::Abandoned))));
            return self.wait_for(service, condition, *required, dependents, failed_before).await;
        }
        self.act(&step.action).await
    }

    /// Does one thing.
    pub(super) async fn act(&self, action: &Action) -> Result<Did, EngineError> {
        match action {
            Action::Pull { service, image, tolerate_failure } => self.pull(service, image, *tolerate_failure).await,
            Action::Build { service, image } => self.build(service, image).await,
            Action::CreateNetwork { key, name } => self.create_network(key, name).await,
            Action::TryNetwork { key, name, trial, subnets } => self.try_network(key, name, trial, *subnets).await,
            Action::DisconnectContainer { network, network_id, container } => {
                self.disconnect(network, network_id, container).await
            }
            Action::ConnectContainer { network, container, as_it_was } => {
                self.connect_again(network, container, *as_it_was).await
            }
            Action::RemoveNetwork { key: _, name, id, reason } => {
                self.remove_network(name, id.as_deref(), *reason).await
            }
            Action::CreateVolume { key, name } => self.create_volume(key, name).await,
            Action::RemoveVolume { key: _, name, replaced } => self.remove_volume(name, *replaced).await,
            Action::RemoveImage { image } => self.remove_image(image).await,
            Action::RenameContainer { service: _, id: Some(id), from, to } => self.rename(id, from, to).await,
            Action::RenameContainer { service, id: None, from, to } => self.rename_made(service, from, to).await,
            Action::CreateContainer { service, number, name, create_as, replaces } => {
                self.create(service, *number, name, create_as, replaces.as_ref()).await
            }
            Action::StopContainer { service, id, name, hooks } => self.stop(service, id, name, *hooks).await,
            Action::RemoveContainer { service: _, id, name, volumes, reason: _ } => {
                self.remove(id, name, *volumes).await
            }
            Action::RestartContainer { service, id, name } => self.restart(service, id, name).await,
            Action::SignalContainer { service: _, id, name, signal } => self.signal(id, name, signal).await,
            Action::UnpauseContainer { service: _, id, name } => self.unpause(id, name).await,
            Action::WaitFor { service, condition, required, dependents } => {
                self.wait_for(service, condition, *required, dependents, false).await
            }
            Action::RunPreStart { service, index, name, number, beside } => {
                self.run_pre_start(service, *index, name, (*number, beside)).await
            }
            Action::StartContainer { service, number, name } => self.start(service, *number, name).await,
            Action::AwaitReady { service, number, name } => self.await_ready(service, *number, name).await,
        }
    }

    async fn holds(&self, condition: &Condition, ended: &[Option<Ended>]) -> Result<bool, EngineError> {
        let did = |s: &StepId| matches!(ended.get(*s), Some(Some(Ended::Done)));
        Ok(match condition {
            Condition::Always => true,
            Condition::AnyDid(steps) => steps.iter().any(did),
            Condition::DidNot(step) => !did(step),
            Condition::ImageChanged { service: _, image, running } => self.image_id(image).await? != *running,
            Condition::AnyOf(conditions) => {
                for condition in conditions {
                    // Never nested, says the plan; boxing keeps the recursion finite in size should it be.
                    if Box::pin(self.holds(condition, ended)).await? {
                        return Ok(true);
                    }
                }
                false
            }
        })
    }
}

/// Why a condition did not hold, in words.
fn unmet(condition: &Condition) -> String {
    match condition {
        Condition::Always => String::new(),
        Condition::ImageChanged { image, .. } => format!("image {image} is the one it runs"),
        Condition::AnyDid(_) => "nothing before it changed anything".to_owned(),
        Condition::DidNot(_) => "not needed any more".to_owned(),
        Condition::AnyOf(conditions) => conditions.iter().map(unmet).collect::<Vec<_>>().join(", "),
    }
}
