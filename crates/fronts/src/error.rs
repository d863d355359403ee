//! What went wrong with a front: what happened, where, and what to do.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::{io, path::PathBuf, time::Duration};

/// Why a front did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrontError {
    /// Nobody answers there.
    #[error("{front} does not answer: {source}; is it running, and may this user connect there?")]
    Absent {
        front: String,
        /// What the system says.
        source: io::Error,
    },
    /// The connection ended before an answer came, or none came in time.
    #[error("{front} did not answer `{asked}`: {why}. It may have been done all the same")]
    Silent {
        front: String,
        /// What was asked for.
        asked: String,
        why: String,
    },
    /// It will not, or its configuration lacks something.
    #[error("{front} {what}; {remedy}")]
    Lacks {
        front: String,
        /// What is in the way.
        what: String,
        /// What to write, or do.
        remedy: String,
    },
    /// It was told, and does not do so.
    #[error("{front} was told, and {} s later it is not so: {why}", after.as_secs())]
    NotSo {
        front: String,
        /// How long it was waited for.
        after: Duration,
        /// What is, and what was done about it.
        why: String,
        /// Whether it may still come to do so.
        unknown: bool,
    },
    /// A file cannot be read or replaced.
    #[error("{} cannot be {done}: {source}; this user needs access to it and to its folder", path.display())]
    File {
        path: PathBuf,
        /// `read` or `written`.
        done: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl FrontError {
    /// Whether nobody is there: it may come back by itself.
    pub fn is_absent(&self) -> bool {
        matches!(self, FrontError::Absent { .. })
    }

    /// Whether what was asked for may have been done all the same. To find out, look how it stands.
    pub fn unknown(&self) -> bool {
        match self {
            FrontError::Silent { .. } => true,
            FrontError::NotSo { unknown, .. } => *unknown,
            FrontError::Absent { .. } | FrontError::Lacks { .. } | FrontError::File { .. } => false,
        }
    }
}
