//! A connection with a container, and those that wait for their next request.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustix::net::RecvFlags;
use tokio::net::TcpStream;

use super::buffer::{Buffer, Size};
use crate::{socket, worker};

/// A connection without a request is closed after this: many servers close theirs after five seconds, and a request that
/// meets such an end is lost.
const IDLE: Duration = Duration::from_secs(3);
/// Connections without a request, of one container and one thread.
const IDLE_MOST: usize = 256;

/// One connection. It is closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    /// What it has said and nobody was given.
    pub(crate) inbox: Buffer,
    /// It has had a request before: it may be closing unseen.
    pub(crate) used: bool,
}

impl Link {
    /// Connects.
    pub(crate) async fn to(target: SocketAddr) -> io::Result<Link> {
        let stream = socket::connect(target).await?;
        socket::watch_over(&stream);
        Ok(Link { stream, inbox: Buffer::new(Size::Large), used: false })
    }

    /// Whether it can have a request, as far as this thread has heard: one that has said something, or ended, can not.
    fn is_alive(&self) -> bool {
        matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The same, asked of the kernel.
    pub(crate) fn is_surely_alive(&self) -> bool {
        let peeked = rustix::net::recv(&self.stream, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(error) if error == rustix::io::Errno::AGAIN)
    }

    /// To be woken by this thread from now on.
    fn moved_here(self) -> io::Result<Link> {
        let Link { stream, inbox, used } = self;
        Ok(Link { stream: TcpStream::from_std(stream.into_std()?)?, inbox, used })
    }
}

/// Connections of one container, in one generation of one colour, that wait for a request: of each thread its own, so that
/// nobody waits for a lock.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: [Mutex<Vec<(Instant, Link)>>; worker::MOST],
    closed: AtomicBool,
}

impl Pool {
    /// The one that was used last, if it can be used again; else one of another thread.
    pub(crate) fn take(&self) -> Option<Link> {
        let here = worker::here();
        let mut others = self.idle.iter().enumerate().filter(|(number, _)| *number != here);
        let own = self.idle.get(here).and_then(newest);
        own.or_else(|| others.find_map(|(_, idle)| newest(idle)).and_then(|link| link.moved_here().ok()))
    }

    /// Keeps one whose answer has ended.
    pub(crate) fn put(&self, mut link: Link) {
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
    }

    /// Keeps none any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        for idle in &self.idle {
            lock(idle).clear();
        }
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
