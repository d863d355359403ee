//! Names of labels and objects, shared with `docker compose`.

/// Compose release whose labels, names and hashes are written.
pub const COMPOSE_VERSION: &str = "2.40.3";

/// Project that owns the object: containers, networks, volumes, built images.
pub const PROJECT: &str = "com.docker.compose.project";
/// Service: containers and built images.
pub const SERVICE: &str = "com.docker.compose.service";
/// Number of the container among its service's, from 1; absent on one-offs.
pub const CONTAINER_NUMBER: &str = "com.docker.compose.container-number";
/// `False`, or `True` on one-offs. A container without it is half invisible to the CLI.
pub const ONEOFF: &str = "com.docker.compose.oneoff";
/// Digest of the configuration: containers, networks, volumes. A container without it is invisible to the CLI.
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// ID of the image that the container was made from.
pub const IMAGE: &str = "com.docker.compose.image";
/// Images that are mounted, as `TARGET=ID` sorted by target and joined by commas, as they were when the container was
/// made (Compose 5).
pub const IMAGE_VOLUMES: &str = "com.docker.compose.image-volume-digest";
/// Edges as `db:service_healthy:true,x:service_started:false`.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Project directory, absolute.
pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
/// Compose files, absolute, joined by commas.
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// `--env-file` values, only when given.
pub const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";
/// Release of Compose that made the object.
pub const VERSION: &str = "com.docker.compose.version";
/// Name of the container that this one replaced.
pub const REPLACE: &str = "com.docker.compose.replace";
/// Random part of a one-off's name.
pub const SLUG: &str = "com.docker.compose.slug";
/// Kind of hook that a container was made for: `pre_start`. Such a container has neither number nor [`CONFIG_HASH`]: it
/// is no container of its service (Compose 5.3).
pub const HOOK: &str = "com.docker.compose.hook";
/// Place of the step in its list, from 0.
pub const HOOK_INDEX: &str = "com.docker.compose.hook-index";
/// Value of [`HOOK`].
pub const PRE_START: &str = "pre_start";
/// Compose key of a network.
pub const NETWORK: &str = "com.docker.compose.network";
/// Compose key of a volume.
pub const VOLUME: &str = "com.docker.compose.volume";
/// Name of the repository whose deployment made the object: containers that turnout's deployer creates.
pub const TURNOUT_REPOSITORY: &str = "dev.turnout.repository";
/// On a service: settles whether it is a job (`true`) or not (`false`), so whether an end with exit code 0 is its last.
pub const TURNOUT_JOB: &str = "dev.turnout.job";
/// Project for which turnout built the image.
pub const TURNOUT_PROJECT: &str = "dev.turnout.project";
/// Service whose build made an image that turnout's deployer built; the classic builder sets no [`SERVICE`].
pub const TURNOUT_SERVICE: &str = "dev.turnout.service";
/// `classic` on images that the legacy builder made.
pub const IMAGE_BUILDER: &str = "com.docker.compose.image.builder";
/// Fingerprint of what went into an image that turnout's deployer built.
pub const INPUTS: &str = "dev.turnout.inputs";
/// What turnout's own labels begin with.
pub const TURNOUT: &str = "dev.turnout.";
/// What the container reads from the checkout, as it was at its creation. Set by the deployer; not part of the
/// `config-hash`.
pub const READS: &str = "dev.turnout.reads";

use super::model::{Project, Service};

/// Whether names are joined by `_`, as Compose 1 did.
static COMPATIBLE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// From now on the names of containers and images are joined by `_`: what `--compatibility` asks for. A setting of the
/// process, for the command line sets it once before anything is named; the deployer never does.
pub fn name_as_compose_1() {
    COMPATIBLE.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// What stands between the parts of a container's and an image's name.
pub fn separator() -> char {
    if COMPATIBLE.load(std::sync::atomic::Ordering::Relaxed) { '_' } else { '-' }
}

/// Final name of container `number` of a service: `container_name`, or `PROJECT-SERVICE-NUMBER`.
pub fn container_name(project: &str, service_name: &str, service: &Service, number: u32) -> String {
    if service.container_name.is_empty() {
        let between = separator();
        format!("{project}{between}{service_name}{between}{number}")
    } else {
        service.container_name.clone()
    }
}

/// Name of the container of a `pre_start` step: `PROJECT-SERVICE-pre_start-INDEX`.
pub fn pre_start_name(project: &str, service_name: &str, index: usize) -> String {
    let between = separator();
    format!("{project}{between}{service_name}{between}{PRE_START}{between}{index}")
}

/// Name while the container replaces another: the first 12 digits of the old ID before the final name.
pub fn temporary_name(old_id: &str, final_name: &str) -> String {
    let short: String = old_id.chars().take(12).collect();
    format!("{short}_{final_name}")
}

/// A container's name without the twelve hex digits in front that replacement gives it for a while.
pub fn final_name(name: &str) -> &str {
    match name.split_once('_') {
        Some((id, rest)) if id.len() == 12 && !rest.is_empty() && is_hex(id) => rest,
        _ => name,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Sorts the containers of a service; the least is what `service:NAME` means. By name, as in Compose; what an
/// interrupted replacement left comes after the container that it was to replace.
pub fn first_of_names(name: &str) -> (&str, bool) {
    let last = final_name(name);
    (last, last != name)
}

/// Value of [`REPLACE`]: `SERVICE-NUMBER`, or the `container_name`.
pub fn replace_value(service_name: &str, service: &Service, number: u32) -> String {
    if service.container_name.is_empty() { format!("{service_name}-{number}") } else { service.container_name.clone() }
}

/// Name of a network or volume that has none of its own: `PROJECT_KEY`.
pub fn resource_name(project: &str, key: &str) -> String {
    format!("{project}_{key}")
}

/// Value of [`DEPENDS_ON`], sorted by service; empty when there is no edge. Optional dependencies on services that are
/// not active are left out, as Compose does.
pub fn depends_on_value(project: &Project, service: &Service) -> String {
    let edges = service.depends_on.iter().filter(|(name, d)| d.required || project.services.contains_key(*name));
    edges.map(|(name, d)| format!("{name}:{}:{}", d.condition, d.restart)).collect::<Vec<_>>().join(",")
}

/// Value of [`IMAGE_VOLUMES`] for mounts given as target and image ID.
pub fn image_volumes_value(mounts: &std::collections::BTreeMap<String, String>) -> String {
    mounts.iter().map(|(target, id)| format!("{target}={id}")).collect::<Vec<_>>().join(",")
}

/// Reads [`IMAGE_VOLUMES`]: image IDs by target. Parts that are none are skipped.
pub fn parse_image_volumes(value: &str) -> std::collections::BTreeMap<&str, &str> {
    value.split(',').filter_map(|part| part.rsplit_once('=')).collect()
}

/// One edge read back from [`DEPENDS_ON`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledDependency {
    /// Service that the labelled one depends on.
    pub service: String,
    /// `service_started`, `service_healthy` or `service_completed_successfully`.
    pub condition: String,
    /// Whether the dependent restarts with it.
    pub restart: bool,
}

/// Reads [`DEPENDS_ON`]; parts that are missing take Compose's defaults, empty entries are skipped.
pub fn parse_depends_on(value: &str) -> Vec<LabelledDependency> {
    let entries = value.split(',').filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let mut parts = entry.split(':');
            LabelledDependency {
                service: parts.next().unwrap_or_default().to_owned(),
                condition: parts.next().filter(|c| !c.is_empty()).unwrap_or("service_started").to_owned(),
                restart: parts.next() == Some("true"),
            }
        })
        .collect()
}

/// Labels of the project that every container carries, besides its own.
pub fn project_labels(project: &Project, service_name: &str) -> Vec<(&'static str, String)> {
    let mut labels = vec![
        (PROJECT, project.name.clone()),
        (SERVICE, service_name.to_owned()),
        (VERSION, COMPOSE_VERSION.to_owned()),
        (WORKING_DIR, project.working_dir.to_string_lossy().into_owned()),
        (CONFIG_FILES, project.config_files.join(",")),
    ];
    if !project.env_files.is_empty() {
        labels.push((ENVIRONMENT_FILE, project.env_files.join(",")));
    }
    if let Some(repository) = &project.repository {
        labels.push((TURNOUT_REPOSITORY, repository.clone()));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dependency;

    #[test]
    fn names_follow_compose() {
        let plain = Service::default();
        let named = Service { container_name: "own".into(), ..Service::default() };
        assert_eq!(container_name("p", "web", &plain, 2), "p-web-2");
        assert_eq!(container_name("p", "web", &named, 1), "own");
        assert_eq!(temporary_name("0123456789abcdef", "p-web-1"), "0123456789ab_p-web-1");
        assert_eq!(replace_value("web", &plain, 1), "web-1");
        assert_eq!(resource_name("p", "default"), "p_default");
    }

    #[test]
    fn mounted_images_survive_the_label() {
        let mounts = [("/z".to_owned(), "sha256:2".to_owned()), ("/a=b".to_owned(), "sha256:1".to_owned())].into();
        let value = image_volumes_value(&mounts);
        assert_eq!(value, "/a=b=sha256:1,/z=sha256:2");
        assert_eq!(parse_image_volumes(&value), [("/a=b", "sha256:1"), ("/z", "sha256:2")].into());
        assert!(parse_image_volumes("").is_empty());
    }

    #[test]
    fn dependencies_survive_the_label() {
        let edge = |condition: &str, restart| Dependency { condition: condition.into(), restart, required: true };
        let mut service = Service {
            depends_on: [("x".into(), edge("service_started", false)), ("db".into(), edge("service_healthy", true))]
                .into(),
            ..Service::default()
        };
        let mut project = Project::default();
        let value = depends_on_value(&project, &service);
        assert_eq!(value, "db:service_healthy:true,x:service_started:false");
        let read = parse_depends_on(&value);
        assert_eq!(
            read.iter().map(|d| (d.service.as_str(), d.restart)).collect::<Vec<_>>(),
            [("db", true), ("x", false)]
        );
        let optional = Dependency { required: false, ..edge("service_started", false) };
        service.depends_on.insert("x".into(), optional);
        assert_eq!(depends_on_value(&project, &service), "db:service_healthy:true", "x is not active");
        project.services.insert("x".into(), Service::default());
        assert_eq!(depends_on_value(&project, &service), value);
        assert!(parse_depends_on("").is_empty());
        assert_eq!(parse_depends_on("a").first().map(|d| d.condition.as_str()), Some("service_started"));
    }
}
