//! The daemon's state in one line, which `systemctl status turnout` shows (`STATUS=` of sd_notify(3)).

use std::{net::SocketAddr, time::Duration};

use time::{OffsetDateTime, UtcOffset, macros::format_description};
use tokio::time::Instant;

use crate::{
    deploy::Deployer,
    git::short,
    report::redact::escape_controls,
    server::pulse::Pulse,
    store::{Deployment, Fall, Millis, State, StoreError, WantedCommit},
};

/// The line is brought up to date at most so often: every line of a build's output changes the store.
const EVERY: Duration = Duration::from_secs(1);
/// How long the store may take to tell; the line stays as it was then.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of each kind so many are named; of the others, how many there are.
const NAMED: usize = 3;

/// What is told.
#[derive(Debug, Default)]
struct Facts {
    /// Repositories that count.
    repositories: usize,
    address: String,
    /// What is wrong with `repos.yaml`, and what counts instead.
    broken: Option<String>,
    /// Parts of the daemon that do not answer, and the engine.
    silent: Vec<&'static str>,
    running: Vec<Deployment>,
    waiting: usize,
    behind: Vec<(String, WantedCommit)>,
    fallen: Vec<(String, Fall)>,
    /// What of the live colours, and of what stays, does not run.
    still: Vec<(String, Vec<String>)>,
}

/// The line, and whoever shows it.
pub(super) struct Standing {
    address: SocketAddr,
    /// There is a service manager to tell.
    heard: bool,
    said: String,
    told: Option<Instant>,
}

impl Standing {
    /// Nothing is told yet.
    pub(super) fn new(address: SocketAddr) -> Standing {
        Standing { address, heard: std::env::var_os("NOTIFY_SOCKET").is_some(), said: String::new(), told: None }
    }

    /// When the next change may be told.
    pub(super) fn due(&self) -> Instant {
        self.told.map_or_else(Instant::now, |told| told + EVERY)
    }

    /// Tells the service manager how the daemon stands, where that is other than what was told last. False where that could
    /// not be found out: it is to be tried again.
    pub(super) async fn tell(&mut self, deployer: &Deployer, pulse: &Pulse) -> bool {
        self.told = Some(Instant::now());
        if !self.heard {
            return true;
        }
        let facts = tokio::time::timeout(PATIENCE, facts(deployer, pulse, self.address)).await;
        // What does not answer is told by the watchdog meanwhile.
        let Ok(Ok(facts)) = facts else { return false };
        // What it has of a project was masked when it was recorded.
        let now = deployer.redactor.own().redact(&words(&facts)).into_owned();
        if now != self.said {
            super::notify::notify(&[sd_notify::NotifyState::Status(&now)]);
            self.said = now;
        }
        true
    }
}

async fn facts(deployer: &Deployer, pulse: &Pulse, address: SocketAddr) -> Result<Facts, StoreError> {
    let repos = &deployer.planner.repos;
    let count = repos.checked().repos.repos.len();
    let broken = repos.broken().map(|broken| match broken.mistakes.0.first() {
        Some(first) => format!("{}: {first}", broken.consequence),
        None => broken.consequence,
    });
    let mut facts = Facts {
        repositories: count,
        address: address.to_string(),
        broken,
        silent: pulse.waiting_for(),
        ..Facts::default()
    };
    for deployment in deployer.store.overview().await? {
        match deployment.state {
            State::Running => facts.running.push(deployment),
            State::Queued => facts.waiting += 1,
            _ => {}
        }
    }
    let list = repos.current();
    let known = |repo: &str| list.repos.by_name(repo).is_some();
    facts.behind = deployer.store.behind().await?;
    facts.behind.retain(|(repo, _)| known(repo));
    facts.fallen = deployer.store.fallen().await?;
    facts.fallen.retain(|(repo, _)| known(repo));
    facts.still = deployer.stills.told();
    Ok(facts)
}

/// The line: what is under way first, then what somebody should look at.
fn words(facts: &Facts) -> String {
    let Facts { repositories, address, broken, silent, running, waiting, behind, fallen, still } = facts;
    let mut parts = Vec::new();
    let deploying = running.iter().map(|deployment| {
        let phase = deployment.phase.as_ref().map(|phase| format!(" ({phase})")).unwrap_or_default();
        let since = deployment.started_at.map(|at| format!(" since {}", clock(at))).unwrap_or_default();
        format!("{}{phase}{since}", deployment.repo)
    });
    match (running.is_empty(), *waiting) {
        (true, 0) => parts.push("idle".to_owned()),
        (true, waiting) => parts.push(format!("{waiting} waiting")),
        (false, 0) => parts.push(format!("deploying {}", some(deploying))),
        (false, waiting) => parts.push(format!("deploying {}, {waiting} waiting", some(deploying))),
    }
    if !silent.is_empty() {
        parts.push(format!("NO ANSWER from: {}", silent.join(", ")));
    }
    if let Some(broken) = broken {
        parts.push(format!("MISTAKE in repos.yaml, {broken}"));
    }
    if !still.is_empty() {
        let each = still.iter().map(|(repo, what)| format!("{repo} ({})", some(what.iter().cloned())));
        parts.push(format!("STANDS STILL IN PART: {}", some(each)));
    }
    if !behind.is_empty() {
        let each = behind
            .iter()
            .map(|(repo, wanted)| format!("{repo} ({} wanted since {})", short(&wanted.commit), clock(wanted.since)));
        parts.push(format!("behind: {}", some(each)));
    }
    if !fallen.is_empty() {
        parts.push(format!("after a success: {}", some(fallen.iter().map(|(repo, fall)| format!("{repo}: {fall}")))));
    }
    let listed = crate::report::counted(*repositories, "repository");
    parts.push(format!("{listed}, listening on {address}"));
    escape_controls(&parts.join("; ").replace('\n', " ")).into_owned()
}

fn some(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    let named = all.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// A time of the day; with several threads the local offset is not to be had, and the line says so.
fn clock(at: Millis) -> String {
    let local = UtcOffset::current_local_offset();
    let zone = if local.is_err() { " UTC" } else { "" };
    let format = format_description!("[hour]:[minute]:[second]");
    let time = OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)).ok();
    let time = time.map(|time| time.to_offset(local.unwrap_or(UtcOffset::UTC)));
    time.and_then(|time| time.format(format).ok()).map(|text| format!("{text}{zone}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(repo: &str, phase: Option<&str>) -> Deployment {
        Deployment { phase: phase.map(str::to_owned), ..Deployment::bare(7, repo, State::Running) }
    }

    #[test]
    fn what_is_under_way_comes_first_and_then_what_is_wrong() {
        let base = || Facts { repositories: 2, address: "127.0.0.1:8000".to_owned(), ..Facts::default() };
        assert_eq!(words(&base()), "idle; 2 repositories, listening on 127.0.0.1:8000");
        assert_eq!(
            words(&Facts { repositories: 1, waiting: 2, ..base() }),
            "2 waiting; 1 repository, listening on 127.0.0.1:8000"
        );
        let wanted =
            WantedCommit { commit: "1".repeat(40), branch: None, cause: String::new(), since: 43_390_000, before: 0 };
        let fall = Fall {
            container: "shop-web-1".to_owned(),
            after: 23_000,
            said: "exited (1)".to_owned(),
            times: 1,
            mended: None,
            seen: 0,
        };
        let names = ["a", "b", "c", "d", "e"];
        let all = Facts {
            broken: Some("the last good list counts: repos.yaml:3:1: no\nsuch key".to_owned()),
            silent: vec!["engine"],
            running: names.iter().map(|name| running(name, Some("apply"))).collect(),
            waiting: 1,
            behind: vec![("shop".to_owned(), wanted)],
            fallen: vec![("shop".to_owned(), fall)],
            still: vec![("shop".to_owned(), vec!["web has no container".to_owned(), "shop-db-1 is exited".to_owned()])],
            ..base()
        };
        let said = words(&all);
        for part in [
            "deploying a (apply), b (apply), c (apply) and 2 more, 1 waiting; NO ANSWER from: engine; MISTAKE in \
             repos.yaml, the last good list counts: repos.yaml:3:1: no such key; STANDS STILL IN PART: shop (web has no \
             container, shop-db-1 is exited); behind: shop (1111111 wanted since ",
            "); after a success: shop: shop-web-1 exited (1) 23 s after the verdict; 2 repositories, listening",
        ] {
            assert!(said.contains(part), "{said}");
        }
        let since = Deployment { started_at: Some(43_390_000), ..running("shop", None) };
        let said = words(&Facts { running: vec![since], ..base() });
        assert!(said.starts_with("deploying shop since ") && said.contains(":03:10"), "{said}");
    }
}
