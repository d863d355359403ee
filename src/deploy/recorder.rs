//! Where a deployment's events go: the database, the log file, and whoever watches. Redacted here, at the sink.

use tokio::sync::broadcast;

use super::clock::now_ms;
use crate::{
    report::{Event, Outcome, Reporter, redact::Redactor},
    store::{DeploymentId, Store},
};

/// Progress that nobody keeps: the state of a pull or a fetch, for those who watch right now.
pub type LiveProgress = (DeploymentId, Event);

/// Records one deployment.
pub struct Recorder {
    store: Store,
    live: broadcast::Sender<LiveProgress>,
    redactor: Redactor,
    deployment: DeploymentId,
    repo: String,
}

impl Recorder {
    /// A recorder of this deployment.
    pub fn new(
        store: Store,
        live: broadcast::Sender<LiveProgress>,
        redactor: Redactor,
        deployment: DeploymentId,
        repo: &str,
    ) -> Self {
        Self { store, live, redactor, deployment, repo: repo.to_owned() }
    }

    /// The text without secrets, as it may be kept.
    pub fn clean(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }
}

impl Reporter for Recorder {
    fn report(&self, event: Event) {
        let event = event.map_text(|text| self.redactor.line(text).into_owned());
        let (deployment, repo) = (self.deployment, self.repo.as_str());
        match &event {
            Event::Progress { .. } => {
                let _ = self.live.send((deployment, event)); // nobody watches: nobody misses it
                return;
            }
            Event::Phase { name } => tracing::debug!(repo, deployment, "phase {name}"),
            Event::Info { text } => tracing::info!(repo, deployment, "{text}"),
            Event::Warning { text } => tracing::warn!(repo, deployment, "{text}"),
            Event::StepStarted { text, .. } => tracing::debug!(repo, deployment, "begins: {text}"),
            Event::StepEnded { outcome: Outcome::Failed, text, .. } => tracing::error!(repo, deployment, "{text}"),
            Event::StepEnded { outcome: Outcome::Done, text, elapsed, .. } => {
                tracing::info!(repo, deployment, elapsed_ms = elapsed.as_millis(), "{text}");
            }
            Event::StepEnded { text, .. } => tracing::info!(repo, deployment, "{text}"),
            Event::Output { source, line } => tracing::info!(repo, deployment, source, "{line}"),
        }
        self.store.log(deployment, now_ms(), event);
    }
}
