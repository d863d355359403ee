//! What is watched, and what a changed path leads to. Pure but for the ignore files, which are read once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, bail};
use turnout_buildkit::DockerIgnore;
use turnout_compose::model::{Build, Hook, Project, Service, Watch};
use turnout_files::{Kind, Reach};

/// What editors leave beside the files that they change; it is nobody's source.
const EPHEMERAL: &[&str] = &[
    "**/*___jb_old___",
    "**/*___jb_tmp___",
    "**/.idea/**",
    "**/.#*",
    "**/#*#",
    "**/4913",
    "**/*~",
    "**/.*.swp",
    "**/.*.swx",
    "**/.*.swo",
    "**/.*.swn",
    "**/.*.kate-swp",
    "**/*-go-tmp-umask",
    // The real one means these too, and misses all but the one of the root directory.
    "**/.git",
];

/// One rule of `develop.watch`, ready to be asked.
pub(super) struct Rule {
    pub service: String,
    /// What a change leads to.
    pub action: Action,
    /// What is watched, absolute.
    pub path: String,
    /// What runs in the containers after a synchronisation.
    pub exec: Hook,
    /// Whether what is newer than the image is brought along at the beginning.
    pub initial_sync: bool,
    target: String,
    include: Option<DockerIgnore>,
    ignore: Vec<DockerIgnore>,
    /// Bind mounts of the service: what they hold is there already.
    mounted: Vec<String>,
}

/// What a change leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Rebuild,
    Sync,
    Restart,
    SyncRestart,
    SyncExec,
}

impl Action {
    /// Whether files go into the containers.
    pub(super) fn syncs(self) -> bool {
        matches!(self, Action::Sync | Action::SyncRestart | Action::SyncExec)
    }
}

/// Files of one batch that go into the containers of a service, each with its place there.
pub(super) type Mappings = BTreeMap<String, String>;

/// What one batch of changes leads to, services in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Services whose images are built anew.
    pub rebuild: BTreeSet<String>,
    /// By service: what is copied or removed.
    pub sync: BTreeMap<String, Mappings>,
    /// Services that are restarted.
    pub restart: BTreeSet<String>,
    /// By service: places of the rules whose command runs, each once.
    pub exec: BTreeMap<String, BTreeSet<usize>>,
}

impl Rule {
    /// Where a changed path lies in the container, empty where nothing is copied; `None` when the change is not this
    /// rule's.
    pub(super) fn place(&self, path: &str) -> Option<String> {
        let below = within(&self.path, path)?;
        let from_root = path.trim_start_matches('/');
        if self.include.as_ref().is_some_and(|include| !include.excludes(from_root)) {
            return None;
        }
        if self.ignore.iter().any(|ignore| ignore.excludes(from_root)) {
            return None;
        }
        if self.action.syncs() && self.mounted.iter().any(|source| within(source, path).is_some()) {
            return None;
        }
        let target = self.target.trim_end_matches('/');
        Some(if below.is_empty() { target.to_owned() } else { format!("{target}/{below}") })
    }
}

/// What a batch of changed paths leads to.
pub(super) fn work<'a>(rules: &[Rule], paths: impl IntoIterator<Item = &'a str>) -> Work {
    let mut work = Work::default();
    for path in paths {
        for (index, rule) in rules.iter().enumerate() {
            let Some(place) = rule.place(path) else { continue };
            let service = || rule.service.clone();
            if rule.action.syncs() {
                work.sync.entry(service()).or_default().insert(path.to_owned(), place);
            }
            match rule.action {
                Action::Rebuild => drop(work.rebuild.insert(service())),
                Action::Restart | Action::SyncRestart => drop(work.restart.insert(service())),
                Action::SyncExec => drop(work.exec.entry(service()).or_default().insert(index)),
                Action::Sync => {}
            }
        }
    }
    work
}

/// The rules of a project's services. `warn` takes what is passed over.
///
/// # Errors
/// A rule that cannot be kept: a rebuild without a build, a pattern or ignore file that cannot be read.
pub(super) fn of(project: &Project, mut warn: impl FnMut(String)) -> anyhow::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for (name, service) in &project.services {
        for (index, watch) in service.develop.iter().flat_map(|develop| &develop.watch).enumerate() {
            let legacy = legacy_initial_sync(project, name, index);
            if legacy && !watch.initial_sync {
                warn("x-initialSync is DEPRECATED, please use the official `initial_sync` attribute".to_owned());
            }
            let rule = rule(name, service, watch, legacy)
                .with_context(|| format!("services.{name}.develop.watch[{index}]"))?;
            if rule.action == Action::Rebuild && service.build.is_none() {
                bail!("can't watch service {name:?} with action rebuild without a build context");
            }
            if rule.action == Action::SyncExec && rule.exec.command.as_ref().is_none_or(Vec::is_empty) {
                bail!("can't watch with action \"sync+exec\" on service {name} without a command");
            }
            if rule.action.syncs() && rule.mounted.iter().any(|source| within(source, &rule.path).is_some()) {
                warn(format!(
                    "path '{}' also declared by a bind mount volume, this path won't be monitored!",
                    rule.path
                ));
                continue;
            }
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn rule(name: &str, service: &Service, watch: &Watch, legacy: bool) -> anyhow::Result<Rule> {
    let Watch { path, action, target, exec, include, ignore, initial_sync } = watch;
    let action = match action.as_str() {
        "rebuild" => Action::Rebuild,
        "sync" => Action::Sync,
        "restart" => Action::Restart,
        "sync+restart" => Action::SyncRestart,
        "sync+exec" => Action::SyncExec,
        other => bail!("{other:?} is no action: write rebuild, restart, sync, sync+restart or sync+exec"),
    };
    let mut ignores = vec![DockerIgnore::of_patterns("/", EPHEMERAL)?, DockerIgnore::of_patterns(path, ignore)?];
    if let Some(build) = &service.build {
        ignores.push(of_context(build)?);
    }
    let mounts = service.volumes.iter().filter(|mount| mount.bind.is_some());
    Ok(Rule {
        service: name.to_owned(),
        action,
        path: path.clone(),
        exec: exec.clone(),
        initial_sync: *initial_sync || legacy,
        target: target.clone(),
        include: (!include.is_empty()).then(|| DockerIgnore::of_patterns(path, include)).transpose()?,
        ignore: ignores,
        mounted: mounts.map(|mount| mount.source.clone()).collect(),
    })
}

/// What the build leaves out of its context is not watched either: `NAME.dockerignore` beside the Dockerfile, else
/// `.dockerignore`.
fn of_context(build: &Build) -> anyhow::Result<DockerIgnore> {
    let root = Path::new(&build.context);
    for name in [format!("{}.dockerignore", build.dockerfile), ".dockerignore".to_owned()] {
        let file = root.join(&name);
        let bytes = match Reach::Anywhere.read(&file, Kind::IGNORE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let text = String::from_utf8(bytes).with_context(|| format!("cannot read {}", file.display()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).map(str::trim).collect();
        // As in the real one: with a lone `*`, which leaves out everything, only what is brought back counts.
        let everything = lines.contains(&"*");
        let lines: Vec<&str> =
            lines.into_iter().filter(|line| !line.is_empty() && (!everything || line.starts_with('!'))).collect();
        return DockerIgnore::of_patterns(&build.context, &lines).with_context(|| file.display().to_string());
    }
    Ok(DockerIgnore::default())
}

/// `x-initialSync: true` of a rule: what `initial_sync` was called before.
fn legacy_initial_sync(project: &Project, service: &str, index: usize) -> bool {
    let index = index.to_string();
    let way = ["services", service, "develop", "watch", &index];
    let extras = way.iter().try_fold(&project.extras, |extras, key| extras.inside.get(*key));
    extras.is_some_and(|extras| {
        let given = extras.own.iter().find(|(key, _)| key == "x-initialSync");
        given.is_some_and(|(_, node)| node.value == turnout_yaml::Value::Bool(true))
    })
}

/// The rest of a path below a directory, empty for the directory itself.
pub(super) fn within<'p>(directory: &str, path: &'p str) -> Option<&'p str> {
    let directory = directory.trim_end_matches('/');
    let rest = path.strip_prefix(directory)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(service: serde_json::Value) -> anyhow::Result<(Vec<Rule>, Vec<String>)> {
        let services = [("web".to_owned(), serde_json::from_value(service).unwrap())].into();
        let project = Project { name: "p".to_owned(), services, ..Project::default() };
        let mut told = Vec::new();
        let found = of(&project, |line| told.push(line))?;
        Ok((found, told))
    }

    fn one(watch: serde_json::Value) -> Rule {
        rules(serde_json::json!({"image": "i", "develop": {"watch": [watch]}})).unwrap().0.remove(0)
    }

    #[test]
    fn a_change_below_the_path_has_its_place_in_the_container() {
        let rule = one(serde_json::json!({
            "path": "/p/src", "action": "sync", "target": "/app/", "include": ["*.rs", "sub"], "ignore": ["./out", "*.bak.rs", "!keep.bak.rs"],
        }));
        for (path, place) in [
            ("/p/src/a.rs", Some("/app/a.rs")),
            ("/p/src/sub/deep/x", Some("/app/sub/deep/x")),
            ("/p/src/a.txt", None),
            ("/p/src/out/a.rs", None),
            ("/p/src/a.bak.rs", None),
            ("/p/src/keep.bak.rs", Some("/app/keep.bak.rs")),
            ("/p/srcs/a.rs", None),
            ("/p/a.rs", None),
        ] {
            assert_eq!(rule.place(path).as_deref(), place, "{path}");
        }
        let file = one(serde_json::json!({"path": "/p/a.conf", "action": "sync", "target": "/etc/a.conf"}));
        assert_eq!(file.place("/p/a.conf").as_deref(), Some("/etc/a.conf"));
        let all = one(serde_json::json!({"path": "/p", "action": "sync", "target": "/app"}));
        for path in ["/p/.git/HEAD", "/p/sub/.git/x", "/p/a.txt~", "/p/.a.swp", "/p/4913", "/p/.idea/w.xml"] {
            assert_eq!(all.place(path), None, "{path}");
        }
    }

    #[test]
    fn a_batch_is_gathered_by_service() {
        let (rules, _) = rules(serde_json::json!({
            "build": {"context": "/nowhere"},
            "develop": {"watch": [
                {"path": "/p/src", "action": "sync", "target": "/app"},
                {"path": "/p/conf", "action": "sync+restart", "target": "/conf"},
                {"path": "/p/Cargo.toml", "action": "rebuild"},
                {"path": "/p/cmd", "action": "sync+exec", "target": "/cmd", "exec": {"command": ["x"]}},
                {"path": "/p/up", "action": "restart"},
            ]},
        }))
        .unwrap();
        let web = || "web".to_owned();
        let batch = work(&rules, ["/p/src/a", "/p/conf/b", "/p/cmd/c", "/p/cmd/d"]);
        let mappings = ["/p/src/a:/app/a", "/p/conf/b:/conf/b", "/p/cmd/c:/cmd/c", "/p/cmd/d:/cmd/d"];
        let mappings: Mappings =
            mappings.iter().filter_map(|m| m.split_once(':')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        let expected = Work {
            rebuild: BTreeSet::new(),
            sync: [(web(), mappings)].into(),
            restart: [web()].into(),
            exec: [(web(), [3].into())].into(),
        };
        assert_eq!(batch, expected);
        assert_eq!(work(&rules, ["/p/Cargo.toml"]).rebuild, [web()].into());
        assert_eq!(work(&rules, ["/p/up/x"]).restart, [web()].into());
        assert_eq!(work(&rules, ["/p/other"]), Work::default());
    }

    #[test]
    fn what_is_mounted_is_not_copied() {
        let watch = serde_json::json!([
            {"path": "/p/data", "action": "sync", "target": "/data"},
            {"path": "/p", "action": "sync", "target": "/all"},
        ]);
        let volumes = serde_json::json!([{"type": "bind", "source": "/p/data", "target": "/d", "bind": {}}]);
        let (found, told) =
            rules(serde_json::json!({"image": "i", "volumes": volumes, "develop": {"watch": watch}})).unwrap();
        assert_eq!(told, ["path '/p/data' also declared by a bind mount volume, this path won't be monitored!"]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place("/p/data/x"), None);
        assert_eq!(found[0].place("/p/database").as_deref(), Some("/all/database"));
    }

    #[test]
    fn the_contexts_ignore_file_counts() {
        let context = tempfile::tempdir().unwrap();
        let root = context.path().to_str().unwrap();
        let place = |ignore: &str, file: &str| {
            std::fs::write(context.path().join(".dockerignore"), ignore).unwrap();
            let (found, _) = rules(serde_json::json!({
                "build": {"context": root, "dockerfile": "Dockerfile"},
                "develop": {"watch": [{"path": root, "action": "sync", "target": "/app"}]},
            }))
            .unwrap();
            found[0].place(&format!("{root}/{file}"))
        };
        assert_eq!(place("# not this\nlogs\n", "logs/x"), None);
        assert_eq!(place("logs\n!logs/kept", "logs/kept").as_deref(), Some("/app/logs/kept"));
        assert_eq!(place("# logs\n", "logs/x").as_deref(), Some("/app/logs/x"));
        assert_eq!(place("*\n!src\n", "src/x").as_deref(), Some("/app/src/x"));
    }

    #[test]
    fn the_former_name_of_initial_sync_is_taken_with_a_word() {
        let text =
            "services: {a: {image: i, develop: {watch: [{path: /p, action: sync, target: /t, x-initialSync: true}]}}}";
        let files = turnout_compose::source::MapFiles::new([("/p/compose.yaml", text)]);
        let request = turnout_compose::load::LoadRequest {
            working_dir: "/p".into(),
            files: vec!["compose.yaml".into()],
            ..Default::default()
        };
        let project = turnout_compose::load::load(&request, &files).unwrap().project;
        let mut told = Vec::new();
        let rules = of(&project, |line| told.push(line)).unwrap();
        assert!(rules[0].initial_sync);
        assert_eq!(told, ["x-initialSync is DEPRECATED, please use the official `initial_sync` attribute"]);
    }

    #[test]
    fn rules_that_cannot_be_kept_are_named() {
        for (service, expected) in [
            (
                serde_json::json!({"image": "i", "develop": {"watch": [{"path": "/p", "action": "rebuild"}]}}),
                "can't watch service \"web\" with action rebuild without a build context",
            ),
            (
                serde_json::json!({"image": "i", "develop": {"watch": [{"path": "/p", "action": "sync+exec", "target": "/"}]}}),
                "without a command",
            ),
            (
                serde_json::json!({"image": "i", "develop": {"watch": [{"path": "/p", "action": "sync", "target": "/", "ignore": ["["]}]}}),
                "services.web.develop.watch[0]",
            ),
        ] {
            let error = format!("{:#}", rules(service).err().unwrap());
            assert!(error.contains(expected), "{error}");
        }
    }
}
