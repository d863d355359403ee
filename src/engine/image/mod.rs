<<<<<<< HEAD
=======
//! Images: built from a service's `build` section, or pulled. (Stands in until the image work is merged.)

use std::{collections::BTreeMap, time::Duration};

>>>>>>> main
//! Images: built from a service's `build` section, or pulled.
//!
//! Reading order: [`request`] turns a service into what the engine is asked for (pure), [`ignore`] and [`context`]
//! select and stream the files, [`build`] runs it and [`progress`] makes its output readable; [`policy`] decides
//! about pulls (pure), [`pull`] carries them out with [`credentials`].
//!
//! Builds speak to the engine over [`wire`] instead of bollard: one connection a build, so that dropping it cancels
//! the build, no single timeout covers the upload of the context, and a BuildKit session (hijacked HTTP/2) needs no
//! TLS library.

pub mod build;
pub mod context;
pub mod credentials;
pub mod error;
pub mod policy;
pub mod progress;
pub mod protobuf;
pub mod pull;
pub mod reference;
pub mod request;
pub mod wire;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bollard::Docker;
use tokio_util::sync::CancellationToken;

use crate::{compose::model::Project, report::Reporter};

pub use credentials::Credentials;
pub use error::ImageError;
pub use request::{BuildRequest, BuilderChoice};
pub use wire::Address;

/// The engine as image work needs it.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// The client for everything but builds; its registry headers are expected to pass through
    /// [`credentials::url_safe_registry_headers`].
    pub docker: Docker,
    /// Where builds connect.
    pub address: Address,
    /// The API version spoken, major and minor: the lower of ours and the engine's.
    pub api: (u32, u32),
}

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
}

<<<<<<< HEAD
=======
/// Which builder to use.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuilderChoice;

/// Registry credentials.
#[derive(Debug, Clone, Default)]
pub struct Credentials;

>>>>>>> main
/// An image the engine holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageId(pub String);

<<<<<<< HEAD
=======
/// Why an image could not be built or pulled.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ImageError(String);

/// Builds the image of a service and returns its ID.
pub async fn build_service(
    _engine: &super::Engine,
    _project: &Project,
    service: &str,
    _cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    Err(ImageError(format!("service {service}: building is not available")))
>>>>>>> main
/// Builds the image of a service and returns its ID.
pub async fn build_service(
    daemon: &Daemon,
    project: &Project,
    service: &str,
    cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    let request = BuildRequest::of(project, service, cx.environment)?;
    build::build(daemon, &request, cx).await
}

/// Pulls the image of a service and returns its ID.
pub async fn pull_service(
<<<<<<< HEAD
=======
    _engine: &super::Engine,
    _project: &Project,
    service: &str,
    _cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    Err(ImageError(format!("service {service}: pulling is not available")))
>>>>>>> main
    daemon: &Daemon,
    project: &Project,
    service: &str,
    cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    let request = pull::PullRequest::of(project, service)?;
    pull::pull(daemon, &request, cx).await
}

/// The directory of the Docker client's settings: `$DOCKER_CONFIG`, else `~/.docker`.
pub fn docker_config_directory(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    set("DOCKER_CONFIG").map(PathBuf::from).or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".docker")))
}
