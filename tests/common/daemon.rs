//! The real program: `turnout serve` with a state directory of its own, and the commands that talk to it.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, http, push::Push, wait_until};

/// The webhook secret of every test daemon.
pub const SECRET: &str = "test-secret-0123456789";

/// A running `turnout serve`. Ended and removed on drop; its output is shown when the test has failed.
pub struct Daemon {
    program: PathBuf,
    child: Child,
    home: TempDir,
    listen: SocketAddr,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Daemon {
    /// Starts it with this `repos.yaml` and waits until it answers.
    pub fn start(repos_yaml: &str) -> Self {
        Self::start_with(repos_yaml, &[], &[])
    }

    /// As [`Daemon::start`], with more arguments for `serve` and more environment.
    pub fn start_with(repos_yaml: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_from(Path::new(env!("CARGO_BIN_EXE_turnout")), repos_yaml, arguments, variables)
    }

    /// As [`Daemon::start_with`], where the program lies somewhere else, with what lies beside it.
    pub fn start_from(program: &Path, repos_yaml: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let home = TempDir::new().unwrap();
        fs::write(home.path().join("repos.yaml"), repos_yaml).unwrap();
        let arguments: Vec<_> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let variables: Vec<_> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let listen = free_address();
        let child = spawn(program, home.path(), listen, &arguments, &variables);
        let mut daemon = Self { program: program.to_owned(), child, home, listen, arguments, variables };
        // Between choosing a free port and listening on it somebody else may take it: choose again.
        for _ in 0..5 {
            if daemon.wait_ready() {
                return daemon;
            }
            let output = daemon.output();
            assert!(output.contains("in use"), "turnout serve ended before it answered:\n{output}");
            fs::write(daemon.home.path().join("output"), "").unwrap();
            daemon.listen = free_address();
            daemon.child =
                spawn(&daemon.program, daemon.home.path(), daemon.listen, &daemon.arguments, &daemon.variables);
        }
        panic!("no free port in five attempts");
    }

    /// Where it listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Its `repos.yaml`, for editing.
    pub fn repos_yaml(&self) -> PathBuf {
        self.home.path().join("repos.yaml")
    }

    /// Its state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Its log directory.
    pub fn log_dir(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        socket(self.home.path())
    }

    /// What it has written to its terminal.
    pub fn output(&self) -> String {
        fs::read_to_string(self.home.path().join("output")).unwrap_or_default()
    }

    /// Waits until it has written this to its terminal, which it does beside its work; returns all that it has written.
    pub fn says(&self, text: &str) -> String {
        wait_until(&format!("the daemon to say {text:?}"), PATIENCE, || {
            let output = self.output();
            if output.contains(text) { Ok(output) } else { Err(output) }
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a push, signed.
    pub fn push(&self, push: &Push) -> http::Response {
        push.send(self.listen, SECRET)
    }

    /// Sends a push, expects 202, and returns the deployment's number.
    pub fn deploy_by_push(&self, push: &Push) -> i64 {
        let answer = self.push(push);
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.json()["deployment"].as_i64().unwrap_or_else(|| panic!("no deployment in {}", answer.body))
    }

    /// A command of the program against this daemon, not yet run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnout"));
        command.arg("--socket").arg(self.socket()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command of the program against this daemon.
    pub fn turnout(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command with `--json` and returns what it printed.
    pub fn turnout_json(&self, arguments: &[&str]) -> Value {
        let output = self.turnout(arguments);
        assert!(output.status.success(), "turnout {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("turnout {arguments:?}: {e}: {}", String::from_utf8_lossy(&output.stdout)))
    }

    /// The deployments, newest first, as `turnout history --json` prints them.
    pub fn history(&self) -> Vec<Value> {
        self.turnout_json(&["history", "--json", "--limit", "1000"]).as_array().cloned().expect("an array")
    }

    /// The deployment of this number, as `history --json` has it.
    pub fn deployment(&self, id: i64) -> Option<Value> {
        self.history().into_iter().find(|d| d["id"].as_i64() == Some(id))
    }

    /// Waits until a deployment has ended, whichever way, and returns it.
    pub fn wait_for_deployment(&self, id: i64) -> Value {
        wait_until(&format!("the end of deployment {id}"), PATIENCE, || match self.deployment(id) {
            Some(d) if !matches!(d["state"].as_str(), Some("queued" | "running")) => Ok(d),
            other => Err(other),
        })
    }

    /// Waits for a deployment and expects that it succeeded.
    pub fn expect_success(&self, id: i64) -> Value {
        self.expect_state(id, "succeeded")
    }

    /// Waits for a deployment and expects that it failed.
    pub fn expect_failure(&self, id: i64) -> Value {
        self.expect_state(id, "failed")
    }

    /// Ends it as systemd does, and waits.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_ended()
    }

    /// Kills it as a power cut would, and waits.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_ended();
    }

    /// Starts it again with the same state, after [`Daemon::terminate`] or [`Daemon::kill`].
    pub fn restart(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "it still runs");
        self.child = spawn(&self.program, self.home.path(), self.listen, &self.arguments, &self.variables);
        assert!(self.wait_ready(), "turnout serve ended before it answered:\n{}", self.output());
    }

    /// Starts it again as [`Daemon::restart`], and does not wait until it answers.
    pub fn launch(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "it still runs");
        fs::write(self.home.path().join("output"), "").unwrap();
        self.child = spawn(&self.program, self.home.path(), self.listen, &self.arguments, &self.variables);
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        self.wait_ended()
    }

    fn expect_state(&self, id: i64, state: &str) -> Value {
        let deployment = self.wait_for_deployment(id);
        if deployment["state"] != state {
            let log = self.turnout(&["logs", "--deployment", &id.to_string(), "--tail", "1000"]);
            let log = String::from_utf8_lossy(&log.stdout).into_owned();
            panic!("deployment {id} has not {state}: {deployment:#}\nits log:\n{log}");
        }
        deployment
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        // It may have ended by itself; the caller's wait tells.
        kill_process(pid, signal).ok();
    }

    fn wait_ended(&mut self) -> ExitStatus {
        wait_until("the end of turnout serve", PATIENCE, || self.child.try_wait().unwrap().ok_or("still running"))
    }

    /// Whether it answers; false when it ended before it did.
    fn wait_ready(&mut self) -> bool {
        wait_until("turnout serve to answer", Duration::from_secs(60), || {
            if self.child.try_wait().unwrap().is_some() {
                return Ok(false);
            }
            match http::get(self.listen, "/healthz") {
                Ok(answer) if answer.status == 200 && self.socket().exists() => Ok(true),
                other => Err(other),
            }
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("---- output of turnout serve\n{}----", self.output());
        }
    }
}

/// An address on loopback that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).unwrap()
}

/// A short path: a Unix socket's name holds about a hundred bytes.
fn socket(home: &Path) -> PathBuf {
    home.join("s")
}

fn spawn(
    program: &Path,
    home: &Path,
    listen: SocketAddr,
    arguments: &[String],
    variables: &[(String, String)],
) -> Child {
    let output = File::options().create(true).append(true).open(home.join("output")).unwrap();
    let errors: io::Result<File> = output.try_clone();
    let mut command = Command::new(program);
    command.arg("--socket").arg(socket(home)).arg("serve");
    command.arg("--listen").arg(listen.to_string());
    command.arg("--repos").arg(home.join("repos.yaml"));
    command.arg("--state-dir").arg(home.join("state"));
    command.arg("--log-dir").arg(home.join("log"));
    command.args(arguments);
    // A directory of its own, so that no .env of the tree is read; no setting from the caller's environment.
    command.current_dir(home).env_remove("TURNOUT_LISTEN").env("WEBHOOK_SECRET", SECRET);
    command.envs(variables.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::null()).stdout(output).stderr(errors.unwrap()).spawn().unwrap()
}
