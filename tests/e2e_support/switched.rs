//! A repository that is deployed blue/green: a web service that is built, a worker that is built, and a database.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use super::{QUICK, Site};
use crate::common::{
    PATIENCE,
    daemon::Daemon,
    docker::{self, ProjectGuard},
    wait_until,
};

/// The site, and what the proxy leaves behind.
pub struct Switched {
    /// Goes first, but for its networks: what stays may have volumes that a colour made.
    _staying: ProjectGuard,
    /// The repository, its remote, and where pushes to it go.
    pub site: Site,
    /// Where the web service is published.
    pub web: SocketAddr,
    /// Goes last: colours are in networks of what stays.
    _networks: ProjectGuard,
}

impl Switched {
    /// A stack whose web service answers `version`.
    pub fn new(version: &str) -> Switched {
        Switched::published(version, SocketAddr::to_string)
    }

    /// The same, published on all addresses of this machine.
    pub fn everywhere(version: &str) -> Switched {
        Switched::published(version, |web| web.port().to_string())
    }

    fn published(version: &str, on: impl FnOnce(&SocketAddr) -> String) -> Switched {
        Switched::of(
            |web| compose(&on(&web)),
            &[
                ("Dockerfile", "FROM @BASE\nCOPY page app.sh /app/\nCMD [\"sh\", \"/app/app.sh\"]\n"),
                ("app.sh", APP),
                ("page", version),
                ("boot", ""),
            ],
        )
    }

    /// A web service alone, which runs this script and answers `version`. `more`: further lines of the service, each with its end;
    /// `beside`: further files of its image.
    pub fn alone(version: &str, app: &str, more: &str, beside: &[(&str, &str)]) -> Switched {
        let names: String = beside.iter().map(|(name, _)| format!(" {name}")).collect();
        let dockerfile = format!("FROM @BASE\nCOPY page app.sh{names} /app/\nCMD [\"sh\", \"/app/app.sh\"]\n");
        let own = [("Dockerfile", dockerfile.as_str()), ("app.sh", app), ("page", version)];
        let compose = |web| {
            format!(
                "services:
  web:
    build: {{ context: ., network: none }}
    ports: [\"{web}:8000\"]
    init: true
{more}"
            )
        };
        Switched::of(compose, &[&own, beside].concat())
    }

    /// A stack of one's own: its Compose file, by where its web service is published, and what lies beside it.
    pub fn of(compose: impl FnOnce(SocketAddr) -> String, files: &[(&str, &str)]) -> Switched {
        need_proxy();
        let web = crate::common::daemon::free_address();
        let compose = compose(web);
        let files: Vec<_> = [("docker-compose.prod.yml", compose.as_str())].iter().chain(files).copied().collect();
        let site = Site::new(&files);
        let staying = ProjectGuard::new(site.name.clone());
        let _networks = ProjectGuard::new(site.name.clone());
        Switched { _staying: staying, site, web, _networks }
    }

    /// Around another site, whose web service is published there.
    pub fn around(site: Site, web: SocketAddr, staying: ProjectGuard) -> Switched {
        need_proxy();
        let _networks = ProjectGuard::new(site.name.clone());
        Switched { _staying: staying, site, web, _networks }
    }

    /// Its entry, with these words under `switch:`.
    pub fn entry(&self, switch: &str) -> String {
        self.site.entry(&[&format!("switch: {switch}")])
    }

    /// A daemon for it. The proxy that it starts ends with the guard.
    pub fn serve(&self, switch: &str, variables: &[(&str, &str)]) -> (ProxyGuard, Daemon) {
        self.serve_as(&self.entry(switch), variables)
    }

    /// The same, with any entry.
    pub fn serve_as(&self, entry: &str, variables: &[(&str, &str)]) -> (ProxyGuard, Daemon) {
        let daemon = Daemon::start_with(entry, QUICK, variables);
        (self.proxy_of(&daemon), daemon)
    }

    /// Ends the proxy of a daemon that was started otherwise.
    pub fn proxy_of(&self, daemon: &Daemon) -> ProxyGuard {
        ProxyGuard { socket: daemon.socket().with_file_name("turnout-proxy.sock") }
    }

    /// Commits and pushes a version.
    pub fn push(&self, daemon: &Daemon, version: &str) -> i64 {
        self.site.write("page", version);
        self.site.push_to(daemon, version)
    }

    /// Has the Compose file say this of its switch, from the next push on.
    pub fn says(&self, words: &str) {
        let path = "docker-compose.prod.yml";
        let text = std::fs::read_to_string(self.site.remote.work_dir().join(path)).unwrap();
        let stack = text.split("x-turnout:").next().unwrap().to_owned();
        self.site.write(path, &format!("{stack}x-turnout: {{ {words} }}\n"));
    }

    /// Waits until nothing of a project runs.
    pub fn at_rest(&self, project: &str) {
        wait_until(&format!("{project} to be at rest"), PATIENCE, || {
            match (self.running(project, "web"), self.running(project, "worker")) {
                (0, 0) => Ok(()),
                other => Err(other),
            }
        });
    }

    /// What runs of a service in a project.
    pub fn running(&self, project: &str, service: &str) -> usize {
        docker::running(&[project], service)
    }

    /// Waits until nothing is under way, one colour is whole, and the other at rest. `after`: what was done before.
    pub fn expect_whole(&self, daemon: &Daemon, after: &str) {
        wait_until(&format!("{after}: an end in which one colour is whole and the other at rest"), PATIENCE, || {
            let open = daemon.history().iter().any(|one| matches!(one["state"].as_str(), Some("queued" | "running")));
            let status = daemon.turnout_json(&["status", "--json"]);
            let repo = &status["repos"][0];
            let live = repo["live"]["project"].as_str().unwrap_or_default().to_owned();
            let (red, blue) = (self.site.red(), self.site.blue());
            let other = if live == red { &blue } else { &red };
            let whole = (self.running(&live, "web"), self.running(&live, "worker"));
            let rest = (self.running(other, "web"), self.running(other, "worker"));
            match (open, repo["bakes_until"].is_null(), whole, rest) {
                (false, true, (1, 1), (0, 0)) => Ok(()),
                found => Err(format!("{found:?}: {repo:#}\n{}", daemon.output())),
            }
        });
    }

    /// Workers that run, of both colours, at one instant: between two looks one may end and the other start.
    pub fn workers(&self) -> usize {
        docker::running(&[&self.site.red(), &self.site.blue()], "worker")
    }
}

/// The page is served from a file of the image; `boot` in the image is a line that runs first.
const APP: &str = "mkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n";

fn compose(web: &str) -> String {
    format!(
        "services:
  web:
    build: {{ context: ., network: none }}
    ports: [\"{web}:8000\"]
    depends_on: [db]
    restart: unless-stopped
    init: true
    stop_grace_period: 1s
  worker:
    build: {{ context: ., network: none }}
    command: [sleep, \"1000\"]
    restart: unless-stopped
    init: true
    stop_grace_period: 1s
  db:
    image: \"@BASE\"
    command: [sleep, \"1000\"]
    init: true
    stop_grace_period: 1s
    volumes: [\"data:/data\"]
volumes:
  data:
"
    )
}

/// The program lies beside the daemon's.
fn need_proxy() {
    let proxy = PathBuf::from(env!("CARGO_BIN_EXE_turnout")).with_file_name("turnout-proxy");
    assert!(proxy.exists(), "{} is not built: cargo build --workspace --bins", proxy.display());
}

/// Ends the proxy that a daemon has started, which outlives it.
pub struct ProxyGuard {
    socket: PathBuf,
}

impl ProxyGuard {
    /// The proxy's process, if it runs.
    pub fn pid(&self) -> Option<i32> {
        let found =
            Command::new("pgrep").args(["-f", &format!("turnout-proxy.*{}", self.socket.display())]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).lines().next().and_then(|line| line.trim().parse().ok())
    }

    /// Kills it as a power cut would, and waits until nothing is answered by it any more.
    pub fn kill(&self) {
        let found = self.pid().expect("the proxy runs");
        let pid = rustix::process::Pid::from_raw(found).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        wait_until("the end of the proxy", PATIENCE, || if self.pid() == Some(found) { Err(found) } else { Ok(()) });
    }
}

impl Drop for ProxyGuard {
    fn drop(&mut self) {
        if let Some(pid) = self.pid().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
