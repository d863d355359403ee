//! `push`: the images of services that build, under all their names.

use anyhow::{Context as _, bail};
use bollard::query_parameters::PushImageOptions;
use futures_util::StreamExt as _;

use super::{
    args_more::PushArgs,
    progress::{Mode, Progress},
    session::Session,
    up,
};
use crate::{
    compose::model::Project,
    engine::{Engine, EngineError, image::reference::Reference},
};

/// `push`.
pub(super) async fn push(session: &Session, args: &PushArgs) -> anyhow::Result<u8> {
    let mut project = session.load(&args.services)?;
    if !args.include_deps {
        up::without_dependencies(&mut project, &args.services);
    }
    let progress = Progress::new(if args.quiet { Mode::Quiet } else { session.mode() });
    let engine = session.engine().await?;
    images(session, &engine, &project, false, args.ignore_push_failures, &progress).await?;
    Ok(0)
}

/// Pushes what the services of a project build. Services without a name for their image are passed over, or with
/// `mandatory` refused.
pub(super) async fn images(
    session: &Session,
    engine: &Engine,
    project: &Project,
    mandatory: bool,
    tolerant: bool,
    progress: &Progress,
) -> anyhow::Result<()> {
    for (name, service) in &project.services {
        let build = service.build.as_ref().filter(|_| !service.image.is_empty());
        let Some(build) = build else {
            if mandatory && service.image.is_empty() && service.provider.is_none() {
                bail!("services.{name}.image is needed to push the image of service {name:?}: add a name");
            }
            progress.is(name, "Skipped");
            continue;
        };
        for image in std::iter::once(&service.image).chain(&build.tags) {
            progress.is(&format!("Image {image}"), "Pushing");
            if session.global.dry_run {
                continue;
            }
            match one(session, engine, image).await {
                Ok(()) => progress.is(&format!("Image {image}"), "Pushed"),
                Err(error) if tolerant => progress.warning(&format!("pushing {name}: {error:#}")),
                Err(error) => return Err(error.context(format!("pushing {name}"))),
            }
        }
    }
    Ok(())
}

async fn one(session: &Session, engine: &Engine, image: &str) -> anyhow::Result<()> {
    let reference = Reference::parse(image).with_context(|| format!("{image:?} is not an image reference"))?;
    let credentials = session.credentials().for_registry(reference.credentials_key()).await?;
    // The engine refuses to push without any, be they empty.
    let credentials = credentials.map(|auth| auth.to_bollard()).unwrap_or_default();
    let options = PushImageOptions { tag: Some(reference.tag_or_digest().to_owned()), ..PushImageOptions::default() };
    let mut messages = Box::pin(engine.docker().push_image(&reference.name(), Some(options), Some(credentials)));
    while let Some(message) = messages.next().await {
        let message = message.map_err(|error| EngineError::api(format!("push {image}"), error))?;
        if let Some(detail) = message.error_detail {
            bail!("push {image}: {}", detail.message.unwrap_or_else(|| "the engine gives no reason".to_owned()));
        }
    }
    Ok(())
}
