//! `GET /` and `GET /healthz`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::webhook_route::IntakeState;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    /// `broken` where the last edit of repos.yaml could not be read; the list before it counts.
    config: &'static str,
}

/// Says that it runs. Anybody may read it, so it says no more.
pub(super) async fn root() -> Response {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, plain)], "turnout is running\n").into_response()
}

/// For probes: answers while the daemon serves. A broken edit of repos.yaml is named but is no reason to restart.
pub(super) async fn healthz(State(state): State<Arc<IntakeState>>) -> Response {
    state.repos.refresh();
    let config = if state.repos.broken().is_some() { "broken" } else { "ok" };
    Json(Health { status: "ok", config }).into_response()
}
