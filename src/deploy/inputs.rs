//! Compares the images of a project with what they would be built from now.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::{
    compose::model::{Project, Service},
    decide::{BuildFacts, Seen},
    engine::{Engine, image::policy::PullPolicy},
    inputs::{InputSettings, Inputs, image_inputs},
};

/// For each service that is built: its image, what goes into it, and what it is built upon.
///
/// # Errors
/// When the engine does not answer, or somebody cancelled.
pub async fn compare(
    engine: &Engine,
    project: &Project,
    settings: &InputSettings,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, BuildFacts>, Failure> {
    let inputs = image_inputs(engine, project, None, settings, cancel).await?;
    if cancel.is_cancelled() {
        return Err(Failure::cancelled("cancelled while reading what goes into the images"));
    }
    let mut images = BTreeMap::new();
    for (image, inputs) in inputs {
        let seen = see(engine, &image, &inputs, settings).await?;
        images.insert(image, BuildFacts { seen, bases: inputs.bases.into_iter().collect() });
    }
    let all = project.services.iter().chain(&project.disabled_services);
    let built = all.filter(|(_, service)| service.build.is_some());
    Ok(built
        .filter_map(|(name, service)| {
            let facts = images.get(&service.image_name(&project.name, name))?;
            let facts = match refreshed(service) {
                true => BuildFacts { seen: Seen::Pulled(service.pull_policy.clone()), bases: facts.bases.clone() },
                false => facts.clone(),
            };
            Some((name.clone(), facts))
        })
        .collect())
}

/// Whether a service's image is pulled although it is there.
fn refreshed(service: &Service) -> bool {
    let policy = PullPolicy::parse(&service.pull_policy);
    !service.image.is_empty() && matches!(policy, Ok(PullPolicy::Always | PullPolicy::Every(_)))
}

async fn see(engine: &Engine, image: &str, inputs: &Inputs, settings: &InputSettings) -> Result<Seen, Failure> {
    let manifest = match &inputs.manifest {
        Ok(manifest) => manifest,
        Err(why) => return Ok(Seen::Blind(why.clone())),
    };
    let Some((id, label)) = engine.built_image(image).await? else {
        return Ok(Seen::Differs("its image does not exist".to_owned()));
    };
    let same = label.as_ref() == Some(&manifest.fingerprint());
    let memory = settings.memory.clone();
    let recalled = tokio::task::spawn_blocking(move || match same {
        true => (None, memory.knows(&id)),
        false => (memory.recall(&id), None),
    });
    let (built, known) = recalled.await.unwrap_or_default();
    if same {
        return Ok(match known {
            // What is made of an image inherits its labels: by `docker commit`, or by a build upon it.
            Some(false) => Seen::Differs(
                "its image bears the mark of turnout's build, but is another one than turnout built".to_owned(),
            ),
            Some(true) | None => Seen::Same,
        });
    }
    Ok(match (built, label) {
        (Some(built), _) => manifest.differs_from(&built).map_or(Seen::Same, Seen::Differs),
        (None, None) => Seen::Foreign,
        (None, Some(_)) => Seen::Differs(
            "what goes into its image is not what it was built from (the list of that is lost, so no file can be named)"
                .to_owned(),
        ),
    })
}
