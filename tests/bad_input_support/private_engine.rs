//! A Docker engine of the test's own, to be killed in the middle of things.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use bollard::{Docker, query_parameters as q};
use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{
    docker::{self, block_on},
    wait_until,
};

/// Starts an engine for each line it reads. Inside namespaces of its own: when this shell ends, and it ends with the
/// test whichever way that ends, so does everything the engine began, and its mounts are gone. The network must be its
/// own too: an engine without a bridge removes the `docker0` that it finds, which would be the machine's.
const KEEPER: &str = r#"
home=$1
shift
while read -r _; do
  rm -f "$home/pid"
  dockerd --data-root "$home/data" --exec-root "$home/exec" --pidfile "$home/pid" --host "unix://$home/s" \
    --storage-driver vfs "$@" </dev/null >>"$home/log" 2>&1 &
done
"#;

/// For an engine without networks.
const ALONE: &[&str] =
    &["--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"];

/// Set in a process that has a network of its own.
const INSIDE: &str = "TURNOUT_TEST_NETWORK";

/// Whether this process has a network of its own. Where it has not, the test is run in one, by its name in this file's program, and has
/// passed when this returns.
pub fn in_a_network_of_its_own(module: &str, test: &str) -> bool {
    let up = || Command::new("ip").args(["link", "set", "lo", "up"]).status().is_ok_and(|status| status.success());
    if std::env::var_os(INSIDE).is_some() {
        assert!(up(), "ip (iproute2)");
        return true;
    }
    let (_, module) = module.split_once("::").expect("a module of the program");
    let mut inside = Command::new("unshare");
    inside.arg("--net").arg(std::env::current_exe().unwrap());
    inside.args(["--exact", &format!("{module}::{test}"), "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
    let output = inside.stdin(Stdio::null()).output().expect("unshare (util-linux)");
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let ran = output.status.success() && said.contains("1 passed");
    assert!(ran, "{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// A private engine. Without networks, unless it was asked for them: containers need `network_mode: none`.
pub struct PrivateEngine {
    keeper: Child,
    orders: Option<ChildStdin>,
    home: tempfile::TempDir,
}

impl PrivateEngine {
    /// One that is not yet running. Needs root.
    pub fn new() -> Self {
        Self::with(&["--net"], ALONE)
    }

    /// One with networks, in that of this process, which must be its own: [`in_a_network_of_its_own`]. `options`: more of `dockerd`.
    pub fn networked(options: &[&str]) -> Self {
        assert!(std::env::var_os(INSIDE).is_some(), "it would change the machine's network");
        Self::with(&[], options)
    }

    fn with(spaces: &[&str], options: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut keeper = Command::new("unshare")
            .args(spaces)
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", KEEPER, "sh"])
            .arg(home.path())
            .args(options)
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux)");
        let orders = keeper.stdin.take();
        Self { keeper, orders, home }
    }

    /// Starts it, waits until it answers, and gives it the base image.
    pub fn start(&mut self) {
        self.orders.as_mut().unwrap().write_all(b"start\n").unwrap();
        wait_until("the private engine", Duration::from_secs(60), || {
            if !self.socket().exists() {
                return Err(("no socket yet".to_owned(), self.log()));
            }
            block_on(async { self.connect().ping().await }).map(drop).map_err(|e| (e.to_string(), self.log()))
        });
        let base = docker::base_image();
        block_on(async {
            if self.connect().inspect_image(&base).await.is_ok() {
                return;
            }
            let engine = docker::connect().await;
            let mut chunks = engine.export_image(&base);
            let mut archive = Vec::new();
            while let Some(chunk) = chunks.next().await {
                archive.extend_from_slice(&chunk.unwrap());
            }
            let body = bollard::body_full(archive.into());
            let mut lines = self.connect().import_image(q::ImportImageOptions::default(), body, None);
            while let Some(line) = lines.next().await {
                line.unwrap();
            }
        });
    }

    /// Kills it as a crash would: the engine alone, not its containers.
    pub fn kill(&self) {
        self.end(Signal::KILL, Duration::from_secs(10));
    }

    /// Stops it as a service manager does.
    pub fn stop(&self) {
        self.end(Signal::TERM, Duration::from_secs(60));
    }

    fn end(&self, signal: Signal, patience: Duration) {
        let keeper = children(self.keeper.id());
        let engines: Vec<_> =
            keeper.iter().flat_map(|shell| children(*shell)).filter(|p| name(*p) == "dockerd").collect();
        assert_eq!(engines.len(), 1, "the engine's process was not found");
        for engine in engines {
            let pid = Pid::from_raw(i32::try_from(engine).unwrap()).unwrap();
            kill_process(pid, signal).unwrap();
            wait_until("the end of the engine", patience, || {
                if name(engine) == "dockerd" { Err("still there") } else { Ok(()) }
            });
        }
    }

    /// What `--docker-host` takes.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn connect(&self) -> Docker {
        Docker::connect_with_unix(&self.socket().to_string_lossy(), 20, bollard::API_DEFAULT_VERSION)
            .expect("a client needs no engine")
    }

    /// Identifiers of the containers, running ones only, sorted.
    pub fn running(&self) -> Vec<String> {
        let mut ids: Vec<_> =
            block_on(async { self.containers(false).await }).into_iter().filter_map(|c| c.id).collect();
        ids.sort();
        ids
    }

    async fn containers(&self, all: bool) -> Vec<bollard::models::ContainerSummary> {
        let docker = self.connect().negotiate_version().await.expect("the private engine answers");
        docker.list_containers(Some(q::ListContainersOptionsBuilder::new().all(all).build())).await.unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("s")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        // Removed in order where the engine still answers, so that their control groups go too.
        block_on(async {
            if !self.socket().exists() {
                return;
            }
            let Ok(docker) = self.connect().negotiate_version().await else { return };
            let all = docker.list_containers(Some(q::ListContainersOptionsBuilder::new().all(true).build())).await;
            for id in all.unwrap_or_default().into_iter().filter_map(|c| c.id) {
                let options = q::RemoveContainerOptionsBuilder::new().force(true).build();
                docker.remove_container(&id, Some(options)).await.ok();
            }
        });
        drop(self.orders.take());
        self.keeper.kill().ok();
        self.keeper.wait().ok();
        if std::thread::panicking() {
            eprintln!("---- log of the private engine\n{}----", self.log());
        }
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // One that has ended but was not waited for is gone all the same.
    if state.contains(") Z") { String::new() } else { name.trim().to_owned() }
}
