//! Filter drivers: the programs that git's configuration names for `filter=` in `.gitattributes`.

use std::{collections::HashMap, path::PathBuf};

use git2::{Config, Oid, Repository};

use super::{
    attributes::as_path,
    process::{Fault, Process, Way},
    program,
};
use crate::{error::GitError, session::Session};
use turnout_report::Event;

/// A driver as it is configured. Commands that are empty count as none, as for git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Driver {
    name: String,
    clean: Option<String>,
    smudge: Option<String>,
    process: Option<String>,
    required: bool,
}

impl Driver {
    /// The driver of this name, if the configuration has one.
    pub(super) fn named(config: &Config, name: &str) -> Option<Self> {
        let text = |key: &str| config.get_string(&format!("filter.{name}.{key}")).ok();
        let required = config.get_bool(&format!("filter.{name}.required"));
        let (clean, smudge, process) = (text("clean"), text("smudge"), text("process"));
        if clean.is_none() && smudge.is_none() && process.is_none() && required.is_err() {
            return None;
        }
        let some = |command: Option<String>| command.filter(|command| !command.is_empty());
        Some(Self {
            name: name.to_owned(),
            clean: some(clean),
            smudge: some(smudge),
            process: some(process),
            required: required.unwrap_or(false),
        })
    }

    /// Whether git stops at a file because the driver must be there for it and is not.
    pub(super) fn is_lacking(&self, way: Way) -> bool {
        self.required && self.process.is_none() && self.single(way).is_none()
    }

    /// Whether there is a program for this way.
    pub(super) fn offers(&self, way: Way) -> bool {
        self.process.is_some() || self.single(way).is_some()
    }

    fn single(&self, way: Way) -> Option<&str> {
        match way {
            Way::Clean => self.clean.as_deref(),
            Way::Smudge => self.smudge.as_deref(),
        }
    }
}

/// Runs drivers for one check-out.
pub(super) struct Programs<'r> {
    session: &'r Session,
    top: PathBuf,
    git_dir: PathBuf,
    running: HashMap<String, Process>,
}

impl<'r> Programs<'r> {
    pub(super) fn new(repo: &Repository, session: &'r Session) -> Self {
        let absolute = |path: &std::path::Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            session,
            top: absolute(repo.workdir().unwrap_or(&session.remote.path)),
            git_dir: absolute(repo.path()),
            running: HashMap::new(),
        }
    }

    /// Passes bytes through the driver. None where it has nothing for this way, or failed and is not required: then the
    /// bytes stay as they are, which is told.
    pub(super) fn pass(
        &mut self,
        driver: &Driver,
        way: Way,
        path: &[u8],
        blob: Option<Oid>,
        input: &[u8],
    ) -> Result<Option<Vec<u8>>, GitError> {
        let reason = match self.attempt(driver, way, path, blob, input)? {
            Ok(None) if driver.required => {
                format!("it does not offer {}, and filter.{}.required is set", way.word(), driver.name)
            }
            Ok(output) => return Ok(output),
            Err(reason) => reason,
        };
        let shown = as_path(path).display().to_string();
        if driver.required {
            let path = self.session.remote.path.clone();
            return Err(GitError::Filter { path, file: shown, filter: driver.name.clone(), way: way.word(), reason });
        }
        let text = format!(
            "{shown} stays as it is stored: the {} program of filter {} failed ({reason}); git goes on here, too, as \
             filter.{}.required is not set",
            way.word(),
            driver.name,
            driver.name
        );
        self.session.tell(Event::Warning { text });
        Ok(None)
    }

    fn attempt(
        &mut self,
        driver: &Driver,
        way: Way,
        path: &[u8],
        blob: Option<Oid>,
        input: &[u8],
    ) -> Result<Result<Option<Vec<u8>>, String>, GitError> {
        let Self { session, top, git_dir, running } = self;
        // A program for many files goes before those for single ones.
        let Some(command) = &driver.process else {
            let Some(command) = driver.single(way) else { return Ok(Ok(None)) };
            let command = with_path(command, path);
            return Ok(session.wait_for(program::pass(&command, input, top, git_dir))?.map(Some));
        };
        let mut process = match running.remove(command) {
            Some(process) => process,
            None => match session.wait_for(Process::start(command, top, git_dir))? {
                Ok(process) => process,
                Err(reason) => return Ok(Err(reason)),
            },
        };
        let (path, blob) = (String::from_utf8_lossy(path), blob.map(|blob| blob.to_string()));
        let passed = session.wait_for(process.pass(way, &path, blob.as_deref(), input))?;
        Ok(match passed {
            Ok(output) => {
                running.insert(command.clone(), process);
                Ok(output)
            }
            Err(Fault::File(reason)) => {
                running.insert(command.clone(), process);
                Err(reason)
            }
            Err(Fault::Program(reason)) => Err(reason),
        })
    }
}

impl Drop for Programs<'_> {
    fn drop(&mut self) {
        for (_, process) in self.running.drain() {
            // Stopped in the middle when the time is up; then its group is killed.
            let _ = self.session.wait_for(process.finish());
        }
    }
}

/// The command with the file's name in the place of `%f`, safe for the shell.
fn with_path(command: &str, path: &[u8]) -> String {
    let quoted = format!("'{}'", String::from_utf8_lossy(path).replace('\'', "'\\''").replace('!', "'\\!'"));
    command.replace("%f", &quoted)
}
