//! Whoever goes back to a commit finds its images again, as long as the engine keeps them (`keep_images`): then nothing is built. An image is
//! known by the fingerprint of what went into it, whichever colour it was built for.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Deployer, Failure, Prepared, of::Of};
use crate::{
    decide::leftovers::short,
    inputs::image_inputs,
    plan::{Action, BuiltImage},
    report::Reporter as _,
};

impl Deployer {
    /// Gives images that are kept their names again, where a plan would build them and they were built from the very same. Answers their
    /// names. `projects`: those for which they may have been built.
    pub(super) async fn name_kept(
        &self,
        of: Of<'_>,
        prepared: &Prepared,
        projects: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Failure> {
        let builds = prepared.plan.steps.iter().filter_map(|step| match &step.action {
            Action::Build { image, .. } => Some(image.clone()),
            _ => None,
        });
        let builds: BTreeSet<String> = builds.collect();
        let mut named = BTreeSet::new();
        if builds.is_empty() || of.job.force_rebuild {
            return Ok(named);
        }
        let (engine, project) = (&prepared.engine, prepared.loaded.view.read(&prepared.loaded.project));
        let settings = self.planner.input_settings(of.repo);
        let inputs = image_inputs(engine, &project, None, &settings, of.cancel).await?;
        let mut kept: Vec<BuiltImage> = Vec::new();
        for project in projects {
            kept.extend(engine.built_images(project).await?);
        }
        let mut by_content: BTreeMap<&str, &BuiltImage> = BTreeMap::new();
        for image in &kept {
            let newest = by_content.entry(&image.fingerprint).or_insert(image);
            if image.at > newest.at {
                *newest = image;
            }
        }
        for name in builds {
            let manifest = inputs.get(&name).and_then(|inputs| inputs.manifest.as_ref().ok());
            let Some(found) = manifest.and_then(|manifest| by_content.get(&*manifest.fingerprint())) else { continue };
            let (memory, id) = (settings.memory.clone(), found.id.clone());
            // What is made of an image inherits its marks.
            if tokio::task::spawn_blocking(move || memory.knows(&id)).await.ok().flatten() == Some(false) {
                continue;
            }
            engine.name_image(&found.id, &name).await?;
            of.recorder.info(format!(
                "{name} is {} again, which is kept and was built from the same: no build",
                short(&found.id)
            ));
            named.insert(name);
        }
        Ok(named)
    }
}
