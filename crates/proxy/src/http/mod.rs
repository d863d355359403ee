//! HTTP: each request finds a container of its own, whatever connection it came on.
//!
//! Pure: `head` (of a request), `guard` (what of a client's bytes is a request), `chunks` (frames of a body), `answer_head`,
//! `forward` (what is changed on the way), `own` (answers of our own).
//! With sockets: `stream` (with TLS or without), `buffer`, `clock`, `link` (a connection to a container, and those without a request), `find` (who gets a
//! request), `wish` (of which colour), `mirror` (copies of requests), `fallback` (what another colour has), `talk` (one request and its answer, byte by byte), `note` (what the
//! access log is told), `exchange` (one request). Clients that speak HTTP/2: `h2_text`, `h2_body` and `h2_client` (a stream as a
//! connection of HTTP/1.1), `h2_calm`, `h2_serve` (all streams of a connection); containers that do: `h2_container`, `h2_links`. And here: a client's connection from
//! its beginning to its end.

mod answer_head;
mod buffer;
mod chunks;
mod clock;
mod exchange;
mod fallback;
mod find;
mod forward;
mod guard;
mod h2_body;
mod h2_calm;
mod h2_client;
mod h2_container;
mod h2_links;
mod h2_serve;
mod h2_text;
mod head;
mod link;
mod mirror;
mod note;
mod own;
mod refusal;
mod stream;
mod talk;
mod wish;

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

pub(crate) use self::link::Pool;
use self::{
    buffer::{Buffer, Outgoing, Size},
    clock::Clock,
    exchange::{After, Client, Tunnel},
    find::Finder,
    forward::Asker,
    guard::{Guard, HEAD_BYTES, Step},
    h2_serve::Caller,
    head::Head,
    link::Way,
    own::Own,
    refusal::Refusal,
    stream::Stream,
    talk::Io,
};
use crate::{
    arrives,
    house::House,
    pass,
    socket::{break_off, watch_over},
    tls,
};

/// When the proxy ends: time for a request that is on its way on an idle connection. Its answer says that it is the last.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// What a client still sends after a refusal is read for so long, and so far: a reset would take the answer away from it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 256 << 10;

/// Serves a client's connection to its end.
pub(crate) async fn serve(mut stream: TcpStream, sender: SocketAddr, listen: SocketAddr, house: Arc<House>) {
    watch_over(&stream);
    let mut cut = house.cut.clone();
    let Some(listening) = house.board.listening(listen) else { return break_off(&stream) };
    listening.door.taken.fetch_add(1, Relaxed);
    let mut peer = sender;
    if !listening.proxied_by.is_empty() {
        let whose = tokio::select! {
            whose = timeout(house.times.head_timeout, arrives::whose(&mut stream, sender, &listening.proxied_by)) => whose,
            _ = cut.wait_for(|cut| *cut) => return,
        };
        match whose.unwrap_or(Err("it says nothing for too long")) {
            Ok(whose) => peer = whose,
            Err(reason) => {
                tracing::debug!(%listen, %sender, "a connection is not taken: {reason}");
                return break_off(&stream);
            }
        }
    }
    let at = stream.local_addr().unwrap_or(listen);
    let (stream, scheme) = if let Some(shown) = listening.shown.as_ref().map(Arc::clone) {
        drop(listening);
        let handshake = async {
            match house.certificates.challenges().took(stream).await {
                Some(stream) => tls::accept(stream, shown).await.map(Some),
                None => Ok(None),
            }
        };
        let shaken = tokio::select! {
            shaken = timeout(house.times.head_timeout, handshake) => shaken,
            _ = cut.wait_for(|cut| *cut) => return,
        };
        match shaken {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(stream))) => (Stream::Tls(Box::new(stream)), "https"),
            Ok(Err(reason)) => return tls::failed(listen, peer, &reason),
            Err(_) => return tls::failed(listen, peer, "it took too long"),
        }
    } else {
        drop(listening);
        (Stream::Plain(stream), "http")
    };
    let finder = Finder::new(listen, peer, at);
    let asker = || Asker::new(peer, listen, scheme, sender != peer);
    if let Stream::Tls(tls) = &stream
        && tls.ssl().selected_alpn_protocol() == Some(b"h2")
    {
        let caller = Caller { peer, listen, asker: Arc::new(asker().over_http2()), finder, house };
        return h2_serve::serve(stream, Buffer::new(Size::Small), caller).await;
    }
    let mut client = Client {
        peer,
        asker: Arc::new(asker()),
        finder,
        io: Io { socket: stream, guard: Guard::new(), inbox: Buffer::new(Size::Small), out: Outgoing::new(), wrote: 0 },
        clock: Clock::new(),
        house,
    };
    let after = tokio::select! {
        after = requests(&mut client) => after,
        _ = cut.wait_for(|cut| *cut) => After::Cut("the proxy ends"),
    };
    let Client { io, finder, house, .. } = client;
    let Io { mut socket, inbox, .. } = io;
    match after {
        After::Next | After::Last => linger(&mut socket).await,
        After::Cut(reason) => {
            tracing::debug!(%listen, %peer, "a connection ended early: {reason}");
            // Half an answer must not look like a whole one.
            socket.break_off();
        }
        After::Http2 => {
            let asker = Arc::new(asker().over_http2());
            h2_serve::serve(socket, inbox, Caller { peer, listen, asker, finder, house }).await;
        }
        After::Tunnel(tunnel) => tokio::select! {
            () = through(&mut socket, inbox, *tunnel) => {}
            _ = cut.wait_for(|cut| *cut) => socket.break_off(),
        },
    }
}

/// One request after the other, until the connection ends or becomes something else.
async fn requests(client: &mut Client) -> After {
    let mut ending = client.house.ending.clone();
    let mut ends = Box::pin(async move {
        let _ = ending.wait_for(|ending| *ending).await;
    });
    let mut first = true;
    loop {
        let said = next(client, ends.as_mut()).await;
        let after = match said {
            // Of TLS, ALPN is asked for it.
            Said::Refused(_) if first && client.io.is_plain() && h2_serve::begins(client.io.inbox.rest()) => {
                After::Http2
            }
            Said::Request(head) => client.exchange(head).await,
            Said::Refused(refusal) => client.refuse(Own::refused(refusal)).await,
            Said::Nothing => After::Last,
            Said::Broken => After::Cut("the client broke off"),
        };
        if !matches!(after, After::Next) {
            return after;
        }
        first = false;
    }
}

/// What a client says between requests.
enum Said {
    /// Its head is in the inbox.
    Request(Head),
    Refused(Refusal),
    /// It has no more to say, or has said nothing for too long.
    Nothing,
    Broken,
}

async fn next(client: &mut Client, mut ends: Pin<&mut impl Future<Output = ()>>) -> Said {
    let mut since = Instant::now();
    let mut last = None;
    client.io.inbox.becomes(Size::Small);
    poll_fn(|cx| poll_next(client, cx, ends.as_mut(), &mut since, &mut last)).await
}

/// `since`: when that began which is waited for; `last`: when a proxy that ends waits no longer.
fn poll_next(
    client: &mut Client,
    cx: &mut Context<'_>,
    ends: Pin<&mut impl Future<Output = ()>>,
    since: &mut Instant,
    last: &mut Option<Instant>,
) -> Poll<Said> {
    let Client { io: Io { socket, guard, inbox, .. }, clock, house, .. } = client;
    loop {
        match guard.step(inbox.rest()) {
            Step::Skip(length) => inbox.consume(length),
            Step::Head(_, head) => return Poll::Ready(Said::Request(head)),
            Step::Refuse(refusal) | Step::Broken(refusal) => return Poll::Ready(Said::Refused(refusal)),
            Step::Body(_) | Step::Undecided => return Poll::Ready(Said::Broken),
            Step::More => {
                let idle = inbox.is_empty();
                match inbox.poll_fill(cx, socket, HEAD_BYTES + 4) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Said::Nothing),
                    Poll::Ready(Err(_)) => return Poll::Ready(Said::Broken),
                    Poll::Ready(Ok(_)) => {
                        if idle {
                            *since = Instant::now();
                        }
                        continue;
                    }
                    Poll::Pending => {}
                }
                let time = if idle { house.times.keep_alive } else { house.times.head_timeout };
                let mut until = *since + time;
                if idle {
                    if last.is_none() && ends.poll(cx).is_ready() {
                        *last = Some(Instant::now() + LAST_REQUEST);
                    }
                    until = last.map_or(until, |last| last.min(until));
                }
                return match clock.poll_until(cx, until) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) if idle => Poll::Ready(Said::Nothing),
                    Poll::Ready(()) => Poll::Ready(Said::Refused(Refusal::new(408, "the head did not come in time"))),
                };
            }
        }
    }
}

/// Ends a connection so that what was said last arrives.
async fn linger(stream: &mut Stream) {
    let _ = stream.shutdown().await;
    let mut rest = stream.take(LINGER_BYTES);
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}

/// Another protocol than HTTP from here on: bytes both ways.
async fn through(client: &mut Stream, early: Buffer, tunnel: Tunnel) {
    let Tunnel { mut link, claim } = tunnel;
    // Of HTTP/2 nothing else becomes.
    let Way::Own(container) = &mut link.stream else { return client.break_off() };
    let both = async {
        container.write_all(early.rest()).await?;
        drop(early);
        client.write_all(link.inbox.rest()).await?;
        drop(link.inbox);
        match &mut *client {
            Stream::Plain(client) => pass::both_ways(client, container, &claim).await,
            Stream::Tls(client) => pass::both_ways_through(&mut **client, container, &claim).await,
            // Its requests have no `Upgrade`: h2 takes none.
            Stream::Http2(client) => pass::both_ways_through(&mut **client, container, &claim).await,
        }
    };
    let outcome = tokio::select! {
        outcome = both => outcome,
        () = claim.drained() => Err(io::Error::other("its colour has left the route, and its time is over")),
    };
    if let Err(error) = outcome {
        tracing::debug!(target = %claim.target(), %error, "a tunnel is cut");
        client.break_off();
        break_off(container);
    }
}
