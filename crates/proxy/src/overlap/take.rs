//! The new one: takes over.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    process::{Command, Stdio},
};

use turnout_traffic::RouteFile;

use super::{
    LAUNCH, PATIENCE, SERVE, TAKES_OVER, arguments, program,
    wire::{Link, VERSION, Word},
};
use crate::dies;

/// What the proxy before this one handed over.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) link: Link,
    pub(crate) listeners: BTreeMap<SocketAddr, TcpListener>,
    /// With its path, and the access mode where no service manager opened it.
    pub(crate) control: (UnixListener, PathBuf, Option<u32>),
    pub(crate) metrics: Option<TcpListener>,
    pub(crate) lock: File,
    pub(crate) served: RouteFile,
    /// What is on the disk; see [`Word::Table`].
    pub(crate) kept: Option<Vec<u8>>,
    pub(crate) foreign: bool,
    pub(crate) durable: bool,
}

/// Whether this process is to start the one that takes over.
pub(crate) fn is_launched() -> bool {
    std::env::var_os(TAKES_OVER).is_some_and(|said| said == LAUNCH)
}

/// Starts it, with the same standard input.
pub(crate) fn launch() -> Result<(), String> {
    let program = program()?;
    let mut command = Command::new(&program);
    command.args(arguments()).env(TAKES_OVER, SERVE).stdin(Stdio::inherit());
    command.spawn().map(drop).map_err(|error| format!("{} cannot be started: {error}", program.display()))
}

/// Takes over, where this process is to do that.
///
/// # Errors
/// Why not; the one before serves on.
pub(crate) fn taken() -> Result<Option<Taken>, String> {
    if std::env::var_os(TAKES_OVER).is_none_or(|said| said != SERVE) {
        return Ok(None);
    }
    // The standard input itself stays open to the end, which is how the one before sees that end.
    let stream = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let taken = stream.map(Link::of).and_then(|link| {
        link.waits(Some(PATIENCE))?;
        take(link)
    });
    taken.map(Some).map_err(|error| format!("what the proxy before this one hands over does not come: {error}"))
}

fn take(link: Link) -> io::Result<Taken> {
    let hello = Word::Hello {
        version: VERSION,
        pid: std::process::id(),
        program: format!("turnout-proxy {}", env!("CARGO_PKG_VERSION")),
    };
    link.say(&hello, None)?;
    let (mut listeners, mut control, mut metrics, mut lock) = (BTreeMap::new(), None, None, None);
    loop {
        let (word, with) = link.hear()?;
        if matches!(word, Word::Lock) {
            dies::here("after", "taking the listeners");
        }
        match (word, with) {
            (Word::Listener { address }, Some(with)) => drop(listeners.insert(address, TcpListener::from(with))),
            (Word::Control { path, mode }, Some(with)) => control = Some((UnixListener::from(with), path, mode)),
            (Word::Metrics, Some(with)) => metrics = Some(TcpListener::from(with)),
            (Word::Lock, Some(with)) => lock = Some(File::from(with)),
            (Word::Table { served, kept, foreign, durable }, None) => {
                dies::here("after", "taking the table");
                let (Some(control), Some(lock)) = (control, lock) else {
                    return Err(missing("the control socket or the lock of the state directory"));
                };
                let served = RouteFile::from_bytes(served.as_bytes())
                    .map_err(|mistakes| io::Error::other(format!("its route table is not understood: {mistakes}")))?;
                let kept = kept.map(String::into_bytes);
                return Ok(Taken { link, listeners, control, metrics, lock, served, kept, foreign, durable });
            }
            (word, with) => {
                let with = with.map_or("without a descriptor", |_: OwnedFd| "with a descriptor");
                return Err(io::Error::other(format!("it says {word:?} {with}, which is not understood")));
            }
        }
    }
}

fn missing(what: &str) -> io::Error {
    io::Error::other(format!("{what} did not come"))
}

impl Taken {
    /// Says that it serves, and waits until the service manager knows. Whatever becomes of the one before, this is the proxy.
    pub(crate) fn serves(link: &Link) -> io::Result<()> {
        link.say(&Word::Serves, None)?;
        match link.hear()? {
            (Word::Main, _) => Ok(()),
            (other, _) => Err(io::Error::other(format!("it says {other:?}"))),
        }
    }
}
