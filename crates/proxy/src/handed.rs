//! What a service manager keeps from one proxy to the next: the control socket, which it opened itself, and listeners that the
//! proxy before this one left with it (systemd's `FileDescriptorStoreMax`). Clients that come while no proxy runs wait in them
//! and are refused nothing. Where no service manager is, nothing is handed over and nothing is left.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    os::{fd::AsFd, unix::net::UnixListener},
};

use sd_notify::NotifyState;
use turnout_report::counted;
use turnout_traffic::RouteFile;

/// What was handed over.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    pub(crate) control: Option<UnixListener>,
    pub(crate) doors: BTreeMap<SocketAddr, TcpListener>,
}

/// Takes it; a second call finds nothing that is safe to take.
///
/// # Errors
/// Something else was handed over: the unit is not as it should be.
pub(crate) fn take() -> Result<Handed, String> {
    let mut passed = listenfd::ListenFd::from_env();
    let mut handed = Handed::default();
    for index in 0..passed.len() {
        if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
            let address = listener.local_addr().map_err(|error| wrong(index, &error))?;
            handed.doors.insert(address, listener);
            continue;
        }
        let control = passed.take_unix_listener(index).map_err(|error| wrong(index, &error))?;
        if control.is_some() && handed.control.is_some() {
            return Err(
                "the service manager handed over two control sockets; its socket unit is to have one".to_owned()
            );
        }
        handed.control = control;
    }
    Ok(handed)
}

fn wrong(index: usize, error: &std::io::Error) -> String {
    format!(
        "what the service manager handed over as number {} is neither a control socket (Unix, stream) nor a listener (TCP): \
         {error}; look at ListenStream= of its socket unit",
        index + 1
    )
}

/// Leaves a listener with the service manager, so that it listens on when this process ends, however it does.
pub(crate) fn leave(listener: &impl AsFd, address: SocketAddr) {
    let states = [NotifyState::FdStore, NotifyState::FdName(&name(address))];
    if let Err(error) = sd_notify::notify_with_fds(&states, &[listener.as_fd()]) {
        tracing::warn!(
            "{address} will be closed while turnout-proxy restarts: the service manager was not told: {error}"
        );
    }
}

/// Nobody is to listen there any more, the service manager neither.
pub(crate) fn forget(listener: &impl AsFd, address: SocketAddr) {
    // At once, whenever the service manager closes its own descriptor: somebody else may be waiting for the address.
    if let Err(error) = rustix::net::shutdown(listener, rustix::net::Shutdown::Read) {
        tracing::debug!(%address, %error, "the listener was not shut down");
    }
    let states = [NotifyState::FdStoreRemove, NotifyState::FdName(&name(address))];
    if let Err(error) = sd_notify::notify(&states) {
        tracing::warn!(
            "{address} may stay reserved while turnout-proxy runs: the service manager was not told: {error}"
        );
    }
}

/// What `systemctl status` shows.
pub(crate) fn tell(served: &RouteFile) {
    let RouteFile { serial, table } = served;
    let routes: usize = table.repositories.values().map(|repository| repository.routes.len()).sum();
    let (routes, repositories) = (counted(routes, "route"), table.repositories.len());
    let status = match repositories {
        0 => "no route yet".to_owned(),
        _ => format!("{routes} of {} (serial {serial})", counted(repositories, "repository")),
    };
    if let Err(error) = sd_notify::notify(&[NotifyState::Status(&status)]) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// No colon may be in it.
fn name(address: SocketAddr) -> String {
    address.to_string().replace(':', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_name_of_its_own_without_a_colon() {
        for (address, expected) in
            [("127.0.0.1:80", "127.0.0.1-80"), ("[::]:80", "[--]-80"), ("[fe80::1:2]:443", "[fe80--1-2]-443")]
        {
            assert_eq!(name(address.parse().unwrap()), expected);
        }
    }
}
