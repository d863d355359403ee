//! Requests to the engine that the client library (bollard) cannot express.

use std::time::Duration;

use bollard::{
    errors::Error,
    models::{ContainerCreateBody, ContainerCreateResponse, ImageInspect, NetworkCreateRequest, NetworkCreateResponse},
    query_parameters::CreateContainerOptions,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Engine,
    image::wire::{Body, error_message},
};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Least time for cutting the build cache: the engine removes gigabytes before it answers.
const PRUNING: Duration = Duration::from_secs(600);

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
        self.post(&format!("containers/create?{query}"), &body).await
    }

    /// Creates a container from a body as the engine is to read it.
    pub(super) async fn create_as_told(&self, name: &str, body: &Value) -> Result<ContainerCreateResponse, Error> {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("name", name).finish();
        self.post(&format!("containers/create?{query}"), body).await
    }

    /// Creates a network on a daemon before API 1.44, which makes a second one of the same name unless it is told not
    /// to; the client library knows only later ones, which never do.
    pub(super) async fn create_unique_network(
        &self,
        request: NetworkCreateRequest,
    ) -> Result<NetworkCreateResponse, Error> {
        self.post("networks/create", &unique(&request)?).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Error> {
        self.answer(self.posting(path, body)?).await
    }

    fn posting(&self, path: &str, body: &Value) -> Result<Request<Body>, Error> {
        let body = Full::new(Bytes::from(serde_json::to_vec(body)?)).map_err(|never| match never {});
        let request = Request::post(format!("/v{}/{path}", self.version()))
            .header(header::HOST, "docker")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.boxed_unsync())?;
        Ok(request)
    }

    /// Inspects an image as it is for one platform, given in JSON. From API 1.49 on.
    pub(super) async fn inspect_image_for(&self, image: &str, platform: &str) -> Result<ImageInspect, Error> {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("platform", platform).finish();
        let request = Request::get(format!("/v{}/images/{image}/json?{query}", self.version()))
            .header(header::HOST, "docker")
            .body(super::image::wire::empty())?;
        self.answer(request).await
    }

    /// Removes what was not used for longest of the build cache until `keep` bytes are left, as `docker builder prune
    /// --keep-storage` does. The client library knows only the newer word for it.
    pub(super) async fn prune_cache(&self, keep: u64) -> Result<Value, Error> {
        let word = if self.version() >= super::ApiVersion::v1(48) { "reserved-space" } else { "keep-storage" };
        let request = self.posting(&format!("build/prune?{word}={keep}"), &Value::Null)?;
        self.ask_for(PRUNING.max(self.call_timeout()), self.whole_answer(request)).await
    }

    /// Inspects an image, with what the client library leaves out.
    pub(super) async fn image_json(&self, image: &str) -> Result<Value, Error> {
        let request = Request::get(format!("/v{}/images/{image}/json", self.version()))
            .header(header::HOST, "docker")
            .body(super::image::wire::empty())?;
        self.answer(request).await
    }

    async fn answer<T: DeserializeOwned>(&self, request: Request<Body>) -> Result<T, Error> {
        self.ask(self.whole_answer(request)).await
    }

    async fn whole_answer<T: DeserializeOwned>(&self, request: Request<Body>) -> Result<T, Error> {
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

/// The request, with the word that older daemons need to refuse a second network of the name.
fn unique(request: &NetworkCreateRequest) -> serde_json::Result<Value> {
    let mut body = serde_json::to_value(request)?;
    if let Some(object) = body.as_object_mut() {
        object.insert("CheckDuplicate".to_owned(), true.into());
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_daemons_are_told_to_refuse_a_second_network_of_a_name() {
        let request = NetworkCreateRequest { name: "shop_default".to_owned(), ..Default::default() };
        let body = unique(&request).unwrap();
        assert_eq!((body["Name"].as_str(), body["CheckDuplicate"].as_bool()), (Some("shop_default"), Some(true)));
    }
}
