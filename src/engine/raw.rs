//! The requests that the client library cannot express.

use bollard::{
    errors::Error,
    models::{ContainerCreateBody, ContainerCreateResponse, ImageInspect},
    query_parameters::CreateContainerOptions,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, header};

use super::{
    Engine,
    image::wire::{Body, error_message},
};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

impl Engine {
    /// Creates a container with a MAC address of its own on a daemon before API 1.44: later ones take addresses per
    /// network, and the client library knows only those.
    pub(super) async fn create_with_mac_address(
        &self,
        options: CreateContainerOptions,
        body: ContainerCreateBody,
        address: &str,
    ) -> Result<ContainerCreateResponse, Error> {
        let CreateContainerOptions { name, platform } = options;
        let platform = Some(platform).filter(|platform| !platform.is_empty());
        let pairs = name.map(|n| ("name", n)).into_iter().chain(platform.map(|p| ("platform", p)));
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let mut body = serde_json::to_value(body)?;
        if let Some(object) = body.as_object_mut() {
            object.insert("MacAddress".to_owned(), address.into());
        }
        let body = Full::new(Bytes::from(serde_json::to_vec(&body)?)).map_err(|never| match never {});
        let request = Request::post(format!("/v{}/containers/create?{query}", self.version()))
            .header(header::HOST, "docker")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.boxed_unsync())?;
        self.answer(request).await
    }

    /// Inspects an image as it is for one platform, given in JSON. From API 1.49 on.
    pub(super) async fn inspect_image_for(&self, image: &str, platform: &str) -> Result<ImageInspect, Error> {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("platform", platform).finish();
        let request = Request::get(format!("/v{}/images/{image}/json?{query}", self.version()))
            .header(header::HOST, "docker")
            .body(super::image::wire::empty())?;
        self.answer(request).await
    }

    async fn answer<T: serde::de::DeserializeOwned>(&self, request: Request<Body>) -> Result<T, Error> {
        let answer = self.send(request).await?;
        let status = answer.response.status();
        if !status.is_success() {
            let message = error_message(answer.response).await;
            return Err(Error::DockerResponseServerError { status_code: status.as_u16(), message });
        }
        let body = http_body_util::Limited::new(answer.response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(std::io::Error::other)?;
        Ok(serde_json::from_slice(&body.to_bytes())?)
    }
}
