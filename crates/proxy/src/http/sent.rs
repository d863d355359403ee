//! A request's body on its way to a container.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

/// Waits until a body may be sent.
pub(crate) type Gate = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a request sends.
pub(crate) enum Sent {
    /// Nothing.
    Nothing,
    /// The client's body, as it comes.
    Body {
        body: Incoming,
        /// Turns true when all of it was sent.
        whole: Arc<AtomicBool>,
        /// The container is to ask for it first.
        gate: Option<Gate>,
    },
}

impl Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Sent::Body { body, whole, gate } = self.get_mut() else { return Poll::Ready(None) };
        if let Some(waits) = gate {
            ready!(waits.as_mut().poll(cx));
            *gate = None;
        }
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if frame.is_none() || body.is_end_stream() {
            whole.store(true, Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Sent::Nothing => true,
            Sent::Body { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Sent::Nothing => SizeHint::with_exact(0),
            Sent::Body { body, .. } => body.size_hint(),
        }
    }
}
