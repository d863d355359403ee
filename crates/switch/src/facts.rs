//! What the caller has looked up: this crate opens no file and asks no engine.

use std::collections::{BTreeMap, BTreeSet};

/// Facts about images, files and the colour. What is not there is not known, and is then taken for the more careful case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// By name, as `Service::image_name` gives it.
    pub images: BTreeMap<String, ImageFacts>,
    /// By absolute path: sources of bind mounts, and files of `configs` and `secrets`.
    pub files: BTreeMap<String, FileFacts>,
    /// COLOR of the repository's `.env`.
    pub colour: Option<String>,
}

/// What an image says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// Paths that it declares as volumes.
    pub volumes: BTreeSet<String>,
    /// TCP ports that it exposes.
    pub ports: BTreeSet<u16>,
    /// Its command.
    pub command: Vec<String>,
    /// Its entrypoint.
    pub entrypoint: Vec<String>,
    /// Whether it brings a health check.
    pub healthcheck: bool,
}

/// What is known of a path on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// Whether git tracks all that is below it, and nothing there differs from the commit: configuration, not data.
    pub tracked: bool,
    /// What it is.
    pub kind: FileKind,
    /// What stands in it, if it is tracked text of moderate size, for a folder that of its files one after the other;
    /// names of services are looked for in it.
    pub text: String,
}

/// What a path is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileKind {
    /// A file or folder, or nothing yet.
    #[default]
    Ordinary,
    /// A socket.
    Socket,
    /// A device.
    Device,
}
