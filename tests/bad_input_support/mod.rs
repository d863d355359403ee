//! What the tests of bad input share: a site that runs, and the question whether it was left alone.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "test code: a failure is the report")]

pub mod mount;
pub mod private_engine;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::common::{
    daemon::Daemon,
    docker::{self, ProjectGuard},
    http,
    push::Push,
    repo::GitRemote,
    unique,
};

/// Arguments that keep a test short: containers that stay up this long count as settled.
pub const QUICK: &[&str] = &["--settle-time", "300ms"];

/// A repository with its remote and its working tree on the server.
pub struct Site {
    /// Name in `repos.yaml`.
    pub name: String,
    /// The remote, and a developer's clone of it.
    pub remote: GitRemote,
    home: tempfile::TempDir,
    _guard: ProjectGuard,
}

/// What ran at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Name, ID, time of the start, and number of restarts of each container.
    pub containers: Vec<(String, String, String, i64)>,
}

impl Site {
    /// A site whose service `web` answers `version 1` on a port that the engine chooses; cloned, not yet deployed.
    pub fn web() -> Self {
        Self::with_files(&[("compose.yaml", &web("version 1"))])
    }

    /// A site with these files.
    pub fn with_files(files: &[(&str, &str)]) -> Self {
        let remote = GitRemote::with_files(files);
        let name = unique("bad");
        let home = tempfile::tempdir().unwrap();
        remote.clone_to(&home.path().join("tree"));
        let guard = ProjectGuard::new(format!("red{name}"));
        Self { name, remote, home, _guard: guard }
    }

    /// The working tree on the server.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("tree")
    }

    /// The Compose project.
    pub fn project(&self) -> String {
        format!("red{}", self.name)
    }

    /// A `repos.yaml` in the short form.
    pub fn short(&self) -> String {
        format!("{}: {}\n", self.name, self.path().display())
    }

    /// A `repos.yaml` in the long form, with further lines of the entry.
    pub fn long(&self, more: &[&str]) -> String {
        let more: String = more.iter().map(|line| format!("  {line}\n")).collect();
        format!("{}:\n  path: {}\n{more}", self.name, self.path().display())
    }

    /// A daemon that deploys this site.
    pub fn daemon(&self) -> Daemon {
        Daemon::start_with(&self.short(), QUICK, &[])
    }

    /// The push of the developer's commit.
    pub fn push(&self) -> Push {
        Push::new(&format!("acme/{}", self.name), &"1".repeat(40), &self.remote.head())
    }

    /// Deploys what the remote has, by a push, and expects success.
    pub fn deploy(&self, daemon: &Daemon) {
        daemon.expect_success(daemon.deploy_by_push(&self.push()));
    }

    /// Deploys what the remote has, by a push, expects failure, and returns the error.
    pub fn fail(&self, daemon: &Daemon) -> String {
        let ended = daemon.expect_failure(daemon.deploy_by_push(&self.push()));
        let error = ended["error"].as_str().unwrap_or_else(|| panic!("no error in {ended:#}")).to_owned();
        eprintln!("error: {error}");
        error
    }

    /// What runs now.
    pub fn running(&self) -> Running {
        let ids: Vec<_> = docker::containers(&self.project()).into_iter().filter_map(|c| c.id).collect();
        docker::block_on(async { inspect(&docker::connect().await, &ids).await })
    }

    /// Where the service `web` answers.
    pub fn address(&self) -> SocketAddr {
        docker::address(&self.project(), "web", 8080)
    }

    /// Waits until `web` answers with this text.
    pub fn wait_for_page(&self, text: &str) {
        docker::wait_for_page(&self.project(), "web", 8080, "/", text);
    }

    /// Expects that the same containers run without a restart, and that `web` still answers with this text.
    pub fn assert_untouched(&self, before: &Running, page: &str) {
        assert_eq!(&self.running(), before, "something that ran was touched");
        let answer = http::get(self.address(), "/").expect("web answers");
        assert!(answer.status == 200 && answer.body.contains(page), "{answer:?}");
    }
}

/// Looks at these containers.
pub async fn inspect(engine: &bollard::Docker, ids: &[String]) -> Running {
    let mut containers = Vec::new();
    for id in ids {
        let found = engine.inspect_container(id, None).await.expect("inspect");
        let started = found.state.and_then(|state| state.started_at).unwrap_or_default();
        containers.push((found.name.unwrap_or_default(), id.clone(), started, found.restart_count.unwrap_or(0)));
    }
    Running { containers }
}

/// A Compose file whose `web` answers with this page.
pub fn web(page: &str) -> String {
    web_with(page, "")
}

/// The same with further lines of the service, indented by four.
pub fn web_with(page: &str, more: &str) -> String {
    let image = docker::base_image();
    format!(
        r#"services:
  web:
    image: {image}
    command: [sh, -c, "mkdir -p /www && echo {page} >/www/index.html && exec httpd -f -p 8080 -h /www"]
    ports: ["127.0.0.1::8080"]
    stop_grace_period: 0s
{more}"#
    )
}

/// Expects each of these in the error, and the first of them only once: an error is said once.
#[track_caller]
pub fn assert_says(error: &str, wanted: &[&str]) {
    let missing = unsaid(error, wanted);
    assert!(missing.is_empty(), "{missing:?}: {error}");
}

/// What is missing of it, and whether the first is said more than once.
pub fn unsaid(error: &str, wanted: &[&str]) -> Vec<String> {
    let mut faults: Vec<_> =
        wanted.iter().filter(|text| !error.contains(**text)).map(|text| format!("{text:?} is not said")).collect();
    faults.extend(
        wanted.first().filter(|text| error.matches(**text).count() > 1).map(|text| format!("{text:?} is said twice")),
    );
    faults
}

/// Whether this runs as root. If not, says what is left out.
pub fn is_root(for_what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not run: {for_what} needs root");
    }
    root
}

/// Writes a file, and the directories above it.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
