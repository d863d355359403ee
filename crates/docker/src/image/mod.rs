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
pub mod operation;
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

use turnout_compose::model::Project;

use super::Engine;

pub use builder::BuilderChoice;
pub use error::{ImageError, Unfetched};
pub use operation::{ImageContext, ImageId, for_engine};
pub use reach::{OutOfReach, out_of_reach};
pub use request::{BuildOptions, BuildRequest};

/// Builds the image of a service and returns its ID.
pub async fn build_service(
    engine: &Engine,
    project: &Project,
    service: &str,
    cx: &ImageContext<'_>,
) -> Result<ImageId, ImageError> {
    let mut request = BuildRequest::of(project, service, cx.environment, engine.proxy_variables(), cx.options)?;
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
