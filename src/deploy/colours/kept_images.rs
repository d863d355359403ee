//! Whoever goes back to a commit finds its images again, as long as the engine keeps them (`keep_images`): then nothing is built. An image is
//! known by the fingerprint of what went into it, whichever colour it was built for.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Deployer, Failure, Prepared, of::Of};
use crate::{
    decide::leftovers::short,
    inputs::{Manifest, image_inputs},
    plan::{Action, BuiltImage},
    report::Reporter as _,
};

impl Deployer {
    /// Gives images that are kept their names again, where a plan would build them and they were built from the very same. Answers their
    /// names. `projects`: those for which they may have been built. `only`: of these fingerprints alone, which were built for this.
    pub(super) async fn name_kept(
        &self,
        of: Of<'_>,
        prepared: &Prepared,
        projects: &BTreeSet<String>,
        only: Option<&BTreeSet<String>>,
    ) -> Result<BTreeSet<String>, Failure> {
        let builds = prepared.plan.steps.iter().filter_map(|step| match &step.action {
            Action::Build { service, image } => Some((image.clone(), service.clone())),
            _ => None,
        });
        let builds: BTreeMap<String, String> = builds.collect();
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
        for (name, service) in builds {
            let manifest = inputs.get(&name).and_then(|inputs| inputs.manifest.as_ref().ok());
            let fingerprint = manifest.map(Manifest::fingerprint);
            let fingerprint = fingerprint.filter(|one| only.is_none_or(|only| only.contains(one)));
            let Some(fingerprint) = fingerprint else { continue };
            // Two services may be built from the same: the labels are those of one.
            let same = kept.iter().filter(|image| image.fingerprint == fingerprint);
            let Some(found) = same.max_by_key(|image| (image.service == service, image.at)) else { continue };
            let (memory, id) = (settings.memory.clone(), found.id.clone());
            // What is made of an image inherits its marks.
            if tokio::task::spawn_blocking(move || memory.knows(&id)).await.ok().flatten() == Some(false) {
                continue;
            }
            engine.name_image(&found.id, &name).await?;
            let id = short(&found.id);
            of.recorder.info(match only {
                None => format!("{name} is {id} again, which is kept and was built from the same: no build"),
                Some(_) => format!("{name} is {id}, which was built during the bake: no build"),
            });
            named.insert(name);
        }
        Ok(named)
    }
}
