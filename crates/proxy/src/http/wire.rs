//! A client's connection as hyper sees it: through the guard, and not for ever.

use std::{
    collections::VecDeque,
    future::Future as _,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    guard::{Guard, Step},
    head::Head,
    refusal::Refusal,
};
use crate::args::Times;

/// Bytes that hyper reads ahead, and of an answer that it keeps until the client takes them.
pub(crate) const BUFFER: usize = 64 << 10;
/// Bytes that are read at a time.
const READ: usize = 16 << 10;
/// What hyper reads in place of a head that was refused; the verdict says what is to be answered.
const IN_PLACE_OF: &[u8] = b"GET / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";

/// What the connection and its requests tell each other.
#[derive(Debug)]
pub(crate) struct Said {
    /// Of each head that hyper was given, in order.
    heads: Mutex<VecDeque<Result<Head, Refusal>>>,
    /// Requests that are not answered yet: while there is one, silence of the client is no idleness. hyper reads one ahead.
    busy: AtomicUsize,
    began: Instant,
    /// When the last answer ended, in milliseconds since then.
    answered_at: AtomicU64,
    /// The answer to what asked for another protocol was one in this one.
    goes_on: AtomicBool,
    /// Who waits for that.
    undecided: Mutex<Option<Waker>>,
    /// Why the body broke, where the client's bytes were none.
    broken: Mutex<Option<Refusal>>,
}

impl Said {
    pub(crate) fn new() -> Said {
        Said {
            heads: Mutex::default(),
            busy: AtomicUsize::new(0),
            began: Instant::now(),
            answered_at: AtomicU64::new(0),
            goes_on: AtomicBool::new(false),
            undecided: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// The verdict on the request that hyper has given.
    pub(crate) fn verdict(&self) -> Option<Result<Head, Refusal>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Why a request's body ended as none.
    pub(crate) fn broken(&self) -> Option<Refusal> {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer was no upgrade: what the client says next is HTTP.
    pub(crate) fn go_on(&self) {
        self.goes_on.store(true, Relaxed);
        if let Some(waker) = self.undecided.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    /// A request has been answered.
    pub(crate) fn answered(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.answered_at.store(since, Relaxed);
        self.busy.fetch_sub(1, Relaxed);
    }

    fn tell(&self, verdict: Result<Head, Refusal>) {
        self.busy.fetch_add(1, Relaxed);
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).push_back(verdict);
    }
}

/// Which patience is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Idle,
    Head,
    Body,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    guard: Guard,
    /// What was read; up to `at` it was given on, and `passed` more bytes may be.
    inbox: Vec<u8>,
    at: usize,
    passed: usize,
    said: Arc<Said>,
    times: Times,
    patience: Option<Patience>,
    reading: Pin<Box<Sleep>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, said: Arc<Said>, times: Times) -> Wire {
        Wire {
            stream,
            guard: Guard::new(),
            inbox: Vec::new(),
            at: 0,
            passed: 0,
            said,
            times,
            patience: None,
            reading: Box::pin(sleep_until(Instant::now())),
            writing: None,
        }
    }

    /// The connection, and what was read of it and nobody was given.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        let Wire { stream, mut inbox, at, .. } = self;
        inbox.drain(..at.min(inbox.len()));
        (stream, inbox)
    }

    fn give(&mut self, mut to: ReadBufCursor<'_>) {
        let length = self.passed.min(to.remaining());
        let from = self.at;
        to.put_slice(self.inbox.get(from..from + length).unwrap_or_default());
        self.passed -= length;
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        self.at += length;
        if self.at >= self.inbox.len() {
            self.at = 0;
            self.inbox.clear();
            // A connection on which nothing moves holds no buffer.
            if self.inbox.capacity() > READ {
                self.inbox = Vec::new();
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.said.tell(Err(refusal));
        self.guard.end();
        self.inbox = IN_PLACE_OF.to_vec();
        self.at = 0;
        self.passed = self.inbox.len();
    }

    /// Whether the client was silent for too long. What it is to say decides how long that is.
    fn out_of_patience(&mut self, cx: &mut Context<'_>) -> Option<Patience> {
        let (wanted, time) = match self.guard.in_head() {
            true if self.inbox.is_empty() => (Patience::Idle, self.times.keep_alive),
            true => (Patience::Head, self.times.head_timeout),
            false => (Patience::Body, self.times.body_timeout),
        };
        if self.patience != Some(wanted) {
            self.patience = Some(wanted);
            self.reading.as_mut().reset(Instant::now() + time);
        }
        while self.reading.as_mut().poll(cx).is_ready() {
            if !self.guard.in_head() {
                return Some(wanted);
            }
            // Who waits for an answer may be silent, and its time begins when that has ended. hyper does not ask again then,
            // so this goes on meanwhile.
            let now = Instant::now();
            let from = match self.said.busy.load(Relaxed) {
                0 => self.said.began + Duration::from_millis(self.said.answered_at.load(Relaxed)),
                _ => now,
            };
            if from + time <= now {
                return Some(wanted);
            }
            self.reading.as_mut().reset(from + time);
        }
        None
    }

    /// More of what the client says. None: it has no more to say.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<()>>> {
        let mut buffer = [const { MaybeUninit::uninit() }; READ];
        let mut read = ReadBuf::uninit(&mut buffer);
        // Unlike `try_read` this knows that a read that did not fill the buffer has emptied the socket.
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        if read.filled().is_empty() {
            return Poll::Ready(Ok(None));
        }
        // What was given on makes room, so that this stays below a head and what was read with its end.
        self.inbox.drain(..self.at);
        self.at = 0;
        self.inbox.extend_from_slice(read.filled());
        if self.patience == Some(Patience::Body) {
            self.patience = None;
        }
        Poll::Ready(Ok(Some(())))
    }
}

impl Read for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.passed > 0 {
                this.give(to);
                return Poll::Ready(Ok(()));
            }
            if this.guard.done() {
                // The answer to what was refused is on its way; it ends the connection.
                return Poll::Pending;
            }
            match this.guard.step(this.inbox.get(this.at..).unwrap_or_default()) {
                Step::Skip(length) => this.skip(length),
                Step::Body(length) => this.passed = length,
                Step::Head(length, head) => {
                    this.passed = length;
                    this.patience = None;
                    this.said.tell(Ok(head));
                }
                Step::Refuse(refusal) => this.refuse(refusal),
                Step::Broken(refusal) => {
                    *this.said.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal.reason)));
                }
                Step::Undecided => {
                    // hyper reads again when it is woken, not when its answer has gone out.
                    let waker = cx.waker().clone();
                    *this.said.undecided.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
                    if !this.said.goes_on.swap(false, Relaxed) {
                        return Poll::Pending;
                    }
                    this.guard.go_on();
                }
                Step::More => match this.poll_more(cx) {
                    Poll::Ready(Ok(Some(()))) => {}
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => match this.out_of_patience(cx) {
                        None => return Poll::Pending,
                        Some(Patience::Idle) => return Poll::Ready(Ok(())),
                        Some(Patience::Head) => this.refuse(Refusal::new(408, "the head did not come in time")),
                        Some(Patience::Body) => {
                            let refusal = Refusal::new(408, "the body stopped coming");
                            *this.said.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, refusal.reason)));
                        }
                    },
                },
            }
        }
    }
}

impl Wire {
    fn patiently<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writing = None;
            return outcome;
        }
        let time = self.times.take_timeout;
        let sleep = self.writing.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + time)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of the answer")))
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.patiently(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.patiently(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
