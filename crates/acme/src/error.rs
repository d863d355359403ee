//! Why no certificate was obtained, in words.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::time::Duration;

use crate::wire::{ErrorKind, Problem};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// No connection, or an answer that broke off.
    #[error("{at} cannot be asked: {message}")]
    Unreachable { at: String, message: String },
    /// The authority says no.
    #[error("{at} says: {problem}")]
    Refused {
        at: String,
        /// The problem document that it sent (RFC 8555, section 6.7).
        problem: Box<Problem>,
        /// Not to be asked again before.
        retry_after: Option<Duration>,
    },
    /// The authority looked, and did not find that the host is ours.
    #[error("{0}")]
    NotProven(String),
    /// The authority has not decided in time. The order is gone on with.
    #[error("the authority has not decided within {} s", .0.as_secs())]
    Undecided(Duration),
    /// As many orders were made within the last hour as may be.
    #[error("no further order is made before {} s have passed: so many are made within an hour, and no more", .0.as_secs())]
    Bounded(Duration),
    /// An answer that is none of the protocol's, or beyond a bound.
    #[error("{at} gives an answer that cannot be used: {message}")]
    Unfit {
        at: String,
        /// What is wrong with it.
        message: String,
    },
    /// The disk, or OpenSSL.
    #[error("{0}")]
    Here(String),
}

impl AcmeError {
    /// Not to be asked again before.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            AcmeError::Refused { retry_after, .. } => *retry_after,
            AcmeError::Bounded(time) => Some(*time),
            _ => None,
        }
    }

    /// What kind of problem the authority names.
    pub(crate) fn kind(&self) -> Option<&ErrorKind> {
        match self {
            AcmeError::Refused { problem, .. } => Some(&problem.kind),
            _ => None,
        }
    }

    /// Whether an order that was asked for is gone: another one is to be made.
    pub(crate) fn loses_order(&self) -> bool {
        match self {
            AcmeError::Refused { problem, retry_after, .. } => {
                retry_after.is_none() && !matches!(problem.kind, ErrorKind::RateLimited | ErrorKind::ServerInternal)
            }
            AcmeError::NotProven(_) => true,
            _ => false,
        }
    }

    /// Whether the account is not known any more: it is to be opened again.
    pub fn loses_account(&self) -> bool {
        self.kind() == Some(&ErrorKind::AccountDoesNotExist)
    }
}

impl From<openssl::error::ErrorStack> for AcmeError {
    fn from(error: openssl::error::ErrorStack) -> AcmeError {
        AcmeError::Here(format!("OpenSSL: {error}"))
    }
}
