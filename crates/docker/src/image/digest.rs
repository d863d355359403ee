//! Which content an image's name stands for, as its registry says through the engine.

use turnout_registry::{Credentials, Digest, Name};
use turnout_report::with_sources;

use super::{
    error::{ImageError, Unfetched},
    operation::for_engine,
};
use crate::{Engine, error::Cause};

/// Asks for the digest of a name. Nothing is pulled.
///
/// # Errors
/// There are no credentials to be had, or engine or registry refuse.
pub async fn digest_of(engine: &Engine, name: &Name, credentials: &Credentials) -> Result<Digest, ImageError> {
    let failed = |message: String, source: Option<Cause>| {
        let why = Unfetched::read(&message);
        ImageError::Digest { image: name.to_string(), message, why, source }
    };
    let auth = credentials.for_registry(name.credentials_key()).await?.map(for_engine);
    let found = engine.ask(engine.docker().inspect_registry_image(&name.to_string(), auth)).await.map_err(|error| {
        let message = match &error {
            bollard::errors::Error::DockerResponseServerError { message, .. } => message.clone(),
            other => with_sources(other),
        };
        failed(message, Some(Box::new(error)))
    })?;
    let digest = found.descriptor.digest.unwrap_or_default();
    Digest::parse(&digest).map_err(|why| failed(format!("the engine gave {digest:?}: {why}"), None))
}
