//! What every command of the control socket meets: what it works with, who asks, how it is refused.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json,
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{payloads::Payloads, pulse::Pulse, wire::ErrorReply};
use crate::{
    deploy::{Deployer, Failure},
    files,
    lane::Lanes,
    report::redact::is_unfit,
    store::{DomainEvent, StoreError},
};

/// Logs that are shown at one time, so that they do not use up what a user may have served (`shares`).
pub(super) const FOLLOWERS: usize = 64;

/// What the control socket works with.
#[derive(Clone)]
pub struct Control {
    /// Settings, repositories, store and pipeline.
    pub deployer: Arc<Deployer>,
    /// The lanes in which deployments wait and run.
    pub lanes: Lanes<Arc<Deployer>>,
    /// When the daemon began, in milliseconds since the Unix epoch.
    pub started_at: i64,
    /// Fires when the daemon stops; ends followed logs.
    pub stop: CancellationToken,
    /// Places of those who are shown a log.
    pub followers: Arc<Semaphore>,
    /// Whether the daemon does what it is for.
    pub pulse: Arc<Pulse>,
    /// What deliveries said, on its way to the disk.
    pub payloads: Arc<Payloads>,
}

/// Places of those who are shown a log, none of them taken.
pub fn followers() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(FOLLOWERS))
}

/// The user at the other end of a connection, as the kernel tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) Option<u32>);

impl Peer {
    /// Who asks, for the history. What a command says of itself (whose `sudo` it is) is believed of root alone.
    pub(super) fn name(self, said: Option<String>) -> Option<String> {
        let said = said.as_deref().map(cleaned).filter(|said| !said.trim().is_empty());
        match self.0 {
            None => said,
            Some(0) => Some(said.unwrap_or_else(|| files::user(0))),
            Some(uid) => Some(files::user(uid)),
        }
    }
}

/// A name that can stand in a log and in a table.
pub(super) fn cleaned(who: &str) -> String {
    who.chars().filter(|c| !is_unfit(*c)).take(100).collect()
}

impl Control {
    /// Has the journal and the log say what somebody asks of a repository; before it is done, which may take long.
    pub(super) async fn asked(&self, repo: &str, who: Option<&String>, what: &str) {
        let asks = DomainEvent::PersonAsked { who: who.cloned(), what: what.to_owned() };
        let who = who.map_or("somebody", String::as_str);
        tracing::info!(repo, who, "{who} asks for {repo}: {what}");
        if let Err(error) = self.deployer.store.tell_of(repo, asks).await {
            tracing::warn!(repo, "what {who} asks for is not in the journal: {error}");
        }
    }
}

/// An error on its way to the command line.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) ErrorReply);

impl Refusal {
    /// There is no such thing.
    pub(super) fn not_found(error: String, hint: &str) -> Self {
        Self(StatusCode::NOT_FOUND, ErrorReply { error, hint: Some(hint.to_owned()) })
    }

    /// What is asked for cannot be done as things stand.
    pub(super) fn conflict(error: String, hint: String) -> Self {
        Self(StatusCode::CONFLICT, ErrorReply { error, hint: Some(hint) })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, ErrorReply { error: error.to_string(), hint: None })
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, ErrorReply { error: failure.summary, hint: failure.hint })
    }
}

/// A refusal without advice.
pub(super) fn refusal(status: StatusCode, error: &str) -> Refusal {
    Refusal(status, ErrorReply { error: error.to_owned(), hint: None })
}

/// An answer of JSON lines, as they come.
pub(super) fn json_lines<T: Serialize + Send + 'static>(items: mpsc::Receiver<T>) -> Response {
    let body = futures_util::stream::unfold(items, |mut items| async move {
        let item = items.recv().await?;
        let mut line = serde_json::to_vec(&item).unwrap_or_default();
        line.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(line)), items))
    });
    ([("content-type", "application/x-ndjson")], Body::from_stream(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_whom_the_kernel_names_and_of_root_whoever_is_behind_it() {
        let said = |name: &str| Some(name.to_owned());
        let root = files::user(0);
        for (uid, told, name) in [
            (Some(0), said("ann"), said("ann")),
            (Some(0), None, Some(root.clone())),
            (Some(0), said(" "), Some(root)),
            (None, said("ann"), said("ann")),
            (None, None, None),
            // Nobody is another one by saying so.
            (Some(u32::MAX - 7), said("root"), said("4294967288")),
        ] {
            assert_eq!(Peer(uid).name(told.clone()), name, "{uid:?} {told:?}");
        }
        assert_eq!(Peer(Some(0)).name(said("a\u{1b}[31mb\n")), said("a[31mb"));
    }
}
