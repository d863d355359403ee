//! What is answered to a client: a container's answer, or words of our own.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{target::Link, wire::Said};
use crate::board::Claim;

/// A container's answer: the request is in flight until this has ended, and the connection goes back to its pool then.
pub(crate) struct Passed {
    pub(crate) body: Incoming,
    /// None once it was given back.
    pub(crate) held: Option<(Link, Claim)>,
    /// The request's body was sent whole.
    pub(crate) whole: Arc<AtomicBool>,
    pub(crate) silence: Option<Silence>,
    ended: bool,
}

/// How long a container may say nothing in the middle of its answer.
pub(crate) struct Silence {
    most: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    pub(crate) fn of(most: Duration) -> Silence {
        Silence { most, timer: Box::pin(sleep_until(Instant::now() + most)) }
    }
}

impl Passed {
    pub(crate) fn new(body: Incoming, held: (Link, Claim), whole: Arc<AtomicBool>, silence: Option<Silence>) -> Passed {
        Passed { body, held: Some(held), whole, silence, ended: false }
    }

    /// What goes with the answer that ends HTTP on a connection.
    pub(crate) fn nothing(body: Incoming) -> Passed {
        Passed { body, held: None, whole: Arc::default(), silence: None, ended: true }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        let Some((link, claim)) = self.held.take() else { return };
        // One with half an answer, or half a request, in it is of no further use.
        if (self.ended || self.body.is_end_stream()) && self.whole.load(Relaxed) {
            claim.to.pool.put(link);
        }
    }
}

/// What is answered.
pub(crate) enum Content {
    /// Words of our own.
    Own(Option<Bytes>),
    Passed(Passed),
}

/// What is answered, while the connection is busy with it.
pub(crate) struct Answer {
    pub(crate) content: Content,
    pub(crate) said: Arc<Said>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.said.answered();
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let passed = match &mut self.get_mut().content {
            Content::Own(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Passed(passed) => passed,
        };
        let polled = Pin::new(&mut passed.body).poll_frame(cx);
        match polled {
            Poll::Pending => {
                let Some(silence) = &mut passed.silence else { return Poll::Pending };
                ready!(silence.timer.as_mut().poll(cx));
                let message = "the container stopped in the middle of its answer";
                Poll::Ready(Some(Err(std::io::Error::new(std::io::ErrorKind::TimedOut, message))))
            }
            Poll::Ready(frame) => {
                passed.ended |= frame.is_none();
                if let Some(Silence { most, timer }) = &mut passed.silence {
                    timer.as_mut().reset(Instant::now() + *most);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(std::io::Error::other)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.is_none(),
            Content::Passed(passed) => passed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(0)))
            }
            Content::Passed(passed) => passed.body.size_hint(),
        }
    }
}
