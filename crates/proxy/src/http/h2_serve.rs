//! A client's connection on which HTTP/2 is spoken: each of its streams is a request, and has a task on this thread.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Builder, Connection, SendResponse},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    buffer::{Buffer, Outgoing, Size},
    clock::Clock,
    exchange::{After, Client},
    find::Finder,
    forward::Asker,
    guard::{Guard, HEAD_BYTES, Step},
    h2_calm::Calm,
    h2_client::ClientStream,
    own::Own,
    refusal::Refusal,
    stream::Stream,
    talk::Io,
};
use crate::house::House;

/// Streams of one connection at a time.
const STREAMS: u32 = 100;
/// Bytes that a client may send of one stream, and of all streams of a connection, before somebody takes them.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of an answer that wait to be written, of one stream.
const SEND_BUFFER: usize = 64 << 10;
/// A connection that ends is waited for so long, once nothing is under way on it and nothing moves: the end of an answer may
/// still be on its way to a slow client.
const LINGER: Duration = Duration::from_secs(2);

/// This part of the places of a listener is left to new connections.
const LEFT_TO_OTHERS: usize = 8;

/// How a client that knows that HTTP/2 is spoken here begins (RFC 9113, 3.4): what the guard reads as a request's head.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Whether a connection begins so.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE)
}

/// Whose connection it is.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) peer: SocketAddr,
    pub(crate) listen: SocketAddr,
    pub(crate) asker: Arc<Asker>,
    pub(crate) finder: Finder,
    pub(crate) house: Arc<House>,
}

impl Caller {
    /// A place as a connection has one: each request may have one of its own to a container. The first of a client's has the
    /// client's own. None: as many are taken as may be by what connections have further, for others are to be had, too.
    fn place(&self) -> Option<Option<OwnedSemaphorePermit>> {
        let House { places, places_at_door, .. } = &*self.house;
        if places.available_permits() <= places_at_door / LEFT_TO_OTHERS {
            return None;
        }
        Arc::clone(places).try_acquire_owned().ok().map(Some)
    }

    /// For one of its requests.
    fn another(&self) -> Caller {
        let Caller { peer, listen, asker, finder, house } = self;
        let (asker, house) = (Arc::clone(asker), Arc::clone(house));
        Caller { peer: *peer, listen: *listen, asker, finder: finder.another(), house }
    }
}

/// Serves it to its end. `early`: what was read of it already.
pub(crate) async fn serve(stream: Stream, early: Buffer, caller: Caller) {
    let Caller { peer, listen, house, .. } = &caller;
    let mut cut = house.cut.clone();
    let moved = Arc::new(Moved { began: Instant::now(), last: AtomicU64::new(0) });
    let handshake = Builder::new()
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(Early { early, stream, moved: Arc::clone(&moved) });
    let outcome = tokio::select! {
        outcome = timeout(house.times.head_timeout, handshake) => outcome,
        _ = cut.wait_for(|cut| *cut) => return,
    };
    let reason = match outcome {
        Ok(Ok(connection)) => {
            tokio::select! {
                outcome = streams(connection, &caller, &moved) => outcome.err().map(|error| error.to_string()),
                // What is open ends without its end, and clients see that it does.
                _ = cut.wait_for(|cut| *cut) => Some("the proxy ends".to_owned()),
            }
        }
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it took too long to begin".to_owned()),
    };
    if let Some(reason) = reason {
        tracing::debug!(%listen, %peer, "a connection ended early: {reason}");
    }
}

async fn streams(mut connection: Connection<Early, Bytes>, caller: &Caller, moved: &Moved) -> Result<(), h2::Error> {
    let Caller { house, .. } = caller;
    let mut ending = house.ending.clone();
    let mut open = JoinSet::new();
    let mut clock = Clock::new();
    let mut calm = Calm::new(Instant::now());
    let (mut since, mut ends) = (Instant::now(), false);
    loop {
        let idle = open.is_empty();
        let until = match ends {
            false => since + house.times.keep_alive,
            // In all no longer than an answer may wait for its client.
            true => (since + house.times.take_timeout).min(since.max(moved.last()) + LINGER),
        };
        tokio::select! {
            biased;
            Some(left) = open.join_next(), if !idle => {
                since = Instant::now();
                if left.unwrap_or(false) && !calm.allows(since) {
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                }
            }
            accepted = connection.accept() => match accepted {
                Some(accepted) => {
                    let (request, mut answer) = accepted?;
                    let place = if idle { Some(None) } else { caller.place() };
                    match place {
                        Some(place) => drop(open.spawn(one(request, answer, caller.another(), place))),
                        // Nothing was done of it: the client may ask again.
                        None => answer.send_reset(Reason::REFUSED_STREAM),
                    }
                }
                None => return Ok(()),
            },
            // What is under way ends as it would, and the client asks elsewhere for what is new.
            _ = ending.wait_for(|ending| *ending), if !ends => {
                (since, ends) = (Instant::now(), true);
                connection.graceful_shutdown();
            }
            () = poll_fn(|cx| clock.poll_until(cx, until)), if idle => {
                if ends && moved.last() + LINGER > Instant::now() && since + house.times.take_timeout > Instant::now() {
                    continue;
                }
                if ends {
                    return Ok(());
                }
                (since, ends) = (Instant::now(), true);
                connection.graceful_shutdown();
            }
        }
    }
}

/// One request. Whether the client left before its end.
async fn one(
    request: http::Request<RecvStream>,
    answer: SendResponse<Bytes>,
    caller: Caller,
    _place: Option<OwnedSemaphorePermit>,
) -> bool {
    let Caller { peer, asker, finder, house, .. } = caller;
    let (stream, taken) = ClientStream::new(request, answer);
    let socket = Stream::Http2(Box::new(stream));
    let io = Io { socket, guard: Guard::new(), inbox: Buffer::new(Size::Small), out: Outgoing::new(), wrote: 0 };
    let mut client = Client { peer, asker, finder, io, clock: Clock::new(), house };
    let after = match taken {
        Ok(()) => request_of(&mut client).await,
        Err(refusal) => client.refuse(Own::refused(refusal)).await,
    };
    let (After::Cut(reason), Stream::Http2(stream)) = (after, &mut client.io.socket) else { return false };
    tracing::debug!(%peer, "a stream ended early: {reason}");
    let left = stream.has_left();
    if !left {
        // Half an answer must not look like a whole one.
        stream.break_off();
    }
    left
}

async fn request_of(client: &mut Client) -> After {
    loop {
        let Io { socket, guard, inbox, .. } = &mut client.io;
        match guard.step(inbox.rest()) {
            Step::Head(_, head) => return client.exchange(head).await,
            Step::Refuse(refusal) | Step::Broken(refusal) => return client.refuse(Own::refused(refusal)).await,
            Step::Skip(length) => inbox.consume(length),
            Step::Body(_) | Step::Undecided => return After::Cut("the client broke off"),
            Step::More => match poll_fn(|cx| inbox.poll_fill(cx, socket, HEAD_BYTES + 4)).await {
                Ok(length) if length > 0 => {}
                Ok(_) => return client.refuse(Own::refused(Refusal::new(431, "the head is larger than 32 KiB"))).await,
                Err(_) => return After::Cut("the client broke off"),
            },
        }
    }
}

/// When bytes were moved on a connection last.
struct Moved {
    began: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
}

impl Moved {
    fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last.load(Relaxed))
    }

    fn note<T>(&self, outcome: &Poll<io::Result<T>>) {
        if matches!(outcome, Poll::Ready(Ok(_))) {
            self.last.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
        }
    }
}

/// A connection of which something was read before.
struct Early {
    early: Buffer,
    stream: Stream,
    moved: Arc<Moved>,
}

impl AsyncRead for Early {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Early { early, stream, moved } = self.get_mut();
        if early.is_empty() {
            let outcome = Pin::new(stream).poll_read(cx, to);
            moved.note(&outcome);
            return outcome;
        }
        let length = early.rest().len().min(to.remaining());
        to.put_slice(early.rest().get(..length).unwrap_or_default());
        early.consume(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Early {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Early { stream, moved, .. } = self.get_mut();
        let outcome = Pin::new(stream).poll_write(cx, bytes);
        moved.note(&outcome);
        outcome
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Early { stream, moved, .. } = self.get_mut();
        let outcome = Pin::new(stream).poll_write_vectored(cx, slices);
        moved.note(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        // Through TLS a slice is a record: h2 puts them together.
        matches!(self.stream, Stream::Plain(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
