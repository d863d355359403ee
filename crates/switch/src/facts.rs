//! What the caller has looked up: this crate opens no file and asks no engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use turnout_compose::model::Duration;

/// Facts about images, files and the colour. What is not there is not known, and is then taken for the more careful case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// By name, as `Service::image_name` gives it.
    pub images: BTreeMap<String, ImageFacts>,
    /// By absolute path: sources of bind mounts, and files of `configs` and `secrets`.
    pub files: BTreeMap<String, FileFacts>,
    /// Services that look after changes of what they mount themselves (`on_mounted_change: ignore`).
    pub ignoring: BTreeSet<String>,
    /// COLOR of the repository's `.env`.
    pub colour: Option<String>,
    /// Engine names of volumes, by Compose key, where what is in them lies under other ones than the project's own: what stays has
    /// them, whatever the colour.
    pub volumes: BTreeMap<String, String>,
}

/// What an image says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// Paths that it declares as volumes.
    pub volumes: BTreeSet<String>,
    /// TCP ports that it exposes.
    pub ports: BTreeSet<u16>,
    /// `CMD`; empty where it has none.
    pub command: Vec<String>,
    /// `ENTRYPOINT`; empty where it has none.
    pub entrypoint: Vec<String>,
    /// Whether it brings a health check.
    pub healthcheck: bool,
    /// How long that may fail after a start.
    pub start_period: Duration,
}

/// What is known of a path on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// Whether git tracks all that is below it, and nothing there differs from the commit: configuration, not data.
    pub tracked: bool,
    /// Whether it is a file, a folder, a socket or a device, or not there.
    pub kind: FileKind,
    /// What stands in it, if it is tracked text of moderate size, for a folder that of its files one after the other;
    /// names of services are looked for in it.
    pub text: String,
    /// Of what lies in the work tree: whether it can be read from a copy. `None` elsewhere.
    pub inside: Option<ReadFrom>,
}

/// What a path is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileKind {
    /// A file or folder, or nothing yet.
    #[default]
    Ordinary,
    /// A Unix socket: two containers may share it.
    Socket,
    /// A block or character device.
    Device,
}

/// Where mounted files are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFrom {
    /// From a copy, by the digest of what is in it.
    Snapshot(String),
    /// From where they lie.
    Place(Keeps),
}

/// Why files are read from where they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Git tracks nothing of it.
    Untracked,
    /// Beside what git tracks there is something that it does not.
    Mixed,
    /// A tracked file was changed by hand, or by a container.
    Changed,
    /// Only placeholders are tracked: a folder for data.
    Placeholder,
    /// More than is copied.
    TooLarge,
    /// It cannot be read in full.
    Unreadable,
    /// `on_mounted_change: ignore`: whoever mounts it looks after changes itself.
    Said,
    /// Whoever mounts it stays, and is changed in place.
    Stays,
}

impl fmt::Display for Keeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Keeps::Untracked => "git does not track it",
            Keeps::Mixed => "it holds what git does not track: data",
            Keeps::Changed => "it differs from the commit",
            Keeps::Placeholder => "git tracks nothing but a placeholder in it: a folder for data",
            Keeps::TooLarge => "it is larger than what is copied",
            Keeps::Unreadable => "not all of it can be read",
            Keeps::Said => "on_mounted_change is ignore",
            Keeps::Stays => "what stays is changed in place",
        })
    }
}
