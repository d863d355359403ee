//! Which builder carries a request out. Pure.

use std::{collections::BTreeMap, fmt, str::FromStr};

use turnout_compose::labels;

use super::{
    error::ImageError,
    request::{BuildRequest, Dockerfile, INSECURE, Source},
};
use crate::ApiVersion;

/// First API version whose BuildKit is not experimental.
const BUILDKIT_SINCE: ApiVersion = ApiVersion::v1(39);
/// First API version whose BuildKit honours `shm_size` and `ulimits`, which older ones drop silently, and directories of
/// Git contexts.
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
    /// BuildKit (what `DOCKER_BUILDKIT=1` means).
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
    /// BuildKit, through the engine's address for builds.
    BuildKit,
    /// BuildKit, through its own API, which can do more.
    Solve,
}

impl Builder {
    /// Whether it is BuildKit that builds.
    pub fn is_buildkit(self) -> bool {
        self != Self::Classic
    }
}

impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classic => "the classic builder",
            Self::BuildKit => "BuildKit",
            Self::Solve => "BuildKit through its own API",
        })
    }
}

impl BuildRequest {
    /// The builder for this request, and why when it is not the usual one.
    pub fn choose(&self, choice: BuilderChoice, api: ApiVersion) -> Result<(Builder, Option<String>), ImageError> {
        let not_buildkit = self.beyond_buildkit(api);
        let not_classic = self.beyond_classic(api);
        let buildkit = || match self.beyond_build_address() {
            Some(attribute) => (Builder::Solve, Some(format!("for {attribute}"))),
            None => (Builder::BuildKit, None),
        };
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
            (BuilderChoice::BuildKit | BuilderChoice::Auto, None, _) => Ok(buildkit()),
        }
    }

    /// What the engine's address for builds has no parameter for, although BuildKit can do it.
    fn beyond_build_address(&self) -> Option<&'static str> {
        let remote = matches!(self.source, Source::Remote(_));
        [
            ("build.additional_contexts", !self.contexts.is_empty()),
            ("build.cache_to", !self.cache_to.is_empty()),
            ("build.cache_from", self.cache_from.iter().any(|cache| cache.plain_image().is_none())),
            ("build.entitlements", !self.entitlements.is_empty()),
            ("build.provenance", self.attestations.contains_key("provenance")),
            ("build.sbom", self.attestations.contains_key("sbom")),
            ("build.no_cache_filter", !self.no_cache_filter.is_empty() && !self.no_cache),
            ("build.platforms", self.platforms.len() > 1),
            (
                "a Dockerfile beside a remote context",
                remote && matches!(self.dockerfile, Dockerfile::Inline(_) | Dockerfile::Outside(_)),
            ),
            ("BUILDKIT_SYNTAX", self.args.contains_key("BUILDKIT_SYNTAX")),
        ]
        .into_iter()
        .find_map(|(attribute, used)| used.then_some(attribute))
    }

    /// What BuildKit on an engine of this version cannot do for the request, with a hint.
    fn beyond_buildkit(&self, api: ApiVersion) -> Option<(&'static str, &'static str)> {
        if api < BUILDKIT_SINCE {
            return Some(("BuildKit", "update the engine, or set the builder to classic"));
        }
        if !matches!(self.network.as_str(), "" | "default" | "host" | "none") {
            return Some(("build.network with a named network", "use default, host or none, or the classic builder"));
        }
        let inside = |address: &str| address.rsplit_once('#').is_some_and(|(_, part)| part.contains(':'));
        if api < BUILDKIT_LIMITS_SINCE && matches!(&self.source, Source::Remote(address) if inside(address)) {
            return Some((
                "a directory of a Git context",
                "update the engine to 23 or later, or use the classic builder",
            ));
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
        if self.platforms.len() > 1 {
            let words = "the classic builder doesn't support multi-arch build, set DOCKER_BUILDKIT=1 to use BuildKit \
                         (a repository: builder: buildkit)";
            return Some(("build.platforms with several platforms", words));
        }
        if !self.platforms.is_empty() && api < CLASSIC_PLATFORM_SINCE {
            return Some(("build.platforms", "update the engine, or set the builder to buildkit"));
        }
        if self.entitlements.iter().any(|entitlement| entitlement == INSECURE) {
            return Some((
                "build.privileged",
                "the classic builder doesn't support privileged mode, set DOCKER_BUILDKIT=1 to use BuildKit \
                 (a repository: builder: buildkit), and allow security.insecure in the engine",
            ));
        }
        // A cache source that is no image only makes the build slower; what asks for BuildKit's work cannot be left out.
        let only_buildkit = self.beyond_build_address()?;
        let tolerable = only_buildkit == "build.cache_from" || only_buildkit == "BUILDKIT_SYNTAX";
        (!tolerable).then_some((only_buildkit, "set the builder to buildkit, and drop what BuildKit does not support"))
    }

    /// Labels of the image: the user's and Compose's, which differ by builder as they do with the CLI.
    pub fn labels_for(&self, builder: Builder) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        let own: &[(&str, &str)] = match builder {
            Builder::Classic => &[(labels::IMAGE_BUILDER, "classic")],
            Builder::BuildKit | Builder::Solve => &[
                (labels::PROJECT, &self.project),
                (labels::SERVICE, &self.service),
                (labels::VERSION, labels::COMPOSE_VERSION),
            ],
        };
        labels.extend(own.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        labels
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::request::BuildOptions;
    use super::*;
    use turnout_compose::model::{Build, Bytes, Project, Service, SshKey, Ulimit};

    fn request(build: Build) -> Result<BuildRequest, ImageError> {
        request_as(build, BuildOptions::default())
    }

    fn request_as(build: Build, options: BuildOptions) -> Result<BuildRequest, ImageError> {
        let service = Service { build: Some(build), ..Service::default() };
        let project = Project {
            name: "p".into(),
            working_dir: "/srv/p".into(),
            services: [("web".to_owned(), service)].into(),
            ..Project::default()
        };
        BuildRequest::of(&project, "web", &BTreeMap::new(), &HashMap::new(), options)
    }

    fn base() -> Build {
        Build { context: "/srv/p/app".into(), ..Build::default() }
    }

    #[test]
    fn the_builder_follows_choice_engine_and_request() {
        use BuilderChoice as C;
        let shm = Build { shm_size: Bytes(1 << 20), ..base() };
        let ulimits =
            Build { ulimits: [("nofile".into(), Ulimit { single: 5, ..Ulimit::default() })].into(), ..base() };
        let net = Build { network: "mynet".into(), ..base() };
        let ssh = Build { ssh: vec![SshKey { id: "default".into(), path: String::new() }], ..base() };
        let both = Build { ssh: ssh.ssh.clone(), ..shm.clone() };
        let inline = Build { cache_to: vec!["type=inline".into()], ..base() };
        let image = Build { cache_from: vec!["app:cache".into()], ..base() };
        let local = Build { cache_from: vec!["type=local,src=c".into()], ..base() };
        let privileged = Build { privileged: true, ..base() };
        let named = Build { additional_contexts: [("a".into(), "b".into())].into(), ..base() };
        let stage = Build { no_cache_filter: vec!["tools".into()], ..base() };
        let remote =
            Build { context: "https://x.example/a.git".into(), dockerfile_inline: "FROM scratch".into(), ..base() };
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
            (inline.clone(), C::Auto, 41, Some(Builder::Solve)),
            (inline, C::Classic, 41, None),
            (image, C::Auto, 41, Some(Builder::BuildKit)),
            (local.clone(), C::BuildKit, 41, Some(Builder::Solve)),
            (local, C::Classic, 41, Some(Builder::Classic)),
            (privileged.clone(), C::Auto, 41, Some(Builder::Solve)),
            (privileged, C::Classic, 41, None),
            (named.clone(), C::Auto, 41, Some(Builder::Solve)),
            (named, C::Classic, 41, None),
            (remote, C::Auto, 41, Some(Builder::Solve)),
            (stage.clone(), C::Auto, 41, Some(Builder::Solve)),
            (stage.clone(), C::Classic, 41, None),
            (Build { no_cache: true, ..stage }, C::Classic, 41, Some(Builder::Classic)),
        ] {
            let chosen = request(build).unwrap().choose(choice, ApiVersion::v1(api));
            assert_eq!(chosen.ok().map(|(builder, _)| builder), expected, "{choice:?} {api}");
        }
    }

    #[test]
    fn names_and_labels() {
        let made = request(Build { tags: vec!["a:1".into(), "p-web".into()], ..base() }).unwrap();
        assert_eq!(made.tags, ["p-web", "a:1"]);
        let nameless = BuildOptions { nameless: true, ..BuildOptions::default() };
        let unnamed = request_as(Build { tags: vec!["a:1".into()], ..base() }, nameless).unwrap();
        assert_eq!(
            (unnamed.tags.len(), unnamed.labels_for(Builder::BuildKit)),
            (0, made.labels_for(Builder::BuildKit))
        );
        assert_eq!(made.labels_for(Builder::Classic).len(), 1);
        assert_eq!(made.labels_for(Builder::BuildKit)["com.docker.compose.service"], "web");
    }
}
