//! Builds images, writes on them what they were built from, and keeps the old one where the new one is no other.

use std::collections::BTreeMap;

use bollard::{
    models::ImageInspect,
    query_parameters::{RemoveImageOptions, TagImageOptions},
};

use super::{Executor, schedule::Did};
use crate::{
    compose::labels,
    engine::{
        EngineError,
        image::{
            self, ImageContext,
            inputs::{InputSettings, same_but_for_marks},
            reference::Reference,
        },
    },
    inputs::Manifest,
};

impl Executor<'_> {
    /// [`crate::plan::Action::Build`].
    pub(super) async fn build(&self, service: &str, image: &str) -> Result<Did, EngineError> {
        let before = self.engine.find_image(image).await?;
        // Read before the build reads: what changes in between is found to differ the next time.
        let inputs = self.inputs(image).await?;
        let mut marks = BTreeMap::new();
        if self.run.images.inputs.is_some() {
            marks.insert(labels::TURNOUT_PROJECT.to_owned(), self.run.project.name.clone());
            marks.insert(labels::TURNOUT_SERVICE.to_owned(), service.to_owned());
        }
        if let Some(manifest) = &inputs {
            marks.insert(labels::INPUTS.to_owned(), manifest.fingerprint());
        }
        let cx = ImageContext { marks: &marks, ..self.image_context() };
        let built = match image::build_service(self.engine, self.run.project, service, &cx).await {
            Ok(built) => built.0,
            Err(_) if self.run.cancel.is_cancelled() => return Err(EngineError::Cancelled),
            Err(error) => return Err(error.of_engine()),
        };
        let (id, said) = match before.as_ref().and_then(|before| before.id.as_deref()) {
            Some(old) if old == built => (built, ", the same image as before"),
            Some(old) if !marks.is_empty() && self.keep(service, before.as_ref(), old, &built).await => {
                (old.to_owned(), ", the same image as before")
            }
            _ => (built, ""),
        };
        if let (Some(settings), Some(mut manifest)) = (self.run.images.inputs, inputs) {
            // The classic builder keeps what it fetched; what BuildKit fetched, it keeps to itself.
            for reference in manifest.absent_images() {
                if let Some(id) = self.engine.find_image(&reference).await?.and_then(|image| image.id) {
                    manifest.image_came(&reference, &id);
                }
            }
            remember(settings, &id, manifest).await;
        }
        self.world.set_image(image, &id);
        Ok(Did::Done(format!("built {image}{said}")))
    }

    /// What goes into an image; none where that cannot be seen, or nobody asked for it.
    async fn inputs(&self, image: &str) -> Result<Option<Manifest>, EngineError> {
        let Some(settings) = self.run.images.inputs else { return Ok(None) };
        let mut inputs = self.engine.image_inputs(self.run.project, Some(image), settings, self.run.cancel).await?;
        if self.run.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        Ok(inputs.remove(image).and_then(|inputs| inputs.manifest.ok()))
    }

    /// Gives the names of an image that was built back to the one before, if nothing but turnout's marks tells them
    /// apart: containers need not be replaced for them. Returns whether that was so. What goes wrong here leaves the new
    /// image in place, which is right as well.
    async fn keep(&self, service: &str, before: Option<&ImageInspect>, old: &str, built: &str) -> bool {
        let found = self.engine.find_image(built).await;
        let (Some(before), Ok(Some(now))) = (before, found) else { return false };
        if !same_but_for_marks(before, &now) {
            return false;
        }
        let docker = self.engine.docker();
        let project = self.run.project;
        let services = project.services.get(service).or_else(|| project.disabled_services.get(service));
        let Some(definition) = services else { return false };
        let more = definition.build.iter().flat_map(|build| build.tags.iter().cloned());
        // The image's own name last: until then nothing is decided.
        let names: Vec<String> = more.chain([definition.image_name(&project.name, service)]).collect();
        for name in names {
            let Some(parsed) = Reference::parse(&name) else { return false };
            let options = TagImageOptions { repo: Some(parsed.name()), tag: parsed.tag.clone() };
            if self.engine.ask(docker.tag_image(old, Some(options))).await.is_err() {
                return false;
            }
        }
        // In the way of nobody, but it would lie about without a name.
        let nameless = self.engine.find_image(built).await.ok().flatten();
        if nameless.is_some_and(|image| image.repo_tags.unwrap_or_default().is_empty()) {
            let _ = self.engine.ask(docker.remove_image(built, None::<RemoveImageOptions>, None)).await;
        }
        true
    }
}

async fn remember(settings: &InputSettings, id: &str, manifest: Manifest) {
    let (memory, id) = (settings.memory.clone(), id.to_owned());
    let written = tokio::task::spawn_blocking(move || memory.remember(&id, &manifest)).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, "cannot remember what an image was built from; it may be built once more");
    }
}
