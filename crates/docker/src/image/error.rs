//! What can go wrong with an image.

use std::{io, time::Duration};

use turnout_buildkit::OfferError;
use turnout_registry::CredentialsError;

use crate::{EngineError, patience::after};

/// Why an image could not be built or pulled. Every message says what happened, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The service asks for something the chosen builder or this engine cannot do.
    #[error("service {service}: {attribute} is not supported{}: {hint}", if .by.is_empty() { String::new() } else { format!(" by {}", .by) })]
    Unsupported {
        /// Compose service.
        service: String,
        /// The attribute, for instance `build.cache_to`.
        attribute: String,
        /// Who does not support it; may be empty.
        by: String,
        /// What to do instead.
        hint: String,
    },
    /// The request contradicts itself.
    #[error("service {service}: {message}")]
    Invalid {
        /// Compose service.
        service: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// The environment's platform is none of those that the image is built for.
    #[error(
        "service {service:?} build.platforms does not support value set by DOCKER_DEFAULT_PLATFORM: {platform}: add it \
         there, or unset the variable"
    )]
    DefaultPlatform {
        /// Compose service.
        service: String,
        /// What the variable says.
        platform: String,
    },
    /// What the build asks for cannot be given to it: a file, a directory of blobs, a secret, credentials.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The build itself failed.
    #[error("build of {service} failed{}: {message}{}", step_text(.step), tail_text(.tail))]
    Build {
        /// Compose service.
        service: String,
        /// The step that failed, as the builder names it.
        step: Option<String>,
        /// The engine's words.
        message: String,
        /// The last lines of the failing step.
        tail: Vec<String>,
    },
    /// The image could not be pulled.
    #[error("pull of {image} failed: {message} ({hint})")]
    Pull {
        /// The image reference.
        image: String,
        /// The engine's words.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// Nobody could say which content a name stands for.
    #[error("failed to resolve digest for {image}: {message} ({hint})")]
    Digest {
        /// The image reference, in full.
        image: String,
        /// The engine's words.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// The image is here, but not for the platform asked for.
    #[error(
        "image {image} is for {found}, service {service} needs {wanted}: set `platform`, or build or publish the image for {wanted}"
    )]
    Platform {
        /// Compose service.
        service: String,
        /// The image reference.
        image: String,
        /// What there is.
        found: String,
        /// What is needed.
        wanted: String,
    },
    /// Registry credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The deployment was cancelled.
    #[error("{what} was cancelled")]
    Cancelled {
        /// For instance `build of web`.
        what: String,
    },
    /// It took too long.
    #[error("{what} took longer than {} s and was stopped: raise the timeout, or find out what it waits for", limit.as_secs())]
    TooSlow {
        /// For instance `build of web`.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// The engine answered with an error, or not at all.
    #[error("{what}: the engine answered: {message}")]
    Engine {
        /// What was being done.
        what: String,
        /// The engine's words.
        message: String,
    },
    /// The connection to the engine broke in the middle.
    #[error("{what} failed: the connection to the engine broke: {message} (is it down or being restarted?)")]
    Broken {
        /// For instance `build of web`.
        what: String,
        /// How it broke.
        message: String,
    },
    /// The connection to the engine failed.
    #[error(
        "{what}: no connection to the engine at {address}: {source} (is Docker running, and may this user use it?)"
    )]
    Connection {
        /// What was being done.
        what: String,
        /// The engine's address.
        address: String,
        /// The cause.
        source: io::Error,
    },
}

impl ImageError {
    /// The same as a failure of the engine: whether it is gone, or silent, counts more than what it was asked for.
    pub fn of_engine(self) -> EngineError {
        match self {
            ImageError::Broken { what, message } => EngineError::Lost {
                what: format!("{what} failed"),
                message: format!("the connection to the engine broke: {message} (is it down or being restarted?)"),
            },
            ImageError::Connection { what, address, source } => match after(&source) {
                Some(after) => EngineError::NoAnswer { what, after },
                None => {
                    EngineError::Lost { what, message: format!("no connection to the engine at {address}: {source}") }
                }
            },
            other => EngineError::Image(other.to_string()),
        }
    }
}

fn step_text(step: &Option<String>) -> String {
    step.as_ref().map(|step| format!(" at {step}")).unwrap_or_default()
}

fn tail_text(tail: &[String]) -> String {
    tail.iter().map(|line| format!("\n    {line}")).collect()
}
