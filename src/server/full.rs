//! What is answered while the daemon cannot begin its work because the disk of its state is full: as later, where that
//! disk fills while it works. Nothing is promised.

use axum::{
    Json, Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::{health, pulse::Part};

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

async fn not_ready() -> Response {
    health::waiting(vec![Part::Disk.name()])
}

async fn refuse() -> Response {
    let body = json!({"status": "error", "error": "the disk is full; nothing was queued, send it again later"});
    (StatusCode::INSUFFICIENT_STORAGE, [(header::RETRY_AFTER, AGAIN)], Json(body)).into_response()
}
