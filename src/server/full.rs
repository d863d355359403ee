//! What is answered while the daemon cannot begin its work because the disk of its state is full: as later, where that
//! disk fills while it works. Nothing is promised.

use axum::{
    Json, Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::{health, pulse::Part, wire::ErrorReply};

/// After which a sender may try again, in seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("30");

/// The routes meanwhile.
pub fn router() -> Router {
    Router::new()
        .route("/", get(health::root))
        // A restart makes no room: the daemon is alive.
        .route("/healthz", get(health::alive))
        .route("/readyz", get(not_ready))
        .fallback(refuse)
        .method_not_allowed_fallback(refuse)
}

/// What commands are told meanwhile.
pub fn commands() -> Router {
    let error =
        "turnout has started, but the disk of its state directory is full: no push is taken, and nothing is deployed";
    let hint = "make room there (`df -h`, `df -i`); it begins by itself within seconds";
    let told = move || async move {
        let reply = ErrorReply { error: error.to_owned(), hint: Some(hint.to_owned()) };
        (StatusCode::INSUFFICIENT_STORAGE, Json(reply))
    };
    Router::new().fallback(told)
}

async fn not_ready() -> Response {
    health::waiting(vec![Part::Disk.name()])
}

async fn refuse() -> Response {
    let body = json!({"status": "error", "error": "the disk is full; nothing was queued, send it again later"});
    (StatusCode::INSUFFICIENT_STORAGE, [(header::RETRY_AFTER, AGAIN)], Json(body)).into_response()
}
