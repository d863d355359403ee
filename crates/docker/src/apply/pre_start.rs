//! Containers that run to their end before a service starts.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use bollard::{
    models::ContainerStateStatusEnum as Status,
    query_parameters::{CreateContainerOptions, LogsOptionsBuilder, StartContainerOptions},
};
use futures_util::StreamExt as _;
use turnout_compose::{
    labels,
    model::{PreStart, Service},
};
use turnout_report::Event;

use super::{
    containers::{gone, short},
    executor::Executor,
    schedule::Did,
};
use crate::{
    EngineError,
    lines::{Line, Lines},
    translate::{self, ContainerSpec, Target},
};

/// Lines of a failed step's output that its error repeats.
const TAIL: usize = 10;
/// How long a step that is given up has for its own end.
const GRACE: Duration = Duration::from_secs(10);
/// Between two looks at a container whose output has ended.
const POLL: Duration = Duration::from_millis(100);

/// How a step ended.
enum End {
    Exited(i64),
    /// It takes longer than anything may.
    TooLong,
    Cancelled,
}

impl Executor<'_> {
    /// [`turnout_plan::Action::RunPreStart`]. `beside`: number and name of the container whose mounts it has.
    ///
    /// # Errors
    /// A step that does not end with exit code 0, with its last lines; its container is kept.
    pub(super) async fn run_pre_start(
        &self,
        service: &str,
        index: usize,
        name: &str,
        (number, beside): (Option<u32>, &str),
    ) -> Result<Did, EngineError> {
        let definition = self.service(service)?;
        let missing = || EngineError::Stale(format!("service {service} has no pre_start[{index}]"));
        let step = definition.pre_start.get(index).ok_or_else(missing)?;
        // Of several, one may run on that was only perhaps to be replaced: what had to be done before its start is done.
        if let Some(running) = self.world.of_service(service).into_iter().find(|container| container.active) {
            return Ok(Did::Skipped(format!("{} runs", running.name)));
        }
        let beside = self.world.find(service, number, beside).ok_or_else(|| gone(beside))?;
        let image = definition.image_name(&self.run.project.name, service);
        let made_of = step.as_service(&image);
        let id = self.create_step(service, (index, step), &made_of, name, &beside.id).await?;
        let what = format!("service {service:?} pre_start[{index}]");
        let said = Mutex::new(Said::default());
        let end = match self.follow_step(service, index, &made_of, (&id, name), &said).await {
            Ok(end) => end,
            Err(error) => {
                // It never ran, so there is nothing to look at.
                self.forget_step(&id, name).await;
                return Err(error);
            }
        };
        let kept = format!("(hook container {} retained for inspection)", short(&id));
        let tail = said.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).last();
        let tail = if tail.is_empty() { String::new() } else { format!(": {tail}") };
        match end {
            End::Exited(0) => {
                self.forget_step(&id, name).await;
                Ok(Did::Done(format!("ran pre_start[{index}] of {service}")))
            }
            End::Exited(code) => Err(EngineError::Hook(format!("{what} exited with code {code}{tail} {kept}"))),
            End::TooLong => {
                self.engine.stop_container(&id, name, None, Some(GRACE)).await?;
                let seconds = self.run.wait_timeout.as_secs();
                Err(EngineError::Hook(format!("{what} did not end within {seconds} s and was stopped{tail} {kept}")))
            }
            End::Cancelled => {
                self.engine.stop_container(&id, name, None, Some(GRACE)).await?;
                self.forget_step(&id, name).await;
                Err(EngineError::Cancelled)
            }
        }
    }

    /// Creates the container: a container like that of a service, with the mounts of the service's container besides,
    /// and labels by which it is known as a step.
    async fn create_step(
        &self,
        service: &str,
        (index, step): (usize, &PreStart),
        made_of: &Service,
        name: &str,
        beside: &str,
    ) -> Result<String, EngineError> {
        let project = self.run.project;
        if step.per_replica {
            return Err(EngineError::Stale(format!("pre_start[{index}] of {service} is to run for every container")));
        }
        let image_id = self.image_id(&made_of.image).await?;
        let mut resolved = self.resolve(service, made_of, 1).await?;
        resolved.volumes_from.push(beside.to_owned());
        let ContainerSpec { mut body, mac_address, platform, connect, warnings } = translate::container(&Target {
            project,
            name: service,
            service: &resolved.service,
            number: 1,
            container_name: name,
            replaces: None,
            image_id: &image_id,
            config_hash: "",
            own_labels: &[],
            links: &resolved.links,
            volumes_from: &resolved.volumes_from,
            inherited: &[],
            profiles: &resolved.profiles,
            proxy_variables: self.engine.proxy_variables(),
            version: self.engine.version(),
        })?;
        let own = body.labels.get_or_insert_default();
        for label in [labels::CONTAINER_NUMBER, labels::ONEOFF, labels::CONFIG_HASH, labels::IMAGE] {
            own.remove(label);
        }
        own.insert(labels::HOOK.to_owned(), labels::PRE_START.to_owned());
        own.insert(labels::HOOK_INDEX.to_owned(), index.to_string());
        let options = CreateContainerOptions { name: Some(name.to_owned()), platform };
        let created = match &mac_address {
            None => self.engine.ask(self.engine.docker().create_container(Some(options), body)).await,
            Some(address) => self.engine.create_with_mac_address(options, body, address).await,
        };
        let created = created.map_err(|e| EngineError::api(format!("create {name}"), e))?;
        for warning in warnings.into_iter().chain(created.warnings) {
            self.run.reporter.warn(format!("{name}: {warning}"));
        }
        for endpoint in connect {
            self.connect(&created.id, name, endpoint).await?;
        }
        Ok(created.id)
    }

    /// Starts the container and stays with it until it ends; what it says goes to the reporter and to `said`.
    async fn follow_step(
        &self,
        service: &str,
        index: usize,
        made_of: &Service,
        (id, name): (&str, &str),
        said: &Mutex<Said>,
    ) -> Result<End, EngineError> {
        self.copy_files(service, made_of, id).await?;
        let started = self.engine.ask(self.engine.docker().start_container(id, None::<StartContainerOptions>)).await;
        started.map_err(|e| EngineError::api(format!("start {name}, pre_start[{index}] of {service}"), e))?;
        let source = format!("{service} {}[{index}]", labels::PRE_START);
        let whole = async {
            self.pass_on(id, &source, said).await;
            self.exit_code(id, name).await
        };
        tokio::select! {
            code = whole => Ok(End::Exited(code?)),
            () = tokio::time::sleep(self.run.wait_timeout) => Ok(End::TooLong),
            () = self.run.cancel.cancelled() => Ok(End::Cancelled),
        }
    }

    /// Passes the output on until it ends. A driver that keeps no log has none to show, which is said.
    async fn pass_on(&self, id: &str, source: &str, said: &Mutex<Said>) {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build();
        let mut chunks = Box::pin(self.engine.docker().logs(id, Some(options)));
        let mut lines = Lines::default();
        let tell = |Line { stderr, text, .. }: Line| {
            let line = text.trim_end_matches('\r').to_owned();
            self.run.reporter.report(Event::Output { source: source.to_owned(), line: line.clone() });
            said.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(stderr, line);
        };
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => lines.feed(chunk).into_iter().for_each(tell),
                Err(error) => {
                    self.run.reporter.warn(format!("{source}: its output cannot be shown: {error}"));
                    break;
                }
            }
        }
        lines.end().into_iter().for_each(tell);
    }

    /// The exit code, once there is one: the output may end a little before.
    async fn exit_code(&self, id: &str, name: &str) -> Result<i64, EngineError> {
        loop {
            let found = self.engine.find_container(id).await?.ok_or_else(|| gone(name))?;
            let state = found.state.unwrap_or_default();
            if matches!(state.status, Some(Status::EXITED | Status::DEAD)) {
                return Ok(state.exit_code.unwrap_or(-1));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Removes the container with its anonymous volumes; a failure is told and changes nothing.
    async fn forget_step(&self, id: &str, name: &str) {
        if let Err(error) = self.engine.remove_container(id, name, true).await {
            self.run.reporter.warn(format!("{name} has done its work and cannot be removed: {error}"));
        }
    }
}

/// The last lines of both streams.
#[derive(Default)]
struct Said {
    out: VecDeque<String>,
    err: VecDeque<String>,
}

impl Said {
    fn push(&mut self, stderr: bool, line: String) {
        let lines = if stderr { &mut self.err } else { &mut self.out };
        lines.push_back(line);
        if lines.len() > TAIL {
            lines.pop_front();
        }
    }

    /// Those of standard error, where mistakes are told; else those of standard output.
    fn last(self) -> String {
        let lines = if self.err.is_empty() { self.out } else { self.err };
        lines.into_iter().collect::<Vec<_>>().join("\n")
    }
}
