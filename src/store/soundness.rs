//! Whether a database is sound: SQLite's own check, and that what is in it can be read. And what is done with one that is
//! not: it is put aside, never written over, and nothing begins until somebody has chosen the way back.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode};
use time::{OffsetDateTime, macros::format_description};

use super::{StoreError, copies, queries, schema};

/// Complaints of SQLite's check that are told; one damaged page has many.
const TOLD: usize = 3;
/// Tables whose rows are read one by one; logs, phases and events are many, and nothing depends on them.
const READ: [&str; 9] =
    ["deliveries", "successes", "reads", "holds", "places", "wanted", "rollouts", "cursors", "outbox"];

/// Whether this complaint means that the file itself is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    match error {
        rusqlite::Error::SqliteFailure(error, _) => {
            matches!(error.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..) => true,
        _ => false,
    }
}

/// Checks an open database of the present schema. Answers how many deployments are in it.
///
/// # Errors
/// The complaint, of which [`is_damage`] tells whether it is one of the file.
pub(super) fn check(db: &Connection) -> rusqlite::Result<usize> {
    let mut complaints: Vec<String> = Vec::new();
    let mut checked = db.prepare(&format!("PRAGMA quick_check({TOLD})"))?;
    let mut rows = checked.query([])?;
    while let Some(row) = rows.next()? {
        complaints.push(row.get(0)?);
    }
    if complaints != ["ok"] {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(complaints.join("; ").replace('\n', " ")),
        ));
    }
    for table in READ {
        let mut all = db.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = all.column_count();
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            (0..columns).try_for_each(|column| row.get_ref(column).map(drop))?;
        }
    }
    queries::all_readable(db)
}

/// Opens the database for the daemon, checked; a copy is kept of one that is going to be brought to a new schema. One that
/// is damaged is put aside.
pub(super) fn open(file: &Path, keep: usize) -> Result<Connection, StoreError> {
    let size = fs::metadata(file).ok().map(|meta| meta.len());
    match size {
        None => {
            if let Some(aside) = newest_aside(file) {
                return Err(damaged(file, aside, "it was found damaged at an earlier start".to_owned()));
            }
        }
        Some(0) if copies::newest(file).is_some() => {
            return Err(put_aside(file, "it is empty".to_owned()));
        }
        Some(_) => {}
    }
    let opened = schema::open(file, |db| copies::before_new_schema(db, file, keep));
    let checked = opened.and_then(|db| match check(&db) {
        Ok(_) => Ok(db),
        Err(error) => Err(StoreError::sqlite("checking the database", file, error)),
    });
    match checked {
        Err(StoreError::Sqlite { source, .. }) if is_damage(&source) => Err(put_aside(file, source.to_string())),
        checked => checked,
    }
}

/// What the daemon's next start would find wrong with its database, in words. Changes nothing, and says nothing of one that
/// cannot be looked at.
pub fn foreseen(file: &Path) -> Option<String> {
    let found = match fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let aside = newest_aside(file)?;
            return Some(damaged(file, aside, "it was found damaged at an earlier start".to_owned()).to_string());
        }
        Err(_) => return None,
        Ok(meta) if meta.len() == 0 => copies::newest(file).map(|_| "it is empty".to_owned()),
        Ok(_) => match schema::open_reader(file).and_then(|db| check(&db)) {
            Err(error) if is_damage(&error) => Some(error.to_string()),
            // Of an older form, or busy: the start sees to it.
            _ => None,
        },
    };
    Some(format!(
        "{} is damaged: {}. turnout does not start with it: a start puts it aside; {}",
        file.display(),
        found?,
        way_back(file)
    ))
}

/// Gives the database, with what SQLite has beside it, a telling name.
fn put_aside(file: &Path, what: String) -> StoreError {
    match set_aside(file, "damaged") {
        Ok(aside) => damaged(file, aside, what),
        Err(error) => error,
    }
}

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

pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    PathBuf::from(name)
}

/// The damaged database that was put aside last and that nothing has taken the place of.
fn newest_aside(file: &Path) -> Option<PathBuf> {
    let prefix = format!("{}.damaged-", file.file_name()?.to_str()?);
    let entries = fs::read_dir(file.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(&prefix) && !name.ends_with("-wal") && !name.ends_with("-shm"))
    };
    entries.filter(is_one).max()
}

fn damaged(file: &Path, aside: PathBuf, what: String) -> StoreError {
    StoreError::Damaged { file: file.to_path_buf(), aside, what, way_back: way_back(file) }
}

fn way_back(file: &Path) -> String {
    match copies::newest_good(file) {
        Some(copy) => format!(
            "the newest good copy is {copy}: `turnout restore {copy}`, then start it again",
            copy = copy.display()
        ),
        None => "there is no copy of it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Overwrites the middle of every page but the first.
    fn scribble(file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        let pages = bytes.chunks_mut(4096).skip(1);
        pages.for_each(|page| page.fill(0xa5));
        fs::write(file, bytes).unwrap();
    }

    #[test]
    fn a_damaged_database_is_put_aside_and_nothing_begins_until_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("turnout.db");
        drop(open(&file, 2).unwrap());
        let copy = copies::keep(&file, 2).unwrap().unwrap();
        assert_eq!(foreseen(&file), None);
        scribble(&file);
        // To look changes nothing.
        let said = foreseen(&file).unwrap();
        assert!(file.exists() && said.contains("is damaged") && said.contains(copy.to_str().unwrap()), "{said}");
        let error = open(&file, 2).unwrap_err();
        let StoreError::Damaged { aside, .. } = &error else { panic!("{error}") };
        assert!(!file.exists() && aside.exists());
        let said = error.to_string();
        assert!(said.contains("turnout.db.damaged-2") && said.contains(copy.to_str().unwrap()), "{said}");
        assert_eq!(foreseen(&file).unwrap().split_once(": ").unwrap().0, format!("{} is damaged", file.display()));
        // A start that is tried again says the same, and makes no empty one.
        let again = open(&file, 2).unwrap_err().to_string();
        assert!(again.contains("turnout.db.damaged-2") && again.contains("turnout restore"), "{again}");
        // A damaged copy is no way back.
        scribble(&copy);
        assert!(open(&file, 2).unwrap_err().to_string().contains("there is no copy"));
    }

    #[test]
    fn damage_where_nobody_reads_at_the_start_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("turnout.db");
        let db = open(&file, 0).unwrap();
        db.execute_batch(
            "INSERT INTO deployments (repo, kind, cause, state, created_at) VALUES ('shop', 'push', '', 'failed', 1);
             WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 500)
             INSERT INTO log_lines SELECT 1, n, 0, 'info', NULL, 'a word that is in no other table' FROM n",
        )
        .unwrap();
        drop(db);
        let mut bytes = fs::read(&file).unwrap();
        let word = b"in no other table";
        let page = bytes.chunks_mut(4096).find(|page| page.windows(word.len()).any(|text| text == word)).unwrap();
        page.fill(0xa5);
        fs::write(&file, bytes).unwrap();
        assert!(matches!(open(&file, 0), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn rows_that_cannot_be_read_are_damage_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("turnout.db");
        let db = open(&file, 0).unwrap();
        db.execute_batch(
            "INSERT INTO deployments (repo, kind, cause, state, created_at) VALUES ('shop', 'dance', '', 'queued', 1)",
        )
        .unwrap();
        drop(db);
        assert!(matches!(open(&file, 0), Err(StoreError::Damaged { .. })));
        fs::write(&file, "this is no database, but long enough to be taken for one".repeat(20)).unwrap();
        assert!(matches!(open(&file, 0), Err(StoreError::Damaged { .. })));
    }
}
