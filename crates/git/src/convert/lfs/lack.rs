//! That objects cannot be had.

/// Why an object cannot be had, and what to do.
#[derive(Debug, Clone)]
pub(crate) struct Lack {
    /// What was found, of which place.
    pub(crate) reason: String,
    /// What the user can do.
    pub(crate) advice: String,
}
