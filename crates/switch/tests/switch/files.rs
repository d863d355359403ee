//! Where mounted files of the work tree are read.

use std::collections::BTreeMap;

use turnout_switch::{
    Facts, FileFacts, Keeps, ReadFrom, Said, derive,
    dress::{Dress, StayingDress, coloured, staying},
    explain,
};

use crate::support::project;

const TEXT: &str = "
services:
  web:
    build: .
    ports: ['80:8000']
    volumes: ['./conf:/c:ro', './site:/s', './data:/d', '/etc/hosts:/h:ro']
    configs: [app]
    secrets: [key]
  worker: {build: ., volumes: ['./conf:/c', './own:/o']}
  db: {image: postgres, volumes: ['./conf:/c:ro', './init.sql:/i:ro', 'rows:/r']}
configs: {app: {file: ./app.conf}}
secrets: {key: {file: ./key}}
volumes: {rows: {}}
";

fn facts() -> Facts {
    let file = |(path, inside): (&str, Result<&str, Keeps>)| {
        let tracked = inside.is_ok();
        let inside = Some(inside.map_or_else(ReadFrom::Place, |id| ReadFrom::Snapshot(id.to_owned())));
        (format!("/srv/shop/{path}"), FileFacts { tracked, inside, ..FileFacts::default() })
    };
    let files = [
        ("conf", Ok("c1")),
        ("site", Ok("s1")),
        ("own", Ok("o1")),
        ("data", Err(Keeps::Mixed)),
        ("app.conf", Ok("a1")),
        ("key", Err(Keeps::Untracked)),
        ("init.sql", Ok("i1")),
    ];
    let ignoring = ["worker".to_owned()].into();
    Facts { files: files.into_iter().map(file).collect(), ignoring, ..Facts::default() }
}

#[test]
fn what_moves_reads_copies_of_what_git_tracks() {
    let derived = derive(&project(TEXT), &facts(), &Said::default());
    let said: Vec<String> = derived
        .files
        .iter()
        .map(|file| {
            let read = match &file.read {
                ReadFrom::Snapshot(id) => format!("copy {id}"),
                ReadFrom::Place(keeps) => keeps.to_string(),
            };
            let writes = if file.writable { " (writable)" } else { "" };
            format!("{} for {}: {read}{writes}", file.shown, file.readers.join(", "))
        })
        .collect();
    assert_eq!(
        said,
        [
            "./app.conf for web: copy a1",
            // The worker looks after changes itself, and a source is read in one place.
            "./conf for db, web, worker: on_mounted_change is ignore (writable)",
            "./data for web: it holds what git does not track: data (writable)",
            "./init.sql for db: what stays is changed in place",
            "./key for web: git does not track it",
            "./own for worker: on_mounted_change is ignore (writable)",
            "./site for web: copy s1 (writable)",
        ]
    );
    let text = explain(&derived);
    assert!(text.contains("./site") && text.contains("a snapshot") && text.contains("the work tree"), "{text}");
}

#[test]
fn a_colour_mounts_the_copies_and_what_stays_does_not() {
    let project = project(TEXT);
    let derived = derive(&project, &Facts { ignoring: Default::default(), ..facts() }, &Said::default());
    let copied = |name: &str| (format!("/srv/shop/{name}"), format!("/state/{name}"));
    let snapshots: BTreeMap<String, String> = ["conf", "site", "app.conf", "init.sql"].map(copied).into();
    let dress = Dress {
        name: "blueshop".into(),
        staying: "shop".into(),
        loopback: [(("web".into(), 8000), 20_000)].into(),
        snapshots,
        ..Dress::default()
    };
    let colour = coloured(&project, &derived, &dress).unwrap().project;
    let sources = |service: &str| -> Vec<String> {
        colour.services[service].volumes.iter().map(|mount| mount.source.clone()).collect()
    };
    assert_eq!(sources("web"), ["/state/conf", "/state/site", "/srv/shop/data", "/etc/hosts"]);
    assert_eq!(sources("worker"), ["/state/conf", "/srv/shop/own"]);
    assert_eq!(colour.configs["app"].file, "/state/app.conf");
    assert_eq!(colour.secrets["key"].file, "/srv/shop/key");
    let stays = staying(&project, &derived, &StayingDress { name: "shop".into(), ..StayingDress::default() }).unwrap();
    assert_eq!(stays.services["db"].volumes[0].source, "/srv/shop/conf");
}
