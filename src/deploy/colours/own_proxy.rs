//! The proxy that the daemon asks: the one that a service manager runs, or one that is started here and outlives the daemon.

use std::{path::PathBuf, time::Duration};

use tokio::time::timeout;

use super::{
    super::{Deployer, Failure},
    lead::Lead,
    made::Made,
    obtained, other,
    share::Share,
    stands::Stands,
};
use crate::{
    config::Settings,
    steer::{Start, Steer, SteerError, ensure, program_beside},
    traffic::control::Status,
};

/// Folder of the state directory that is the proxy's.
const FOLDER: &str = "proxy";
/// Its route file there.
const ROUTES: &str = "routes.json";
/// Its log, in the log directory.
const LOG: &str = "turnout-proxy.log";

impl From<SteerError> for Failure {
    fn from(error: SteerError) -> Self {
        Failure::new(error.to_string())
    }
}

impl Deployer {
    /// The proxy; one is started where none answers and no service manager is there to do it.
    ///
    /// # Errors
    /// There is none, and it cannot be started here.
    pub async fn proxy(&self) -> Result<Steer, Failure> {
        let settings = &self.planner.settings;
        let steer = Steer::new(settings.proxy_socket.clone());
        match steer.status().await {
            Ok(status) => {
                obtained::tell(settings, &steer, &status).await;
                if !is_managed() {
                    self.renewals.look(&steer).await;
                }
                return Ok(steer);
            }
            Err(error) if error.is_absent() && !is_managed() => {}
            Err(error) if error.is_absent() => {
                return Err(Failure::from(error).hint("start it: systemctl start turnout-proxy.socket"));
            }
            Err(error) => return Err(error.into()),
        }
        let start = start(settings)?;
        let ensured = ensure(&start).await?;
        if let Ok(status) = ensured.steer.status().await {
            obtained::tell(settings, &ensured.steer, &status).await;
        }
        if ensured.started {
            let pid = ensured.pid.map(|pid| pid.to_string()).unwrap_or_default();
            let log = start.log.display().to_string();
            tracing::info!(pid, log, "turnout-proxy was started; it runs on when turnout ends");
        }
        Ok(ensured.steer)
    }
}

/// How long the proxy may take to say who is live, for whoever only asks how things stand.
const GLANCE: Duration = Duration::from_secs(2);

/// What the proxy says of a repository, for whoever only asks how things stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// Why the live colour gets no requests, where the proxy says otherwise or nothing.
    pub not_served: Option<String>,
    /// Requests are answered by a page of the proxy's own.
    pub maintained: bool,
    /// Requests wait there while something changes over.
    pub held: bool,
    /// Who else gets requests, beside the live colour.
    pub shares: Vec<Share>,
}

impl Deployer {
    /// What the proxy says, if it does so soon.
    pub(super) async fn proxy_status(&self) -> Option<Result<Status, SteerError>> {
        let steer = Steer::new(self.planner.settings.proxy_socket.clone());
        timeout(GLANCE, steer.status()).await.ok()
    }

    /// What the proxy says of a repository.
    pub async fn glance(&self, repo: &str, stands: &Stands) -> Glance {
        let live = stands.live();
        if live.or(stands.in_place()).is_none() {
            return Glance::default();
        }
        // What runs in place is reached at its own ports.
        let not = |said: String| Glance { not_served: live.map(|_| said), ..Glance::default() };
        let lead = match self.planner.find(repo).map(|repo| other::of(&repo)) {
            Ok(Ok(Some(other))) => Lead::Other(other),
            Ok(Ok(None)) | Err(_) => Lead::Own(Steer::new(self.planner.settings.proxy_socket.clone())),
            Ok(Err(failure)) => return not(failure.summary),
        };
        let seen = match timeout(GLANCE, lead.seen(repo)).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => return not(error.to_string()),
            Err(_) => return not(format!("{} has not answered within {} s", lead.name(), GLANCE.as_secs())),
        };
        if let Some(why) = seen.otherwise {
            return not(format!("{} leads elsewhere than it was told: {why}", lead.name()));
        }
        let served = seen.routed.and_then(|routed| routed.colour);
        let not_served = live.and_then(|live| match served {
            Some((colour, _)) if colour == live.colour => None,
            Some((colour, _)) => Some(format!("the routes of {} lead to {colour}", lead.name())),
            // A stack without a route gets none.
            None if Made::read(&live.made).is_ok_and(|made| made.routes.is_empty()) => None,
            None => Some(format!("{} knows no route of it", lead.name())),
        });
        Glance { not_served, maintained: seen.maintained, held: seen.held, shares: seen.shares }
    }
}

/// Whether a service manager has started this daemon: it is its business then to start the proxy as well.
fn is_managed() -> bool {
    std::env::var_os("INVOCATION_ID").is_some() && std::env::var_os("NOTIFY_SOCKET").is_some()
}

fn start(settings: &Settings) -> Result<Start, Failure> {
    let own = std::env::current_exe().map_err(|error| {
        Failure::new(format!("where turnout lies cannot be told, and turnout-proxy is looked for beside it: {error}"))
    })?;
    let folder: PathBuf = settings.state_dir.join(FOLDER);
    for folder in [Some(folder.as_path()), settings.proxy_socket.parent()].into_iter().flatten() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(format!("{} cannot be made for turnout-proxy: {error}", folder.display())))?;
    }
    Ok(Start {
        program: program_beside(&own)?,
        socket: settings.proxy_socket.clone(),
        route_file: folder.join(ROUTES),
        log: settings.log_dir.join(LOG),
        control_users: Vec::new(),
    })
}
