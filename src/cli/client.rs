//! A client of the daemon's control socket: HTTP/1.1 over a Unix socket, JSON both ways.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use super::waiting::Waiting;
use crate::server::wire::ErrorReply;

/// What a request to the daemon waits for.
pub const DAEMON: &str = "the daemon's answer";

/// Largest line of a stream; the daemon bounds its lines far below.
const MAX_LINE: usize = 1 << 20;

/// Why a request to the daemon failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the control socket.
    #[error("the turnout daemon does not answer on {socket}: {source}")]
    Unreachable { socket: PathBuf, source: std::io::Error },
    /// The daemon said no.
    #[error("{message}")]
    Refused {
        status: u16,
        /// The daemon's words.
        message: String,
        hint: Option<String>,
    },
    /// The daemon's words make no sense.
    #[error("the connection to the turnout daemon broke: {0}")]
    Broken(String),
    /// The connection ended in the middle: the daemon has ended, or is about to.
    #[error("the connection to the turnout daemon broke: {0}")]
    Cut(String),
}

impl ClientError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("become a member of the group that owns the socket, or use sudo".to_owned())
            }
            Self::Unreachable { .. } => {
                Some(
                    "is it running? `systemctl status turnout`; why not says `journalctl -u turnout -p warning -n 20`; another socket is \
                     chosen with --socket"
                        .to_owned(),
                )
            }
            Self::Refused { hint, .. } => hint.clone(),
            Self::Broken(_) | Self::Cut(_) => {
                Some("the deployment goes on in the daemon; look with `turnout history`".to_owned())
            }
        }
    }
}

/// Talks to one daemon.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the daemon behind `socket`.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Fetches a JSON document.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        Waiting::for_(DAEMON, None)
            .told(async { decode(self.send(Method::GET, path, Bytes::new()).await?).await })
            .await
    }

    /// Sends a JSON document, fetches the answer.
    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|e| ClientError::Broken(e.to_string()))?;
        Waiting::for_(DAEMON, None)
            .told(async { decode(self.send(Method::POST, path, Bytes::from(body)).await?).await })
            .await
    }

    /// As [`Client::get`], with words for what the daemon waits for itself.
    pub async fn get_told<T: DeserializeOwned>(&self, path: &str, waiting: &Waiting) -> Result<T, ClientError> {
        waiting.told(async { decode(self.send(Method::GET, path, Bytes::new()).await?).await }).await
    }

    /// As [`Client::post`], with words for what the daemon waits for itself.
    pub async fn post_told<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        waiting: &Waiting,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|e| ClientError::Broken(e.to_string()))?;
        waiting.told(async { decode(self.send(Method::POST, path, Bytes::from(body)).await?).await }).await
    }

    /// Sends a JSON document, follows the stream of JSON lines that is the answer.
    pub async fn post_lines<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<impl Stream<Item = Result<T, ClientError>> + use<B, T>, ClientError> {
        let body = serde_json::to_vec(body).map_err(|e| ClientError::Broken(e.to_string()))?;
        Ok(lines_of(accept(self.send(Method::POST, path, Bytes::from(body)).await?).await?))
    }

    /// Follows a stream of JSON lines until the daemon ends it.
    pub async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<T, ClientError>> + use<T>, ClientError> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        Ok(lines_of(accept(response).await?))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::Unreachable { socket: self.socket.clone(), source })?;
        let broken = |e: hyper::Error| ClientError::Cut(e.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "turnout")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|e| ClientError::Broken(e.to_string()))?;
        sender.send_request(request).await.map_err(broken)
    }
}

/// The lines of an answer, one JSON document each.
fn lines_of<T: DeserializeOwned>(response: Response<Incoming>) -> impl Stream<Item = Result<T, ClientError>> + use<T> {
    let state = (response.into_body(), Vec::<u8>::new(), false);
    stream::unfold(state, |(mut body, mut buffer, mut ended)| async move {
        loop {
            if let Some(end) = buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let item = serde_json::from_slice(&line).map_err(|e| ClientError::Broken(e.to_string()));
                return Some((item, (body, buffer, ended)));
            }
            if ended {
                return None;
            }
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        buffer.extend_from_slice(data);
                    }
                    if buffer.len() > MAX_LINE && !buffer.contains(&b'\n') {
                        let error = ClientError::Broken("the daemon sent an endless line".to_owned());
                        return Some((Err(error), (body, Vec::new(), true)));
                    }
                }
                Some(Err(e)) => {
                    ended = true;
                    return Some((Err(ClientError::Cut(e.to_string())), (body, Vec::new(), ended)));
                }
                None => ended = true,
            }
        }
    })
    .boxed()
}

async fn decode<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
    let body = accept(response).await?.into_body().collect().await.map_err(|e| ClientError::Broken(e.to_string()))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|e| {
        ClientError::Broken(format!("its answer is not understood ({e}); are program and daemon of the same version?"))
    })
}

/// Passes a 200-class answer on; turns any other into the daemon's own words.
async fn accept(response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.into_body().collect().await.map_err(|e| ClientError::Broken(e.to_string()))?.to_bytes();
    let reply = serde_json::from_slice::<ErrorReply>(&body).unwrap_or_else(|_| ErrorReply {
        error: match status {
            StatusCode::NOT_FOUND => "the daemon does not know this request; is it of another version?".to_owned(),
            other => format!("the daemon answered {other}"),
        },
        hint: None,
    });
    Err(ClientError::Refused { status: status.as_u16(), message: reply.error, hint: reply.hint })
}

/// Who asks, as the daemon is told: the one behind `sudo`, where there is one.
pub fn whoami() -> Option<String> {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).ok()
}

/// Percent-encodes one path segment or query value.
pub fn encode(segment: &str) -> String {
    url::form_urlencoded::byte_serialize(segment.as_bytes()).collect::<String>().replace('+', "%20")
}
