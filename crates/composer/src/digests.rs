//! Images by digest instead of by tag: `config --resolve-image-digests` and `--lock-image-digests`.

use std::collections::BTreeMap;

use anyhow::anyhow;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{apart::apart, session::Session};
use turnout_compose::model::Project;
use turnout_docker::image::digest::digest_of;
use turnout_registry::Name;
use turnout_yaml::{Node, Value};

/// Registries that are asked at the same time.
const SIDE_BY_SIDE: usize = 8;

/// Pins the images of the services of a project.
///
/// # Errors
/// A name is no reference, or engine or registry do not say what it stands for.
pub(super) fn pin(session: &Session, project: &mut Project) -> anyhow::Result<()> {
    let of = |(name, service): (&String, &turnout_compose::model::Service)| {
        service.with_steps().map(|container| (name.clone(), container.image.clone())).collect::<Vec<_>>()
    };
    let pinned = resolve(session, project.services.iter().flat_map(of))?;
    for service in project.services.values_mut() {
        let steps = service.pre_start.iter_mut().map(|step| &mut step.spec.image);
        for image in std::iter::once(&mut service.image).chain(steps) {
            if let Some(pinned) = pinned.get(image) {
                image.clone_from(pinned);
            }
        }
    }
    Ok(())
}

/// Pins the images of a document in which variables still stand.
///
/// # Errors
/// As [`pin`]; a variable is no reference.
pub(super) fn pin_model(session: &Session, root: &mut Node) -> anyhow::Result<()> {
    let services = root.as_map_mut().and_then(|map| map.get_mut("services")).and_then(|s| s.node.as_map_mut());
    let Some(services) = services else { return Ok(()) };
    let image_of = |node: &Node| node.get("image").and_then(Node::as_str).map(str::to_owned);
    let named = services.iter().filter_map(|(name, entry)| Some((name.clone(), image_of(&entry.node)?)));
    let pinned = resolve(session, named)?;
    for service in services.values_mut().filter_map(|entry| entry.node.as_map_mut()) {
        let Some(image) = service.get_mut("image") else { continue };
        if let Some(digested) = image.node.as_str().and_then(|name| pinned.get(name)) {
            image.node.value = Value::Str(digested.clone());
        }
    }
    Ok(())
}

/// Each image as written, with its name by digest. An engine is asked only where a name has none yet.
fn resolve(
    session: &Session,
    images: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut names = BTreeMap::new();
    for (service, image) in images.filter(|(_, image)| !image.is_empty()) {
        let name = Name::parse(&image).map_err(|why| {
            anyhow!("services.{service}.image: {image:?}: {why} (write NAME:TAG; a variable in it must be replaced)")
        })?;
        names.insert(image, name);
    }
    let (ready, asked): (Vec<_>, Vec<_>) = names.into_iter().partition(|(_, name)| name.digest().is_some());
    let mut pinned: BTreeMap<String, String> =
        ready.into_iter().map(|(image, name)| (image, name.to_string())).collect();
    if asked.is_empty() {
        return Ok(pinned);
    }
    let found: Vec<(String, String)> = apart(async || {
        let engine = session.engine().await?;
        let credentials = session.credentials();
        let questions = asked.into_iter().map(async |(image, name)| {
            let digest = digest_of(&engine, &name, &credentials).await?;
            anyhow::Ok((image, name.pinned(digest).to_string()))
        });
        // In order, so that of several failures the same one is told each time.
        futures_util::stream::iter(questions).buffered(SIDE_BY_SIDE).try_collect().await
    })?;
    pinned.extend(found);
    Ok(pinned)
}
