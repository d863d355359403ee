//! Clients and containers that speak HTTP/2, by the crate that the proxy uses too; what is wrong on purpose is in `frames`.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    thread,
};

use bytes::Bytes;
use h2::{
    RecvStream,
    client::{ResponseFuture, SendRequest},
    server::SendResponse,
};
use http::{HeaderMap, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::support::{PATIENCE, own_ip};

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A client's connection, whose requests may be many at a time.
pub(crate) struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// An answer with all of its body, and the trailers after it.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Said {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A request that was sent.
pub(crate) type Sent = ResponseFuture;

pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(format!("http://shop{path}")).body(()).unwrap()
}

impl Http2 {
    /// Without TLS: it knows that HTTP/2 is spoken.
    pub(crate) fn to(address: SocketAddr) -> Http2 {
        let runtime = runtime();
        let stream = runtime.block_on(TcpStream::connect(address)).unwrap();
        stream.set_nodelay(true).unwrap();
        Http2::over(runtime, stream)
    }

    pub(crate) fn over(runtime: Runtime, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Http2 {
        // What nobody takes of one stream must leave room for the others.
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(4 << 20);
        let (sender, connection) = runtime.block_on(builder.handshake(stream)).unwrap();
        let connection = runtime.spawn(connection);
        Http2 { runtime, sender, connection }
    }

    /// Does something while the connection is looked after.
    pub(crate) fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { timeout(PATIENCE, what).await.unwrap() })
    }

    /// Sends a request as a whole.
    #[expect(clippy::async_yields_async, reason = "its answer is waited for later")]
    pub(crate) fn sends(&mut self, request: Request<()>, body: &[u8], trailers: HeaderMap) -> Sent {
        let ends = body.is_empty() && trailers.is_empty();
        let mut sender = self.sender.clone();
        let body = Bytes::copy_from_slice(body);
        self.wait(async move {
            poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
            let (answer, mut stream) = sender.send_request(request, ends).unwrap();
            if !ends {
                stream.send_data(body, trailers.is_empty()).unwrap();
                if !trailers.is_empty() {
                    stream.send_trailers(trailers).unwrap();
                }
            }
            tokio::task::yield_now().await;
            answer
        })
    }

    /// The same, with more to come.
    pub(crate) fn begins(&mut self, request: Request<()>) -> (Sent, h2::SendStream<Bytes>) {
        let mut sender = self.sender.clone();
        self.wait(async move {
            poll_fn(|cx| sender.poll_ready(cx)).await.unwrap();
            let begun = sender.send_request(request, false).unwrap();
            tokio::task::yield_now().await;
            begun
        })
    }

    pub(crate) fn answer(&self, sent: Sent) -> Result<Said, h2::Error> {
        self.wait(said(sent))
    }

    pub(crate) fn get(&mut self, path: &str) -> Said {
        self.asks(get(path), b"")
    }

    pub(crate) fn asks(&mut self, request: Request<()>, body: &[u8]) -> Said {
        let sent = self.sends(request, body, HeaderMap::new());
        self.answer(sent).unwrap()
    }

    /// How the connection ended.
    pub(crate) fn ended(&mut self) -> Result<(), h2::Error> {
        self.runtime.block_on(async { timeout(PATIENCE, &mut self.connection).await.unwrap() }).unwrap()
    }
}

pub(crate) async fn said(sent: Sent) -> Result<Said, h2::Error> {
    let (parts, body) = sent.await?.into_parts();
    let (body, trailers) = all(body).await?;
    Ok(Said { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

/// A body, as its bytes are taken.
pub(crate) async fn all(mut stream: RecvStream) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok((body, stream.trailers().await?.unwrap_or_default()))
}

type Serving = Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>;

/// A container that speaks nothing but HTTP/2.
pub(crate) struct Container2 {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Container2 {
    /// Does this with each request; `streams` of a connection at a time.
    pub(crate) fn of<F>(streams: u32, serve: F) -> Container2
    where
        F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> Serving + Send + Sync + 'static,
    {
        let listener = std::net::TcpListener::bind((own_ip(), 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serve = Arc::new(serve);
        let thread = thread::spawn(move || {
            runtime().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                let serves = async {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        tokio::spawn(connection(stream, streams, Arc::clone(&serve)));
                    }
                };
                tokio::select! {
                    () = serves => {}
                    _ = stopped => {}
                }
            });
        });
        Container2 { address, stop: Some(stop), thread: Some(thread) }
    }
}

async fn connection<F>(stream: TcpStream, streams: u32, serve: Arc<F>)
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> Serving + Send + Sync + 'static,
{
    let Ok(mut connection) = h2::server::Builder::new().max_concurrent_streams(streams).handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, answer))) = connection.accept().await {
        tokio::spawn(serve(request, answer));
    }
}

/// An answer as a whole, with trailers.
pub(crate) fn answers(
    mut to: SendResponse<Bytes>,
    answer: Response<()>,
    body: impl Into<Bytes>,
    trailers: HeaderMap,
) -> Result<(), h2::Error> {
    let mut stream = to.send_response(answer, false)?;
    stream.send_data(body.into(), trailers.is_empty())?;
    if !trailers.is_empty() {
        stream.send_trailers(trailers)?;
    }
    Ok(())
}

impl Drop for Container2 {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}
