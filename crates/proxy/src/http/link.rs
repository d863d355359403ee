//! A connection with a container, and those that wait for their next request.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustix::net::RecvFlags;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use turnout_traffic::ProxyProtocol;

use super::{
    buffer::{Buffer, Size},
    h2_container::ContainerStream,
    h2_links::{self, Leg, Links},
};
use crate::{preamble, socket, worker};

/// A connection without a request is closed after this: many servers close theirs after five seconds, and a request that
/// meets such an end is lost.
const IDLE: Duration = Duration::from_secs(3);
/// Connections without a request, of one container and one thread.
const IDLE_MOST: usize = 256;

/// What connection a request has to its container.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// One that others had before, and have afterwards.
    Kept,
    /// One of its own, on which the container is told first of its client, and of the address that it came to.
    Told(ProxyProtocol, SocketAddr, SocketAddr),
    /// A stream beside others.
    Shared,
}

/// Where the bytes of a request go.
#[derive(Debug)]
pub(crate) enum Way {
    /// A connection of its own.
    Own(TcpStream),
    /// A stream on a connection that it shares, and that one's socket.
    Shared(Box<ContainerStream>, Arc<TcpStream>),
}

impl AsyncRead for Way {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Way::Own(stream) => Pin::new(stream).poll_read(cx, to),
            Way::Shared(stream, _) => Pin::new(&mut **stream).poll_read(cx, to),
        }
    }
}

impl AsyncWrite for Way {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Way::Own(stream) => Pin::new(stream).poll_write(cx, bytes),
            Way::Shared(stream, _) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Way::Own(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Way::Shared(stream, _) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Way::Own(stream) => Pin::new(stream).poll_flush(cx),
            Way::Shared(stream, _) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Way::Own(stream) => Pin::new(stream).poll_shutdown(cx),
            Way::Shared(stream, _) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

/// One connection. It is closed when this is dropped; one that is shared goes on.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Way,
    /// What it has said and nobody was given.
    pub(crate) inbox: Buffer,
    /// It has had a request before: it may be closing unseen.
    pub(crate) used: bool,
    /// It was said to be one client's.
    one_clients: bool,
}

impl Link {
    /// Connects to a container.
    pub(crate) async fn to(target: SocketAddr) -> io::Result<Link> {
        let stream = socket::connect(target).await?;
        socket::watch_over(&stream);
        Ok(Link { stream: Way::Own(stream), inbox: Buffer::new(Size::Large), used: false, one_clients: false })
    }

    fn shared((stream, socket): Leg, used: bool) -> Link {
        Link {
            stream: Way::Shared(Box::new(stream), socket),
            inbox: Buffer::new(Size::Large),
            used,
            one_clients: false,
        }
    }

    /// Whether it can have a request, as far as this thread has heard: one that has said something, or ended, can not.
    fn is_alive(&self) -> bool {
        match &self.stream {
            Way::Own(stream) => {
                matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Way::Shared(..) => false,
        }
    }

    /// Whether other requests go on its connection, too.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.stream, Way::Shared(..))
    }

    /// The same, asked of the kernel.
    pub(crate) fn is_surely_alive(&mut self) -> bool {
        match &mut self.stream {
            Way::Own(stream) => {
                let peeked = rustix::net::recv(stream, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT);
                matches!(peeked, Err(error) if error == rustix::io::Errno::AGAIN)
            }
            Way::Shared(stream, socket) => stream.is_alive() && h2_links::is_surely_alive(socket),
        }
    }

    /// To be woken by this thread from now on. One that is shared never is another thread's.
    fn moved_here(self) -> io::Result<Link> {
        let Link { stream, inbox, used, one_clients } = self;
        let stream = match stream {
            Way::Own(stream) => Way::Own(TcpStream::from_std(stream.into_std()?)?),
            shared @ Way::Shared(..) => shared,
        };
        Ok(Link { stream, inbox, used, one_clients })
    }
}

/// Connections of one container, in one generation of one colour, that wait for a request: of each thread its own, so that
/// nobody waits for a lock.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: [Mutex<Vec<(Instant, Link)>>; worker::MOST],
    /// Those on which many requests go at a time.
    shared: Links,
    closed: AtomicBool,
}

impl Pool {
    /// One that can have a request.
    pub(crate) fn take(&self, wanted: Wanted) -> Option<Link> {
        match wanted {
            Wanted::Kept => self.own(),
            Wanted::Told(..) => None,
            Wanted::Shared => self.shared.take().map(|leg| Link::shared(leg, true)),
        }
    }

    /// One that is made for it.
    pub(crate) async fn connect(&self, target: SocketAddr, wanted: Wanted) -> io::Result<Link> {
        match wanted {
            Wanted::Kept => Link::to(target).await,
            Wanted::Told(version, client, at) => {
                let mut link = Link::to(target).await?;
                link.stream.write_all(&preamble::told(version, client, at)).await?;
                link.one_clients = true;
                Ok(link)
            }
            Wanted::Shared => self.shared.connect(target).await.map(|(leg, used)| Link::shared(leg, used)),
        }
    }

    /// The one that was used last, if it can be used again; else one of another thread.
    fn own(&self) -> Option<Link> {
        let here = worker::here();
        let mut others = self.idle.iter().enumerate().filter(|(number, _)| *number != here);
        let own = self.idle.get(here).and_then(newest);
        own.or_else(|| others.find_map(|(_, idle)| newest(idle)).and_then(|link| link.moved_here().ok()))
    }

    /// Keeps one whose answer has ended.
    pub(crate) fn put(&self, mut link: Link) {
        if link.is_shared() || link.one_clients {
            return;
        }
        link.used = true;
        let Some(idle) = self.idle.get(worker::here()) else { return };
        let mut idle = lock(idle);
        if idle.len() < IDLE_MOST && !self.closed.load(Relaxed) {
            idle.push((Instant::now(), link));
        }
    }

    /// Closes those that have waited too long.
    pub(crate) fn sweep(&self) {
        for idle in &self.idle {
            let mut idle = lock(idle);
            let old = idle.iter().take_while(|(since, _)| since.elapsed() >= IDLE).count();
            idle.drain(..old);
        }
        self.shared.sweep();
    }

    /// Keeps none any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        for idle in &self.idle {
            lock(idle).clear();
        }
        self.shared.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}

fn newest(idle: &Mutex<Vec<(Instant, Link)>>) -> Option<Link> {
    let mut idle = lock(idle);
    while let Some((since, link)) = idle.pop() {
        // Those below it wait longer still.
        if since.elapsed() >= IDLE {
            idle.clear();
            return None;
        }
        if link.is_alive() {
            return Some(link);
        }
    }
    None
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
