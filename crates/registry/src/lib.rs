//! Registries: names of what lies in them, and what is read from them without an engine, which is only Compose
//! projects that somebody published. Images are the engine's business.
//!
//! Reading order: [`name`]; [`credentials`] of the user; [`artifact`] is what is looked for, [`repository`] who asks
//! (with [`challenge`]), and `transport` how.

pub mod artifact;
pub mod challenge;
pub mod credentials;
pub mod error;
pub mod hub;
pub mod name;
pub mod repository;
mod transport;

pub use artifact::Artifact;
pub use credentials::{Credentials, CredentialsError, RegistryAuth, docker_config_directory};
pub use error::RegistryError;
pub use name::{BadName, Digest, Name};
