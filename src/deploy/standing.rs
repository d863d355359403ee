//! What runs after a deployment that ended badly: looked up, because what it was before tells nothing.

use std::{collections::BTreeSet, time::Duration};

use super::Deployer;
use crate::plan::{ObservedContainer, RunState};

/// How long the engine may take; the failure has been told by then.
const PATIENCE: Duration = Duration::from_secs(5);

impl Deployer {
    /// What runs of a repository's projects, in words; none where nothing was ever deployed of it.
    pub(super) async fn standing(&self, repo: &str) -> Option<String> {
        let places = self.store.places().await.ok()?;
        let projects: Vec<String> =
            places.into_iter().filter(|place| place.repo == repo).map(|place| place.project).collect();
        if projects.is_empty() {
            return None;
        }
        let look = async {
            let engine = self.planner.engine().await?;
            let mut found = Vec::new();
            for project in projects {
                let observed = engine.observe_containers(&project).await?;
                found.push((project, observed.containers));
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

/// Services by what they do; of several projects only those that have containers are told.
fn words(found: &[(String, Vec<ObservedContainer>)]) -> String {
    let some: Vec<String> =
        found.iter().filter_map(|(project, containers)| Some(format!("of {project} {}", one(containers)?))).collect();
    if some.is_empty() { "nothing of it runs".to_owned() } else { some.join("; ") }
}

/// Whether a state is of a kind.
type Is = fn(RunState) -> bool;

fn one(containers: &[ObservedContainer]) -> Option<String> {
    // What runs first: that is what somebody who is woken at night wants to know.
    let states: [(&str, Is); 6] = [
        ("running", |state| state == RunState::Running),
        ("paused", |state| state == RunState::Paused),
        ("restarting again and again", |state| state == RunState::Restarting),
        ("ended with exit code 0", |state| state == RunState::Exited(0)),
        ("ended with an error", |state| matches!(state, RunState::Exited(code) if code != 0)),
        ("not running", |state| matches!(state, RunState::Created | RunState::Removing | RunState::Dead)),
    ];
    let (beside, own): (Vec<_>, Vec<_>) =
        containers.iter().filter(|container| !container.oneoff).partition(|container| is_beside(container, containers));
    let mut said: Vec<String> = states
        .into_iter()
        .filter_map(|(heading, fits)| {
            let those = own.iter().filter(|container| fits(container.state));
            let services: BTreeSet<&str> = those.map(|container| container.service.as_str()).collect();
            let services: Vec<&str> = services.into_iter().collect();
            (!services.is_empty()).then(|| format!("{heading}: {}", services.join(", ")))
        })
        .collect();
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
        let said = words(&[("redshop".to_owned(), red), ("blueshop".to_owned(), Vec::new())]);
        assert_eq!(
            said,
            "of redshop running: db, web; ended with exit code 0: job; ended with an error: worker; not running: new"
        );
        assert_eq!(words(&[("redshop".to_owned(), Vec::new())]), "nothing of it runs");
        let mut left = container("web", RunState::Created, false);
        left.name = "0123456789ab_redshop-web-1".to_owned();
        let replaced = vec![left.clone(), container("web", RunState::Running, false)];
        assert_eq!(
            words(&[("redshop".to_owned(), replaced)]),
            "of redshop running: web; never started beside them: 0123456789ab_redshop-web-1"
        );
        let ended = vec![container("web", RunState::Exited(1), false), left.clone()];
        assert_eq!(
            words(&[("redshop".to_owned(), ended)]),
            "of redshop ended with an error: web; never started beside them: 0123456789ab_redshop-web-1"
        );
        // Where nothing else is there, the service does not run.
        let alone = vec![left, container("web", RunState::Running, true)];
        assert_eq!(words(&[("redshop".to_owned(), alone)]), "of redshop not running: web");
    }
}
