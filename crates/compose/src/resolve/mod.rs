//! From the merged document to the typed project.
//!
//! Per model (the main one, and each included one): [`defaults`], [`validate`], [`paths`], [`environment`].
//! Once: [`finish`]. Rules: compose-go 2.9.1, `loader.ModelToProject` and what it calls.

mod bounds;
mod consistency;
pub mod defaults;
mod env_files;
pub mod environment;
mod normalise;
pub mod paths;
mod places;
mod select;
mod typing;
pub mod validate;

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    entries::Entries,
    error::{LoadError, Warning},
    model::Project,
    request::EnvFiles,
    source::FileSource,
};
use places::Places;
use turnout_yaml::Node;

/// What [`finish`] needs besides the document.
pub struct FinishContext<'a> {
    /// Project name, already valid.
    pub name: String,
    /// The project directory, that relative paths count from; absolute.
    pub working_dir: PathBuf,
    /// Variables: process over `.env`.
    pub environment: BTreeMap<String, String>,
    /// Profiles that are active.
    pub profiles: Vec<String>,
    /// Services wanted, with what they depend on; empty = all.
    pub services: Vec<String>,
    /// Compose files in order, absolute (`-` for standard input).
    pub config_files: Vec<String>,
    /// `--env-file` values as given.
    pub env_files: Vec<String>,
    /// Whether what is implied is made explicit.
    pub normalise: bool,
    /// Whether services and resources are checked against each other.
    pub check_consistency: bool,
    /// Whose `env_file` is read into `environment`.
    pub read_env_files: EnvFiles,
    /// Whether a container name that two services own is refused.
    pub unique_container_names: bool,
    /// Keep resources that no active service uses.
    pub all_resources: bool,
    /// Where env and label files are read.
    pub files: &'a dyn FileSource,
}

/// Names what is implicit, types the document, keeps what is selected and checks that it fits together.
///
/// # Errors
///
/// The first mistake found, with attribute path and place.
pub fn finish(mut root: Node, context: &FinishContext<'_>, warnings: &mut Vec<Warning>) -> Result<Project, LoadError> {
    if context.normalise {
        normalise(&mut root, &context.name, &context.environment)?;
    }
    let mut amount = env_files::Amount::of(Entries::of(&root)?);
    let mut project = typing::project(&root, warnings)?;
    project.name.clone_from(&context.name);
    project.working_dir.clone_from(&context.working_dir);
    project.reach = context.files.reach();
    project.config_files.clone_from(&context.config_files);
    project.env_files.clone_from(&context.env_files);
    project.environment.clone_from(&context.environment);

    let places = Places { root: &root };
    bounds::check(&project, &places)?;
    select::by_profiles(&mut project, &context.profiles);
    if context.check_consistency {
        consistency::check(&mut project, &places)?;
    }
    if matches!(context.read_env_files, EnvFiles::OfActive | EnvFiles::OfActiveAndSelected) {
        env_files::resolve_environment(&mut project, context.files, &places, warnings, &mut amount)?;
    }
    env_files::resolve_labels(&mut project, context.files, &places, warnings, &mut amount)?;
    select::enable(&mut project, &context.services);
    select::with_dependencies(&mut project, &context.services)?;
    if !context.all_resources {
        select::prune(&mut project);
    }
    if matches!(context.read_env_files, EnvFiles::OfSelected | EnvFiles::OfActiveAndSelected) {
        env_files::resolve_environment(&mut project, context.files, &places, warnings, &mut amount)?;
    }
    if context.check_consistency && context.unique_container_names {
        consistency::check_container_names(&project, &places)?;
    }
    Ok(project)
}

/// Makes explicit what is implied: resource names, the default network, dependencies, what `pre_start` steps inherit.
///
/// # Errors
///
/// A `pre_start` step that cannot be laid over its service.
pub fn normalise(root: &mut Node, project: &str, environment: &BTreeMap<String, String>) -> Result<(), LoadError> {
    normalise::apply(root, project, environment)
}

#[cfg(test)]
mod tests {
    use crate::{
        load::{LoadRequest, load},
        model::Project,
        source::MapFiles,
    };

    fn project(text: &str, services: &[&str]) -> Result<Project, String> {
        let files = MapFiles::new([
            ("/p/compose.yaml", text),
            ("/p/e.env", "A=file\nB=${V}-${A}\nC\n"),
            ("/p/l.label", "x=file\ny=2"),
        ]);
        let request = LoadRequest {
            working_dir: "/p".into(),
            files: vec!["compose.yaml".into()],
            services: services.iter().map(|name| (*name).to_owned()).collect(),
            process_env: [("V".to_owned(), "vee".to_owned()), ("HOME".to_owned(), "/home/u".to_owned())].into(),
            ..LoadRequest::default()
        };
        load(&request, &files).map(|loaded| loaded.project).map_err(|error| error.to_string())
    }

    fn json(text: &str, pointer: &str) -> serde_json::Value {
        let project = project(text, &[]).unwrap();
        serde_json::to_value(project).unwrap().pointer(pointer).cloned().unwrap_or_default()
    }

    #[test]
    fn what_is_implied_is_made_explicit() {
        for (text, pointer, expected) in [
            ("services: {a: {image: i}}", "/networks", r#"{"default":{"name":"p_default","ipam":{}}}"#),
            ("services: {a: {image: i, network_mode: host}}", "/networks", "null"),
            (
                "services: {a: {image: i, links: ['b:x']}, b: {image: i}}",
                "/services/a/depends_on",
                r#"{"b":{"condition":"service_started","restart":true,"required":true}}"#,
            ),
            (
                "services: {a: {image: i, volumes_from: ['b:ro']}, b: {image: i}}",
                "/services/a/depends_on",
                r#"{"b":{"condition":"service_started","required":true}}"#,
            ),
            ("services: {a: {build: ./d}}", "/services/a/build", r#"{"context":"/p/d","dockerfile":"Dockerfile"}"#),
            ("services: {a: {image: i, pull_policy: if_not_present}}", "/services/a/pull_policy", r#""missing""#),
            (
                "services: {a: {image: i, env_file: e.env, environment: {A: own, Z: }}}",
                "/services/a/environment",
                r#"{"A":"own","B":"vee-own","Z":null}"#,
            ),
            (
                "services: {a: {image: i, label_file: l.label, labels: {x: own}}}",
                "/services/a/labels",
                r#"{"x":"own","y":"2"}"#,
            ),
            (
                "services: {a: {image: i, volumes: ['vol:/x', '~/h:/y']}}\nvolumes: {vol: {external: true}}",
                "/volumes",
                r#"{"vol":{"name":"vol","external":true}}"#,
            ),
            (
                "services: {a: {image: i, secrets: [s]}}\nsecrets: {s: {file: ./f}}",
                "/services/a/secrets/0/target",
                r#""/run/secrets/s""#,
            ),
            ("services: {a: {image: i, scale: 2, deploy: {mode: replicated}}}", "/services/a/deploy/replicas", "2"),
        ] {
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(json(text, pointer), expected, "{text}");
        }
    }

    #[test]
    fn selection_keeps_what_is_needed_and_nothing_else() {
        let text = "services:\n  web: {image: i, depends_on: [db], volumes: ['vol:/v']}\n  db: {image: i}\n  dev: {image: i, profiles: [dev], networks: [n]}\n  tool: {image: i, profiles: [dev]}\nnetworks: {n: }\nvolumes: {vol: , w: }";
        for (services, active, networks) in [
            (&[][..], "db web", "default"),
            (&["web"], "db web", "default"),
            (&["db"], "db", "default"),
            (&["dev"], "dev", "n"),
            (&["dev", "tool"], "dev tool", "default n"),
        ] {
            let project = project(text, services).unwrap();
            let names = |keys: Vec<&String>| keys.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            assert_eq!(names(project.services.keys().collect()), active, "{services:?}");
            assert_eq!(names(project.networks.keys().collect()), networks, "{services:?}");
            assert!(!project.volumes.contains_key("w"));
            assert_eq!(project.services.len() + project.disabled_services.len(), 4);
        }
        assert_eq!(project(text, &["webb"]).unwrap_err(), "no such service: webb (did you mean 'web'?)");
    }

    #[test]
    fn a_step_before_the_start_has_what_its_service_has() {
        let text = r#"
services:
  app:
    image: i
    command: [serve]
    environment: {A: "1", B: "2"}
    env_file: e.env
    labels: {l: x}
    volumes: ["data:/data:ro", "/anon"]
    cap_add: [X]
    dns: 1.1.1.1
    ports: ["80"]
    networks: {default: {aliases: [foo]}}
    pre_start:
      - command: migrate
      - image: tool
        command: [a, b]
        environment: [B=3, V]
        cap_add: [X, Y]
        dns: [1.1.1.1, 2.2.2.2]
        volumes: ["data:/data"]
        user: "0"
        per_replica: true
volumes: {data: }"#;
        // As Compose 5.6.1 prints it.
        let expected = r#"[{"cap_add":["X"],"command":["migrate"],"dns":["1.1.1.1"],"entrypoint":null,"environment":{"A":"1","B":"2"},"env_file":[{"path":"/p/e.env"}],"image":"i","labels":{"l":"x"},"networks":{"default":{"aliases":["foo"]}}},{"cap_add":["X","Y"],"command":["a","b"],"dns":["1.1.1.1","2.2.2.2"],"entrypoint":null,"environment":{"A":"1","B":"3","V":null},"env_file":[{"path":"/p/e.env"}],"image":"tool","labels":{"l":"x"},"networks":{"default":{"aliases":["foo"]}},"user":"0","volumes":[{"type":"volume","source":"data","target":"/data","volume":{}}],"per_replica":true}]"#;
        let steps = project(text, &[]).unwrap().services["app"].pre_start.clone();
        assert_eq!(serde_json::to_string(&steps).unwrap(), expected);
        // Its hash, of the same without a file, as well.
        let plain = project(&text.replace("    env_file: e.env\n", "").replace("B=3, V", "B=3, C"), &[]).unwrap();
        let hash = crate::hash::service_hash(&plain.services["app"]);
        assert_eq!(hash, "1348d336bed3c6e88119dc8a254e2727f7e5da437ee162c35ea38c646e249d0f");
        // What they run with: the env files are read, and variables without a value have one.
        let first = steps[0].as_service("i").environment;
        assert_eq!(first["B"].as_deref(), Some("2"));
        let second = steps[1].as_service("i").environment;
        assert_eq!((second["B"].as_deref(), second["V"].as_deref()), (Some("3"), Some("vee")));
        assert!(!first.contains_key("C") || first["C"].is_none(), "{first:?}");
        // What is printed reads the same; and a step takes the image that its service builds.
        let again: Vec<crate::model::PreStart> = serde_json::from_str(expected).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), expected);
        assert_eq!(again[1].as_service("i").image, "tool");
        let built = project("services: {a: {build: ., pre_start: [{command: x}]}}", &[]).unwrap();
        assert_eq!(built.services["a"].pre_start[0].as_service("p-a").image, "p-a");
    }

    #[test]
    fn what_only_a_step_uses_is_kept_and_must_exist() {
        let text = "services: {a: {image: i, pre_start: [{image: j, volumes: ['vol:/x'], secrets: [s], networks: [n]}]}}\nvolumes: {vol: }\nsecrets: {s: {file: f}}\nnetworks: {n: }";
        let loaded = project(text, &[]).unwrap();
        assert!(loaded.volumes.contains_key("vol") && loaded.networks.contains_key("n"), "{loaded:?}");
        assert!(loaded.secrets.contains_key("s"));
        for (text, expected) in [
            (
                "services: {a: {image: i, pre_start: [{command: x}, {volumes: ['vol:/x']}]}}",
                "services.a.pre_start[1].volumes[0]: service 'a' refers to undefined volume 'vol'",
            ),
            (
                "services: {a: {image: i, pre_start: [{networks: [n]}]}}",
                "services.a.pre_start[0].networks.n: service 'a' refers to undefined network 'n'",
            ),
            (
                "services: {a: {image: i, pre_start: [{env_file: none.env}]}}",
                "services.a.pre_start[0].env_file[0]: env file /p/none.env not found",
            ),
            ("services: {a: {image: i, pre_start: [{ports: ['80']}]}}", "services.a.pre_start[0].ports: unknown key"),
            (
                "services: {a: {image: i, pre_start: [{pre_start: []}]}}",
                "services.a.pre_start[0].pre_start: unknown key",
            ),
            ("services: {a: {image: i, pre_start: {command: x}}}", "services.a.pre_start: must be a list"),
        ] {
            let error = project(text, &[]).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn contradictions_are_named() {
        for (text, expected) in [
            (
                "services:\n  a: {}",
                "compose.yaml:2:3: services.a: service 'a' has neither an image nor a build context specified",
            ),
            (
                "services: {a: {image: i, networks: [x]}}",
                "compose.yaml:1:37: services.a.networks.x: service 'a' refers to undefined network 'x'",
            ),
            (
                "services: {a: {image: i, volumes: ['dta:/x']}}\nvolumes: {data: }",
                "undefined volume 'dta' (did you mean 'data'?)",
            ),
            (
                "services: {a: {image: i, depends_on: [b]}, b: {image: i, depends_on: [a]}}",
                "dependency cycle detected: a -> b -> a",
            ),
            (
                "services: {a: {image: i, depends_on: [b]}, b: {image: i, profiles: [p]}}",
                "depends on undefined service 'b' (its profiles are not active",
            ),
            ("services: {a: {image: i, container_name: cc, scale: 2}}", "can't set container_name and scale"),
            (
                "services: {a: {image: i, container_name: cc}, b: {image: i, container_name: cc}}",
                "container name \"cc\" is already in use by service a",
            ),
            (
                "services: {a: {image: i, cpus: 1, deploy: {resources: {limits: {memory: 1m}}}}}",
                "can't set distinct values on 'cpus' and 'deploy.resources.limits.cpus'",
            ),
            ("services: {a: {image: i, env_file: no.env}}", "services.a.env_file[0]: env file /p/no.env not found"),
            ("services: {a: {image: i, stop_grace_period: '10'}}", "invalid duration \"10\" (give a unit"),
            ("services: {a: {image: i, command: \"'\"}}", "services.a.command: invalid command line"),
            (
                "services: {a: {image: i, tmpfs: [/t], volumes: ['/x:/t']}}",
                "services.a.volumes[0]: target /t already mounted as services.a.tmpfs[0]",
            ),
            (
                "services: {a: {image: i, ports: [{target: 80, host_ip: x}]}}",
                "services.a.ports[0].host_ip: invalid ip address: 'x'",
            ),
        ] {
            match project(text, &[]) {
                Ok(_) => panic!("{text}: accepted"),
                Err(error) => assert!(error.contains(expected), "{text}: {error}"),
            }
        }
    }
}
