//! Containers of a project that stand still for good, and are brought back: what blue/green deployment does with the colour
//! that gets no requests. The engine starts whatever has a restart policy again at its own next start, so that is taken away
//! before the stop and given back before the start.

use bollard::{
    models::{ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum},
    query_parameters::{StartContainerOptions, WaitContainerOptions},
};
use futures_util::{StreamExt as _, future::join_all};
use tokio::task::JoinHandle;

use super::{
    ContainerRef, ContainerStatus, Engine, EngineError,
    error::status_of,
    turns::{Needs, in_turn},
};

/// A service to be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// Its Compose name.
    pub service: String,
    /// Its restart policy as Compose writes it: `unless-stopped`, `on-failure:3`; empty: none.
    pub restart: String,
}

/// Containers whose processes have ended, while the engine may still release what they had: unmounting, and taking down their
/// networks, costs it a second or two.
#[derive(Debug, Default)]
pub struct Ended {
    /// Those that ran.
    pub containers: Vec<ContainerRef>,
    /// The engine's own ends of them.
    tails: Vec<Tail>,
}

/// The engine's own end of a container.
type Tail = JoinHandle<Result<(), EngineError>>;

impl Ended {
    /// Waits until the engine has released all.
    ///
    /// # Errors
    /// The first refusal of the engine to end a stop whose container no longer runs.
    pub async fn released(self) -> Result<(), EngineError> {
        let mut first = Ok(());
        for tail in self.tails {
            // Nobody gives up a tail, and it does not panic: there is nothing else to say of one that is lost.
            let tail = tail.await.unwrap_or(Ok(()));
            first = first.and(tail);
        }
        first
    }
}

impl Engine {
    /// As [`Engine::rest`], but answers as soon as no process of them is left, so that whoever must not run beside them can
    /// start. What they hold besides (ports of the host, mounts of a volume driver) is free when it is
    /// [released](Ended::released).
    ///
    /// # Errors
    /// The first refusal, after all were asked.
    pub async fn end(&self, project: &str, services: &[String]) -> Result<Ended, EngineError> {
        let mut ended = self.end_all(&[(project, services)], &Needs::new()).await?;
        Ok(ended.pop().unwrap_or_default())
    }

    /// As [`Engine::end`], for services of several projects at once (project, services; all when empty). `needs`: what they depend on
    /// beside what their labels say, for these know nothing of other projects. Answers project by project, in the order given.
    ///
    /// # Errors
    /// The first refusal, after all were asked.
    pub async fn end_all(&self, those: &[(&str, &[String])], needs: &Needs) -> Result<Vec<Ended>, EngineError> {
        let (mut ends, mut needs) = (Vec::new(), needs.clone());
        for (at, (project, services)) in those.iter().enumerate() {
            let all = self.containers(project, true).await?;
            all.iter().for_each(|one| needs.entry(one.service.clone()).or_default().extend(one.needs.iter().cloned()));
            let wanted = wanted(all, services);
            ends.extend(wanted.map(|one| (one.service.clone(), async move { (at, self.end_one(one).await) })));
        }
        let mut ended: Vec<Ended> = those.iter().map(|_| Ended::default()).collect();
        for (at, one) in in_turn(ends, &needs).await {
            let (container, tail) = one?;
            if let Some(ended) = ended.get_mut(at) {
                ended.containers.extend(container);
                ended.tails.extend(tail);
            }
        }
        Ok(ended)
    }

    /// Ends one container. Answers which, if it ran, and the engine's own end of it, where that goes on.
    async fn end_one(&self, one: ContainerStatus) -> Result<(Option<ContainerRef>, Option<Tail>), EngineError> {
        // One that ends again and again may have no process between two of its ends.
        if one.state != "running" || self.set_restart(&one.id, &one.name, "").await.is_err() {
            let runs = self.rest_one(&one.id, &one.name, &one.state).await?;
            let container = ContainerRef { id: one.id, name: one.name, service: one.service };
            return Ok((runs.then_some(container), None));
        }
        let publishes = one.ports.iter().any(|port| port.contains("->"));
        let (engine, id, name) = (self.clone(), one.id.clone(), one.name.clone());
        let mut deaths = self.container_events(&[&one.id], &["die"]);
        let mut tail = tokio::spawn(async move { engine.stop_container(&id, &name, None, None).await });
        let container = ContainerRef { id: one.id, name: one.name, service: one.service };
        tokio::select! {
            biased;
            stopped = &mut tail => stopped.unwrap_or(Ok(())).map(|()| (Some(container), None)),
            () = self.has_ended(&container.id) => Ok((Some(container), Some(tail))),
            // The engine tells of it as soon as the process is gone; whoever waits is answered some 200 ms later, when most
            // engines have taken the networks down, too. A port that is published may be wanted by the next one.
            Some(_) = deaths.next(), if !publishes => Ok((Some(container), Some(tail))),
        }
    }

    /// Answers when no process of a container is left; never, where the engine does not say so.
    async fn has_ended(&self, id: &str) {
        let condition = WaitContainerOptions { condition: "not-running".to_owned() };
        let patient = self.docker_with_timeout(self.patience(id, None, None).await);
        match Box::pin(patient.wait_container(id, Some(condition))).next().await {
            // How it ended is nobody's question here.
            Some(Ok(_) | Err(bollard::errors::Error::DockerContainerWaitError { .. })) => {}
            _ => std::future::pending().await,
        }
    }

    /// Stops one container for good. Whether it ran.
    async fn rest_one(&self, id: &str, name: &str, state: &str) -> Result<bool, EngineError> {
        // One that ends again and again has no policy that could be changed before it stands still.
        let first = self.set_restart(id, name, "").await;
        self.stop_container(id, name, None, None).await?;
        if first.is_err() {
            self.set_restart(id, name, "").await?;
        }
        Ok(matches!(state, "running" | "restarting" | "paused"))
    }

    /// Stops the containers of these services (all when empty), each with its own grace, and has the engine not start them again by
    /// itself: what depends on a service before it, as their labels say, and side by side what does not depend on one another.
    /// One-offs are left alone. Answers whom it stopped; who did not run is not named.
    ///
    /// # Errors
    /// The first refusal, after all were asked.
    pub async fn rest(&self, project: &str, services: &[String]) -> Result<Vec<ContainerRef>, EngineError> {
        let all = self.containers(project, true).await?;
        let mut needs = Needs::new();
        all.iter().for_each(|one| needs.entry(one.service.clone()).or_default().extend(one.needs.iter().cloned()));
        let rests = wanted(all, services).map(|one| {
            let service = one.service.clone();
            let rests = async move {
                let runs = self.rest_one(&one.id, &one.name, &one.state).await?;
                Ok::<_, EngineError>(runs.then_some(ContainerRef { id: one.id, name: one.name, service: one.service }))
            };
            (service, rests)
        });
        let rested: Result<Vec<Option<ContainerRef>>, EngineError> =
            in_turn(rests.collect(), &needs).await.into_iter().collect();
        Ok(rested?.into_iter().flatten().collect())
    }

    /// Starts the containers of these services again, service by service in the order given, each with its restart policy
    /// back. Who runs already keeps running. Answers all containers of these services.
    ///
    /// # Errors
    /// A service has no container any more ([`EngineError::Stale`]), or the engine refuses.
    pub async fn wake(&self, project: &str, services: &[Wake]) -> Result<Vec<ContainerRef>, EngineError> {
        let all = self.containers(project, true).await?;
        let mut woken = Vec::new();
        for Wake { service, restart } in services {
            let own: Vec<_> = all.iter().filter(|one| !one.oneoff && one.service == *service).collect();
            if own.is_empty() {
                return Err(EngineError::Stale(format!("{service} of {project} has no container any more")));
            }
            let starts = own.into_iter().map(|one| async move {
                self.set_restart(&one.id, &one.name, restart).await?;
                let started = self.ask(self.docker().start_container(&one.id, None::<StartContainerOptions>)).await;
                match started {
                    Ok(()) => {}
                    // It runs.
                    Err(error) if status_of(&error) == Some(304) => {}
                    Err(error) => return Err(EngineError::api(format!("start {}", one.name), error)),
                }
                Ok(ContainerRef { id: one.id.clone(), name: one.name.clone(), service: one.service.clone() })
            });
            let started: Result<Vec<ContainerRef>, EngineError> = join_all(starts).await.into_iter().collect();
            woken.extend(started?);
        }
        Ok(woken)
    }

    /// Gives a container this restart policy. One that is gone has none.
    async fn set_restart(&self, id: &str, name: &str, restart: &str) -> Result<(), EngineError> {
        let body = ContainerUpdateBody { restart_policy: Some(policy(restart)), ..ContainerUpdateBody::default() };
        match self.ask(self.docker().update_container(id, body)).await {
            Ok(_) => Ok(()),
            Err(error) if status_of(&error) == Some(404) => Ok(()),
            Err(error) => Err(EngineError::api(format!("set the restart policy of {name}"), error)),
        }
    }
}

/// Of a project's containers those of these services (all when empty), without one-offs.
fn wanted(all: Vec<ContainerStatus>, services: &[String]) -> impl Iterator<Item = ContainerStatus> {
    all.into_iter().filter(|one| !one.oneoff && (services.is_empty() || services.contains(&one.service)))
}

/// Compose's word for a restart policy, for the engine.
fn policy(restart: &str) -> RestartPolicy {
    let (word, count) = restart.split_once(':').unwrap_or((restart, ""));
    let name = match word {
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => RestartPolicyNameEnum::NO,
    };
    RestartPolicy { name: Some(name), maximum_retry_count: Some(count.parse().unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies_are_those_of_compose() {
        for (word, name, count) in [
            ("", RestartPolicyNameEnum::NO, 0),
            ("no", RestartPolicyNameEnum::NO, 0),
            ("always", RestartPolicyNameEnum::ALWAYS, 0),
            ("unless-stopped", RestartPolicyNameEnum::UNLESS_STOPPED, 0),
            ("on-failure", RestartPolicyNameEnum::ON_FAILURE, 0),
            ("on-failure:3", RestartPolicyNameEnum::ON_FAILURE, 3),
        ] {
            let policy = policy(word);
            assert_eq!((policy.name, policy.maximum_retry_count), (Some(name), Some(count)), "{word}");
        }
    }
}
