//! Rooms depend one way only. See the table in ARCHITECTURE.md; `cargo run --example imports` prints what is.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    circles::{circles, needs, uses},
    imports::{self, Named, Room},
};

/// Folders of `src` from the ground up; a folder may use only folders before it, and any crate but for [`FEW_CRATES`].
const ORDER: &[&str] =
    &["config", "forge", "decide", "rollout", "inputs", "store", "outbox", "deploy", "lane", "server", "cli"];

/// Folders whose business not every crate is, and which they may use.
const FEW_CRATES: &[(&str, &[&str])] = &[
    ("config", &["files", "git", "report", "switch", "yaml"]),
    ("forge", &["report"]),
    ("decide", &["plan", "report"]),
    ("rollout", &["switch"]),
    ("store", &["files", "report"]),
    ("outbox", &["report"]),
];

/// Crates, and which others of ours each may use. Cargo holds that there are no circles; this holds that there is no more.
const CRATES: &[(&str, &[&str])] = &[
    ("yaml", &[]),
    ("report", &[]),
    ("files", &[]),
    ("compose", &["yaml", "report", "files"]),
    ("plan", &["compose", "report"]),
    ("switch", &["compose", "report"]),
    ("net", &["report"]),
    ("registry", &["net", "report"]),
    ("buildkit", &["files", "registry"]),
    ("docker", &["buildkit", "compose", "files", "net", "plan", "registry", "report"]),
    ("git", &["files", "net", "report"]),
    ("composer", &["buildkit", "compose", "docker", "files", "git", "plan", "registry", "report", "yaml"]),
    ("traffic", &["report"]),
    ("steer", &["traffic"]),
    ("fronts", &["traffic"]),
    ("gate", &["report"]),
    ("measure", &["net"]),
    ("nat", &[]),
    ("acme", &["net", "report"]),
    ("proxy", &["acme", "nat", "report", "traffic"]),
];

/// What must not come with a crate, not even through others: packages by the beginning of their names.
const WITHOUT: &[(&str, &[&str])] = &[
    ("yaml", &["tokio", "serde_json", "rustix", "bollard", "git2", "rusqlite"]),
    ("report", &["tokio", "rustix", "bollard", "git2", "rusqlite"]),
    ("files", &["bollard", "hyper", "git2", "rusqlite", "serde_json"]),
    // tokio comes with the gate for files, whose waits end; compose's own code has none of it (PURE).
    ("compose", &["bollard", "hyper", "git2", "openssl", "rusqlite"]),
    ("plan", &["bollard", "hyper", "git2", "openssl", "rusqlite"]),
    ("switch", &["bollard", "hyper", "git2", "openssl", "rusqlite"]),
    ("net", &["bollard", "git2", "rusqlite", "axum"]),
    ("registry", &["bollard", "git2", "rusqlite", "axum"]),
    ("buildkit", &["bollard", "git2", "rusqlite", "axum"]),
    ("docker", &["git2", "rusqlite", "axum", "clap", "globset"]),
    ("git", &["bollard", "rusqlite", "axum"]),
    ("composer", &["rusqlite", "libsqlite3", "axum", "globset"]),
    ("traffic", &["tokio", "rustix", "bollard", "hyper", "git2", "rusqlite"]),
    ("steer", &["git2", "libgit2", "rusqlite", "libsqlite3", "bollard", "hyper", "axum", "turnout-compose"]),
    ("fronts", &["git2", "libgit2", "rusqlite", "libsqlite3", "bollard", "axum", "openssl", "turnout-compose"]),
    ("gate", &["git2", "libgit2", "rusqlite", "libsqlite3", "bollard", "hyper", "axum", "openssl"]),
    ("measure", &["git2", "libgit2", "rusqlite", "libsqlite3", "bollard", "axum", "turnout-compose", "turnout-docker"]),
    ("nat", &["git2", "libgit2", "rusqlite", "libsqlite3", "bollard", "hyper", "axum", "openssl"]),
    ("acme", &["git2", "libgit2", "rusqlite", "libsqlite3", "bollard", "axum", "turnout-compose", "turnout-docker"]),
    ("proxy", &["git2", "libgit2", "rusqlite", "libsqlite3", "bollard", "axum", "turnout-compose", "turnout-docker"]),
];

/// Rooms without async, clock, Docker or filesystem.
const PURE: &[&str] = &["report", "yaml", "forge", "compose", "decide", "rollout", "plan", "switch", "traffic"];
/// What would betray them, by the beginning of a path.
const IMPURE: &[&str] = &[
    "tokio",
    "bollard",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::net::ToSocketAddrs",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "rustix",
];
/// The files that hold a pure room's edge to the disk.
const EDGES: &[&str] = &["crates/compose/src/source.rs"];

fn rust_files(dir: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The part of a file before its test module: tests may reach anywhere.
fn product_code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// Whether one room may use another. Nobody may take in all of them at once, for then it is not seen whom they use.
fn may_use(room: &Room, used: &Room) -> bool {
    let rank = |name: &str| ORDER.iter().position(|known| *known == name);
    match (room, used) {
        (Room::Folder(from), Room::Folder(to)) => rank(to).is_some() && rank(to) < rank(from),
        (Room::Folder(from), Room::Crate(to)) => {
            let few = FEW_CRATES.iter().find(|(name, _)| name == from);
            few.is_none_or(|(_, may)| may.contains(&to.as_str()))
        }
        (Room::Crate(_), Room::Folder(_)) => false,
        (Room::Crate(from), Room::Crate(to)) => {
            CRATES.iter().any(|(name, may)| name == from && may.contains(&to.as_str()))
        }
    }
}

#[test]
fn rooms_use_only_rooms_below_them() {
    let mut faults = Vec::new();
    for (room, uses) in imports::graph() {
        for (used, at) in uses.into_iter().filter(|(used, _)| !may_use(&room, used)) {
            faults.push(format!("{at}: {} must not use {}", room.name(), used.name()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What a file of `src/store` reaches, as the module `store::log`.
fn reached(text: &str) -> Vec<Vec<String>> {
    let module = ["store", "log"].map(str::to_owned);
    let named = imports::reached_in(&syn::parse_file(text).unwrap(), "src/store/log.rs", &module);
    named.into_iter().map(|named| named.path).collect()
}

#[test]
fn whoever_reaches_a_room_above_is_found_however_it_is_written() {
    let store = Room::Folder("store".to_owned());
    for (text, found) in [
        // Below it, or its own.
        ("use crate::{config::Repo, report::Event};", None),
        ("use super::desk::Desk; use self::inner::X;", None),
        ("#[cfg(test)] mod tests { use crate::deploy::X; }", None),
        ("use crate::deploy::X;", Some("deploy")),
        ("use crate::{config::Repo, deploy::{self, X}};", Some("deploy")),
        ("use crate::deploy as other;", Some("deploy")),
        ("use crate as top; fn f() { top::deploy::x() }", Some("deploy")),
        ("use crate::{self as top}; fn f() { top::deploy::x() }", Some("deploy")),
        ("use super::super as top; use top::deploy::X;", Some("deploy")),
        ("fn f() { fn g() { use crate::deploy::X; } }", Some("deploy")),
        ("use crate::deploy::*;", Some("deploy")),
        ("use crate::*;", Some("*")),
        ("use super::super::*;", Some("*")),
        ("fn f() { println!(\"{}\", crate::deploy::X); }", Some("deploy")),
        ("fn f() { println!(\"{}\", super::super::deploy::X); }", Some("deploy")),
        ("use super::super::deploy::X;", Some("deploy")),
        ("fn f(_: self::super::super::deploy::X) {}", Some("deploy")),
        ("mod inner { use super::super::super::deploy::X; }", Some("deploy")),
        ("fn f() -> <u8 as crate::deploy::T>::Out {}", Some("deploy")),
        ("impl crate::deploy::T for u8 {}", Some("deploy")),
        ("extern crate turnout_git as other;", Some("git")),
        ("fn f() { ::turnout_git::x() }", Some("git")),
        // By the name that src/lib.rs gives it.
        ("use crate::engine::Engine;", Some("docker")),
    ] {
        let used = reached(text).into_iter().filter_map(|path| imports::used(&store, &path));
        let refused: BTreeSet<String> =
            used.filter(|used| *used != store && !may_use(&store, used)).map(|used| used.name().to_owned()).collect();
        assert_eq!(refused, found.into_iter().map(str::to_owned).collect(), "{text}");
    }
}

#[test]
fn each_rule_of_the_layers_refuses_something() {
    let (folder, of) = (|name: &str| Room::Folder(name.to_owned()), |name: &str| Room::Crate(name.to_owned()));
    for (from, to, may) in [
        (folder("lane"), folder("deploy"), true),
        (folder("deploy"), folder("lane"), false),
        (folder("deploy"), folder("deploy"), false),
        (folder("deploy"), of("docker"), true),
        (folder("store"), of("docker"), false),
        (of("git"), folder("config"), false),
        (of("git"), of("files"), true),
        (of("files"), of("git"), false),
        (folder("cli"), folder("*"), false),
        (of("unknown"), of("yaml"), false),
    ] {
        assert_eq!(may_use(&from, &to), may, "{} uses {}", from.name(), to.name());
    }
}

#[test]
fn every_room_has_its_place() {
    let known: BTreeSet<Room> = (ORDER.iter().map(|name| Room::Folder((*name).to_owned())))
        .chain(CRATES.iter().map(|(name, _)| Room::Crate((*name).to_owned())))
        .collect();
    assert_eq!(imports::rooms().into_keys().collect::<BTreeSet<_>>(), known, "see the lists in this file");
}

#[test]
fn crates_bring_no_more_than_they_may() {
    let packages = imports::packages();
    let mut faults = Vec::new();
    for (name, without) in WITHOUT {
        let all = &packages[&format!("turnout-{name}")];
        for package in all.iter().filter(|package| without.iter().any(|start| package.starts_with(start))) {
            faults.push(format!("crates/{name} brings {package}"));
        }
        let may = CRATES.iter().find(|(known, _)| known == name).unwrap().1;
        for package in all.iter().filter_map(|package| package.strip_prefix("turnout-")) {
            // What comes through one of those that it may use.
            let through =
                may.iter().any(|used| packages[&format!("turnout-{used}")].contains(&format!("turnout-{package}")));
            if !may.contains(&package) && !through {
                faults.push(format!("crates/{name} brings crates/{package}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What betrays that a path leads outside.
fn impure(path: &[String]) -> Option<&'static str> {
    let path = path.join("::");
    IMPURE.iter().copied().find(|word| path == **word || path.starts_with(word) && !goes_on(&path[word.len()..]))
}

/// Whether the rest of a path goes on with the same word: `std::net::Tcp` is the beginning of one, `std::fs` is a whole one.
fn goes_on(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') && !rest.starts_with(|c: char| c.is_uppercase())
}

#[test]
fn pure_rooms_touch_nothing_outside() {
    let mut faults = Vec::new();
    for (room, folder) in imports::rooms() {
        if !PURE.contains(&room.name()) {
            continue;
        }
        for file in imports::product_files(&folder) {
            for Named { path, at, .. } in imports::reached(&file) {
                if EDGES.iter().all(|edge| !at.starts_with(edge))
                    && let Some(word) = impure(&path)
                {
                    faults.push(format!("{at}: {word} in a pure room"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_leads_outside_is_found_however_it_is_written() {
    for (text, found) in [
        ("use std::{collections::BTreeMap, time::Duration, net::IpAddr};", None),
        ("use std::fs;", Some("std::fs")),
        ("use std::{collections::BTreeMap, fs::{self, File}};", Some("std::fs")),
        ("use std as s; fn f() { s::fs::read(p) }", Some("std::fs")),
        ("use std::time; fn f() { time::Instant::now() }", Some("std::time::Instant")),
        ("use std::time::Instant as Then;", Some("std::time::Instant")),
        ("fn f() { std::time::SystemTime::now() }", Some("std::time::SystemTime")),
        ("use std::net::TcpStream;", Some("std::net::Tcp")),
        ("fn f() { std::process::Command::new(p) }", Some("std::process")),
        ("fn f() { println!(\"{:?}\", std::thread::current()) }", Some("std::thread")),
        ("use tokio::*;", Some("tokio")),
        ("fn f() { tokio::select! {} }", Some("tokio")),
        ("extern crate rustix;", Some("rustix")),
        ("fn f() { fn g() { use bollard::Docker; } }", Some("bollard")),
    ] {
        let all: BTreeSet<&str> = reached(text).iter().filter_map(|path| impure(path)).collect();
        assert_eq!(all, found.into_iter().collect(), "{text}");
    }
}

/// A use of one file by another which closes a circle: from the first to the second.
type Back = (&'static str, &'static str);

/// Circles that stay, as the data goes round in them.
const RECURSIVE: &[(&str, &[Back])] = &[
    (
        "a document extends and includes documents, which are loaded as it is",
        &[
            ("crates/compose/src/document.rs", "crates/compose/src/extends.rs"),
            ("crates/compose/src/document.rs", "crates/compose/src/include.rs"),
        ],
    ),
    (
        "what brings an image has a cause, which may be that another image is brought",
        &[("crates/plan/src/cause/mod.rs", "crates/plan/src/cause/image.rs")],
    ),
    (
        "what fails with an image is a failure of the engine, and has one as its cause",
        &[("crates/docker/src/error.rs", "crates/docker/src/image/error.rs")],
    ),
];

#[test]
fn no_file_needs_one_that_needs_it() {
    let uses = uses();
    let known: Vec<Back> = RECURSIVE.iter().flat_map(|(_, backs)| backs.iter().copied()).collect();
    let mut faults = Vec::new();
    for circle in circles(&uses, &known) {
        faults.push("files go round in a circle; give what both sides need a file of its own:".to_owned());
        let told =
            circle.uses.iter().map(|found| format!("    {} uses {}: {}", found.from, found.to, found.what.join(", ")));
        faults.extend(told);
    }
    for (from, to) in &known {
        let there = uses.iter().any(|used| used.from == *from && used.to == *to);
        if !there || !needs(&uses, &known, to, from) {
            faults.push(format!("{from} closes no circle with {to} any more: take it out of the list"));
        }
    }
    assert!(uses.len() > 500, "only {} uses were found", uses.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What the client library gives as a stream: whoever reads it has a time of their own for it.
const STREAMS: &[&str] = &["create_image", "push_image", "logs", "events", "stats"];

#[test]
fn the_engine_is_asked_with_a_time() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut faults, mut seen) = (Vec::new(), Vec::new(), 0);
    for folder in ["crates/docker/src", "src/inputs", "src/store", "src/deploy", "src/lane", "src/server"] {
        rust_files(&root.join(folder), &mut files);
    }
    for file in files {
        if file.ends_with("docker/src/context.rs") {
            continue; // `docker` is a name in the settings of Docker's client there
        }
        let text = fs::read_to_string(&file).unwrap();
        let text = product_code(&text);
        // A client is `self.docker()`, or a variable of that name that was taken from it before.
        for (at, word) in ["docker()", "docker"].iter().flat_map(|word| text.match_indices(word)) {
            let rest = text[at + word.len()..].trim_start();
            let method = rest.strip_prefix('.').map(|rest| rest.split('(').next().unwrap_or_default());
            let Some(method) = method.filter(|method| method.chars().all(|c| c.is_alphanumeric() || c == '_')) else {
                continue;
            };
            let before =
                text[..at].trim_end_matches("self.engine.").trim_end_matches("self.").trim_end_matches("engine.");
            let asked = before.trim_end().ends_with("ask(") || before.trim_end().ends_with("ask_for(patience,");
            let own = ["clone", "with_timeout", "client_version", "map_err", "sock"].contains(&method);
            seen += usize::from(asked);
            let line = text[..at].lines().next_back().unwrap_or_default();
            if !asked && !own && !STREAMS.contains(&method) && !line.contains("//") && !line.contains('"') {
                faults.push(format!("{}:{}: {method} waits without end", file.display(), text[..at].lines().count()));
            }
        }
    }
    assert!(seen > 40, "only {seen} calls were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// How a file is opened or read.
const OPENINGS: &[&str] = &[
    "File::open(",
    "File::options(",
    "fs::read(",
    "fs::read_to_string(",
    "fs::copy(",
    "OpenOptions::new(",
    "rustix::fs::open",
];

/// Who opens files beside `crates/files`, and which: none whose path a commit or a Compose file chose.
const OPENERS: &[(&str, &str)] = &[
    ("crates/composer/src/files.rs", "writes published projects into the user's cache"),
    ("src/cli/colours.rs", "a page, named on the command line"),
    ("src/cli/log_file.rs", "log files"),
    ("src/config/live.rs", "the last good list, in the state directory"),
    ("src/deploy/busy.rs", "locks in the state directory"),
    ("src/deploy/colours/snapshots.rs", "copies of tracked files, in the state directory"),
    ("src/store/dies.rs", "what a test wants, in builds for tests alone"),
    ("crates/docker/src/memory.rs", "the machine's memory, in /proc"),
    ("crates/docker/src/context.rs", "contexts of Docker's client"),
    ("crates/net/src/dial.rs", "certificates of servers, named in settings of Docker's client"),
    ("crates/registry/src/credentials.rs", "config.json of Docker's client"),
    ("crates/docker/src/proxy_variables.rs", "config.json of Docker's client"),
    ("crates/git/src/arrived.rs", "the index of a pack, in .git"),
    ("crates/git/src/auth.rs", "known_hosts, named in repos.yaml"),
    ("crates/git/src/key_file.rs", "keys, named in repos.yaml"),
    ("crates/git/src/checkout/carry_out.rs", "LFS objects, in .git"),
    ("crates/git/src/checkout/index_lock.rs", "in .git"),
    ("crates/git/src/checkout/note.rs", "in .git"),
    ("crates/git/src/checkout/owned.rs", "in .git"),
    ("crates/git/src/checkout/settings.rs", "in .git"),
    (
        "crates/git/src/checkout/work_tree.rs",
        "tracked files, to compare them: folder by folder, no link followed, O_NONBLOCK",
    ),
    ("crates/git/src/convert/lfs/store.rs", "LFS objects, in .git"),
    ("crates/git/src/convert/mod.rs", "tracked files, to compare them: no link followed, O_NONBLOCK"),
    ("crates/git/src/convert/stored.rs", "LFS objects, in .git"),
    ("crates/git/src/lock.rs", "in .git"),
    ("crates/git/src/preview.rs", "the edge of a shallow clone, in .git; and what it writes itself"),
    ("crates/git/src/repack/hold.rs", "in .git"),
    ("crates/git/src/repack/join.rs", "in .git"),
    ("crates/git/src/repack/nursery.rs", "in .git"),
    ("crates/git/src/repack/pack.rs", "in .git"),
    ("crates/git/src/stale.rs", "what other processes are, in /proc"),
    ("crates/git/src/transfer.rs", "in .git"),
    ("crates/nat/src/serve.rs", "the list of tracked connections, in /proc"),
    ("crates/acme/src/files.rs", "certificates, keys and orders, in the proxy's own state directory"),
    ("crates/proxy/src/access.rs", "the access log, named on the proxy's command line"),
    ("crates/proxy/src/dies.rs", "what a test wants, in builds for tests alone"),
    ("crates/proxy/src/tls.rs", "certificates and keys, named in the route table"),
    ("crates/proxy/src/route_file.rs", "the route file, in the proxy's own state directory"),
    ("crates/steer/src/log_end.rs", "the log of turnout-proxy, named in settings"),
    ("crates/steer/src/start.rs", "that log, and the lock beside the control socket"),
    ("crates/fronts/src/file.rs", "the file of a front, named in repos.yaml"),
    ("crates/fronts/src/nginx.rs", "the number of nginx's master process, in a file named in repos.yaml"),
    ("crates/fronts/src/workers.rs", "what other processes are, in /proc"),
    ("src/inputs/hasher.rs", "digests, in the state directory"),
    ("src/inputs/memory.rs", "lists of inputs, in the state directory"),
    ("src/server/checked_out.rs", "HEAD, in .git"),
    ("src/store/copies.rs", "the database"),
    ("src/store/restore.rs", "the database"),
    ("src/store/schema.rs", "the database"),
];

#[test]
fn files_that_a_commit_chose_are_opened_at_the_gate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    rust_files(&root.join("crates"), &mut files);
    let mut faults = Vec::new();
    let mut openers = std::collections::BTreeSet::new();
    for file in files {
        let relative = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let name = file.file_name().unwrap().to_string_lossy();
        if relative.starts_with("crates/files/") || relative.contains("/tests/") || name == "tests.rs" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in product_code(&text).lines().enumerate() {
            // `LogFile::open` is no opening of that kind.
            let opens = OPENINGS.iter().any(|word| line.contains(word)) && !line.contains("LogFile::open(");
            if line.trim_start().starts_with("//") || !opens {
                continue;
            }
            if OPENERS.iter().any(|(known, _)| *known == relative) {
                openers.insert(relative.clone());
            } else {
                faults.push(format!("{relative}:{}: read it through crate::files, or say here why not", number + 1));
            }
        }
    }
    let gone = OPENERS.iter().filter(|(known, _)| !openers.contains(*known));
    faults.extend(gone.map(|(known, _)| format!("{known} opens nothing any more: take it out of the list")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Tests may read the clock, so clippy's list of banned calls is off in them; a sleep says nevertheless why it is none that waits
/// for something to have happened.
#[test]
fn a_sleep_in_a_test_says_why() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("tests"), &mut files);
    rust_files(&root.join("crates"), &mut files);
    let (mut seen, mut faults) = (0, Vec::new());
    let sleep = ["thread::", "sleep("].concat();
    for file in files.iter().filter(|file| file.components().any(|part| part.as_os_str() == "tests")) {
        let text = fs::read_to_string(file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.contains(&sleep)) {
            seen += 1;
            let item = lines[..at].iter().rev().take_while(|line| !line.starts_with('}'));
            if !item.into_iter().any(|line| line.contains("#[expect(clippy::disallowed_methods, reason")) {
                let place = file.strip_prefix(root).unwrap().display();
                faults.push(format!("{place}:{}: wait for what is to happen, or say why not in an `expect`", at + 1));
            }
        }
    }
    assert!(seen > 0, "no sleep is found any more: what does this test look for?");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
