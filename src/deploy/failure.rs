//! Why a deployment ended badly, in the words a person reads.

use crate::{
    compose::error::LoadError, config::Mistakes, engine::EngineError, files::Lost, git::GitError, plan::PlanError,
    report::redact::Redactor, store::StoreError,
};

/// A deployment's bad end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{summary}")]
pub struct Failure {
    /// What happened, and where.
    pub summary: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Cancelled by a person or a shutdown rather than failed.
    pub cancelled: bool,
    /// What the failure itself tells of the engine.
    pub engine: Engine,
}

/// Whether the engine is there, as far as a failure tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// It does not tell.
    Unasked,
    /// It went away, and the same may go well when it is back.
    Lost,
    /// It was not there when it was asked first: nothing was changed.
    Absent,
    /// It was waited for in vain.
    Awaited,
}

impl Failure {
    /// The same without secrets, for whoever shows it outside a deployment's own log.
    #[must_use]
    pub fn redacted(self, redactor: &Redactor) -> Self {
        let clean = |text: String| redactor.redact(&text).into_owned();
        Self { summary: clean(self.summary), hint: self.hint.map(clean), ..self }
    }

    /// A failure without a hint of its own.
    pub fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), hint: None, cancelled: false, engine: Engine::Unasked }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ended on request.
    pub fn cancelled(summary: impl Into<String>) -> Self {
        Self { cancelled: true, ..Self::new(summary) }
    }

    /// The same, with what came of it.
    #[must_use]
    pub(super) fn but(mut self, more: &str) -> Self {
        self.summary = format!("{}; {more}", self.summary);
        self
    }

    /// The same, about this state of the engine.
    #[must_use]
    pub(super) fn with_engine(self, engine: Engine) -> Self {
        Self { engine, ..self }
    }
}

/// In the words of the store itself: what could not be read or written, and why.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        match error {
            GitError::Cancelled { stage, .. } => Self::cancelled(format!("cancelled during the fetch; {stage}")),
            other => Self::new(other.to_string()),
        }
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        match lost.hint() {
            Some(hint) => Self::new(lost.to_string()).hint(format!("nothing was changed; {hint}")),
            None => Self::new(format!("turnout has a fault: {lost}")),
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::new(format!("the Compose project cannot be loaded: {error}"))
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let engine = if error.is_lost() { Engine::Lost } else { Engine::Unasked };
        Self::new(error.to_string()).with_engine(engine)
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::new(mistakes.to_string())
    }
}
