//! What can go wrong between this process and a registry, in the reader's words.

use std::time::Duration;

use super::credentials::CredentialsError;

/// A failure. The text says what happened and what to do next; passwords and tokens are in none.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection.
    #[error("cannot reach the registry {host}: {message}")]
    Unreachable {
        /// The registry.
        host: String,
        /// The cause.
        message: String,
    },
    /// Credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The registry wants to know who asks, and does not take what we have.
    #[error("the registry {host} refuses access: {message}; run `docker login {host}`, and check the name")]
    Denied {
        /// The registry.
        host: String,
        /// Why.
        message: String,
    },
    /// It is not there.
    #[error("the registry {host} has no {what}; check the name, and run `docker login {host}` if it is private")]
    Missing {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// The registry answers with another failure.
    #[error("the registry {host} answered {status}: {message}")]
    Status {
        /// The registry.
        host: String,
        /// HTTP status.
        status: String,
        /// The registry's words.
        message: String,
    },
    /// The registry breaks its own rules, or those that keep a reader safe.
    #[error("the registry {host} cannot be trusted in this: {message}")]
    Untrusted {
        /// The registry.
        host: String,
        /// In what.
        message: String,
    },
    /// It takes too long.
    #[error("the registry {host} took longer than {} s", limit.as_secs())]
    TooSlow {
        /// The registry.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// What was found is something else.
    #[error("{0}")]
    Artifact(String),
}
