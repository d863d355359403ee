//! Published stacks, which have licences of their own and lie beside the project (`../shared/compose-corpus`, or
//! `TURNOUT_SHARED`); where they are absent, that is said.
//!
//! Nothing is known of their images, and of their files that those which are there are tracked.

#![expect(clippy::disallowed_methods, reason = "the stacks are files")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use turnout_compose::{load::load, model::Project, source::DiskFiles};
use turnout_switch::{
    Class, Facts, FileFacts, Reason, Said, derive,
    dress::{Dress, coloured},
    explain,
    refusal::Line,
    said::Order,
};

use crate::cases_support::request;

/// Stacks as their projects published them.
const CATEGORIES: [&str; 2] = ["real-world", "awesome-compose"];

#[test]
fn published_stacks() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = std::env::var_os("TURNOUT_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let cases = shared.join("compose-corpus/cases");
    if !cases.is_dir() {
        println!("{} is absent (TURNOUT_SHARED names another place): no published stack was tried", shared.display());
        return;
    }
    let (mut stacks, mut by_class, mut kinds) = (0, BTreeMap::<Class, usize>::new(), BTreeMap::<&str, usize>::new());
    let (mut refused, mut faults) = (0, Vec::new());
    for category in CATEGORIES {
        let mut folders: Vec<PathBuf> =
            fs::read_dir(cases.join(category)).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        for folder in folders {
            let Some(project) = project(&folder) else { continue };
            stacks += 1;
            let said = Said::read(None, &project).unwrap();
            let derived = derive(&project, &facts(&project), &said);
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!explain(&derived).is_empty());
            for (service, fate) in &derived.services {
                *by_class.entry(fate.class).or_default() += 1;
                let engine = looks_like_an_engine(&project.services[service].image);
                if engine && fate.class.moves() {
                    faults.push(format!("{name}: {service} is an engine and {}", fate.class));
                }
                let scheduler = fate.scheduler || matches!(fate.reason, Reason::Scheduler(_));
                if scheduler && fate.order.is_some_and(|(order, _)| order == Order::StartFirst) {
                    faults.push(format!("{name}: two of the scheduler {service}"));
                }
            }
            let has = |class| derived.services.values().any(|fate| fate.class == class);
            let kind = match () {
                () if has(Class::Routed) => "have a routed service",
                () if has(Class::Held) => "have only held ones",
                () => "stay in place",
            };
            *kinds.entry(kind).or_default() += 1;
            refused += usize::from(!derived.refusals.is_empty());
            for refusal in &derived.refusals {
                let Line::Repos(line) = &refusal.line else { continue };
                let said = Said::read(Some(line), &project).unwrap();
                let then = derive(&project, &facts(&project), &said);
                if then.refusals.iter().any(|it| it.cause == refusal.cause) {
                    faults.push(format!("{name}: {} is not lifted by {}", refusal.cause, refusal.line));
                }
            }
            let loopback = derived.routes.iter().map(|route| ((route.service.clone(), route.port), 20_000)).collect();
            let dress = Dress { name: "bluecase".into(), staying: "stays".into(), loopback, ..Dress::default() };
            let coloured = coloured(&project, &derived, &dress).unwrap().project;
            for service in coloured.services.values().filter(|service| looks_like_an_engine(&service.image)) {
                faults.push(format!("{name}: {} in a colour", service.image));
            }
            if std::env::var_os("TURNOUT_EXPLAIN").is_some() {
                println!("== {name}: {kind}\n{}", explain(&derived));
            }
        }
    }
    println!("{stacks} stacks: {kinds:?}; {refused} refused until something is written; services {by_class:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(stacks > 60, "only {stacks} stacks");
}

/// Told apart from the crate's own list: a word anywhere in the image's name, and what has it and is none.
fn looks_like_an_engine(image: &str) -> bool {
    const ENGINES: [&str; 14] = [
        "postgres",
        "mysql",
        "mariadb",
        "mongo",
        "redis",
        "valkey",
        "rabbitmq",
        "kafka",
        "elasticsearch",
        "clickhouse",
        "memcached",
        "minio/minio",
        "opensearch",
        "postfix",
    ];
    const NONE: [&str; 6] = ["exporter", "express", "admin", "kafka-ui", "dashboards", "curator"];
    ENGINES.iter().any(|word| image.contains(word)) && !NONE.iter().any(|word| image.contains(word))
}

fn project(folder: &Path) -> Option<Project> {
    let meta: Value = serde_json::from_str(&fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
    if meta["expect"] != "ok" {
        return None;
    }
    let directory = folder.join("project").canonicalize().unwrap();
    let request = request(&meta, &directory);
    let loaded = load(&request, &DiskFiles::default());
    Some(loaded.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).project)
}

/// What is there is tracked, and files with an ending: the corpus has only what Compose itself reads of a project. Folders
/// that are not there may be anything.
fn facts(project: &Project) -> Facts {
    let binds = project.services.values().flat_map(|service| &service.volumes).map(|mount| Path::new(&mount.source));
    let inside = binds.filter(|source| source.starts_with(&project.working_dir));
    let files = inside.filter(|source| source.exists() || source.extension().is_some_and(|_| !is_hidden(source)));
    let files = files.map(|source| {
        let text = fs::read_to_string(source).unwrap_or_default();
        let path = source.to_string_lossy().trim_end_matches('/').to_owned();
        (path, FileFacts { tracked: true, text, ..FileFacts::default() })
    });
    Facts { files: files.collect(), ..Facts::default() }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}
