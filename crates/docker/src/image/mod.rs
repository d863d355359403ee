//! Images: built from a service's `build` section, or pulled.
//!
//! Reading order: [`request`] turns a service into what the engine is asked for and [`builder`] chooses who does it
//! (both pure); [`prepare`] selects the files; [`context`] streams them as tar to the classic builder, a session hands
//! them to BuildKit as it asks (crate `buildkit`, reached through [`turned`]; [`solve`] is what its own API is asked
//! for); [`build`] runs it and [`progress`] makes its output readable. [`policy`] decides about pulls (pure), [`pull`]
//! carries them out. Credentials of registries serve both.
//!
//! Builds speak to the engine over [`wire`] instead of bollard: one connection a build, so that dropping it cancels
//! the build and no single timeout covers the upload of the context. The session is our own rather than bollard's: that
//! one holds a whole context in memory as soon as there are secrets, and brings a TLS stack.

pub mod build;
pub mod builder;
pub mod cache;
pub mod context;
pub mod digest;
pub mod error;
pub mod named;
pub mod policy;
pub mod prepare;
pub mod progress;
pub mod pull;
pub mod push;
pub mod reach;
pub mod request;
pub mod solve;
pub mod turned;
pub mod wire;

use std::{collections::BTreeMap, time::Duration};

use bollard::auth::DockerCredentials;
use tokio_util::sync::CancellationToken;
use turnout_compose::{model::Project, reference::Reference};
use turnout_registry::{Credentials, RegistryAuth, credentials::HUB_KEY};
use turnout_report::Reporter;

use super::Engine;

pub use builder::BuilderChoice;
pub use error::{ImageError, Unfetched};
pub use reach::{OutOfReach, out_of_reach};
pub use request::{BuildOptions, BuildRequest};

/// What accompanies every image operation.
#[derive(Clone, Copy)]
pub struct ImageContext<'a> {
    /// Takes progress and output.
    pub reporter: &'a dyn Reporter,
    /// Stops the operation, on the engine too.
    pub cancel: &'a CancellationToken,
    /// Which builder to use.
    pub builder: BuilderChoice,
    /// A build that takes longer is stopped.
    pub build_timeout: Duration,
    /// A pull that takes longer, retries included, is stopped.
    pub pull_timeout: Duration,
    /// The project environment: build arguments without a value and `environment:` secrets are read from it.
    pub environment: &'a BTreeMap<String, String>,
    /// Registry credentials.
    pub credentials: &'a Credentials,
    /// How builds differ from those of an `up`.
    pub options: BuildOptions,
    /// Labels that built images get beside the project's own.
    pub marks: &'a BTreeMap<String, String>,
}

/// An image the engine holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageId(pub String);

/// Builds the image of a service and returns its ID.
pub async fn build_service(
    engine: &Engine,
    project: &Project,
    service: &str,
    cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    let mut request = BuildRequest::of(project, service, cx.environment, engine.proxies(), cx.options)?;
    request.labels.extend(cx.marks.iter().map(|(name, value)| (name.clone(), value.clone())));
    build::build(engine, &request, cx).await
}

/// Pulls an image that a service needs and returns its ID: its own, or that of a `pre_start` step, or one that it mounts.
pub async fn pull_for(
    engine: &Engine,
    project: &Project,
    service: &str,
    image: &str,
    cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    let request = pull::PullRequest::of(project, service, image)?;
    pull::pull(engine, &request, cx).await
}

/// Key of a reference's registry in the Docker client's settings.
fn credentials_key(reference: &Reference) -> &str {
    if reference.host == "docker.io" { HUB_KEY } else { &reference.host }
}

/// Credentials as the client library wants them.
pub fn for_engine(auth: RegistryAuth) -> DockerCredentials {
    let set = |text: String| (!text.is_empty()).then_some(text);
    let RegistryAuth { username, password, identity_token, registry_token, server_address } = auth;
    DockerCredentials {
        username: set(username),
        password: set(password),
        identitytoken: set(identity_token),
        registrytoken: set(registry_token),
        serveraddress: set(server_address),
        ..DockerCredentials::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_has_a_key_of_its_own() {
        assert_eq!(credentials_key(&Reference::parse("nginx").unwrap()), HUB_KEY);
        assert_eq!(credentials_key(&Reference::parse("r.example:5000/a").unwrap()), "r.example:5000");
    }
}
