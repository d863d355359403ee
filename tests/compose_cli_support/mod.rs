//! A Compose project on disk, and the two command lines that work on it: ours and, where installed, the real one.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "test code: a failure is the report")]

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use bollard::models::ContainerInspectResponse;
use serde_json::Value;

use crate::common::{
    docker::{self, ProjectGuard, block_on},
    engine, unique,
};

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What a command does with this on standard input.
    pub fn fed(mut command: Command, input: &str) -> Ran {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut to = child.stdin.take().unwrap();
        let input = input.to_owned();
        // Beside the reading: neither side may wait for the other with a full pipe.
        let feeding = std::thread::spawn(move || to.write_all(input.as_bytes()));
        let ran = Ran::of(child.wait_with_output().unwrap());
        feeding.join().unwrap().unwrap();
        ran
    }

    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Fails the test unless the command failed with this text in its error.
    #[track_caller]
    pub fn fails(self, text: &str) -> Ran {
        assert!(self.code != 0 && self.err.contains(text), "wanted a failure with {text:?}: {self:?}");
        self
    }
}

/// A project in a directory of its own; everything it makes is removed when dropped.
pub struct Site {
    pub project: String,
    pub directory: tempfile::TempDir,
    // Fields are dropped in this order: containers before their image.
    _guard: ProjectGuard,
    _image: engine::ImageHold,
}

impl Site {
    /// With this `compose.yaml`; `IMAGE` in it stands for the test image, whose containers stop at once.
    pub fn new(yaml: &str) -> Site {
        let image = engine::ImageHold::new();
        let project = unique("cli");
        let site = Site {
            _guard: ProjectGuard::new(project.clone()),
            _image: image,
            project,
            directory: tempfile::tempdir().unwrap(),
        };
        site.write("compose.yaml", yaml);
        site
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, text: &str) {
        let text = text.replace("IMAGE", &engine::image()).replace("QUICK", "stop_grace_period: 0s");
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, program: &str, first: &[&str], args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(first).args(args).current_dir(self.path()).stdin(Stdio::null());
        // By variable: a name given with -p keeps both tools from reading the files in some commands.
        command.env("COMPOSE_PROJECT_NAME", &self.project).env_remove("COMPOSE_FILE").env_remove("COMPOSE_PROFILES");
        command
    }

    /// Our command line, to be changed before it runs.
    pub fn ours_with(&self, args: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_turnout"), &["compose"], args)
    }

    /// Our command line.
    pub fn ours(&self, args: &[&str]) -> Ran {
        Ran::of(self.ours_with(args).output().unwrap())
    }

    /// Our command line with this on standard input.
    pub fn ours_fed(&self, args: &[&str], input: &str) -> Ran {
        Ran::fed(self.ours_with(args), input)
    }

    /// The real command line.
    pub fn theirs(&self, args: &[&str]) -> Ran {
        Ran::of(self.command("docker", &["compose"], args).output().unwrap())
    }

    /// Our command line, the project's name only in its file: by a variable, the real one overlooks mistakes in it.
    pub fn ours_by_file(&self, args: &[&str]) -> Ran {
        Ran::of(self.ours_with(args).env_remove("COMPOSE_PROJECT_NAME").output().unwrap())
    }

    /// The real command line, the project's name only in its file.
    pub fn theirs_by_file(&self, args: &[&str]) -> Ran {
        Ran::of(self.command("docker", &["compose"], args).env_remove("COMPOSE_PROJECT_NAME").output().unwrap())
    }

    /// IDs by container name, stopped ones too.
    pub fn ids(&self) -> BTreeMap<String, String> {
        let own = format!("{}-", self.project);
        let containers = docker::containers(&self.project).into_iter();
        containers
            .map(|c| {
                let name = c.names.unwrap().remove(0);
                let name = name.trim_start_matches('/');
                (name.strip_prefix(&own).unwrap_or(name).to_owned(), c.id.unwrap())
            })
            .collect()
    }

    /// A container by its name without the project's.
    pub fn inspect(&self, name: &str) -> ContainerInspectResponse {
        let name = format!("{}-{name}", self.project);
        block_on(async { docker::connect().await.inspect_container(&name, None).await.unwrap() })
    }

    /// A label of a container.
    pub fn label(&self, name: &str, label: &str) -> String {
        let labels = self.inspect(name).config.unwrap().labels.unwrap();
        labels.get(&format!("com.docker.compose.{label}")).cloned().unwrap_or_default()
    }

    /// What a command in a container prints.
    pub fn exec(&self, service: &str, script: &str) -> String {
        self.ours(&["exec", "-T", service, "sh", "-c", script]).ok().out
    }
}

/// Lines of JSON.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether the real command line is there; says so when it is not.
pub fn compose_is_installed() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = *FOUND.get_or_init(|| {
        let version = Command::new("docker").args(["compose", "version", "--short"]).output();
        version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with("2.4"))
    });
    if !found {
        println!("not run: the comparison with `docker compose` 2.40, which is not installed");
    }
    found
}
