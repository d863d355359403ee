//! `push`: the images of services that build, under all their names.

use super::{
    args::PushArgs,
    converge,
    progress::{Mode, Progress},
    session::Session,
};
use turnout_docker::image::push::push_one;

pub(super) async fn push(session: &Session, args: &PushArgs) -> anyhow::Result<u8> {
    let mut project = session.load_without_environment(&args.services)?;
    if !args.include_deps {
        converge::without_dependencies(&mut project, &args.services);
    }
    let progress = Progress::new(if args.quiet { Mode::Quiet } else { session.mode() });
    let engine = session.engine().await?;
    for (name, service) in &project.services {
        // Services without a name for their image are passed over.
        let build = service.build.as_ref().filter(|_| !service.image.is_empty());
        let Some(build) = build else {
            progress.is(name, "Skipped");
            continue;
        };
        for image in std::iter::once(&service.image).chain(&build.tags) {
            progress.is(&format!("Image {image}"), "Pushing");
            if session.global.dry_run {
                continue;
            }
            match push_one(&engine, image, &session.credentials(), drop).await {
                Ok(()) => progress.is(&format!("Image {image}"), "Pushed"),
                Err(error) if args.ignore_push_failures => progress.warning(&format!("pushing {name}: {error}")),
                Err(error) => return Err(anyhow::Error::from(error).context(format!("pushing {name}"))),
            }
        }
    }
    Ok(0)
}
