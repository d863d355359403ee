//! For a deployment under which the daemon ended several times, so that it is not repeated any more: starts again what
//! it had stopped. Otherwise repeating puts things right; a held repository's deployments are repeated too, once they
//! have begun with a commit.

use std::fmt::Display;

use tokio_util::sync::CancellationToken;

use super::{
    Deployer, Failure, builder, busy,
    ran::{Ran, active},
};
use crate::{
    compose::{labels::final_name, model::Project},
    engine::{Apply, Engine, ImageSettings, image::BuildOptions},
    plan::{ObservedContainer, Plan},
    registry::Credentials,
    report::{Reporter, Silent},
    store::{Deployment, DeploymentId, Filter, State},
};

/// A container to start again.
#[derive(Debug)]
struct Start<'a> {
    container: &'a ObservedContainer,
    /// It is not the one that ran, but its replacement.
    replacement: bool,
}

/// What it left of what ran before it.
#[derive(Debug, Default)]
struct Left<'a> {
    /// What stands still.
    starts: Vec<Start<'a>>,
    /// What is gone without a replacement.
    gone: Vec<&'a Ran>,
    /// Replacements that started first, and run beside what they were to replace.
    beside: Vec<&'a ObservedContainer>,
}

fn left<'a>(ran: &'a [Ran], now: &'a [ObservedContainer]) -> Left<'a> {
    let mut left = Left::default();
    for before in ran {
        let takes_its_place = |container: &&ObservedContainer| {
            !container.oneoff
                && container.id != before.id
                && container.service == before.service
                && container.number == before.number
        };
        let mut in_place = now.iter().filter(takes_its_place).peekable();
        let runs = in_place.clone().any(|container| active(container.state));
        if let Some(container) = now.iter().find(|container| container.id == before.id) {
            match active(container.state) {
                true => left.beside.extend(in_place.filter(|other| {
                    active(other.state)
                        && final_name(&other.name) != other.name
                        && ran.iter().all(|before| before.id != other.id)
                })),
                // It started first and has taken over, up to the name.
                false if runs => {}
                false => left.starts.push(Start { container, replacement: false }),
            }
            continue;
        }
        if in_place.peek().is_none() {
            left.gone.push(before);
        } else if !runs {
            left.starts.extend(in_place.next().map(|container| Start { container, replacement: true }));
        }
    }
    left
}

impl Deployer {
    /// Starts again what a deployment that is not repeated had stopped, and records what runs.
    pub async fn see_to(&self, id: DeploymentId, cancel: CancellationToken) {
        let unknown = |error: &dyn Display| format!("whether what it had stopped runs again is not known: {error}");
        let (repo, said) = match self.store.deployment(id).await {
            Ok(Some(job)) => {
                let said = match self.start_again(&job, &cancel).await {
                    Ok(Some(said)) => said,
                    Ok(None) => return,
                    Err(failure) => unknown(&failure),
                };
                (job.repo, said)
            }
            Ok(None) => return,
            Err(error) => (String::new(), unknown(&error)),
        };
        let said = self.redactor.about(Some(&repo)).redact(&said).into_owned();
        tracing::warn!(repo, deployment = id, "{said}");
        if let Err(error) = self.store.add_to_end(id, &said).await {
            tracing::error!(repo, deployment = id, %error, "cannot record what became of a deployment");
        }
    }

    async fn start_again(&self, job: &Deployment, cancel: &CancellationToken) -> Result<Option<String>, Failure> {
        let unknown = |error: crate::store::StoreError| Failure::new(error.to_string());
        let ran = self.store.ran_before(job.id).await.map_err(unknown)?;
        let ran: Vec<Ran> = ran.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let Some(name) = &self.store.project_of(job.id).await.map_err(unknown)? else { return Ok(None) };
        let engine = self.planner.patient_engine(&Silent, cancel).await?;
        let _busy = busy::wait(&self.planner.settings.state_dir, &job.repo, &Silent, cancel).await;
        if self.is_overtaken(job).await.map_err(unknown)? || cancel.is_cancelled() {
            return Ok(None);
        }
        let observed = engine.observe_containers(name).await?;
        let left = left(&ran, &observed.containers);
        let mut told: Vec<String> = left.gone.iter().map(|gone| format!("{} is gone", gone.name)).collect();
        told.extend(self.start_all(&engine, job, name, &left).await);
        let standing = self.standing(&job.repo, job.error.as_deref()).await.map(|standing| format!("now {standing}"));
        told.extend(standing);
        Ok(Some(told.join("; ")))
    }

    /// Whether a later deployment of the repository has begun: then that is what counts.
    async fn is_overtaken(&self, job: &Deployment) -> Result<bool, crate::store::StoreError> {
        let filter = Filter { repo: Some(job.repo.clone()), limit: 1000, ..Filter::default() };
        let later = self.store.history(filter).await?.into_iter().filter(|other| other.id > job.id);
        Ok(later.into_iter().any(|other| other.started_at.is_some() || other.state == State::Queued))
    }

    /// Starts them one after the other, and ends what runs beside one that was to be replaced; what became of each, in words.
    async fn start_all(&self, engine: &Engine, job: &Deployment, name: &str, left: &Left<'_>) -> Vec<String> {
        let Left { starts, gone: _, beside } = left;
        if starts.is_empty() && beside.is_empty() {
            return Vec::new();
        }
        // Files that are copied in before a start stand in the project. What only was stopped has them.
        let read = async {
            let repo = self.planner.find(&job.repo)?;
            let loaded = self.planner.read(&repo, &Silent as &dyn Reporter).await?;
            Ok::<_, Failure>((builder::of(&repo), loaded.project))
        };
        let (builder, project) = match read.await {
            Ok((builder, project)) if project.name == name => (builder, project),
            _ => Default::default(),
        };
        let project = Project { name: name.to_owned(), ..project };
        let (plan, cancel, credentials) = (Plan::default(), CancellationToken::new(), Credentials::in_directory(None));
        let timeout = self.planner.settings.timeouts.build;
        let run = Apply {
            project: &project,
            plan: &plan,
            reporter: &Silent,
            cancel: &cancel,
            stop_timeout: None,
            wait_timeout: self.planner.settings.timeouts.apply,
            settle: self.planner.settings.timeouts.settle,
            probing: None,
            reads: None,
            images: ImageSettings {
                builder,
                build_timeout: timeout,
                pull_timeout: timeout,
                credentials: &credentials,
                build_options: BuildOptions::default(),
                inputs: None,
            },
        };
        let mut told = Vec::new();
        for Start { container, replacement } in starts {
            let known = project.services.get(&container.service);
            if *replacement && known.is_none_or(|service| !service.pre_start.is_empty()) {
                told.push(format!("{} was replaced and never started", container.name));
                continue;
            }
            let was = if *replacement { "replaced" } else { "stopped" };
            told.push(match engine.start_again(&run, &container.id, &container.name).await {
                Ok(()) => format!("{}, which it had {was}, runs again", container.name),
                Err(error) => format!("{}, which it had {was}, cannot be started: {error}", container.name),
            });
        }
        for one in beside {
            told.push(match engine.end_again(&run, &one.id, &one.name).await {
                Ok(()) => format!("{}, which it had started beside the one before, is removed", one.name),
                Err(error) => {
                    format!("{}, which it had started beside the one before, cannot be removed: {error}", one.name)
                }
            });
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::ran::running, *};
    use crate::plan::RunState;

    fn container(id: &str, service: &str, state: RunState) -> ObservedContainer {
        ObservedContainer {
            id: id.to_owned(),
            name: format!("red-{service}-1"),
            service: service.to_owned(),
            number: Some(1),
            oneoff: false,
            config_hash: String::new(),
            image_label: String::new(),
            image_id: String::new(),
            state,
            started: None,
            labels: BTreeMap::new(),
            networks: BTreeMap::new(),
            mounts: Vec::new(),
        }
    }

    #[test]
    fn what_ran_and_stands_still_is_found() {
        use RunState::{Created, Exited, Running};
        let before = [container("1", "web", Running), container("2", "db", Running), container("3", "job", Exited(0))];
        let ran: Vec<Ran> = serde_json::from_str(&running(&before).unwrap()).unwrap();
        assert_eq!(ran.len(), 2);
        assert_eq!(running(&before[2..]), None);
        let told = |now: &[ObservedContainer]| {
            let left = left(&ran, now);
            let starts = left.starts.iter().map(|start| format!("{} {}", start.container.id, start.replacement));
            let gone = left.gone.iter().map(|gone| format!("{} gone", gone.service));
            starts.chain(gone).chain(left.beside.iter().map(|one| format!("{} beside", one.id))).collect::<Vec<_>>()
        };
        assert_eq!(told(&before), Vec::<String>::new());
        // Stopped only; replaced and not started.
        assert_eq!(told(&[container("1", "web", Exited(143)), container("4", "db", Created)]), ["1 false", "4 true"]);
        // Replaced and running; gone.
        assert_eq!(told(&[container("5", "web", Running)]), ["db gone"]);
        // The old one stands beside a replacement that never ran: it is the one that worked.
        let both = [container("6", "web", Created), container("1", "web", Exited(0)), container("2", "db", Running)];
        assert_eq!(told(&both), ["1 false"]);
        // The new one started first: beside the old one it is too many, and where that has ended it has taken over.
        let mut first = container("6", "web", Running);
        first.name = "0123456789ab_red-web-1".to_owned();
        let with = |old| [first.clone(), container("1", "web", old), container("2", "db", Running)];
        assert_eq!(told(&with(Running)), ["6 beside"]);
        assert_eq!(told(&with(Exited(0))), Vec::<String>::new());
    }
}
