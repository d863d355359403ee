//! One request and its answer, byte by byte, both ways at once: a container may answer before it has all of a body, and a
//! client may leave at any time.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    answer_head::{self, AnswerHead, Framing, Read},
    buffer::{Buffer, Outgoing},
    chunks::{Chunks, Piece},
    clock::Clock,
    forward,
    guard::{Guard, HEAD_BYTES, Step},
    h2_container,
    link::Link,
    refusal::Refusal,
    stream::Stream,
};
use crate::args::Times;

/// How long a container is waited for that is to ask for a body (`Expect: 100-continue`). Many never do.
const ASK_TIME: Duration = Duration::from_secs(1);
/// Bytes that are read ahead of a client that waits for its answer.
const AHEAD: usize = 8 << 10;
/// Bytes of interim answers that wait for a client to take them.
const INTERIM: usize = 64 << 10;

/// Bytes of a request that are kept until it is answered: a container may say that it has not taken it.
const KEPT: usize = 16 << 10;

/// A client's connection: what it says, and what is said to it.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) socket: Stream,
    pub(crate) guard: Guard,
    pub(crate) inbox: Buffer,
    pub(crate) out: Outgoing,
    /// Bytes that the client took since the request at hand began.
    pub(crate) wrote: u64,
}

/// A count of bytes, one further.
fn add(count: &mut u64, length: usize) {
    *count += u64::try_from(length).unwrap_or(0);
}

/// The client is not there any more.
#[derive(Debug)]
pub(crate) struct Gone;

impl Io {
    /// Whether it is a connection without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.socket, Stream::Plain(_))
    }

    /// Reads ahead, and is ready when the client has left. One that says more than is read ahead is not seen leaving.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        while self.inbox.has_room(AHEAD) {
            match ready!(self.inbox.poll_fill(cx, &mut self.socket, AHEAD)) {
                Ok(0) | Err(_) => return Poll::Ready(Gone),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Writes what is to be written, none of which lies in another buffer; in that time.
    pub(crate) async fn flush(&mut self, clock: &mut Clock, time: Duration) -> Result<(), Gone> {
        let mut none = Buffer::new(super::buffer::Size::Small);
        let mut until = Instant::now() + time;
        poll_fn(|cx| {
            while !self.out.is_empty() {
                match self.out.poll_write(cx, &mut self.socket, &mut none) {
                    Poll::Ready(Ok(length)) => {
                        add(&mut self.wrote, length);
                        until = Instant::now() + time;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Gone)),
                    Poll::Pending => return clock.poll_until(cx, until).map(|()| Err(Gone)),
                }
            }
            self.out.forget();
            Poll::Ready(Ok(()))
        })
        .await
    }
}

/// How far a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// The container is to ask for it first, or to be silent until then.
    Gated(Instant),
    Body,
    /// All of it was taken.
    Whole,
}

/// How sending a request failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// No byte of it was sent.
    Unsent,
    /// It was, and nothing was said.
    Silent,
    /// What was said is no answer.
    Broken(&'static str),
    /// Nothing was said for too long.
    Late,
    /// What the client sent is no body.
    Refused(Refusal),
    /// The client has left.
    Gone,
}

/// Why an answer breaks off.
#[derive(Debug)]
pub(crate) enum Cut {
    Client(&'static str),
    Container(&'static str),
}

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Talk<'t> {
    pub(crate) io: &'t mut Io,
    clock: &'t mut Clock,
    times: &'t Times,
    /// The client speaks HTTP/1.1.
    modern: bool,
    /// The request's body is sent in chunks.
    chunked: bool,
    up: Outgoing,
    sending: Sending,
    /// The container takes no more.
    stopped: bool,
    /// Some of the request was written, to this container.
    sent: bool,
    /// Bytes that containers got of it.
    pub(crate) said: u64,
    /// All of it that was written is there still.
    keeps_all: bool,
    /// Some byte of an answer came.
    heard: bool,
    /// When something of the request was written last.
    moved: Instant,
    /// When something of the answer was.
    answered: Instant,
    /// The client is waited for: it is to send more of its body.
    waits_for_client: bool,
    /// Both ends speak HTTP/2: a body may be a stream of messages, and silence in it is no fault.
    streams: bool,
}

impl<'t> Talk<'t> {
    /// The request's head is in `up`, and what is in the inbox begins with its body, if there is one.
    pub(crate) fn new(
        io: &'t mut Io,
        clock: &'t mut Clock,
        times: &'t Times,
        up: Outgoing,
        head: &super::head::Head,
    ) -> Talk<'t> {
        let now = Instant::now();
        let sending = match head.body {
            super::head::Body::None => Sending::Whole,
            _ if head.expects => Sending::Gated(now),
            _ => Sending::Body,
        };
        Talk {
            io,
            clock,
            times,
            modern: head.modern,
            chunked: head.body == super::head::Body::Chunked,
            up,
            sending,
            stopped: false,
            sent: false,
            said: 0,
            keeps_all: true,
            heard: false,
            moved: now,
            answered: now,
            waits_for_client: false,
            streams: false,
        }
    }

    /// The same request, which has no body, to another container. This one's answer has not been passed on.
    pub(crate) fn once_more(&mut self, up: Outgoing, head: &super::head::Head) -> Talk<'_> {
        Talk::new(self.io, self.clock, self.times, up, head)
    }

    /// Whether all of the request was sent.
    pub(crate) fn whole(&self) -> bool {
        self.sending == Sending::Whole && self.up.is_empty() && !self.stopped
    }

    /// Whether all of it was taken from the client.
    pub(crate) fn taken(&self) -> bool {
        self.sending == Sending::Whole
    }

    /// Writes what the client is to get and waits for nobody.
    pub(crate) async fn flush(&mut self) -> Result<(), Gone> {
        self.io.flush(self.clock, self.times.take_timeout).await
    }

    /// Sends the request, and waits for the head of its answer, which stays in the link's inbox. What failed unsent, or
    /// silently and without a body, may be asked again.
    pub(crate) async fn ask(&mut self, link: &mut Link) -> Result<AnswerHead, Failed> {
        self.up.rewind();
        (self.stopped, self.sent, self.heard) = (false, false, false);
        self.streams = link.is_shared() && matches!(self.io.socket, Stream::Http2(_));
        self.moved = Instant::now();
        if let Sending::Gated(until) = &mut self.sending {
            *until = self.moved + ASK_TIME;
        }
        let mut seen = 0;
        let outcome = poll_fn(|cx| self.poll_ask(cx, link, &mut seen)).await;
        if outcome.is_ok() && self.up.is_empty() {
            self.up.forget();
        }
        outcome
    }

    fn poll_ask(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        seen: &mut usize,
    ) -> Poll<Result<AnswerHead, Failed>> {
        loop {
            if let Poll::Ready(Err(failed)) = self.poll_up(cx, link) {
                return Poll::Ready(Err(failed));
            }
            if self.stopped && !self.sent {
                // All of it is there still, for the next container.
                return Poll::Ready(Err(Failed::Unsent));
            }
            let before = self.sending;
            if let Poll::Ready(outcome) = self.poll_head(cx, link, seen) {
                return Poll::Ready(outcome);
            }
            while !self.io.out.is_empty() {
                match self.io.out.poll_write(cx, &mut self.io.socket, &mut link.inbox) {
                    Poll::Ready(Ok(length)) => {
                        add(&mut self.io.wrote, length);
                        self.answered = Instant::now();
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Failed::Gone)),
                    Poll::Pending => break,
                }
            }
            self.io.out.forget();
            if self.sending != before {
                continue;
            }
            if (self.whole() || self.stopped)
                && let Poll::Ready(Gone) = self.io.poll_gone(cx)
            {
                return Poll::Ready(Err(Failed::Gone));
            }
            if let Sending::Gated(until) = self.sending {
                ready!(self.clock.poll_until(cx, until));
                self.open_gate();
                continue;
            }
            if !self.io.out.is_empty() {
                ready!(self.clock.poll_until(cx, self.answered.max(self.moved) + self.times.take_timeout));
                return Poll::Ready(Err(Failed::Gone));
            }
            if self.waits_for_client && !self.streams {
                ready!(self.clock.poll_until(cx, self.moved + self.times.body_timeout));
                return Poll::Ready(Err(Failed::Refused(Refusal::new(408, "the body stopped coming"))));
            }
            ready!(self.clock.poll_until(cx, self.moved + self.times.answer_timeout));
            return Poll::Ready(Err(Failed::Late));
        }
    }

    /// The client is asked for its body.
    fn open_gate(&mut self) {
        if matches!(self.sending, Sending::Gated(_)) {
            self.sending = Sending::Body;
            self.moved = Instant::now();
            if self.io.inbox.is_empty() {
                self.io.out.end().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
    }

    /// Sends what there is of the request; ready when nothing more is to be sent.
    fn poll_up(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Poll<Result<(), Failed>> {
        self.waits_for_client = false;
        loop {
            if self.stopped {
                return Poll::Ready(Ok(()));
            }
            if self.sending == Sending::Body && self.up.takes_data() {
                match self.poll_data(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(failed)) => return Poll::Ready(Err(failed)),
                    Poll::Pending if self.up.is_empty() => {
                        self.waits_for_client = true;
                        return Poll::Pending;
                    }
                    Poll::Pending => {}
                }
            }
            if self.up.is_empty() {
                match self.sending {
                    Sending::Gated(_) => return Poll::Pending,
                    Sending::Body => continue,
                    Sending::Whole => return Poll::Ready(Ok(())),
                }
            }
            match ready!(self.up.poll_write(cx, &mut link.stream, &mut self.io.inbox)) {
                Ok(length) => {
                    add(&mut self.said, length);
                    self.sent = true;
                    self.moved = Instant::now();
                    if self.sending != Sending::Whole
                        && !(link.is_shared() && self.up.is_whole() && self.up.written() < KEPT)
                    {
                        // What has a large body is never sent again once it was sent.
                        self.keeps_all = false;
                        self.up.forget();
                    }
                }
                Err(error) if h2_container::is_the_clients(&error) => {
                    let reason = "the request has a host, a path or a header that HTTP/2 has not";
                    return Poll::Ready(Err(Failed::Refused(Refusal::new(400, reason))));
                }
                // It may have answered all the same.
                Err(_) => self.stopped = true,
            }
        }
    }

    /// Takes more of the body; ready when there is something to be written, or nothing more to be taken.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let Io { socket, guard, inbox, .. } = &mut *self.io;
        while self.up.takes_data() {
            match guard.step(inbox.rest()) {
                Step::Skip(length) => inbox.consume(length),
                Step::Body(length) => self.up.data(inbox, length, self.chunked),
                Step::Broken(refusal) | Step::Refuse(refusal) => return Poll::Ready(Err(Failed::Refused(refusal))),
                Step::More => match inbox.poll_fill(cx, socket, HEAD_BYTES.max(64 << 10)) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Failed::Gone)),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => return Poll::Pending,
                },
                Step::Head(..) | Step::Undecided => {
                    return Poll::Ready(Err(Failed::Refused(Refusal::new(400, "the body has no end"))));
                }
            }
            if guard.is_between() {
                if self.chunked {
                    let end = self.up.end();
                    end.extend_from_slice(b"0\r\n");
                    forward::trailers(end, &guard.trailers());
                    end.extend_from_slice(b"\r\n");
                }
                self.sending = Sending::Whole;
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        seen: &mut usize,
    ) -> Poll<Result<AnswerHead, Failed>> {
        loop {
            if !link.inbox.is_empty() {
                match answer_head::read(link.inbox.rest(), *seen) {
                    Read::More(further) => *seen = further,
                    Read::Wrong(reason) => return Poll::Ready(Err(Failed::Broken(reason))),
                    Read::Head(head) if head.status == 101 || head.status >= 200 => return Poll::Ready(Ok(head)),
                    Read::Head(head) => {
                        if head.status == 100 {
                            self.open_gate();
                        } else if self.modern {
                            forward::interim(self.io.out.end(), link.inbox.rest(), &head);
                        }
                        link.inbox.consume(head.length);
                        *seen = 0;
                        if self.io.out.end().len() > INTERIM {
                            return Poll::Ready(Err(Failed::Broken("it has too many interim answers")));
                        }
                        continue;
                    }
                }
            }
            match ready!(link.inbox.poll_fill(cx, &mut link.stream, answer_head::HEAD_BYTES)) {
                Err(error) if self.keeps_all && self.up.is_whole() && h2_container::was_not_taken(&error) => {
                    return Poll::Ready(Err(Failed::Unsent));
                }
                Ok(0) | Err(_) if !self.heard => return Poll::Ready(Err(Failed::Silent)),
                Ok(0) | Err(_) => return Poll::Ready(Err(Failed::Broken("it broke off in its head"))),
                Ok(_) => self.heard = true,
            }
        }
    }

    /// Whether an answer's body is at hand as a whole, and nothing more than it; then it lies in `out`.
    pub(crate) fn has_all(&mut self, link: &mut Link, body: &mut Answering) -> bool {
        while !body.ended() && self.io.out.takes_data() && !link.inbox.is_empty() {
            if body.step(&mut self.io.out, &mut link.inbox).is_err() {
                return false;
            }
        }
        body.ended() && link.inbox.is_empty()
    }

    /// Passes the body of an answer on, whose head is in `out`.
    pub(crate) async fn pass(&mut self, link: &mut Link, body: Answering, idle: Option<Duration>) -> Result<(), Cut> {
        let mut body = body;
        self.answered = Instant::now();
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = self.poll_down(cx, link, &mut body) {
                return Poll::Ready(outcome);
            }
            match self.poll_up(cx, link) {
                Poll::Ready(Err(Failed::Refused(Refusal { reason, .. }))) => {
                    return Poll::Ready(Err(Cut::Client(reason)));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Cut::Client("the client has left"))),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            if self.whole()
                && let Poll::Ready(Gone) = self.io.poll_gone(cx)
            {
                return Poll::Ready(Err(Cut::Client("the client has left")));
            }
            if !self.io.out.is_empty() {
                ready!(self.clock.poll_until(cx, self.answered + self.times.take_timeout));
                return Poll::Ready(Err(Cut::Client("the client takes nothing of the answer")));
            }
            let last = self.answered.max(self.moved);
            if let Some(idle) = idle {
                ready!(self.clock.poll_until(cx, last + idle));
                return Poll::Ready(Err(Cut::Container("the container stopped in the middle of its answer")));
            }
            if self.waits_for_client && !self.streams {
                ready!(self.clock.poll_until(cx, last + self.times.body_timeout));
                return Poll::Ready(Err(Cut::Client("the body stopped coming")));
            }
            Poll::Pending
        })
        .await
    }

    fn poll_down(&mut self, cx: &mut Context<'_>, link: &mut Link, body: &mut Answering) -> Poll<Result<(), Cut>> {
        loop {
            while !body.ended() && self.io.out.takes_data() && !link.inbox.is_empty() {
                if let Err(reason) = body.step(&mut self.io.out, &mut link.inbox) {
                    return Poll::Ready(Err(Cut::Container(reason)));
                }
            }
            if !self.io.out.is_empty() {
                match ready!(self.io.out.poll_write(cx, &mut self.io.socket, &mut link.inbox)) {
                    Ok(length) => {
                        add(&mut self.io.wrote, length);
                        self.answered = Instant::now();
                    }
                    Err(_) => return Poll::Ready(Err(Cut::Client("the client has left"))),
                }
                if self.io.out.is_empty() {
                    self.io.out.forget();
                }
                continue;
            }
            if body.ended() {
                return Poll::Ready(Ok(()));
            }
            match ready!(link.inbox.poll_fill(cx, &mut link.stream, usize::MAX)) {
                Ok(0) => {
                    if let Err(reason) = body.end(&mut self.io.out) {
                        return Poll::Ready(Err(Cut::Container(reason)));
                    }
                }
                Err(_) => return Poll::Ready(Err(Cut::Container("the container broke off in its answer"))),
                Ok(_) => {}
            }
        }
    }
}

/// An answer's body on its way.
#[derive(Debug)]
pub(crate) struct Answering {
    left: Left,
    /// In chunks, to the client.
    chunked: bool,
}

/// What is still to come of it.
#[derive(Debug)]
enum Left {
    Nothing,
    Sized(u64),
    Chunks(Chunks),
    /// All, until the connection ends.
    All,
}

impl Answering {
    /// None: the answer has no body, whatever its head says.
    pub(crate) fn of(framing: Option<Framing>, chunked: bool) -> Answering {
        let left = match framing {
            None | Some(Framing::Sized(0)) => Left::Nothing,
            Some(Framing::Sized(length)) => Left::Sized(length),
            Some(Framing::Chunked) => Left::Chunks(Chunks::padded()),
            Some(Framing::Close) => Left::All,
        };
        Answering { left, chunked }
    }

    fn ended(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    /// Takes some of it from what came.
    fn step(&mut self, out: &mut Outgoing, inbox: &mut Buffer) -> Result<(), &'static str> {
        let here = inbox.rest().len();
        match &mut self.left {
            Left::Nothing => {}
            Left::All => out.data(inbox, here, self.chunked),
            Left::Sized(left) => {
                let length = usize::try_from(*left).map_or(here, |left| left.min(here));
                *left -= u64::try_from(length).unwrap_or(0);
                if *left == 0 {
                    self.left = Left::Nothing;
                }
                out.data(inbox, length, false);
            }
            Left::Chunks(chunks) => match chunks.step(inbox.rest()) {
                Piece::Frame(length) => inbox.consume(length),
                Piece::Data(length) => out.data(inbox, length, self.chunked),
                Piece::End(length) => {
                    inbox.consume(length);
                    let trailers = chunks.trailers();
                    self.finish(out, &trailers);
                }
                Piece::Wrong(_) => return Err("the container's answer is not framed as it says"),
            },
        }
        Ok(())
    }

    /// The container's connection has ended.
    fn end(&mut self, out: &mut Outgoing) -> Result<(), &'static str> {
        match self.left {
            Left::All => {
                self.finish(out, &[]);
                Ok(())
            }
            _ => Err("the container broke off in its answer"),
        }
    }

    fn finish(&mut self, out: &mut Outgoing, trailers: &[u8]) {
        self.left = Left::Nothing;
        if self.chunked {
            let end = out.end();
            end.extend_from_slice(b"0\r\n");
            forward::trailers(end, trailers);
            end.extend_from_slice(b"\r\n");
        }
    }
}
