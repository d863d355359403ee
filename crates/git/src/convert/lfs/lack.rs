//! Why an object of Git LFS cannot be had from its server or from another repository, with what the user can do about it.

/// What to do where the server, or another repository, has not got them.
pub(super) const MISSING: &str = "run git lfs push --all origin in the clone that has it";

/// Why an object cannot be had, and what to do.
#[derive(Debug, Clone)]
pub(crate) struct Lack {
    /// What was found, of which place.
    pub(crate) reason: String,
    /// What the user can do.
    pub(crate) advice: String,
}
