//! Pushing what was built: every name it has, errors inside the successful stream found.

use bollard::query_parameters::PushImageOptions;
use futures_util::StreamExt;
use turnout_compose::reference::Reference;
use turnout_registry::Credentials;
use turnout_report::Event;

use super::{
    error::ImageError,
    operation::{ImageContext, credentials_key, for_engine},
    request::BuildRequest,
};
use crate::Engine;

/// Pushes every name of what was built.
///
/// The caller sees to cancelling and to the time limit: dropping the request hangs up, which stops the push.
pub async fn push(engine: &Engine, request: &BuildRequest, cx: &ImageContext<'_>) -> Result<(), ImageError> {
    for image in &request.tags {
        let subject = format!("push {image}");
        let told = |text| cx.reporter.report(Event::Progress { subject: subject.clone(), text });
        push_one(engine, image, cx.credentials, told).await?;
        cx.reporter.info(format!("pushed {image}"));
    }
    Ok(())
}

/// Pushes one image. `told` hears the last word of the registry, which names the digest.
///
/// # Errors
/// It is no image reference, there are no credentials to be had, or engine or registry refuse.
pub async fn push_one(
    engine: &Engine,
    image: &str,
    credentials: &Credentials,
    told: impl Fn(String),
) -> Result<(), ImageError> {
    let what = || format!("push of {image}");
    let reference =
        Reference::parse(image).ok_or_else(|| ImageError::said(what(), "this is not an image reference"))?;
    // The engine refuses to push without any, be they empty.
    let credentials = credentials.for_registry(credentials_key(&reference)).await?;
    let credentials = credentials.map(for_engine).unwrap_or_default();
    let options = PushImageOptions { tag: Some(reference.tag_or_digest().to_owned()), ..PushImageOptions::default() };
    let name = reference.name();
    let mut stream = std::pin::pin!(engine.docker().push_image(&name, Some(options), Some(credentials)));
    while let Some(message) = stream.next().await {
        let message = message.map_err(|error| ImageError::of_call(what(), error.to_string(), error))?;
        if let Some(detail) = message.error_detail {
            let message = detail.message.unwrap_or_else(|| "the engine gives no reason".to_owned());
            return Err(ImageError::said(what(), message));
        }
        // What each layer does meanwhile would be a line a percent.
        if let Some(text) = message.status.filter(|text| text.contains("digest: ")) {
            told(text);
        }
    }
    Ok(())
}
