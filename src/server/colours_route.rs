//! `POST /v1/repositories/{name}/rollback`, `promote`, `pause`, `resume`, `maintain`, `abort`, and `GET …/preview`, `…/bake`:
//! what is asked of the colours of a repository that is deployed blue/green.

use axum::{
    Extension, Json,
    extract::{Path as UrlPath, State},
    http::StatusCode,
};

use super::{
    command::{Control, Peer, Refusal, cleaned},
    wire::{
        AskRequest, AskedReply, ColourStatus, ColoursStatus, MaintainRequest, MeasureStatus, PreviewPlace,
        PreviewReply, ShareStatus, StepStatus,
    },
};
use crate::{
    config::Repo,
    deploy::{
        Deployer,
        colours::{Asked, Begun, Glance, Ready, ShownMeasure, Stands, Still, further_back, kept_until, still, taken},
        former::Stacks,
    },
    rollout::{Phase, Rollout},
    store::{self, ColourRecord, ColourStanding, DeploymentId, Filter},
};

/// What is answered to whoever asks for something.
type Answer = Result<(StatusCode, Json<AskedReply>), Refusal>;

/// Does what somebody asks of a repository; log and journal have who it was, and the log what came of it.
async fn on_record(
    control: &Control,
    repo: &Repo,
    who: Option<String>,
    what: &str,
    does: impl Future<Output = Answer>,
) -> Answer {
    let name = &repo.name;
    control.asked(name, who.as_ref(), what).await;
    let under_way = said_so_far(control, name).await?;
    let mut came = does.await;
    if let (Ok((_, Json(reply))), Some((id, line))) = (&mut came, under_way) {
        reply.after = reply.deployment.filter(|deployment| *deployment == id).map(|_| line);
    }
    match &came {
        Ok((_, Json(AskedReply { said: Some(said), .. }))) => tracing::info!(repo = name, "{what} of {name}: {said}"),
        Ok((_, Json(AskedReply { deployment, .. }))) => {
            let id = deployment.unwrap_or_default();
            tracing::info!(repo = name, deployment = id, "{what} of {name}: deployment {id} does it");
        }
        Err(Refusal(_, reply)) => tracing::info!(repo = name, "{what} of {name} was refused: {}", reply.error),
    }
    came
}

/// The deployment of a repository that is under way, and the last line of its log.
async fn said_so_far(control: &Control, repo: &str) -> Result<Option<(DeploymentId, i64)>, Refusal> {
    let store = &control.deployer.store;
    let running =
        Filter { repo: Some(repo.to_owned()), state: Some(store::State::Running), limit: 1, ..Filter::default() };
    match store.history(running).await?.first() {
        Some(one) => Ok(Some((one.id, store.last_line(one.id).await?))),
        None => Ok(None),
    }
}

pub(super) async fn rollback(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    UrlPath(name): UrlPath<String>,
    Json(request): Json<AskRequest>,
) -> Answer {
    let repo = control.deployer.planner.find(&name)?;
    let who = peer.name(request.who);
    match &request.to {
        Some(to) => {
            let what = format!("rollback to {}", cleaned(to));
            on_record(&control, &repo, who.clone(), &what, rollback_to(&control, &repo, who, to)).await
        }
        None => on_record(&control, &repo, who.clone(), "rollback", rollback_by_one(&control, &repo, who)).await,
    }
}

/// Back to the colour that was live before; where a deployment is on its way to the live one, back from that alone.
async fn rollback_by_one(control: &Control, repo: &Repo, who: Option<String>) -> Answer {
    let deployer = &control.deployer;
    let bakes = deployer.store.rollout(&repo.name).await?.bake.is_some();
    // Without colours there is nothing that stays live while a deployment is given up.
    let colours = repo.switch.is_some() || !deployer.recorded(&repo.name).await?.all.is_empty();
    if colours && !bakes {
        let left = deployer.not_wanted(repo, who.as_deref()).await?;
        if let Some(id) = call_off(control, repo, &[store::State::Running]).await? {
            let asked = deployer.gives_up(repo, id, left.as_deref(), who).await?;
            return Ok(answer(control, &repo.name, asked));
        }
    }
    Ok(answer(control, &repo.name, deployer.roll_back(repo, who).await?))
}

/// Back to a commit that was named. Nothing is called off, and nothing moves, before it is certain which one that is.
async fn rollback_to(
    control: &Control,
    repo: &Repo,
    who: Option<String>,
    to: &str,
) -> Result<(StatusCode, Json<AskedReply>), Refusal> {
    let deployer = &control.deployer;
    let past = deployer.past(repo, to).await?;
    // What is on its way, or waits, is newer.
    let mut said = Vec::new();
    for state in [store::State::Queued, store::State::Running] {
        if let Some(id) = call_off(control, repo, &[state]).await? {
            said.push(called_off(id));
            // It may have got the requests in the meantime.
            deployer.ends(id).await?;
        }
    }
    let Begun { said: begun, deployment } = deployer.go_back_to(repo, &past, who).await?;
    said.push(begun);
    if deployment.is_some() {
        control.lanes.wake(&repo.name);
    }
    let code = if deployment.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((code, Json(AskedReply { said: Some(said.join("\n")), deployment, after: None })))
}

/// Calls off what of a repository is in one of these states. Answers which deployment that was.
async fn call_off(control: &Control, repo: &Repo, states: &[store::State]) -> Result<Option<DeploymentId>, Refusal> {
    for state in states {
        let filter = Filter { repo: Some(repo.name.clone()), state: Some(*state), limit: 1, ..Filter::default() };
        for active in control.deployer.store.history(filter).await? {
            if control.lanes.cancel(active.id)
                || control.deployer.call_off_wait(active.id).await?
                || control.deployer.store.cancel_queued(active.id, "called off at the command line").await?
            {
                return Ok(Some(active.id));
            }
        }
    }
    Ok(None)
}

fn called_off(id: DeploymentId) -> String {
    format!("deployment {id} is called off; what had the requests before has them")
}

pub(super) async fn promote(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    UrlPath(name): UrlPath<String>,
    Json(request): Json<AskRequest>,
) -> Answer {
    let repo = control.deployer.planner.find(&name)?;
    let AskRequest { who, bake_only, full, to: _ } = request;
    let who = peer.name(who);
    let what = match (bake_only, full) {
        (true, _) => "end of a bake",
        (false, true) => "promote --full",
        (false, false) => "promote",
    };
    let promoted = async {
        let asked = control.deployer.promote(&repo, bake_only, full, who.clone()).await?;
        Ok(answer(&control, &repo.name, asked))
    };
    on_record(&control, &repo, who.clone(), what, promoted).await
}

pub(super) async fn pause(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    UrlPath(name): UrlPath<String>,
    Json(request): Json<AskRequest>,
) -> Answer {
    let repo = control.deployer.planner.find(&name)?;
    let who = peer.name(request.who);
    let paused = async {
        let said = control.deployer.pause(&repo, who.clone()).await?;
        Ok(answer(&control, &repo.name, Asked::Done(said)))
    };
    on_record(&control, &repo, who.clone(), "pause", paused).await
}

pub(super) async fn resume(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    UrlPath(name): UrlPath<String>,
    Json(request): Json<AskRequest>,
) -> Answer {
    let repo = control.deployer.planner.find(&name)?;
    let who = peer.name(request.who);
    let resumed = async {
        let said = control.deployer.resume(&repo, who.clone()).await?;
        Ok(answer(&control, &repo.name, Asked::Done(said)))
    };
    on_record(&control, &repo, who.clone(), "resume", resumed).await
}

pub(super) async fn maintain(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    UrlPath(name): UrlPath<String>,
    Json(request): Json<MaintainRequest>,
) -> Answer {
    let repo = control.deployer.planner.find(&name)?;
    let MaintainRequest { on, who, page } = request;
    let maintained = async {
        let said = control.deployer.maintain(&repo, on, page).await?;
        Ok(answer(&control, &repo.name, Asked::Done(said)))
    };
    let what = if on { "maintain on" } else { "maintain off" };
    on_record(&control, &repo, peer.name(who), what, maintained).await
}

/// Where a next colour is reached that waits to be promoted.
pub(super) async fn preview(
    State(control): State<Control>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<PreviewReply>, Refusal> {
    let repo = control.deployer.planner.find(&name)?;
    let Some(Ready { record, made }) = control.deployer.ready(&repo.name).await? else {
        return Err(control.deployer.nothing_waits(&repo, "to be looked at").await.into());
    };
    let places = made.routes_of(false).into_iter().flat_map(|route| {
        let place = |target: &std::net::SocketAddr| PreviewPlace {
            service: route.service.clone(),
            port: route.port,
            address: target.to_string(),
            http: route.http == Some(true),
        };
        route.targets.iter().map(place).collect::<Vec<_>>()
    });
    let mut places: Vec<PreviewPlace> = places.collect();
    // Several listeners may lead to one port.
    places.sort_by(|one, other| {
        (&one.service, one.port, &one.address).cmp(&(&other.service, other.port, &other.address))
    });
    places.dedup_by(|one, other| one.address == other.address);
    let (reached, cookie) = made.reached_at();
    let stands = control.deployer.recorded(&repo.name).await?;
    let shares = control.deployer.glance(&repo.name, &stands).await.shares;
    let percent = shares.into_iter().find(|share| share.colour == record.colour).map(|share| share.percent);
    Ok(Json(PreviewReply { project: record.project, commit: record.commit, places, reached, cookie, percent }))
}

pub(super) async fn abort(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    UrlPath(name): UrlPath<String>,
    Json(request): Json<AskRequest>,
) -> Answer {
    let repo = control.deployer.planner.find(&name)?;
    let who = peer.name(request.who);
    let aborted = async {
        // What is under way is called off; only where nothing is, a bake is taken back.
        if let Some(id) = call_off(&control, &repo, &[store::State::Running, store::State::Queued]).await? {
            return Ok(answer(&control, &repo.name, Asked::Done(called_off(id))));
        }
        match control.deployer.abort_bake(&repo, who.clone()).await {
            Some(asked) => Ok(answer(&control, &repo.name, asked?)),
            None => {
                let stands = control.deployer.recorded(&repo.name).await?;
                Err(Refusal::conflict(
                    format!("nothing of {} is under way, and no bake: there is nothing to abort", repo.name),
                    way_further_back(&repo, &stands),
                ))
            }
        }
    };
    on_record(&control, &repo, who.clone(), "abort", aborted).await
}

/// What leads back to an earlier commit, in words.
fn way_further_back(repo: &Repo, stands: &Stands) -> String {
    let name = &repo.name;
    match (&repo.switch, to_go_back_to(stands)) {
        (Some(_), Some(back)) => format!("`turnout rollback {name}` goes back to {}", back.project),
        (Some(_), None) => further_back(name),
        (None, _) => format!(
            "`turnout deploy {name} --commit COMMIT` deploys an earlier commit; `turnout history {name}` lists them"
        ),
    }
}

/// Answers when the bake that is under way is over, or at once.
pub(super) async fn bake(
    State(control): State<Control>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<ColoursStatus>, Refusal> {
    let repo = control.deployer.planner.find(&name)?;
    control.deployer.bake_on(&repo.name).await;
    tokio::select! {
        () = control.deployer.bakes.over(&repo.name) => {}
        () = control.stop.cancelled() => {}
    }
    now(&control, &repo.name).await
}

/// How they stand now.
pub(super) async fn colours(
    State(control): State<Control>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<ColoursStatus>, Refusal> {
    let repo = control.deployer.planner.find(&name)?;
    now(&control, &repo.name).await
}

async fn now(control: &Control, repo: &str) -> Result<Json<ColoursStatus>, Refusal> {
    let stands = of(&control.deployer, repo, None).await?;
    stands.map(Json).ok_or_else(|| not_switched(repo))
}

/// It has no colours.
pub(super) fn not_switched(repo: &str) -> Refusal {
    Refusal::conflict(
        format!("{repo} is not deployed blue/green"),
        "write `switch: auto` in its entry in repos.yaml".to_owned(),
    )
}

fn answer(control: &Control, repo: &str, asked: Asked) -> (StatusCode, Json<AskedReply>) {
    match asked {
        Asked::Done(said) => (StatusCode::OK, Json(AskedReply { said: Some(said), deployment: None, after: None })),
        Asked::Queued(deployment) => {
            control.lanes.wake(repo);
            (StatusCode::ACCEPTED, Json(AskedReply { said: None, deployment: Some(deployment), after: None }))
        }
    }
}

/// The colours of a repository; `None` where it has none. `runs`: what the engine runs, where that is known.
pub(super) async fn of(
    deployer: &Deployer,
    repo: &str,
    runs: Option<&Stacks>,
) -> Result<Option<ColoursStatus>, Refusal> {
    let stands = deployer.recorded(repo).await?;
    if stands.all.is_empty() {
        return Ok(None);
    }
    let rollout = deployer.store.rollout(repo).await?;
    let one = |standing| stands.at(standing).map(|one| shown(one, &stands));
    let back = to_go_back_to(&stands);
    let Glance { not_served, maintained, held, shares } = deployer.glance(repo, &stands).await;
    let next = stands.at(ColourStanding::Next).map(|next| next.colour.as_str());
    let share = shares.into_iter().find(|share| Some(share.colour.as_str()) == next);
    let step = rollout.under_way.filter(|one| one.step > 0).map(|one| StepStatus {
        number: one.step,
        of: one.steps,
        until: one.due_at,
        by_itself: one.phase == Phase::Trying,
        paused: one.phase == Phase::Paused,
    });
    let known = deployer.planner.find(repo).ok().zip(runs);
    let found = known.and_then(|(repo, runs)| still(&stands, &rollout, &repo.project, runs)).unwrap_or_default();
    let found = taken(&stands, found).await;
    let (still_staying, still): (Vec<Still>, Vec<Still>) = found.into_iter().partition(|one| one.stays);
    let [still, still_staying] =
        [still, still_staying].map(|all| all.into_iter().map(|one| one.said).collect::<Vec<_>>());
    Ok(Some(ColoursStatus {
        live: one(ColourStanding::Live),
        next: one(ColourStanding::Next),
        previous: back.map(|back| shown(back, &stands)),
        others: others(&stands),
        failed: one(ColourStanding::Failed),
        in_place: one(ColourStanding::InPlace),
        leaving: one(ColourStanding::Leaving),
        failed_for: failed_for(deployer, repo, &stands).await?,
        analysis: analysis(deployer, repo, &rollout, &stands).await,
        measures: measures(deployer, repo, judged(&rollout, &stands)),
        removed: one(ColourStanding::Removed),
        bakes_until: rollout.bake.map(|bake| bake.until),
        next_waits: rollout.attends(),
        next_share: share.map(|share| ShareStatus { percent: share.percent, in_part: share.in_part }),
        step,
        maintained,
        held,
        not_served,
        still,
        still_staying,
        certificates: deployer.obtained(repo, &stands).await,
    }))
}

/// Why the one that failed was taken back.
async fn failed_for(deployer: &Deployer, repo: &str, stands: &Stands) -> Result<Option<String>, Refusal> {
    let Some((failed, commit)) = stands.at(ColourStanding::Failed).and_then(|one| Some((one, one.commit.as_ref()?)))
    else {
        return Ok(None);
    };
    let why = deployer.store.why_reverted(repo, commit).await?;
    // That of the same moment, and not of an earlier colour with this commit.
    Ok(why.filter(|(_, at)| *at == failed.since).map(|(why, _)| why))
}

/// The colour that is judged just now.
fn judged<'s>(rollout: &Rollout, stands: &'s Stands) -> Option<&'s ColourRecord> {
    let next = stands.at(ColourStanding::Next).filter(|_| rollout.attends());
    let bakes = rollout.bake.is_some() && stands.at(ColourStanding::Previous).is_some();
    next.or_else(|| stands.live().filter(|_| bakes))
}

/// What others say of it.
pub(super) fn measures(deployer: &Deployer, repo: &str, judged: Option<&ColourRecord>) -> Vec<MeasureStatus> {
    let shown = judged.map(|judged| deployer.measures_of(repo, judged)).unwrap_or_default();
    let status = |ShownMeasure { name, state, said, at, asked, good, not_known }: ShownMeasure| MeasureStatus {
        name: name.to_owned(),
        state: state.map(str::to_owned),
        said,
        at,
        asked,
        good,
        not_known,
    };
    shown.into_iter().map(status).collect()
}

/// How the colour that is judged does.
async fn analysis(deployer: &Deployer, repo: &str, rollout: &Rollout, stands: &Stands) -> Option<String> {
    let next = stands.at(ColourStanding::Next).filter(|_| rollout.attends());
    // On the way back there is none before the live one.
    let bakes = rollout.bake.is_some() && stands.at(ColourStanding::Previous).is_some();
    match bakes || next.is_some() {
        true => deployer.judged_now(repo, stands.live(), next).await,
        false => None,
    }
}

/// The colour to which `rollback` leads.
fn to_go_back_to(stands: &Stands) -> Option<&ColourRecord> {
    stands.at(ColourStanding::Previous).or_else(|| stands.at(ColourStanding::Kept))
}

/// Kept and failed ones that are no part of the pair any more: of each standing only one has a line of its own.
fn others(stands: &Stands) -> Vec<ColourStatus> {
    let failed = stands.at(ColourStanding::Failed);
    let is_told = |one: &&ColourRecord| {
        [to_go_back_to(stands), failed].into_iter().flatten().any(|told| told.colour == one.colour)
    };
    let left = stands.all.iter().filter(|one| matches!(one.standing, ColourStanding::Kept | ColourStanding::Failed));
    left.filter(|one| !is_told(one)).map(|one| shown(one, stands)).collect()
}

fn shown(one: &ColourRecord, stands: &Stands) -> ColourStatus {
    let ColourRecord { colour, project, standing, generation, deployment, commit, since, .. } = one.clone();
    let kept_until = kept_until(one, stands.live());
    let state = standing.as_str().to_owned();
    ColourStatus { colour, project, state, generation, deployment, commit, since, kept_until }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(colour: &str, standing: ColourStanding, generation: i64, since: i64) -> ColourRecord {
        ColourRecord {
            repo: "shop".to_owned(),
            colour: colour.to_owned(),
            project: format!("{colour}shop"),
            standing,
            generation,
            deployment: None,
            commit: None,
            since,
            made: r#"{"services":[],"routes":[],"bake":0,"goes_back":true,"reach":{"keep":500}}"#.to_owned(),
        }
    }

    #[test]
    fn each_colour_has_the_end_of_its_own_time() {
        use ColourStanding::{Failed, Kept, Live, Previous};
        let live = colour("green", Live, 3, 3_000);
        for (others, back, until, besides) in [
            (vec![], None, None, vec![]),
            (vec![colour("red", Kept, 2, 2_000)], Some("redshop"), Some(2_500), vec![]),
            (vec![colour("red", Previous, 2, 3_000)], Some("redshop"), None, vec![]),
            // What is kept of another pair says nothing of the one that runs.
            (
                vec![colour("red", Previous, 2, 3_000), colour("blue", Kept, 1, 1_000)],
                Some("redshop"),
                None,
                vec![("blueshop", Some(1_500))],
            ),
            (
                vec![colour("red", Kept, 2, 2_000), colour("blue", Kept, 1, 1_000)],
                Some("redshop"),
                Some(2_500),
                vec![("blueshop", Some(1_500))],
            ),
            (
                vec![colour("red", Failed, 2, 2_000), colour("blue", Failed, 1, 1_000)],
                None,
                None,
                vec![("blueshop", None)],
            ),
        ] {
            let stands = Stands { all: [vec![live.clone()], others].concat(), switch: None };
            let found = to_go_back_to(&stands).map(|one| shown(one, &stands));
            assert_eq!(found.as_ref().map(|one| one.project.as_str()), back);
            assert_eq!(found.and_then(|one| one.kept_until), until, "{back:?}");
            let found = super::others(&stands);
            let found: Vec<_> = found.iter().map(|one| (one.project.as_str(), one.kept_until)).collect();
            assert_eq!(found, besides, "{back:?}");
        }
    }
}
