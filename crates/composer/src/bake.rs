//! `build --print`: the builds as the file of `docker buildx bake`, as the real command line prints it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Serialize;
use turnout_compose::{
    labels,
    model::{Build, Project, Service},
};
use turnout_docker::image::{BuildOptions, named::is_remote};

#[derive(Serialize)]
struct File {
    group: BTreeMap<&'static str, Group>,
    target: BTreeMap<String, Target>,
}

#[derive(Serialize)]
struct Group {
    targets: Vec<String>,
}

/// Fields in the order that the real command line prints them; what is empty is left out.
#[derive(Serialize, Default)]
#[serde(rename_all = "kebab-case")]
struct Target {
    #[serde(skip_serializing_if = "String::is_empty")]
    context: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    contexts: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    dockerfile: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dockerfile_inline: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    args: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_from: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cache_to: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    target: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secret: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ssh: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pull: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_cache: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    no_cache_filter: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    network: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    shm_size: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ulimits: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entitlements: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra_hosts: BTreeMap<String, String>,
    output: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attest: Vec<String>,
}

/// The file as text. `builds`: the services that are asked for.
pub(super) fn text(
    project: &Project,
    builds: &BTreeMap<String, String>,
    options: BuildOptions,
) -> serde_json::Result<String> {
    let names = targets(project);
    let target = |(name, service): (&String, &Service)| {
        let build = service.build.as_ref()?;
        Some((names.get(name)?.clone(), target(project, name, service, build, &names, options)))
    };
    let group = Group { targets: builds.keys().filter_map(|name| names.get(name).cloned()).collect() };
    let file =
        File { group: [("default", group)].into(), target: project.services.iter().filter_map(target).collect() };
    let text = serde_json::to_string_pretty(&file)?;
    // As Go writes JSON.
    Ok(text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e"))
}

/// Names of targets have no dots; two services never share one.
fn targets(project: &Project) -> BTreeMap<String, String> {
    project.services.keys().map(|name| (name.clone(), name.replace('.', "_"))).collect()
}

fn target(
    project: &Project,
    name: &str,
    service: &Service,
    build: &Build,
    names: &BTreeMap<String, String>,
    options: BuildOptions,
) -> Target {
    let environment = &project.environment;
    let args = build.args.iter().filter_map(|(key, value)| {
        let value = value.clone().or_else(|| environment.get(key).cloned())?;
        Some((key.clone(), value.replace("${", "$${")))
    });
    let mut labels = build.labels.clone();
    labels.insert(labels::PROJECT.to_owned(), project.name.clone());
    labels.insert(labels::SERVICE.to_owned(), name.to_owned());
    labels.insert(labels::VERSION.to_owned(), labels::COMPOSE_VERSION.to_owned());
    let contexts = build.additional_contexts.iter().map(|(key, value)| {
        let other = value.strip_prefix("service:").and_then(|other| names.get(other));
        (key.clone(), other.map_or_else(|| value.clone(), |target| format!("target:{target}")))
    });
    let platforms = match service.platform.as_str() {
        platform if build.platforms.is_empty() && !platform.is_empty() => vec![platform.to_owned()],
        _ => build.platforms.clone(),
    };
    let push = options.push && !service.image.is_empty();
    let mut entitlements = build.entitlements.clone();
    if build.privileged {
        entitlements.push("security.insecure".to_owned());
    }
    let mut tags = build.tags.clone();
    tags.push(service.image_name(&project.name, name));
    Target {
        context: build.context.clone(),
        contexts: contexts.collect(),
        dockerfile: dockerfile(&build.context, &build.dockerfile),
        dockerfile_inline: build.dockerfile_inline.replace("${", "$${"),
        args: args.collect(),
        labels,
        tags,
        cache_from: build.cache_from.clone(),
        cache_to: build.cache_to.clone(),
        target: build.target.clone(),
        secret: build.secrets.iter().filter_map(|reference| secret(project, reference)).collect(),
        ssh: build.ssh.iter().map(|key| format!("{}={}", key.id, key.path)).collect(),
        output: vec![match (platforms.len() > 1, push) {
            (true, push) => format!("type=image,push={push}"),
            (false, true) => "type=registry".to_owned(),
            (false, false) => "type=docker".to_owned(),
        }],
        platforms,
        pull: build.pull,
        no_cache: build.no_cache,
        no_cache_filter: build.no_cache_filter.clone(),
        network: build.network.clone(),
        shm_size: (build.shm_size.0 != 0).then(|| build.shm_size.0.to_string()),
        ulimits: build
            .ulimits
            .iter()
            .map(|(name, limit)| match limit.single {
                single if single > 0 => format!("{name}={single}"),
                _ => format!("{name}={}:{}", limit.soft, limit.hard),
            })
            .collect(),
        entitlements,
        extra_hosts: build.extra_hosts.0.iter().map(|(host, ips)| (host.clone(), ips.join(","))).collect(),
        attest: [("provenance", &build.provenance), ("sbom", &build.sbom)]
            .into_iter()
            .filter(|(_, written)| !matches!(written.as_str(), "" | "false"))
            .map(|(kind, written)| match written.as_str() {
                "true" => format!("type={kind}"),
                parameters => format!("type={kind},{parameters}"),
            })
            .collect(),
    }
}

/// The Dockerfile beside its context; the directory's symbolic links are followed.
fn dockerfile(context: &str, written: &str) -> String {
    if written.is_empty() || is_remote(context) {
        return written.to_owned();
    }
    let path: PathBuf = Path::new(context).join(written).components().collect();
    let real = path.parent().and_then(|parent| std::fs::canonicalize(parent).ok()).zip(path.file_name());
    real.map_or(path.clone(), |(parent, name)| parent.join(name)).to_string_lossy().into_owned()
}

fn secret(project: &Project, reference: &turnout_compose::model::FileReference) -> Option<String> {
    let definition = project.secrets.get(&reference.source)?;
    let id = if reference.target.is_empty() { &reference.source } else { &reference.target };
    if !definition.environment.is_empty() {
        return Some(format!("id={id},type=env,env={}", definition.environment));
    }
    (!definition.file.is_empty()).then(|| format!("id={id},type=file,src={}", definition.file))
}
