//! `GET /v1/letters` and `POST /v1/letters/again`: dead letters, and another attempt for them.

use axum::{Json, extract::State};

use super::{
    command::{Control, Refusal},
    wire::AgainRequest,
};
use crate::store::{LETTER_BYTES, Letter};

/// Lists dead letters, the newest first.
pub(super) async fn dead(State(control): State<Control>) -> Result<Json<Vec<Letter>>, Refusal> {
    Ok(Json(control.deployer.store.dead_letters().await?))
}

/// Sends one again, or all. Answers which.
pub(super) async fn again(
    State(control): State<Control>,
    Json(AgainRequest { letter }): Json<AgainRequest>,
) -> Result<Json<Vec<i64>>, Refusal> {
    let store = &control.deployer.store;
    let sent = store.send_again(letter).await?;
    let Some(id) = letter.filter(|_| sent.is_empty()) else { return Ok(Json(sent)) };
    match store.dead_letters().await?.into_iter().find(|dead| dead.id == id) {
        None => Err(Refusal::not_found(format!("there is no dead letter {id}"), "`turnout letters` lists them")),
        Some(Letter { payload, .. }) if payload.is_empty() => Err(Refusal::conflict(
            format!("letter {id} cannot be sent again: it was too large, and nothing was kept of it"),
            format!(
                "`turnout history` and `turnout deliveries` have what it told of; at most {LETTER_BYTES} bytes are kept"
            ),
        )),
        Some(Letter { destination, .. }) => Err(Refusal::conflict(
            format!("letter {id} cannot be sent again: its destination, {destination}, is not configured any more"),
            "configure it again, then send the letter".to_owned(),
        )),
    }
}
