//! The real engine, seen from a test. Blocking, so that plain `#[test]` functions can use it; safe inside async ones.

use std::{collections::HashMap, future::Future, time::Duration};

use bollard::{
    Docker,
    models::{ContainerSummary, Network},
    query_parameters as q,
};

use super::{PATIENCE, wait_until};

/// Label with the Compose project's name.
pub const PROJECT: &str = "com.docker.compose.project";
/// Label with the service's name.
pub const SERVICE: &str = "com.docker.compose.service";

/// Runs a future to its end on a thread and runtime of its own.
pub fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
        scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A connection to the engine the tests use: `DOCKER_HOST`, or the default socket.
pub async fn connect() -> Docker {
    let docker = Docker::connect_with_local_defaults().expect("address of the Docker engine");
    docker.negotiate_version().await.expect("a Docker engine answers; `script/test` starts one")
}

/// The newest minor version of API 1 that the engine speaks.
pub fn api() -> usize {
    let version = block_on(async { connect().await.version().await.unwrap().api_version.unwrap() });
    version.strip_prefix("1.").and_then(|minor| minor.parse().ok()).unwrap_or_else(|| panic!("API {version}"))
}

/// The image that test stacks build upon: made by `script/test` for its run, else by `script/setup`.
pub fn base_image() -> String {
    let name = std::env::var("TURNOUT_TEST_BASE").unwrap_or_else(|_| "turnout-base:latest".to_owned());
    let found = block_on(async { connect().await.inspect_image(&name).await.is_ok() });
    assert!(found, "the image {name} is missing; `script/setup` makes turnout-base:latest");
    name
}

/// Removes everything of one Compose project when dropped: containers, networks, volumes and built images.
pub struct ProjectGuard(pub String);

impl ProjectGuard {
    /// Guards `project`, which need not exist yet.
    pub fn new(project: impl Into<String>) -> Self {
        Self(project.into())
    }
}

impl Drop for ProjectGuard {
    fn drop(&mut self) {
        // A failed removal must not hide the test's own failure; script/test removes leftovers by name.
        block_on(remove_project(&self.0));
    }
}

/// The containers of a project, stopped ones too, sorted by name.
pub fn containers(project: &str) -> Vec<ContainerSummary> {
    let mut found = block_on(async { list(&connect().await, project).await });
    found.sort_by(|a, b| a.names.cmp(&b.names));
    found
}

/// The identifiers of a service's containers, sorted.
pub fn ids(project: &str, service: &str) -> Vec<String> {
    let of_service =
        |c: &ContainerSummary| c.labels.as_ref().and_then(|l| l.get(SERVICE)).is_some_and(|s| s == service);
    let mut ids: Vec<_> = containers(project).into_iter().filter(of_service).filter_map(|c| c.id).collect();
    ids.sort();
    ids
}

/// How many containers of a service run in these projects at one instant.
pub fn running(projects: &[&str], service: &str) -> usize {
    let listed = listed_running(projects, service);
    if listed.len() <= 1 {
        return listed.len();
    }
    // The engine's list has one that has ended as running until its network is cleared up, which takes seconds on a busy machine;
    // looking at that one waits for that. Who runs in a first and a second round of looks ran between them.
    let runs = |id: &String| {
        let state = block_on(async { connect().await.inspect_container(id, None).await }).ok()?.state?;
        state.running.unwrap_or_default().then_some(state.started_at)
    };
    let first: Vec<_> = listed.iter().map(runs).collect();
    let both = listed.iter().zip(first).filter(|(id, first)| first.is_some() && runs(id) == *first);
    both.count()
}

/// Those that the engine lists as running, in one look.
fn listed_running(projects: &[&str], service: &str) -> Vec<String> {
    let label = HashMap::from([("label".to_owned(), vec![format!("{SERVICE}={service}")])]);
    let options = q::ListContainersOptionsBuilder::new().filters(&label).build();
    let all = block_on(async { connect().await.list_containers(Some(options)).await.expect("list containers") });
    let in_them = |one: &&ContainerSummary| {
        let project = one.labels.as_ref().and_then(|labels| labels.get(PROJECT));
        project.is_some_and(|project| projects.contains(&project.as_str()))
    };
    // Paused ones and those that are started again and again are listed as well.
    let runs = |one: &&ContainerSummary| one.state.as_ref().map(ToString::to_string).as_deref() == Some("running");
    all.iter().filter(in_them).filter(runs).filter_map(|one| one.id.clone()).collect()
}

/// The address on which the host reaches a service's port.
pub fn address(project: &str, service: &str, port: u16) -> std::net::SocketAddr {
    wait_until(&format!("port {port} of {project}/{service}"), Duration::from_secs(30), || {
        let containers = containers(project);
        let published = containers
            .iter()
            .filter(|c| c.labels.as_ref().and_then(|l| l.get(SERVICE)).is_some_and(|s| s == service))
            .flat_map(|c| c.ports.iter().flatten())
            .filter(|p| p.private_port == port)
            .find_map(|p| p.public_port);
        published.map(|p| ([127, 0, 0, 1], p).into()).ok_or(containers)
    })
}

/// Waits until `GET path` of a service answers 200 with `text` in its body; returns the body.
pub fn wait_for_page(project: &str, service: &str, port: u16, path: &str, text: &str) -> String {
    let address = address(project, service, port);
    wait_until(&format!("{text:?} at {address}{path}"), PATIENCE, || match super::http::get(address, path) {
        Ok(answer) if answer.status == 200 && answer.body.contains(text) => Ok(answer.body),
        other => Err(other),
    })
}

/// Removes a network, once the engine lets it go: as `docker network prune` does where all that is in it is stopped.
pub fn remove_network(name: &str) {
    wait_until(&format!("network {name} to be nobody's"), PATIENCE, || {
        block_on(async { connect().await.remove_network(name).await }).map_err(|error| error.to_string())
    });
}

/// Removes what of a project stands still, as `docker container prune` does.
pub fn remove_stopped(project: &str) {
    for one in containers(project) {
        // What runs is refused.
        let options = q::RemoveContainerOptionsBuilder::new().force(false).build();
        let _ = block_on(async { connect().await.remove_container(&one.id.unwrap_or_default(), Some(options)).await });
    }
}

async fn list(docker: &Docker, project: &str) -> Vec<ContainerSummary> {
    let options = q::ListContainersOptionsBuilder::new().all(true).filters(&of(project)).build();
    docker.list_containers(Some(options)).await.expect("list containers")
}

fn of(project: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{PROJECT}={project}")])])
}

async fn remove_project(project: &str) {
    let docker = connect().await;
    for container in list(&docker, project).await {
        let options = q::RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        report("container", docker.remove_container(&container.id.unwrap_or_default(), Some(options)).await);
    }
    let options = q::ListNetworksOptionsBuilder::new().filters(&of(project)).build();
    let networks: Vec<Network> = docker.list_networks(Some(options)).await.unwrap_or_default();
    for network in networks {
        report("network", docker.remove_network(&network.id.unwrap_or_default()).await);
    }
    let options = q::ListVolumesOptionsBuilder::new().filters(&of(project)).build();
    let volumes = docker.list_volumes(Some(options)).await.ok().and_then(|answer| answer.volumes);
    for volume in volumes.unwrap_or_default() {
        let options = q::RemoveVolumeOptionsBuilder::new().force(true).build();
        report("volume", docker.remove_volume(&volume.name, Some(options)).await);
    }
    remove_images_of(&format!("{PROJECT}={project}"), project).await;
}

/// Removes the images with a label (`name=value`), and those whose names begin with the project's, as Compose names
/// them even where a builder sets no label.
pub async fn remove_images_of(label: &str, project: &str) {
    let docker = connect().await;
    let prefix = format!("{project}-");
    let named = |tag: &&String| tag.starts_with(&prefix);
    let images = docker.list_images(None::<q::ListImagesOptions>).await.unwrap_or_default();
    for tag in images.iter().flat_map(|image| &image.repo_tags).filter(named) {
        remove_image(tag).await;
    }
    let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
    let options = q::ListImagesOptionsBuilder::new().all(true).filters(&filters).build();
    // Newest first: an image cannot be removed before those that are built upon it.
    let mut images = docker.list_images(Some(options)).await.unwrap_or_default();
    images.sort_by_key(|image| std::cmp::Reverse(image.created));
    for image in images {
        remove_image(&image.id).await;
    }
}

/// Removes an image by name or identifier; one that is not there is fine.
pub async fn remove_image(image: &str) {
    let options = q::RemoveImageOptionsBuilder::new().force(true).build();
    report("image", connect().await.remove_image(image, Some(options), None).await.map(|_| ()));
}

fn report(kind: &str, removed: Result<(), bollard::errors::Error>) {
    match removed {
        Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(e) => eprintln!("a {kind} of a test stays behind: {e}"),
    }
}
