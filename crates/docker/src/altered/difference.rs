//! What is told of a container that is not as configured.

use bollard::models::SystemInfo;

/// One setting that is not as asked for.
#[derive(Debug, Clone)]
pub(super) struct Difference {
    pub words: String,
    /// What the engine must be able to do for the difference to mean anything.
    pub needs: Option<fn(&SystemInfo) -> bool>,
}

impl Difference {
    pub fn new(what: &str, found: String, wanted: &str) -> Self {
        Self { words: format!("{what} is {found} on the container, configured is {wanted}"), needs: None }
    }
}

/// What a container uses of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shared {
    Network,
    Pid,
    Ipc,
    Volumes,
}
