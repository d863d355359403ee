//! A service's `build` section as a request to the engine. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Component, Path, PathBuf},
};

use serde::Serialize;

use super::error::ImageError;
use crate::compose::model::{Build, FileObject, FileReference, Project, SshKey};

/// Where the files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory of this host, absolute.
    Directory(PathBuf),
    /// A Git or HTTP address that the engine fetches.
    Remote(String),
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dockerfile {
    /// Inside the context, by its path there.
    Inside(String),
    /// Elsewhere on this host, absolute.
    Outside(PathBuf),
    /// In the Compose file.
    Inline(String),
}

/// Where the content of a build secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, read when the build asks.
    File(PathBuf),
    /// The content itself.
    Content(String),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Content(_) => f.write_str("Content(…)"),
        }
    }
}

/// A ulimit as the engine reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildUlimit {
    /// Name.
    #[serde(rename = "Name")]
    pub name: String,
    /// Hard limit.
    #[serde(rename = "Hard")]
    pub hard: i64,
    /// Soft limit.
    #[serde(rename = "Soft")]
    pub soft: i64,
}

/// Everything about one build.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildRequest {
    /// Compose service.
    pub service: String,
    /// Compose project.
    pub project: String,
    /// Files.
    pub source: Source,
    /// Dockerfile.
    pub dockerfile: Dockerfile,
    /// Build arguments with their values; may hold secrets.
    pub args: BTreeMap<String, String>,
    /// Stage; empty = the last.
    pub target: String,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// Names the image gets; the first is the service's image.
    pub tags: Vec<String>,
    /// Ignore the cache.
    pub no_cache: bool,
    /// Always pull base images.
    pub pull: bool,
    /// Network of RUN; empty = the default.
    pub network: String,
    /// Size of /dev/shm in bytes; 0 = the default.
    pub shm_size: i64,
    /// Lines for /etc/hosts, `host:ip`.
    pub extra_hosts: Vec<String>,
    /// Cache sources.
    pub cache_from: Vec<String>,
    /// Platform; empty = the engine's.
    pub platform: String,
    /// Ulimits of RUN.
    pub ulimits: Vec<BuildUlimit>,
    /// Secrets of RUN by their identifier.
    pub secrets: BTreeMap<String, SecretSource>,
    /// SSH agents or keys.
    pub ssh: Vec<SshKey>,
}

impl fmt::Debug for BuildRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Argument values can be secrets.
        f.debug_struct("BuildRequest")
            .field("service", &self.service)
            .field("source", &self.source)
            .field("args", &self.args.keys())
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}

impl BuildRequest {
    /// The request of a service; whatever no builder can do is refused by name.
    ///
    /// `environment` gives arguments without a value theirs, `proxies` are arguments unless the service sets them.
    pub fn of(
        project: &Project,
        name: &str,
        environment: &BTreeMap<String, String>,
        proxies: &HashMap<String, String>,
    ) -> Result<Self, ImageError> {
        let invalid = |message: &str| ImageError::Invalid { service: name.to_owned(), message: message.to_owned() };
        let service = project.services.get(name).ok_or_else(|| invalid("is not in the project"))?;
        let build = service.build.clone().ok_or_else(|| invalid("has no `build` section: pull its image instead"))?;
        // Exhaustive on purpose: a new attribute must be decided about here.
        let Build {
            context,
            dockerfile,
            dockerfile_inline,
            entitlements,
            args,
            provenance,
            sbom,
            ssh,
            labels,
            cache_from,
            cache_to,
            no_cache,
            additional_contexts,
            pull,
            extra_hosts,
            isolation,
            network,
            target,
            secrets,
            shm_size,
            tags,
            ulimits,
            platforms,
            privileged,
        } = build;
        let unused = |attribute: &str, used: bool, hint: &str| match used {
            true => Err(ImageError::Unsupported {
                service: name.to_owned(),
                attribute: format!("build.{attribute}"),
                by: String::new(),
                hint: hint.to_owned(),
            }),
            false => Ok(()),
        };
        let asks = |text: &str| !matches!(text, "" | "false" | "0");
        unused("entitlements", !entitlements.is_empty(), "remove it, or build with `docker buildx build`")?;
        unused("privileged", privileged, "remove it, or build with `docker buildx build --allow security.insecure`")?;
        unused("provenance", asks(&provenance), "the engine's image store holds no attestations; set it to false")?;
        unused("sbom", asks(&sbom), "the engine's image store holds no attestations; set it to false")?;
        unused("cache_to", !cache_to.is_empty(), "remove it; layers stay in the engine's own cache")?;
        unused("additional_contexts", !additional_contexts.is_empty(), "copy what is needed into the context")?;
        unused("isolation", !matches!(isolation.as_str(), "" | "default"), "it exists on Windows only")?;

        let source = if is_remote(&context) {
            Source::Remote(context)
        } else {
            Source::Directory(project.working_dir.join(&context))
        };
        let dockerfile = dockerfile_of(&source, &dockerfile, dockerfile_inline).map_err(invalid)?;
        let ulimits = ulimits
            .into_iter()
            .map(|(name, limit)| match limit.single {
                0 => BuildUlimit { name, hard: limit.hard, soft: limit.soft },
                single => BuildUlimit { name, hard: single, soft: single },
            })
            .collect();
        let mut names = vec![service.image_name(&project.name, name)];
        for tag in tags {
            if !names.contains(&tag) {
                names.push(tag);
            }
        }
        Ok(Self {
            service: name.to_owned(),
            project: project.name.clone(),
            source,
            dockerfile,
            args: arguments(args, environment, proxies),
            target,
            labels,
            tags: names,
            no_cache,
            pull,
            network,
            shm_size: shm_size.0,
            extra_hosts: extra_hosts
                .0
                .iter()
                .flat_map(|(host, ips)| ips.iter().map(move |ip| format!("{host}:{ip}")))
                .collect(),
            cache_from: cache_from.into_iter().map(cache_source).collect::<Result<_, _>>().map_err(|m| invalid(&m))?,
            platform: one_platform(&service.platform, &platforms, environment).map_err(|m| invalid(&m))?,
            ulimits,
            secrets: secrets
                .iter()
                .map(|s| secret(project, s, environment))
                .collect::<Result<_, _>>()
                .map_err(|m| invalid(&m))?,
            ssh,
        })
    }
}

fn arguments(
    written: BTreeMap<String, Option<String>>,
    environment: &BTreeMap<String, String>,
    proxies: &HashMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<_, _> = proxies.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in written {
        if let Some(value) = value.or_else(|| environment.get(&key).cloned()) {
            all.insert(key, value);
        }
    }
    all
}

/// The engine's API takes image references; BuildKit's long form of one is reduced to it.
fn cache_source(written: String) -> Result<String, String> {
    if !written.contains('=') {
        return Ok(written);
    }
    let pairs: BTreeMap<_, _> = written.split(',').filter_map(|pair| pair.split_once('=')).collect();
    match (pairs.get("type"), pairs.get("ref")) {
        (Some(&"registry") | None, Some(reference)) => Ok((*reference).to_owned()),
        _ => Err(format!("build.cache_from {written:?} is not supported: name an image, or type=registry,ref=IMAGE")),
    }
}

/// Whether a context is fetched by the engine.
pub fn is_remote(context: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@", "github.com/"].iter().any(|prefix| context.starts_with(prefix))
}

fn dockerfile_of(source: &Source, written: &str, inline: String) -> Result<Dockerfile, &'static str> {
    if !inline.is_empty() {
        return match (written, source) {
            ("", Source::Directory(_)) | ("Dockerfile", Source::Directory(_)) => Ok(Dockerfile::Inline(inline)),
            (_, Source::Remote(_)) => {
                Err("build.dockerfile_inline cannot be added to a remote context: put a Dockerfile there")
            }
            _ => Err("build.dockerfile and build.dockerfile_inline exclude each other: keep one"),
        };
    }
    let written = if written.is_empty() { "Dockerfile" } else { written };
    match source {
        Source::Remote(_) => Ok(Dockerfile::Inside(written.to_owned())),
        Source::Directory(root) => {
            let full = normal(&root.join(written));
            Ok(match full.strip_prefix(normal(root)).ok().and_then(Path::to_str) {
                Some(inside) if !inside.is_empty() => Dockerfile::Inside(inside.to_owned()),
                _ => Dockerfile::Outside(full),
            })
        }
    }
}

/// Lexical: symlinks are not followed, as the engine does not follow them either.
fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

/// One image runs here, so one platform is built: the service's, else the environment's default, else the only one.
fn one_platform(service: &str, built: &[String], environment: &BTreeMap<String, String>) -> Result<String, String> {
    let default = environment.get("DOCKER_DEFAULT_PLATFORM").map(String::as_str).unwrap_or_default();
    let wanted = if service.is_empty() { default } else { service };
    match built {
        [] => Ok(wanted.to_owned()),
        all if all.iter().any(|p| p == wanted) => Ok(wanted.to_owned()),
        _ if !wanted.is_empty() => Err(format!(
            "build.platforms does not contain {wanted}, which the service runs on: add it, or change `platform`"
        )),
        [one] => Ok(one.clone()),
        // Several and none preferred: the engine's own, as `docker compose up` does.
        _ => Ok(String::new()),
    }
}

fn secret(
    project: &Project,
    reference: &FileReference,
    environment: &BTreeMap<String, String>,
) -> Result<(String, SecretSource), String> {
    let name = &reference.source;
    let Some(FileObject { file, environment: variable, content, external, .. }) = project.secrets.get(name) else {
        return Err(format!("build.secrets names {name}, which is not in the top-level `secrets`"));
    };
    if *external {
        return Err(format!("build secret {name} is external, which needs Swarm: use `file` or `environment`"));
    }
    let source = if !file.is_empty() {
        SecretSource::File(project.working_dir.join(file))
    } else if !variable.is_empty() {
        let value = environment.get(variable).cloned().or_else(|| (!content.is_empty()).then(|| content.clone()));
        SecretSource::Content(
            value.ok_or_else(|| format!("build secret {name} reads the variable {variable}, which is not set"))?,
        )
    } else {
        return Err(format!("build secret {name} has neither `file` nor `environment`"));
    };
    let id = if reference.target.is_empty() { name } else { &reference.target };
    Ok((id.clone(), source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::Service;

    fn project(build: Build) -> Project {
        let service = Service { build: Some(build), ..Service::default() };
        Project {
            name: "p".into(),
            working_dir: "/srv/p".into(),
            services: [("web".to_owned(), service)].into(),
            ..Project::default()
        }
    }

    fn request(build: Build) -> Result<BuildRequest, ImageError> {
        BuildRequest::of(&project(build), "web", &[("SET".to_owned(), "v".to_owned())].into(), &HashMap::new())
    }

    fn base() -> Build {
        Build { context: "/srv/p/app".into(), ..Build::default() }
    }

    #[test]
    fn the_dockerfile_is_inside_outside_or_inline() {
        for (dockerfile, expected) in [
            ("", Dockerfile::Inside("Dockerfile".into())),
            ("./docker//Dockerfile.dev", Dockerfile::Inside("docker/Dockerfile.dev".into())),
            ("/srv/p/app/x/../D", Dockerfile::Inside("D".into())),
            ("../Dockerfile", Dockerfile::Outside("/srv/p/Dockerfile".into())),
            ("/etc/Dockerfile", Dockerfile::Outside("/etc/Dockerfile".into())),
        ] {
            let made = request(Build { dockerfile: dockerfile.into(), ..base() }).unwrap();
            assert_eq!(made.dockerfile, expected, "{dockerfile}");
        }
        let inline = Build { dockerfile_inline: "FROM scratch".into(), ..base() };
        assert_eq!(request(inline.clone()).unwrap().dockerfile, Dockerfile::Inline("FROM scratch".into()));
        assert!(request(Build { dockerfile: "D".into(), ..inline }).is_err());
    }

    #[test]
    fn arguments_without_a_value_come_from_the_environment_or_vanish() {
        let args = [("SET".to_owned(), None), ("UNSET".to_owned(), None), ("X".to_owned(), Some("1".to_owned()))];
        let made = request(Build { args: args.into(), ..base() }).unwrap();
        assert_eq!(made.args, [("SET".to_owned(), "v".to_owned()), ("X".to_owned(), "1".to_owned())].into());
        assert!(!format!("{made:?}").contains("\"v\""));
    }

    #[test]
    fn what_no_builder_can_do_is_refused_by_name() {
        for (build, name) in [
            (Build { entitlements: vec!["network.host".into()], ..base() }, "build.entitlements"),
            (Build { privileged: true, ..base() }, "build.privileged"),
            (Build { provenance: "mode=max".into(), ..base() }, "build.provenance"),
            (Build { sbom: "true".into(), ..base() }, "build.sbom"),
            (Build { cache_to: vec!["type=inline".into()], ..base() }, "build.cache_to"),
            (Build { additional_contexts: [("a".into(), "b".into())].into(), ..base() }, "build.additional_contexts"),
            (Build { isolation: "hyperv".into(), ..base() }, "build.isolation"),
        ] {
            let error = request(build).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("web"), "{error}");
        }
        assert!(request(Build { provenance: "false".into(), sbom: "false".into(), ..base() }).is_ok());
    }

    #[test]
    fn cache_sources_are_images() {
        for (written, expected) in [
            ("app:cache", Some("app:cache")),
            ("type=registry,ref=r.example/app:cache", Some("r.example/app:cache")),
            ("type=local,src=/x", None),
            ("type=gha", None),
        ] {
            assert_eq!(cache_source(written.to_owned()).ok().as_deref(), expected, "{written}");
        }
    }

    #[test]
    fn platforms_collapse_to_one() {
        let list = |all: &[&str]| all.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let environment = [("DOCKER_DEFAULT_PLATFORM".to_owned(), "linux/arm64".to_owned())].into();
        let none = BTreeMap::new();
        assert_eq!(one_platform("", &[], &none).unwrap(), "");
        assert_eq!(one_platform("", &[], &environment).unwrap(), "linux/arm64");
        assert_eq!(one_platform("linux/amd64", &[], &environment).unwrap(), "linux/amd64");
        assert_eq!(one_platform("", &list(&["linux/amd64"]), &none).unwrap(), "linux/amd64");
        assert_eq!(one_platform("", &list(&["linux/amd64", "linux/arm64"]), &none).unwrap(), "");
        assert_eq!(one_platform("linux/arm64", &list(&["linux/amd64", "linux/arm64"]), &none).unwrap(), "linux/arm64");
        assert!(one_platform("linux/s390x", &list(&["linux/amd64"]), &none).is_err());
    }
}
