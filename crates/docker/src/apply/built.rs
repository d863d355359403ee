//! Builds images, writes on them what they were built from, and keeps the old one where the new one is no other.

use std::collections::BTreeMap;

use bollard::{
    models::ImageInspect,
    query_parameters::{RemoveImageOptions, TagImageOptions},
};
use turnout_compose::{labels, reference::Reference};

use super::{executor::Executor, inputs::InputsRead, schedule::Did};
use crate::{
    EngineError,
    image::{self, ImageContext},
};

impl Executor<'_> {
    /// [`turnout_plan::Action::Build`].
    pub(super) async fn build(&self, service: &str, image: &str) -> Result<Did, EngineError> {
        // One without a name takes the place of none.
        let before = match self.run.images.build_options.nameless {
            true => None,
            false => self.engine.find_image(image).await?,
        };
        // Read before the build reads: what changes in between is found to differ the next time.
        let inputs = self.inputs(image).await?;
        let mut marks = BTreeMap::new();
        if self.run.images.inputs.is_some() {
            marks.insert(labels::TURNOUT_PROJECT.to_owned(), self.run.project.name.clone());
            marks.insert(labels::TURNOUT_SERVICE.to_owned(), service.to_owned());
        }
        if let Some(inputs) = &inputs {
            marks.insert(labels::INPUTS.to_owned(), inputs.fingerprint());
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
        if let Some(inputs) = inputs {
            inputs.built(self.engine, &id).await?;
        }
        if self.run.images.build_options.nameless {
            return Ok(Did::Done(format!("built {image}, without its name")));
        }
        self.world.set_image(image, &id);
        Ok(Did::Done(format!("built {image}{said}")))
    }

    /// What goes into an image; none where that cannot be seen, or nobody asked for it.
    async fn inputs(&self, image: &str) -> Result<Option<Box<dyn InputsRead>>, EngineError> {
        let Some(reader) = self.run.images.inputs else { return Ok(None) };
        let inputs = reader.read(self.engine, self.run.project, image, self.run.cancel).await?;
        if self.run.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        Ok(inputs)
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

/// Whether two images are the same but for what turnout wrote on them.
fn same_but_for_marks(one: &ImageInspect, other: &ImageInspect) -> bool {
    let essence = |image: &ImageInspect| {
        let mut config = serde_json::to_value(&image.config).unwrap_or_default();
        if let Some(labels) = config.get_mut("Labels").and_then(|labels| labels.as_object_mut()) {
            labels.retain(|name, _| !name.starts_with(labels::TURNOUT) && name != labels::VERSION);
            if labels.is_empty() {
                config["Labels"] = serde_json::Value::Null;
            }
        }
        // The classic builder's own: what it built upon, and the step that it added last.
        for own in ["Image", "Hostname"] {
            if let Some(config) = config.as_object_mut() {
                config.remove(own);
            }
        }
        let layers = image.root_fs.as_ref().and_then(|root| root.layers.clone());
        (config, layers, image.os.clone(), image.architecture.clone(), image.variant.clone())
    };
    one.root_fs.is_some() && essence(one) == essence(other)
}
