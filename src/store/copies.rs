//! Consistent copies of the database: on request, and by itself once a day and before a new schema.
//!
//! A copy is one file, taken by SQLite while others read and write, checked, and only then given its name. Kept copies are
//! numbered, so that their order does not depend on the clock.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};
use time::{OffsetDateTime, macros::format_description};

use super::{Store, StoreError, aside, schema, soundness};

/// The directory of kept copies, beside the database.
const DIRECTORY: &str = "copies";
/// How every file of SQLite begins; see its file format, section 1.3.
const MAGIC: &[u8] = b"SQLite format 3\0";

impl Store {
    /// Keeps a copy beside the database, and no more than `keep` of them. `None` where none are to be kept. Blocks.
    ///
    /// # Errors
    /// The disk is full or cannot be written.
    pub fn keep_copy(&self, keep: usize) -> Result<Option<PathBuf>, StoreError> {
        self::keep(&self.inner.file, keep)
    }

    /// When the newest kept copy was made.
    pub fn last_copy(&self) -> Option<std::time::SystemTime> {
        fs::metadata(newest(&self.inner.file)?).ok()?.modified().ok()
    }
}

/// Copies a database, whether or not a daemon works with it, to a file that its owner alone may read. An earlier copy of
/// that name is replaced. Answers how many deployments are in it.
///
/// # Errors
/// There is no database, the target is another kind of file, the disk is full, or what was copied is damaged.
pub fn back_up(database: &Path, target: &Path) -> Result<usize, StoreError> {
    let fault = |doing, source| StoreError::sqlite(doing, database, source);
    // For writing: of a database at rest, only such a connection takes along what lies beside it when it is closed.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(database, flags).map_err(|error| fault("opening the database", error))?;
    db.busy_timeout(std::time::Duration::from_secs(5)).map_err(|error| fault("opening the database", error))?;
    copy(&db, database, target)
}

/// Keeps one more copy beside the database, and removes the oldest beyond `keep`.
pub(super) fn keep(database: &Path, keep: usize) -> Result<Option<PathBuf>, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(database, flags)
        .map_err(|error| StoreError::sqlite("opening the database", database, error))?;
    keep_of(&db, database, keep)
}

/// Keeps a copy before a database is brought to a new schema, which its former program cannot read.
pub(super) fn before_new_schema(db: &Connection, database: &Path, keep: usize) -> Result<(), StoreError> {
    keep_of(db, database, keep).map(drop)
}

fn keep_of(db: &Connection, database: &Path, keep: usize) -> Result<Option<PathBuf>, StoreError> {
    if keep == 0 {
        return Ok(None);
    }
    let directory = directory(database);
    let fault = |source| StoreError::Io { file: directory.clone(), source };
    let mut make = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
    match make.create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fault(error)),
        _ => {}
    }
    sweep(&directory);
    let kept = kept(database);
    let number = kept.last().map_or(1, |(number, _)| number + 1);
    let format = format_description!("[year]-[month]-[day]");
    let day = OffsetDateTime::now_utc().format(format).unwrap_or_default();
    let target = directory.join(format!("turnout-{number:06}-{day}.db"));
    copy(db, database, &target)?;
    let excess = (kept.len() + 1).saturating_sub(keep);
    for (_, old) in kept.into_iter().take(excess) {
        fs::remove_file(&old).map_err(|source| StoreError::Io { file: old, source })?;
    }
    Ok(Some(target))
}

/// Removes what a daemon that was killed over a copy has left: a copy of another day has another name.
fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let broken_off = |name: &str| name.starts_with("turnout-") && name.contains(".db.new");
        if name.to_str().is_some_and(broken_off) {
            // The copy that is made now tells of a disk that cannot be written.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Kept copies by their numbers, the oldest first.
fn kept(database: &Path) -> Vec<(u64, PathBuf)> {
    let Ok(entries) = fs::read_dir(directory(database)) else { return Vec::new() };
    let numbered = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        let number = name.strip_prefix("turnout-")?.strip_suffix(".db")?.split('-').next()?.parse().ok()?;
        Some((number, path))
    });
    let mut kept: Vec<(u64, PathBuf)> = numbered.collect();
    kept.sort_unstable();
    kept
}

fn directory(database: &Path) -> PathBuf {
    database.with_file_name(DIRECTORY)
}

/// The copy that was kept last.
pub(super) fn newest(database: &Path) -> Option<PathBuf> {
    kept(database).pop().map(|(_, path)| path)
}

/// The newest kept copy that is sound.
pub(super) fn newest_good(database: &Path) -> Option<PathBuf> {
    let sound = |path: &PathBuf| schema::open_reader(path).is_ok_and(|db| is_sound(&db));
    kept(database).into_iter().rev().map(|(_, path)| path).find(sound)
}

/// Whether a copy of whatever schema is sound, as far as it can be told before it is brought to the present one.
fn is_sound(db: &Connection) -> bool {
    match schema::is_present(db) {
        Ok(true) => soundness::check(db).is_ok(),
        Ok(false) => {
            db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).is_ok_and(|ok| ok == "ok")
        }
        Err(_) => false,
    }
}

/// Copies to `target`, by way of a file beside it.
pub(super) fn copy(db: &Connection, database: &Path, target: &Path) -> Result<usize, StoreError> {
    let io_fault = |source| StoreError::Io { file: target.to_path_buf(), source };
    refuse_other(target, database)?;
    let new = aside::with_suffix(target, ".new");
    let made = (|| {
        let _ = fs::remove_file(&new); // of a copy that was broken off
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&new).map_err(io_fault)?;
        let name = new.to_str().ok_or_else(|| io_fault(io::Error::other("the name is not UTF-8")))?;
        let fault = |error| StoreError::sqlite("copying the database", database, error);
        db.execute("VACUUM INTO ?1", [name]).map_err(fault)?;
        file.sync_all().map_err(io_fault)?;
        let copied = schema::open_reader(&new).map_err(fault)?;
        if !is_sound(&copied) {
            return Err(io_fault(io::Error::other("what was copied is damaged; the former copy was left as it is")));
        }
        let count = "SELECT count(*) FROM deployments";
        let count: i64 = copied.query_row(count, [], |row| row.get(0)).map_err(fault)?;
        fs::rename(&new, target).map_err(io_fault)?;
        Ok(usize::try_from(count).unwrap_or(0))
    })();
    if made.is_err() {
        let _ = fs::remove_file(&new);
    }
    made
}

/// A copy takes the place of an earlier one, and of nothing else.
fn refuse_other(target: &Path, database: &Path) -> Result<(), StoreError> {
    use std::io::Read as _;
    let refused = |what: &str| {
        let what = format!("{what}; name another file for the copy");
        Err(StoreError::Io { file: target.to_path_buf(), source: io::Error::other(what) })
    };
    let Ok(meta) = fs::metadata(target) else { return Ok(()) };
    if !meta.is_file() {
        return refused("it is there already and no file");
    }
    if fs::canonicalize(target).ok() == fs::canonicalize(database).ok() {
        return refused("it is the database itself");
    }
    let mut begin = Vec::new();
    let read = fs::File::open(target).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut begin));
    match read {
        Ok(_) if begin.is_empty() || begin == MAGIC => Ok(()),
        _ => refused("it is there already and no copy of a database"),
    }
}
