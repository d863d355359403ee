//! What the kernel is asked for while a listener moves, and whoever connects from another machine.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::load::Came;
use crate::common::{PATIENCE, daemon::Daemon, wait_until};

/// Whether rules can be set here.
pub fn leads() -> bool {
    Command::new("iptables").args(["-w", "-t", "nat", "-S"]).output().is_ok_and(|output| output.status.success())
}

/// Rules that lead a repository's connections elsewhere.
pub fn rules(name: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (program, table) in [("iptables", "nat"), ("iptables", "filter"), ("ip6tables", "nat"), ("ip6tables", "filter")]
    {
        let Ok(output) = Command::new(program).args(["-w", "-t", table, "-S"]).output() else { continue };
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        all.extend(listing.lines().filter(|line| line.contains(&format!("turnout/{name}/"))).map(str::to_owned));
    }
    all
}

/// No request failed, where the kernel leads connections; elsewhere it is said that some are refused. `otherwise`: what is said.
pub fn none_failed(daemon: &Daemon, came: &Came, otherwise: &str) {
    if leads() {
        assert_eq!(came.bad, Vec::<String>::new(), "{:?}\n{}", came.good, daemon.output());
    } else {
        println!("no rules can be set here: {} requests failed", came.bad.len());
        daemon.says(otherwise);
    }
}

/// A rule of one's own, until this is dropped.
pub struct Rule(Vec<String>);

impl Rule {
    /// `None` where the kernel takes none. `chain` and what follows, as `iptables -I` takes them.
    pub fn set(words: &str) -> Option<Rule> {
        let rule = Rule(words.split_whitespace().map(str::to_owned).collect());
        rule.ask("-I").then_some(rule)
    }

    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        self.ask("-C")
    }

    fn ask(&self, verb: &str) -> bool {
        let (table, rest) = self.0.split_first().unwrap();
        Command::new("iptables").args(["-w", "-t", table, verb]).args(rest).output().is_ok_and(|it| it.status.success())
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        self.ask("-D");
    }
}

/// Another machine, as the kernel sees it: a network namespace with a cable to this one.
pub struct Outside {
    name: String,
    /// This machine, as seen from there: by IPv4 and by IPv6.
    pub here: [IpAddr; 2],
}

impl Outside {
    /// `None`, and said, where this may not be made.
    pub fn new() -> Option<Outside> {
        // Addresses that are nobody's, for networks that are tested (RFC 2544), and local ones (RFC 4193): another run has others.
        let pid = std::process::id();
        let at = |last: u32| {
            let v4 = Ipv4Addr::from(0xC612_0000 + (pid & 0x7FFF) * 4 + last);
            let v6 = format!("fd12:7261:6e73:{:x}::{last}", pid & 0xFFFF).parse().unwrap();
            [IpAddr::V4(v4), IpAddr::V6(v6)]
        };
        let (here, there) = (at(1), at(2));
        let outside = Outside { name: format!("turn{pid}"), here };
        let ip = |line: String| {
            let words: Vec<&str> = line.split_whitespace().collect();
            Command::new("ip").args(words).output().is_ok_and(|output| output.status.success())
        };
        let name = &outside.name;
        let made = ip(format!("netns add {name}"))
            && ip(format!("link add {name}h type veth peer name {name}o netns {name}"))
            && ip(format!("addr add {}/30 dev {name}h", here[0]))
            && ip(format!("-6 addr add {}/126 dev {name}h nodad", here[1]))
            && ip(format!("link set {name}h up"))
            && ip(format!("netns exec {name} ip addr add {}/30 dev {name}o", there[0]))
            && ip(format!("netns exec {name} ip -6 addr add {}/126 dev {name}o nodad", there[1]))
            && ip(format!("netns exec {name} ip link set {name}o up"));
        if !made {
            println!("not run from outside: no network namespace can be made here");
        }
        made.then_some(outside)
    }

    /// Clients there that ask an address here again and again, each time on a new connection.
    pub fn load(&self, on: SocketAddr, clients: usize) -> LoadOutside {
        let folder = tempfile::tempdir().unwrap();
        let (goes, came) = (folder.path().join("goes"), folder.path().join("came"));
        fs::write(&goes, "").unwrap();
        let script = format!(
            "while [ -e {} ]; do curl -gsS -m 40 http://{on}/ 2>&1 || echo \"failed with $?\"; echo; sleep 0.02; done > {}.$$",
            goes.display(),
            came.display()
        );
        let client = || {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &self.name, "sh", "-c", &script]).stdin(Stdio::null());
            command.spawn().unwrap()
        };
        LoadOutside { clients: (0..clients).map(|_| client()).collect(), folder }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &format!("{}h", self.name)]).output();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// Clients that ask until this is dropped.
pub struct LoadOutside {
    clients: Vec<Child>,
    folder: TempDir,
}

impl LoadOutside {
    /// Lines that came so far, each with how often.
    pub fn came(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        // Each client has a file of its own: what two write at a time would be one line.
        let files = fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        for file in files.filter(|path| path.extension().is_some()) {
            let text = fs::read_to_string(file).unwrap_or_default();
            text.lines().filter(|line| !line.is_empty()).for_each(|line| *all.entry(line.to_owned()).or_default() += 1);
        }
        all
    }

    /// Waits until so many more answers came of which this is the body.
    pub fn wait_for(&self, body: &str, more: u64) {
        let count = || self.came().get(body).copied().unwrap_or_default();
        let wanted = count() + more;
        wait_until(&format!("answers {body:?} outside"), PATIENCE, || {
            if count() >= wanted { Ok(()) } else { Err(self.came()) }
        });
    }

    /// Ends the clients. Answers what came.
    pub fn end(mut self) -> BTreeMap<String, u64> {
        self.stop();
        self.came()
    }

    fn stop(&mut self) {
        let _ = fs::remove_file(self.folder.path().join("goes"));
        for mut client in self.clients.drain(..) {
            let _ = client.wait();
        }
    }
}

impl Drop for LoadOutside {
    fn drop(&mut self) {
        self.stop();
    }
}
