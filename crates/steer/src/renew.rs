//! Another process of the proxy takes over, where no service manager sees to that: after an upgrade.

use std::{os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use turnout_traffic::control::{Answer, Code, Refusal, Request};

use crate::{Steer, SteerError, program::NAME, wire};

/// How long it may take: the proxy gives the new process fifteen seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which file on the disk a program is; after an upgrade it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramFile {
    device: u64,
    number: u64,
}

impl ProgramFile {
    /// The file at this path. `None`: there is none, or it cannot be looked at.
    pub fn at(path: &Path) -> Option<ProgramFile> {
        let meta = std::fs::metadata(path).ok()?;
        Some(ProgramFile { device: meta.dev(), number: meta.ino() })
    }

    /// The one that a process of turnout-proxy was started from, also where it was replaced since. Of a socket that a service
    /// manager opened, that is at the other end.
    pub fn of_process(pid: u32) -> Option<ProgramFile> {
        let program = Path::new("/proc").join(pid.to_string()).join("exe");
        let path = std::fs::read_link(&program).ok()?;
        let name = path.file_name()?.to_str()?;
        // The kernel says so where the file was replaced.
        let own = name.strip_suffix(" (deleted)").unwrap_or(name) == NAME;
        own.then(|| ProgramFile::at(&program)).flatten()
    }
}

impl Steer {
    /// The program of the process that answers. `None`: it cannot be told, as of another user's process.
    ///
    /// # Errors
    /// See [`SteerError`].
    pub async fn program(&self) -> Result<Option<ProgramFile>, SteerError> {
        let (_, pid) = self.status_from().await?;
        Ok(pid.and_then(ProgramFile::of_process))
    }

    /// Has a new process take over, from the path that the present one was started from: what comes is served by the new one, and
    /// the present one ends when its open connections have. `false`: this proxy is older than the question.
    ///
    /// # Errors
    /// See [`SteerError`]. The present one serves on then.
    pub async fn renew(&self) -> Result<bool, SteerError> {
        match wire::ask(self.socket(), &Request::Renew, "renew", PATIENCE).await {
            Ok(answered) => match answered.answer {
                Answer::Done { .. } => Ok(true),
                answer => Err(self.other("renew", &answer)),
            },
            Err(SteerError::Refused(Refusal { code: Code::Malformed, .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
