//! What a build asks for and does not get.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::path::PathBuf;

use turnout_registry::CredentialsError;

/// Why something cannot be given to a build. The text says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// A file of the build context cannot be sent.
    #[error("build context: {}: {problem}", path.display())]
    Context {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A directory of blobs (a local cache, an OCI layout) cannot be used.
    #[error("{}: {problem}", path.display())]
    Layout {
        /// The directory as the Compose file's attribute led to it, absolute.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The file of a secret cannot be read.
    #[error("build secret {id}: {}: {problem}", path.display())]
    Secret {
        /// The secret's identifier.
        id: String,
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Registry credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}
