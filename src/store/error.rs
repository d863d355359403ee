//! What can go wrong with the store.
#![allow(missing_docs, reason = "a field is what the message of its variant names; where it is more, that is said")]

use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::files;

/// What went wrong with the store. Nothing that was acknowledged is lost by any of these.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("{doing}: the disk that holds {file} is full; nothing was recorded (free some space, then send it again)", file = file.display())]
    Full { doing: &'static str, file: PathBuf },
    /// Another process holds the database.
    #[error("{} is in use by another turnout; stop it first (is the service running?)", .0.display())]
    InUse(PathBuf),
    /// The database was made by a newer version.
    #[error("{file} has schema {found}, this turnout knows up to {known}; it was made by a newer version, install that one", file = file.display())]
    Newer {
        file: PathBuf,
        /// The schema that the file has.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// Another user's database.
    #[error("{doing}: {file} may not be read: {whose}", file = file.display())]
    Anothers {
        doing: &'static str,
        file: PathBuf,
        /// Whose it is, and as whom to ask.
        whose: String,
    },
    /// The file or its directory cannot be used.
    #[error("{}: {source} ({})", file.display(), advice(source, file))]
    Io {
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database was found damaged at the start, and put aside.
    #[error("{file} is damaged: {what}. It was put aside as {aside}; {way_back}. `turnout restore --empty` begins without a history, and without its holds", file = file.display(), aside = aside.display())]
    Damaged {
        file: PathBuf,
        /// What it is called now.
        aside: PathBuf,
        /// What SQLite finds wrong.
        what: String,
        /// Which copy there is, and how it is restored.
        way_back: String,
    },
    /// The database was found damaged while it was in use.
    #[error("{} is damaged; nothing is recorded any more. The next start of turnout looks at it and says what to do", .0.display())]
    Broken(PathBuf),
    /// SQLite's own complaint.
    #[error("{doing}: {source} (database {file})", file = file.display())]
    Sqlite { doing: &'static str, file: PathBuf, source: rusqlite::Error },
    /// The writer has ended: the daemon is shutting down.
    #[error("the store is closed: the daemon is shutting down")]
    Closed,
}

impl StoreError {
    /// Sorts a complaint of the system.
    pub(super) fn io(file: &Path, source: std::io::Error) -> StoreError {
        let file = file.to_path_buf();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                StoreError::Full { doing: "opening the database", file }
            }
            _ => StoreError::Io { file, source },
        }
    }

    /// Sorts a complaint of SQLite.
    pub(super) fn sqlite(doing: &'static str, file: &Path, source: rusqlite::Error) -> StoreError {
        let file = file.to_path_buf();
        match &source {
            rusqlite::Error::SqliteFailure(error, _)
                // The index of the write-ahead log cannot grow: the same full disk, told otherwise.
                if error.code == ErrorCode::DiskFull
                    || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
                    || (error.code == ErrorCode::CannotOpen && lacks_inodes(&file)) =>
            {
                StoreError::Full { doing, file }
            }
            rusqlite::Error::SqliteFailure(..) => match anothers(&file) {
                Some(whose) => StoreError::Anothers { doing, file, whose },
                None => StoreError::Sqlite { doing, file, source },
            },
            _ => StoreError::Sqlite { doing, file, source },
        }
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Full { .. })
    }
}

/// Whether no file can be made beside this one any more: SQLite says only that it cannot open the log of writes. A file
/// system that counts none says zero of zero.
fn lacks_inodes(file: &Path) -> bool {
    rustix::fs::statvfs(file.parent().unwrap_or(file)).is_ok_and(|found| found.f_files > 0 && found.f_favail == 0)
}

/// What to do where a file of the store cannot be used.
fn advice(error: &std::io::Error, file: &Path) -> String {
    let usual = || "the daemon's user needs write access to the directory".to_owned();
    files::anothers(error, file).unwrap_or_else(usual)
}

/// Whose a database is that this user may not read. SQLite says only that it cannot open it.
fn anothers(file: &Path) -> Option<String> {
    let error = accessat(CWD, file, Access::READ_OK, AtFlags::EACCESS).err()?;
    files::anothers(&error.into(), file)
}

/// Whether there is a database. One that may not be looked for is not one that is not there.
pub(super) fn there_is(file: &Path, doing: &'static str) -> Result<bool, StoreError> {
    file.try_exists().map_err(|error| match files::anothers(&error, file) {
        Some(whose) => StoreError::Anothers { doing, file: file.to_path_buf(), whose },
        None => StoreError::Io { file: file.to_path_buf(), source: error },
    })
}
