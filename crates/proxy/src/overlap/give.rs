//! The old one: starts its successor, and hands over.

use std::{
    io,
    net::SocketAddr,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    LAUNCH, PATIENCE, TAKES_OVER, arguments, program,
    wire::{Link, VERSION, Word},
};
use crate::dies;

/// All that is handed over.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) listeners: Vec<(SocketAddr, OwnedFd)>,
    /// The control socket's listener, its path, and the access mode where no service manager opened it.
    pub(crate) control: (OwnedFd, PathBuf, Option<u32>),
    pub(crate) metrics: Option<OwnedFd>,
    /// Of the state directory.
    pub(crate) lock: OwnedFd,
    /// [`Word::Table`].
    pub(crate) table: Word,
}

/// Who serves now.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) link: Link,
    pub(crate) pid: u32,
    /// What it says of itself: its version.
    pub(crate) program: String,
}

/// How far it came.
#[derive(Debug, Default)]
struct Went {
    /// Of the new one.
    pid: Option<u32>,
    /// The new one may write by now.
    given: bool,
}

/// Starts the successor and hands over. It waits: for a thread of its own.
///
/// # Errors
/// Why not. Then nothing has changed, and the successor is gone.
pub(crate) fn hand_over(parcel: &Parcel) -> Result<Given, String> {
    let program = program()?;
    let cannot = |error: io::Error| format!("{} cannot be started as the next proxy: {error}", program.display());
    let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
    let link = Link::of(ours);
    link.waits(Some(PATIENCE)).map_err(cannot)?;
    let launcher = Command::new(&program)
        .args(arguments())
        .env(TAKES_OVER, LAUNCH)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(cannot)?;
    let mut went = Went::default();
    match give(&link, parcel, &mut went) {
        Ok((pid, version)) => {
            reaped(launcher, false);
            Ok(Given { link, pid, program: version })
        }
        Err(error) => {
            undo(&link, &went);
            reaped(launcher, true);
            let path = program.display();
            let why = match error.kind() {
                io::ErrorKind::UnexpectedEof => "it ended before it served; its words are in the log".to_owned(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    format!("it did not serve within {} s", PATIENCE.as_secs())
                }
                _ => error.to_string(),
            };
            Err(format!("{path} did not take over: {why}. This process serves on, and nothing was changed"))
        }
    }
}

fn give(link: &Link, parcel: &Parcel, went: &mut Went) -> io::Result<(u32, String)> {
    let Parcel { listeners, control: (control, path, mode), metrics, lock, table } = parcel;
    let (pid, version) = match link.hear()? {
        (Word::Hello { version: VERSION, pid, program }, _) => (pid, program),
        (other, _) => return Err(io::Error::other(format!("it begins with {other:?}, which is not understood"))),
    };
    went.pid = Some(pid);
    for (address, listener) in listeners {
        link.say(&Word::Listener { address: *address }, Some(listener.as_fd()))?;
    }
    link.say(&Word::Control { path: path.clone(), mode: *mode }, Some(control.as_fd()))?;
    if let Some(metrics) = metrics {
        link.say(&Word::Metrics, Some(metrics.as_fd()))?;
    }
    link.say(&Word::Lock, Some(lock.as_fd()))?;
    dies::here("before", "giving the table");
    went.given = true;
    link.say(table, None)?;
    dies::here("after", "giving the table");
    match link.hear()? {
        (Word::Serves, _) => Ok((pid, version)),
        (other, _) => Err(io::Error::other(format!("it says {other:?} in place of serving"))),
    }
}

/// Ends the successor. Who may have begun to write must be gone before somebody else does.
fn undo(link: &Link, went: &Went) {
    let pid = went.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may be gone already.
        let _ = kill_process(pid, Signal::KILL);
    }
    if !went.given {
        return;
    }
    let mut told = false;
    loop {
        match link.hear() {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::error!("the successor, process {pid:?}, does not end; no route is changed until it has");
                }
            }
            Err(_) => return,
        }
    }
}

/// The launcher ends at once; whatever it was.
fn reaped(mut launcher: Child, kill: bool) {
    if kill {
        let _ = launcher.kill();
    }
    if let Err(error) = launcher.wait() {
        tracing::debug!(%error, "how the launcher of the next proxy ended is not known");
    }
}
