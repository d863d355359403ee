//! One connection: a container is found for it, and bytes are passed on, both ways, until both sides have ended.
//!
//! A side that has no more to say ends its direction alone, as it would without a proxy. A side that breaks off makes the
//! other one break off too: a truncated answer must not look like a whole one.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use crate::{
    arrives::Arrived,
    board::{Board, Claim},
    counts::Bytes,
    preamble,
    socket::{break_off, connect, is_lost, watch_over},
};

/// How long a client waits for a container that takes its connection: one that starts anew is there again by then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a request or a connection waits while its repository is held.
pub(crate) const HOLD_TIME: Duration = Duration::from_secs(30);
/// How long one container may take to accept. It is on this machine.
pub(crate) const ACCEPT: Duration = Duration::from_secs(2);
/// Pause before targets that refused are tried again.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that are passed on at a time. A connection on which nothing moves holds no buffer.
const BUFFER: usize = 16 << 10;
/// Serves one connection to its end.
pub(crate) async fn pass(
    mut client: TcpStream,
    arrived: Arrived,
    listen: SocketAddr,
    first: Claim,
    board: &Board,
    mut cut: watch::Receiver<bool>,
) {
    let Arrived { client: whose, host, early } = arrived;
    let peer = whose.ip();
    let at = client.local_addr().unwrap_or(listen);
    let serving = std::sync::Arc::clone(first.serving());
    let tally = &serving.tally;
    if let Some(listening) = board.listening(listen) {
        listening.door.taken.fetch_add(1, Relaxed);
    }
    tally.waiting.fetch_add(1, Relaxed);
    let found = tokio::select! {
        found = find(peer, listen, &host, first, board) => found,
        _ = cut.wait_for(|cut| *cut) => None,
    };
    tally.waiting.fetch_sub(1, Relaxed);
    let Some((claim, mut container)) = found else {
        tally.failed.fetch_add(1, Relaxed);
        tracing::debug!(%listen, %peer, "no container takes the connection: it is cut");
        break_off(&client);
        return;
    };
    for stream in [&client, &container] {
        watch_over(stream);
    }
    let both = async {
        if let Some(version) = claim.serving().route.proxy_protocol {
            container.write_all(&preamble::told(version, whose, at)).await?;
        }
        if !early.is_empty() {
            container.write_all(&early).await?;
            claim.bytes().received.fetch_add(u64::try_from(early.len()).unwrap_or(0), Relaxed);
            drop(early);
        }
        both_ways(&mut client, &mut container, &claim).await
    };
    let outcome = tokio::select! {
        outcome = both => outcome,
        () = claim.drained() => Err(io::Error::other("its colour has left the route, and its time is over")),
        _ = cut.wait_for(|cut| *cut) => Err(io::Error::other("the proxy ends")),
    };
    if let Err(error) = outcome {
        tracing::debug!(%listen, %peer, target = %claim.target(), %error, "the connection is cut");
        break_off(&client);
        break_off(&container);
    }
}

/// Connects to a target, once nobody holds its repository. One that refuses is followed by the next, and all of them are tried again for a while; the table
/// is asked each time, for it may have changed. Nothing that the client sent was read yet, so nothing is sent twice.
async fn find(peer: IpAddr, listen: SocketAddr, host: &str, first: Claim, board: &Board) -> Option<(Claim, TcpStream)> {
    let mut deadline = Instant::now() + PATIENCE;
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut next = Some(first);
    let mut nowhere = true;
    loop {
        if let Some(claim) = next.take().or_else(|| board.claim_named(listen, host, peer, &tried)) {
            // Looked at after it was counted in, as a request does.
            let serving = std::sync::Arc::clone(claim.serving());
            if serving.standing.held() {
                drop(claim);
                if serving.tally.is_crowded() || timeout(HOLD_TIME, serving.standing.resumed()).await.is_err() {
                    return None;
                }
                deadline = Instant::now() + PATIENCE;
                tried.clear();
                continue;
            }
            let until = deadline.min(Instant::now() + ACCEPT);
            match timeout_at(until, connect(claim.target())).await {
                Ok(Ok(container)) => return Some((claim, container)),
                Ok(Err(error)) => {
                    nowhere &= is_lost(&error);
                    tracing::debug!(target = %claim.target(), %error, "a container does not take connections")
                }
                Err(_) => {
                    nowhere = false;
                    tracing::debug!(target = %claim.target(), "a container takes no connection in time");
                }
            }
            tried.push(claim.target());
        } else if tried.is_empty() || nowhere {
            return None; // the route is gone, or nothing of it is on a network of this machine
        } else if Instant::now() + PAUSE >= deadline {
            return None;
        } else {
            sleep(PAUSE).await;
            tried.clear();
        }
    }
}

/// Bytes both ways, until both sides have ended.
pub(crate) async fn both_ways(client: &mut TcpStream, container: &mut TcpStream, claim: &Claim) -> io::Result<()> {
    let Bytes { received, sent } = claim.bytes();
    let moved = Moved::new();
    let (from_client, to_client) = client.split();
    let (from_container, to_container) = container.split();
    let copy = async {
        let up = one_way(from_client, to_container, |length| moved.note(received, length));
        let down = one_way(from_container, to_client, |length| moved.note(sent, length));
        tokio::try_join!(up, down).map(drop)
    };
    moved.lately(copy, claim.idle()).await
}

/// The same for a client that speaks TLS. Unlike the other one it holds its buffers while nothing moves.
pub(crate) async fn both_ways_through<C: AsyncRead + AsyncWrite>(
    client: C,
    container: &mut TcpStream,
    claim: &Claim,
) -> io::Result<()> {
    let Bytes { received, sent } = claim.bytes();
    let moved = Moved::new();
    let (from_client, to_client) = tokio::io::split(client);
    let (from_container, to_container) = container.split();
    let copy = async {
        let up = held_way(from_client, to_container, |length| moved.note(received, length));
        let down = held_way(from_container, to_client, |length| moved.note(sent, length));
        tokio::try_join!(up, down).map(drop)
    };
    moved.lately(copy, claim.idle()).await
}

/// When something was moved last.
struct Moved {
    began: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
}

impl Moved {
    fn new() -> Moved {
        Moved { began: Instant::now(), last: AtomicU64::new(0) }
    }

    fn note(&self, count: &AtomicU64, length: usize) {
        self.last.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
        count.fetch_add(u64::try_from(length).unwrap_or(0), Relaxed);
    }

    /// Copies as long as something moves now and then.
    async fn lately(&self, copy: impl Future<Output = io::Result<()>>, idle: Option<Duration>) -> io::Result<()> {
        let Some(idle) = idle else { return copy.await };
        let silence = async {
            loop {
                let end = self.began + Duration::from_millis(self.last.load(Relaxed)) + idle;
                if Instant::now() >= end {
                    return io::Error::new(io::ErrorKind::TimedOut, "neither side has said anything for too long");
                }
                sleep_until(end).await;
            }
        };
        tokio::select! {
            outcome = copy => outcome,
            error = silence => Err(error),
        }
    }
}

async fn held_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: impl Fn(usize),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await? {
            0 => {
                // Fails where the other side is gone already, which its own direction tells.
                let _ = to.shutdown().await;
                return Ok(());
            }
            length => {
                to.write_all(buffer.get(..length).unwrap_or_default()).await?;
                moved(length);
            }
        }
    }
}

/// Passes bytes on until the end of what is read, which it passes on too.
async fn one_way(from: ReadHalf<'_>, mut to: WriteHalf<'_>, moved: impl Fn(usize)) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match from.try_read(&mut buffer) {
                Ok(0) => {
                    // Fails where the other side is gone already, which its own direction tells.
                    let _ = to.shutdown().await;
                    return Ok(());
                }
                Ok(length) => {
                    to.write_all(buffer.get(..length).unwrap_or_default()).await?;
                    moved(length);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
}
