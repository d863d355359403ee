//! Versions of the Engine API.

use std::fmt;

/// A version of the Engine API, for instance 1.41.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// The part before the point. It has been 1 ever since.
    pub major: usize,
    /// The part behind it, which grows with each release that adds something.
    pub minor: usize,
}

impl ApiVersion {
    /// A version `1.minor`.
    pub const fn v1(minor: usize) -> ApiVersion {
        ApiVersion { major: 1, minor }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
