//! Deliveries as they were recorded, for the command line: what came, what was made of it, and the payload.

use axum::{
    Json,
    extract::{Path as UrlPath, Query, State},
};
use serde::Deserialize;

use super::{
    command::{Control, Refusal},
    wire::Payload,
};
use crate::store::Delivery;

/// How many are wanted, newest first; the store has a most.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: usize,
}

pub(super) async fn deliveries(
    State(control): State<Control>,
    Query(Wanted { limit }): Query<Wanted>,
) -> Result<Json<Vec<Delivery>>, Refusal> {
    control.payloads.written().await;
    Ok(Json(control.deployer.store.deliveries(limit).await?))
}

pub(super) async fn payload(
    State(control): State<Control>,
    UrlPath(id): UrlPath<i64>,
) -> Result<Json<Payload>, Refusal> {
    control.payloads.written().await;
    let kept = control.deployer.store.payload(id).await?;
    let json = kept.ok_or_else(|| {
        let hint = "`turnout deliveries` shows of which there is one; TURNOUT_PAYLOAD_KEEP and TURNOUT_PAYLOAD_LIMIT \
                    say how many are kept, and how large";
        Refusal::not_found(format!("no payload of delivery {id} is kept"), hint)
    })?;
    // Of what was learned since.
    let json = control.deployer.redactor.own().redact(&json).into_owned();
    Ok(Json(Payload { json }))
}
