//! The control socket: what the command line asks of the daemon. JSON over HTTP over a Unix socket.
//!
//! Access is the socket file's: whoever may open it may deploy.

use std::{convert::Infallible, fs, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Path as UrlPath, Query, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::{
    deliveries_route, deploy_route,
    follow::{self, Follow},
    letters_route,
    payloads::Payloads,
    plan_route,
    pulse::Pulse,
    shares::{OPEN, Shares},
    status,
    wire::{ErrorReply, Followed},
};
use crate::{
    deploy::{Deployer, Failure},
    files,
    lane::Lanes,
    store::{Deployment, Filter, StoreError},
};

/// Largest request body, in bytes.
const BODY: usize = 64 * 1024;
/// Time to send a request's head, and its body; a connection that says nothing is closed after it too.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Logs that are shown at one time, so that they do not use up what a user may have served (`shares`).
const FOLLOWERS: usize = 64;
/// Pause after a failed accept: the reason (no more file descriptors) does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Items of a followed log on their way to a slow reader; the daemon then waits for the reader, not for its deployment.
const FOLLOW_BUFFER: usize = 256;

/// What the control socket works with.
#[derive(Clone)]
pub struct Control {
    /// Settings, repositories, store and pipeline.
    pub deployer: Arc<Deployer>,
    /// The lanes.
    pub lanes: Lanes<Arc<Deployer>>,
    /// When the daemon began, in milliseconds since the Unix epoch.
    pub started_at: i64,
    /// Fires when the daemon stops; ends followed logs.
    pub stop: CancellationToken,
    /// Places of those who are shown a log.
    pub followers: Arc<Semaphore>,
    /// Whether the daemon does what it is for.
    pub pulse: Arc<Pulse>,
    /// What deliveries said, on its way to the disk.
    pub payloads: Arc<Payloads>,
}

/// Places of those who are shown a log, none of them taken.
pub fn followers() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(FOLLOWERS))
}

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

/// The user at the other end of a connection, as the kernel tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(Option<u32>);

impl Peer {
    /// Who asks, for the history. What a command says of itself (whose `sudo` it is) is believed of root alone.
    pub(super) fn name(self, said: Option<String>) -> Option<String> {
        match self.0 {
            Some(0) | None => said,
            Some(uid) => Some(files::user(uid)),
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

fn refusal(status: StatusCode, error: &str) -> Refusal {
    Refusal(status, ErrorReply { error: error.to_owned(), hint: None })
}

/// The routes.
pub fn router(control: Control) -> Router {
    Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/deployments", get(history).post(deploy_route::deploy))
        // The same under a name that a daemon without holds refuses: it would deploy the branch.
        .route("/v1/deployments-by-hand", post(deploy_route::deploy))
        .route("/v1/hold", post(deploy_route::hold))
        .route("/v1/deployments/{id}", get(deployment))
        .route("/v1/deployments/{id}/cancel", post(cancel))
        .route("/v1/deployments/{id}/log", get(deployment_log))
        .route("/v1/log", get(log))
        .route("/v1/deliveries", get(deliveries_route::deliveries))
        .route("/v1/deliveries/{id}/payload", get(deliveries_route::payload))
        .route("/v1/plan", post(plan_route::make_plan))
        .route("/v1/letters", get(letters_route::dead))
        .route("/v1/letters/again", post(letters_route::again))
        .layer(axum::extract::DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(whole))
        .with_state(control)
}

/// An error on its way to the command line.
pub(super) struct Refusal(StatusCode, pub(super) ErrorReply);

impl Refusal {
    /// There is no such thing.
    pub(super) fn not_found(error: String, hint: &str) -> Self {
        Self(StatusCode::NOT_FOUND, ErrorReply { error, hint: Some(hint.to_owned()) })
    }

    /// What is asked for cannot be done as things stand.
    pub(super) fn conflict(error: String, hint: String) -> Self {
        Self(StatusCode::CONFLICT, ErrorReply { error, hint: Some(hint) })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, ErrorReply { error: error.to_string(), hint: None })
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, ErrorReply { error: failure.summary, hint: failure.hint })
    }
}

#[derive(Deserialize)]
struct HistoryQuery {
    repo: Option<String>,
    #[serde(default)]
    limit: usize,
}

async fn history(
    State(control): State<Control>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Vec<Deployment>>, Refusal> {
    let filter = Filter { repo: query.repo.clone(), limit: query.limit, ..Filter::default() };
    let found = control.deployer.store.history(filter).await?;
    // Of one that is no longer configured there may be a history; of one that never was, there is a mistake in the name.
    if let Some(repo) = query.repo.filter(|_| found.is_empty()) {
        control.deployer.planner.find(&repo)?;
    }
    Ok(Json(found))
}

async fn deployment(State(control): State<Control>, UrlPath(id): UrlPath<i64>) -> Result<Json<Deployment>, Refusal> {
    Ok(Json(known(&control, id).await?))
}

async fn known(control: &Control, id: i64) -> Result<Deployment, Refusal> {
    control.deployer.store.deployment(id).await?.ok_or_else(|| {
        let error = format!("no deployment {id}");
        Refusal(StatusCode::NOT_FOUND, ErrorReply { error, hint: Some("`turnout history` lists them".to_owned()) })
    })
}

async fn cancel(State(control): State<Control>, UrlPath(id): UrlPath<i64>) -> Result<Json<Deployment>, Refusal> {
    let over = |deployment: &Deployment| {
        let error = format!("deployment {id} is over: {}", deployment.state);
        Refusal(StatusCode::CONFLICT, ErrorReply { error, hint: None })
    };
    known(&control, id).await?;
    let deployer = &control.deployer;
    if control.lanes.cancel(id)
        || deployer.call_off_wait(id).await?
        || deployer.store.cancel_queued(id, "cancelled at the command line").await?
    {
        return Ok(Json(known(&control, id).await?));
    }
    // Not queued, not waiting and not in a lane: over, or on the way from the one to the other.
    let found = known(&control, id).await?;
    if found.state != crate::store::State::Running {
        return Err(over(&found));
    }
    control.lanes.cancel_claimed(id);
    // It may have come to wait between the two looks.
    deployer.call_off_wait(id).await?;
    let found = known(&control, id).await?;
    if found.state != crate::store::State::Running {
        control.lanes.forget(id);
    }
    match found.state {
        crate::store::State::Running | crate::store::State::Cancelled => Ok(Json(found)),
        _ => Err(over(&found)),
    }
}

#[derive(Deserialize)]
struct LogQuery {
    repo: Option<String>,
    #[serde(default)]
    follow: bool,
    #[serde(default)]
    tail: Option<usize>,
    /// Of one deployment: the last line that the reader has.
    after: Option<i64>,
    /// Of one deployment: say what it waits for.
    #[serde(default)]
    waiting: bool,
    /// Of many: where the reader is, or nothing to be told where the log stands.
    position: Option<String>,
}

async fn deployment_log(
    State(control): State<Control>,
    UrlPath(id): UrlPath<i64>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Refusal> {
    let deployment = known(&control, id).await?;
    let LogQuery { repo: _, follow, tail, after, waiting, position: _ } = query;
    stream(control, Follow::One { deployment: Box::new(deployment), tail, follow, after, waiting })
}

async fn log(State(control): State<Control>, Query(query): Query<LogQuery>) -> Result<Response, Refusal> {
    if let Some(repo) = &query.repo {
        // Also deployments of a repository that is no longer configured may be looked at.
        let filter = Filter { repo: Some(repo.clone()), limit: 1, ..Filter::default() };
        if control.deployer.store.history(filter).await?.is_empty() {
            control.deployer.planner.find(repo)?;
        }
    }
    let tail = query.tail.unwrap_or(200);
    let position = match query.position.as_deref() {
        None => None,
        Some("") => Some(follow::Begin::Past),
        Some(text) => Some(follow::Begin::Position(text.parse().map_err(|()| {
            refusal(
                StatusCode::BAD_REQUEST,
                "this is no position in a log; are program and daemon of the same version?",
            )
        })?)),
    };
    stream(control, Follow::All { repo: query.repo, tail, follow: query.follow, position })
}

/// Streams JSON lines until the log ends or the reader goes.
fn stream(control: Control, what: Follow) -> Result<Response, Refusal> {
    let Ok(place) = Arc::clone(&control.followers).try_acquire_owned() else {
        let hint =
            "end one of them (`pgrep -af 'turnout (logs|deploy)'` lists those of this machine), or try again later";
        let error = format!("{FOLLOWERS} logs are being shown already");
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, ErrorReply { error, hint: Some(hint.to_owned()) }));
    };
    let (lines, receiver) = mpsc::channel::<Followed>(FOLLOW_BUFFER);
    tokio::spawn(async move {
        if let Err(error) = follow::follow(&control, what, &lines).await {
            tracing::warn!(%error, "cannot show a log");
        }
        drop(place);
    });
    Ok(json_lines(receiver))
}

/// An answer of JSON lines, as they come.
pub(super) fn json_lines<T: Serialize + Send + 'static>(items: mpsc::Receiver<T>) -> Response {
    let body = futures_util::stream::unfold(items, |mut items| async move {
        let item = items.recv().await?;
        let mut line = serde_json::to_vec(&item).unwrap_or_default();
        line.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(line)), items))
    });
    ([("content-type", "application/x-ndjson")], Body::from_stream(body)).into_response()
}
