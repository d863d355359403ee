//! What the kernel is asked for while a listener moves: that it leads new connections to ports of turnout-proxy that stand in.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::{
    super::{Deployer, Failure, called_off, of::Of},
    adopt::{BINDS, DRAIN, LOOK},
    led::leads,
    made::Made,
};
use crate::{
    nat::{By, Helper, NatError},
    report::{Reporter as _, counted},
    steer::{Steer, program_beside},
};

/// The helper's socket, beside the proxy's.
const HELPER: &str = "turnout-redirect.sock";
/// For connections that were being made to a port that stands in when its rules went.
const LATE: Duration = Duration::from_secs(1);
/// Time between two looks at connections that were led and last.
const LASTING: Duration = Duration::from_secs(10);

impl Deployer {
    /// By what this daemon's rules are told from those of another one on the same machine: their state lies in two folders.
    fn of_several(&self) -> String {
        let digest = Sha256::digest(self.planner.settings.state_dir.as_os_str().as_encoded_bytes());
        digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whoever sets rules of the kernel: the helper of a service manager, or a process of its own with the daemon's rights.
    ///
    /// # Errors
    /// There is no program for it.
    pub(super) fn redirects(&self) -> Result<Helper, Failure> {
        let socket = self.planner.settings.proxy_socket.with_file_name(HELPER);
        if std::fs::symlink_metadata(&socket).is_ok() {
            return Ok(Helper { by: By::Socket(socket), daemon: self.of_several() });
        }
        let own = std::env::current_exe().map_err(|error| Failure::new(format!("where turnout lies: {error}")))?;
        Ok(Helper { by: By::Program(program_beside(&own)?), daemon: self.of_several() })
    }

    /// Why new connections cannot be led to the proxy by the kernel; `None`: they can.
    pub(super) async fn not_led(&self) -> Option<String> {
        match self.redirects() {
            Ok(helper) => helper.list().await.err().map(|error| error.to_string()),
            Err(failure) => Some(failure.summary),
        }
    }

    /// Sets the rules, and looks whether they do what they say.
    pub(super) async fn lead_by_kernel(&self, repo: &str, made: &Made, steer: &Steer) -> Result<Vec<String>, String> {
        let helper = self.redirects().map_err(|failure| failure.summary)?;
        let taken = taken(steer, repo).await;
        let without = helper.set(repo, &leads(made)).await.map_err(|error| error.to_string())?;
        let all = made.routes.iter().flat_map(|route| &route.listen);
        let listen: Option<&SocketAddr> =
            all.filter(|listen| listen.is_ipv4()).find(|listen| made.stand_ins.contains_key(listen));
        let until = Instant::now() + BINDS;
        let Some(listen) = listen else { return Ok(without) };
        while self::taken(steer, repo).await <= taken {
            if Instant::now() >= until {
                let _ = helper.clear(repo).await;
                return Err(format!("rules for {listen} were set, and led nothing"));
            }
            let mut to = *listen;
            if to.ip().is_unspecified() {
                to.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            let _ = tokio::time::timeout(LOOK, tokio::net::TcpStream::connect(to)).await;
            sleep(LOOK).await;
        }
        Ok(without)
    }

    /// Connections that were there before are the engine's to their end: they have some time for it.
    pub(super) async fn await_older(&self, of: Of<'_>, made: &Made, project: &str) -> Result<(), Failure> {
        let (helper, leads) = (self.redirects()?, leads(made));
        let until = Instant::now() + DRAIN;
        let mut told = false;
        loop {
            let open = match helper.open(&leads).await {
                Ok(Some(open)) => open.direct,
                _ => {
                    of.recorder.info(
                        "the kernel does not say how many older connections are open: none is waited for".to_owned(),
                    );
                    return Ok(());
                }
            };
            if open == 0 {
                return Ok(());
            }
            if Instant::now() >= until {
                let open = counted(open, "older connection");
                of.recorder.warn(format!("still open to {project}: {open}; what is open ends with it"));
                return Ok(());
            }
            if !std::mem::replace(&mut told, true) {
                let (open, left) = (counted(open, "older connection"), DRAIN.as_secs());
                of.recorder.info(format!("open to {project}: {open}; there are {left} s to end"));
            }
            if of.cancel.is_cancelled() {
                return Err(called_off::failure("waiting for older connections"));
            }
            sleep(LOOK * 4).await;
        }
    }

    /// New connections go where they are made to. Those that were being made are waited for.
    pub(super) async fn lead_no_more(&self, repo: &str) -> Result<(), Failure> {
        match self.redirects()?.clear(repo).await {
            Ok(()) => {}
            // Who cannot look could not set any either.
            Err(NatError::Absent { .. } | NatError::Refused(_)) if self.not_led().await.is_some() => {}
            Err(error) => {
                return Err(Failure::new(format!("rules of the kernel for {repo} could not be removed: {error}")));
            }
        }
        sleep(LATE).await;
        self.forget_led();
        Ok(())
    }

    /// What the kernel needs for connections that were led goes when they have ended, which lasting ones may take long for.
    fn forget_led(&self) {
        let Ok(helper) = self.redirects() else { return };
        let stop = self.bakes.stop.clone();
        self.bakes.tasks.spawn(async move {
            // A helper that does not answer is asked at the next start.
            while helper.forget().await.is_ok_and(|left| !left.is_empty()) {
                tokio::select! {
                    () = sleep(LASTING) => {}
                    () = stop.cancelled() => return,
                }
            }
        });
    }

    /// Connections that were led to the proxy have some time to end there.
    pub(super) async fn await_led(&self, made: &Made) {
        let (Ok(helper), leads) = (self.redirects(), leads(made)) else { return };
        let until = Instant::now() + DRAIN;
        while Instant::now() < until {
            match helper.open(&leads).await {
                Ok(Some(open)) if open.led > 0 => sleep(LOOK * 4).await,
                _ => return,
            }
        }
    }

    /// At a start: rules that nobody needs any more.
    pub(super) async fn forget_leads(&self) {
        let Ok(helper) = self.redirects() else { return };
        self.forget_led();
        let Ok(leads) = helper.list().await else { return };
        let repos: BTreeSet<String> = leads.into_iter().map(|(repo, _)| repo).collect();
        let Ok(places) = self.store.places().await else { return };
        for repo in repos {
            let Ok(stands) = self.recorded(&repo).await else { continue };
            // Another turnout on this machine leads its own, and a connection of it would be refused without them.
            let own = !stands.all.is_empty() || stands.switch.is_some() || places.iter().any(|one| one.repo == repo);
            if !own {
                tracing::info!(
                    repo,
                    "rules of the kernel lead connections of a repository that is not known here: they are left alone"
                );
                continue;
            }
            if stands.in_place().is_none() && stands.leaving().is_none() {
                match helper.clear(&repo).await {
                    Ok(()) => tracing::warn!(
                        repo,
                        "rules of the kernel that led connections elsewhere were left over, and are removed"
                    ),
                    Err(error) => tracing::error!(repo, "rules of the kernel are left over: {error}"),
                }
            }
        }
    }
}

/// Connections that the proxy has taken for a repository. What cannot be told counts as none.
async fn taken(steer: &Steer, repo: &str) -> u64 {
    let Ok(status) = steer.status().await else { return 0 };
    status.routes.iter().filter(|route| route.repository == repo).map(|route| route.taken).sum()
}
