//! Bytes on their way. Their memory belongs to the thread: a connection on which nothing moves holds none.

use std::{
    cell::RefCell,
    future::Future as _,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::BufMut as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

/// How much memory a buffer has at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// For heads, and what is written beside a body.
    Small,
    /// For bodies: 64 KiB and a head are read at once.
    Large,
}

impl Size {
    const fn bytes(self) -> usize {
        match self {
            Size::Small => 8 << 10,
            Size::Large => 68 << 10,
        }
    }
}

/// Buffers of one size that a thread keeps for the next ones who need some.
const SPARE: usize = 64;

thread_local! {
    static SMALL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LARGE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn take(size: Size) -> Vec<u8> {
    let spare = match size {
        Size::Small => SMALL.try_with(|spare| spare.borrow_mut().pop()),
        Size::Large => LARGE.try_with(|spare| spare.borrow_mut().pop()),
    };
    spare.ok().flatten().unwrap_or_else(|| Vec::with_capacity(size.bytes()))
}

fn give_back(mut bytes: Vec<u8>) {
    // One that has grown is not for everybody.
    let size = match bytes.capacity() {
        small if small == Size::Small.bytes() => Size::Small,
        large if large == Size::Large.bytes() => Size::Large,
        _ => return,
    };
    bytes.clear();
    let keep = |spare: &RefCell<Vec<Vec<u8>>>| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(bytes);
        }
    };
    // Fails only while the thread ends.
    let _ = match size {
        Size::Small => SMALL.try_with(keep),
        Size::Large => LARGE.try_with(keep),
    };
}

/// Bytes that were put in and not yet taken out.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    at: usize,
    size: Size,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

impl Buffer {
    pub(crate) const fn new(size: Size) -> Buffer {
        Buffer { bytes: Vec::new(), at: 0, size }
    }

    /// How much memory is taken when it needs some again.
    pub(crate) fn becomes(&mut self, size: Size) {
        self.size = size;
    }

    /// What is there.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The first so many are of no use any more.
    pub(crate) fn consume(&mut self, length: usize) {
        self.at += length;
        if self.is_empty() {
            self.release();
        }
    }

    /// Where to put more.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = take(self.size);
        }
        &mut self.bytes
    }

    /// All of it again.
    fn rewind(&mut self) {
        self.at = 0;
    }

    /// Counts as taken out, and can be had again.
    fn pass(&mut self, length: usize) {
        self.at += length;
    }

    fn release(&mut self) {
        self.at = 0;
        give_back(std::mem::take(&mut self.bytes));
    }

    /// Whether [`Buffer::poll_fill`] may be asked for more.
    pub(crate) fn has_room(&self, most: usize) -> bool {
        self.rest().len() < most
    }

    /// Reads more, so that `most` are there at most. 0: there is no more.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let room = most.saturating_sub(self.rest().len());
        if room == 0 {
            return Poll::Pending;
        }
        if self.at > 0 && self.bytes.len() == self.bytes.capacity() {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        let mut to = self.end().limit(room);
        let polled = pin!(from.read_buf(&mut to)).poll(cx);
        if self.is_empty() {
            self.release();
        }
        polled
    }
}

/// Bytes that are to be written: our own, then so many of another buffer, then the end of a chunk. Written at once.
#[derive(Debug)]
pub(crate) struct Outgoing {
    own: Buffer,
    piece: usize,
    line_end: bool,
    /// Some data was written from where it is.
    apart: bool,
}

/// Data of a body up to here is copied beside its head or its size; more is written from where it is.
const COPIED: usize = 4 << 10;

impl Outgoing {
    pub(crate) const fn new() -> Outgoing {
        Outgoing { own: Buffer::new(Size::Small), piece: 0, line_end: false, apart: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.piece == 0 && !self.line_end
    }

    /// Where to put a head, or whatever else goes first.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        self.own.end()
    }

    /// Whether more data may be put behind it.
    pub(crate) fn takes_data(&self) -> bool {
        self.piece == 0 && !self.line_end && self.own.rest().len() < COPIED
    }

    /// The first so many bytes of a buffer, as a chunk if that is how the body is framed.
    pub(crate) fn data(&mut self, from: &mut Buffer, length: usize, chunked: bool) {
        if chunked {
            use io::Write as _;
            // Into memory: it cannot fail.
            let _ = write!(self.end(), "{length:x}\r\n");
        }
        if length > COPIED {
            (self.piece, self.line_end, self.apart) = (length, chunked, true);
            return;
        }
        let to = self.own.end();
        to.extend_from_slice(from.rest().get(..length).unwrap_or_default());
        if chunked {
            to.extend_from_slice(b"\r\n");
        }
        from.consume(length);
    }

    /// Writes some of it; how much.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        from: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        let own = self.own.rest();
        let outcome = if self.piece == 0 && !self.line_end {
            Pin::new(to).poll_write(cx, own)
        } else {
            let piece = from.rest().get(..self.piece).unwrap_or_default();
            let end: &[u8] = if self.line_end { b"\r\n" } else { b"" };
            let slices = [io::IoSlice::new(own), io::IoSlice::new(piece), io::IoSlice::new(end)];
            Pin::new(to).poll_write_vectored(cx, &slices)
        };
        match outcome {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(length)) => {
                self.advance(length, from);
                Poll::Ready(Ok(length))
            }
            other => other,
        }
    }

    fn advance(&mut self, length: usize, from: &mut Buffer) {
        let own = length.min(self.own.rest().len());
        self.own.pass(own);
        let piece = (length - own).min(self.piece);
        if piece > 0 {
            from.consume(piece);
            self.piece -= piece;
        }
        // Of the two bytes of a line's end one may go alone.
        let mut end = length - own - piece;
        if self.line_end && end > 0 {
            self.line_end = false;
            if end == 1 {
                self.own.release();
                self.own.end().push(b'\n');
            }
            end = 0;
        }
        debug_assert_eq!(end, 0);
    }

    /// Whether all that was ever put in was copied.
    pub(crate) fn is_whole(&self) -> bool {
        !self.apart
    }

    /// Bytes of our own that were written, and can be written again.
    pub(crate) fn written(&self) -> usize {
        self.own.at
    }

    /// Gives its memory back, once all of it was written and nothing is to be written again.
    pub(crate) fn forget(&mut self) {
        if self.is_empty() {
            self.own.release();
        }
    }

    /// Our own bytes again from their beginning.
    pub(crate) fn rewind(&mut self) {
        self.own.rewind();
    }
}
