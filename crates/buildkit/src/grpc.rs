//! The server side of gRPC over one hijacked connection, as far as a BuildKit session needs it.

use std::{collections::HashMap, convert::Infallible, future::Future, io, pin::Pin, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
    server::conn::http2,
    service::service_fn,
    upgrade::Upgraded,
};
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;

/// Largest message accepted, in bytes. BuildKit's own limit is 16 MiB; requests to a client are far smaller.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Messages of one call that may wait to be sent; bounds the memory of a transfer.
pub const MESSAGES_IN_FLIGHT: usize = 16;
/// Calls served side by side.
const MAX_CALLS: u32 = 256;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    code: u8,
    message: String,
}

impl Status {
    /// Nothing by that name.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { code: 5, message: message.into() }
    }

    /// It is there already.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self { code: 6, message: message.into() }
    }

    /// Fails for a reason that no other code names (gRPC's `UNKNOWN`).
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// A method this session does not have.
    pub fn unimplemented(path: &str) -> Self {
        Self { code: 12, message: format!("{path} is not served") }
    }
}

/// One call: the header fields the caller sent along, its messages, and the way back.
pub struct Call {
    /// The header fields of the call; BuildKit says in them which directory or secret it wants.
    pub metadata: HeaderMap,
    /// Messages of the caller.
    pub requests: Requests,
    /// Messages to the caller; bounded.
    pub answers: mpsc::Sender<Bytes>,
}

/// Messages of a caller.
pub struct Requests {
    body: Incoming,
    buffer: BytesMut,
}

impl Requests {
    /// The next message; `None` when the caller sends no more.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some((head, _)) = self.buffer.split_at_checked(5) {
                let compressed = head.first() != Some(&0);
                let length = head.iter().skip(1).fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
                if compressed || length > MAX_MESSAGE {
                    return Err(Status::failed("the message is compressed or too long"));
                }
                if self.buffer.len() >= 5 + length {
                    let mut message = self.buffer.split_to(5 + length);
                    return Ok(Some(message.split_off(5).freeze()));
                }
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Status::failed(format!("the connection broke: {error}"))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// What serves one method.
pub type Handler =
    Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Result<(), Status>> + Send>> + Send + Sync + 'static>;

/// Makes a handler of an asynchronous function.
pub fn handler<F, R>(function: F) -> Handler
where
    F: Fn(Call) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Status>> + Send + 'static,
{
    Arc::new(move |call| Box::pin(function(call)))
}

/// A handler for one message in, one message out.
pub fn unary<F, R>(function: F) -> Handler
where
    F: Fn(Bytes) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Vec<u8>, Status>> + Send + 'static,
{
    let function = Arc::new(function);
    handler(move |mut call: Call| {
        let function = Arc::clone(&function);
        async move {
            let request = call.requests.next().await?.unwrap_or_default();
            let answer = function(request).await?;
            call.answers.send(Bytes::from(answer)).await.map_err(|_| Status::failed("the caller is gone"))
        }
    })
}

/// Bytes of a call's metadata: BuildKit sends the patterns of a `.dockerignore` as such. What Go's servers of gRPC take.
const MAX_METADATA: u32 = 16 << 20;

/// Bytes that may be on their way on all streams of a connection. BuildKit asks for the files of a context one by one, each
/// in a frame of a few bytes, thousands ahead of what it was sent. The library takes more small frames than half of this
/// window has room for as an attack, and hangs up (`ENHANCE_YOUR_CALM`, `too_many_data_frames`): with its own window, at some
/// 2,100 files. What is really kept is bounded by the window of each stream.
pub const CONNECTION_WINDOW: u32 = 512 << 20;

/// Serves methods by their path (`/package.Service/Method`) until the other side hangs up.
pub async fn serve(connection: Upgraded, methods: HashMap<String, Handler>) {
    let methods = Arc::new(methods);
    let service = service_fn(move |request: Request<Incoming>| {
        let methods = Arc::clone(&methods);
        async move { Ok::<_, Infallible>(answer(&methods, request)) }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .max_concurrent_streams(MAX_CALLS)
        .max_header_list_size(MAX_METADATA)
        .initial_connection_window_size(CONNECTION_WINDOW);
    // The session's end is the build's end; how the connection broke is of no interest any more.
    let _ = builder.serve_connection(connection, service).await;
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

fn answer(methods: &HashMap<String, Handler>, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let (answers, mut outgoing) = mpsc::channel::<Bytes>(MESSAGES_IN_FLIGHT);
    let (frames, receiver) = mpsc::channel::<Frame<Bytes>>(1);
    let work = methods.get(&path).map(|handler| {
        handler(Call { metadata: parts.headers, requests: Requests { body, buffer: BytesMut::new() }, answers })
    });
    tokio::spawn(async move {
        let handled = async {
            match work {
                Some(work) => work.await,
                None => Err(Status::unimplemented(&path)),
            }
        };
        let forward = async {
            while let Some(message) = outgoing.recv().await {
                if frames.send(Frame::data(framed(&message))).await.is_err() {
                    // Dropping the receiver tells the handler that nobody listens.
                    outgoing.close();
                    return;
                }
            }
        };
        // The handler drops its sender when it ends, which ends the forwarding after the last message.
        let (outcome, ()) = tokio::join!(handled, forward);
        let _ = frames.send(Frame::trailers(trailers(outcome))).await;
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|frame| (Ok::<_, io::Error>(frame), receiver))
    });
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A message as gRPC frames it.
pub fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(message);
    frame.freeze()
}

fn trailers(outcome: Result<(), Status>) -> HeaderMap {
    let status = outcome.err().unwrap_or(Status { code: 0, message: String::new() });
    let mut map = HeaderMap::new();
    map.insert("grpc-status", HeaderValue::from(u16::from(status.code)));
    if !status.message.is_empty() {
        // Percent-encoded, as gRPC wants it.
        let text: String =
            status
                .message
                .bytes()
                .map(|b| {
                    if (0x20..0x7f).contains(&b) && b != b'%' { char::from(b).to_string() } else { format!("%{b:02X}") }
                })
                .collect();
        if let Ok(text) = HeaderValue::from_str(&text) {
            map.insert("grpc-message", text);
        }
    }
    map
}
