//! `GET /v1/repositories/{name}/rollout`: where a repository's rollout stands, and what turnout-proxy has counted of its colours.
//! Of what the daemon knows; the engine is not asked, and the proxy once a second at most, however many look.

use std::borrow::Cow;

use axum::{
    Json,
    extract::{Path as UrlPath, State},
};

use super::{
    colours_route::{measures, not_switched},
    command::{Control, Refusal},
    wire::{RolloutColour, RolloutReply, RolloutWait},
};
use crate::{
    deploy::{
        colours::{Counted, Share, counted_of},
        now_ms,
    },
    rollout::{Phase, Rollout},
    store::{self, ColourRecord, ColourStanding, Filter},
    traffic::bounds::WEIGHTS,
};

/// What a bake is called, where nothing else is under way.
const BAKING: &str = "bake";
/// What a repository is called of which nothing is under way.
const LIVE: &str = "live";

pub(super) async fn rollout(
    State(control): State<Control>,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<RolloutReply>, Refusal> {
    let deployer = &control.deployer;
    let repo = deployer.planner.find(&name)?;
    let stands = deployer.recorded(&repo.name).await?;
    if stands.all.is_empty() {
        return Err(not_switched(&repo.name));
    }
    let rollout = deployer.store.rollout(&repo.name).await?;
    let deployment = match rollout.under_way {
        Some(_) => {
            let running = Some(store::State::Running);
            let filter = Filter { repo: Some(repo.name.clone()), state: running, limit: 1, ..Filter::default() };
            deployer.store.history(filter).await?.first().map(|one| one.id)
        }
        None => None,
    };
    let elsewhere = deployer.led_elsewhere(&repo);
    // Of what another one leads the shares alone are known.
    let shares = match &elsewhere {
        Some(_) => deployer.glance(&repo.name, &stands).await.shares,
        None => Vec::new(),
    };
    let (counters, uncounted) = match elsewhere {
        Some(led) => (None, Some(led)),
        None => match deployer.counted(&repo.name).await {
            Ok(counters) => (Some(counters), None),
            Err(failure) => (None, Some(failure.summary)),
        },
    };
    let at = now_ms();
    let order = |standing| match standing {
        ColourStanding::Live => 0,
        ColourStanding::Next => 1,
        ColourStanding::Previous => 2,
        _ => 3,
    };
    let is_there = |standing| !matches!(standing, ColourStanding::InPlace | ColourStanding::Removed);
    let mut known: Vec<_> = stands.all.iter().filter(|one| is_there(one.standing)).collect();
    known.sort_by_key(|one| (order(one.standing), one.generation));
    let colours = known.iter().map(|one| {
        let counted = counters.as_ref().and_then(|counters| counted_of(counters, one, stands.live()));
        let Counted { clients, open, counts } = counted.unwrap_or_default();
        RolloutColour {
            colour: one.colour.clone(),
            project: one.project.clone(),
            state: one.standing.as_str().to_owned(),
            commit: one.commit.clone(),
            deployment: one.deployment,
            since: one.since,
            clients: clients.or_else(|| share_of(&shares, one, stands.live())),
            open,
            counts,
        }
    });
    let next = stands.at(ColourStanding::Next).filter(|_| rollout.attends());
    // On the way back there is none before the live one.
    let bakes = rollout.bake.is_some() && stands.at(ColourStanding::Previous).is_some();
    let judged = bakes || next.is_some();
    let analysis = match judged && counters.is_some() {
        true => deployer.judged_now(&repo.name, stands.live(), next).await,
        false => None,
    };
    Ok(Json(RolloutReply {
        at,
        repo: repo.name.clone(),
        state: state(&rollout).into_owned(),
        deployment,
        step: rollout.under_way.map(|under_way| under_way.step).filter(|step| *step > 0),
        steps: rollout.under_way.map(|under_way| under_way.steps).filter(|steps| *steps > 0),
        waits: waits(&rollout, at),
        colours: colours.collect(),
        analysis,
        measures: measures(deployer, &repo.name, next.or_else(|| stands.live().filter(|_| bakes))),
        counted_by: counters.map(|counters| counters.began),
        uncounted,
    }))
}

/// How many of a hundred requests a colour gets, where another one is known to have a share.
fn share_of(shares: &[Share], one: &ColourRecord, live: Option<&ColourRecord>) -> Option<u64> {
    let given: u64 = shares.iter().map(|share| share.percent).sum();
    if given > 0 && live.is_some_and(|live| live.colour == one.colour) {
        return Some(WEIGHTS.saturating_sub(given));
    }
    shares.iter().find(|share| share.colour == one.colour).map(|share| share.percent)
}

fn state(rollout: &Rollout) -> Cow<'static, str> {
    match (rollout.under_way, rollout.bake) {
        (Some(under_way), _) => under_way.phase.name().into(),
        (None, Some(_)) => BAKING.into(),
        (None, None) => LIVE.into(),
    }
}

/// What is waited for: by a deployment, else by a bake.
fn waits(rollout: &Rollout, now: i64) -> Option<RolloutWait> {
    let left = |until: i64| until.saturating_sub(now).max(0);
    let bake = rollout.bake.map(|bake| RolloutWait {
        what: "the end of the bake".to_owned(),
        until: Some(bake.until),
        left: Some(left(bake.until)),
    });
    let Some(under_way) = rollout.under_way else { return bake };
    let what = under_way.phase.awaited()?;
    // Whoever waits for a bake waits for its end, and for what comes after it.
    let bake = rollout.bake.filter(|_| under_way.phase == Phase::BakeAwaited);
    let until = bake.map(|bake| bake.until).or(under_way.due_at);
    Some(RolloutWait { what: what.to_owned(), until, left: until.map(left) })
}
