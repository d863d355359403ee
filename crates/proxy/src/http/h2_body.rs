//! Bodies of HTTP/2 in the form of HTTP/1.1: what comes is framed as its head says, and what goes was framed so.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::io::ReadBuf;

use super::{
    chunks::{Chunks, Piece},
    h2_text,
};

/// An error of HTTP/2 as one of a connection.
pub(crate) fn broken(error: h2::Error) -> io::Error {
    io::Error::other(error)
}

/// Writes one slice after the other, as far as there is room; how much.
pub(crate) fn poll_all(
    slices: &[io::IoSlice<'_>],
    mut poll_some: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let mut all = 0;
    for slice in slices {
        let mut rest: &[u8] = slice;
        while !rest.is_empty() {
            match poll_some(rest) {
                Poll::Ready(Ok(length)) => {
                    all += length;
                    rest = rest.get(length..).unwrap_or_default();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if all > 0 => return Poll::Ready(Ok(all)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
    Poll::Ready(Ok(all))
}

/// What the other end says, as bytes to be read: a head, then the body.
#[derive(Debug)]
pub(crate) struct Receiving {
    /// What is to be read before more is taken: a head, the frame of a chunk, the end.
    text: Vec<u8>,
    read: usize,
    /// None: it has ended.
    body: Option<RecvStream>,
    chunked: bool,
    /// What came of it, and is not read yet.
    data: Bytes,
    /// The chunk's end is to be read after its data.
    in_chunk: bool,
}

impl Receiving {
    /// `body`: none, where the head is all.
    pub(crate) fn new(head: Vec<u8>, body: Option<RecvStream>, chunked: bool) -> Receiving {
        Receiving { text: head, read: 0, body, chunked, data: Bytes::new(), in_chunk: false }
    }

    /// Reads some of it. Nothing is read, where all was.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        loop {
            let text = self.text.get(self.read..).unwrap_or_default();
            if !text.is_empty() {
                let length = text.len().min(to.remaining());
                to.put_slice(text.get(..length).unwrap_or_default());
                self.read += length;
                if self.read < self.text.len() {
                    return Poll::Ready(Ok(()));
                }
                (self.text, self.read) = (Vec::new(), 0);
            }
            if !self.data.is_empty() {
                let length = self.data.len().min(to.remaining());
                to.put_slice(&self.data.split_to(length));
                if let Some(body) = &mut self.body {
                    // Fails only where the stream is no more, which its next piece tells.
                    let _ = body.flow_control().release_capacity(length);
                }
                if !self.data.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            if std::mem::take(&mut self.in_chunk) {
                self.text.extend_from_slice(b"\r\n");
                continue;
            }
            // What is at hand is given before more is waited for.
            let more = match &mut self.body {
                None => return Poll::Ready(Ok(())),
                Some(body) => Self::poll_more(body, cx),
            };
            match more {
                Poll::Pending if to.filled().len() > before => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(More::Data(data))) => {
                    if self.chunked && !data.is_empty() {
                        self.text.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                        self.in_chunk = true;
                    }
                    self.data = data;
                }
                Poll::Ready(Ok(More::End(trailers))) => {
                    self.body = None;
                    if self.chunked {
                        self.text.extend_from_slice(b"0\r\n");
                        h2_text::trailers(&mut self.text, &trailers);
                        self.text.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
    }

    fn poll_more(body: &mut RecvStream, cx: &mut Context<'_>) -> Poll<io::Result<More>> {
        if let Some(data) = ready!(body.poll_data(cx)) {
            return Poll::Ready(data.map(More::Data).map_err(broken));
        }
        let trailers = ready!(body.poll_trailers(cx)).map_err(broken)?;
        Poll::Ready(Ok(More::End(trailers.unwrap_or_default())))
    }

    /// All of it was read.
    pub(crate) fn has_ended(&self) -> bool {
        self.body.is_none() && self.text.is_empty() && self.data.is_empty() && !self.in_chunk
    }
}

enum More {
    Data(Bytes),
    End(http::HeaderMap),
}

/// What is still to come of a body that goes.
#[derive(Debug)]
pub(crate) enum Left {
    Sized(u64),
    Chunks(Chunks),
    Nothing,
}

/// A body that goes to the other end, from bytes that were framed as its head says.
#[derive(Debug)]
pub(crate) struct Sending {
    stream: SendStream<Bytes>,
    left: Left,
}

fn ended() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl Sending {
    /// A stream whose head went, without its end where something is left.
    pub(crate) fn new(stream: SendStream<Bytes>, left: Left) -> Sending {
        Sending { stream, left }
    }

    /// Ready when the other end wants no more of it.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.stream.poll_reset(cx).map(|outcome| outcome.map_or_else(broken, |reason| broken(reason.into())))
    }

    /// The other end is told that this is no regular end.
    pub(crate) fn reset(&mut self, reason: h2::Reason) {
        self.stream.send_reset(reason);
    }

    /// Takes some of these bytes; how many.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let room = match self.poll_room(cx, rest.len()) {
                Poll::Ready(Ok(room)) => room,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if taken > 0 => return Poll::Ready(Ok(taken)),
                Poll::Pending => return Poll::Pending,
            };
            taken += self.step(rest, room)?;
        }
        Poll::Ready(Ok(taken))
    }

    /// For how many of these bytes the other end has room: for one at least, where they are data.
    fn poll_room(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        let data = match &self.left {
            Left::Nothing => 0,
            Left::Sized(left) => *left,
            Left::Chunks(chunks) => chunks.data(),
        };
        let wanted = usize::try_from(data).unwrap_or(usize::MAX).min(length);
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        // No more than that: what is given to this stream is taken from the others of its connection.
        self.stream.reserve_capacity(wanted);
        loop {
            match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                    None => return Poll::Ready(Err(ended())),
                },
                room => return Poll::Ready(Ok(room)),
            }
        }
    }

    fn step(&mut self, bytes: &[u8], room: usize) -> io::Result<usize> {
        match &mut self.left {
            Left::Nothing => Err(io::Error::other("more was written than the head says")),
            Left::Sized(left) => {
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
                let piece = bytes.get(..bytes.len().min(wanted).min(room)).unwrap_or_default();
                *left -= u64::try_from(piece.len()).unwrap_or(0);
                let ends = *left == 0;
                if ends {
                    self.left = Left::Nothing;
                }
                self.stream.send_data(Bytes::copy_from_slice(piece), ends).map_err(broken)?;
                Ok(piece.len())
            }
            Left::Chunks(chunks) => {
                let bytes = if room > 0 { bytes.get(..bytes.len().min(room)).unwrap_or_default() } else { bytes };
                match chunks.step(bytes) {
                    Piece::Frame(length) => Ok(length),
                    Piece::Data(length) => {
                        let piece = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
                        self.stream.send_data(piece, false).map_err(broken)?;
                        Ok(length)
                    }
                    Piece::End(length) => {
                        let trailers = h2_text::trailers_of(&chunks.trailers());
                        self.left = Left::Nothing;
                        let sent = match trailers.is_empty() {
                            true => self.stream.send_data(Bytes::new(), true),
                            false => self.stream.send_trailers(trailers),
                        };
                        sent.map_err(broken)?;
                        Ok(length)
                    }
                    Piece::Wrong(reason) => Err(io::Error::other(reason)),
                }
            }
        }
    }
}
