//! What is wrong with a YAML text.

use super::Pos;

/// A YAML text that cannot be used: what, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pos}: {message}{}", hint.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
pub struct YamlError {
    /// What is wrong there.
    pub message: String,
    /// Where in which file.
    pub pos: Pos,
    /// What would be right.
    pub hint: Option<String>,
}

impl YamlError {
    /// An error without a hint.
    pub fn new(pos: Pos, message: impl Into<String>) -> YamlError {
        YamlError { message: message.into(), pos, hint: None }
    }

    /// The same error with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> YamlError {
        self.hint = Some(hint.into());
        self
    }
}
