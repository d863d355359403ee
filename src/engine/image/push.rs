//! Pushing what was built: every name it has, errors inside the successful stream found.

use bollard::query_parameters::PushImageOptions;
use futures_util::StreamExt;

use super::{ImageContext, error::ImageError, reference::Reference, request::BuildRequest};
use crate::{engine::Engine, report::Event};

/// Pushes every name of what was built.
///
/// The caller sees to cancelling and to the time limit: dropping the request hangs up, which stops the push.
pub async fn push(engine: &Engine, request: &BuildRequest, cx: &ImageContext<'_>) -> Result<(), ImageError> {
    for image in &request.tags {
        one(engine, image, cx).await?;
    }
    Ok(())
}

async fn one(engine: &Engine, image: &str, cx: &ImageContext<'_>) -> Result<(), ImageError> {
    let failed = |message: String| ImageError::Engine { what: format!("push of {image}"), message };
    let reference = Reference::parse(image).ok_or_else(|| failed("this is not an image reference".to_owned()))?;
    let credentials = cx.credentials.for_registry(reference.credentials_key()).await?;
    let options = PushImageOptions { tag: Some(reference.tag_or_digest().to_owned()), ..PushImageOptions::default() };
    let name = reference.name();
    let mut stream =
        std::pin::pin!(engine.docker().push_image(&name, Some(options), credentials.map(|auth| auth.to_bollard())));
    let subject = format!("push {image}");
    while let Some(message) = stream.next().await {
        let message = message.map_err(|error| failed(error.to_string()))?;
        if let Some(detail) = message.error_detail {
            return Err(failed(detail.message.unwrap_or_else(|| "the engine gives no reason".to_owned())));
        }
        // The last word names the digest; what each layer does meanwhile would be a line a percent.
        if let Some(text) = message.status.filter(|text| text.contains("digest: ")) {
            cx.reporter.report(Event::Progress { subject: subject.clone(), text });
        }
    }
    cx.reporter.info(format!("pushed {image}"));
    Ok(())
}
