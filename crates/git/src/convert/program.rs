//! Starts the program of a filter so that it can be stopped with all that it started.

use std::{path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::error::clean;

/// What a program may write for one file, in bytes. Limits memory.
pub(super) const MOST_OUTPUT: u64 = 1024 * 1024 * 1024;
/// Of what a program says on its standard error, the end is kept, in bytes.
const MOST_WORDS: usize = 2048;
/// What a program finds in its environment, where the daemon has it: its own way, not the daemon's secrets.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "GNUPGHOME",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// A running program. Killed with its process group when dropped before its end.
pub(super) struct Program {
    pub(super) child: Child,
    words: Option<JoinHandle<Vec<u8>>>,
    group: Group,
}

impl Program {
    /// Starts a command line as git does: by the shell, at the top of the work tree.
    pub(super) fn start(command: &str, top: &Path, git_dir: &Path) -> std::io::Result<Self> {
        let mut start = Command::new("/bin/sh");
        start.arg("-c").arg(command).current_dir(top).env_clear();
        start.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        start.env("GIT_DIR", git_dir).env("GIT_WORK_TREE", top).env("GIT_TERMINAL_PROMPT", "0");
        start.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = start.process_group(0).kill_on_drop(true).spawn()?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let words = child.stderr.take().map(|mut from| {
            tokio::spawn(async move {
                let mut end = Vec::new();
                let mut chunk = vec![0; 4096];
                while let Ok(length @ 1..) = from.read(&mut chunk).await {
                    end.extend_from_slice(chunk.get(..length).unwrap_or_default());
                    let over = end.len().saturating_sub(MOST_WORDS);
                    end.drain(..over);
                }
                end
            })
        });
        Ok(Self { child, words, group })
    }

    /// Waits for the end. Gives what it said, fit to be shown, if it failed.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        drop(self.child.stdin.take());
        let status = self.child.wait().await.map_err(|error| error.to_string())?;
        if status.success() {
            self.group.0 = None;
            return Ok(());
        }
        let words = self.words().await;
        Err(if words.is_empty() {
            format!("it ended with {status}")
        } else {
            format!("it ended with {status}: {words}")
        })
    }

    /// What it said on its standard error, on one line. Ends the program.
    pub(super) async fn words(&mut self) -> String {
        self.group.kill();
        let words = match self.words.take() {
            Some(words) => words.await.unwrap_or_default(),
            None => Vec::new(),
        };
        let text = String::from_utf8_lossy(&words);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        clean(&lines.collect::<Vec<_>>().join("; "))
    }
}

/// All that a program started, as far as it stayed in its process group.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Passes bytes through a program that handles one file.
pub(super) async fn pass(command: &str, input: &[u8], top: &Path, git_dir: &Path) -> Result<Vec<u8>, String> {
    let mut program =
        Program::start(command, top, git_dir).map_err(|error| format!("it cannot be started: {error}"))?;
    let (Some(mut to), Some(from)) = (program.child.stdin.take(), program.child.stdout.take()) else {
        return Err("it has no pipes".to_owned());
    };
    let mut output = Vec::new();
    let write = async move {
        // A program need not read all it is given; git takes that for no fault either.
        let _ = to.write_all(input).await;
    };
    let mut limited = from.take(MOST_OUTPUT + 1);
    let (_, read) = tokio::join!(write, limited.read_to_end(&mut output));
    read.map_err(|error| format!("its output cannot be read: {error}"))?;
    if output.len() as u64 > MOST_OUTPUT {
        return Err(format!("it writes more than {MOST_OUTPUT} bytes"));
    }
    program.end().await?;
    Ok(output)
}
