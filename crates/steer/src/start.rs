//! A proxy that outlives whoever started it, where no service manager does that.
//!
//! It gets a process group of its own, and no session: a session of its own takes a second fork or `unsafe`, and the group is
//! enough. Signals to the deployer's group do not reach it; when a terminal goes away the kernel tells the session's leader and
//! the group in the foreground alone, and a shell its own jobs; and SIGHUP ends a proxy in no case. What a service manager keeps
//! in the control group of the deployer's unit ends with that unit, session or not: there, the proxy has a unit of its own.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    process::Command,
    sync::oneshot,
    time::{Instant, sleep, sleep_until},
};
use turnout_traffic::control::{Code, Refusal};

use crate::{Steer, SteerError, log_end};

/// How long all of it may take. A proxy that ends gives its connections 30 seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a proxy is looked for after the one that was started has ended: an earlier starter may have been killed while its
/// own began, which has the state directory and does not answer yet.
const ANOTHER: Duration = Duration::from_secs(2);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// As the proxy calls its route file; the folder is what it is told.
const ROUTE_FILE: &str = "routes.json";

/// How a proxy is started where no service manager does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The program, see [`crate::program_beside`].
    pub program: PathBuf,
    /// Its control socket. Beside it lies a lock, so that two starters end with one proxy.
    pub socket: PathBuf,
    /// Its route file: `routes.json`, in a folder where no other program writes.
    pub route_file: PathBuf,
    /// What it says is added here.
    pub log: PathBuf,
    /// Users, by number, who may ask it, beside root and the one it runs as.
    pub control_users: Vec<u32>,
}

/// A proxy that answers.
#[derive(Debug, Clone)]
pub struct Ensured {
    /// Asks the proxy over its control socket.
    pub steer: Steer,
    /// Whether it was started now.
    pub started: bool,
    /// Its process, where that is known: not, where it runs in another namespace.
    pub pid: Option<u32>,
}

/// The proxy that is there, or one that is started now and outlives this process: in a process group of its own, with no
/// descriptor and no variable of this one, nothing to read, what it says added to the log, in `/`. It answers when this is done,
/// within a minute. Two starters at the same time end with one proxy. Where one is just ending, its end is waited for.
///
/// # Errors
/// See [`SteerError`]; nothing is left running that does not answer, but for what is merely slow.
pub async fn ensure(start: &Start) -> Result<Ensured, SteerError> {
    let end = Instant::now() + PATIENCE;
    let start = absolute(start)?;
    let steer = Steer::new(start.socket.clone());
    let ensured = |started, pid| Ensured { steer: steer.clone(), started, pid };
    if let Look::Serves { pid } = look(&steer).await? {
        return Ok(ensured(false, pid));
    }
    let lock = open_lock(&start.socket)?;
    let mut locked = false;
    loop {
        locked = locked || lock.taken()?;
        match look(&steer).await? {
            Look::Serves { pid } => return Ok(ensured(false, pid)),
            Look::Absent if locked => break,
            Look::Absent => in_time(&start, end, "another process is starting it")?,
            Look::Ends => in_time(&start, end, "the one that is there is ending")?,
        }
        sleep(LOOK).await;
    }
    // Held to the end of this function.
    let _lock = lock;

    let Spawned { number, log_from, mut exited } = spawn(&start)?;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match look(&steer).await? {
            Look::Serves { pid } => return Ok(ensured(pid.is_some() && pid == number, pid)),
            Look::Absent | Look::Ends => in_time(&start, end, "it does not answer yet")?,
        }
        match ended {
            None => tokio::select! {
                status = &mut exited => ended = Some((exit(&start, status)?, Instant::now() + ANOTHER)),
                () = sleep(LOOK) => {}
            },
            Some((status, last)) if Instant::now() >= last => {
                let said = log_end::since(&start.log, log_from);
                let Start { program, socket, log, .. } = start;
                return Err(SteerError::Ended { program, socket, status, log, said });
            }
            Some((_, last)) => sleep_until(last.min(Instant::now() + LOOK)).await,
        }
    }
}

/// What is at the socket.
enum Look {
    Serves {
        pid: Option<u32>,
    },
    /// It takes no connections any more.
    Ends,
    Absent,
}

async fn look(steer: &Steer) -> Result<Look, SteerError> {
    match steer.status_from().await {
        Ok((status, _)) if status.ending => Ok(Look::Ends),
        Ok((_, pid)) => Ok(Look::Serves { pid }),
        Err(SteerError::Absent { .. }) => Ok(Look::Absent),
        // It goes away in this moment.
        Err(SteerError::Broken { .. }) => Ok(Look::Ends),
        Err(SteerError::Refused(Refusal { code: Code::Unknown | Code::Ending, .. })) => Ok(Look::Ends),
        Err(error) => Err(error),
    }
}

fn in_time(start: &Start, end: Instant, why: &str) -> Result<(), SteerError> {
    if Instant::now() < end {
        return Ok(());
    }
    let Start { socket, log, .. } = start;
    Err(SteerError::NotReady { socket: socket.clone(), after: PATIENCE, why: why.to_owned(), log: log.clone() })
}

fn exit(start: &Start, status: Exited) -> Result<ExitStatus, SteerError> {
    match status {
        Ok(Ok(status)) => Ok(status),
        Ok(Err(error)) => Err(cannot(&start.program, format!("how it ended cannot be found out: {error}"))),
        Err(_) => Err(cannot(&start.program, "how it ended cannot be found out: this program is ending".to_owned())),
    }
}

/// It stands elsewhere than we do.
fn absolute(start: &Start) -> Result<Start, SteerError> {
    let Start { program, socket, route_file, log, control_users } = start;
    let of = |path: &Path| std::path::absolute(path).map_err(|error| cannot(path, error.to_string()));
    if route_file.file_name().is_none_or(|name| name != ROUTE_FILE) {
        return Err(cannot(route_file, format!("a proxy calls its route file {ROUTE_FILE}; name it so")));
    }
    Ok(Start {
        program: of(program)?,
        socket: of(socket)?,
        route_file: of(route_file)?,
        log: of(log)?,
        control_users: control_users.clone(),
    })
}

fn cannot(path: &Path, why: String) -> SteerError {
    SteerError::Start { path: path.to_owned(), why }
}

/// The lock of those that start. The system frees it when its holder ends.
struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    fn taken(&self) -> Result<bool, SteerError> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(cannot(&self.path, format!("cannot be locked: {error}"))),
        }
    }
}

fn open_lock(socket: &Path) -> Result<Lock, SteerError> {
    let mut path = socket.as_os_str().to_owned();
    path.push(".starting");
    let path = PathBuf::from(path);
    // Never removed: whoever waits for it would wait for another one than who comes later.
    let file = with_folder(&path, || File::options().create(true).truncate(false).write(true).open(&path));
    match file {
        Ok(file) => Ok(Lock { file, path }),
        Err(error) => Err(cannot(&path, format!("cannot be written: {error}"))),
    }
}

fn with_folder<T>(path: &Path, then: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    then()
}

type Exited = Result<io::Result<ExitStatus>, oneshot::error::RecvError>;

struct Spawned {
    number: Option<u32>,
    /// Where its part of the log begins.
    log_from: u64,
    exited: oneshot::Receiver<io::Result<ExitStatus>>,
}

fn spawn(start: &Start) -> Result<Spawned, SteerError> {
    let Start { program, socket, route_file, log: log_path, control_users } = start;
    let no_log = |error: io::Error| cannot(log_path, format!("cannot be written: {error}"));
    let opened = || File::options().create(true).append(true).mode(0o640).open(log_path);
    let log = with_folder(log_path, opened).map_err(no_log)?;
    let log_from = log.metadata().map_err(no_log)?.len();
    let mut command = Command::new(program);
    command.arg("run").arg("--state-dir").arg(route_file.parent().unwrap_or(Path::new("/")));
    command.arg("--socket").arg(socket);
    for user in control_users {
        command.arg("--control-user").arg(user.to_string());
    }
    // Secrets of the deployer stand in its environment, and words of its service manager that are not meant for the proxy.
    command.env_clear().current_dir("/").process_group(0).stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(no_log)?).stderr(log);
    // Whoever started us may have left descriptors open: a lock of a script would be held for as long as the proxy runs.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let child = command.spawn();
    let mut child = child.map_err(|error| cannot(program, format!("it cannot be run: {error}")))?;
    let number = child.id();
    let (tell, exited) = oneshot::channel();
    // Whoever waited may have gone: it is seen to its end all the same, so that nothing of it is left when it ends.
    tokio::spawn(async move { tell.send(child.wait().await) });
    Ok(Spawned { number, log_from, exited })
}
