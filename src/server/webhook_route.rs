//! `POST /webhook`: read within bounds, prove, decide, record, answer. The work goes on behind it.
//!
//! ```text
//!   head ──► body arrives (a connection is all it holds) ──► proven ──► a place ──► recorded ──► answered
//!     │               │                                        │
//!     └── 401, 413    └── 408, 413, or the connection ends     └── 401
//! ```

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use tokio::time;

use super::{
    arriving::{Arrived, Own},
    health,
    intake::{Door, IntakeState},
    intake_limits::{refused, text},
    ledger::{LedgerFault, Receipt},
    pulse::{Part, Pulse},
    record::{delivery_id, record, report, shortened},
    refusals::{self, Refusals},
    source::Source,
    visitors::Place,
};
use crate::{
    config::RepoList,
    forge::{self, Effect, Forge, Head, Note, PushedRepo, Refusal, Whole},
    report::redact::Redactor,
    store::{NewDelivery, NewDeployment, NewHook},
};

/// When a sender should try again after a 503 or 507, in seconds.
const RETRY_AFTER: &str = "30";

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
    let answered = handle(&state, &door, &head.headers, body, place.clone()).await;
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
    state: &Arc<IntakeState>,
    door: &Door,
    headers: &HeaderMap,
    body: Body,
    place: Option<Arc<Place>>,
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
    let whole = arrived.whole;
    owned(whole.repository().as_ref(), &loaded, &signer)?;
    if let Some(place) = &place {
        place.proven();
    }
    // From here on it is seen to its end, also where the sender does not wait for the answer.
    let (state, headers) = (Arc::clone(state), headers.clone());
    let taken = tokio::spawn(async move {
        // One that is gone takes up its place until then.
        let _place = place;
        take(&state, forge, &headers, whole, &loaded).await
    });
    taken.await.unwrap_or_else(|_| Err(refused(503, "the delivery could not be read; send it again later")))
}

/// Decides, records, and says what to answer.
async fn take(
    state: &IntakeState,
    forge: &Forge,
    headers: &HeaderMap,
    mut whole: Whole,
    loaded: &RepoList,
) -> Result<Response, Refusal> {
    let busy = || refused(503, "too many deliveries at one time; send it again later");
    let recording = time::timeout(state.place_wait, state.places.acquire()).await;
    let _recording = recording.map_err(|_| busy())?.map_err(|_| busy())?;
    let event_name = text(headers, forge.event_header)
        .ok_or_else(|| Refusal::malformed(format!("{} is missing or unreadable", forge.event_header)))?;
    let (digest, payload) = (whole.digest, whole.take_payload());
    let events = whole.events(event_name)?;
    let branch = state.branch_of(&events, loaded).await?;
    let effects = forge::effects(&events, &loaded.repos, &|_| branch.clone(), &*state.hooks);
    let unknown = |effect: &Effect| matches!(effect, Effect::Remember(Note::Unknown { .. }));
    if effects.iter().any(unknown) && state.repos.broken().is_some() {
        // It may be one of the entries that do not count just now: "nothing to do" would lose the push.
        let reason = "repos.yaml on the server has a mistake, so whether this repository is in it is not known; \
                      repair it (`turnout check`), then send the delivery again";
        return Err(refused(503, reason));
    }
    let redactor = state.redactor_of(loaded, &effects);
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
    let hooks = delivery.hooks.into_iter().map(|hook| NewHook { cause: clean(hook.cause), ..hook }).collect();
    NewDelivery { reason: clean(delivery.reason), pusher: delivery.pusher.map(clean), deploy, hooks, ..delivery }
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
        if let Some(hook) = effects.iter().find_map(Effect::hook) {
            recorded.map_err(|fault| unrecorded(&state.pulse, &fault))?;
            let repository = Some(hook.repo.as_str());
            return Ok(answer(accepted, &Answer { status: "hook", repository, message: reason, ..Answer::default() }));
        }
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
