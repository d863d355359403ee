//! The deployer's side: asks the helper for rules, and for their end.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    process::Command,
    time::timeout,
};

use crate::message::{Answer, BYTES, Lead, Open, Request, VERSION};

/// How long an answer may take: some twenty short programs, each of which may wait for others that write rules.
const PATIENCE: Duration = Duration::from_secs(30);
/// The subcommand of the helper's program.
const COMMAND: &str = "redirect";

/// Asks the helper, for one daemon of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    /// Who is asked.
    pub by: By,
    /// By what the daemon's rules are told from those of others: letters and digits, at most 16.
    pub daemon: String,
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A service manager listens for it there.
    Socket(PathBuf),
    /// This program is started, and has the rights of whoever starts it.
    Program(PathBuf),
}

/// The helper did not do what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NatError {
    /// There is none.
    #[error("{whom}: {why}")]
    Absent {
        /// Its socket, or its program.
        whom: String,
        /// Why it cannot be asked.
        why: String,
    },
    /// It refused, or could not.
    #[error("{0}")]
    Refused(String),
    /// It said nothing that is understood.
    #[error("{whom} gave no answer that is understood: {why}")]
    Answer {
        /// Its socket, or its program.
        whom: String,
        /// What was wrong.
        why: String,
    },
}

impl Helper {
    /// A repository's new connections are led so from now on. What could not be led, and why.
    ///
    /// # Errors
    /// See [`NatError`]; nothing is led then.
    pub async fn set(&self, repository: &str, leads: &[Lead]) -> Result<Vec<String>, NatError> {
        let request = Request::Set {
            version: VERSION,
            repository: repository.to_owned(),
            daemon: Some(self.daemon.clone()),
            leads: leads.to_vec(),
        };
        match self.ask(&request).await? {
            Answer::Done { without } => Ok(without),
            other => Err(self.other(&other)),
        }
    }

    /// None of them is led any more. Those that were stay so until they end; what that takes of IPv6 goes with [`Helper::forget`].
    ///
    /// # Errors
    /// See [`NatError`].
    pub async fn clear(&self, repository: &str) -> Result<(), NatError> {
        let request =
            Request::Clear { version: VERSION, repository: repository.to_owned(), daemon: Some(self.daemon.clone()) };
        match self.ask(&request).await? {
            Answer::Done { .. } => Ok(()),
            other => Err(self.other(&other)),
        }
    }

    /// Removes what was left for connections that were led, where those have ended. Answers what is left still, by repository.
    ///
    /// # Errors
    /// See [`NatError`].
    pub async fn forget(&self) -> Result<Vec<(String, Lead)>, NatError> {
        match self.ask(&Request::Forget { version: VERSION, daemon: Some(self.daemon.clone()) }).await? {
            Answer::Leads { leads } => Ok(leads),
            other => Err(self.other(&other)),
        }
    }

    /// What is led now, by repository.
    ///
    /// # Errors
    /// See [`NatError`]. Where this works, [`Helper::set`] has what it needs.
    pub async fn list(&self) -> Result<Vec<(String, Lead)>, NatError> {
        match self.ask(&Request::List { version: VERSION, daemon: Some(self.daemon.clone()) }).await? {
            Answer::Leads { leads } => Ok(leads),
            other => Err(self.other(&other)),
        }
    }

    /// Connections that are open there; `None` where the kernel does not say.
    ///
    /// # Errors
    /// See [`NatError`].
    pub async fn open(&self, leads: &[Lead]) -> Result<Option<Open>, NatError> {
        match self.ask(&Request::Open { version: VERSION, leads: leads.to_vec() }).await? {
            Answer::Open { open } => Ok(open),
            other => Err(self.other(&other)),
        }
    }

    async fn ask(&self, request: &Request) -> Result<Answer, NatError> {
        let wrong = |why: String| NatError::Answer { whom: self.whom(), why };
        let mut line = serde_json::to_vec(request).map_err(|error| wrong(error.to_string()))?;
        line.push(b'\n');
        let answered = async {
            match &self.by {
                By::Socket(path) => {
                    let stream = UnixStream::connect(path).await.map_err(|error| self.absent(&error))?;
                    let (read, write) = stream.into_split();
                    talk(read, write, &line).await.map_err(|error| wrong(error.to_string()))
                }
                By::Program(path) => self.started(path, &line).await,
            }
        };
        let text = timeout(PATIENCE, answered)
            .await
            .map_err(|_| wrong(format!("none came within {} s", PATIENCE.as_secs())))??;
        match serde_json::from_slice(&text) {
            Ok(Answer::Refused { message }) => Err(NatError::Refused(message)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    async fn started(&self, path: &Path, line: &[u8]) -> Result<Vec<u8>, NatError> {
        let wrong = |why: String| NatError::Answer { whom: self.whom(), why };
        let mut command = Command::new(path);
        command
            .arg(COMMAND)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| self.absent(&error))?;
        let (Some(write), Some(read)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(wrong("it has no pipes".to_owned()));
        };
        let text = talk(read, write, line).await.map_err(|error| wrong(error.to_string()))?;
        let _ = child.wait().await;
        Ok(text)
    }

    fn absent(&self, error: &std::io::Error) -> NatError {
        NatError::Absent { whom: self.whom(), why: error.to_string() }
    }

    fn other(&self, answer: &Answer) -> NatError {
        NatError::Answer { whom: self.whom(), why: format!("it is one of another kind: {answer:?}") }
    }

    fn whom(&self) -> String {
        match &self.by {
            By::Socket(path) => path.display().to_string(),
            By::Program(path) => format!("{} {COMMAND}", path.display()),
        }
    }
}

async fn talk(
    read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    line: &[u8],
) -> std::io::Result<Vec<u8>> {
    write.write_all(line).await?;
    write.shutdown().await?;
    let mut text = Vec::new();
    BufReader::new(read.take(BYTES as u64)).read_until(b'\n', &mut text).await?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let helper = |by| Helper { by, daemon: "0a1b2c3d".to_owned() };
        let socket = helper(By::Socket(folder.path().join("none.sock")));
        let told = socket.list().await.unwrap_err().to_string();
        assert!(told.contains("none.sock") && told.contains("No such file"), "{told}");
        let program = helper(By::Program(folder.path().join("none")));
        let told = program.clear("shop").await.unwrap_err().to_string();
        assert!(told.contains("none redirect") && told.contains("No such file"), "{told}");
        // A program that says something else.
        let told = helper(By::Program("/bin/echo".into())).list().await.unwrap_err().to_string();
        assert!(told.contains("gave no answer that is understood"), "{told}");
    }
}
