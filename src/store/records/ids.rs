//! By what records are named, and when they were made.

/// Milliseconds since 1970, UTC.
pub type Millis = i64;

/// Identifies a deployment; grows, and is never used twice.
pub type DeploymentId = i64;
