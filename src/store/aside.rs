//! Names of files beside the database, and databases that are put aside under one.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use time::{OffsetDateTime, macros::format_description};

use super::error::StoreError;

/// Renames a database and its companions to `NAME.WORD-TIME`.
pub(super) fn set_aside(file: &Path, word: &str) -> Result<PathBuf, StoreError> {
    let fault = |source| StoreError::Io { file: file.to_path_buf(), source };
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let time = OffsetDateTime::now_utc().format(format).unwrap_or_default();
    let free = (1..).map(|number| match number {
        1 => with_suffix(file, &format!(".{word}-{time}")),
        number => with_suffix(file, &format!(".{word}-{time}-{number}")),
    });
    let aside = free.into_iter().find(|aside| !aside.exists()).unwrap_or_else(|| with_suffix(file, ".aside"));
    for companion in ["-wal", "-shm"] {
        let from = with_suffix(file, companion);
        if from.exists() {
            fs::rename(&from, with_suffix(&aside, companion)).map_err(fault)?;
        }
    }
    fs::rename(file, &aside).map_err(fault)?;
    Ok(aside)
}

/// The name of a file beside another, which has its name and more.
pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    PathBuf::from(name)
}

/// The damaged database that was put aside last and that nothing has taken the place of.
pub(super) fn newest_damaged(file: &Path) -> Option<PathBuf> {
    let prefix = format!("{}.damaged-", file.file_name()?.to_str()?);
    let entries = fs::read_dir(file.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(&prefix) && !name.ends_with("-wal") && !name.ends_with("-shm"))
    };
    entries.filter(is_one).max()
}
