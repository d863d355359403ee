//! `turnout plan`: what it is for, and what `--fetch` changes: nothing.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use crate::{common, e2e_support};
use common::docker;
use e2e_support::{Site, all_of, built, deploy, plan_of, untouched};

/// A stack with everything that a plan reads from the work tree: a context with an untracked file, a mounted file, a mounted
/// folder, a secret, and a variable of the untracked `.env`.
fn site() -> Site {
    let compose = format!(
        "services:\n  web:\n{}    environment: {{ WORD: \"${{WORD:-none}}\" }}\n    secrets: [key]\n    volumes:\n      \
         - ./conf/app.conf:/app.conf:ro\n      - ./pages:/pages:ro\n      - ./data:/data\nsecrets: {{ key: {{ file: ./conf/key }} }}\n",
        built(".")
    );
    let site = Site::new(&[
        ("docker-compose.prod.yml", &compose),
        ("Dockerfile", "FROM @BASE\nCOPY site /site\n"),
        (".gitignore", ".env\nsite/untracked\ndata/\n"),
        ("site/index.html", "one\n"),
        ("site/old.html", "to go\n"),
        ("conf/app.conf", "a=1\n"),
        ("conf/key", "k\n"),
        ("pages/a", "a\n"),
    ]);
    site.env("WORD=of-the-server\n");
    fs::create_dir(site.path.join("data")).unwrap();
    fs::write(site.path.join("data/db"), "rows").unwrap();
    fs::write(site.path.join("site/untracked"), "not in git\n").unwrap();
    site
}

/// Every file of a work tree and of its repository, with what tells whether it was written.
fn everything(path: &Path) -> Vec<String> {
    let mut open = vec![path.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                open.push(entry.path());
            } else {
                let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
                found.push(format!("{} {} {} {times:?}", entry.path().display(), meta.ino(), meta.len()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn fetch_plans_for_the_remote_and_touches_nothing() {
    let site = site();
    let mut daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let first = site.remote.head();
    let plan = |daemon: &common::daemon::Daemon, arguments: &[&str]| {
        let mut command = daemon.command(&[&["plan"][..], arguments].concat());
        command.arg("--repos").arg(daemon.repos_yaml()).arg("--state-dir").arg(daemon.state_dir());
        let output = command.output().unwrap();
        let said = all_of(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    };
    // By hand, and not for long: what a deployment would leave, the plan has too.
    fs::write(site.path.join("pages/a"), "by hand\n").unwrap();
    let said = plan(&daemon, &[&site.name, "--fetch"]);
    assert!(said.contains("pages/a"), "{said}");
    fs::write(site.path.join("pages/a"), "a\n").unwrap();
    // All that is there is what was deployed, whichever way it is read.
    let said = plan(&daemon, &[&site.name]);
    let here = format!("planned for what is checked out: {} on main", &first[..7]);
    assert!(said.contains(&here) && said.contains("--fetch") && said.contains("nothing to do"), "{said}");
    let said = plan(&daemon, &[&site.name, "--fetch"]);
    assert!(said.contains("where main is at the remote, which is checked out"), "{said}");
    assert!(said.contains("nothing to do"), "{said}");

    site.write("site/index.html", "two\n").write("conf/app.conf", "a=2\n");
    site.remote.remove("site/old.html");
    site.remote.commit_and_push("Second");
    let second = site.remote.head();
    let (before, running) = (everything(&site.path), untouched(&site.red()));
    let there = format!("planned for {}, where main is at the remote, 1 commit beyond {}", &second[..7], &first[..7]);
    let fetched = plan(&daemon, &[&site.name, "--fetch"]);
    for part in
        [&there, "site/index.html", "site/old.html", "app.conf", site.path.to_str().unwrap(), "was left as it is"]
    {
        assert!(fetched.contains(part), "{part}: {fetched}");
    }
    assert!(!fetched.contains("/plans/"), "files are called by another name than theirs: {fetched}");
    let plain = plan(&daemon, &[&site.name]);
    assert!(plain.contains(&here) && plain.contains("nothing to do"), "{plain}");
    assert_eq!((everything(&site.path), untouched(&site.red())), (before.clone(), running), "something was touched");
    let left: Vec<_> = fs::read_dir(daemon.state_dir().join("plans")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    // Without a daemon it is the same.
    daemon.terminate();
    let alone = plan(&daemon, &[&site.name, "--fetch"]);
    assert_eq!((alone.as_str(), everything(&site.path)), (fetched.as_str(), before));
    daemon.restart();
    // And it is what is then done.
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let done = daemon.history().remove(0);
    assert!(fetched.ends_with(plan_of(&done)), "planned:\n{fetched}\ncarried out:\n{}", plan_of(&done));
    assert_eq!(docker::containers(&site.red()).len(), 1);
}

#[test]
fn fetch_says_when_a_deployment_would_not_take_what_is_there() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    // A commit on the server, and another one at the remote.
    let server = git2::Repository::open(&site.path).unwrap();
    let (who, head) = (git2::Signature::now("x", "x@y").unwrap(), server.head().unwrap().peel_to_commit().unwrap());
    server.commit(Some("HEAD"), &who, &who, "Local", &head.tree().unwrap(), &[&head]).unwrap();
    site.write("a", "a\n");
    site.remote.commit_and_push("Second");
    let said = all_of(&daemon.turnout(&["plan", &site.name, "--fetch"]));
    assert!(said.contains("with 1 commit that the branch does not have, and without 1 commit of it"), "{said}");
    assert!(said.contains("on_divergence (refuse, so it would fail)"), "{said}");
    // What is wanted and was not brought is told.
    let failed = daemon.expect_failure(daemon.deploy_by_push(&site.push()));
    assert!(failed["error"].as_str().unwrap().contains("diverged"), "{failed:#}");
    let said = all_of(&daemon.turnout(&["plan", &site.name]));
    assert!(said.contains(&format!("behind: {} is wanted", &site.remote.head()[..7])), "{said}");
    // What cannot be had is an error, not a plan for something else.
    site.remote.clone_to(&site.path.with_file_name("other"));
    git2::Repository::open(&site.path).unwrap().remote_set_url("origin", "/nowhere/at/all").unwrap();
    let output = daemon.turnout(&["plan", &site.name, "--fetch"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(all_of(&output).contains("/nowhere/at/all") && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn fetch_plans_a_first_clone() {
    let site = Site::not_cloned(&[("docker-compose.prod.yml", &e2e_support::sleeper("v1"))]);
    let url = site.remote.url();
    let daemon = site.serve(&[&format!("remote: {url}")]);
    let said = all_of(&daemon.turnout(&["plan", &site.name, "--fetch"]));
    assert!(
        said.contains("is not cloned yet") && said.contains(&format!("create container {}-web-1", site.red())),
        "{said}"
    );
    assert!(!site.path.exists());
}
