//! A service manager that listens to what a daemon says of itself (sd_notify(3)).

use std::{
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::common::wait_until;

/// How long a word of the daemon may take.
const SOON: Duration = Duration::from_secs(60);

/// One that listens in this folder, and the address that a daemon is given as `NOTIFY_SOCKET`.
pub fn in_folder(folder: &Path) -> (UnixDatagram, PathBuf) {
    let address = folder.join("notify");
    let manager = UnixDatagram::bind(&address).unwrap();
    manager.set_nonblocking(true).unwrap();
    (manager, address)
}

/// Messages that have come so far.
pub fn told(manager: &UnixDatagram) -> String {
    let (mut all, mut message) = (String::new(), [0; 4096]);
    while let Ok(length) = manager.recv(&mut message) {
        all.push_str(&String::from_utf8_lossy(&message[..length]));
        all.push('\n');
    }
    all
}

/// Waits until a status line came for which this holds; returns it.
pub fn status_is(manager: &UnixDatagram, what: &str, is: impl Fn(&str) -> bool) -> String {
    let mut all = String::new();
    wait_until(&format!("the status text to {what}"), SOON, || {
        all.push_str(&told(manager));
        let line = all.lines().rev().find(|line| line.starts_with("STATUS=")).unwrap_or_default();
        if is(line) { Ok(line.to_owned()) } else { Err(all.clone()) }
    })
}

/// Waits until it was told a line with all of this; returns it.
pub fn status(manager: &UnixDatagram, parts: &[&str]) -> String {
    status_is(manager, &format!("have {parts:?}"), |line| parts.iter().all(|part| line.contains(part)))
}
