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
    payloads::Payloads,
    pulse::{Part, Pulse},
    record::{delivery_id, record, report, shortened},
    refusals::{self, Refusals},
    source::Source,
    visitors::Place,
};
use crate::{
    config::{LiveRepos, LiveSecret, Repo, Secret, live::RepoList},
    files,
    forge::{self, Effect, Event, Forge, Head, Note, PushedRepo, Refusal, proof::Key},
    report::redact::Redactor,
    store::{NewDelivery, NewDeployment},
};

/// When a sender should try again after a 503 or 507, in seconds.
const RETRY_AFTER: &str = "30";
/// How long the branch that a work tree is on may take to be read.
const BRANCH_WAIT: Duration = Duration::from_secs(5);

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
    /// Bytes of a payload that is kept with its delivery; of a larger one nothing is. 0 = of none.
    pub payload: usize,
}

/// What the routes work with.
pub struct IntakeState {
    /// The repositories as they are now.
    pub repos: Arc<LiveRepos>,
    secret: Option<Secret>,
    /// Where the daemon's secret may change: what it is now, in place of `secret`.
    live_secret: Option<Arc<LiveSecret>>,
    doors: Vec<Arc<Door>>,
    redactor: Redactor,
    /// Where what a delivery said is kept; nothing of it, where there is none.
    payloads: Option<Arc<Payloads>>,
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

/// Where the deliveries of one forge come in.
struct Door {
    forge: &'static Forge,
    /// The daemon's, where its secret does not change.
    key: Option<Key>,
}

impl IntakeState {
    /// Puts it together. `secret` may be missing only where the operator insists on unproven deliveries. `wake` is called
    /// with the repository's configured name after its deployment is on disk; it must not block. `checked_out` answers
    /// which branch a working tree is on: see [`super::checked_out`].
    pub fn new(
        repos: Arc<LiveRepos>,
        secret: Option<Secret>,
        ledger: Arc<dyn Ledger>,
        wake: Arc<dyn Fn(&str) + Send + Sync>,
        checked_out: CheckedOut,
        limits: IntakeLimits,
    ) -> IntakeState {
        let state = IntakeState {
            repos,
            secret,
            live_secret: None,
            doors: Vec::new(),
            redactor: Redactor::new(),
            payloads: None,
            ledger,
            wake,
            checked_out,
            refusals: Arc::default(),
            pulse: Arc::default(),
            reception: Reception::new(limits),
            places: Semaphore::new(limits.requests),
            place_wait: limits.place_wait,
        };
        state.with_forges(forge::ALL)
    }

    /// Takes the deliveries of these forges in place of [`forge::ALL`].
    #[must_use]
    pub fn with_forges(mut self, forges: &[&'static Forge]) -> IntakeState {
        let door = |forge: &&'static Forge| {
            let key = self.secret.as_ref().and_then(|secret| forge.proof.key(secret));
            Arc::new(Door { forge, key })
        };
        self.doors = forges.iter().map(door).collect();
        self
    }

    /// For what a delivery says. What it was proven with may have been read only a moment ago; of projects the one counts whose
    /// delivery it is, so that nobody's secrets can blot out what others sent.
    fn redactor_of(&self, loaded: &RepoList, effects: &[Effect]) -> Redactor {
        loaded.secrets.values().for_each(|secret| self.redactor.add_secret(secret));
        if let Some(secret) = &self.live_secret {
            self.redactor.add_secret(&secret.current());
        }
        match effects.iter().find_map(Effect::repo) {
            Some(repo) => self.redactor.about(Some(repo)),
            None => self.redactor.own(),
        }
    }

    /// The branch that the work tree of the pushed repository is on, where none is configured: read beside the runtime, for
    /// its disk may hang.
    async fn branch_of(&self, events: &[Event], loaded: &RepoList) -> Result<Option<String>, Refusal> {
        let pushed = |event: &Event| match event {
            Event::Push(push) => forge::find_repo(&push.repo, &loaded.repos).ok().cloned(),
            _ => None,
        };
        // All events of a delivery are of one repository.
        let Some(repo) = events.iter().find_map(pushed).filter(|repo| repo.branch.is_none()) else { return Ok(None) };
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

    /// What is kept of payloads passes this one, which knows the secrets.
    #[must_use]
    pub fn with_redactor(mut self, redactor: Redactor) -> IntakeState {
        self.redactor = redactor;
        self
    }

    /// Keeps what deliveries say.
    #[must_use]
    pub fn with_payloads(mut self, payloads: Arc<Payloads>) -> IntakeState {
        self.payloads = Some(payloads);
        self
    }

    /// Has the daemon's secret as it is now in a file, in place of the one that was given.
    #[must_use]
    pub fn with_live_secret(mut self, secret: Option<Arc<LiveSecret>>) -> IntakeState {
        self.live_secret = secret;
        self
    }

    /// The daemon's key, `None` where there is none just now or none is wanted; and whether one is wanted.
    fn key(&self, door: &Door) -> (Option<Key>, bool) {
        match &self.live_secret {
            Some(secret) => (door.forge.proof.key(&secret.current()), true),
            None => (door.key.clone(), self.secret.is_some()),
        }
    }

    /// Whether the daemon's secret is wanted, and cannot be had just now.
    pub(super) fn secret_is_gone(&self) -> bool {
        self.live_secret.as_ref().is_some_and(|secret| secret.current().is_empty())
    }
}

/// The routes of the webhook server.
pub fn router(state: Arc<IntakeState>) -> Router {
    let fixed = Router::new()
        .route("/", get(health::root))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz));
    let add = |router: Router<Arc<IntakeState>>, (place, door): (usize, &Arc<Door>)| {
        let path = if place == 0 { "/webhook".to_owned() } else { format!("/webhook/{}", door.forge.name) };
        let door = Arc::clone(door);
        let taken = move |State(state): State<Arc<IntakeState>>, request| webhook(state, Arc::clone(&door), request);
        router.route(&path, post(taken))
    };
    let doors = state.doors.iter().enumerate();
    doors
        .fold(fixed, add)
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

async fn webhook(state: Arc<IntakeState>, door: Arc<Door>, request: Request<Body>) -> Response {
    let place = request.extensions().get::<Arc<Place>>().cloned();
    if let Some(place) = &place {
        place.requests(request.headers());
    }
    let (head, body) = request.into_parts();
    let answered = handle(&state, &door, &head.headers, body, place.as_deref()).await;
    let response = answered.unwrap_or_else(|refusal| {
        tell(&state.refusals, door.forge, &refusal, &head.headers, place.as_deref().map(Place::source));
        refusal_answer(door.forge, &refusal)
    });
    if let Some(place) = place {
        place.answered();
    }
    response
}

async fn handle(
    state: &IntakeState,
    door: &Door,
    headers: &HeaderMap,
    body: Body,
    place: Option<&Place>,
) -> Result<Response, Refusal> {
    let forge = door.forge;
    let claim = forge.proof.claim(Head::new(&|name| headers.get(name).map(HeaderValue::as_bytes)));
    let (key, key_wanted) = state.key(door);
    if let (Err(refusal), true) = (&claim, key_wanted) {
        // Whatever the body is, nothing will prove it.
        state.reception.pass_over(headers, body).await?;
        return Err(refusal.clone());
    }
    let arrived = state.reception.receive(forge, (key.as_ref(), claim.ok()), &state.repos, headers, body).await?;
    let loaded = state.repos.current();
    let signer = prove(key_wanted, &loaded, &arrived)?;
    let mut whole = arrived.whole;
    owned(whole.repository().as_ref(), &loaded, &signer)?;
    if let Some(place) = place {
        place.proven();
    }
    let busy = || refused(503, "too many deliveries at one time; send it again later");
    let recording = time::timeout(state.place_wait, state.places.acquire()).await;
    let _recording = recording.map_err(|_| busy())?.map_err(|_| busy())?;
    let event_name = text(headers, forge.event_header)
        .ok_or_else(|| Refusal::malformed(format!("{} is missing or unreadable", forge.event_header)))?;
    let (digest, payload) = (whole.digest, whole.take_payload());
    let events = whole.events(event_name)?;
    let branch = state.branch_of(&events, &loaded).await?;
    let effects = forge::effects(&events, &loaded.repos, &|_| branch.clone());
    let unknown = |effect: &Effect| matches!(effect, Effect::Remember(Note::Unknown { .. }));
    if effects.iter().any(unknown) && state.repos.broken().is_some() {
        // It may be one of the entries that do not count just now: "nothing to do" would lose the push.
        let reason = "repos.yaml on the server has a mistake, so whether this repository is in it is not known; \
                      repair it (`turnout check`), then send the delivery again";
        return Err(refused(503, reason));
    }
    let redactor = state.redactor_of(&loaded, &effects);
    let delivery = blotted(record(forge, event_name, headers, digest, &events, &effects), &redactor);
    report(&delivery);
    let reason = delivery.reason.clone();
    let recorded = state.ledger.accept(delivery).await;
    if let (Ok(receipt), Some(text), Some(payloads)) = (&recorded, payload, &state.payloads) {
        // A repeat says the same once more.
        if receipt.duplicate_of.is_none() {
            payloads.keep(receipt.delivery, text, redactor);
        }
    }
    respond(state, forge, &effects, &reason, recorded)
}

/// The texts of a delivery that only say something, without secrets: a branch, a commit and a name are needed as they are.
fn blotted(delivery: NewDelivery, redactor: &Redactor) -> NewDelivery {
    let clean = |text: String| redactor.redact(&text).into_owned();
    let deploy = delivery.deploy.map(|wanted| NewDeployment {
        cause: clean(wanted.cause),
        who: wanted.who.map(clean),
        ..wanted
    });
    NewDelivery { reason: clean(delivery.reason), pusher: delivery.pusher.map(clean), deploy, ..delivery }
}

/// One line for a refused delivery, or its place in the count of a flood.
fn tell(refusals: &Refusals, forge: &Forge, refusal: &Refusal, headers: &HeaderMap, source: Option<Source>) {
    let Refusal { status, message } = refusal;
    if !refusals.count(refusals::kind(*status)) {
        return;
    }
    let status = answered(forge, *status);
    let event = text(headers, forge.event_header).map(shortened).unwrap_or_default();
    let delivery = delivery_id(forge, headers).map(shortened).unwrap_or_default();
    let (source, forge) = (source.map(|source| source.to_string()).unwrap_or_default(), forge.name);
    tracing::warn!(status, forge, event, delivery, source, "a delivery was refused: {message}");
}

/// The status that a forge is sent for a refusal.
fn answered(forge: &Forge, refusal: u16) -> u16 {
    if refusal == Refusal::UNPROVEN { forge.statuses.unproven } else { refusal }
}

fn refusal_answer(forge: &Forge, refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(answered(forge, refusal.status)).unwrap_or(StatusCode::BAD_REQUEST);
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

/// Whose secret a delivery was proven with.
#[derive(PartialEq, Eq)]
enum Signer {
    /// The daemon's; or unproven deliveries are allowed.
    Daemon,
    /// This repository's own.
    Repo(String),
}

/// Tells whose proof it is, or why it is nobody's. Nothing that the body says has been looked at before this but the name of
/// its repository.
fn prove(has_key: bool, loaded: &RepoList, Arrived { whole, own }: &Arrived) -> Result<Signer, Refusal> {
    if whole.is_by_daemon() {
        return Ok(Signer::Daemon);
    }
    if let Own::Of { repo, secret } = own
        && whole.is_by_repo()
        // It may have been taken away while the body arrived.
        && loaded.secrets.get(repo) == Some(secret)
    {
        return Ok(Signer::Repo(repo.clone()));
    }
    match own {
        _ if !has_key => Ok(Signer::Daemon),
        Own::GivenUp => Err(refused(503, "too much is being received at one time; send it again later")),
        _ => Err(Refusal::unproven("the signature does not match")),
    }
}

/// A repository with a secret of its own takes no other, and its secret speaks for no other repository.
fn owned(named: Option<&PushedRepo>, loaded: &RepoList, signer: &Signer) -> Result<(), Refusal> {
    if loaded.secrets.is_empty() {
        return Ok(());
    }
    let named = named.and_then(|repo| forge::find_repo(repo, &loaded.repos).ok());
    let needed = named.filter(|repo| loaded.secrets.contains_key(&repo.name)).map(|repo| repo.name.as_str());
    let given = match signer {
        Signer::Daemon => None,
        Signer::Repo(repo) => Some(repo.as_str()),
    };
    if needed == given { Ok(()) } else { Err(Refusal::unproven("the signature does not match")) }
}

fn respond(
    state: &IntakeState,
    forge: &Forge,
    effects: &[Effect],
    reason: &str,
    recorded: Result<Receipt, LedgerFault>,
) -> Result<Response, Refusal> {
    let status = |status: u16| StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let (accepted, ignored) = (status(forge.statuses.accepted), status(forge.statuses.ignored));
    let Some(wanted) = effects.iter().find_map(Effect::wanted) else {
        // Nothing was promised, so a full disk is no reason to make the forge count a failure.
        if let Err(fault) = recorded {
            tracing::warn!("the delivery is answered but not recorded: {fault}");
        }
        let first = effects.first();
        let status = match first {
            Some(Effect::Remember(Note::Ping)) => "pong",
            Some(other) => other.kind(),
            None => "ignored",
        };
        let repository = first.and_then(Effect::repo);
        return Ok(answer(ignored, &Answer { status, repository, message: reason, ..Answer::default() }));
    };
    let receipt = recorded.map_err(|fault| unrecorded(&state.pulse, &fault))?;
    let Receipt { delivery: _, deployment, superseded, duplicate_of, held } = receipt;
    let repository = Some(wanted.repo.as_str());
    if let Some(first) = duplicate_of {
        let message = "this delivery came before; `turnout deploy` repeats a deployment";
        let body = Answer { status: "duplicate", deployment: Some(first), repository, message, ..Answer::default() };
        return Ok(answer(ignored, &body));
    }
    if let Some(held) = held {
        let message = format!("{held}; not deployed: it waits for `turnout release {}`", wanted.repo);
        tracing::info!(repo = wanted.repo, "{message}");
        let body = Answer { status: "held", repository, message: &message, ..Answer::default() };
        return Ok(answer(accepted, &body));
    }
    (state.wake)(&wanted.repo);
    let body = Answer { status: "queued", deployment, repository, superseded, message: &wanted.cause };
    Ok(answer(accepted, &body))
}

fn unrecorded(pulse: &Pulse, fault: &LedgerFault) -> Refusal {
    tracing::error!("a delivery could not be recorded: {fault}");
    if fault.damaged {
        pulse.lacks(Part::Store);
    }
    if fault.full {
        pulse.lacks(Part::Disk);
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
