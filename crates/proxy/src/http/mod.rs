//! HTTP/1.1: each request finds a container of its own, whatever connection it came on.
//!
//! `guard`, `head` (pure: what of a client's bytes is a request), `wire` (a client's connection through the guard), `headers`
//! (what is changed on the way), `sent` (a request's body), `target` (a connection to a container, and those without a request),
//! `answer`, `exchange` (one request), and here: a client's connection from its beginning to its end.

mod answer;
mod exchange;
mod guard;
mod head;
mod headers;
mod refusal;
mod sent;
mod target;
mod wire;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use hyper::{
    server::conn::http1::{Builder, Parts},
    service::service_fn,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

pub(crate) use self::target::Pool;
use self::{
    exchange::{Client, Tunnel, exchange},
    wire::{BUFFER, Said, Wire},
};
use crate::{
    house::House,
    pass,
    socket::{break_off, watch_over},
};

/// When the proxy ends: time for a request that is on its way on an idle connection. Its answer says that it is the last.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// What a client still sends after a refusal is read for so long, and so far: a reset would take the answer away from it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 256 << 10;
/// Serves a client's connection to its end.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, listen: SocketAddr, house: Arc<House>) {
    watch_over(&stream);
    if let Some(tally) = house.board.tally(listen) {
        tally.taken.fetch_add(1, Relaxed);
    }
    let said = Arc::new(Said::new());
    let times = house.times.clone();
    let (mut cut, mut ending) = (house.cut.clone(), house.ending.clone());
    let client = Arc::new(Client {
        peer,
        listen,
        trusted: listen.ip().is_loopback(),
        said: Arc::clone(&said),
        way: Mutex::default(),
        tunnel: Mutex::default(),
        house,
    });
    let asked = Arc::clone(&client);
    let service = service_fn(move |request| Box::pin(exchange(Arc::clone(&asked), request)));
    let wire = Wire::new(stream, said, times);
    let mut connection = Builder::new().max_buf_size(BUFFER).serve_connection(wire, service);
    let (mut told, mut closes) = (false, Box::pin(sleep(Duration::MAX)));
    let outcome = loop {
        tokio::select! {
            outcome = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => break outcome,
            _ = cut.wait_for(|cut| *cut) => {
                break_off(&connection.into_parts().io.into_parts().0);
                return;
            }
            _ = ending.wait_for(|ending| *ending), if !told => {
                told = true;
                closes.as_mut().reset(tokio::time::Instant::now() + LAST_REQUEST);
            }
            () = &mut closes => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                closes = Box::pin(sleep(Duration::MAX));
            }
        }
    };
    let tunnel = client.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Parts { io, .. } = connection.into_parts();
    let (mut stream, early) = io.into_parts();
    match (outcome, tunnel) {
        (Ok(()), Some(tunnel)) => {
            tokio::select! {
                () = through(&mut stream, &early, tunnel) => {}
                _ = cut.wait_for(|cut| *cut) => break_off(&stream),
            }
        }
        (Ok(()), None) => linger(&mut stream).await,
        (Err(error), _) => {
            tracing::debug!(%listen, %peer, %error, "a connection ended early");
            // Half an answer must not look like a whole one.
            break_off(&stream);
        }
    }
}

/// Ends a connection so that what was said last arrives.
async fn linger(stream: &mut TcpStream) {
    let _ = stream.shutdown().await;
    let mut rest = stream.take(LINGER_BYTES);
    let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}

/// Another protocol than HTTP from here on: bytes both ways.
async fn through(client: &mut TcpStream, early: &[u8], tunnel: Tunnel) {
    let Tunnel { rest, claim } = tunnel;
    // The answer to the client has gone out; hyper lets go of the container's connection then.
    let Ok(Ok((mut container, read))) = timeout(pass::ACCEPT, rest).await else {
        return break_off(client);
    };
    let both = async {
        container.write_all(early).await?;
        client.write_all(&read).await?;
        pass::both_ways(client, &mut container, claim.idle).await
    };
    let outcome = both.await;
    if let Err(error) = outcome {
        tracing::debug!(target = %claim.target, %error, "a tunnel is cut");
        break_off(client);
        break_off(&container);
    }
}
