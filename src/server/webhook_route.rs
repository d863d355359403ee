//! `POST /webhook`: read within bounds, prove, decide, record, answer. The work goes on behind it.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

use super::{
    health,
    ledger::{Ledger, LedgerFault, Receipt},
};
use crate::{
    config::{LiveRepos, Repo, live::Loaded},
    store::{Cause, NewDelivery, NewDeployment},
    webhook::{self, Event, Forge, Refusal, SigningKey, Verdict, signature},
};

/// Bodies of the largest size that may be in memory at one time, all requests together.
const LARGEST_BODIES: usize = 4;
/// Memory is taken from that budget in steps of this many bytes, as a body arrives.
const STEP: usize = 64 << 10;
/// When a sender should try again after a 503 or 507, in seconds.
const RETRY_AFTER: &str = "30";
/// Longest delivery id kept.
const MAX_GUID: usize = 128;

/// Answers which branch a repository's working tree is on.
pub type CheckedOut = Arc<dyn Fn(&Repo) -> Option<String> + Send + Sync>;

/// What one request, and all together, may cost.
#[derive(Debug, Clone, Copy)]
pub struct IntakeLimits {
    /// Largest body, in bytes.
    pub body: usize,
    /// Most deliveries read at one time.
    pub requests: usize,
    /// Time to send a body.
    pub body_timeout: Duration,
}

/// What the routes work with.
pub struct IntakeState {
    /// The repositories as they are now.
    pub repos: Arc<LiveRepos>,
    key: Option<SigningKey>,
    ledger: Arc<dyn Ledger>,
    wake: Arc<dyn Fn(&str) + Send + Sync>,
    checked_out: CheckedOut,
    limits: IntakeLimits,
    requests: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

impl IntakeState {
    /// Puts it together. `key` may be missing only where the operator insists on unsigned deliveries. `wake` is called
    /// with the repository's configured name after its deployment is on disk; it must not block. `checked_out` answers
    /// which branch a working tree is on: see [`super::checked_out`].
    pub fn new(
        repos: Arc<LiveRepos>,
        key: Option<SigningKey>,
        ledger: Arc<dyn Ledger>,
        wake: Arc<dyn Fn(&str) + Send + Sync>,
        checked_out: CheckedOut,
        limits: IntakeLimits,
    ) -> IntakeState {
        let steps = limits.body.div_ceil(STEP) * LARGEST_BODIES;
        IntakeState {
            repos,
            key,
            ledger,
            wake,
            checked_out,
            limits,
            requests: Arc::new(Semaphore::new(limits.requests)),
            // Every request may at least hold one step, so that small deliveries pass beside large ones.
            memory: Arc::new(Semaphore::new(steps + limits.requests)),
        }
    }
}

/// The routes of the webhook server.
pub fn router(state: IntakeState) -> Router {
    Router::new()
        .route("/", get(health::root))
        .route("/healthz", get(health::healthz))
        .route("/webhook", post(webhook))
        .fallback(|| async { answer(StatusCode::NOT_FOUND, &Answer::error("there is nothing here")) })
        .method_not_allowed_fallback(|| async {
            answer(StatusCode::METHOD_NOT_ALLOWED, &Answer::error("this method is not for this address"))
        })
        .with_state(Arc::new(state))
}

/// The body of an answer.
#[derive(Serialize, Default)]
struct Answer<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded: Option<i64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

impl<'a> Answer<'a> {
    fn error(message: &'a str) -> Answer<'a> {
        Answer { status: "error", message, ..Answer::default() }
    }
}

async fn webhook(State(state): State<Arc<IntakeState>>, request: Request<Body>) -> Response {
    match handle(&state, request).await {
        Ok(response) => response,
        Err(refusal) => {
            tracing::warn!(status = refusal.status, "a delivery was refused: {}", refusal.message);
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
            let mut response = answer(status, &Answer::error(&refusal.message));
            let headers = response.headers_mut();
            if matches!(refusal.status, 503 | 507) {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
            if matches!(refusal.status, 408 | 413 | 503) {
                // The rest of the body will not be read, so the connection cannot serve another request.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

async fn handle(state: &IntakeState, request: Request<Body>) -> Result<Response, Refusal> {
    let busy = || refused(503, "too many deliveries at one time; send it again later");
    let _place = Arc::clone(&state.requests).try_acquire_owned().map_err(|_| busy())?;
    let (head, body) = request.into_parts();
    let (body, _memory) = read(state, &head.headers, body).await?;
    let loaded = state.repos.current();
    let (forge, headers) = (Forge::GitHub, &head.headers);
    let proof = prove(state, &loaded, forge, headers, &body)?;
    let event_name = text(headers, forge.event_header())
        .ok_or_else(|| Refusal::malformed("X-GitHub-Event is missing or unreadable"))?;
    let event = event(forge, event_name, headers, &body)?;
    owned(&event, &loaded, &proof)?;
    let verdict = webhook::verdict(&event, &loaded.repos, &*state.checked_out);
    let delivery = record(forge, event_name, headers, &body, &event, &verdict);
    report(&delivery);
    respond(state, verdict, delivery).await
}

/// Reads the body. The second part gives its memory back to the budget when dropped.
async fn read(
    state: &IntakeState,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Refusal> {
    let limit = state.limits.body;
    let too_large = || refused(413, format!("a delivery may have {limit} bytes"));
    let announced = text(headers, "content-length").and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let arriving = async {
        let mut budget = Budget { all: Arc::clone(&state.memory), held: None };
        let mut body = body;
        let mut chunks = Chunks::None;
        let mut size = 0_usize;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::malformed("the body breaks off or is badly framed"))?;
            let Ok(data) = frame.into_data() else { continue };
            size = size.saturating_add(data.len());
            if size > limit {
                return Err(too_large());
            }
            if !budget.cover(size) {
                return Err(refused(503, "too much is being received at one time; send it again later"));
            }
            chunks = chunks.and(data);
        }
        Ok((chunks.whole(), budget.held))
    };
    time::timeout(state.limits.body_timeout, arriving)
        .await
        .map_err(|_| refused(408, "the body took too long to arrive"))?
}

/// A body as it arrives. One that came in one piece is never copied.
enum Chunks {
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Chunks {
    fn and(self, data: Bytes) -> Chunks {
        match self {
            Chunks::None => Chunks::One(data),
            Chunks::One(first) => {
                let mut all = BytesMut::with_capacity((first.len() + data.len()).next_power_of_two());
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                Chunks::Many(all)
            }
            Chunks::Many(mut all) => {
                all.extend_from_slice(&data);
                Chunks::Many(all)
            }
        }
    }

    fn whole(self) -> Bytes {
        match self {
            Chunks::None => Bytes::new(),
            Chunks::One(data) => data,
            Chunks::Many(all) => all.freeze(),
        }
    }
}

struct Budget {
    all: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// Holds memory for `size` bytes. False where the budget is spent.
    fn cover(&mut self, size: usize) -> bool {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = size.div_ceil(STEP).saturating_sub(held);
        if missing == 0 {
            return true;
        }
        let Ok(missing) = u32::try_from(missing) else { return false };
        let Ok(more) = Arc::clone(&self.all).try_acquire_many_owned(missing) else { return false };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

/// Whose secret a delivery was signed with.
#[derive(PartialEq, Eq)]
enum Proof {
    /// The daemon's; or unsigned deliveries are allowed.
    Daemon,
    /// This repository's own.
    Repo(String),
}

fn prove(
    state: &IntakeState,
    loaded: &Loaded,
    forge: Forge,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Proof, Refusal> {
    let claimed = headers.get(forge.signature_header()).map(HeaderValue::as_bytes);
    let by_daemon = match &state.key {
        Some(key) => key.verify(claimed, body),
        None => Ok(()),
    };
    // Without secrets of single repositories the daemon's answer is the whole answer: nothing unproven is parsed.
    if loaded.secrets.is_empty() || (by_daemon.is_ok() && state.key.is_some()) {
        return by_daemon.map(|()| Proof::Daemon);
    }
    match own_secret(loaded, forge, headers, body) {
        Some((repo, key)) if key.verify(claimed, body).is_ok() => Ok(Proof::Repo(repo)),
        _ => by_daemon.map(|()| Proof::Daemon),
    }
}

/// The key of the repository that an unproven body names. Nothing else of that body is used before it is proven.
fn own_secret(loaded: &Loaded, forge: Forge, headers: &HeaderMap, body: &[u8]) -> Option<(String, SigningKey)> {
    let event = event(forge, text(headers, forge.event_header())?, headers, body).ok()?;
    let repo = webhook::find_repo(event.repo()?, &loaded.repos).ok()?;
    let key = SigningKey::new(loaded.secrets.get(&repo.name)?)?;
    Some((repo.name.clone(), key))
}

/// A repository with a secret of its own takes no other, and its secret speaks for no other repository.
fn owned(event: &Event, loaded: &Loaded, proof: &Proof) -> Result<(), Refusal> {
    if loaded.secrets.is_empty() {
        return Ok(());
    }
    let named = event.repo().and_then(|repo| webhook::find_repo(repo, &loaded.repos).ok());
    let needed = named.filter(|repo| loaded.secrets.contains_key(&repo.name)).map(|repo| repo.name.as_str());
    let given = match proof {
        Proof::Daemon => None,
        Proof::Repo(repo) => Some(repo.as_str()),
    };
    if needed == given { Ok(()) } else { Err(Refusal::unproven("the signature does not match")) }
}

fn event(forge: Forge, name: &str, headers: &HeaderMap, body: &[u8]) -> Result<Event, Refusal> {
    let raw = |name: header::HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let json = webhook::body::decode(raw(header::CONTENT_TYPE), raw(header::CONTENT_ENCODING), body)?;
    forge.read(name, &json)
}

fn record(
    forge: Forge,
    event_name: &str,
    headers: &HeaderMap,
    body: &[u8],
    event: &Event,
    verdict: &Verdict,
) -> NewDelivery {
    let push = match event {
        Event::Push(push) => Some(push),
        Event::Ping | Event::Other { .. } => None,
    };
    let named = event.repo().map(|repo| repo.full_name.as_deref().unwrap_or(&repo.name));
    NewDelivery {
        forge: forge.name(),
        guid: text(headers, forge.delivery_header()).filter(|guid| guid.len() <= MAX_GUID).map(str::to_owned),
        event: shortened(event_name),
        repo: named.map(shortened),
        git_ref: push.map(|push| shortened(&push.git_ref)),
        commit: push.map(|push| push.after.clone()),
        pusher: push.and_then(|push| push.pusher.clone()),
        digest: signature::digest(body),
        verdict: verdict.kind(),
        reason: verdict.reason(),
        deploy: match verdict {
            Verdict::Deploy(wanted) => Some(NewDeployment {
                repo: wanted.repo.clone(),
                branch: Some(wanted.branch.clone()),
                commit: Some(wanted.commit.clone()),
                kind: Cause::Push,
                cause: wanted.cause.clone(),
                who: wanted.pusher.clone(),
                force_rebuild: false,
                pinned: false,
                new_stack: false,
            }),
            _ => None,
        },
    }
}

/// One line for every delivery: what it was, and what is made of it.
fn report(delivery: &NewDelivery) {
    let NewDelivery { event, repo, git_ref, pusher, verdict, reason, .. } = delivery;
    let shown = |text: &Option<String>| text.clone().unwrap_or_default();
    let (repo, git_ref, pusher) = (shown(repo), shown(git_ref), shown(pusher));
    if *verdict == "unknown" {
        tracing::warn!(event, repo, git_ref, pusher, verdict, "{reason}");
    } else {
        tracing::info!(event, repo, git_ref, pusher, verdict, "{reason}");
    }
}

async fn respond(state: &IntakeState, verdict: Verdict, delivery: NewDelivery) -> Result<Response, Refusal> {
    let recorded = state.ledger.accept(delivery).await;
    let Verdict::Deploy(wanted) = &verdict else {
        // Nothing was promised, so a full disk is no reason to make the forge count a failure.
        if let Err(fault) = recorded {
            tracing::warn!("the delivery is answered but not recorded: {fault}");
        }
        let reason = verdict.reason();
        let status = if verdict == Verdict::Ping { "pong" } else { verdict.kind() };
        let repository = match &verdict {
            Verdict::Ignored { repo, .. } => repo.as_deref(),
            Verdict::SelfSkip { repo } | Verdict::Unknown { repo, .. } => Some(repo.as_str()),
            Verdict::Deploy(_) | Verdict::Ping => None,
        };
        return Ok(answer(StatusCode::OK, &Answer { status, repository, message: &reason, ..Answer::default() }));
    };
    let receipt = recorded.map_err(|fault| unrecorded(&fault))?;
    let Receipt { deployment, superseded, duplicate_of, held } = receipt;
    let repository = Some(wanted.repo.as_str());
    if let Some(first) = duplicate_of {
        let message = "this delivery came before; `turnout deploy` repeats a deployment";
        let body = Answer { status: "duplicate", deployment: Some(first), repository, message, ..Answer::default() };
        return Ok(answer(StatusCode::OK, &body));
    }
    if let Some(held) = held {
        let message = format!("{held}; not deployed: it waits for `turnout release {}`", wanted.repo);
        tracing::info!(repo = wanted.repo, "{message}");
        let body = Answer { status: "held", repository, message: &message, ..Answer::default() };
        return Ok(answer(StatusCode::ACCEPTED, &body));
    }
    (state.wake)(&wanted.repo);
    let body = Answer { status: "queued", deployment, repository, superseded, message: &wanted.cause };
    Ok(answer(StatusCode::ACCEPTED, &body))
}

fn unrecorded(fault: &LedgerFault) -> Refusal {
    tracing::error!("a delivery could not be recorded: {fault}");
    if fault.full {
        refused(507, "the disk is full; nothing was queued, send it again later")
    } else {
        refused(503, "it could not be recorded; nothing was queued, send it again later")
    }
}

fn answer(status: StatusCode, body: &Answer<'_>) -> Response {
    (status, Json(body)).into_response()
}

fn refused(status: u16, message: impl Into<String>) -> Refusal {
    Refusal { status, message: message.into() }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Untrusted text for a record: bounded, one line.
fn shortened(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
