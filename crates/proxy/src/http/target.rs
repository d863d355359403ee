//! A connection with a container: HTTP/1.1 by hyper, one request at a time; and those that wait for their next one.

use std::{
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{
    body::Bytes,
    client::conn::http1,
    rt::{Read, ReadBufCursor, Write},
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::sent::Sent;
use crate::socket;

/// A connection without a request is closed after this: many servers close theirs after five seconds, and a request that
/// meets such an end is lost.
const IDLE: Duration = Duration::from_secs(3);
/// Connections without a request, of one container.
const IDLE_MOST: usize = 256;
/// How long one may take to be ready again after its last answer.
const READY: Duration = Duration::from_millis(100);
/// Bytes that are read at a time.
const READ: usize = 16 << 10;
/// Bytes of an answer's head, and of what hyper reads ahead.
const BUFFER: usize = 64 << 10;

/// What is left of a connection when it is HTTP no longer: itself, and what was read of it already.
pub(crate) type Rest = (TcpStream, Bytes);

/// One connection. It is closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) sender: http1::SendRequest<Sent>,
    /// Bytes that came from the container, ever.
    heard: Arc<AtomicU64>,
    /// Comes when the connection is HTTP no longer.
    pub(crate) rest: Option<oneshot::Receiver<Rest>>,
    driver: AbortHandle,
    /// It has had a request before: it may be closing unseen.
    pub(crate) used: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        // With a tunnel through it, or without a future: whoever has it, has it by `rest`.
        if self.rest.is_some() {
            self.driver.abort();
        }
    }
}

impl Link {
    /// Connects.
    pub(crate) async fn to(target: SocketAddr) -> io::Result<Link> {
        let stream = socket::connect(target).await?;
        socket::watch_over(&stream);
        let heard = Arc::new(AtomicU64::new(0));
        let wire = Wire { stream, heard: Arc::clone(&heard) };
        let (sender, mut connection) =
            http1::Builder::new().max_buf_size(BUFFER).handshake(wire).await.map_err(io::Error::other)?;
        let (send, rest) = oneshot::channel();
        let driver = tokio::spawn(async move {
            let ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
            if ended.is_ok() {
                let http1::Parts { io, read_buf, .. } = connection.into_parts();
                let _ = send.send((io.stream, read_buf));
            }
        });
        Ok(Link { sender, heard, rest: Some(rest), driver: driver.abort_handle(), used: false })
    }

    /// Bytes that came from the container so far.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }
}

/// The container's socket as hyper sees it.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    heard: Arc<AtomicU64>,
}

impl Read for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut buffer = [const { MaybeUninit::uninit() }; READ];
        let room = to.remaining().min(READ);
        let mut read = ReadBuf::uninit(buffer.get_mut(..room).unwrap_or_default());
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
        this.heard.fetch_add(u64::try_from(read.filled().len()).unwrap_or(0), Relaxed);
        to.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Connections of one container, in one generation of one colour, that wait for a request.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<(Instant, Link)>>,
    closed: AtomicBool,
}

impl Pool {
    /// The one that was used last, if it can be used again.
    pub(crate) async fn take(&self) -> Option<Link> {
        loop {
            let (since, mut link) = self.lock().pop()?;
            // Those below it wait longer still.
            if since.elapsed() >= IDLE {
                self.lock().clear();
                return None;
            }
            if link.sender.is_ready() || matches!(timeout(READY, link.sender.ready()).await, Ok(Ok(()))) {
                return Some(link);
            }
        }
    }

    /// Keeps one whose answer has ended.
    pub(crate) fn put(&self, mut link: Link) {
        link.used = true;
        let mut idle = self.lock();
        if idle.len() < IDLE_MOST && !self.closed.load(Relaxed) && !link.sender.is_closed() {
            idle.push((Instant::now(), link));
        }
    }

    /// Closes those that have waited too long.
    pub(crate) fn sweep(&self) {
        let mut idle = self.lock();
        let old = idle.iter().take_while(|(since, _)| since.elapsed() >= IDLE).count();
        idle.drain(..old);
    }

    /// Keeps none any more.
    pub(crate) fn close(&self) {
        let mut idle = self.lock();
        self.closed.store(true, Relaxed);
        idle.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Link)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
