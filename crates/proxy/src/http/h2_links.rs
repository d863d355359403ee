//! Connections to a container that speaks HTTP/2: many requests share one, of each thread its own.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use rustix::net::RecvFlags;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::h2_container::{ContainerStream, Place};
use crate::{socket, worker};

/// A connection without a request is closed after this.
const IDLE: Duration = Duration::from_secs(30);
/// Streams of one connection at a time, if the container takes as many; beyond it another connection is made.
const STREAMS: usize = 100;
/// Bytes that a container may send of one stream, and of all streams of a connection, before a client takes them.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Bytes of a request that wait to be written, of one stream.
const SEND_BUFFER: usize = 64 << 10;
/// Bytes of the head of an answer.
const HEAD_BYTES: u32 = 64 << 10;

/// All connections to one container.
#[derive(Debug, Default)]
pub(crate) struct Links {
    threads: [Thread; worker::MOST],
    closed: AtomicBool,
}

/// Those of one thread.
#[derive(Debug, Default)]
struct Thread {
    links: Mutex<Vec<Shared>>,
    /// One is made at a time: many requests may come before the first is there.
    making: tokio::sync::Mutex<()>,
}

/// One of them.
#[derive(Debug)]
struct Shared {
    sender: SendRequest<Bytes>,
    socket: Arc<TcpStream>,
    streams: Arc<AtomicUsize>,
    /// When it was given to a request last.
    since: Instant,
}

/// A stream on a connection, and that connection's socket.
pub(crate) type Leg = (ContainerStream, Arc<TcpStream>);

impl Shared {
    fn leg(&mut self) -> Leg {
        self.since = Instant::now();
        (ContainerStream::new(self.sender.clone(), Place::among(&self.streams)), Arc::clone(&self.socket))
    }

    /// Whether it takes another request now. None: it takes none any more.
    fn takes(&mut self) -> Option<bool> {
        let none = &mut Context::from_waker(std::task::Waker::noop());
        match self.sender.poll_ready(none) {
            Poll::Ready(Err(_)) => None,
            _ => Some(self.streams.load(Relaxed) < STREAMS.min(self.sender.current_max_send_streams().max(1))),
        }
    }
}

impl Links {
    /// A place for a request on a connection of this thread.
    pub(crate) fn take(&self) -> Option<Leg> {
        let mut links = lock(&self.threads.get(worker::here())?.links);
        let mut found = None;
        links.retain_mut(|link| match link.takes() {
            Some(takes) => {
                if takes && found.is_none() {
                    found = Some(link.leg());
                }
                true
            }
            None => false,
        });
        found
    }

    /// The same on a connection that is made for it, unless another request has made one meanwhile; and whether that is so.
    pub(crate) async fn connect(&self, target: SocketAddr) -> io::Result<(Leg, bool)> {
        let none = || io::Error::other("this is no thread that serves connections");
        let thread = self.threads.get(worker::here()).ok_or_else(none)?;
        let _one_at_a_time = thread.making.lock().await;
        if let Some(leg) = self.take() {
            return Ok((leg, true));
        }
        let stream = socket::connect(target).await?;
        socket::watch_over(&stream);
        let socket = Arc::new(stream);
        let handshake = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(Both(Arc::clone(&socket)));
        let (sender, connection) = handshake.await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%target, "a connection to a container ended early: {error}");
            }
        });
        let mut link = Shared { sender, socket, streams: Arc::default(), since: Instant::now() };
        let leg = link.leg();
        if !self.closed.load(Relaxed) {
            lock(&thread.links).push(link);
        }
        Ok((leg, false))
    }

    /// Closes those that have waited too long.
    pub(crate) fn sweep(&self) {
        for thread in &self.threads {
            lock(&thread.links).retain(|link| link.streams.load(Relaxed) > 0 || link.since.elapsed() < IDLE);
        }
    }

    /// Keeps none any more: each ends with its last request.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        for thread in &self.threads {
            lock(&thread.links).clear();
        }
    }
}

/// Whether the other end of a connection has not closed it, asked of the kernel.
pub(crate) fn is_surely_alive(socket: &TcpStream) -> bool {
    match rustix::net::recv(socket, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((length, _)) => length > 0,
        Err(error) => error == rustix::io::Errno::AGAIN,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket that is looked at from elsewhere too.
struct Both(Arc<TcpStream>);

impl AsyncRead for Both {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(to) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Both {
    fn poll_try(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

impl AsyncWrite for Both {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Write).map_err(Into::into))
    }
}
