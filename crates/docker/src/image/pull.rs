//! Pulling: progress in few lines, errors inside the successful stream found, transient failures tried again.

use std::{collections::BTreeMap, time::Duration};

use bollard::{errors::Error as Bollard, query_parameters::CreateImageOptions};
use futures_util::StreamExt;
use tokio::time::Instant;
use turnout_compose::{model::Project, reference::Reference};
use turnout_report::{Event, with_sources};

use super::{
    error::{ImageError, Unfetched},
    operation::{ImageContext, ImageId, credentials_key, for_engine},
};
use crate::{Engine, error::Cause};

/// Attempts in total; only transient failures are tried again.
const ATTEMPTS: u32 = 4;
/// Wait before the second attempt; doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Progress is told at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// Most layers that progress is kept of; a hostile registry must not fill the memory.
const MAX_LAYERS: usize = 1_000;

/// An image to pull, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// The service that needs it; errors and progress name it.
    pub service: String,
    /// Image reference as written.
    pub image: String,
    /// Platform; empty = the engine's.
    pub platform: String,
}

impl PullRequest {
    /// The request of a service for its own image, for that of a `pre_start` step, or for one that it mounts.
    pub fn of(project: &Project, name: &str, image: &str) -> Result<Self, ImageError> {
        let service = project.services.get(name).ok_or_else(|| ImageError::Invalid {
            service: name.to_owned(),
            message: "is not in the project".to_owned(),
        })?;
        let own = service.image_name(&project.name, name) == image;
        let step = service.pre_start.iter().map(|step| &step.spec).find(|step| !own && step.image == image);
        // What is mounted has no platform of its own.
        let of = step.or(own.then_some(service));
        let platform = of.map(|service| service.platform_or_default(&project.environment).to_owned());
        Ok(Self { service: name.to_owned(), image: image.to_owned(), platform: platform.unwrap_or_default() })
    }
}

/// The local image of a request; `None` when it is absent or for another platform.
pub async fn local(engine: &Engine, request: &PullRequest) -> Result<Option<ImageId>, ImageError> {
    let what = || format!("inspecting the image {}", request.image);
    let found = engine.find_image_for(&request.image, &request.platform).await;
    let found = found.map_err(|error| ImageError::of_call(what(), error.to_string(), error))?;
    Ok(found.and_then(|image| image.id).map(ImageId))
}

/// Pulls an image and returns its ID.
pub async fn pull(engine: &Engine, request: &PullRequest, cx: &ImageContext<'_>) -> Result<ImageId, ImageError> {
    let what = || format!("pull of {}", request.image);
    let whole = async {
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            match attempt_pull(engine, request, cx).await {
                Ok(()) => break,
                Err(error) if attempt < ATTEMPTS && is_transient(&error) => {
                    cx.reporter.warn(format!("{error}; trying again in {} s", wait.as_secs()));
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
        local(engine, request).await?.ok_or_else(|| ImageError::Platform {
            service: request.service.clone(),
            image: request.image.clone(),
            found: "another platform".to_owned(),
            wanted: request.platform.clone(),
        })
    };
    // Dropping the request hangs up, which makes the engine stop the pull.
    tokio::select! {
        biased;
        () = cx.cancel.cancelled() => Err(ImageError::Cancelled { what: what() }),
        done = tokio::time::timeout(cx.pull_timeout, whole) => {
            done.unwrap_or_else(|_| Err(ImageError::TooSlow { what: what(), limit: cx.pull_timeout }))
        }
    }
}

async fn attempt_pull(engine: &Engine, request: &PullRequest, cx: &ImageContext<'_>) -> Result<(), ImageError> {
    let image = &request.image;
    let reference = Reference::parse(image).ok_or_else(|| ImageError::Invalid {
        service: request.service.clone(),
        message: format!("{image:?} is not an image reference"),
    })?;
    let credentials = cx.credentials.for_registry(credentials_key(&reference)).await?;
    let options = CreateImageOptions {
        from_image: Some(reference.name()),
        tag: Some(reference.tag_or_digest().to_owned()),
        platform: request.platform.clone(),
        ..CreateImageOptions::default()
    };
    let subject = format!("pull {image}");
    let mut progress = Progress::default();
    let mut stream = std::pin::pin!(engine.docker().create_image(Some(options), None, credentials.map(for_engine)));
    while let Some(message) = stream.next().await {
        let message = message.map_err(|error| failed(image, error))?;
        // bollard turns most errors in the stream into `Err`; one without a message would slip through.
        if let Some(detail) = message.error_detail {
            return Err(explain(
                image,
                detail.message.unwrap_or_else(|| "the engine gives no reason".to_owned()),
                None,
            ));
        }
        let status = message.status.unwrap_or_default();
        let (current, total) =
            message.progress_detail.map_or((0, 0), |p| (p.current.unwrap_or(0), p.total.unwrap_or(0)));
        if let Some(text) = progress.take(message.id.as_deref(), &status, current, total) {
            cx.reporter.report(Event::Progress { subject: subject.clone(), text });
        }
    }
    Ok(())
}

/// Layers of one pull, by what they are doing.
#[derive(Default)]
struct Progress {
    layers: BTreeMap<String, Layer>,
    told: Option<Instant>,
}

#[derive(Default)]
struct Layer {
    done: bool,
    current: i64,
    total: i64,
}

impl Progress {
    /// Takes one message; returns a line when it is time for one.
    fn take(&mut self, id: Option<&str>, status: &str, current: i64, total: i64) -> Option<String> {
        if status.starts_with("Status: ") || status.starts_with("Digest: ") {
            return Some(status.to_owned());
        }
        let id = id.filter(|_| !status.starts_with("Pulling from"))?;
        if !self.layers.contains_key(id) && self.layers.len() >= MAX_LAYERS {
            return None;
        }
        let layer = self.layers.entry(id.to_owned()).or_default();
        layer.done = matches!(status, "Pull complete" | "Already exists");
        if status == "Downloading" {
            layer.current = current;
            layer.total = total;
        } else if matches!(status, "Download complete" | "Verifying Checksum" | "Extracting") || layer.done {
            layer.current = layer.total;
        }
        let due = self.told.is_none_or(|told| told.elapsed() >= PROGRESS_EVERY);
        if !due {
            return None;
        }
        self.told = Some(Instant::now());
        let done = self.layers.values().filter(|layer| layer.done).count();
        let (current, total) = self.layers.values().fold((0, 0), |(c, t), layer| (c + layer.current, t + layer.total));
        Some(format!("{done}/{} layers, {}/{} MB", self.layers.len(), current / 1_000_000, total / 1_000_000))
    }
}

/// What a broken-off stream of progress is.
fn failed(image: &str, error: Bollard) -> ImageError {
    match error {
        Bollard::HyperLegacyError { .. } | Bollard::HyperResponseError { .. } | Bollard::IOError { .. } => {
            let message = with_sources(&error);
            ImageError::Broken { what: format!("pull of {image}"), message, source: Some(Box::new(error)) }
        }
        other => explain(image, other.to_string(), Some(Box::new(other))),
    }
}

/// An error of a pull with what to do about it.
fn explain(image: &str, message: String, source: Option<Cause>) -> ImageError {
    let why = Unfetched::read(&message);
    ImageError::Pull { image: image.to_owned(), message, why, source }
}

fn is_transient(error: &ImageError) -> bool {
    matches!(error, ImageError::Pull { why: Unfetched::Passing, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_the_step_of_the_plan_names() {
        let service = serde_json::json!({
            "image": "own", "platform": "linux/arm64",
            "pre_start": [{"image": "tool", "platform": "linux/386"}],
            "volumes": [{"type": "image", "source": "files", "target": "/f"}],
        });
        let services = [("web".to_owned(), serde_json::from_value(service).unwrap())].into();
        let project = Project { name: "p".to_owned(), services, ..Project::default() };
        for (image, platform) in [("own", "linux/arm64"), ("tool", "linux/386"), ("files", "")] {
            let request = PullRequest::of(&project, "web", image).unwrap();
            assert_eq!((request.image.as_str(), request.platform.as_str()), (image, platform));
        }
    }

    #[test]
    fn progress_is_told_rarely() {
        let mut progress = Progress::default();
        let mut lines = Vec::new();
        for at in 0..10_000 {
            lines.extend(progress.take(Some("layer"), "Downloading", at, 10_000));
        }
        lines.extend(progress.take(None, "Status: Downloaded newer image", 0, 0));
        assert!(lines.len() <= 3, "{lines:?}");
        assert_eq!(lines.last().unwrap(), "Status: Downloaded newer image");
    }
}
