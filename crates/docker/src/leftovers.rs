//! Images that turnout built, as the engine has them now, and their removal.

use std::collections::{BTreeMap, HashMap};

use super::{ApiVersion, Engine, EngineError, error::status_of, observe::absent_is_none, times::milliseconds};
use bollard::{
    models::{ImageInspect, ImageInspectMetadata, ImageSummary},
    query_parameters::{
        ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptions,
    },
};
use turnout_compose::{labels, reference::Reference};
use turnout_plan::BuiltImage;
use turnout_report::with_sources;

/// Since then a list tells how much of an image others share.
const SHARED_SIZE_SINCE: ApiVersion = ApiVersion::v1(42);
/// Layers of one image; more is a circle.
const MOST_PARENTS: usize = 500;
/// What an engine calls what has no name.
const NAMELESS: [&str; 2] = ["<none>", "moby-dangling"];

/// How an image's removal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Gone,
    /// It stays: something came to need it, in the engine's words.
    Needed(String),
}

impl Engine {
    /// The images that turnout built for a project, and who uses them.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn built_images(&self, project: &str) -> Result<Vec<BuiltImage>, EngineError> {
        let wanted = vec![format!("{}={project}", labels::TURNOUT_PROJECT)];
        let filters = HashMap::from([("label".to_owned(), wanted)]);
        let shared = self.version() >= SHARED_SIZE_SINCE;
        let options = ListImagesOptionsBuilder::default().filters(&filters).shared_size(shared).digests(true).build();
        let listed = self.ask(self.docker().list_images(Some(options))).await;
        let listed = listed.map_err(|error| EngineError::api(format!("list the images of {project}"), error))?;
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let users = self.image_users().await?;
        let mut images = Vec::new();
        for summary in listed {
            let Some(found) = self.find_image(&summary.id).await? else { continue };
            images.extend(built(project, summary, found, &users));
        }
        Ok(images)
    }

    /// An image's ID, and the fingerprint that turnout gave it; none when it is not there.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn built_image(&self, image: &str) -> Result<Option<(String, Option<String>)>, EngineError> {
        let Some(found) = self.find_image(image).await? else { return Ok(None) };
        let Some(id) = found.id else { return Ok(None) };
        let label =
            found.config.and_then(|config| config.labels).and_then(|labels| labels.get(labels::INPUTS).cloned());
        Ok(Some((id, label)))
    }

    /// Gives an image a name; whatever had it until then has it no more.
    ///
    /// # Errors
    /// When the engine does not answer, or the image is gone.
    pub async fn name_image(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let failed = |error| EngineError::api(format!("name image {id} {name}"), error);
        let Some(parsed) = Reference::parse(name) else { return Ok(()) };
        let options = TagImageOptions { repo: Some(parsed.name()), tag: parsed.tag.clone() };
        self.ask(self.docker().tag_image(id, Some(options))).await.map_err(failed)
    }

    /// By image: a container that uses it, in whatever state it is.
    async fn image_users(&self) -> Result<BTreeMap<String, String>, EngineError> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let listed = self.ask(self.docker().list_containers(Some(options))).await;
        let listed = listed.map_err(|error| EngineError::api("list containers", error))?;
        let used = listed.into_iter().filter_map(|container| {
            let name = container.names.unwrap_or_default().into_iter().next().or(container.id).unwrap_or_default();
            Some((container.image_id?, name.trim_start_matches('/').to_owned()))
        });
        Ok(used.collect())
    }

    /// Removes an image and what the classic builder made on the way to it. Nothing is forced: what came to be needed
    /// since it was looked at stays.
    ///
    /// # Errors
    /// When the engine does not answer, or fails in the middle.
    pub async fn remove_built(&self, id: &str) -> Result<Removed, EngineError> {
        let Some((mut next, fingerprint)) = self.parent(id).await? else { return Ok(Removed::Gone) };
        match self.remove_one(id).await? {
            Removed::Gone => {}
            needed @ Removed::Needed(_) => return Ok(needed),
        }
        for _ in 0..MOST_PARENTS {
            let Some(step) = next else { break };
            let Some(image) = self.find_image(&step).await? else { break };
            let Some((parent, own)) = self.parent(&step).await? else { break };
            // Newer engines make a step of each label, so that the last ones carry some of ours: those of this image.
            if !is_step(&image) || own.is_some() && own != fingerprint {
                break;
            }
            next = parent;
            // Another image that is built upon it keeps it.
            if self.remove_one(&step).await? != Removed::Gone {
                break;
            }
        }
        Ok(Removed::Gone)
    }

    /// Cuts the build cache of the whole engine to a size; how many bytes that freed.
    ///
    /// # Errors
    /// When the engine does not answer, or does not let it be.
    pub async fn cut_build_cache(&self, keep: u64) -> Result<u64, EngineError> {
        let report = self.prune_cache(keep).await.map_err(|error| EngineError::api("cut the build cache", error))?;
        Ok(report.get("SpaceReclaimed").and_then(serde_json::Value::as_u64).unwrap_or_default())
    }

    /// The image that the classic builder made one step before (none of any other builder), and the fingerprint that an
    /// image carries. None where it is gone.
    async fn parent(&self, id: &str) -> Result<Option<(Option<String>, Option<String>)>, EngineError> {
        // The client library does not tell it.
        let found = absent_is_none(self.image_json(id).await);
        let found = found.map_err(|error| EngineError::api(format!("inspect image {id}"), error))?;
        let text = |value: Option<&serde_json::Value>| {
            value.and_then(|text| text.as_str()).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Ok(found.map(|image| {
            let own = image.get("Config").and_then(|config| config.get("Labels"));
            (text(image.get("Parent")), text(own.and_then(|all| all.get(labels::INPUTS))))
        }))
    }

    async fn remove_one(&self, id: &str) -> Result<Removed, EngineError> {
        // `noprune`: parents are looked at one by one, for one may be an image of its own that is kept.
        let options = RemoveImageOptionsBuilder::default().force(false).noprune(true).build();
        match self.ask(self.docker().remove_image(id, Some(options), None)).await {
            Ok(_) => Ok(Removed::Gone),
            Err(error) => match status_of(&error) {
                Some(404) => Ok(Removed::Gone),
                Some(409) => Ok(Removed::Needed(with_sources(&error))),
                _ => Err(EngineError::api(format!("remove image {id}"), error)),
            },
        }
    }
}

fn built(
    project: &str,
    summary: ImageSummary,
    found: ImageInspect,
    users: &BTreeMap<String, String>,
) -> Option<BuiltImage> {
    let ImageSummary { id, repo_tags, repo_digests, created, size, shared_size, labels: own, .. } = summary;
    let fingerprint = own.get(labels::INPUTS)?.clone();
    // The second is what an earlier turnout left it to, and BuildKit alone sets.
    let service = own.get(labels::TURNOUT_SERVICE).or_else(|| own.get(labels::SERVICE))?.clone();
    let tagged = !names(&repo_tags).is_empty();
    // The containerd store gives every image that has a tag a digest; one without a tag has it from a registry.
    let names = if tagged { names(&repo_tags) } else { names(&repo_digests) };
    Some(BuiltImage {
        used_by: users.get(&id).cloned(),
        id,
        project: project.to_owned(),
        service,
        names,
        fingerprint,
        layers: found.root_fs.and_then(|root| root.layers).unwrap_or_default(),
        at: last_named(found.metadata.as_ref()).unwrap_or_default().max(created.saturating_mul(1000)),
        size: u64::try_from(size.saturating_sub(shared_size.max(0))).unwrap_or_default(),
    })
}

/// When an image last got a name, in milliseconds since the Unix epoch; none where the engine does not know. A build that
/// the cache serves keeps the time of its creation, so that this alone tells the order of deployments.
fn last_named(metadata: Option<&ImageInspectMetadata>) -> Option<i64> {
    milliseconds(metadata?.last_tag_time.as_ref()?).filter(|at| *at > 0)
}

fn names(given: &[String]) -> Vec<String> {
    let named = given.iter().filter(|name| !NAMELESS.iter().any(|none| name.starts_with(none)));
    named.cloned().collect()
}

/// Whether an image is a mere step of the classic builder: it never had a name.
fn is_step(image: &ImageInspect) -> bool {
    let named = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !names(list).is_empty());
    last_named(image.metadata.as_ref()).is_none() && !named(&image.repo_tags) && !named(&image.repo_digests)
}
