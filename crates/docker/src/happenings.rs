//! Where [`aftermath`](super::aftermath) learns what becomes of a project's containers: one stream of the engine's events,
//! and a look at each container where events may have been missed.

use std::{collections::HashMap, pin::Pin, time::Duration};

use bollard::{
    models::{ContainerStateStatusEnum as Status, EventMessage, HealthStatusEnum as HealthStatus},
    query_parameters::EventsOptions,
};
use futures_util::{Stream, StreamExt, future::join_all};
use turnout_compose::labels;

use super::{
    Engine, EngineError,
    aftermath::{Happening, Sight, What},
    clock::narrow,
    health::check_output,
    observe,
    times::nanoseconds,
};

/// Events that are asked for. Health checks make others all the time, which stay in the engine.
const KINDS: [&str; 6] = ["die", "start", "kill", "oom", "health_status", "destroy"];
/// Events of the past that are taken at most: more than an engine keeps.
const MOST: usize = 10_000;
/// How long the engine may take to tell what has happened.
const PATIENCE: Duration = Duration::from_secs(30);
const SECOND: i64 = 1_000_000_000;

/// Happenings as they come. Ends when the connection to the engine is lost. Dropping it hangs up.
pub type Happenings = Pin<Box<dyn Stream<Item = Happening> + Send>>;

impl Engine {
    /// What happens to a project's containers: first what happened since that time of the engine's, as far as the engine
    /// remembers, then what comes.
    pub fn happenings(&self, project: &str, since: i64) -> Happenings {
        let events = self.docker().events(Some(of_project(project, since, None)));
        let whole = events.take_while(|event| std::future::ready(event.is_ok()));
        Box::pin(whole.filter_map(|event| std::future::ready(event.ok().and_then(happening))))
    }

    /// What happened to a project's containers in that span of the engine's time, as far as the engine remembers.
    ///
    /// # Errors
    /// When the engine does not answer within `left`.
    pub async fn happened(
        &self,
        project: &str,
        since: i64,
        until: i64,
        left: Duration,
    ) -> Result<Vec<Happening>, EngineError> {
        let events = self.docker().events(Some(of_project(project, since, Some(until)))).take(MOST);
        let all = tokio::time::timeout(PATIENCE.min(left), events.collect::<Vec<_>>())
            .await
            .map_err(|_| EngineError::api("read the engine's events", bollard::errors::Error::RequestTimeoutError))?;
        let all: Result<Vec<EventMessage>, _> = all.into_iter().collect();
        let all = all.map_err(|error| EngineError::api("read the engine's events", error))?;
        Ok(all.into_iter().filter_map(happening).collect())
    }

    /// A project's containers as they are now.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn sights(&self, project: &str) -> Result<Vec<Sight>, EngineError> {
        let listed = self.project_containers(project).await?.into_iter().filter_map(observe::container);
        let looks = listed.filter(|found| !found.oneoff).map(|found| async move {
            let inspected = self.find_container(&found.id).await?;
            let Some(state) = inspected.as_ref().and_then(|inspected| inspected.state.as_ref()) else {
                return Ok(None);
            };
            let restarting = state.status == Some(Status::RESTARTING);
            let health = state.health.as_ref().and_then(|health| health.status);
            let ended = state.finished_at.as_deref().and_then(nanoseconds).and_then(narrow).filter(|at| *at > 0);
            Ok(Some(Sight {
                running: state.running == Some(true) && !restarting,
                restarting,
                unhealthy: health == Some(HealthStatus::UNHEALTHY),
                code: state.exit_code.unwrap_or_default(),
                out_of_memory: state.oom_killed == Some(true),
                restarts: inspected.as_ref().and_then(|inspected| inspected.restart_count).unwrap_or_default(),
                ended,
                id: found.id,
                container: found.name,
            }))
        });
        let looks: Result<Vec<Option<Sight>>, EngineError> = join_all(looks).await.into_iter().collect();
        Ok(looks?.into_iter().flatten().collect())
    }

    /// Whether a container runs, and its health check, if it has one, is content.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn stands(&self, id: &str) -> Result<bool, EngineError> {
        let state = self.find_container(id).await?.and_then(|found| found.state).unwrap_or_default();
        let health = state.health.and_then(|health| health.status);
        Ok(state.status == Some(Status::RUNNING)
            && !matches!(health, Some(HealthStatus::STARTING | HealthStatus::UNHEALTHY)))
    }

    /// What a container's health check said last; nothing where it said nothing, or the engine does not tell.
    pub async fn check_said(&self, id: &str) -> Option<String> {
        let found = self.find_container(id).await.ok().flatten();
        let said = check_output(found.and_then(|found| found.state).and_then(|state| state.health));
        Some(said).filter(|said| !said.is_empty())
    }
}

fn of_project(project: &str, since: i64, until: Option<i64>) -> EventsOptions {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let filters = HashMap::from([
        ("type".to_owned(), owned(&["container"])),
        ("label".to_owned(), vec![format!("{}={project}", labels::PROJECT), labels::CONFIG_HASH.to_owned()]),
        ("event".to_owned(), owned(&KINDS)),
    ]);
    EventsOptions { since: Some(shown(since)), until: until.map(shown), filters: Some(filters) }
}

/// A time as the engine is asked for it, from nanoseconds since 1970.
pub(super) fn shown(at: i64) -> String {
    format!("{}.{:09}", at.div_euclid(SECOND), at.rem_euclid(SECOND))
}

/// An event of a service's container; what `run` and steps before a start make ends as it likes.
fn happening(event: EventMessage) -> Option<Happening> {
    let at = event.time_nano.or_else(|| event.time.and_then(|seconds| seconds.checked_mul(SECOND)))?;
    let actor = event.actor?;
    let attributes = actor.attributes.unwrap_or_default();
    if attributes.get(labels::ONEOFF).is_some_and(|oneoff| oneoff == "True") || attributes.contains_key(labels::HOOK) {
        return None;
    }
    let number = |name: &str| attributes.get(name).and_then(|text| text.parse::<i64>().ok());
    let action = event.action?;
    let what = match action.as_str() {
        "die" => What::Died { code: number("exitCode").unwrap_or_default() },
        "start" => What::Started,
        // One without a number is not known to ask for anything but an end.
        "kill" => What::Signalled { signal: number("signal").unwrap_or(15) },
        "oom" => What::OutOfMemory,
        "destroy" => What::Removed,
        "health_status: healthy" => What::Healthy,
        "health_status: unhealthy" => What::Unhealthy,
        _ => return None,
    };
    let container = attributes.get("name").cloned().unwrap_or_default();
    Some(Happening { at, id: actor.id?, container, what })
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    #[test]
    fn events_are_read() {
        let event = |action: &str, attributes: &[(&str, &str)]| {
            let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            let attributes = attributes.chain([("name".to_owned(), "web".to_owned())]).collect();
            let actor = EventActor { id: Some("1".to_owned()), attributes: Some(attributes) };
            let event = EventMessage {
                action: Some(action.to_owned()),
                actor: Some(actor),
                time_nano: Some(7),
                ..EventMessage::default()
            };
            happening(event).map(|happening| happening.what)
        };
        for (given, wanted) in [
            (event("die", &[("exitCode", "3")]), Some(What::Died { code: 3 })),
            (event("kill", &[("signal", "9")]), Some(What::Signalled { signal: 9 })),
            (event("health_status: unhealthy", &[]), Some(What::Unhealthy)),
            (event("health_status: running", &[]), None),
            (event("die", &[("exitCode", "3"), (labels::ONEOFF, "True")]), None),
            (event("die", &[("exitCode", "3"), (labels::ONEOFF, "False")]), Some(What::Died { code: 3 })),
            (event("die", &[("exitCode", "3"), (labels::HOOK, labels::PRE_START)]), None),
        ] {
            assert_eq!(given, wanted);
        }
    }

    #[test]
    fn times_are_asked_for_with_their_nanoseconds() {
        let options = of_project("shop", 1_700_000_000_000_000_042, None);
        assert_eq!((options.since.as_deref(), options.until), (Some("1700000000.000000042"), None));
    }
}
