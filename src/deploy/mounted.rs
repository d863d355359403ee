//! What is mounted, as part of a deployment: what was recorded before, what is to be done now, what to record after.

use std::collections::BTreeMap;

use super::{Failure, compared::Compared, mounts::Looked, prepared::TreeProject};
use crate::{
    compose::labels,
    config::{MOUNTED_CHANGES, MountedChange, Repo},
    decide::mounted::{
        Before, Life, Policy, Reads,
        absent::{self, Absent, Consequence, Held},
        judge,
    },
    engine::Engine,
    plan::{Mounted, Observed, ObservedContainer, RunState},
    switch::said::keys::{SERVICE_KEYS, names},
    yaml::Value,
};

/// The key in `x-turnout` of a service, and in `repos.yaml`.
const KEY: &str = "on_mounted_change";

/// What is done about changed folders, for every service: `repos.yaml`, then the Compose file, then by DEBUG.
///
/// # Errors
/// Words in the Compose file that are not known, with their place.
pub fn policies(repo: &Repo, loaded: &TreeProject) -> Result<BTreeMap<String, Policy>, Failure> {
    let mut policies = BTreeMap::new();
    for name in loaded.project.services.keys() {
        let in_file = in_compose_file(loaded, name)?;
        let said = repo.on_mounted_change.of(name).cloned().or(in_file);
        policies.insert(name.clone(), said.map_or(Policy::Default { debug: loaded.stack.debug }, Policy::Said));
    }
    Ok(policies)
}

fn in_compose_file(loaded: &TreeProject, service: &str) -> Result<Option<MountedChange>, Failure> {
    let extras = loaded.project.extras.inside.get("services").and_then(|all| all.inside.get(service));
    let own = extras.into_iter().flat_map(|extras| &extras.own).find(|(key, _)| key == "x-turnout");
    let Some((_, node)) = own else { return Ok(None) };
    let wrong = |pos: &crate::yaml::Pos, what: String| {
        Err(Failure::new(format!("{}:{}:{}: services.{service}.x-turnout: {what}", pos.file, pos.line, pos.column))
            .hint(format!("{KEY} takes {MOUNTED_CHANGES}")))
    };
    // A word is a class of the switch, which looks at its own keys itself.
    let Value::Map(map) = &node.value else {
        return match &node.value {
            Value::Str(_) => Ok(None),
            _ => wrong(&node.pos, "is neither a mapping nor a word".to_owned()),
        };
    };
    let known = |key: &str| key == KEY || names(SERVICE_KEYS).contains(&key);
    if let Some((key, entry)) = map.iter().find(|(key, _)| !known(key)) {
        let known = names(SERVICE_KEYS).join(", ");
        return wrong(&entry.key_pos, format!("unknown key `{key}`; known are {KEY}, and for the switch {known}"));
    }
    let Some(entry) = map.get(KEY) else { return Ok(None) };
    match &entry.node.value {
        Value::Str(text) => match text.parse() {
            Ok(change) => Ok(Some(change)),
            Err(()) => wrong(&entry.node.pos, format!("{KEY} is `{text}`, which is not known here")),
        },
        _ => wrong(&entry.node.pos, format!("{KEY} is no word")),
    }
}

/// Compares what was read at the last start of every container with what is there now.
///
/// # Errors
/// When the engine does not answer, a policy is not known, or a source is gone that a container has mounted.
pub async fn compare(
    repo: &Repo,
    loaded: &TreeProject,
    looked: Looked,
    recorded: &BTreeMap<String, String>,
    observed: &Observed,
    engine: &Engine,
) -> Result<Compared, Failure> {
    let policies = policies(repo, loaded)?;
    let Looked { reads, absent, skipped } = looked;
    let missing = missing(loaded, &absent, recorded, observed)?;
    let mut compared = Compared {
        remarks: missing,
        present: observed.containers.iter().map(|container| container.id.clone()).collect(),
        ..Compared::default()
    };
    for container in observed.containers.iter().filter(|container| !container.oneoff) {
        let (Some(now), Some(policy)) = (reads.get(&container.service), policies.get(&container.service)) else {
            continue;
        };
        let record = record(container, recorded);
        let life = match container.state {
            RunState::Created | RunState::Removing => Life::Unborn,
            RunState::Running | RunState::Paused | RunState::Restarting => Life::Live,
            RunState::Exited(_) | RunState::Dead => Life::Ended,
        };
        let before = match &record {
            Some(record) => Before::Recorded(record),
            None => match engine.started_at(&container.id).await? {
                Some(at) => Before::Started(at),
                None => continue,
            },
        };
        let found = judge(before, now, policy, life);
        for left in &found.left {
            let remark = format!("{}: {left}", container.service);
            if !compared.remarks.contains(&remark) {
                compared.remarks.push(remark);
            }
        }
        for (what, cause) in actions(&found) {
            let reason = format!("{} {what}: {cause}", container.service);
            if !compared.reasons.contains(&reason) {
                compared.reasons.push(reason);
            }
        }
        if found == Mounted::default() {
            if record.is_none() && life == Life::Live {
                compared.unrecorded.push((container.id.clone(), container.service.clone()));
            }
        } else {
            compared.mounted.insert(container.id.clone(), found);
        }
    }
    compared.remarks.extend(skipped.into_iter().map(|what| format!("not looked at: {what}")));
    compared.reads = reads;
    Ok(compared)
}

/// What is to be said of sources that are not there.
///
/// # Errors
/// When containers would lose what they have, or cannot be made; before anything is stopped.
fn missing(
    loaded: &TreeProject,
    absent: &BTreeMap<String, Vec<Absent>>,
    recorded: &BTreeMap<String, String>,
    observed: &Observed,
) -> Result<Vec<String>, Failure> {
    let (mut failing, mut said) = (Vec::new(), Vec::new());
    let mut tracked = false;
    for (service, sources) in absent {
        let mut containers: Vec<Option<&ObservedContainer>> =
            observed.containers.iter().filter(|found| !found.oneoff && found.service == *service).map(Some).collect();
        let wanted = loaded.project.services.get(service).is_some_and(|service| service.scale() > 0);
        if containers.is_empty() && wanted {
            containers.push(None);
        }
        for container in containers {
            let record = container.and_then(|container| record(container, recorded));
            let mounts: Vec<_> = container
                .into_iter()
                .flat_map(|container| &container.mounts)
                .map(|mount| (mount.kind.as_str(), mount.source.as_str(), mount.target.as_str()))
                .collect();
            let held = container.map(|_| Held { record: record.as_ref(), mounts: &mounts });
            for source in sources {
                let (list, words) = match absent::judge(source, held) {
                    Consequence::Fail(words) => {
                        tracked |= source.tracked;
                        (&mut failing, words)
                    }
                    Consequence::Say(words) => (&mut said, words),
                };
                let words = format!("{service}: {words}");
                if !list.contains(&words) {
                    list.push(words);
                }
            }
        }
    }
    if failing.is_empty() {
        return Ok(said);
    }
    let git = match tracked {
        true => " (git tracks it: `git status` names what was deleted, `git checkout` brings it back)",
        false => "",
    };
    Err(Failure::new(failing.join("; ")).hint(format!(
        "nothing was stopped; put it back where it was{git}, or change or take out the mount in the Compose file, then \
         deploy again"
    )))
}

/// What is to be done beside replacing, in words, and why.
fn actions(found: &Mounted) -> Vec<(String, &str)> {
    let Mounted { recreate: _, restart, signal, left: _ } = found;
    let mut actions = Vec::new();
    actions.extend(restart.iter().map(|cause| ("is restarted".to_owned(), cause.as_str())));
    actions.extend(signal.iter().map(|(signal, cause)| (format!("gets {signal}"), cause.as_str())));
    actions
}

/// What a container read: as recorded at its last start, else as labelled at its creation.
fn record(container: &ObservedContainer, recorded: &BTreeMap<String, String>) -> Option<Reads> {
    let noted = recorded.get(&container.id).and_then(|text| serde_json::from_str(text).ok());
    noted.or_else(|| Reads::of_label(container.labels.get(labels::READS)?))
}
