//! `GET /`, `GET /healthz` and `GET /readyz`. Anybody may read them, so they name parts and no more.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::intake::IntakeState;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    /// `broken` where repos.yaml has a mistake; the entries without one count, and of the others the last good ones.
    config: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<&'static str>,
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting_for: Vec<&'static str>,
    /// How many repositories have something that is live, or stays beside it, and does not run. A push is deployed all the same,
    /// and brings it back: nothing that would keep work from here.
    #[serde(skip_serializing_if = "is_none")]
    standing_still: usize,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// Says that it runs.
pub(super) async fn root() -> Response {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, plain)], "turnout is running\n").into_response()
}

/// For probes that restart what fails: 200 while the daemon does what it is for, 503 with what does not answer. A
/// broken edit of repos.yaml is named but is no reason to restart.
pub(super) async fn healthz(State(state): State<Arc<IntakeState>>) -> Response {
    state.repos.refresh();
    let config = if state.repos.broken().is_some() { "broken" } else { "ok" };
    let failing = state.pulse.failing();
    let (code, status) = verdict(&failing, "ok", "failing");
    (code, Json(Health { status, config, failing })).into_response()
}

/// For probes that send work elsewhere: 200 while a delivery that comes now would be deployed now, 503 with what it
/// would wait for. Where repos.yaml has a mistake and no entry counts, that is its repair; where the file with the daemon's
/// secret cannot be read, no delivery is proven. That something deployed stands still is named beside the verdict and is no part of
/// it.
pub(super) async fn readyz(State(state): State<Arc<IntakeState>>) -> Response {
    let mut waiting_for = state.pulse.waiting_for();
    if state.repos.current().repos.repos.is_empty() && state.repos.broken().is_some() {
        waiting_for.push("repos.yaml");
    }
    if state.secret_is_gone() {
        waiting_for.push("webhook-secret");
    }
    ready(waiting_for, state.stills.told().len())
}

/// The answer to [`readyz`] where that is waited for.
pub(super) fn waiting(waiting_for: Vec<&'static str>) -> Response {
    ready(waiting_for, 0)
}

fn ready(waiting_for: Vec<&'static str>, standing_still: usize) -> Response {
    let (code, status) = verdict(&waiting_for, "ready", "waiting");
    (code, Json(Readiness { status, waiting_for, standing_still })).into_response()
}

/// The answer to [`healthz`] where all is well.
pub(super) async fn alive() -> Response {
    Json(Health { status: "ok", config: "ok", failing: Vec::new() }).into_response()
}

fn verdict(missing: &[&str], good: &'static str, bad: &'static str) -> (StatusCode, &'static str) {
    if missing.is_empty() { (StatusCode::OK, good) } else { (StatusCode::SERVICE_UNAVAILABLE, bad) }
}
