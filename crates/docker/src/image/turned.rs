//! Connections to the engine that it turns around: BuildKit's own API, and sessions of builds.

use hyper::{Method, Request, StatusCode, header, upgrade::Upgraded};
use turnout_buildkit::{Channel, Offer, Session};

use super::{error::ImageError, wire};
use crate::Engine;

/// Opens a session under an identifier that nobody else uses.
///
/// # Errors
/// The engine cannot be reached, or does not turn the connection around.
pub async fn session(engine: &Engine, id: &str, offer: Offer) -> Result<Session, ImageError> {
    let prepared = Session::prepare(id, offer);
    let turned = turn(engine, "session", prepared.headers(), "opening a build session", "").await?;
    Ok(prepared.serve(turned))
}

/// Connects to the BuildKit inside the engine; `what` for, in words.
///
/// # Errors
/// As [`session`]; or nobody speaks HTTP/2 there.
pub async fn channel(engine: &Engine, what: &str) -> Result<Channel, ImageError> {
    let turned = turn(engine, "grpc", &[], what, "BuildKit's API: ").await?;
    Channel::over(turned).await.map_err(|failure| ImageError::of_channel(what.to_owned(), failure))
}

async fn turn(
    engine: &Engine,
    path: &str,
    headers: &[(&'static str, String)],
    what: &str,
    who: &str,
) -> Result<Upgraded, ImageError> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v{}/{path}", engine.version()))
        .header(header::HOST, "docker")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "h2c");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(wire::empty()).map_err(|error| ImageError::of_call(what, error.to_string(), error))?;
    let answer = engine.send_in_time(request).await.map_err(|source| ImageError::Connection {
        what: what.to_owned(),
        address: engine.endpoint().to_string(),
        source,
    })?;
    if answer.response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ImageError::said(what, format!("{who}{}", wire::error_message(answer.response).await)));
    }
    // What drove the connection has nothing left to do.
    hyper::upgrade::on(answer.response).await.map_err(|error| ImageError::of_call(what, error.to_string(), error))
}
