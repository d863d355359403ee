//! What can go wrong between this process and a registry, in the reader's words.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::time::Duration;

use super::credentials::CredentialsError;

/// A failure. The text says what happened and what to do next; passwords and tokens are in none.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Nobody answers, or the connection broke.
    #[error("cannot reach the registry {host}: {message}")]
    Unreachable { host: String, message: String },
    /// Credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The registry wants to know who asks, and does not take what we have.
    #[error("the registry {host} refuses access: {message}; run `docker login {host}`, and check the name")]
    Denied { host: String, message: String },
    /// It is not there.
    #[error("the registry {host} has no {what}; check the name, and run `docker login {host}` if it is private")]
    Missing {
        host: String,
        /// What was asked for.
        what: String,
    },
    /// The registry answers with another failure.
    #[error("the registry {host} answered {status}: {message}")]
    Status {
        host: String,
        /// The status line's code and words, such as `500 Internal Server Error`.
        status: String,
        message: String,
    },
    /// The registry breaks its own rules, or those that keep a reader safe.
    #[error("the registry {host} cannot be trusted in this: {message}")]
    Untrusted { host: String, message: String },
    /// It takes too long.
    #[error("the registry {host} took longer than {} s", limit.as_secs())]
    TooSlow { host: String, limit: Duration },
    /// What was found is something else.
    #[error("{0}")]
    Artifact(String),
}
