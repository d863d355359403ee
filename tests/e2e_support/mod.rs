//! What the whole-program tests share: a remote, the server's clone of it, and its entry in `repos.yaml`.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure is the report")]

pub mod certificates;
pub mod counted;
pub mod dice;
pub mod fronts;
pub mod kernel;
pub mod load;
pub mod manager;
pub mod programs;
pub mod switched;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{
    PATIENCE,
    daemon::Daemon,
    docker::{self, ProjectGuard},
    push::Push,
    repo::GitRemote,
    unique, wait_until,
};

/// Short watching: these stacks fall over at once or never.
pub const QUICK: &[&str] = &["--settle-time", "1s"];

/// A repository that the daemon deploys: its remote, and the server's clone with its `.env`.
pub struct Site {
    pub remote: GitRemote,
    /// Name in `repos.yaml` and at the forge (`acme/NAME`).
    pub name: String,
    /// The server's work tree.
    pub path: PathBuf,
    _home: TempDir,
    _guards: Vec<ProjectGuard>,
}

impl Site {
    /// Commits these files, and clones them to where the server has them. `@BASE` in a file is the offline base image.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let site = Self::not_cloned(files);
        site.remote.clone_to(&site.path);
        site
    }

    /// As [`Site::new`], without the server's clone.
    pub fn not_cloned(files: &[(&str, &str)]) -> Self {
        let name = unique("e2e");
        let home = TempDir::new().unwrap();
        let path = home.path().join("srv");
        let guards = ["red", "blue"].map(|color| ProjectGuard::new(format!("{color}{name}"))).into();
        let remote = GitRemote::new();
        let site = Self { remote, name, path, _home: home, _guards: guards };
        for (path, text) in files {
            site.write(path, text);
        }
        site.remote.commit_and_push("First");
        site
    }

    /// A site of one service that sleeps, made of the base image alone: nothing is built.
    pub fn sleeping() -> Self {
        Self::new(&[("docker-compose.prod.yml", &sleeper("v1"))])
    }

    /// Writes a file of the developer's, with `@BASE` replaced.
    pub fn write(&self, path: &str, text: &str) -> &Self {
        self.remote.write(path, &text.replace("@BASE", &docker::base_image()));
        self
    }

    /// Writes the server's `.env`.
    pub fn env(&self, text: &str) -> &Self {
        fs::write(self.path.join(".env"), text).unwrap();
        self
    }

    /// Its project under the default colour.
    pub fn red(&self) -> String {
        format!("red{}", self.name)
    }

    /// Its project under another colour.
    pub fn blue(&self) -> String {
        format!("blue{}", self.name)
    }

    /// Its entry in `repos.yaml`, with more lines such as `branch: main`.
    pub fn entry(&self, more: &[&str]) -> String {
        let mut entry = format!("{}:\n  path: {}\n  full_name: acme/{}\n", self.name, self.path.display(), self.name);
        for line in more {
            entry.push_str(&format!("  {line}\n"));
        }
        entry
    }

    /// A daemon for this site alone.
    pub fn serve(&self, more: &[&str]) -> Daemon {
        Daemon::start_with(&self.entry(more), QUICK, &[])
    }

    /// The push of the developer's last commit.
    pub fn push(&self) -> Push {
        Push::new(&format!("acme/{}", self.name), &"1".repeat(40), &self.remote.head())
    }

    /// Commits, pushes, tells the daemon; returns the deployment's number.
    pub fn push_to(&self, daemon: &Daemon, message: &str) -> i64 {
        self.remote.commit_and_push(message);
        daemon.deploy_by_push(&self.push())
    }

    /// The identifier of the one container of a service.
    pub fn container(&self, project: &str, service: &str) -> String {
        let ids = docker::ids(project, service);
        assert_eq!(ids.len(), 1, "containers of {service} in {project}: {ids:?}");
        ids.into_iter().next().unwrap()
    }
}

/// A Compose file of one service that sleeps; `label` makes two of them differ.
pub fn sleeper(label: &str) -> String {
    format!("services:\n  web:\n{}    labels: {{ version: \"{label}\" }}\n", idle())
}

/// The lines of a service that sleeps and ends at once when told to.
pub fn idle() -> &'static str {
    "    image: \"@BASE\"\n    command: [sleep, \"1000\"]\n    init: true\n    stop_grace_period: 1s\n"
}

/// The lines of a service that is built of `context` and sleeps. Nothing here needs a network while it builds.
pub fn built(context: &str) -> String {
    format!(
        "    build: {{ context: {context}, network: none }}\n    command: [sleep, \"1000\"]\n    init: true\n    \
         stop_grace_period: 1s\n"
    )
}

/// A Dockerfile whose build takes this many seconds, in every run: no builder has it in its cache.
pub fn kneading(seconds: u32) -> String {
    format!("FROM @BASE\nRUN echo kneading the dough; sleep {seconds} # {}\n", unique("no-cache"))
}

/// Runs `turnout deploy` and expects this exit code; returns what it printed.
pub fn deploy(daemon: &Daemon, arguments: &[&str], code: i32) -> String {
    let all: Vec<&str> = ["deploy"].iter().chain(arguments).copied().collect();
    let output = daemon.turnout(&all);
    let text = all_of(&output);
    assert_eq!(output.status.code(), Some(code), "turnout {all:?}:\n{text}");
    text
}

/// Standard output and error in one text, without the word that something is waited for: that depends on the machine.
pub fn all_of(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.split_inclusive('\n').filter(|line| !line.starts_with("waiting for "));
    format!("{}{}", String::from_utf8_lossy(&output.stdout), said.collect::<String>())
}

/// The log of one deployment.
pub fn log(daemon: &Daemon, id: i64) -> String {
    all_of(&daemon.turnout(&["logs", "--deployment", &id.to_string(), "--tail", "100000"]))
}

/// Waits until the log of a deployment under way has `text`.
pub fn wait_for_log(daemon: &Daemon, id: i64, text: &str) {
    wait_until(&format!("{text:?} in the log of deployment {id}"), PATIENCE, || {
        let over = daemon.deployment(id).is_some_and(|d| d["ended_at"].is_i64());
        let log = log(daemon, id);
        assert!(log.contains(text) || !over, "deployment {id} ended without {text:?}:\n{log}");
        if log.contains(text) { Ok(()) } else { Err(log) }
    });
}

/// Waits until this deployment is at that.
pub fn waits(daemon: &Daemon, id: i64, phase: &str) {
    wait_until(&format!("deployment {id} to be at: {phase}"), PATIENCE, || {
        let found = daemon.deployment(id);
        match found.as_ref().map(|one| (&one["phase"], &one["state"])) {
            Some((Value::String(at), state)) if at == phase && state == "running" => Ok(()),
            _ => Err(format!("{found:#?}\n{}", log(daemon, id))),
        }
    });
}

/// What was decided and planned for a deployment.
pub fn plan_of(deployment: &Value) -> &str {
    deployment["plan"].as_str().unwrap_or_default()
}

/// Identifier and start of every container of a project: equal where nothing was touched.
pub fn untouched(project: &str) -> Vec<(String, String)> {
    docker::block_on(async {
        let engine = docker::connect().await;
        let mut all = Vec::new();
        for container in containers(&engine, project).await {
            let found = engine.inspect_container(&container, None).await.unwrap();
            all.push((container, found.state.and_then(|state| state.started_at).unwrap_or_default()));
        }
        all.sort();
        all
    })
}

async fn containers(engine: &bollard::Docker, project: &str) -> Vec<String> {
    let label = format!("{}={project}", docker::PROJECT);
    let filters = std::collections::HashMap::from([("label".to_owned(), vec![label])]);
    let options = bollard::query_parameters::ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    engine.list_containers(Some(options)).await.unwrap().into_iter().filter_map(|c| c.id).collect()
}

/// What a file inside a container says.
pub fn file_in(container: &str, path: &str) -> String {
    docker::block_on(async {
        use futures_util::StreamExt as _;
        let options = bollard::query_parameters::DownloadFromContainerOptionsBuilder::new().path(path).build();
        let engine = docker::connect().await;
        let mut stream = engine.download_from_container(container, Some(options));
        let mut bytes = Vec::new();
        while let Some(part) = stream.next().await {
            bytes.extend_from_slice(&part.unwrap());
        }
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut text = String::new();
        std::io::Read::read_to_string(&mut archive.entries().unwrap().next().unwrap().unwrap(), &mut text).unwrap();
        text
    })
}

/// Runs a command in a container, and waits until it has ended.
pub fn run_in(container: &str, command: &[&str]) {
    docker::block_on(async {
        let engine = docker::connect().await;
        let exec = bollard::models::ExecConfig {
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            attach_stdout: Some(true),
            ..Default::default()
        };
        let exec = engine.create_exec(container, exec).await.unwrap().id;
        let started = engine.start_exec(&exec, None::<bollard::exec::StartExecOptions>).await.unwrap();
        if let bollard::exec::StartExecResults::Attached { mut output, .. } = started {
            while let Some(part) = futures_util::StreamExt::next(&mut output).await {
                part.unwrap();
            }
        }
    });
}

/// Every file below a directory whose bytes hold `needle`.
pub fn files_with(directory: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if let Ok(bytes) = fs::read(&path)
            && bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

impl Site {
    /// Takes the server's clone to the remote's commit by hand, for `turnout plan`, which fetches nothing.
    pub fn check_out(&self) {
        let server = git2::Repository::open(&self.path).unwrap();
        server.find_remote("origin").unwrap().fetch(&["+main:refs/remotes/origin/main"], None, None).unwrap();
        let commit = server.revparse_single("origin/main").unwrap();
        server.reset(&commit, git2::ResetType::Hard, None).unwrap();
    }
}
