//! What can go wrong with an image.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::{io, time::Duration};

use turnout_buildkit::{Failure, OfferError};
use turnout_registry::CredentialsError;

use crate::{EngineError, error::Cause, patience::after};

/// Why an image could not be built or pulled. Every message says what happened, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The service asks for something the chosen builder or this engine cannot do.
    #[error("service {service}: {attribute} is not supported{}: {hint}", if .by.is_empty() { String::new() } else { format!(" by {}", .by) })]
    Unsupported {
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
        service: String,
        /// The step that failed, as the builder names it.
        step: Option<String>,
        /// The engine's words.
        message: String,
        /// The last lines of the failing step.
        tail: Vec<String>,
    },
    /// The image could not be pulled.
    #[error("pull of {image} failed: {message} ({})", .why.hint())]
    Pull {
        image: String,
        /// The engine's words.
        message: String,
        /// What they tell of.
        why: Unfetched,
        /// The error of the call, where there is one.
        #[source]
        source: Option<Cause>,
    },
    /// Nobody could say which content a name stands for.
    #[error("failed to resolve digest for {image}: {message} ({})", .why.hint())]
    Digest {
        image: String,
        /// The engine's words.
        message: String,
        /// What they tell of.
        why: Unfetched,
        /// The error of the call, where there is one.
        #[source]
        source: Option<Cause>,
    },
    /// The image is here, but not for the platform asked for.
    #[error(
        "image {image} is for {found}, service {service} needs {wanted}: set `platform`, or build or publish the image for {wanted}"
    )]
    Platform {
        service: String,
        image: String,
        /// Platform of the image that was found, such as `linux/arm64`.
        found: String,
        /// Platform that the service or the engine asks for.
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
        limit: Duration,
    },
    /// The engine answered with an error, or not at all.
    #[error("{what}: the engine answered: {message}")]
    Engine {
        what: String,
        /// The engine's words.
        message: String,
        /// The error of the call, where there is one.
        #[source]
        source: Option<Cause>,
    },
    /// The connection to the engine broke in the middle.
    #[error("{what} failed: the connection to the engine broke: {message} (is it down or being restarted?)")]
    Broken {
        /// For instance `build of web`.
        what: String,
        message: String,
        /// The error of the connection, where there is one.
        #[source]
        source: Option<Cause>,
    },
    /// The connection to the engine failed.
    #[error(
        "{what}: no connection to the engine at {address}: {source} (is Docker running, and may this user use it?)"
    )]
    Connection { what: String, address: String, source: io::Error },
}

impl ImageError {
    /// What the engine answered to a call, where nothing else is known of it.
    pub(super) fn said(what: impl Into<String>, message: impl Into<String>) -> ImageError {
        ImageError::Engine { what: what.into(), message: message.into(), source: None }
    }

    /// The same of a call that came to an error. `message`: what there is to say of it.
    pub(super) fn of_call(what: impl Into<String>, message: String, error: impl Into<Cause>) -> ImageError {
        ImageError::Engine { what: what.into(), message, source: Some(error.into()) }
    }

    /// What a call to BuildKit's own API came to.
    pub(super) fn of_channel(what: String, failure: Failure) -> ImageError {
        match failure {
            Failure::Said(message) => ImageError::said(what, message),
            Failure::Broken { how, source } => {
                ImageError::Broken { what, message: how, source: source.map(Cause::from) }
            }
        }
    }

    /// The same as a failure of the engine: whether it is gone, or silent, counts more than what it was asked for.
    pub fn of_engine(self) -> EngineError {
        match self {
            ImageError::Broken { what, message, source } => EngineError::Lost {
                what: format!("{what} failed"),
                message: format!("the connection to the engine broke: {message} (is it down or being restarted?)"),
                source,
            },
            ImageError::Connection { what, address, source } => match after(&source) {
                Some(after) => EngineError::NoAnswer { what, after },
                None => EngineError::Lost {
                    what,
                    message: format!("no connection to the engine at {address}: {source}"),
                    source: Some(Box::new(source)),
                },
            },
            other => EngineError::Image(Box::new(other)),
        }
    }

    /// Whether the text begins with what was to be done: `build of web …`, `pull of nginx …`.
    pub fn names_what_was_done(&self) -> bool {
        matches!(
            self,
            ImageError::Build { .. }
                | ImageError::Pull { .. }
                | ImageError::Cancelled { .. }
                | ImageError::TooSlow { .. }
                | ImageError::Broken { .. }
                | ImageError::Connection { .. }
        )
    }
}

/// Why a registry did not give something, as far as something follows from it. Engines pass on the words of registries and
/// of the network; they are read here and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfetched {
    /// It passes by itself.
    Passing,
    /// The registry wants to know who asks, or refuses them.
    Denied,
    /// There is no such image or tag.
    Unknown,
    /// There is none for this platform.
    OtherPlatform,
    /// A cause that is none of the above; the engine's words stand in the error.
    Other,
}

impl Unfetched {
    /// Reads an engine's words. What is refused, absent or misnamed does not pass by itself.
    pub fn read(message: &str) -> Unfetched {
        const PASSING: &[&str] = &[
            "timeout",
            "timed out",
            "connection reset",
            "connection refused",
            "temporary failure",
            "server misbehaving",
            "unexpected eof",
            "tls handshake",
            "too many requests",
            "toomanyrequests",
            "internal server error",
            "bad gateway",
            "service unavailable",
            "gateway time-out",
            "received unexpected http status: 5",
            "i/o timeout",
        ];
        const DENIED: &[&str] = &["no basic auth credentials", "unauthorized", "denied", "authentication required"];
        let lower = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| lower.contains(words));
        if says(PASSING) {
            Unfetched::Passing
        } else if says(DENIED) {
            Unfetched::Denied
        } else if says(&["manifest unknown", "not found"]) {
            Unfetched::Unknown
        } else if says(&["no matching manifest"]) {
            Unfetched::OtherPlatform
        } else {
            Unfetched::Other
        }
    }

    /// What to do next.
    pub fn hint(self) -> &'static str {
        match self {
            Unfetched::Passing => "the registry or the network is in trouble; try again later",
            Unfetched::Denied => {
                "run `docker login` for this registry as the user turnout runs as, and check that the image exists"
            }
            Unfetched::Unknown => "the registry has no such image or tag; check the name",
            Unfetched::OtherPlatform => "the image does not exist for this platform; set `platform`, or build it",
            Unfetched::Other => "check the image's name and the registry",
        }
    }
}

fn step_text(step: &Option<String>) -> String {
    step.as_ref().map(|step| format!(" at {step}")).unwrap_or_default()
}

fn tail_text(tail: &[String]) -> String {
    tail.iter().map(|line| format!("\n    {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_troubles_are_tried_again() {
        for (message, wanted) in [
            ("Get https://r/v2/: net/http: TLS handshake timeout", Unfetched::Passing),
            ("dial tcp 127.0.0.1:1: connect: connection refused", Unfetched::Passing),
            ("received unexpected HTTP status: 503 Service Unavailable", Unfetched::Passing),
            ("toomanyrequests: rate limit", Unfetched::Passing),
            ("manifest unknown: manifest unknown", Unfetched::Unknown),
            ("Head http://r/v2/x: no basic auth credentials", Unfetched::Denied),
            ("pull access denied for x", Unfetched::Denied),
            ("no matching manifest for linux/386 in the manifest list entries", Unfetched::OtherPlatform),
            ("lookup nowhere.invalid: no such host", Unfetched::Other),
        ] {
            assert_eq!(Unfetched::read(message), wanted, "{message}");
        }
    }
}
