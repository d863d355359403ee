//! The control socket: what the command line asks of the daemon. JSON over HTTP over a Unix socket.
//!
//! Access is the socket file's: whoever may open it may deploy.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::{
    colours_route,
    command::{Control, Peer, refusal},
    deliveries_route, deploy_route, deployments_route, letters_route, plan_route, rollout_route,
    shares::{OPEN, Shares},
    status,
};

/// Largest request body, in bytes.
const BODY: usize = 64 * 1024;
/// Time to send a request's head, and its body; a connection that says nothing is closed after it too.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Pause after a failed accept: the reason (no more file descriptors) does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Opens the socket with its access mode, in place of one that a killed daemon left.
///
/// # Errors
/// When the directory cannot be written, or another daemon listens there.
pub fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    if path.exists() {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another turnout listens there"));
        }
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Serves until `stop` fires, then lets requests under way end within `grace`. Whoever has many connections, silent ones or
/// ones that he does not read from, keeps out nobody but himself.
pub async fn serve(listener: UnixListener, router: Router, stop: CancellationToken, grace: Duration) {
    let shares = Arc::new(Shares::default());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let peer = Peer(stream.peer_cred().ok().map(|peer| peer.uid()));
                    let Some(connected) = shares.connect(peer.0) else {
                        let user = peer.name(None).unwrap_or_else(|| "root".to_owned());
                        tracing::warn!("a connection of {user} to the control socket was closed: {OPEN} others are open");
                        continue;
                    };
                    let (router, stop) = (router.clone(), stop.clone());
                    connections.spawn(async move {
                        tokio::select! {
                            turn = connected.turn() => {
                                connection(stream, peer, router, stop).await;
                                drop((turn, connected));
                            }
                            () = stop.cancelled() => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("a connection to the control socket could not be accepted: {error}");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if time::timeout(grace, all).await.is_err() {
        tracing::warn!("commands that still wait for an answer after {grace:?} are cut off");
    }
}

/// One connection until its end.
async fn connection(stream: UnixStream, peer: Peer, router: Router, stop: CancellationToken) {
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().call(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // Errors of one connection concern its sender, whom hyper has told.
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Has all of a request's body before anything is done with it.
async fn whole(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match time::timeout(REQUEST_TIME, to_bytes(body, BODY)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(_)) => refusal(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large or broke off").into_response(),
        Err(_) => refusal(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive").into_response(),
    }
}

/// What the control socket answers, path by path. Who may ask is decided by the rights of the socket file.
pub fn router(control: Control) -> Router {
    Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/deployments", get(deployments_route::history).post(deploy_route::deploy))
        // The same under a name that a daemon without holds refuses: it would deploy the branch.
        .route("/v1/deployments-by-hand", post(deploy_route::deploy))
        .route("/v1/hold", post(deploy_route::hold))
        .route("/v1/deployments/{id}", get(deployments_route::deployment))
        .route("/v1/deployments/{id}/cancel", post(deployments_route::cancel))
        .route("/v1/deployments/{id}/log", get(deployments_route::deployment_log))
        .route("/v1/log", get(deployments_route::log))
        .route("/v1/deliveries", get(deliveries_route::deliveries))
        .route("/v1/deliveries/{id}/payload", get(deliveries_route::payload))
        .route("/v1/repositories/{name}/rollback", post(colours_route::rollback))
        .route("/v1/repositories/{name}/promote", post(colours_route::promote))
        .route("/v1/repositories/{name}/pause", post(colours_route::pause))
        .route("/v1/repositories/{name}/resume", post(colours_route::resume))
        .route("/v1/repositories/{name}/maintain", post(colours_route::maintain))
        .route("/v1/repositories/{name}/preview", get(colours_route::preview))
        .route("/v1/repositories/{name}/abort", post(colours_route::abort))
        .route("/v1/repositories/{name}/rollout", get(rollout_route::rollout))
        .route("/v1/repositories/{name}/bake", get(colours_route::bake))
        .route("/v1/repositories/{name}/colours", get(colours_route::colours))
        .route("/v1/plan", post(plan_route::make_plan))
        .route("/v1/letters", get(letters_route::dead))
        .route("/v1/letters/again", post(letters_route::again))
        .layer(axum::extract::DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(whole))
        .with_state(control)
}
