//! Deployments as they are recorded, their logs, and calling one off.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path as UrlPath, Query, State},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{
    command::{Control, FOLLOWERS, Peer, Refusal, json_lines, refusal},
    follow::{self, Follow},
    wire::{AskRequest, ErrorReply, Followed},
};
use crate::store::{self, Deployment, Filter};

/// Items of a followed log on their way to a slow reader; the daemon then waits for the reader, not for its deployment.
const FOLLOW_BUFFER: usize = 256;

#[derive(Deserialize)]
pub(super) struct HistoryQuery {
    repo: Option<String>,
    #[serde(default)]
    limit: usize,
}

pub(super) async fn history(
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

pub(super) async fn deployment(
    State(control): State<Control>,
    UrlPath(id): UrlPath<i64>,
) -> Result<Json<Deployment>, Refusal> {
    Ok(Json(known(&control, id).await?))
}

async fn known(control: &Control, id: i64) -> Result<Deployment, Refusal> {
    control.deployer.store.deployment(id).await?.ok_or_else(|| {
        let error = format!("no deployment {id}");
        Refusal(StatusCode::NOT_FOUND, ErrorReply { error, hint: Some("`turnout history` lists them".to_owned()) })
    })
}

pub(super) async fn cancel(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    UrlPath(id): UrlPath<i64>,
    Json(request): Json<Option<AskRequest>>,
) -> Result<Json<Deployment>, Refusal> {
    let over = |deployment: &Deployment| {
        let error = format!("deployment {id} is over: {}", deployment.state);
        Refusal(StatusCode::CONFLICT, ErrorReply { error, hint: None })
    };
    let repo = known(&control, id).await?.repo;
    let who = peer.name(request.and_then(|request| request.who));
    control.asked(&repo, who.as_ref(), &format!("cancel of deployment {id}")).await;
    let deployer = &control.deployer;
    if control.lanes.cancel(id)
        || deployer.call_off_wait(id).await?
        || deployer.store.cancel_queued(id, "cancelled at the command line").await?
    {
        return Ok(Json(known(&control, id).await?));
    }
    // Not queued, not waiting and not in a lane: over, or on the way from the one to the other.
    let found = known(&control, id).await?;
    if found.state != store::State::Running {
        return Err(over(&found));
    }
    control.lanes.cancel_claimed(id);
    // It may have come to wait between the two looks.
    deployer.call_off_wait(id).await?;
    let found = known(&control, id).await?;
    if found.state != store::State::Running {
        control.lanes.forget(id);
    }
    match found.state {
        store::State::Running | store::State::Cancelled => Ok(Json(found)),
        _ => Err(over(&found)),
    }
}

#[derive(Deserialize)]
pub(super) struct LogQuery {
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

pub(super) async fn deployment_log(
    State(control): State<Control>,
    UrlPath(id): UrlPath<i64>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Refusal> {
    let deployment = known(&control, id).await?;
    let LogQuery { repo: _, follow, tail, after, waiting, position: _ } = query;
    stream(control, Follow::One { deployment: Box::new(deployment), tail, follow, after, waiting })
}

pub(super) async fn log(State(control): State<Control>, Query(query): Query<LogQuery>) -> Result<Response, Refusal> {
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
