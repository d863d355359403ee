//! `POST /v1/deployments` and `POST /v1/hold`: what somebody at the command line wants deployed, or not deployed.

use axum::{Extension, Json, extract::State, http::StatusCode};

use super::{
    command::{Control, Peer, Refusal},
    left::left,
    wire::{DeployReply, DeployRequest, HoldReply, HoldRequest},
};
use crate::{
    git::short,
    report::redact::is_unfit,
    store::{Cause, Hold, HoldChange, NewDeployment, Requested},
};

/// Longest name of a commit, branch or tag. git's own limit is that of a file name.
const LONGEST_REVISION: usize = 255;

pub(super) async fn deploy(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<DeployRequest>,
) -> Result<(StatusCode, Json<DeployReply>), Refusal> {
    let deployer = &control.deployer;
    let repo = deployer.planner.find(&request.repo)?;
    let name = &repo.name;
    let mut notes = Vec::new();
    let (commit, mut cause) = match (&request.commit, request.previous) {
        (Some(revision), _) => (Some(checked(revision)?), format!("asked for: {revision}")),
        (None, true) => {
            let previous = deployer.store.previous(name).await?.ok_or_else(|| {
                let error =
                    format!("{name} has no earlier successful deployment of another commit in turnout's history");
                refused(error, "`turnout history` lists what there is; `--commit` takes any commit of the repository")
            })?;
            let cause = format!(
                "back to {} of deployment {}, the last success before deployment {} ({} of {})",
                short(&previous.commit),
                previous.deployment,
                previous.current,
                previous.current_state,
                short(&previous.current_commit)
            );
            notes.push(cause.clone());
            (Some(previous.commit), format!("asked for: {cause}"))
        }
        (None, false) => (None, "asked for".to_owned()),
    };
    if request.rebuild {
        cause.push_str(", with a rebuild");
    }
    let change = match (request.hold, request.release) {
        (true, _) => HoldChange::Hold,
        (false, true) => HoldChange::Release,
        (false, false) => HoldChange::AsItIs,
    };
    let held = deployer.store.held(name).await?;
    match (change, &held) {
        (HoldChange::Release, Some(hold)) => {
            cause.push_str(", released");
            notes.push(format!("{name} was {hold}; it is released: {}", waiting(hold)));
        }
        (HoldChange::Release, None) => notes.push(format!("{name} was not held")),
        _ => {}
    }
    let wanted = NewDeployment {
        repo: name.clone(),
        branch: repo.branch.clone(),
        pinned: commit.is_some(),
        commit,
        kind: Cause::Manual,
        cause,
        who: peer.name(request.who),
        force_rebuild: request.rebuild,
        new_stack: request.new_stack,
        back: false,
        past: false,
    };
    match deployer.store.request(wanted, change).await? {
        Requested::Queued { deployment, superseded, hold } => {
            if let Some(hold) = hold {
                notes.push(stays(name, &hold));
            }
            control.lanes.wake(name);
            Ok((StatusCode::ACCEPTED, Json(DeployReply { deployment, superseded, notes })))
        }
        Requested::Held(hold) => {
            let again = hold.commit.as_deref().map_or("COMMIT", short);
            let hint = format!(
                "`turnout release {name}` lifts the hold and deploys the branch; `turnout deploy {name} --commit {again}` \
                 deploys that commit and the hold stays"
            );
            Err(refused(format!("{name} is {hold}, so nothing was queued; {}", waiting(&hold)), hint))
        }
    }
}

pub(super) async fn hold(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<HoldRequest>,
) -> Result<Json<HoldReply>, Refusal> {
    let deployer = &control.deployer;
    let repo = deployer.planner.find(&request.repo)?;
    let before = deployer.store.held(&repo.name).await?;
    let hold = deployer.store.hold(&repo.name, peer.name(request.who)).await?;
    let mut notes = Vec::new();
    if before.is_some() {
        notes.push(format!("{} was held already", repo.name));
    }
    if hold.commit.is_none() {
        notes.push(format!("nothing of {} was deployed yet", repo.name));
    }
    let filter = crate::store::Filter {
        repo: Some(repo.name.clone()),
        state: Some(crate::store::State::Running),
        ..Default::default()
    };
    for running in deployer.store.history(filter).await? {
        notes.push(format!("deployment {} is under way and goes on; the hold is then at its commit", running.id));
    }
    if let Some(left) = left(&deployer.store, &repo.name).await? {
        notes.push(left.to_string());
    }
    notes.push(stays(&repo.name, &hold));
    Ok(Json(HoldReply { notes, hold }))
}

fn stays(name: &str, hold: &Hold) -> String {
    format!("{name} is {hold}: pushes wait until `turnout release {name}`")
}

/// What waits for the release, in words.
fn waiting(hold: &Hold) -> String {
    match (&hold.newest, &hold.newest_cause) {
        (Some(newest), None) => format!("{} waits", short(newest)),
        (_, Some(cause)) => format!("what waits is the {cause}"),
        (None, None) => "nothing was pushed since".to_owned(),
    }
}

/// A revision that can be one.
fn checked(revision: &str) -> Result<String, Refusal> {
    let sound = !revision.is_empty()
        && revision.len() <= LONGEST_REVISION
        && !revision.starts_with('-')
        && !revision.chars().any(|c| is_unfit(c) || c.is_whitespace() || "~^:?*[\\".contains(c));
    if sound {
        return Ok(revision.to_owned());
    }
    let shown: String = revision.chars().take(60).collect::<String>().escape_debug().collect();
    let hint = "give a commit (its digits, or the first of them), a tag or a branch; `git log` shows the commits";
    Err(refused(format!("`{shown}` names no commit"), hint))
}

fn refused(error: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal::conflict(error.into(), hint.into())
}
