//! Looks up what runs after a deployment that failed: what ran before it says nothing about now.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Deployer,
    colours::{Stands, Stopped},
    now_ms,
};
use crate::{
    config::repos::project_from,
    engine::aftermath::Sight,
    plan::{ObservedContainer, RunState},
};

/// How long the engine may take; the failure has been told by then.
const PATIENCE: Duration = Duration::from_secs(5);
/// A container that the engine has started again, and that ended within so many milliseconds, does not count as running: the
/// engine's pause between two starts grows up to a minute.
const LATELY: i64 = 120_000;

impl Deployer {
    /// What runs of a repository's projects, in words; none where nothing was ever deployed of it. `failure`: why that is asked;
    /// a container that it names was not ended by turnout.
    pub(super) async fn standing(&self, repo: &str, failure: Option<&str>) -> Option<String> {
        let places = self.store.places().await.ok()?;
        let projects: Vec<String> =
            places.into_iter().filter(|place| place.repo == repo).map(|place| place.project).collect();
        if projects.is_empty() {
            return None;
        }
        // What is not known of them is told by whoever goes on with them.
        let colours = self.recorded(repo).await.unwrap_or_default();
        let listed = self.planner.repos.current();
        let staying = listed.repos.by_name(repo).map_or_else(|| project_from(repo), |repo| repo.project.clone());
        let look = async {
            let engine = self.planner.engine().await?;
            let mut found = Vec::new();
            for project in projects {
                let (observed, sights) =
                    futures_util::try_join!(engine.observe_containers(&project), engine.sights(&project))?;
                let ill = ill(&sights, now_ms());
                let stopped = stopped(&colours, (&project, &staying), &observed.containers, &sights, failure);
                found.push(Found { project, containers: observed.containers, ill, stopped });
            }
            Ok::<_, crate::engine::EngineError>(found)
        };
        Some(match tokio::time::timeout(PATIENCE, look).await {
            Ok(Ok(found)) => words(&found),
            Ok(Err(error)) => format!("whether anything of it runs is not known: {error}"),
            Err(_) => format!("whether anything of it runs is not known: the engine gave no answer in {PATIENCE:?}"),
        })
    }
}

/// What is known of one project.
struct Found {
    project: String,
    containers: Vec<ObservedContainer>,
    /// Containers that are up, or just about to be, and yet not well.
    ill: BTreeMap<String, Illness>,
    /// Containers that turnout has ended, with their colour.
    stopped: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Illness {
    /// The engine starts it again and again.
    Restarts,
    /// Its health check says no.
    Unhealthy,
}

/// Who is not well, by container. One that ends again and again runs for a moment in between: that it ended just now, and
/// was started again by the engine, tells it from one that runs. `now`: in milliseconds since 1970.
fn ill(sights: &[Sight], now: i64) -> BTreeMap<String, Illness> {
    let lately = |sight: &Sight| sight.ended.is_some_and(|ended| now - ended / 1_000_000 < LATELY);
    let illness = |sight: &Sight| match sight {
        Sight { restarting: true, .. } => Some(Illness::Restarts),
        Sight { running: true, restarts, .. } if *restarts > 0 && lately(sight) => Some(Illness::Restarts),
        Sight { running: true, unhealthy: true, .. } => Some(Illness::Unhealthy),
        _ => None,
    };
    sights.iter().filter_map(|sight| Some((sight.id.clone(), illness(sight)?))).collect()
}

/// Whom turnout has ended, by container. `staying`: the project of what no colour has.
fn stopped(
    colours: &Stands,
    (project, staying): (&str, &str),
    containers: &[ObservedContainer],
    sights: &[Sight],
    failure: Option<&str>,
) -> BTreeSet<String> {
    let of = Stopped::of(colours, project, staying);
    let starved = |id: &str| sights.iter().any(|sight| sight.id == id && sight.out_of_memory);
    let ended = containers.iter().filter(|container| match container.state {
        RunState::Exited(code) => {
            of.ended(&container.name, &container.service, code, failure) && !starved(&container.id)
        }
        _ => false,
    });
    ended.map(|container| container.id.clone()).collect()
}

/// Services by what they do; of several projects only those that have containers are told.
fn words(found: &[Found]) -> String {
    let some: Vec<String> =
        found.iter().filter_map(|found| Some(format!("{}: {}", found.project, one(found)?))).collect();
    if some.is_empty() { "nothing of it runs".to_owned() } else { some.join("; ") }
}

/// Whether a state is of a kind.
type Is = fn(RunState, Option<Illness>) -> bool;

/// Of these it is told that turnout ended them, and not how.
const STOPPED: &str = "stopped by turnout";

fn one(found: &Found) -> Option<String> {
    let Found { containers, ill, stopped, .. } = found;
    // What runs first: that is what somebody who is woken at night wants to know. With what is said of one, and of several.
    let states: [(&str, &str, Is); 8] = [
        ("running", "running", |state, ill| state == RunState::Running && ill.is_none()),
        ("is unhealthy", "are unhealthy", |state, ill| state == RunState::Running && ill == Some(Illness::Unhealthy)),
        ("restarts again and again", "restart again and again", |state, ill| {
            state == RunState::Restarting || state == RunState::Running && ill == Some(Illness::Restarts)
        }),
        ("is paused", "are paused", |state, _| state == RunState::Paused),
        ("ended with exit code 0", "ended with exit code 0", |state, _| state == RunState::Exited(0)),
        ("ended with an error", "ended with an error", |state, _| matches!(state, RunState::Exited(code) if code != 0)),
        (
            "does not run (its container was never started)",
            "do not run (their containers were never started)",
            |state, _| state == RunState::Created,
        ),
        ("does not run", "do not run", |state, _| matches!(state, RunState::Removing | RunState::Dead)),
    ];
    let (beside, own): (Vec<_>, Vec<_>) =
        containers.iter().filter(|container| !container.oneoff).partition(|container| is_beside(container, containers));
    let (ended, own): (Vec<_>, Vec<_>) = own.into_iter().partition(|container| stopped.contains(&container.id));
    let services = |those: &[&ObservedContainer]| {
        let services: BTreeSet<&str> = those.iter().map(|container| container.service.as_str()).collect();
        (services.len(), services.into_iter().collect::<Vec<_>>().join(", "))
    };
    let mut said: Vec<String> = Vec::new();
    for (one, several, fits) in states {
        let those = own.iter().copied().filter(|container| fits(container.state, ill.get(&container.id).copied()));
        let (count, named) = services(&those.collect::<Vec<_>>());
        match count {
            0 => {}
            _ if one == "running" => said.push(format!("running {named}")),
            1 => said.push(format!("{named} {one}")),
            _ => said.push(format!("{named} {several}")),
        }
    }
    if !ended.is_empty() {
        said.push(format!("{} {STOPPED}", services(&ended).1));
    }
    if !beside.is_empty() {
        let names: BTreeSet<&str> = beside.iter().map(|container| container.name.as_str()).collect();
        said.push(format!("never started beside them: {}", names.into_iter().collect::<Vec<_>>().join(", ")));
    }
    (!said.is_empty()).then(|| said.join("; "))
}

/// Whether a container never started, or is on its way out, while another one stands for its service: what a replacement
/// left that did not come to its end, under whatever name. The service is not what does not run then.
fn is_beside(container: &ObservedContainer, all: &[ObservedContainer]) -> bool {
    let waits = |state| matches!(state, RunState::Created | RunState::Removing | RunState::Dead);
    let stands = |other: &ObservedContainer| {
        other.service == container.service && !other.oneoff && !waits(other.state) && other.id != container.id
    };
    waits(container.state) && all.iter().any(stands)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_runs_is_told_first() {
        let container = |service: &str, state, oneoff| ObservedContainer {
            id: format!("{service} {state:?}"),
            name: format!("redshop-{service}-1"),
            service: service.to_owned(),
            number: None,
            oneoff,
            config_hash: String::new(),
            image_label: String::new(),
            image_id: String::new(),
            state,
            started: None,
            labels: BTreeMap::new(),
            networks: BTreeMap::new(),
            mounts: Vec::new(),
        };
        let red = vec![
            container("job", RunState::Exited(0), false),
            container("worker", RunState::Exited(137), false),
            container("web", RunState::Running, false),
            container("web", RunState::Running, false),
            container("db", RunState::Running, false),
            container("new", RunState::Created, false),
            container("once", RunState::Running, true),
        ];
        let words = |project: &str, containers: Vec<ObservedContainer>, ill| {
            super::words(&[Found { project: project.to_owned(), containers, ill, stopped: BTreeSet::new() }])
        };
        let well = BTreeMap::new;
        assert_eq!(
            words("redshop", red, well()),
            "redshop: running db, web; job ended with exit code 0; worker ended with an error; \
             new does not run (its container was never started)"
        );
        assert_eq!(words("redshop", Vec::new(), well()), "nothing of it runs");
        let mut left = container("web", RunState::Created, false);
        left.name = "0123456789ab_redshop-web-1".to_owned();
        let replaced = vec![left.clone(), container("web", RunState::Running, false)];
        assert_eq!(
            words("redshop", replaced, well()),
            "redshop: running web; never started beside them: 0123456789ab_redshop-web-1"
        );
        let ended = vec![container("web", RunState::Exited(1), false), left.clone()];
        assert_eq!(
            words("redshop", ended, well()),
            "redshop: web ended with an error; never started beside them: 0123456789ab_redshop-web-1"
        );
        // Where nothing else is there, the service does not run.
        let alone = vec![left, container("web", RunState::Running, true)];
        assert_eq!(words("redshop", alone, well()), "redshop: web does not run (its container was never started)");
        // What turnout has stopped with its colour is told apart from what ended by itself.
        let containers = vec![
            container("job", RunState::Exited(0), false),
            container("mail", RunState::Exited(3), false),
            container("web", RunState::Exited(143), false),
            container("worker", RunState::Exited(137), false),
        ];
        let stopped = BTreeSet::from(["web Exited(143)".to_owned(), "worker Exited(137)".to_owned()]);
        let found = Found { project: "redshop".to_owned(), containers, ill: well(), stopped };
        assert_eq!(
            super::words(&[found]),
            "redshop: job ended with exit code 0; mail ended with an error; web, worker stopped by turnout"
        );
        // At the moment of the look all of these run but one.
        let up = ["api", "db", "mail", "web"].map(|service| container(service, RunState::Running, false));
        let all = up.into_iter().chain([container("queue", RunState::Restarting, false)]).collect();
        let sight = |service: &str, restarts, ended, unhealthy| Sight {
            id: format!("{service} Running"),
            container: String::new(),
            running: true,
            restarting: false,
            unhealthy,
            code: 0,
            out_of_memory: false,
            restarts,
            ended,
        };
        let now = 1_000_000;
        let sights = [
            sight("api", 3, Some((now - 5_000) * 1_000_000), false),
            // Fell once, long ago; and started by a person a moment after it had ended.
            sight("db", 1, Some((now - 2 * LATELY) * 1_000_000), false),
            sight("web", 0, Some((now - 5_000) * 1_000_000), false),
            sight("mail", 0, None, true),
        ];
        assert_eq!(
            words("redshop", all, ill(&sights, now)),
            "redshop: running db, web; mail is unhealthy; api, queue restart again and again"
        );
    }
}
