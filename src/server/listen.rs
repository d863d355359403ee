//! The connections of the webhook server: bounded in number, and in the time that a silent or slow one may hold.

use std::{future::Future, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time,
};

/// Bytes of a request's head at most, and of the buffer that a connection reads into.
const HEAD_BYTES: usize = 64 << 10;
/// Pause after a failed accept: the reason (no more file descriptors) does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct ListenLimits {
    /// Most open connections; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Time to send a request's head. Idle connections are closed after it too.
    pub header_timeout: Duration,
    /// Time for requests under way at a shutdown.
    pub grace: Duration,
}

/// Serves until `shutdown` is done, then lets requests under way end.
///
/// # Errors
/// None at present; failed accepts are logged and tried again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ListenLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), limits.header_timeout, closed.clone(), place));
                }
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let _ = closing.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if time::timeout(limits.grace, all).await.is_err() {
        tracing::warn!("requests still under way after {:?} are cut off", limits.grace);
    }
    Ok(())
}

/// One connection until its end. Holds its place meanwhile.
async fn connection(
    stream: TcpStream,
    router: Router,
    header_timeout: Duration,
    mut closed: watch::Receiver<bool>,
    _place: Option<OwnedSemaphorePermit>,
) {
    // Answers are one small packet; waiting to fill it would only delay them.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // Errors of one connection (reset, malformed head, time-out) concern its sender, whom hyper has told.
        _ = connection.as_mut() => {}
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
