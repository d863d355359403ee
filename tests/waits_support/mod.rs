//! An engine that hangs at one call: the real one, behind a door that lets everything through but what it was told to hold.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure is the report")]

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use crate::common::{PATIENCE, wait_until};

/// How a call hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hang {
    /// The engine is never asked.
    Before,
    /// The engine does it; nothing of its answer comes back.
    After,
    /// The answer begins: its head comes back, and nothing of its body.
    Amid,
}

/// Which calls hang: those with this method whose path has all of these words.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub method: &'static str,
    pub path: &'static [&'static str],
    pub hang: Hang,
}

impl Call {
    fn is(&self, head: &str) -> bool {
        let Some((method, rest)) = head.split_once(' ') else { return false };
        // Of the path alone: the query has filters, which name anything.
        let path = rest.split(['?', ' ']).next().unwrap_or_default();
        method == self.method && self.path.iter().all(|word| path.contains(word))
    }
}

#[derive(Default)]
struct State {
    hanging: Option<Call>,
    /// Such calls that still come through.
    passing: usize,
    caught: usize,
    open: Vec<UnixStream>,
    /// Whom it connects to; nobody while it is shut.
    shut: bool,
}

/// The door. Its connections end with the test process.
pub struct Door {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
    _home: tempfile::TempDir,
}

impl Door {
    /// A door to the engine under test that holds nothing.
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let door = Self { socket: home.path().join("docker.sock"), state: Arc::default(), _home: home };
        door.listen();
        door
    }

    /// For `--docker-host`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// From now on these calls hang.
    pub fn hang(&self, call: Call) {
        self.hang_after(0, call);
    }

    /// The same, after so many that come through.
    pub fn hang_after(&self, passing: usize, call: Call) {
        let mut state = self.state.lock().unwrap();
        (state.hanging, state.passing, state.caught) = (Some(call), passing, 0);
    }

    /// Waits until such a call came.
    pub fn wait_caught(&self) {
        wait_until("the call that is to hang", PATIENCE, || match self.state.lock().unwrap().caught {
            0 => Err("it did not come"),
            _ => Ok(()),
        });
    }

    /// How many came.
    pub fn caught(&self) -> usize {
        self.state.lock().unwrap().caught
    }

    /// Nothing hangs any more; what hung is hung up.
    pub fn release(&self) {
        let mut state = self.state.lock().unwrap();
        state.hanging = None;
        Self::hang_up(&mut state);
    }

    /// Ends all connections and takes no more, as an engine that dies.
    pub fn shut(&self) {
        fs::remove_file(&self.socket).unwrap();
        let mut state = self.state.lock().unwrap();
        state.shut = true;
        Self::hang_up(&mut state);
    }

    /// Takes connections again, as an engine that is back.
    pub fn reopen(&self) {
        self.state.lock().unwrap().shut = false;
        self.listen();
    }

    fn hang_up(state: &mut State) {
        for stream in state.open.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    fn listen(&self) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        let state = Arc::clone(&self.state);
        thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                if state.lock().unwrap().shut {
                    continue;
                }
                let state = Arc::clone(&state);
                thread::spawn(move || serve(near, &state));
            }
        });
    }
}

/// One connection, which carries one request: the daemon opens one for each.
fn serve(mut near: UnixStream, state: &Mutex<State>) -> Option<()> {
    let mut far = UnixStream::connect(engine()).ok()?;
    state.lock().unwrap().open.extend([near.try_clone().ok()?, far.try_clone().ok()?]);
    let head = head(&mut near)?;
    let hang = {
        let mut state = state.lock().unwrap();
        let mut hang = state.hanging.filter(|call| call.is(&String::from_utf8_lossy(&head))).map(|call| call.hang);
        if hang.is_some() && state.passing > 0 {
            (state.passing, hang) = (state.passing - 1, None);
        }
        state.caught += usize::from(hang.is_some());
        hang
    };
    if hang == Some(Hang::Before) {
        // Read on, so that a body goes somewhere; it ends when either side hangs up.
        io::copy(&mut near, &mut io::sink()).ok();
        return None;
    }
    far.write_all(&head).ok()?;
    let (mut from, mut to) = (near.try_clone().ok()?, far.try_clone().ok()?);
    thread::spawn(move || {
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
    match hang {
        None => {
            io::copy(&mut far, &mut near).ok();
            near.shutdown(Shutdown::Write).ok();
        }
        Some(how) => {
            let answer = self::head(&mut far)?;
            if how == Hang::Amid {
                near.write_all(&answer).ok()?;
            }
            io::copy(&mut far, &mut io::sink()).ok();
            // The far end may be done; the near one is to wait nonetheless.
            io::copy(&mut near, &mut io::sink()).ok();
        }
    }
    Some(())
}

/// All up to the empty line.
fn head(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(head)
}

fn engine() -> String {
    let host = std::env::var("DOCKER_HOST").ok();
    let path = host.and_then(|host| host.strip_prefix("unix://").map(str::to_owned));
    path.unwrap_or_else(|| "/var/run/docker.sock".to_owned())
}
