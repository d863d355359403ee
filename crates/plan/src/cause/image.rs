//! Causes that lie in an image.

use std::fmt;

use super::Cause;
use crate::digest::short;

/// Why an image is built, pulled or removed, or a container replaced on account of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageCause {
    /// It is not there.
    Absent(String),
    /// The policy of its service says so: `always` or `build`.
    Policy(&'static str),
    /// It is older than the policy of its service allows.
    Old(String),
    /// The policy asks for its age, which the engine does not tell.
    AgeUnknown(String),
    /// All are pulled, as asked for.
    AllAsked,
    /// One of several platforms for which the image is pulled; empty for any.
    For {
        /// As Compose writes it: `linux/arm64`; empty for any.
        platform: String,
        /// Why the image is pulled at all.
        why: Box<Cause>,
    },
    /// It is a context of the build of this service.
    ContextOf(String),
    /// A step before pulls it.
    Pulled {
        /// The image that is pulled.
        image: String,
        /// Why it is pulled.
        why: Box<Cause>,
    },
    /// A step before builds it.
    Built {
        /// The image that is built.
        image: String,
        /// Why it is built.
        why: Box<Cause>,
    },
    /// It is mounted, and a step before brings it.
    MountedAt {
        /// Where in the container.
        target: String,
        /// What brings it.
        why: Box<Cause>,
    },
    /// The name stands for another image than when the container was made.
    Another {
        /// The name that the service knows it by.
        image: String,
        /// Where it is mounted, if the container does not run it.
        mounted_at: Option<String>,
        /// ID that the container has.
        from: String,
        /// ID that the name has.
        to: String,
    },
    /// Removal of images was asked for.
    RemovalAsked,
}

impl ImageCause {
    /// The codes for programs: its own, and those of what lies behind.
    pub(super) fn codes(&self) -> Vec<&'static str> {
        let (code, why) = match self {
            Self::Absent(_) => ("image.absent", None),
            Self::Policy(_) => ("image.policy", None),
            Self::Old(_) => ("image.old", None),
            Self::AgeUnknown(_) => ("image.age_unknown", None),
            Self::AllAsked => ("image.all_asked", None),
            Self::For { why, .. } => return why.codes(),
            Self::ContextOf(_) => ("image.context_of", None),
            Self::Pulled { why, .. } => ("image.pulled", Some(why)),
            Self::Built { why, .. } => ("image.built", Some(why)),
            Self::MountedAt { why, .. } => ("image.mounted", Some(why)),
            Self::Another { .. } => ("image.another", None),
            Self::RemovalAsked => ("image.removal_asked", None),
        };
        [code].into_iter().chain(why.map(|why| why.codes()).unwrap_or_default()).collect()
    }
}

impl fmt::Display for ImageCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(image) => write!(f, "image {image} is not there yet"),
            Self::Policy(policy) => write!(f, "pull_policy is {policy}"),
            Self::Old(policy) => write!(f, "pull_policy is {policy}, and the image is older"),
            Self::AgeUnknown(policy) => {
                write!(f, "pull_policy is {policy}, and the engine does not tell when it was pulled")
            }
            Self::AllAsked => f.write_str("every image is pulled, as asked for"),
            Self::For { platform, why } if platform.is_empty() => write!(f, "{why} (any platform)"),
            Self::For { platform, why } => write!(f, "{why} ({platform})"),
            Self::ContextOf(service) => write!(f, "its image is a context of the build of {service}"),
            Self::Pulled { image, why } => write!(f, "image {image} is pulled: {why}"),
            Self::Built { image, why } => write!(f, "image {image} is built: {why}"),
            Self::MountedAt { target, why } => write!(f, "mounted at {target}: {why}"),
            Self::Another { image, mounted_at, from, to } => {
                write!(f, "image {image}")?;
                if let Some(target) = mounted_at {
                    write!(f, ", mounted at {target},")?;
                }
                write!(f, " is another one now ({} -> {})", short(from), short(to))
            }
            Self::RemovalAsked => f.write_str("removal of images was asked for"),
        }
    }
}
