//! Where a deployment stands, and what kind of thing asked for it: words of the database.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Serialize};

/// Where a deployment stands. The diagram is in the header of `store`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its lane.
    Queued,
    /// A lane has taken it; it stays so while it waits for the engine, too.
    Running,
    /// Did what it should.
    Succeeded,
    /// It ended with an error, which is recorded beside it.
    Failed,
    /// A newer one took its place before it began, or while it waited for the engine.
    Superseded,
    /// Somebody called it off.
    Cancelled,
    /// The daemon ended under it; another one was queued in its place.
    Interrupted,
}

impl State {
    const ALL: [State; 7] = [
        State::Queued,
        State::Running,
        State::Succeeded,
        State::Failed,
        State::Superseded,
        State::Cancelled,
        State::Interrupted,
    ];

    /// The word in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Superseded => "superseded",
            State::Cancelled => "cancelled",
            State::Interrupted => "interrupted",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, State::Queued | State::Running)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of thing asked for a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A forge delivered a push to a followed branch.
    Push,
    /// Somebody at the command line.
    Manual,
    /// An earlier one was interrupted.
    Recovery,
}

impl Cause {
    const ALL: [Cause; 3] = [Cause::Push, Cause::Manual, Cause::Recovery];

    /// The word in the database and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Push => "push",
            Cause::Manual => "manual",
            Cause::Recovery => "recovery",
        }
    }
}

macro_rules! stored_as_word {
    ($type:ty) => {
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_str()))
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let word = value.as_str()?;
                Self::ALL.into_iter().find(|item| item.as_str() == word).ok_or(FromSqlError::InvalidType)
            }
        }
    };
}

stored_as_word!(State);
stored_as_word!(Cause);
