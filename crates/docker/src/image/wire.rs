//! One HTTP connection to the engine a request, for what bollard cannot do: long uploads, hijacked sessions, and
//! cancellation by hanging up.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::{Request, Response, body::Frame, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::Endpoint;

/// Body of a request.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body without content.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body fed through a bounded channel; an error in it breaks the request off, so that the engine never takes what
/// it has for the whole.
pub fn streamed(receiver: mpsc::Receiver<Result<Bytes, io::Error>>) -> Body {
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk.map(Frame::data), receiver))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// An answer whose connection lives as long as it does: dropping it hangs up.
pub struct Answer {
    /// Status, headers and body.
    pub response: Response<Incoming>,
    /// The task that drives the connection.
    pub connection: Connection,
}

/// Drives one connection; aborted when dropped.
pub struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects, sends one request, and returns once the answer's headers are there. The path in `request` is relative to
/// the engine (`/v1.41/build?…`).
pub async fn send(endpoint: &Endpoint, request: Request<Body>) -> io::Result<Answer> {
    let stream = endpoint.dial().await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = Connection(tokio::spawn(async move {
        // Its error reaches the caller through the request or the body.
        let _ = connection.with_upgrades().await;
    }));
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    Ok(Answer { response, connection })
}

/// Longest error body that is read, in bytes.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// The engine's words in an error answer.
pub async fn error_message(response: Response<Incoming>) -> String {
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), MAX_ERROR_BODY).collect().await;
    let text = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).trim().to_owned()).unwrap_or_default();
    let message = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|value| value.get("message").and_then(|m| m.as_str()).map(str::to_owned))
        .unwrap_or(text);
    if message.is_empty() { status.to_string() } else { message }
}
