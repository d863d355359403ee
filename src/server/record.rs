//! A proven delivery as it is recorded and logged, with all its effects.

use axum::http::HeaderMap;

use super::intake_limits::text;
use crate::{
    forge::{Effect, Event, Forge, Hook, Wanted},
    report::redact::is_unfit,
    store::{Cause, NewDelivery, NewDeployment, NewHook},
};

/// Longest delivery id kept.
const MAX_GUID: usize = 128;

/// What is recorded of a proven delivery.
pub(super) fn record(
    forge: &Forge,
    event_name: &str,
    headers: &HeaderMap,
    digest: [u8; 32],
    events: &[Event],
    effects: &[Effect],
) -> NewDelivery {
    let foremost = foremost(events, effects);
    let event = foremost.map(|(event, _)| event);
    let named = event.and_then(Event::repo).map(|repo| repo.full_name.as_deref().unwrap_or(&repo.name));
    let deploy = effects.iter().find_map(Effect::wanted).map(deployment);
    let reasons: Vec<String> = effects.iter().map(Effect::reason).collect();
    NewDelivery {
        forge: forge.name,
        guid: delivery_id(forge, headers).filter(|guid| guid.len() <= MAX_GUID).map(str::to_owned),
        event: shortened(event_name),
        repo: named.map(shortened),
        git_ref: event.and_then(Event::git_ref).map(|git_ref| shortened(&git_ref)),
        commit: event.and_then(Event::commit).map(str::to_owned),
        pusher: event.and_then(Event::who).map(str::to_owned),
        digest,
        effect: foremost.map_or("ignored", |(_, effect)| effect.kind()),
        reason: reasons.join("; "),
        deploy,
        hooks: effects.iter().filter_map(Effect::hook).map(hook).collect(),
    }
}

fn hook(Hook { repo, name, cause }: &Hook) -> NewHook {
    NewHook { repo: repo.clone(), name: name.clone(), cause: cause.clone() }
}

/// The effect by which a delivery is known: its deployment, else a hook, else what comes first. Answered with its event.
fn foremost<'e>(events: &'e [Event], effects: &'e [Effect]) -> Option<(&'e Event, &'e Effect)> {
    // Effects of the events come first, one for each.
    let both = || events.iter().zip(effects);
    let deployed = both().find(|(_, effect)| effect.wanted().is_some());
    deployed.or_else(|| both().find(|(_, effect)| effect.hook().is_some())).or_else(|| both().next())
}

fn deployment(wanted: &Wanted) -> NewDeployment {
    NewDeployment {
        repo: wanted.repo.clone(),
        branch: Some(wanted.branch.clone()),
        commit: Some(wanted.commit.clone()),
        kind: Cause::Push,
        cause: wanted.cause.clone(),
        who: wanted.pusher.clone(),
        force_rebuild: false,
        pinned: false,
        new_stack: false,
        back: false,
        past: false,
    }
}

/// One line for every delivery: what it was, and what is made of it.
pub(super) fn report(delivery: &NewDelivery) {
    let NewDelivery { event, repo, git_ref, pusher, effect, reason, .. } = delivery;
    let shown = |text: &Option<String>| text.clone().unwrap_or_default();
    let (repo, git_ref, pusher) = (shown(repo), shown(git_ref), shown(pusher));
    if *effect == "unknown" {
        tracing::warn!(event, repo, git_ref, pusher, effect, "{reason}");
    } else {
        tracing::info!(event, repo, git_ref, pusher, effect, "{reason}");
    }
}

/// The forge's identity of a delivery, unproven.
pub(super) fn delivery_id<'h>(forge: &Forge, headers: &'h HeaderMap) -> Option<&'h str> {
    forge.delivery_headers.iter().find_map(|name| text(headers, name))
}

/// Untrusted text for a record: bounded, one line.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(300).map(|c| if is_unfit(c) { '\u{fffd}' } else { c }).collect()
}
