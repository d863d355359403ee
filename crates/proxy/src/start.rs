//! What a proxy begins with: what it finds, or what the one before it hands over.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener as StdListener},
    path::PathBuf,
};

use tokio::net::{TcpListener, UnixListener};
use turnout_traffic::{RouteFile, control::Origin};

use crate::{
    args::Settings,
    control,
    handed::{self, Handed},
    overlap::{Link, Taken},
    route_file::{Keeper, Kept},
    scrape,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) keeper: Keeper,
    pub(crate) served: RouteFile,
    pub(crate) origin: Origin,
    /// Whether the disk has said that it has what is served.
    pub(crate) durable: bool,
    pub(crate) doors: BTreeMap<SocketAddr, StdListener>,
    pub(crate) control: ControlSocket,
    pub(crate) metrics: Option<TcpListener>,
    /// To the one before.
    pub(crate) link: Option<Link>,
}

/// The control socket.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    pub(crate) listener: UnixListener,
    pub(crate) path: PathBuf,
    /// Its access mode; `None`: a service manager opened it.
    pub(crate) mode: Option<u32>,
    /// Who owns it, where a service manager opened it: that user may ask.
    pub(crate) owner: Option<u32>,
}

impl Start {
    /// The one before, if there is one, hands over; else this is what lies there.
    ///
    /// # Errors
    /// Whatever prevents the start.
    pub(crate) fn of(settings: &Settings, taken: Option<Taken>) -> Result<Start, String> {
        match taken {
            Some(taken) => Start::after(settings, taken),
            None => Start::fresh(settings),
        }
    }

    fn fresh(settings: &Settings) -> Result<Start, String> {
        let Settings { state_dir, socket, socket_mode, metrics, .. } = settings;
        let Handed { control, doors } = handed::take()?;
        let (keeper, served, origin) = Keeper::open(state_dir)?;
        let metrics = metrics.map(scrape::listen).transpose()?;
        let control = match control {
            Some(handed) => ControlSocket::handed_over(handed)?,
            None => ControlSocket {
                listener: control::listen(socket, *socket_mode)?,
                path: socket.clone(),
                mode: Some(*socket_mode),
                owner: None,
            },
        };
        Ok(Start { keeper, served, origin, durable: true, doors, control, metrics, link: None })
    }

    fn after(settings: &Settings, taken: Taken) -> Result<Start, String> {
        let Taken { link, listeners, control: (listener, path, mode), metrics, lock, served, kept, foreign, durable } =
            taken;
        let cannot =
            |error: std::io::Error| format!("what the proxy before this one handed over cannot be used: {error}");
        let control = match mode {
            None => ControlSocket::handed_over(listener)?,
            Some(_) => {
                listener.set_nonblocking(true).map_err(cannot)?;
                // Whoever connects is told from now on that this process is at the other end.
                rustix::net::listen(&listener, control::BACKLOG).map_err(|error| cannot(error.into()))?;
                ControlSocket { listener: UnixListener::from_std(listener).map_err(cannot)?, path, mode, owner: None }
            }
        };
        let metrics = match metrics {
            Some(metrics) if settings.metrics.is_some() => {
                metrics.set_nonblocking(true).map_err(cannot)?;
                Some(TcpListener::from_std(metrics).map_err(cannot)?)
            }
            _ => None,
        };
        let origin = if kept.is_some() { Origin::Current } else { Origin::Nothing };
        let keeper = Keeper::go_on(&settings.state_dir, Kept { lock: lock.into(), bytes: kept, foreign });
        Ok(Start { keeper, served, origin, durable, doors: listeners, control, metrics, link: Some(link) })
    }
}

impl ControlSocket {
    fn handed_over(listener: std::os::unix::net::UnixListener) -> Result<ControlSocket, String> {
        let (listener, path, owner) = control::handed_over(listener)?;
        tracing::debug!("the control socket was handed over, and its owner, user {owner}, may ask");
        Ok(ControlSocket { listener, path, mode: None, owner: Some(owner) })
    }
}
