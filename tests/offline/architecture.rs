//! Folders depend one way only. See the table in ARCHITECTURE.md.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure is the report")]

use std::{fs, path::Path};

/// From the ground up; a folder may use only folders before it.
const ORDER: &[&str] = &[
    "report", "files", "yaml", "config", "tls", "webhook", "compose", "decide", "plan", "git", "inputs", "engine",
    "store", "deploy", "worker", "server", "cli",
];

/// Folders without async, clock, Docker or filesystem, and the words that would betray them.
const PURE: &[&str] = &["report", "yaml", "webhook", "compose", "decide", "plan"];
const IMPURE_WORDS: &[&str] = &["tokio::", "bollard::", "std::fs::", "Instant::now", "SystemTime::now", "std::net::"];
/// The two files that hold a pure folder's edge to the disk.
const EDGES: &[&str] = &["src/compose/source.rs"];

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

#[test]
fn folders_use_only_folders_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for (rank, folder) in ORDER.iter().enumerate() {
        let mut files = Vec::new();
        rust_files(&root.join("src").join(folder), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in product_code(&text).lines().enumerate() {
                if line.trim_start().starts_with("//") {
                    continue;
                }
                for above in &ORDER[rank + 1..] {
                    if line.contains(&format!("crate::{above}::")) || line.contains(&format!("crate::{above};")) {
                        faults.push(format!("{}:{}: {folder} reaches up into {above}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_folders_touch_nothing_outside() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for folder in PURE {
        let mut files = Vec::new();
        rust_files(&root.join("src").join(folder), &mut files);
        for file in files {
            let relative = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if EDGES.contains(&relative.as_str()) {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in product_code(&text).lines().enumerate() {
                if line.trim_start().starts_with("//") {
                    continue;
                }
                for word in IMPURE_WORDS {
                    if line.contains(word) {
                        faults.push(format!("{relative}:{}: {word} in a pure folder", number + 1));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_folder_is_in_the_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root.join("src")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(ORDER.contains(&name.as_str()), "src/{name} is not in the order of tests/offline/architecture.rs");
        }
    }
}

/// What the client library gives as a stream: whoever reads it has a time of their own for it.
const STREAMS: &[&str] = &["create_image", "push_image", "logs", "events"];

#[test]
fn the_engine_is_asked_with_a_time() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut faults, mut seen) = (Vec::new(), Vec::new(), 0);
    for folder in ["engine", "store", "deploy", "worker", "server"] {
        rust_files(&root.join("src").join(folder), &mut files);
    }
    for file in files {
        if file.ends_with("engine/context.rs") {
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

/// Who opens files beside `src/files`, and which: none whose path a commit or a Compose file chose.
const OPENERS: &[(&str, &str)] = &[
    ("src/cli/compose/files.rs", "writes published projects into the user's cache"),
    ("src/cli/log_file.rs", "log files"),
    ("src/config/live.rs", "the last good list, in the state directory"),
    ("src/deploy/busy.rs", "locks in the state directory"),
    ("src/engine/context.rs", "contexts of Docker's client"),
    ("src/engine/dial.rs", "certificates of the engine"),
    ("src/engine/image/credentials.rs", "config.json of Docker's client"),
    ("src/engine/proxies.rs", "config.json of Docker's client"),
    ("src/git/auth.rs", "keys and known_hosts, named in repos.yaml"),
    ("src/git/checkout/carry_out.rs", "LFS objects, in .git"),
    ("src/git/checkout/index_lock.rs", "in .git"),
    ("src/git/checkout/note.rs", "in .git"),
    ("src/git/checkout/settings.rs", "in .git"),
    ("src/git/checkout/work_tree.rs", "tracked files, to compare them: folder by folder, no link followed, O_NONBLOCK"),
    ("src/git/convert/lfs/store.rs", "LFS objects, in .git"),
    ("src/git/convert/mod.rs", "tracked files, to compare them: no link followed, O_NONBLOCK"),
    ("src/git/convert/stored.rs", "LFS objects, in .git"),
    ("src/git/lock.rs", "in .git"),
    ("src/git/preview.rs", "the edge of a shallow clone, in .git; and what it writes itself"),
    ("src/git/repack/hold.rs", "in .git"),
    ("src/git/repack/join.rs", "in .git"),
    ("src/git/repack/mod.rs", "in .git"),
    ("src/git/repack/pack.rs", "in .git"),
    ("src/git/stale.rs", "what other processes are, in /proc"),
    ("src/git/transfer.rs", "in .git"),
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
    let mut faults = Vec::new();
    let mut openers = std::collections::BTreeSet::new();
    for file in files {
        let relative = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let name = file.file_name().unwrap().to_string_lossy();
        if relative.starts_with("src/files/") || relative.contains("/tests/") || name == "tests.rs" {
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
