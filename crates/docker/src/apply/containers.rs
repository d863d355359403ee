//! Creating, replacing, renaming, starting and resuming containers.

use std::{collections::BTreeMap, time::Duration};

use bollard::{
    models::{ContainerStateStatusEnum, NetworkConnectRequest},
    query_parameters::{
        CreateContainerOptions, InspectContainerOptions, KillContainerOptions, RenameContainerOptions,
        StartContainerOptions,
    },
};
use turnout_compose::{
    labels::{self, replace_value},
    model::{Brought, Project, Service},
};
use turnout_plan::{Attempt, ObservedMount, Replaced, attributes};

use super::{executor::Executor, report::ContainerRef, schedule::Did, world::Known};
use crate::{
    EngineError,
    error::{Refusal, status_of},
    observe::absent_is_none,
    translate::{self, ContainerSpec, InheritedMount, Target},
};

/// Longest wait for a name that is reserved although no container bears it: the daemon may be extracting an image.
const RESERVED_NAME_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for a rename that the daemon has begun.
const RENAME_WAIT: Duration = Duration::from_secs(5);
const RESERVED_NAME_POLL: Duration = Duration::from_millis(100);

impl Executor<'_> {
    /// Whether a container bears a name within a short wait.
    async fn becomes(&self, id: &str, name: &str) -> Result<bool, EngineError> {
        let deadline = tokio::time::Instant::now() + RENAME_WAIT;
        loop {
            let found = self.engine.find_container(id).await?.and_then(|container| container.name);
            if found.is_some_and(|found| found.trim_start_matches('/') == name) {
                return Ok(true);
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(RESERVED_NAME_POLL).await;
        }
    }

    /// Whether the container of a name has gone, or is about to: its name is given back a little later.
    async fn is_going(&self, name: &str) -> Result<bool, EngineError> {
        let found = self.engine.find_container(name).await?.and_then(|container| container.state);
        Ok(found
            .and_then(|state| state.status)
            .is_none_or(|status| matches!(status, ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD)))
    }

    /// The ID of the container of that name, if it is the project's.
    async fn one_of_ours(&self, name: &str) -> Result<Option<String>, EngineError> {
        let Some(found) = self.engine.find_container(name).await? else { return Ok(None) };
        let project = found.config.and_then(|config| config.labels).and_then(|mut all| all.remove(labels::PROJECT));
        Ok(found.id.filter(|_| project.as_deref() == Some(self.run.project.name.as_str())))
    }

    /// [`turnout_plan::Action::CreateContainer`]. Of what it replaces both exist for a while, and can be told apart by their
    /// names and labels, so that an interrupted run converges the next time.
    pub(super) async fn create(
        &self,
        service: &str,
        number: u32,
        name: &str,
        create_as: &str,
        replaces: Option<&Replaced>,
    ) -> Result<Did, EngineError> {
        let definition = self.service(service)?;
        let mut inherited = Vec::new();
        if let Some(Replaced { id, name, inherit_volumes }) = replaces {
            let old = self.world.by_id(id).ok_or_else(|| gone(name))?;
            if *inherit_volumes {
                inherited = self.inherited(service, definition, &old).await?;
            }
        }
        // What one of another project has goes before what the one that is replaced has: that one stood still meanwhile.
        let brought = brought(self.run.project, service, definition, number);
        inherited.retain(|old| brought.iter().all(|new| new.target != old.target));
        inherited.extend(brought);
        let kept: Vec<String> =
            inherited.iter().filter(|mount| mount.kind == "volume").map(|mount| mount.target.clone()).collect();
        let new = New { service, number, final_name: name, create_as, replaces, inherited };
        let id = self.create_new(&new).await?;
        // Said, because what a new image has at such a path is not seen.
        let kept = match kept.as_slice() {
            [] => String::new(),
            paths => format!("; what its anonymous volumes hold goes on: {}", paths.join(", ")),
        };
        let Some(old) = replaces else {
            return Ok(Did::Done(format!("created {create_as} ({}{kept})", short(&id))));
        };
        Ok(Did::Done(format!("created {} to replace {} ({}{kept})", short(&id), old.name, short(&old.id))))
    }

    /// [`turnout_plan::Action::RenameContainer`] of a container that was made in this run.
    pub(super) async fn rename_made(&self, service: &str, from: &str, to: &str) -> Result<Did, EngineError> {
        let made = self.world.find(service, None, from).ok_or_else(|| gone(from))?;
        self.rename(&made.id, from, to).await?;
        self.note_renamed(&made.id, to);
        Ok(Did::Done(match &made.replaces {
            Some(old) => format!("recreated {to} ({} replaces {})", short(&made.id), short(old)),
            None => format!("renamed {from} to {to}"),
        }))
    }

    /// [`turnout_plan::Action::RenameContainer`].
    pub(super) async fn rename(&self, id: &str, from: &str, to: &str) -> Result<Did, EngineError> {
        let deadline = tokio::time::Instant::now() + RENAME_WAIT;
        loop {
            let options = RenameContainerOptions { name: to.to_owned() };
            let Err(error) = self.engine.ask(self.engine.docker().rename_container(id, options)).await else { break };
            let status = status_of(&error);
            let error = EngineError::api(format!("rename {from} to {to}"), error);
            let done = match error.refusal() {
                // Another run at the same time has already done it.
                Some(Refusal::SameName) => true,
                // The daemon may still be at what an interrupted run asked for: the same rename, or (below) the removal of
                // the container that had the name.
                Some(Refusal::NameTaken(bearer)) if bearer == id => self.becomes(id, to).await?,
                _ => false,
            };
            if done {
                break;
            }
            match error.refusal() {
                Some(Refusal::NameTaken(bearer)) if bearer == id => {}
                _ if status == Some(404) => {
                    return Err(EngineError::Stale(format!("container {from} has disappeared")));
                }
                _ if status == Some(409) => {
                    if tokio::time::Instant::now() < deadline && self.is_going(to).await? {
                        tokio::time::sleep(RESERVED_NAME_POLL).await;
                        continue;
                    }
                    if let Some(id) = self.one_of_ours(to).await? {
                        return Err(EngineError::Stale(format!("container {to} ({}) appeared meanwhile", short(&id))));
                    }
                }
                _ => {}
            }
            return Err(error);
        }
        self.world.rename(id, to);
        Ok(Did::Done(format!("renamed {from} to {to}")))
    }

    /// [`turnout_plan::Action::StartContainer`].
    pub(super) async fn start(&self, service: &str, number: Option<u32>, name: &str) -> Result<Did, EngineError> {
        let known = self.world.find(service, number, name).ok_or_else(|| gone(name))?;
        self.start_known(service, &known, name).await
    }

    /// Starts this very container, known as `name`.
    pub(super) async fn start_known(&self, service: &str, known: &Known, name: &str) -> Result<Did, EngineError> {
        self.start_as(self.run.project.services.get(service), service, known, name).await
    }

    /// The same, with the networks, copied files and hooks of a definition. Without one there is only what the container
    /// brings: where there is no project file (`start -p NAME`), or another one than it was made of.
    pub(super) async fn start_as(
        &self,
        definition: Option<&Service>,
        service: &str,
        known: &Known,
        name: &str,
    ) -> Result<Did, EngineError> {
        if known.active {
            return Ok(Did::Skipped(format!("{name} already runs")));
        }
        if let Some(definition) = definition {
            self.complete_networks(service, definition, known).await?;
            self.copy_files(service, definition, &known.id).await?;
        }
        let ranged = definition.is_some_and(|d| d.ports.iter().any(|p| p.published.contains('-')));
        let guard = if ranged { Some(self.ranged_starts.lock().await) } else { None };
        let started =
            self.engine.ask(self.engine.docker().start_container(&known.id, None::<StartContainerOptions>)).await;
        drop(guard);
        let started = started.map_err(|error| EngineError::api(format!("start {name}"), error));
        started.map_err(|error| match error.refusal() {
            // What runs at once, or one that was killed, has made a network twice.
            Some(Refusal::AmbiguousNetwork) => EngineError::Stale(format!("{name} cannot be started: {error}")),
            // The daemon has undone the creation of a run that was interrupted, or somebody has removed it.
            Some(Refusal::NoSuchContainer) if error.status() == Some(404) => {
                EngineError::Stale(format!("container {name} has disappeared"))
            }
            _ => error,
        })?;
        self.world.set_active(&known.id, true);
        self.note_started(ContainerRef { id: known.id.clone(), name: name.to_owned(), service: service.to_owned() });
        if definition.is_some() {
            self.after_start(service, &known.id, name).await?;
        }
        Ok(Did::Done(format!("started {name}")))
    }

    /// Runs the `post_start` hooks; without the service's definition there are none.
    pub(super) async fn after_start(&self, service: &str, id: &str, name: &str) -> Result<(), EngineError> {
        let Some(definition) = self.run.project.services.get(service) else { return Ok(()) };
        for hook in &definition.post_start {
            self.run_hook(service, definition, id, name, hook, "post_start").await?;
        }
        Ok(())
    }

    /// [`turnout_plan::Action::SignalContainer`].
    pub(super) async fn signal(&self, id: &str, name: &str, signal: &str) -> Result<Did, EngineError> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        match self.engine.ask(self.engine.docker().kill_container(id, Some(options))).await {
            Ok(()) => Ok(Did::Done(format!("sent {signal} to {name}"))),
            // It stopped meanwhile; whoever starts it makes it read its files.
            Err(error) if matches!(status_of(&error), Some(404 | 409)) => {
                Ok(Did::Skipped(format!("{name} does not run")))
            }
            Err(error) => Err(EngineError::api(format!("send {signal} to {name}"), error)),
        }
    }

    /// [`turnout_plan::Action::UnpauseContainer`].
    pub(super) async fn unpause(&self, id: &str, name: &str) -> Result<Did, EngineError> {
        match self.engine.ask(self.engine.docker().unpause_container(id)).await {
            Ok(()) => Ok(Did::Done(format!("resumed {name}"))),
            Err(error) => Err(EngineError::api(format!("unpause {name}"), error)),
        }
    }

    /// Creates a container and connects the networks that its creation could not.
    async fn create_new(&self, new: &New<'_>) -> Result<String, EngineError> {
        let New { service: name, number, final_name, create_as, replaces, inherited } = new;
        let project = self.run.project;
        let service = self.service(name)?;
        let label = replaces.map(|_| replace_value(name, service, *number));
        let image_id = self.image_id(&service.image_name(&project.name, name)).await?;
        let resolved = self.resolve(name, service, *number).await?;
        let fingerprint = attributes::fingerprint(&project.name, name, service);
        let mut own_labels = vec![(attributes::LABEL, fingerprint.as_str())];
        let mounted = self.mounted_images(service).await?;
        if !mounted.is_empty() {
            own_labels.push((labels::IMAGE_VOLUMES, mounted.as_str()));
        }
        own_labels.extend(self.run.reads.and_then(|all| all.get(*name)).map(|reads| (labels::READS, reads.as_str())));
        let ContainerSpec { body, mac_address, platform, connect, warnings } = translate::container(&Target {
            project,
            name,
            service: &resolved.service,
            number: *number,
            container_name: final_name,
            replaces: label.as_deref(),
            image_id: &image_id,
            config_hash: &resolved.config_hash,
            own_labels: &own_labels,
            links: &resolved.links,
            volumes_from: &resolved.volumes_from,
            inherited,
            profiles: &resolved.profiles,
            proxy_variables: self.engine.proxy_variables(),
            version: self.engine.version(),
        })?;
        // Refuses what could not be copied later, while nothing has been made yet.
        translate::copied_files(project, name, service)?;
        let options = CreateContainerOptions { name: Some((*create_as).to_owned()), platform };
        let hashes = (resolved.config_hash.as_str(), image_id.as_str());
        let deadline = tokio::time::Instant::now() + RESERVED_NAME_WAIT;
        // Known to whoever puts back, also when this is given up in between.
        let note = |id: Option<&str>, answered: bool, adopted: bool| {
            let (config_hash, id) = (resolved.config_hash.clone(), id.map(str::to_owned));
            self.world.attempted(create_as, Attempt { config_hash, id, answered, adopted });
        };
        let (id, adopted) = loop {
            note(None, false, false);
            let (options, body) = (options.clone(), body.clone());
            let created = match &mac_address {
                None => self.engine.ask(self.engine.docker().create_container(Some(options), body)).await,
                Some(address) => self.engine.create_with_mac_address(options, body, address).await,
            };
            let error = match created {
                Ok(created) => {
                    for warning in warnings.into_iter().chain(created.warnings) {
                        self.run.reporter.warn(format!("{final_name}: {warning}"));
                    }
                    break (created.id, false);
                }
                Err(error) => error,
            };
            note(None, status_of(&error).is_some(), false);
            let conflict = status_of(&error) == Some(409);
            let error = EngineError::api(format!("create {create_as}"), error);
            if !conflict {
                return Err(error);
            }
            if let Some(id) = self.adopt(create_as, name, hashes).await? {
                break (id, true);
            }
            // The name is reserved by a container that the daemon is just making or removing, perhaps for a run that
            // was killed: it becomes visible, or the name free.
            if tokio::time::Instant::now() >= deadline {
                return Err(error);
            }
            tokio::select! {
                () = tokio::time::sleep(RESERVED_NAME_POLL) => {}
                () = self.run.cancel.cancelled() => return Err(EngineError::Cancelled),
            }
        };
        note(Some(&id), true, adopted);
        for endpoint in connect {
            self.connect(&id, final_name, endpoint).await?;
        }
        self.world.insert(Known {
            id: id.clone(),
            name: (*create_as).to_owned(),
            service: (*name).to_owned(),
            number: Some(*number),
            oneoff: false,
            active: false,
            mounts: Vec::new(),
            networks: None,
            replaces: replaces.map(|old| old.id.clone()),
        });
        Ok(id)
    }

    /// Which images a container of the service has mounted, for its label.
    async fn mounted_images(&self, service: &Service) -> Result<String, EngineError> {
        let mut mounted = BTreeMap::new();
        for mount in service.volumes.iter().filter(|mount| mount.r#type == "image" && !mount.source.is_empty()) {
            mounted.insert(mount.target.clone(), self.image_id(&mount.source).await?);
        }
        Ok(labels::image_volumes_value(&mounted))
    }

    /// Connects what an interrupted run left unconnected: daemons before API 1.44 take further networks only after
    /// the creation, and a container that is not running does not look any different without them.
    async fn complete_networks(&self, name: &str, service: &Service, known: &Known) -> Result<(), EngineError> {
        let (project, version) = (self.run.project, self.engine.version());
        if known.number.is_none() || service.networks.len() < 2 {
            return Ok(());
        }
        let Some(attached) = &known.networks else { return Ok(()) };
        let number = known.number.unwrap_or(1);
        let links = self.resolve(name, service, number).await?.links;
        for endpoint in translate::endpoints(project, name, service, &known.name, &links, version)? {
            if !attached.contains(&endpoint.network) {
                self.connect(&known.id, &known.name, endpoint).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn connect(&self, id: &str, name: &str, endpoint: translate::Endpoint) -> Result<(), EngineError> {
        let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(endpoint.settings) };
        let connected = self.engine.ask(self.engine.docker().connect_network(&endpoint.network, request)).await;
        match connected
            .map_err(|error| EngineError::api(format!("connect {name} to network {}", endpoint.network), error))
        {
            // An adopted container may be connected already.
            Err(error) if error.refusal() == Some(&Refusal::EndpointExists) => Ok(()),
            done => done,
        }
    }

    /// The name is taken. An identical container of ours, left by an interrupted run, is taken over; anything else is
    /// named to the reader. `None` when no such container can be seen. `hashes` are those of configuration and image.
    async fn adopt(
        &self,
        name: &str,
        service: &str,
        (config_hash, image_id): (&str, &str),
    ) -> Result<Option<String>, EngineError> {
        let found = absent_is_none(
            self.engine.ask(self.engine.docker().inspect_container(name, None::<InspectContainerOptions>)).await,
        )
        .map_err(|e| EngineError::api(format!("inspect {name}"), e))?;
        let Some(found) = found else { return Ok(None) };
        let id = found.id.unwrap_or_default();
        let labels = found.config.and_then(|c| c.labels).unwrap_or_default();
        let label = |name: &str| labels.get(name).map(String::as_str).unwrap_or_default();
        let ours = label(labels::PROJECT) == self.run.project.name && label(labels::SERVICE) == service;
        let idle = found.state.and_then(|s| s.running) != Some(true);
        let read_the_same =
            self.run.reads.and_then(|all| all.get(service)).is_none_or(|reads| label(labels::READS) == reads);
        let identical = label(labels::CONFIG_HASH) == config_hash && label(labels::IMAGE) == image_id && read_the_same;
        if ours && idle && identical {
            self.run.reporter.info(format!("{name}: taking over the identical container {}", short(&id)));
            return Ok(Some(id));
        }
        if ours {
            return Err(EngineError::Stale(format!("container {name} ({}) appeared meanwhile", short(&id))));
        }
        let owner = match label(labels::PROJECT) {
            "" => "a container that Compose did not make".to_owned(),
            project => format!("service {} of project {project}", label(labels::SERVICE)),
        };
        Err(EngineError::Conflict {
            what: format!("the container name {name} is in use by {owner} ({})", short(&id)),
            hint: format!("rename or remove that one, `docker rm -f {}`, or choose another container_name", short(&id)),
        })
    }

    /// Anonymous volumes of the old container that its successor mounts again: those of paths that the image declares
    /// as VOLUME, or that the service mounts without a source. The Compose CLI hands on whatever is mounted at such a
    /// path, also what its files do not name any more; a deployment does not.
    async fn inherited(&self, name: &str, service: &Service, old: &Known) -> Result<Vec<InheritedMount>, EngineError> {
        if old.mounts.iter().all(|m| m.kind == "tmpfs") {
            return Ok(Vec::new());
        }
        let image = self.engine.find_image(&service.image_name(&self.run.project.name, name)).await?;
        let declared = image.and_then(|i| i.config).and_then(|c| c.volumes).unwrap_or_default();
        let anonymous = |target: &str| service.volumes.iter().any(|m| m.target == target && m.source.is_empty());
        let deploying = self.run.reads.is_some();
        let inherits = |m: &&ObservedMount| {
            m.kind != "tmpfs"
                && (declared.contains(&m.target) || anonymous(&m.target))
                && (!deploying || m.kind == "volume" && is_anonymous(&m.name))
        };
        Ok(old
            .mounts
            .iter()
            .filter(inherits)
            .map(|m| InheritedMount {
                kind: m.kind.clone(),
                source: if m.kind == "volume" { m.name.clone() } else { m.source.clone() },
                target: m.target.clone(),
                writable: m.writable,
            })
            .collect())
    }
}

/// Volumes without a name that it takes over from a container of another project, but where it mounts something of its own.
fn brought(project: &Project, name: &str, service: &Service, number: u32) -> Vec<InheritedMount> {
    let own = |target: &str| {
        service
            .volumes
            .iter()
            .any(|mount| mount.target == target && (!mount.source.is_empty() || mount.r#type == "tmpfs"))
    };
    let all = project.brought.get(name).into_iter().flatten();
    let here = all.filter(|one| one.number == number && !own(&one.target));
    let mount = |one: &Brought| InheritedMount {
        kind: "volume".to_owned(),
        source: one.volume.clone(),
        target: one.target.clone(),
        writable: one.writable,
    };
    here.map(mount).collect()
}

/// A container to create.
struct New<'a> {
    service: &'a str,
    number: u32,
    final_name: &'a str,
    /// Name until the one it replaces is gone.
    create_as: &'a str,
    replaces: Option<&'a Replaced>,
    inherited: Vec<InheritedMount>,
}

/// Whether the engine gave a volume its name: 64 hexadecimal digits.
fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// An ID as people read it.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

pub(super) fn gone(name: &str) -> EngineError {
    EngineError::Stale(format!("container {name} does not exist"))
}
