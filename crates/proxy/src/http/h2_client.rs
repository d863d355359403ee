//! A stream of a client that speaks HTTP/2, as a connection on which HTTP/1.1 is spoken: one request is read from it, and its
//! answer is written to it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    answer_head::{self, Framing, Read},
    chunks::Chunks,
    h2_body::{Left, Receiving, Sending, broken, poll_all},
    h2_text,
    refusal::Refusal,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct ClientStream {
    asks: Receiving,
    answer: Answer,
    /// HEAD: its answer has no body, whatever it says.
    bodiless: bool,
    /// What was written of the answer's head.
    head: Vec<u8>,
}

#[derive(Debug)]
enum Answer {
    Waited(SendResponse<Bytes>),
    Goes(Sending),
}

impl ClientStream {
    /// A request, and where its answer goes; what of it is refused at once.
    pub(crate) fn new(
        request: http::Request<RecvStream>,
        answer: SendResponse<Bytes>,
    ) -> (ClientStream, Result<(), Refusal>) {
        let (parts, body) = request.into_parts();
        let ends = body.is_end_stream();
        let mut head = Vec::with_capacity(512);
        let written = h2_text::request(&mut head, &parts, ends);
        let chunked = written == Ok(true);
        let stream = ClientStream {
            asks: Receiving::new(head, (!ends).then_some(body), chunked),
            answer: Answer::Waited(answer),
            bodiless: parts.method == http::Method::HEAD,
            head: Vec::new(),
        };
        (stream, written.map(drop))
    }

    /// The client is told that what it has of the answer is not all.
    pub(crate) fn break_off(&mut self) {
        match &mut self.answer {
            Answer::Waited(answer) => answer.send_reset(Reason::INTERNAL_ERROR),
            Answer::Goes(sending) => sending.reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Whether the client wants no answer any more.
    pub(crate) fn has_left(&mut self) -> bool {
        self.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Ready when the client wants no answer any more.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        match &mut self.answer {
            Answer::Waited(answer) => {
                answer.poll_reset(cx).map(|outcome| outcome.map_or_else(broken, |reason| broken(reason.into())))
            }
            Answer::Goes(sending) => sending.poll_reset(cx),
        }
    }

    fn poll_some(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let before = self.head.len();
        let answer = match &mut self.answer {
            Answer::Goes(sending) => return sending.poll_write(cx, bytes),
            Answer::Waited(answer) => answer,
        };
        self.head.extend_from_slice(bytes);
        let head = match answer_head::read(&self.head, 0) {
            Read::More(_) => return Poll::Ready(Ok(bytes.len())),
            Read::Wrong(reason) => return Poll::Ready(Err(io::Error::other(reason))),
            Read::Head(head) => head,
        };
        let length = head.length;
        let said = h2_text::answer_of(&self.head, &head).map_err(io::Error::other)?;
        self.head.clear();
        if head.status < 200 {
            answer.send_informational(said).map_err(broken)?;
        } else {
            let none = self.bodiless || matches!(head.status, 204 | 304);
            let left = match head.framing {
                _ if none => Left::Nothing,
                Framing::Sized(0) | Framing::Close => Left::Nothing,
                Framing::Sized(length) => Left::Sized(length),
                Framing::Chunked => Left::Chunks(Chunks::strict()),
            };
            let stream = answer.send_response(said, matches!(left, Left::Nothing)).map_err(broken)?;
            self.answer = Answer::Goes(Sending::new(stream, left));
        }
        Poll::Ready(Ok(length - before))
    }
}

impl AsyncRead for ClientStream {
    /// Never comes to an end by itself: a client of HTTP/1.1 that has no more to say has left, and this one has not.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = to.filled().len();
        ready!(this.asks.poll_read(cx, to))?;
        if to.filled().len() > before || !this.asks.has_ended() {
            return Poll::Ready(Ok(()));
        }
        this.poll_reset(cx).map(Err)
    }
}

impl AsyncWrite for ClientStream {
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
