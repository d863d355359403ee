//! Images: built from a service's `build` section, or pulled. (Stands in until the image work is merged.)

use std::{collections::BTreeMap, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{compose::model::Project, report::Reporter};

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

/// Which builder to use.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuilderChoice;

/// Registry credentials.
#[derive(Debug, Clone, Default)]
pub struct Credentials;

/// An image the engine holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageId(pub String);

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
}

/// Pulls the image of a service and returns its ID.
pub async fn pull_service(
    _engine: &super::Engine,
    _project: &Project,
    service: &str,
    _cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    Err(ImageError(format!("service {service}: pulling is not available")))
}
