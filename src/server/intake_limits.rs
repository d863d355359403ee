//! What deliveries may cost, and how one is refused.

use std::time::Duration;

use axum::http::HeaderMap;

use crate::forge::Refusal;

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

/// A refusal with its status and its words for the sender.
pub(super) fn refused(status: u16, message: impl Into<String>) -> Refusal {
    Refusal { status, message: message.into() }
}

/// A header's text.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
