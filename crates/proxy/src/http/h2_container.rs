//! A stream to a container that speaks HTTP/2, as a connection on which HTTP/1.1 is spoken: one request is written to it, and
//! its answer is read from it.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::{
    Reason,
    client::{ResponseFuture, SendRequest},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    chunks::Chunks,
    guard::{Guard, Step},
    h2_body::{Left, Receiving, Sending, broken, poll_all},
    h2_text,
    head::Body,
};

/// A stream's place among those of its connection, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(pub(crate) Arc<AtomicUsize>);

impl Place {
    /// Counts one more stream; dropping what is returned counts it off.
    pub(crate) fn among(streams: &Arc<AtomicUsize>) -> Place {
        streams.fetch_add(1, Relaxed);
        Place(Arc::clone(streams))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// See the module. Dropped before its end, it takes its request back.
pub(crate) struct ContainerStream {
    asks: Asks,
    /// What is to be read before the answer: one that only announces it.
    early: Receiving,
    answer: Answer,
    /// Its place on the connection.
    _place: Place,
}

enum Asks {
    /// What was written of the request's head.
    Head(SendRequest<Bytes>, Vec<u8>),
    Goes(Sending),
}

enum Answer {
    None,
    Waited(ResponseFuture),
    Comes(Receiving),
}

/// Why a request was not taken, by a container that has done nothing of it.
#[derive(Debug)]
struct NotTaken;

impl std::error::Error for NotTaken {}

impl std::fmt::Display for NotTaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the container takes no further requests on this connection")
    }
}

/// Whether an error says that nothing was done of a request (RFC 9113, 8.7).
pub(crate) fn was_not_taken(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotTaken>())
}

/// Whether an error says that it is the client's.
pub(crate) fn is_the_clients(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

impl std::fmt::Debug for ContainerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContainerStream")
    }
}

impl ContainerStream {
    pub(crate) fn new(sender: SendRequest<Bytes>, place: Place) -> ContainerStream {
        let early = Receiving::new(Vec::new(), None, false);
        ContainerStream { asks: Asks::Head(sender, Vec::new()), early, answer: Answer::None, _place: place }
    }

    /// Whether its connection takes requests, as far as is known.
    pub(crate) fn is_alive(&mut self) -> bool {
        match &mut self.asks {
            Asks::Head(sender, _) => {
                !matches!(sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
            }
            Asks::Goes(_) => false,
        }
    }

    fn poll_some(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (sender, head) = match &mut self.asks {
            Asks::Goes(sending) => return sending.poll_write(cx, bytes),
            Asks::Head(sender, head) => (sender, head),
        };
        ready!(sender.poll_ready(cx)).map_err(broken)?;
        let before = head.len();
        head.extend_from_slice(bytes);
        let (length, parsed) = match Guard::new().step(head) {
            Step::Head(length, parsed) => (length, parsed),
            Step::More => return Poll::Ready(Ok(bytes.len())),
            other => return Poll::Ready(Err(io::Error::other(format!("what is sent on is no request: {other:?}")))),
        };
        let request = h2_text::request_of(head.get(..length).unwrap_or_default(), &parsed)
            .map_err(|reason| io::Error::new(io::ErrorKind::InvalidInput, reason))?;
        let left = match parsed.body {
            Body::None => Left::Nothing,
            Body::Sized(length) => Left::Sized(length),
            Body::Chunked => Left::Chunks(Chunks::strict()),
        };
        let ends = matches!(left, Left::Nothing);
        let (answer, stream) = sender.send_request(request, ends).map_err(broken)?;
        self.asks = Asks::Goes(Sending::new(stream, left));
        self.answer = Answer::Waited(answer);
        Poll::Ready(Ok(length - before))
    }

    /// The answer, or one that only announces it, and which of them it is.
    fn poll_answer(waited: &mut ResponseFuture, cx: &mut Context<'_>) -> Poll<io::Result<(bool, Receiving)>> {
        let mut text = Vec::with_capacity(512);
        if let Poll::Ready(Some(interim)) = waited.poll_informational(cx) {
            let (parts, ()) = interim.map_err(unanswered)?.into_parts();
            h2_text::answer(&mut text, &parts, true);
            return Poll::Ready(Ok((false, Receiving::new(text, None, false))));
        }
        let (parts, body) = ready!(Pin::new(waited).poll(cx)).map_err(unanswered)?.into_parts();
        let chunked = h2_text::answer(&mut text, &parts, body.is_end_stream());
        Poll::Ready(Ok((true, Receiving::new(text, Some(body), chunked))))
    }
}

fn unanswered(error: h2::Error) -> io::Error {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // GOAWAY is told to those only that came after the last one that was looked at.
    if error.is_remote() && (refused || error.is_go_away()) {
        return io::Error::other(NotTaken);
    }
    broken(error)
}

impl AsyncRead for ContainerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.early.has_ended() {
                return this.early.poll_read(cx, to);
            }
            match &mut this.answer {
                // Whoever reads before the request was written is woken by what that waits for.
                Answer::None => return Poll::Pending,
                Answer::Comes(comes) => return comes.poll_read(cx, to),
                Answer::Waited(waited) => match ready!(Self::poll_answer(waited, cx))? {
                    (true, comes) => this.answer = Answer::Comes(comes),
                    (false, early) => this.early = early,
                },
            }
        }
    }
}

impl AsyncWrite for ContainerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_some(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        poll_all(slices, |bytes| this.poll_some(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
