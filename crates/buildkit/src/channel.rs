//! The calling side of gRPC over one hijacked connection to the engine: BuildKit's own API (`POST /grpc`).

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    client::conn::http2::{self, SendRequest},
    header::{self, HeaderMap},
    rt::Executor,
    upgrade::Upgraded,
};
use tokio::task::JoinSet;

use super::grpc::{CONNECTION_WINDOW, framed};

/// Largest message accepted, in bytes: a batch of build output.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The engine, or the BuildKit in it, says so.
    #[error("{0}")]
    Said(String),
    /// The connection to the engine broke.
    #[error("the connection to the engine broke: {how}")]
    Broken {
        /// How, in words.
        how: String,
        /// The error of the connection, where there is one.
        #[source]
        source: Option<hyper::Error>,
    },
}

impl Failure {
    fn broken(error: hyper::Error) -> Failure {
        Failure::Broken { how: error.to_string(), source: Some(error) }
    }

    fn unended() -> Failure {
        Failure::Broken { how: "it ended without an outcome".to_owned(), source: None }
    }
}

/// A connection on which calls are made; closed, and every call on it cancelled, when dropped.
pub struct Channel {
    sender: SendRequest<Full<Bytes>>,
    tasks: Tasks,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.tasks.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

/// Every task of a connection. HTTP/2's own task outlives the calls that are given up; only with all of them gone does
/// the engine see that nobody waits any more.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(async move {
            future.await;
        });
    }
}

impl Channel {
    /// Makes calls over a connection that an engine turned around (`POST /grpc`).
    ///
    /// # Errors
    /// Nobody speaks HTTP/2 there.
    pub async fn over(turned: Upgraded) -> Result<Self, Failure> {
        let tasks = Tasks::default();
        let mut builder = http2::Builder::new(tasks.clone());
        // Its output comes in many small frames.
        builder.initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, driver) = builder.handshake(turned).await.map_err(|error| Failure::Said(error.to_string()))?;
        // Its error reaches the callers through their calls.
        tasks.execute(driver);
        Ok(Self { sender, tasks })
    }

    /// One message in, one message out.
    pub async fn unary(&self, path: &str, message: &[u8]) -> Result<Bytes, Failure> {
        let mut answers = self.stream(path, message).await?;
        let answer = answers.next().await?.unwrap_or_default();
        // The outcome stands behind the message.
        while answers.next().await?.is_some() {}
        Ok(answer)
    }

    /// One message in, any number out.
    pub async fn stream(&self, path: &str, message: &[u8]) -> Result<Answers, Failure> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://docker{path}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(Full::new(framed(message)))
            .map_err(|error| Failure::Said(error.to_string()))?;
        let response = self.sender.clone().send_request(request).await.map_err(Failure::broken)?;
        if response.status() != StatusCode::OK {
            return Err(Failure::Said(format!("the engine answered with status {}", response.status())));
        }
        // A call that fails at once has its outcome among the headers.
        status_of(response.headers()).unwrap_or(Ok(()))?;
        Ok(Answers { body: response.into_body(), buffer: BytesMut::new(), ended: false })
    }
}

/// What a call answers.
pub struct Answers {
    body: Incoming,
    buffer: BytesMut,
    ended: bool,
}

impl Answers {
    /// The next message; `None` when the call ended well.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some((head, _)) = self.buffer.split_at_checked(5) {
                let compressed = head.first() != Some(&0);
                let length = head.iter().skip(1).fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
                if compressed || length > MAX_MESSAGE {
                    return Err(Failure::Said("the engine sent a message that is compressed or too long".to_owned()));
                }
                if self.buffer.len() >= 5 + length {
                    let mut message = self.buffer.split_to(5 + length);
                    return Ok(Some(message.split_off(5).freeze()));
                }
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.frame().await {
                None => return Err(Failure::unended()),
                Some(Err(error)) => return Err(Failure::broken(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => {
                        let outcome = frame.trailers_ref().and_then(status_of);
                        outcome.unwrap_or_else(|| Err(Failure::unended()))?;
                        self.ended = true;
                    }
                },
            }
        }
    }
}

/// The outcome of a call, if these headers or trailers have one.
fn status_of(headers: &HeaderMap) -> Option<Result<(), Failure>> {
    let code = headers.get("grpc-status")?.to_str().unwrap_or_default();
    if code == "0" {
        return Some(Ok(()));
    }
    let message = headers.get("grpc-message").and_then(|text| text.to_str().ok()).map(unescaped);
    Some(Err(Failure::Said(message.filter(|text| !text.is_empty()).unwrap_or_else(|| format!("gRPC status {code}")))))
}

/// Percent-decodes; what is no code stays as it is.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.split_at_checked(2).filter(|_| *first == b'%').and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = code.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read() {
        let of = |pairs: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in pairs {
                map.insert(*name, value.parse().unwrap());
            }
            status_of(&map).map(|outcome| outcome.map_err(|failure| failure.to_string()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("grpc-status", "0")]), Some(Ok(())));
        assert_eq!(of(&[("grpc-status", "2"), ("grpc-message", "50%25 %C3%A4%")]), Some(Err("50% ä%".into())));
        assert_eq!(of(&[("grpc-status", "12")]), Some(Err("gRPC status 12".into())));
    }
}
