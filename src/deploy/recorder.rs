//! Where a deployment's events go: the database, the log file, and whoever watches. Redacted here, at the sink.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::broadcast;

use super::secrets;
use crate::{
    report::{Event, Outcome, Reporter, counted, redact::Redactor},
    store::{DeploymentId, LogHandle, LogLimits, Store, StoreError},
};

/// An event for those who watch right now: what runs, and how far a pull or a fetch has come. The database has the rest.
pub type LiveProgress = (DeploymentId, Event);

/// Records one deployment.
pub struct Recorder {
    kept: LogHandle,
    live: broadcast::Sender<LiveProgress>,
    redactor: Redactor,
    deployment: DeploymentId,
    repo: String,
    /// Lines that are not in the log file, because the deployment's log there is long enough.
    left_out: AtomicU64,
}

impl Recorder {
    /// A recorder of this deployment, whose lines are masked as the repository's.
    pub fn new(
        store: &Store,
        live: broadcast::Sender<LiveProgress>,
        redactor: &Redactor,
        deployment: DeploymentId,
        repo: &str,
    ) -> Self {
        Self::after(store, live, redactor, deployment, repo, 0)
    }

    /// Goes on with a deployment's log after its line number `last`.
    pub fn after(
        store: &Store,
        live: broadcast::Sender<LiveProgress>,
        redactor: &Redactor,
        deployment: DeploymentId,
        repo: &str,
        last: i64,
    ) -> Self {
        let redactor = redactor.of(repo);
        let kept = store.log_handle_after(deployment, redactor.clone(), LogLimits::default(), last);
        Self { kept, live, redactor, deployment, repo: repo.to_owned(), left_out: AtomicU64::new(0) }
    }

    /// The text without secrets, as it may be kept.
    pub fn clean(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }

    /// Hands the rest of the log to the store; the end of the deployment, recorded next, is written after it.
    ///
    /// # Errors
    /// A store that is closed.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (deployment, repo) = (self.deployment, self.repo.as_str());
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            tracing::warn!(repo, deployment, "left out here: {} of this deployment", counted(left_out, "line"));
        }
        self.kept.close_soon().await
    }
}

impl Reporter for Recorder {
    fn variables(&self, variables: &[(String, String)]) {
        let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.redactor.add_all(&secrets::of_values(variables));
    }

    fn report(&self, event: Event) {
        let event = event.map_text(|text| self.kept.cut(self.redactor.line(text).into_owned()));
        let (deployment, repo) = (self.deployment, self.repo.as_str());
        let grave = matches!(event, Event::Warning { .. } | Event::StepEnded { outcome: Outcome::Failed, .. });
        match &event {
            _ if !self.kept.event(&event) && !grave => {
                if self.left_out.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(
                        repo,
                        deployment,
                        "this deployment says much: from here on only its warnings are logged here, `turnout logs \
                         --deployment {deployment}` has its last lines"
                    );
                }
            }
            Event::Progress { .. } => {}
            Event::Phase { name } => tracing::debug!(repo, deployment, "phase {name}"),
            Event::Info { text } | Event::Build { text, .. } => tracing::info!(repo, deployment, "{text}"),
            Event::Warning { text } => tracing::warn!(repo, deployment, "{text}"),
            Event::StepStarted { text, .. } => tracing::debug!(repo, deployment, "begins: {text}"),
            Event::StepEnded { outcome: Outcome::Failed, text, .. } => tracing::error!(repo, deployment, "{text}"),
            Event::StepEnded { outcome: Outcome::Done, text, elapsed, .. } => {
                tracing::info!(repo, deployment, elapsed_ms = elapsed.as_millis(), "{text}");
            }
            Event::StepEnded { text, .. } => tracing::info!(repo, deployment, "{text}"),
            Event::Output { source, line } => tracing::info!(repo, deployment, source, "{line}"),
        }
        let transient = matches!(event, Event::Progress { .. } | Event::StepStarted { .. } | Event::StepEnded { .. });
        if transient {
            let _ = self.live.send((deployment, event)); // nobody watches: nobody misses it
        }
    }
}
