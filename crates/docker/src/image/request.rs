//! A service's `build` section as a request to the engine. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Component, Path, PathBuf},
};

use serde::Serialize;
use turnout_buildkit::SecretSource;
use turnout_compose::model::{Build, FileObject, FileReference, Project, SshKey};
use turnout_files::Reach;

use super::{
    cache::CacheEntry,
    error::ImageError,
    named::{NamedContext, is_remote},
};

/// Caches that an engine's BuildKit can read (where it cannot, it says so and builds without), and write.
const READABLE_CACHES: &[&str] = &["registry", "local", "gha"];
const WRITABLE_CACHES: &[&str] = &["inline", "registry", "local", "gha"];
/// BuildKit's name for what `privileged` means.
pub const INSECURE: &str = "security.insecure";

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

/// A ulimit as the engine reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildUlimit {
    /// Which limit: `nofile`, `nproc`, …
    #[serde(rename = "Name")]
    pub name: String,
    /// What a process cannot go beyond.
    #[serde(rename = "Hard")]
    pub hard: i64,
    /// What it has at its start; it may raise it up to the hard limit.
    #[serde(rename = "Soft")]
    pub soft: i64,
}

/// Everything about one build.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildRequest {
    /// The service that the image is for.
    pub service: String,
    /// The project that the service is of.
    pub project: String,
    /// The context: what the build may read.
    pub source: Source,
    /// The steps that it is built by.
    pub dockerfile: Dockerfile,
    /// Build arguments with their values; may hold secrets.
    pub args: BTreeMap<String, String>,
    /// The stage to build up to; empty = the last.
    pub target: String,
    /// Labels that the user wrote, and that the image gets.
    pub labels: BTreeMap<String, String>,
    /// Names the image gets; the first is the service's image. None: it is known by its ID alone.
    pub tags: Vec<String>,
    /// Every step is built anew, whatever the cache has.
    pub no_cache: bool,
    /// Stages that the cache is ignored for.
    pub no_cache_filter: Vec<String>,
    /// The registry is asked for base images even if they are here.
    pub pull: bool,
    /// Network that `RUN` has; empty = the default.
    pub network: String,
    /// Size of `/dev/shm` while it is built, in bytes; 0 = the default.
    pub shm_size: i64,
    /// Host names that `RUN` finds besides those that DNS knows, `host:ip`.
    pub extra_hosts: Vec<String>,
    /// Where steps that were built before are looked for.
    pub cache_from: Vec<CacheEntry>,
    /// Where the cache is written to.
    pub cache_to: Vec<CacheEntry>,
    /// Contexts that the Dockerfile knows by name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// What RUN may do beyond the usual, by BuildKit's names; for instance `security.insecure`.
    pub entitlements: Vec<String>,
    /// Attestations asked for, with their parameters (`provenance`, `sbom`).
    pub attestations: BTreeMap<String, String>,
    /// Platforms; none = the engine's. One, unless all are asked for.
    pub platforms: Vec<String>,
    /// Whether the service names its image itself.
    pub named: bool,
    /// What the reader should know of the request.
    pub notes: Vec<String>,
    /// Limits of the processes that `RUN` starts.
    pub ulimits: Vec<BuildUlimit>,
    /// Secrets that `RUN` may read, by their identifier.
    pub secrets: BTreeMap<String, SecretSource>,
    /// SSH agents or keys that `RUN` may use.
    pub ssh: Vec<SshKey>,
    /// From where all this may be read.
    pub reach: Reach,
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

/// How a build differs from that of an `up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BuildOptions {
    /// Build every one of `build.platforms`, as `build` does; else the one that runs here.
    pub all_platforms: bool,
    /// Push what was built, if the service names its image.
    pub push: bool,
    /// Memory of RUN in bytes; 0 = unlimited. The classic builder only.
    pub memory: i64,
    /// The image gets no name: whatever has its names keeps them.
    pub nameless: bool,
}

impl BuildRequest {
    /// The request of a service; whatever no builder can do is refused by name.
    ///
    /// `environment` gives arguments without a value theirs, `proxy_variables` are arguments unless the service sets them.
    pub fn of(
        project: &Project,
        name: &str,
        environment: &BTreeMap<String, String>,
        proxy_variables: &HashMap<String, String>,
        options: BuildOptions,
    ) -> Result<Self, ImageError> {
        let invalid = |message: &str| ImageError::Invalid { service: name.to_owned(), message: message.to_owned() };
        // A service that takes no part may still be a context of another's build.
        let service = project.services.get(name).or_else(|| project.disabled_services.get(name));
        let service = service.ok_or_else(|| invalid("is not in the project"))?;
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
            no_cache_filter,
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
        unused("isolation", !matches!(isolation.as_str(), "" | "default"), "it exists on Windows only")?;
        let mut notes = Vec::new();
        let caches = |attribute: &str, written: &[String]| {
            let parse = |text: &String| {
                CacheEntry::parse(text, &project.working_dir, environment)
                    .map_err(|why| invalid(&format!("build.{attribute} {text:?} {why}")))
            };
            written.iter().map(parse).collect::<Result<Vec<_>, _>>()
        };
        let mut cache_from = caches("cache_from", &cache_from)?;
        cache_from.retain(|entry| {
            let readable = READABLE_CACHES.contains(&entry.kind.as_str());
            if !readable {
                notes.push(format!(
                    "service {name}: build.cache_from type={}: no Docker engine reads such a cache; built without it \
                     (use type=registry or type=local)",
                    entry.kind
                ));
            }
            readable
        });
        let cache_to = caches("cache_to", &cache_to)?;
        for entry in &cache_to {
            let known = WRITABLE_CACHES.contains(&entry.kind.as_str());
            let hint = "no Docker engine writes such a cache: use type=inline, or with the containerd image store \
                        type=registry or type=local";
            unused(&format!("cache_to type={}", entry.kind), !known, hint)?;
        }
        let mut contexts = BTreeMap::new();
        for (key, written) in &additional_contexts {
            let context = NamedContext::parse(written, &project.working_dir, project)
                .map_err(|why| invalid(&format!("build.additional_contexts.{key}: {why}")))?;
            contexts.insert(key.clone(), context);
        }
        let mut entitlements = entitlements;
        if privileged && !entitlements.iter().any(|one| one == INSECURE) {
            entitlements.push(INSECURE.to_owned());
        }
        if secrets.iter().any(|s| !s.uid.is_empty() || !s.gid.is_empty() || s.mode.is_some()) {
            notes.push(format!(
                "service {name}: build.secrets: uid, gid and mode mean nothing to BuildKit; write them in the \
                 Dockerfile's RUN --mount=type=secret"
            ));
        }

        let default = environment.get("DOCKER_DEFAULT_PLATFORM").filter(|platform| !platform.is_empty());
        if let (Some(default), "", false) = (default, service.platform.as_str(), platforms.is_empty())
            && !platforms.contains(default)
        {
            return Err(ImageError::DefaultPlatform { service: name.to_owned(), platform: default.clone() });
        }
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
        if options.nameless {
            names.clear();
        }
        Ok(Self {
            service: name.to_owned(),
            project: project.name.clone(),
            source,
            dockerfile,
            args: arguments(args, environment, proxy_variables),
            target,
            labels,
            tags: names,
            named: !service.image.is_empty(),
            no_cache,
            no_cache_filter,
            pull,
            network,
            shm_size: shm_size.0,
            extra_hosts: extra_hosts
                .0
                .iter()
                .flat_map(|(host, ips)| ips.iter().map(move |ip| format!("{host}:{ip}")))
                .collect(),
            cache_from,
            cache_to,
            contexts,
            entitlements,
            attestations: [("provenance", provenance), ("sbom", sbom)]
                .into_iter()
                .filter_map(|(kind, written)| Some((kind.to_owned(), attestation(&written)?)))
                .collect(),
            platforms: match options.all_platforms && platforms.len() > 1 {
                true => platforms,
                false => {
                    let one = one_platform(&service.platform, &platforms, environment).map_err(|m| invalid(&m))?;
                    Some(one).filter(|one| !one.is_empty()).into_iter().collect()
                }
            },
            notes,
            ulimits,
            secrets: secrets
                .iter()
                .map(|s| secret(project, s, environment))
                .collect::<Result<_, _>>()
                .map_err(|m| invalid(&m))?,
            ssh,
            reach: project.reach.clone(),
        })
    }
}

fn arguments(
    written: BTreeMap<String, Option<String>>,
    environment: &BTreeMap<String, String>,
    proxy_variables: &HashMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<_, _> = proxy_variables.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in written {
        if let Some(value) = value.or_else(|| environment.get(&key).cloned()) {
            all.insert(key, value);
        }
    }
    all
}

/// The parameters of an attestation that is asked for; `None` when it is not.
fn attestation(written: &str) -> Option<String> {
    if matches!(written, "" | "false" | "0" | "disabled=true") {
        return None;
    }
    Some(if is_true(written) { String::new() } else { written.to_owned() })
}

/// As Go reads a boolean.
pub fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn dockerfile_of(source: &Source, written: &str, inline: String) -> Result<Dockerfile, &'static str> {
    if !inline.is_empty() {
        return match written {
            "" | "Dockerfile" => Ok(Dockerfile::Inline(inline)),
            _ => Err("build.dockerfile and build.dockerfile_inline exclude each other: keep one"),
        };
    }
    let written = if written.is_empty() { "Dockerfile" } else { written };
    match source {
        Source::Remote(_) if Path::new(written).is_absolute() => Ok(Dockerfile::Outside(normal(Path::new(written)))),
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
    use turnout_compose::model::Service;

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
        BuildRequest::of(
            &project(build),
            "web",
            &[("SET".to_owned(), "v".to_owned())].into(),
            &HashMap::new(),
            BuildOptions::default(),
        )
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
        let contexts = |written: &str| [("a".to_owned(), written.to_owned())].into();
        for (build, name) in [
            (Build { cache_to: vec!["type=s3,region=r,bucket=b".into()], ..base() }, "build.cache_to type=s3"),
            (Build { cache_to: vec!["type=azblob,name=x".into()], ..base() }, "build.cache_to type=azblob"),
            (Build { cache_to: vec!["ref=x,".into()], ..base() }, "build.cache_to"),
            (Build { cache_from: vec!["type=registry".into()], ..base() }, "build.cache_from"),
            (Build { additional_contexts: contexts("service:gone"), ..base() }, "build.additional_contexts.a"),
            (Build { additional_contexts: contexts("ftp://x"), ..base() }, "build.additional_contexts.a"),
            (Build { isolation: "hyperv".into(), ..base() }, "build.isolation"),
        ] {
            let error = request(build).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("web"), "{error}");
        }
    }

    #[test]
    fn attestations_are_those_asked_for() {
        let made = request(Build { provenance: "false".into(), sbom: "0".into(), ..base() }).unwrap();
        assert!(made.attestations.is_empty());
        let made = request(Build { provenance: "mode=max".into(), sbom: "true".into(), ..base() }).unwrap();
        assert_eq!(
            made.attestations,
            [("provenance".to_owned(), "mode=max".to_owned()), ("sbom".to_owned(), String::new())].into()
        );
    }

    #[test]
    fn privileged_is_an_entitlement() {
        let both = Build { privileged: true, entitlements: vec![INSECURE.into()], ..base() };
        assert_eq!(request(both).unwrap().entitlements, [INSECURE]);
        assert_eq!(request(Build { privileged: true, ..base() }).unwrap().entitlements, [INSECURE]);
    }

    #[test]
    fn a_cache_that_no_engine_reads_is_told_and_left_out() {
        let cache_from = vec!["type=s3,bucket=b".into(), "app:cache".into()];
        let made = request(Build { cache_from, ..base() }).unwrap();
        assert_eq!(made.cache_from.iter().map(|c| c.kind.as_str()).collect::<Vec<_>>(), ["registry"]);
        assert!(made.notes.iter().any(|note| note.contains("build.cache_from type=s3")), "{:?}", made.notes);
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
