//! Copies of requests: sent to a further colour beside the request itself, on connections of their own, and their answers thrown
//! away. A copy neither delays nor fails the request; it is dropped where as many are under way as may be.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use turnout_traffic::Route;

use super::{
    answer_head::{self, AnswerHead, Framing, Read},
    find::Finder,
    forward, wish,
};
use crate::{board::Claim, house::House, socket};

/// Copies that are under way to one colour of a route.
const COPIES: u64 = 32;
/// How long one may take.
const TIME: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read: a container that is cut off in an answer would count an error of its own.
const ANSWER: u64 = 8 << 20;
/// How an answer in chunks ends, where it has no trailers.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Whether a request is to be copied, by its route.
pub(crate) fn draws(route: &Route) -> bool {
    route.beyond.mirror.as_ref().is_some_and(|mirror| wish::draw() % 100 < mirror.percent)
}

/// Sends a copy of a request that has this claim, whose head was written so.
pub(crate) fn send(finder: &mut Finder, house: &Arc<House>, claim: &Claim, head: Vec<u8>) {
    let Some(mirror) = &claim.serving().route.beyond.mirror else { return };
    if claim.colour().is_none_or(|colour| colour.name == mirror.colour) {
        return;
    }
    let Some(to) = finder.beside(&house.board, &mirror.colour) else { return };
    if let Some(copy) = Copy::of(to) {
        tokio::spawn(copy.goes(head));
    }
}

/// A copy that is under way, until this is dropped.
struct Copy {
    claim: Claim,
    status: Option<u16>,
}

impl Copy {
    fn of(claim: Claim) -> Option<Copy> {
        // Made only where it may be: its end is counted.
        claim.answers().copies.begin(COPIES).then(|| Copy { claim, status: None })
    }

    async fn goes(mut self, mut head: Vec<u8>) {
        forward::one_more(&mut head, b"X-Turnout-Mirror", b"1");
        forward::one_more(&mut head, b"Connection", b"close");
        let target = self.claim.target();
        match timeout(TIME, self.sent(&head)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%target, %error, "a copy of a request got no answer"),
            Err(_) => tracing::debug!(%target, "a copy of a request got no answer in time"),
        }
    }

    async fn sent(&mut self, head: &[u8]) -> io::Result<()> {
        let mut stream = socket::connect(self.claim.target()).await?;
        stream.write_all(head).await?;
        let mut bytes = Vec::with_capacity(8 << 10);
        let AnswerHead { status, framing, .. } = answer(&mut stream, &mut bytes).await?;
        self.status = Some(status);
        // Some do not end a connection though they are asked to.
        let mut left = match framing {
            _ if head.starts_with(b"HEAD ") || matches!(status, 204 | 304) => 0,
            Framing::Sized(length) => length.min(ANSWER),
            Framing::Chunked | Framing::Close => ANSWER,
        };
        let mut came = bytes.len();
        loop {
            left = left.saturating_sub(u64::try_from(came).unwrap_or(u64::MAX));
            if left == 0 || framing == Framing::Chunked && bytes.ends_with(LAST_CHUNK) {
                return Ok(());
            }
            bytes.drain(..bytes.len().saturating_sub(LAST_CHUNK.len()));
            came = stream.read_buf(&mut bytes).await?;
            if came == 0 {
                return Ok(());
            }
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.claim.answers().copies.ended(self.status);
    }
}

/// The head of the answer that comes; what came behind it is left.
async fn answer(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<AnswerHead> {
    let none = |reason: &'static str| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut seen = 0;
    loop {
        match answer_head::read(bytes, seen) {
            Read::Head(head) if head.status >= 200 => {
                bytes.drain(..head.length);
                return Ok(head);
            }
            Read::Head(head) => {
                bytes.drain(..head.length);
                seen = 0;
            }
            Read::Wrong(reason) => return Err(none(reason)),
            Read::More(further) => {
                seen = further;
                if stream.read_buf(bytes).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}
