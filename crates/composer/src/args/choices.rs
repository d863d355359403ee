//! Choices that several commands have.

use clap::ValueEnum;

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PullChoice {
    /// Always.
    Always,
    /// When absent.
    Missing,
    /// Never.
    Never,
    /// Build instead (`create` only).
    Build,
    /// As the service says.
    Policy,
}
