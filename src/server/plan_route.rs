//! `POST /v1/plan`: what a deployment would do, and why; with word of what the making of the plan waits for.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    command::{Control, Refusal, json_lines},
    wire::{PlanReply, PlanRequest, Planned, Waiting},
};
use crate::{
    deploy::{Asked, Failure},
    files,
    report::{Event, Notes, Reporter},
};

/// Items on their way to the reader: more than the making of a plan has waits.
const BUFFER: usize = 64;

pub(super) async fn make_plan(
    State(control): State<Control>,
    Json(request): Json<PlanRequest>,
) -> Result<Response, Refusal> {
    if !request.told {
        let telling = Telling { notes: Notes::default(), items: None };
        return Ok(Json(make(&control, &request, telling, &CancellationToken::new()).await?).into_response());
    }
    let (items, receiver) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        let telling = Telling { notes: Notes::default(), items: Some(items.clone()) };
        let cancel = CancellationToken::new();
        let _cancel_on_drop = cancel.clone().drop_guard();
        let made = tokio::select! {
            made = make(&control, &request, telling, &cancel) => made,
            () = items.closed() => return,
            // What somebody wants to know does not hold up the end of the daemon.
            () = control.stop.cancelled() => return,
        };
        let last = match made {
            Ok(reply) => Planned::Done(Box::new(reply)),
            Err(refusal) => Planned::Refused(refusal.1),
        };
        let _ = items.send(last).await;
    });
    Ok(json_lines(receiver))
}

async fn make(
    control: &Control,
    request: &PlanRequest,
    telling: Telling,
    cancel: &CancellationToken,
) -> Result<PlanReply, Refusal> {
    let PlanRequest { repo, rebuild, fetch, told: _ } = request;
    let asked = Asked { repo, rebuild: *rebuild, fetch: *fetch };
    if let Some(mistake) = control.deployer.planner.mistake_in_list() {
        telling.report(Event::Warning { text: mistake });
    }
    let planned = control.deployer.plan(&asked, &telling, cancel).await?;
    let redactor = control.deployer.redactor.of(&control.deployer.planner.find(repo)?.name);
    let notes = telling.notes.into_texts();
    // A plan can be long: neither it nor its redaction is a worker's business.
    let reply = files::blocking(move || {
        let (plan, text) = (&planned.plan, &planned.text);
        let clean = |text: &String| redactor.redact(&planned.seen.view.named(text)).into_owned();
        PlanReply {
            notes: notes.iter().map(clean).collect(),
            text: clean(text),
            plan: redactor.redact_json(serde_json::to_value(plan).unwrap_or_default()),
        }
    });
    Ok(reply.await.map_err(Failure::from)?)
}

/// Keeps what is said before the plan, and tells at once what is waited for.
struct Telling {
    notes: Notes,
    items: Option<mpsc::Sender<Planned>>,
}

impl Reporter for Telling {
    fn report(&self, event: Event) {
        match (event, &self.items) {
            (Event::Progress { subject, text }, Some(items)) => {
                // A reader who takes nothing misses it; the plan comes all the same.
                let _ = items.try_send(Planned::Waiting(Waiting { what: subject, at_most: Some(text) }));
            }
            (event, _) => self.notes.report(event),
        }
    }
}
