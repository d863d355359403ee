//! Puts a copy in the place of the database, while no daemon works with it. The former database is kept beside it under
//! a telling name.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params};

use super::{
    DeploymentId, Millis, State, StoreError, aside, clock, copies,
    deployments::{end_phase, ended},
    rollouts, schema, soundness,
};

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Deployments in it.
    pub deployments: usize,
    /// Those that were queued or under way when the copy was made. They are not begun again.
    pub unfinished: usize,
    /// The former database, under its new name.
    pub former: Option<PathBuf>,
}

/// Restores the database from a copy, or as an empty one where there is none.
///
/// # Errors
/// A daemon works with it, the copy is damaged or of a newer version, or the disk cannot be written. The present database
/// is left as it is then.
pub fn restore(database: &Path, from: Option<&Path>) -> Result<Restored, StoreError> {
    let _lock = schema::lock(database)?;
    let new = aside::with_suffix(database, ".restored");
    for left in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(aside::with_suffix(&new, left)); // of one that was broken off
    }
    if let Some(from) = from {
        let fault = |error| StoreError::sqlite("reading the copy", from, error);
        let copy = schema::open_reader(from).map_err(fault)?;
        copies::copy(&copy, from, &new)?;
    }
    let db = schema::open(&new, |_| Ok(()))?;
    let fault = |error| StoreError::sqlite("checking the copy", from.unwrap_or(database), error);
    let deployments = soundness::check(&db).map_err(fault)?;
    // What they wanted may be long past; that it is wanted is still known, and told by `turnout status`.
    let begun = db.unchecked_transaction().map_err(fault)?;
    let unfinished = unfinished(&begun, clock::wall()).map_err(fault)?;
    begun.commit().map_err(fault)?;
    // One file: closing it takes in what lies beside it.
    db.close().map_err(|(_, error)| fault(error))?;
    let former = match database.exists() {
        true => Some(aside::set_aside(database, "before-restore")?),
        false => None,
    };
    let io_fault = |source| StoreError::Io { file: database.to_path_buf(), source };
    fs::rename(&new, database).map_err(io_fault)?;
    give_to_owner(database).map_err(io_fault)?;
    Ok(Restored { deployments, unfinished, former })
}

/// Ends what had not ended. Answers how many.
fn unfinished(db: &Connection, at: Millis) -> rusqlite::Result<usize> {
    const WHY: &str = "not finished when the copy was made from which the database was restored; not repeated";
    let mut end = db.prepare(
        "UPDATE deployments SET state = 'interrupted', ended_at = ?1, error = ?2 WHERE state IN ('queued', 'running')
         RETURNING id",
    )?;
    let ids = end.query_map(params![at, WHY], |row| row.get(0))?.collect::<rusqlite::Result<Vec<DeploymentId>>>()?;
    for id in &ids {
        end_phase(db, *id, at)?;
        rollouts::end(db, *id, None, at)?;
        ended(db, at, *id, State::Interrupted, Some(WHY.to_owned()))?;
    }
    Ok(ids.len())
}

/// Run by root, the files are still the daemon's: whoever owns the directory.
fn give_to_owner(database: &Path) -> io::Result<()> {
    let Some(directory) = database.parent() else { return Ok(()) };
    let owner = fs::metadata(directory)?;
    for file in [database.to_path_buf(), database.with_extension("lock")] {
        let meta = fs::metadata(&file)?;
        if (meta.uid(), meta.gid()) != (owner.uid(), owner.gid()) {
            chown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    fs::File::open(directory)?.sync_all()
}
