//! `POST /webhook`: read within bounds, prove, decide, record, answer. The work goes on behind it.
//!
//! ```text
//!   head ──► body arrives (a connection is all it holds) ──► proven ──► a place ──► recorded ──► answered
//!     │               │                                        │
//!     └── 401, 413    └── 408, 413, or the connection ends     └── 401
//! ```

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use tokio::{sync::Semaphore, time};

use super::{
    arriving::{Arrived, Own, Reception},
    health,
    ledger::{Ledger, LedgerFault, Receipt},
    pulse::Pulse,
    refusals::{self, Refusals},
    source::Source,
    visitors::Place,
};
use crate::{
    config::{LiveRepos, LiveSecret, Repo, live::RepoList},
    files,
    forge::{
        self, Effect, Event, Forge, PushedRepo, Refusal, SigningKey,
        signature::{self, Claimed},
    },
    report::redact::is_unfit,
    store::{Cause, NewDelivery, NewDeployment},
};

/// When a sender should try again after a 503 or 507, in seconds.
const RETRY_AFTER: &str = "30";
/// How long the branch that a work tree is on may take to be read.
const BRANCH_WAIT: Duration = Duration::from_secs(5);
/// Longest delivery id kept.
const MAX_GUID: usize = 128;

/// Answers which branch a repository's working tree is on.
pub type CheckedOut = Arc<dyn Fn(&Repo) -> Option<String> + Send + Sync>;

/// What one request, and all together, may cost.
#[derive(Debug, Clone, Copy)]
pub struct IntakeLimits {
    /// Largest body, in bytes.
    pub body: usize,
    /// Most proven deliveries that are recorded at one time.
    pub requests: usize,
    /// How long a proven delivery waits for its turn to be recorded.
    pub place_wait: Duration,
    /// Time to send a body.
    pub body_timeout: Duration,
}

/// What the routes work with.
pub struct IntakeState {
    /// The repositories as they are now.
    pub repos: Arc<LiveRepos>,
    key: Option<SigningKey>,
    /// Where the daemon's secret may change: what it is now, in place of `key`.
    live_key: Option<Arc<LiveSecret>>,
    ledger: Arc<dyn Ledger>,
    wake: Arc<dyn Fn(&str) + Send + Sync>,
    checked_out: CheckedOut,
    /// What was refused, for the log.
    pub refusals: Arc<Refusals>,
    /// Whether the daemon does what it is for.
    pub pulse: Arc<Pulse>,
    reception: Reception,
    places: Semaphore,
    place_wait: Duration,
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
        IntakeState {
            repos,
            key,
            live_key: None,
            ledger,
            wake,
            checked_out,
            refusals: Arc::default(),
            pulse: Arc::default(),
            reception: Reception::new(limits),
            places: Semaphore::new(limits.requests),
            place_wait: limits.place_wait,
        }
    }

    /// The branch that the work tree of the pushed repository is on, where none is configured: read beside the runtime, for
    /// its disk may hang.
    async fn branch_of(&self, event: &Event, loaded: &RepoList) -> Result<Option<String>, Refusal> {
        let Event::Push(push) = event else { return Ok(None) };
        let found = forge::find_repo(&push.repo, &loaded.repos).ok().filter(|repo| repo.branch.is_none());
        let Some(repo) = found.cloned() else { return Ok(None) };
        let (checked_out, name) = (Arc::clone(&self.checked_out), repo.name.clone());
        let looked = files::blocking_for(BRANCH_WAIT, move || {
            // One that hung a moment ago is not asked again, and must not look like one that is on no branch.
            let git = repo.path.join(".git");
            files::at(&git, &git, || git.exists())?;
            std::io::Result::Ok(checked_out(&repo))
        });
        // To guess would be to drop the push, or to deploy another branch.
        let unknown = |why: String| {
            refused(503, format!("which branch {name} is on could not be read: {why}; send the delivery again later"))
        };
        let looked = looked.await.map_err(|lost| unknown(lost.to_string()))?;
        looked.map_err(|error| unknown(error.to_string()))
    }

    /// Has the daemon's secret as it is now in a file, in place of the one that was given.
    #[must_use]
    pub fn with_live_key(mut self, secret: Option<Arc<LiveSecret>>) -> IntakeState {
        self.live_key = secret;
        self
    }

    /// The daemon's key, `None` where there is none just now or none is wanted; and whether one is wanted.
    fn key(&self) -> (Option<SigningKey>, bool) {
        match &self.live_key {
            Some(secret) => (SigningKey::new(&secret.current()), true),
            None => (self.key.clone(), self.key.is_some()),
        }
    }
}

impl IntakeState {
    /// Whether the daemon's secret is wanted, and cannot be had just now.
    pub(super) fn secret_is_gone(&self) -> bool {
        matches!(self.key(), (None, true))
    }
}

/// The routes of the webhook server.
pub fn router(state: Arc<IntakeState>) -> Router {
    Router::new()
        .route("/", get(health::root))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/webhook", post(webhook))
        .fallback(|| async { answer(StatusCode::NOT_FOUND, &Answer::error("there is nothing here")) })
        .method_not_allowed_fallback(|| async {
            answer(StatusCode::METHOD_NOT_ALLOWED, &Answer::error("this method is not for this address"))
        })
        .with_state(state)
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
    let place = request.extensions().get::<Arc<Place>>().cloned();
    if let Some(place) = &place {
        place.requests(request.headers());
    }
    let (head, body) = request.into_parts();
    let answered = handle(&state, &head.headers, body, place.as_deref()).await;
    let response = answered.unwrap_or_else(|refusal| {
        tell(&state.refusals, &refusal, &head.headers, place.as_deref().map(Place::source));
        refusal_answer(&refusal)
    });
    if let Some(place) = place {
        place.answered();
    }
    response
}

async fn handle(
    state: &IntakeState,
    headers: &HeaderMap,
    body: Body,
    place: Option<&Place>,
) -> Result<Response, Refusal> {
    let forge = Forge::GitHub;
    let claimed = signature::claimed(headers.get(forge.signature_header()).map(HeaderValue::as_bytes));
    let (key, key_wanted) = state.key();
    if let (Err(refusal), true) = (&claimed, key_wanted) {
        // Whatever the body is, nothing will prove it.
        state.reception.pass_over(headers, body).await?;
        return Err(refusal.clone());
    }
    let arrived = state.reception.receive(forge, key.as_ref(), &state.repos, headers, body).await?;
    let loaded = state.repos.current();
    let proof = prove(key_wanted, &loaded, claimed.ok().as_ref(), &arrived)?;
    let whole = arrived.whole;
    owned(whole.repository().as_ref(), &loaded, &proof)?;
    if let Some(place) = place {
        place.proven();
    }
    let busy = || refused(503, "too many deliveries at one time; send it again later");
    let recording = time::timeout(state.place_wait, state.places.acquire()).await;
    let _recording = recording.map_err(|_| busy())?.map_err(|_| busy())?;
    let event_name = text(headers, forge.event_header())
        .ok_or_else(|| Refusal::malformed("X-GitHub-Event is missing or unreadable"))?;
    let digest = whole.digest;
    let event = whole.event(event_name)?;
    let branch = state.branch_of(&event, &loaded).await?;
    let effect = forge::effect(&event, &loaded.repos, &|_| branch.clone());
    if matches!(effect, Effect::Unknown { .. }) && state.repos.broken().is_some() {
        // It may be one of the entries that do not count just now: "nothing to do" would lose the push.
        let reason = "repos.yaml on the server has a mistake, so whether this repository is in it is not known; \
                      repair it (`turnout check`), then send the delivery again";
        return Err(refused(503, reason));
    }
    let delivery = record(forge, event_name, headers, digest, &event, &effect);
    report(&delivery);
    respond(state, effect, delivery).await
}

/// One line for a refused delivery, or its place in the count of a flood.
fn tell(refusals: &Refusals, refusal: &Refusal, headers: &HeaderMap, source: Option<Source>) {
    let Refusal { status, message } = refusal;
    if !refusals.count(refusals::kind(*status)) {
        return;
    }
    let forge = Forge::GitHub;
    let header = |name| text(headers, name).map(shortened).unwrap_or_default();
    let (event, delivery) = (header(forge.event_header()), header(forge.delivery_header()));
    let (source, forge) = (source.map(|source| source.to_string()).unwrap_or_default(), forge.name());
    tracing::warn!(status, forge, event, delivery, source, "a delivery was refused: {message}");
}

fn refusal_answer(refusal: &Refusal) -> Response {
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

/// Whose secret a delivery was signed with.
#[derive(PartialEq, Eq)]
enum Proof {
    /// The daemon's; or unsigned deliveries are allowed.
    Daemon,
    /// This repository's own.
    Repo(String),
}

/// Tells whose signature it is, or why it is nobody's. Nothing that the body says has been looked at before this but the
/// name of its repository.
fn prove(
    has_key: bool,
    loaded: &RepoList,
    claimed: Option<&Claimed>,
    Arrived { whole, own }: &Arrived,
) -> Result<Proof, Refusal> {
    if claimed.is_some_and(|claimed| whole.is_by_daemon(claimed)) {
        return Ok(Proof::Daemon);
    }
    if let (Own::Of { repo, secret }, Some(claimed)) = (own, claimed)
        && whole.is_by_repo(claimed)
        // It may have been taken away while the body arrived.
        && loaded.secrets.get(repo) == Some(secret)
    {
        return Ok(Proof::Repo(repo.clone()));
    }
    match own {
        _ if !has_key => Ok(Proof::Daemon),
        Own::GivenUp => Err(refused(503, "too much is being received at one time; send it again later")),
        _ => Err(Refusal::unproven("the signature does not match")),
    }
}

/// A repository with a secret of its own takes no other, and its secret speaks for no other repository.
fn owned(named: Option<&PushedRepo>, loaded: &RepoList, proof: &Proof) -> Result<(), Refusal> {
    if loaded.secrets.is_empty() {
        return Ok(());
    }
    let named = named.and_then(|repo| forge::find_repo(repo, &loaded.repos).ok());
    let needed = named.filter(|repo| loaded.secrets.contains_key(&repo.name)).map(|repo| repo.name.as_str());
    let given = match proof {
        Proof::Daemon => None,
        Proof::Repo(repo) => Some(repo.as_str()),
    };
    if needed == given { Ok(()) } else { Err(Refusal::unproven("the signature does not match")) }
}

fn record(
    forge: Forge,
    event_name: &str,
    headers: &HeaderMap,
    digest: [u8; 32],
    event: &Event,
    effect: &Effect,
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
        digest,
        effect: effect.kind(),
        reason: effect.reason(),
        deploy: match effect {
            Effect::Deploy(wanted) => Some(NewDeployment {
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
    let NewDelivery { event, repo, git_ref, pusher, effect, reason, .. } = delivery;
    let shown = |text: &Option<String>| text.clone().unwrap_or_default();
    let (repo, git_ref, pusher) = (shown(repo), shown(git_ref), shown(pusher));
    if *effect == "unknown" {
        tracing::warn!(event, repo, git_ref, pusher, effect, "{reason}");
    } else {
        tracing::info!(event, repo, git_ref, pusher, effect, "{reason}");
    }
}

async fn respond(state: &IntakeState, effect: Effect, delivery: NewDelivery) -> Result<Response, Refusal> {
    let recorded = state.ledger.accept(delivery).await;
    let Effect::Deploy(wanted) = &effect else {
        // Nothing was promised, so a full disk is no reason to make the forge count a failure.
        if let Err(fault) = recorded {
            tracing::warn!("the delivery is answered but not recorded: {fault}");
        }
        let reason = effect.reason();
        let status = if effect == Effect::Ping { "pong" } else { effect.kind() };
        let repository = match &effect {
            Effect::Ignored { repo, .. } => repo.as_deref(),
            Effect::SelfSkip { repo } | Effect::Unknown { repo, .. } => Some(repo.as_str()),
            Effect::Deploy(_) | Effect::Ping => None,
        };
        return Ok(answer(StatusCode::OK, &Answer { status, repository, message: &reason, ..Answer::default() }));
    };
    let receipt = recorded.map_err(|fault| unrecorded(&state.pulse, &fault))?;
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

fn unrecorded(pulse: &Pulse, fault: &LedgerFault) -> Refusal {
    tracing::error!("a delivery could not be recorded: {fault}");
    if fault.full {
        pulse.full();
        refused(507, "the disk is full; nothing was queued, send it again later")
    } else {
        refused(503, "it could not be recorded; nothing was queued, send it again later")
    }
}

fn answer(status: StatusCode, body: &Answer<'_>) -> Response {
    (status, Json(body)).into_response()
}

pub(super) fn refused(status: u16, message: impl Into<String>) -> Refusal {
    Refusal { status, message: message.into() }
}

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Untrusted text for a record: bounded, one line.
fn shortened(text: &str) -> String {
    text.chars().take(300).map(|c| if is_unfit(c) { '\u{fffd}' } else { c }).collect()
}
