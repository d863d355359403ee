//! The control socket: one request a line, one answer a line (`turnout_traffic::control`). Neither a silent connection nor a
//! stranger holds it.

use std::{
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixListener as StdListener,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedReadHalf},
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{sleep, timeout},
};
use turnout_traffic::{
    Maintained, bounds,
    control::{Answer, Code, Refusal, Request},
};

use crate::{change::Changer, dies};

/// Connections at a time; others wait.
const CONNECTIONS: usize = 16;
/// Time for a request to arrive, and for an answer to be taken. A connection on which nothing is asked ends after it.
const LINE_TIME: Duration = Duration::from_secs(10);
/// Connections that the kernel keeps until they are taken.
pub(crate) const BACKLOG: i32 = 1_024;
/// How often it is looked whether the socket's file is there.
const SEAT: Duration = Duration::from_secs(1);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who may ask: root, the proxy's own user, those that the settings name, and the owner of a socket that was handed over.
#[derive(Debug, Clone)]
pub(crate) struct Allowed(pub(crate) Vec<u32>);

impl Allowed {
    fn has(&self, user: u32) -> bool {
        user == 0 || user == rustix::process::geteuid().as_raw() || self.0.contains(&user)
    }
}

/// Opens the socket with its access mode, in place of one that a killed proxy left.
pub(crate) fn listen(path: &Path, mode: u32) -> Result<UnixListener, String> {
    let cannot = |error: io::Error| format!("cannot open the control socket {}: {error}", path.display());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(cannot)?;
    }
    if path.exists() {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(format!(
                "another turnout-proxy answers at the control socket {}; end it first",
                path.display()
            ));
        }
        fs::remove_file(path).map_err(cannot)?;
    }
    open(path, mode)
}

/// The socket that a service manager opened, and whose file it is: whoever owns that may ask. The service manager names users
/// by name, the command line cannot.
pub(crate) fn handed_over(listener: StdListener) -> Result<(UnixListener, PathBuf, u32), String> {
    let cannot = |error: io::Error| format!("cannot serve the control socket that the service manager opened: {error}");
    let address = listener.local_addr().map_err(cannot)?;
    let Some(path) = address.as_pathname() else {
        return Err(
            "the control socket that the service manager opened has no file; ListenStream= of its socket unit is to be a path"
                .to_owned(),
        );
    };
    let owner = fs::metadata(path).map_err(cannot)?.uid();
    listener.set_nonblocking(true).map_err(cannot)?;
    Ok((UnixListener::from_std(listener).map_err(cannot)?, path.to_owned(), owner))
}

/// The file of a control socket: without it nobody finds the proxy, which serves all the same.
#[derive(Debug)]
pub(crate) struct Seat {
    path: PathBuf,
    /// The access mode with which it was opened here; `None`: a service manager opened it.
    mode: Option<u32>,
    /// Which file it is: device and number.
    file: Option<(u64, u64)>,
    told: bool,
}

impl Seat {
    /// Of a socket that is there.
    pub(crate) fn of(path: PathBuf, mode: Option<u32>) -> Seat {
        Seat { file: file(&path), path, mode, told: false }
    }

    /// Looks whether the file is still there. What this proxy opened is opened again where it is gone; everything else is said,
    /// once.
    fn look(&mut self) -> Option<UnixListener> {
        let now = file(&self.path);
        if now == self.file {
            self.told = false;
            return None;
        }
        let path = self.path.display();
        let why = match (now, self.mode) {
            (None, Some(mode)) => match open(&self.path, mode) {
                Ok(listener) => {
                    tracing::warn!("the control socket {path} was removed by somebody, and is there again");
                    self.file = file(&self.path);
                    return Some(listener);
                }
                Err(error) => format!("was removed by somebody, and {error}"),
            },
            (None, None) => {
                "was removed by somebody; the service manager opened it, and does so again at `systemctl restart turnout-proxy.socket`"
                    .to_owned()
            }
            (Some(_), _) => "is another file by now: whoever asks there does not ask this proxy".to_owned(),
        };
        if !std::mem::replace(&mut self.told, true) {
            tracing::error!("the control socket {path} {why}; requests are served, and nobody can change their routes");
        }
        None
    }
}

fn file(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn open(path: &Path, mode: u32) -> Result<UnixListener, String> {
    let cannot = |error: io::Error| format!("cannot open the control socket {}: {error}", path.display());
    let listener = UnixListener::bind(path).map_err(cannot)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(cannot)?;
    Ok(listener)
}

/// The listener, which may be another one after a while, and another process's at last.
#[derive(Debug)]
pub(crate) struct Ear {
    listener: Mutex<Arc<UnixListener>>,
    /// Whether connections are taken; others wait.
    hears: watch::Sender<bool>,
}

impl Ear {
    pub(crate) fn of(listener: UnixListener) -> Ear {
        Ear { listener: Mutex::new(Arc::new(listener)), hears: watch::Sender::new(true) }
    }

    /// Connections are taken, or wait for whoever takes them next.
    pub(crate) fn hears(&self, hears: bool) {
        self.hears.send_replace(hears);
    }

    /// Once more, for another process.
    pub(crate) fn listener(&self) -> io::Result<OwnedFd> {
        self.present().as_fd().try_clone_to_owned()
    }

    fn present(&self) -> Arc<UnixListener> {
        Arc::clone(&self.listener.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn becomes(&self, listener: UnixListener) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(listener);
    }

    async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            told(&self.hears, true).await;
            let listener = self.present();
            tokio::select! {
                biased;
                () = told(&self.hears, false) => {}
                accepted = listener.accept() => return accepted.map(|(stream, _)| stream),
            }
        }
    }
}

async fn told(hears: &watch::Sender<bool>, so: bool) {
    let _ = hears.subscribe().wait_for(|hears| *hears == so).await;
}

/// Asks for a successor; answered when that serves, or with why none does.
pub(crate) type Renewal = oneshot::Sender<Result<(), String>>;

/// What questions are about.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) changer: Arc<Changer>,
    pub(crate) allowed: Allowed,
    pub(crate) renewals: mpsc::Sender<Renewal>,
}

/// Serves until it is dropped.
pub(crate) async fn serve(ear: Arc<Ear>, mut seat: Seat, asked: Asked) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut clock = tokio::time::interval(SEAT);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = ear.accept() => accepted,
            _ = clock.tick() => {
                if let Some(again) = seat.look() {
                    ear.becomes(again);
                }
                continue;
            }
        };
        match accepted {
            Ok(stream) => {
                let asked = asked.clone();
                tokio::spawn(async move {
                    // What breaks off concerns whoever asked.
                    if let Err(error) = connection(stream, &asked).await {
                        tracing::debug!(%error, "a connection to the control socket ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("a connection to the control socket could not be taken: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, asked: &Asked) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let (answer, last) = if asked.allowed.has(user) {
            match request(&mut reader).await? {
                None => return Ok(()),
                Some(Ok(request)) => (answer(request, asked).await, false),
                // What follows a line that is too long, or cut off, is not to be guessed.
                Some(Err(refusal)) => (Answer::Refused(refusal), true),
            }
        } else {
            let message = format!("user {user} may not ask here; --control-user names who may");
            tracing::warn!("a request on the control socket was refused: {message}");
            (Answer::Refused(Refusal::new(Code::Forbidden, message)), true)
        };
        let line = answer.to_line().map_err(io::Error::other)?;
        dies::here("before", "answering");
        let (first, rest) = line.split_at(line.len() / 2);
        timeout(LINE_TIME, async {
            writer.write_all(first).await?;
            dies::here("after", "half an answer");
            writer.write_all(rest).await
        })
        .await??;
        dies::here("after", "answering");
        if last {
            return Ok(());
        }
    }
}

/// The next line. None: there is none, or not in time.
async fn request(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Result<Vec<u8>, Refusal>>> {
    let mut line = Vec::new();
    let most = u64::try_from(bounds::BYTES).unwrap_or(u64::MAX);
    match timeout(LINE_TIME, reader.take(most).read_until(b'\n', &mut line)).await {
        Ok(read) => read?,
        Err(_) if line.is_empty() => return Ok(None),
        Err(_) => {
            let message = format!("the request did not arrive within {LINE_TIME:?}");
            return Ok(Some(Err(Refusal::new(Code::Malformed, message))));
        }
    };
    Ok(match line.last() {
        None => None,
        Some(b'\n') => Some(Ok(line)),
        Some(_) => {
            let message = format!("the request broke off, or its line is longer than {} bytes", bounds::BYTES);
            Some(Err(Refusal::new(Code::Malformed, message)))
        }
    })
}

async fn answer(line: Vec<u8>, Asked { changer, renewals, .. }: &Asked) -> Answer {
    // A table may be large; reading it is not a matter of the threads that pass bytes on.
    let read = tokio::task::spawn_blocking(move || Request::from_line(&line)).await;
    // Whoever tries is told, and nothing is wrong with what is served.
    let only_tried = matches!(read, Ok(Ok(Request::Try { .. })));
    let answer = match read {
        Ok(Ok(Request::Status)) => Answer::Status(changer.status_of_all().await),
        Ok(Ok(Request::Renew)) => renewed(renewals).await,
        Ok(Ok(Request::Metrics)) => match changer.metrics() {
            text if text.len() < bounds::BYTES / 2 => Answer::Metrics { text },
            text => {
                let message =
                    format!("they have {} bytes, too many for one line here; --metrics serves them", text.len());
                Answer::Refused(Refusal::new(Code::Mistaken, message))
            }
        },
        Ok(Ok(Request::Counters { repository })) => changer.counters(&repository),
        Ok(Ok(Request::Apply { repository, wanted })) => changer.apply(repository, wanted).await,
        Ok(Ok(Request::Reload)) => changer.reload().await,
        Ok(Ok(Request::Hold { repository })) => changer.hold(repository, true).await,
        Ok(Ok(Request::Resume { repository })) => changer.hold(repository, false).await,
        Ok(Ok(Request::Maintain { repository, on, page })) => {
            changer.maintain(repository, on.then_some(Maintained { page })).await
        }
        Ok(Ok(Request::Try { listen, tls })) => changer.tries(listen, tls).await,
        Ok(Ok(Request::Authority { authority })) => changer.authority(authority).await,
        Ok(Err(refusal)) => Answer::Refused(refusal),
        Err(error) => Answer::Refused(Refusal::new(Code::Unknown, format!("a fault in turnout-proxy itself: {error}"))),
    };
    if let (Answer::Refused(Refusal { message, .. }), false) = (&answer, only_tried) {
        tracing::warn!("a request on the control socket was refused: {message}");
    }
    answer
}

/// Has a successor started, and waits for it.
async fn renewed(renewals: &mpsc::Sender<Renewal>) -> Answer {
    let (tell, told) = oneshot::channel();
    if renewals.try_send(tell).is_err() {
        return Answer::Refused(Refusal::new(Code::Busy, "another process is taking over already; ask again"));
    }
    match told.await {
        Ok(Ok(())) => Answer::Done { changed: true },
        Ok(Err(message)) => Answer::Refused(Refusal::new(Code::NotRenewed, message)),
        Err(_) => Answer::Refused(Refusal::new(Code::Ending, "the proxy ends; ask the next one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_ourselves_and_those_named_may_ask() {
        let own = rustix::process::geteuid().as_raw();
        let allowed = Allowed(vec![4_000_001]);
        for (user, expected) in [(0, true), (own, true), (4_000_001, true), (4_000_002, false)] {
            assert_eq!(allowed.has(user), expected, "{user}");
        }
    }
}
