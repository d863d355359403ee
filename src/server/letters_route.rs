//! `GET /v1/letters` and `POST /v1/letters/again`: dead letters, and another attempt for them.

use axum::{Json, extract::State};

use super::{
    command::{Control, Refusal},
    wire::AgainRequest,
};
use crate::store::Letter;

/// Lists dead letters, the newest first.
pub(super) async fn dead(State(control): State<Control>) -> Result<Json<Vec<Letter>>, Refusal> {
    Ok(Json(control.deployer.store.dead_letters().await?))
}

/// Sends one again, or all. Answers which.
pub(super) async fn again(
    State(control): State<Control>,
    Json(AgainRequest { letter }): Json<AgainRequest>,
) -> Result<Json<Vec<i64>>, Refusal> {
    let sent = control.deployer.store.send_again(letter).await?;
    match letter {
        Some(letter) if sent.is_empty() => Err(Refusal::not_found(
            format!("there is no dead letter {letter} that could be sent again"),
            "`turnout letters` lists them; of one that was too large nothing was kept",
        )),
        _ => Ok(Json(sent)),
    }
}
