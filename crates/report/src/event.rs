//! The events of a deployment, in the order a reader wants to see them.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Identifies a step inside one plan.
pub type StepRef = usize;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// Not needed after all; the text of the event says why.
    Skipped,
    /// Failed; the text says what happened.
    Failed,
    /// Given up because something else failed or the run was cancelled.
    Abandoned,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A phase of the pipeline began: `fetch`, `plan`, `apply`, `settle` or `wait for the engine`.
    Phase {
        /// Name of the phase.
        name: String,
    },
    /// A sentence for the reader.
    Info {
        /// The sentence as it is shown.
        text: String,
    },
    /// An image begins to be built, or was. Whoever shows steps has told of that already, unless there is something
    /// `unusual` about it: another builder than the usual one, and why.
    Build {
        /// The sentence as it is shown.
        text: String,
        /// The step does not tell it.
        unusual: bool,
    },
    /// Something the reader should look at although the work goes on.
    Warning {
        /// What is odd, and what to do about it.
        text: String,
    },
    /// A step of the plan began.
    StepStarted {
        /// The step, by its place in the plan.
        step: StepRef,
        /// What it does, to what.
        text: String,
    },
    /// A step of the plan ended.
    StepEnded {
        /// The step, by its place in the plan.
        step: StepRef,
        /// How it ended.
        outcome: Outcome,
        /// What it did, or why not.
        text: String,
        /// From its begin to its end.
        elapsed: Duration,
    },
    /// Progress that replaces earlier progress of the same subject (a pull's layers, a fetch's objects).
    Progress {
        /// Subject, for instance `pull nginx:1.27`.
        subject: String,
        /// The state of it in words.
        text: String,
    },
    /// One line of output of a build, a hook or a container.
    Output {
        /// Who said it, for instance `build web` or `shop-web-1`.
        source: String,
        /// The line, without its end.
        line: String,
    },
}

impl Event {
    /// The same event with every text passed through `change`; sinks redact and escape with it.
    pub fn map_text(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Phase { name } => Self::Phase { name },
            Self::Info { text } => Self::Info { text: change(&text) },
            Self::Build { text, unusual } => Self::Build { text: change(&text), unusual },
            Self::Warning { text } => Self::Warning { text: change(&text) },
            Self::StepStarted { step, text } => Self::StepStarted { step, text: change(&text) },
            Self::StepEnded { step, outcome, text, elapsed } => {
                Self::StepEnded { step, outcome, text: change(&text), elapsed }
            }
            Self::Progress { subject, text } => Self::Progress { subject: change(&subject), text: change(&text) },
            Self::Output { source, line } => Self::Output { source: change(&source), line: change(&line) },
        }
    }
}

/// Takes events. Implementations must be quick and must not block for long.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn report(&self, event: Event);

    /// The variables that a container was made with, names and values, before words of it are told. Its secrets may be older
    /// than those of the project as it is now; who masks what is told learns them here.
    fn variables(&self, _variables: &[(String, String)]) {}

    /// Shorthand for [`Event::Info`].
    fn info(&self, text: String) {
        self.report(Event::Info { text });
    }

    /// Shorthand for [`Event::Warning`].
    fn warn(&self, text: String) {
        self.report(Event::Warning { text });
    }
}

/// A reporter that keeps the texts of [`Event::Info`] and [`Event::Warning`]: for work that is soon over, such as making
/// a plan.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Vec<String>>);

impl Notes {
    /// What was said, in order.
    pub fn into_texts(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Notes {
    fn report(&self, event: Event) {
        if let Event::Info { text } | Event::Warning { text } = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
    }
}

/// A reporter that drops everything; for callers that only want the result.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _event: Event) {}
}
