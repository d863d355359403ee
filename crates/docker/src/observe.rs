//! One look at the engine: everything of a project that planning reads, in few requests side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::{
    models::{
        ContainerSummary, ContainerSummaryStateEnum, ImageInspect, MountPoint, Network as ApiNetwork,
        Volume as ApiVolume,
    },
    query_parameters::{ListContainersOptionsBuilder, ListNetworksOptions, ListVolumesOptionsBuilder},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use turnout_compose::{hash::network_hash, labels, model::Project};
use turnout_plan::{
    Existing, ImageState, Observed, ObservedContainer, ObservedMount, ObservedNetwork, ObservedVolume, RunState,
    namespace_owners,
};

use super::{
    ApiVersion, Engine, EngineError,
    error::status_of,
    image::policy::{platform_fits, platform_json},
    translate::{network_name, volume_name},
};

/// First API version that inspects an image for a platform.
const INSPECT_PLATFORM_SINCE: ApiVersion = ApiVersion::v1(49);
/// Inspections side by side; the daemon answers them from memory.
const INSPECTIONS: usize = 16;

/// What the engine tells of a project of which only the name is known; see [`Engine::observe_from`].
#[derive(Debug)]
pub struct Look {
    containers: Vec<ContainerSummary>,
    steps: Vec<ObservedContainer>,
    networks: Vec<ApiNetwork>,
    volumes: Vec<ApiVolume>,
}

impl Engine {
    /// Looks at everything the project has, and at what it refers to by name.
    ///
    /// One request each for containers, networks and labelled volumes ([`Engine::look`]), and one for every distinct image
    /// and for every volume that is not labelled for the project, all at once: listing all images of a host takes the
    /// daemon longer than being asked for the few that matter.
    ///
    /// No container is inspected but for one thing that no list tells: when it was started, where a service lives in
    /// another's namespace ([`Engine::with_starts`]). All else that a plan asks of a container is in the list: the labels
    /// with `config-hash` and the image it was made of, image ID, state and exit code, networks by ID, mounts. What the
    /// list has not (environment, command, limits, health in detail) is not compared value by value: it is part of what
    /// the hash is of, as in Compose.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn observe(&self, project: &Project) -> Result<Observed, EngineError> {
        self.observe_from(project, self.look(&project.name)).await
    }

    /// As [`Engine::observe`], with a look that may have been begun before the project was known.
    ///
    /// # Errors
    /// When the engine does not answer; whatever ends the look.
    pub async fn observe_from(
        &self,
        project: &Project,
        look: impl Future<Output = Result<Look, EngineError>>,
    ) -> Result<Observed, EngineError> {
        let (look, images) = futures_util::try_join!(look, self.images(project))?;
        let Look { containers, steps: step_containers, networks, volumes: labelled } = look;
        let mut containers: Vec<ObservedContainer> = containers.into_iter().filter_map(container).collect();
        let ((), volumes) = futures_util::try_join!(
            self.with_starts(project, &mut containers),
            self.with_named_volumes(project, labelled),
        )?;
        let Matched { mut networks, former: former_networks, twins: network_twins } =
            match_networks(project, networks, &containers);
        self.with_strangers(project, &containers, &mut networks).await?;
        let own_images = Vec::new();
        Ok(Observed {
            containers,
            step_containers,
            networks,
            former_networks,
            network_twins,
            volumes,
            images,
            own_images,
        })
    }

    /// Asks for all that can be asked with nothing but the project's name.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn look(&self, project: &str) -> Result<Look, EngineError> {
        let ((containers, steps), networks, volumes) = futures_util::try_join!(
            self.containers_and_steps(project),
            self.all_networks(),
            self.project_volumes(project),
        )?;
        Ok(Look { containers, steps, networks, volumes })
    }

    /// Adds who else is in a network that is not as the project says: if it is replaced, they are connected again.
    async fn with_strangers(
        &self,
        project: &Project,
        containers: &[ObservedContainer],
        networks: &mut BTreeMap<String, ObservedNetwork>,
    ) -> Result<(), EngineError> {
        for (key, network) in networks {
            let Some(wanted) = project.networks.get(key).map(|wanted| wanted.clone().unwrap_or_default()) else {
                continue;
            };
            let ours = network.labels.get(labels::PROJECT).is_some_and(|name| *name == project.name);
            let recorded = network.labels.get(labels::CONFIG_HASH);
            if wanted.external || !ours || recorded.is_none_or(|hash| *hash == network_hash(&wanted)) {
                continue;
            }
            let members = self.members(&network.id).await?;
            let strange = members.into_iter().filter(|member| containers.iter().all(|own| own.id != member.id));
            network.strangers = strange.collect();
        }
        Ok(())
    }

    /// Containers in any state with an endpoint in a network.
    pub(super) async fn members(&self, network: &str) -> Result<Vec<Existing>, EngineError> {
        let filters = HashMap::from([("network".to_owned(), vec![network.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.ask(self.docker().list_containers(Some(options))).await;
        let listed =
            listed.map_err(|error| EngineError::api(format!("list containers of network {network}"), error))?;
        let existing = |summary: ContainerSummary| {
            let service = summary.labels.and_then(|mut all| all.remove(labels::SERVICE)).unwrap_or_default();
            Some(Existing { service, id: summary.id?, name: own_name(&summary.names.unwrap_or_default()) })
        };
        Ok(listed.into_iter().filter_map(existing).collect())
    }

    /// Adds when they were started to the containers of services that live in others' namespaces, and to those of the
    /// others; the list does not tell, and nobody else's matter.
    async fn with_starts(&self, project: &Project, containers: &mut [ObservedContainer]) -> Result<(), EngineError> {
        let mut concerned: BTreeSet<&str> = BTreeSet::new();
        for (name, service) in &project.services {
            for owner in namespace_owners(service) {
                concerned.extend([name.as_str(), owner]);
            }
        }
        let live = |c: &ObservedContainer| {
            concerned.contains(c.service.as_str()) && matches!(c.state, RunState::Running | RunState::Paused)
        };
        let ids: Vec<String> = containers.iter().filter(|c| live(c)).map(|c| c.id.clone()).collect();
        let starts: BTreeMap<String, Option<i128>> = stream::iter(ids)
            .map(|id| async move {
                // One that is gone by now has no start.
                let started = self.begun(&id).await?;
                Ok((id, started))
            })
            .buffer_unordered(INSPECTIONS)
            .try_collect()
            .await?;
        for container in containers {
            container.started = starts.get(&container.id).copied().flatten();
        }
        Ok(())
    }

    /// What the engine holds under a project name, without a Compose file; for `down -p NAME`.
    pub async fn observe_by_name(&self, project: &str) -> Result<Observed, EngineError> {
        self.observe(&Project { name: project.to_owned(), ..Project::default() }).await
    }

    /// Containers of a project in every state, as listed; those without `config-hash` are not Compose's.
    pub(super) async fn project_containers(&self, project: &str) -> Result<Vec<ContainerSummary>, EngineError> {
        self.labelled_containers(vec![format!("{}={project}", labels::PROJECT), labels::CONFIG_HASH.to_owned()]).await
    }

    /// As [`Self::project_containers`], and those of the `pre_start` steps of the project's services, in every state. One
    /// request: the engine goes through all its containers for each list, and two at once hold each other up.
    pub(super) async fn containers_and_steps(
        &self,
        project: &str,
    ) -> Result<(Vec<ContainerSummary>, Vec<ObservedContainer>), EngineError> {
        let listed = self.labelled_containers(vec![format!("{}={project}", labels::PROJECT)]).await?;
        Ok(told_apart(listed))
    }

    async fn labelled_containers(&self, wanted: Vec<String>) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), wanted)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.ask(self.docker().list_containers(Some(options))).await;
        listed.map_err(|e| EngineError::api("list containers", e))
    }

    /// Networks by name or label cannot be asked for in one request, and hosts have few.
    pub(super) async fn all_networks(&self) -> Result<Vec<ApiNetwork>, EngineError> {
        let listed = self.ask(self.docker().list_networks(None::<ListNetworksOptions>)).await;
        listed.map_err(|e| EngineError::api("list networks", e))
    }

    async fn project_volumes(&self, project: &str) -> Result<Vec<ApiVolume>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{}={project}", labels::PROJECT)])]);
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let listed = self.ask(self.docker().list_volumes(Some(options))).await;
        Ok(listed.map_err(|e| EngineError::api("list volumes", e))?.volumes.unwrap_or_default())
    }

    /// Adds the volumes that the project names and that carry no label of it: external and adopted ones.
    async fn with_named_volumes(
        &self,
        project: &Project,
        labelled: Vec<ApiVolume>,
    ) -> Result<BTreeMap<String, ObservedVolume>, EngineError> {
        let mut found = BTreeMap::new();
        for volume in labelled {
            if let Some(key) = volume.labels.get(labels::VOLUME) {
                found.insert(key.clone(), observed_volume(volume));
            }
        }
        let wanted = project.volumes.keys().map(|key| (key.clone(), volume_name(project, key)));
        let unknown: Vec<_> =
            wanted.filter(|(key, name)| found.get(key).is_none_or(|v: &ObservedVolume| v.name != *name)).collect();
        let named: Vec<(String, Option<ApiVolume>)> = stream::iter(unknown)
            .map(|(key, name)| async move { Ok((key, self.find_volume(&name).await?)) })
            .buffer_unordered(INSPECTIONS)
            .try_collect()
            .await?;
        for (key, volume) in named {
            match volume {
                Some(volume) => found.insert(key, observed_volume(volume)),
                // Labelled for the key under an older name: not the one the project means any more.
                None => found.remove(&key),
            };
        }
        Ok(found)
    }

    /// A volume by exact name; `None` when there is none.
    pub(super) async fn find_volume(&self, name: &str) -> Result<Option<ApiVolume>, EngineError> {
        absent_is_none(self.ask(self.docker().inspect_volume(name)).await)
            .map_err(|e| EngineError::api(format!("inspect volume {name}"), e))
    }

    async fn images(&self, project: &Project) -> Result<BTreeMap<String, ImageState>, EngineError> {
        let mut wanted: BTreeSet<(String, String)> = BTreeSet::new();
        for (name, service) in &project.services {
            let platform = service.platform_or_default(&project.environment);
            wanted.insert((service.image_name(&project.name, name), platform.to_owned()));
            for step in service.pre_start.iter().map(|step| &step.spec).filter(|step| !step.image.is_empty()) {
                wanted.insert((step.image.clone(), step.platform_or_default(&project.environment).to_owned()));
            }
            let mounts = service.with_steps().flat_map(|container| &container.volumes);
            for mount in mounts.filter(|mount| mount.r#type == "image" && !mount.source.is_empty()) {
                // Whatever platform is there: that is what is mounted.
                wanted.insert((mount.source.clone(), String::new()));
            }
        }
        let found: Vec<(String, String, Option<ImageInspect>)> = stream::iter(wanted)
            .map(|(image, platform)| async move {
                let found = self.find_image_for(&image, &platform).await?;
                Ok((image, platform, found))
            })
            .buffered(INSPECTIONS)
            .try_collect()
            .await?;
        let mut states: BTreeMap<String, ImageState> = BTreeMap::new();
        for (image, platform, found) in found {
            let state = states.entry(image).or_default();
            match found {
                // What the platforms of one name have in common is all that is looked at.
                Some(found) if state.id.is_none() => {
                    *state = ImageState { lacking: std::mem::take(&mut state.lacking), ..image_state(found) };
                }
                Some(_) => {}
                None => state.lacking.push(platform),
            }
        }
        Ok(states)
    }

    /// An image by reference as it is for a platform, empty for any; `None` when it is not local or for others only.
    ///
    /// With containerd's store one name can hold the images of several platforms, and the plain inspection tells of the
    /// engine's own first.
    pub(super) async fn find_image_for(
        &self,
        image: &str,
        platform: &str,
    ) -> Result<Option<ImageInspect>, EngineError> {
        let Some(found) = self.find_image(image).await? else { return Ok(None) };
        if matches_platform(&found, platform) {
            return Ok(Some(found));
        }
        let Some(platform) = platform_json(platform).filter(|_| self.version() >= INSPECT_PLATFORM_SINCE) else {
            return Ok(None);
        };
        let other = absent_is_none(self.inspect_image_for(image, &platform).await)
            .map_err(|e| EngineError::api(format!("inspect image {image}"), e))?;
        // The identity that containers are labelled with is that of the name, not that of the platform within it.
        Ok(other.map(|other| ImageInspect { id: found.id, ..other }))
    }

    /// The engine's own platform, `os/architecture`.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn platform(&self) -> Result<String, EngineError> {
        if let Some(platform) = self.learned.platform.known(Instant::now()) {
            return Ok(platform);
        }
        let told =
            self.ask(self.docker().version()).await.map_err(|error| EngineError::api("ask for its version", error))?;
        let platform = format!("{}/{}", told.os.unwrap_or_default(), told.arch.unwrap_or_default());
        self.learned.platform.learn(Instant::now(), platform.clone());
        Ok(platform)
    }

    /// An image by reference; `None` when it is not local.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn find_image(&self, image: &str) -> Result<Option<ImageInspect>, EngineError> {
        absent_is_none(self.ask(self.docker().inspect_image(image)).await)
            .map_err(|e| EngineError::api(format!("inspect image {image}"), e))
    }
}

/// Turns the daemon's 404 into `None`.
pub(super) fn absent_is_none<T>(
    result: Result<T, bollard::errors::Error>,
) -> Result<Option<T>, bollard::errors::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if status_of(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Networks of a project.
#[derive(Default)]
struct Matched {
    /// By Compose key: what is labelled for the project, and what bears a name the project expects. The name wins,
    /// because containers are attached by name; names are compared exactly, and of several equal ones ours is taken, of
    /// several of ours one that a container is in, or else the oldest.
    networks: BTreeMap<String, ObservedNetwork>,
    /// Those that are labelled for the project under names that their keys have no more.
    former: Vec<(String, ObservedNetwork)>,
    /// Of several of ours that have one name, the others.
    twins: Vec<(String, ObservedNetwork)>,
}

fn match_networks(project: &Project, mut networks: Vec<ApiNetwork>, containers: &[ObservedContainer]) -> Matched {
    let Matched { networks: mut found, mut former, mut twins } = Matched::default();
    let mut by_name: BTreeMap<String, ObservedNetwork> = BTreeMap::new();
    let is_used = |network: &ApiNetwork| {
        containers.iter().flat_map(|container| container.networks.values()).any(|id| Some(id) == network.id.as_ref())
    };
    networks.sort_by_key(|network| {
        (!is_used(network), network.created.as_ref().map(ToString::to_string), network.id.clone())
    });
    for network in networks {
        let network = observed_network(network);
        let ours = |network: &ObservedNetwork| network.labels.get(labels::PROJECT).is_some_and(|p| *p == project.name);
        let key = network.labels.get(labels::NETWORK).filter(|_| ours(&network)).cloned();
        if let (Some(key), Some(_)) = (&key, by_name.get(&network.name).filter(|other| ours(other))) {
            twins.push((key.clone(), network));
            continue;
        }
        if let Some(key) = &key {
            if project.networks.contains_key(key) && network.name != network_name(project, key) {
                former.push((key.clone(), network.clone()));
            }
            found.insert(key.clone(), network.clone());
        }
        if ours(&network) || !by_name.contains_key(&network.name) {
            by_name.insert(network.name.clone(), network);
        }
    }
    for key in project.networks.keys() {
        let name = network_name(project, key);
        match by_name.get(&name).or_else(|| by_name.values().find(|n| n.id == name)) {
            Some(network) => found.insert(key.clone(), network.clone()),
            None => found.remove(key),
        };
    }
    Matched { networks: found, former, twins }
}

fn observed_network(network: ApiNetwork) -> ObservedNetwork {
    let ApiNetwork { name, id, labels, options, ipam, .. } = network;
    let pools = ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    ObservedNetwork {
        id: id.unwrap_or_default(),
        name: name.unwrap_or_default(),
        labels: labels.unwrap_or_default().into_iter().collect(),
        options: options.unwrap_or_default().into_iter().collect(),
        subnets: pools.into_iter().filter_map(|pool| pool.subnet).collect(),
        strangers: Vec::new(),
    }
}

/// A listed container as the planner sees it; `None` for an entry without ID.
pub(super) fn container(summary: ContainerSummary) -> Option<ObservedContainer> {
    let labels_map: BTreeMap<String, String> = summary.labels.unwrap_or_default().into_iter().collect();
    let label = |name: &str| labels_map.get(name).cloned().unwrap_or_default();
    let endpoints = summary.network_settings.and_then(|s| s.networks).unwrap_or_default();
    Some(ObservedContainer {
        id: summary.id?,
        name: own_name(&summary.names.unwrap_or_default()),
        service: label(labels::SERVICE),
        number: label(labels::CONTAINER_NUMBER).parse().ok(),
        oneoff: label(labels::ONEOFF) == "True",
        config_hash: label(labels::CONFIG_HASH),
        image_label: label(labels::IMAGE),
        image_id: summary.image_id.unwrap_or_default(),
        state: run_state(summary.state, summary.status.as_deref().unwrap_or_default()),
        started: None,
        labels: labels_map,
        networks: endpoints.into_iter().map(|(name, e)| (name, e.network_id.unwrap_or_default())).collect(),
        mounts: summary.mounts.unwrap_or_default().into_iter().map(mount).collect(),
    })
}

/// Compose's containers, and those of `pre_start` steps.
fn told_apart(listed: Vec<ContainerSummary>) -> (Vec<ContainerSummary>, Vec<ObservedContainer>) {
    let label = |summary: &ContainerSummary, name: &str| summary.labels.as_ref().and_then(|all| all.get(name)).cloned();
    let is_step = |summary: &&ContainerSummary| label(summary, labels::HOOK).as_deref() == Some(labels::PRE_START);
    let steps = listed.iter().filter(is_step).cloned().filter_map(container).collect();
    (listed.into_iter().filter(|summary| label(summary, labels::CONFIG_HASH).is_some()).collect(), steps)
}

/// The container's own name: links add more, of the form `/other/alias`.
fn own_name(names: &[String]) -> String {
    let plain = |n: &&String| !n.trim_start_matches('/').contains('/');
    names.iter().find(plain).or(names.first()).map(|n| n.trim_start_matches('/').to_owned()).unwrap_or_default()
}

/// The list says how a container ended only in words: `Exited (137) 3 minutes ago`.
fn run_state(state: Option<ContainerSummaryStateEnum>, status: &str) -> RunState {
    use ContainerSummaryStateEnum as State;
    match state {
        Some(State::RUNNING | State::STOPPING) => RunState::Running,
        Some(State::PAUSED) => RunState::Paused,
        Some(State::RESTARTING) => RunState::Restarting,
        Some(State::REMOVING) => RunState::Removing,
        Some(State::DEAD) => RunState::Dead,
        Some(State::CREATED | State::EMPTY) | None => RunState::Created,
        Some(State::EXITED) => {
            let code = status.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
            // Unreadable counts as failed, so that nothing is taken for a completed job by accident.
            RunState::Exited(code.and_then(|(code, _)| code.parse().ok()).unwrap_or(-1))
        }
    }
}

fn mount(point: MountPoint) -> ObservedMount {
    let MountPoint { typ, name, source, destination, driver: _, mode: _, rw, propagation: _ } = point;
    ObservedMount {
        kind: typ.map(|t| t.to_string()).unwrap_or_default(),
        name: name.unwrap_or_default(),
        source: source.unwrap_or_default(),
        target: destination.unwrap_or_default(),
        writable: rw.unwrap_or(true),
    }
}

fn observed_volume(volume: ApiVolume) -> ObservedVolume {
    ObservedVolume { name: volume.name, labels: volume.labels.into_iter().collect() }
}

fn image_state(image: ImageInspect) -> ImageState {
    let config = image.config.unwrap_or_default();
    let check = config.healthcheck.and_then(|h| h.test).unwrap_or_default();
    let tagged = image.metadata.and_then(|m| m.last_tag_time);
    ImageState {
        id: image.id,
        lacking: Vec::new(),
        volumes: config.volumes.unwrap_or_default(),
        healthcheck: check.first().is_some_and(|kind| kind != "NONE"),
        last_tag_time: tagged.and_then(|t| t.unix_seconds()),
    }
}

/// The client library's dates are text or times, depending on its features; both are understood.
trait UnixSeconds {
    /// Seconds since the Unix epoch; `None` for year 1, by which the daemon says "never".
    fn unix_seconds(&self) -> Option<i64>;
}

impl UnixSeconds for String {
    fn unix_seconds(&self) -> Option<i64> {
        time::OffsetDateTime::parse(self, &time::format_description::well_known::Rfc3339).ok()?.unix_seconds()
    }
}

impl UnixSeconds for time::OffsetDateTime {
    fn unix_seconds(&self) -> Option<i64> {
        (self.year() > 1).then(|| self.unix_timestamp())
    }
}

/// Whether a local image is of the wanted platform `os[/arch[/variant]]`; no wish fits all, and so does an image that
/// does not tell.
fn matches_platform(image: &ImageInspect, wanted: &str) -> bool {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let (os, architecture, variant) = (text(&image.os), text(&image.architecture), text(&image.variant));
    os.is_empty() || platform_fits(wanted, &os, &architecture, &variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_from_the_list() {
        use ContainerSummaryStateEnum as State;
        for (state, status, wanted) in [
            (State::RUNNING, "Up 3 seconds (healthy)", RunState::Running),
            (State::EXITED, "Exited (0) 3 minutes ago", RunState::Exited(0)),
            (State::EXITED, "Exited (137) Less than a second ago", RunState::Exited(137)),
            (State::EXITED, "nonsense", RunState::Exited(-1)),
            (State::CREATED, "Created", RunState::Created),
        ] {
            assert_eq!(run_state(Some(state), status), wanted, "{status}");
        }
    }

    #[test]
    fn of_networks_of_one_name_the_used_one_is_taken_or_the_oldest() {
        let network = |id: &str, created: &str, project: &str| ApiNetwork {
            id: Some(id.to_owned()),
            name: Some("p_default".to_owned()),
            created: Some(created.parse().unwrap()),
            labels: Some(
                [(labels::PROJECT.to_owned(), project.to_owned()), (labels::NETWORK.to_owned(), "default".to_owned())]
                    .into(),
            ),
            ..Default::default()
        };
        let project =
            Project { name: "p".to_owned(), networks: [("default".to_owned(), None)].into(), ..Project::default() };
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let all = || vec![network("late", late, "p"), network("early", early, "p"), network("other", early, "q")];
        let ids = |matched: Matched| {
            let twins: Vec<String> = matched.twins.into_iter().map(|(_, twin)| twin.id).collect();
            (matched.networks["default"].id.clone(), twins)
        };
        assert_eq!(ids(match_networks(&project, all(), &[])), ("early".to_owned(), vec!["late".to_owned()]));
        let within = ContainerSummary {
            id: Some("c".to_owned()),
            network_settings: Some(bollard::models::ContainerSummaryNetworkSettings {
                networks: Some(
                    [(
                        "p_default".to_owned(),
                        bollard::models::EndpointSettings { network_id: Some("late".to_owned()), ..Default::default() },
                    )]
                    .into(),
                ),
            }),
            ..Default::default()
        };
        let containers: Vec<ObservedContainer> = container(within).into_iter().collect();
        assert_eq!(ids(match_networks(&project, all(), &containers)), ("late".to_owned(), vec!["early".to_owned()]));
    }

    #[test]
    fn containers_of_steps_are_told_apart() {
        let listed = |id: &str, with: &[(&str, &str)]| ContainerSummary {
            id: Some(id.to_owned()),
            labels: Some(with.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()),
            ..Default::default()
        };
        let (containers, steps) = told_apart(vec![
            listed("web", &[(labels::CONFIG_HASH, "c0ffee")]),
            listed("step", &[(labels::HOOK, labels::PRE_START)]),
            listed("both", &[(labels::CONFIG_HASH, "c0ffee"), (labels::HOOK, labels::PRE_START)]),
            listed("other hook", &[(labels::HOOK, "post_start")]),
            listed("by hand", &[]),
        ]);
        assert_eq!(containers.into_iter().filter_map(|found| found.id).collect::<Vec<_>>(), ["web", "both"]);
        assert_eq!(steps.into_iter().map(|found| found.id).collect::<Vec<_>>(), ["step", "both"]);
    }

    #[test]
    fn the_own_name_is_not_a_link() {
        let names = ["/shop-web-1/db".to_owned(), "/shop-db-1".to_owned()];
        assert_eq!(own_name(&names), "shop-db-1");
    }

    #[test]
    fn platforms_are_compared_as_far_as_known() {
        let image = ImageInspect {
            os: Some("linux".into()),
            architecture: Some("amd64".into()),
            variant: Some(String::new()),
            ..Default::default()
        };
        for (wanted, fits) in [
            ("", true),
            ("linux", true),
            ("linux/amd64", true),
            ("linux/x86_64", true),
            ("linux/arm64", false),
            ("windows/amd64", false),
        ] {
            assert_eq!(matches_platform(&image, wanted), fits, "{wanted}");
        }
    }

    #[test]
    fn times_are_read() {
        assert_eq!("2026-01-02T03:04:05.678Z".to_owned().unix_seconds(), Some(1_767_323_045));
        assert_eq!("0001-01-01T00:00:00Z".to_owned().unix_seconds(), None);
    }
}
