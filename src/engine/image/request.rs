//! A service's `build` section as a request to the engine, and which builder can carry it out. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Component, Path, PathBuf},
    str::FromStr,
};

use serde::Serialize;

use super::error::ImageError;
use crate::{
    compose::{
        labels,
        model::{Build, FileObject, FileReference, Project, Service, SshKey},
    },
    engine::ApiVersion,
};

/// First API version whose BuildKit is not experimental.
const BUILDKIT_SINCE: ApiVersion = ApiVersion::v1(39);
/// First API version whose BuildKit honours `shm_size` and `ulimits`; older ones drop them silently.
const BUILDKIT_LIMITS_SINCE: ApiVersion = ApiVersion::v1(42);
/// First API version whose classic builder takes a platform without the experimental mode.
const CLASSIC_PLATFORM_SINCE: ApiVersion = ApiVersion::v1(40);

/// Which builder the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuilderChoice {
    /// BuildKit, unless the engine lacks it or the request needs the classic builder.
    #[default]
    Auto,
    /// The classic builder (what `DOCKER_BUILDKIT=0` means).
    Classic,
    /// BuildKit.
    BuildKit,
}

impl FromStr for BuilderChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" | "" => Ok(Self::Auto),
            "classic" => Ok(Self::Classic),
            "buildkit" => Ok(Self::BuildKit),
            other => Err(format!("{other:?} is no builder: use auto, classic or buildkit")),
        }
    }
}

/// The builder that carries a request out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// The classic builder.
    Classic,
    /// BuildKit.
    BuildKit,
}

impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classic => "the classic builder",
            Self::BuildKit => "BuildKit",
        })
    }
}

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

/// Name of the image a service runs: `image`, or project and service.
pub fn image_name(project: &Project, name: &str, service: &Service) -> String {
    if service.image.is_empty() { format!("{}-{name}", project.name) } else { service.image.clone() }
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
        let mut names = vec![image_name(project, name, service)];
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
            cache_from,
            platform: one_platform(&service.platform, &platforms, environment).map_err(|m| invalid(&m))?,
            ulimits,
            secrets: secrets.iter().map(|s| secret(project, s, environment)).collect::<Result<_, _>>().map_err(|m| invalid(&m))?,
            ssh,
        })
    }

    /// The builder for this request, and why when it is not the usual one.
    pub fn choose(&self, choice: BuilderChoice, api: ApiVersion) -> Result<(Builder, Option<String>), ImageError> {
        let not_buildkit = self.beyond_buildkit(api);
        let not_classic = self.beyond_classic(api);
        let refuse = |builder: Builder, (attribute, hint): (&'static str, &'static str)| ImageError::Unsupported {
            service: self.service.clone(),
            attribute: attribute.to_owned(),
            by: builder.to_string(),
            hint: hint.to_owned(),
        };
        match (choice, not_buildkit, not_classic) {
            (BuilderChoice::BuildKit, Some(why), _) => Err(refuse(Builder::BuildKit, why)),
            (BuilderChoice::Classic, _, Some(why)) => Err(refuse(Builder::Classic, why)),
            (BuilderChoice::Auto, Some(_), Some(why)) => Err(refuse(Builder::Classic, why)),
            (BuilderChoice::Auto, Some((attribute, _)), None) => {
                Ok((Builder::Classic, Some(format!("this engine's BuildKit does not support {attribute}"))))
            }
            (BuilderChoice::Classic, _, None) => Ok((Builder::Classic, None)),
            (BuilderChoice::BuildKit | BuilderChoice::Auto, None, _) => Ok((Builder::BuildKit, None)),
        }
    }

    /// What BuildKit on an engine of this version cannot do for the request, with a hint.
    fn beyond_buildkit(&self, api: ApiVersion) -> Option<(&'static str, &'static str)> {
        if api < BUILDKIT_SINCE {
            return Some(("BuildKit", "update the engine, or set the builder to classic"));
        }
        if !matches!(self.network.as_str(), "" | "default" | "host" | "none") {
            return Some(("build.network with a named network", "use default, host or none, or the classic builder"));
        }
        if api < BUILDKIT_LIMITS_SINCE && self.shm_size > 0 {
            return Some(("build.shm_size", "update the engine to 23 or later, or set the builder to classic"));
        }
        if api < BUILDKIT_LIMITS_SINCE && !self.ulimits.is_empty() {
            return Some(("build.ulimits", "update the engine to 23 or later, or set the builder to classic"));
        }
        None
    }

    /// What the classic builder cannot do for the request, with a hint.
    fn beyond_classic(&self, api: ApiVersion) -> Option<(&'static str, &'static str)> {
        if !self.secrets.is_empty() {
            return Some(("build.secrets", "set the builder to buildkit, and drop what BuildKit does not support"));
        }
        if !self.ssh.is_empty() {
            return Some(("build.ssh", "set the builder to buildkit, and drop what BuildKit does not support"));
        }
        if !self.platform.is_empty() && api < CLASSIC_PLATFORM_SINCE {
            return Some(("build.platforms", "update the engine, or set the builder to buildkit"));
        }
        None
    }

    /// Labels of the image: the user's and Compose's, which differ by builder as they do with the CLI.
    pub fn labels_for(&self, builder: Builder) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        let own: &[(&str, &str)] = match builder {
            Builder::Classic => &[(labels::IMAGE_BUILDER, "classic")],
            Builder::BuildKit => &[
                (labels::PROJECT, &self.project),
                (labels::SERVICE, &self.service),
                (labels::VERSION, labels::COMPOSE_VERSION),
            ],
        };
        labels.extend(own.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        labels
    }
}

fn arguments(
    written: BTreeMap<String, Option<String>>,
    environment: &BTreeMap<String, String>,
    proxies: &HashMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<_, _> = proxies.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in written {
        match value.or_else(|| environment.get(&key).cloned()) {
            Some(value) => {
                all.insert(key, value);
            }
            None => {}
        }
    }
    all
}

/// Whether a context is fetched by the engine.
pub fn is_remote(context: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@", "github.com/"].iter().any(|prefix| context.starts_with(prefix))
}

fn dockerfile_of(source: &Source, written: &str, inline: String) -> Result<Dockerfile, &'static str> {
    if !inline.is_empty() {
        return match (written, source) {
            ("", Source::Directory(_)) | ("Dockerfile", Source::Directory(_)) => Ok(Dockerfile::Inline(inline)),
            (_, Source::Remote(_)) => Err("build.dockerfile_inline cannot be added to a remote context: put a Dockerfile there"),
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
        _ if !wanted.is_empty() => {
            Err(format!("build.platforms does not contain {wanted}, which the service runs on: add it, or change `platform`"))
        }
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
        SecretSource::Content(value.ok_or_else(|| format!("build secret {name} reads the variable {variable}, which is not set"))?)
    } else {
        return Err(format!("build secret {name} has neither `file` nor `environment`"));
    };
    let id = if reference.target.is_empty() { name } else { &reference.target };
    Ok((id.clone(), source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::{Bytes, Ulimit};

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
    fn the_builder_follows_choice_engine_and_request() {
        use BuilderChoice as C;
        let shm = Build { shm_size: Bytes(1 << 20), ..base() };
        let ulimits = Build { ulimits: [("nofile".into(), Ulimit { single: 5, ..Ulimit::default() })].into(), ..base() };
        let net = Build { network: "mynet".into(), ..base() };
        let ssh = Build { ssh: vec![SshKey { id: "default".into(), path: String::new() }], ..base() };
        let both = Build { ssh: ssh.ssh.clone(), ..shm.clone() };
        for (build, choice, api, expected) in [
            (base(), C::Auto, 41, Some(Builder::BuildKit)),
            (base(), C::Auto, 38, Some(Builder::Classic)),
            (base(), C::BuildKit, 38, None),
            (base(), C::Classic, 50, Some(Builder::Classic)),
            (shm.clone(), C::Auto, 41, Some(Builder::Classic)),
            (shm.clone(), C::Auto, 43, Some(Builder::BuildKit)),
            (shm, C::BuildKit, 41, None),
            (ulimits, C::Auto, 41, Some(Builder::Classic)),
            (net.clone(), C::Auto, 47, Some(Builder::Classic)),
            (net, C::BuildKit, 47, None),
            (ssh.clone(), C::Auto, 41, Some(Builder::BuildKit)),
            (ssh, C::Classic, 41, None),
            (both, C::Auto, 41, None),
        ] {
            let chosen = request(build).unwrap().choose(choice, ApiVersion::v1(api));
            assert_eq!(chosen.ok().map(|(builder, _)| builder), expected, "{choice:?} {api}");
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

    #[test]
    fn names_and_labels() {
        let made = request(Build { tags: vec!["a:1".into(), "p-web".into()], ..base() }).unwrap();
        assert_eq!(made.tags, ["p-web", "a:1"]);
        assert_eq!(made.labels_for(Builder::Classic).len(), 1);
        assert_eq!(made.labels_for(Builder::BuildKit)["com.docker.compose.service"], "web");
    }
}
