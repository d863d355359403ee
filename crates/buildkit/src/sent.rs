//! How much of a build context was sent.

/// What was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Files, folders, links and pipes.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// What the reader should know, for instance a socket that was skipped.
    pub notes: Vec<String>,
}
