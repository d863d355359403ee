//! What does not run as it should although no deployment started it just now.

use std::time::{Duration, SystemTime};

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status, HealthStatusEnum as HealthStatus};
use futures_util::future::join_all;
use turnout_compose::model::Project;
use turnout_plan::RunState;

use super::{ContainerRef, Engine, EngineError, observe, settle::since};

/// How long after it a restart is told of: as long as the engine's list speaks of seconds.
const MENTIONED: Duration = Duration::from_secs(60);

/// Containers of a project's services that nobody started just now and that do not run well.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Doubtful {
    /// To be watched like what was started.
    pub watch: Vec<ContainerRef>,
    /// What has been up for longer than is watched, after ends of its own in the last minute; each in words.
    pub restarted: Vec<String>,
}

/// How a container stands at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    container: ContainerRef,
    how: How,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum How {
    /// Between two starts, ended badly, or without a good verdict of its health check.
    Badly,
    /// Up, and nothing speaks against it.
    Up {
        /// How often the engine brought it up again by itself.
        restarts: i64,
        /// For how long.
        since: Duration,
    },
    /// Whatever ended before, the plan has started again or taken for done.
    Otherwise,
}

/// What is known of a project's containers, and since when.
#[derive(Debug, Clone)]
pub struct Stands {
    /// When they were looked at.
    pub looked: SystemTime,
    /// Those of its services, but for one-offs.
    pub all: Vec<Stand>,
}

impl Stands {
    /// Those that do not run well: between two starts, without a good verdict of their health check, or restarted within
    /// the settle time. A deployment that had nothing to change must not count as a success over them, so they are watched
    /// like started ones. Where what was started last was never `judged`, that is watched too, as far as it is younger
    /// than the settle time.
    pub fn doubtful(&self, settle: Duration, judged: bool) -> Doubtful {
        doubts(&self.all, settle, judged)
    }
}

fn doubts(stands: &[Stand], settle: Duration, judged: bool) -> Doubtful {
    let mut all = Doubtful::default();
    for Stand { container, how } in stands {
        match *how {
            How::Badly => all.watch.push(container.clone()),
            How::Up { restarts, since } if since <= settle && (restarts > 0 || !judged) => {
                all.watch.push(container.clone());
            }
            How::Up { restarts, since } if restarts > 0 && since <= MENTIONED => all.restarted.push(format!(
                "{} ended by itself and was started again {}, the last time {} s ago",
                container.name,
                if restarts == 1 { "once".to_owned() } else { format!("{restarts} times") },
                since.as_secs()
            )),
            How::Up { .. } | How::Otherwise => {}
        }
    }
    all
}

impl Engine {
    /// As [`Stands::doubtful`], of a look of its own, without what was `started` just now.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn doubtful(
        &self,
        project: &Project,
        started: &[ContainerRef],
        settle: Duration,
        judged: bool,
    ) -> Result<Doubtful, EngineError> {
        let ahead = self.ahead().await;
        let listed = self.project_containers(&project.name).await?.into_iter().filter_map(|summary| {
            let status = summary.status.clone().unwrap_or_default();
            let found = observe::container(summary)?;
            let known = project.services.contains_key(&found.service) && !found.oneoff;
            let just_started = started.iter().any(|container| container.id == found.id);
            (known && !just_started).then_some((found, status))
        });
        let looks = listed.map(|(found, status)| async move {
            let verdict_open = status.contains("(unhealthy)") || status.contains("(health: starting)");
            let container = ContainerRef { id: found.id, name: found.name, service: found.service };
            let how = match found.state {
                RunState::Restarting => How::Badly,
                RunState::Exited(code) if code != 0 => How::Badly,
                _ if verdict_open => How::Badly,
                // The list has no restart count, so whatever came up in the last minute is looked at.
                RunState::Running if !judged || status.contains("second") => {
                    let found = self.find_container(&container.id).await?;
                    found.map_or(How::Otherwise, |found| up(&found, ahead))
                }
                _ => How::Otherwise,
            };
            Ok(Stand { container, how })
        });
        let stands: Vec<Stand> = join_all(looks).await.into_iter().collect::<Result<_, EngineError>>()?;
        Ok(doubts(&stands, settle, judged))
    }
}

/// How a container stands that was inspected. `ahead`: of the engine's clock, in nanoseconds.
pub(super) fn stand(container: ContainerRef, found: &ContainerInspectResponse, ahead: i64) -> Stand {
    let state = found.state.as_ref();
    let health = state.and_then(|state| state.health.as_ref()?.status);
    let code = state.and_then(|state| state.exit_code).unwrap_or_default();
    let how = match state.and_then(|state| state.status) {
        Some(Status::RESTARTING) => How::Badly,
        Some(Status::EXITED) if code != 0 => How::Badly,
        // What does not run keeps the last verdict of its check.
        Some(Status::RUNNING | Status::PAUSED)
            if matches!(health, Some(HealthStatus::STARTING | HealthStatus::UNHEALTHY)) =>
        {
            How::Badly
        }
        Some(Status::RUNNING) => up(found, ahead),
        _ => How::Otherwise,
    };
    Stand { container, how }
}

fn up(found: &ContainerInspectResponse, ahead: i64) -> How {
    let started = found.state.as_ref().and_then(|state| state.started_at.as_deref()).unwrap_or_default();
    How::Up { restarts: found.restart_count.unwrap_or_default(), since: since(started, ahead) }
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerState, Health};

    use super::*;

    fn of(status: Status, change: impl FnOnce(&mut ContainerInspectResponse)) -> Stand {
        let state = ContainerState { status: Some(status), ..ContainerState::default() };
        let mut found = ContainerInspectResponse { state: Some(state), ..ContainerInspectResponse::default() };
        change(&mut found);
        let name = "shop-web-1".to_owned();
        stand(ContainerRef { id: "1".to_owned(), name, service: "web".to_owned() }, &found, 0)
    }

    fn doubted(stand: Stand, settle: u64, judged: bool) -> (usize, Vec<String>) {
        let Doubtful { watch, restarted } = doubts(&[stand], Duration::from_secs(settle), judged);
        (watch.len(), restarted)
    }

    #[test]
    fn what_does_not_run_well_is_doubtful() {
        let health = |status| {
            move |found: &mut ContainerInspectResponse| {
                let health = Health { status: Some(status), ..Health::default() };
                found.state.as_mut().unwrap().health = Some(health);
            }
        };
        let code =
            |code| move |found: &mut ContainerInspectResponse| found.state.as_mut().unwrap().exit_code = Some(code);
        for (doubtful, stand) in [
            (true, of(Status::RESTARTING, |_| ())),
            (true, of(Status::EXITED, code(3))),
            (false, of(Status::EXITED, code(0))),
            (false, of(Status::CREATED, |_| ())),
            (true, of(Status::RUNNING, health(HealthStatus::STARTING))),
            (true, of(Status::RUNNING, health(HealthStatus::UNHEALTHY))),
            (true, of(Status::PAUSED, health(HealthStatus::UNHEALTHY))),
            (false, of(Status::RUNNING, health(HealthStatus::HEALTHY))),
            (false, of(Status::EXITED, health(HealthStatus::UNHEALTHY))),
        ] {
            assert_eq!(doubted(stand.clone(), 10, true), (usize::from(doubtful), Vec::new()), "{stand:?}");
        }
    }

    #[test]
    fn what_came_up_again_by_itself_is_watched_while_it_is_young_and_told_for_a_minute() {
        let up = |restarts, since| Stand {
            container: ContainerRef { id: "1".to_owned(), name: "shop-web-1".to_owned(), service: "web".to_owned() },
            how: How::Up { restarts, since: Duration::from_secs(since) },
        };
        assert_eq!(doubted(up(2, 5), 10, true), (1, Vec::new()));
        let told = "shop-web-1 ended by itself and was started again twice, the last time 30 s ago"
            .replace("twice", "2 times");
        assert_eq!(doubted(up(2, 30), 10, true), (0, vec![told]));
        assert_eq!(doubted(up(2, 61), 10, true), (0, Vec::new()));
        assert_eq!(doubted(up(0, 5), 10, true), (0, Vec::new()));
        // Nobody has come to say whether it stays up.
        assert_eq!(doubted(up(0, 5), 10, false), (1, Vec::new()));
        assert_eq!(doubted(up(0, 11), 10, false), (0, Vec::new()));
    }
}
