//! The connections of the webhook server: bounded in number (see [`super::visitors`]), and in the time that a silent or
//! slow one may hold.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time,
};
use tower_service::Service as _;

use super::{
    refusals::{More, Refusals},
    visitors::{Bounds, Place, Visitors},
};

/// Bytes of a request's head at most, and of the buffer that a connection reads into.
const HEAD_BYTES: usize = 64 << 10;
/// Pause after a failed accept: the reason (no more file descriptors) does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often it is told what was not told one by one.
const TELL: Duration = Duration::from_secs(5);

/// What a connection may cost.
#[derive(Debug, Clone)]
pub struct ListenLimits {
    /// How many there may be.
    pub bounds: Bounds,
    /// Time to send a request's head. Idle connections are closed after it too.
    pub header_timeout: Duration,
    /// Time for requests under way at a shutdown.
    pub grace: Duration,
}

/// Serves until `shutdown` is done, then lets requests under way end. `refusals` are summed up in the log meanwhile.
///
/// # Errors
/// None at present; failed accepts are logged and tried again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ListenLimits,
    refusals: Arc<Refusals>,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let ListenLimits { bounds, header_timeout, grace } = limits;
    let most = bounds.all;
    let visitors = Visitors::new(bounds);
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut tell = time::interval(TELL);
    // Accepted, but nobody could be sent away for it yet. Kept here, because the future below may be given up.
    let mut waiting: Option<(TcpStream, SocketAddr)> = None;
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let (_, peer) = match &waiting {
                Some(newcomer) => newcomer,
                None => waiting.insert(listener.accept().await?),
            };
            Ok::<_, std::io::Error>(visitors.let_in(peer.ip()).await)
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            _ = tell.tick() => sum_up(&refusals, &visitors, most, false),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accepted => match accepted {
                Ok(place) => {
                    if let Some((stream, _)) = waiting.take() {
                        connections.spawn(connection(stream, router.clone(), header_timeout, closed.clone(), place));
                    }
                }
                Err(error) => {
                    if refusals.count("connections that could not be accepted") {
                        tracing::warn!("a connection could not be accepted: {error}");
                    }
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let _ = closing.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if time::timeout(grace, all).await.is_err() {
        tracing::warn!("requests still under way after {grace:?} are cut off");
    }
    sum_up(&refusals, &visitors, most, true);
    Ok(())
}

fn sum_up(refusals: &Refusals, visitors: &Visitors, most: usize, all: bool) {
    for More { kind, count, within } in refusals.take_more(all) {
        let were = if count == 1 { "was" } else { "were" };
        tracing::warn!(count, "{count} more {were} refused in the last {} s: {kind}", within.as_secs());
    }
    let gone = visitors.take_sent_away();
    if gone > 0 {
        tracing::warn!(
            gone,
            "there were more than {most} connections, or too many of one sender: closed the {gone} oldest that had proven nothing"
        );
    }
}

/// One connection until its end. Holds its place meanwhile.
async fn connection(
    stream: TcpStream,
    router: Router,
    header_timeout: Duration,
    mut closed: watch::Receiver<bool>,
    place: Arc<Place>,
) {
    // Answers are one small packet; waiting to fill it would only delay them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&place));
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_BYTES)
        // Who says that nothing more comes still wants the answer to what came.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // Errors of one connection (reset, malformed head, time-out) concern its sender, whom hyper has told.
        _ = connection.as_mut() => {}
        () = place.sent_away() => {}
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
