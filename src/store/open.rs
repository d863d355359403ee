//! Opens the store. The database is checked; one that is damaged is put aside, never written over, and nothing begins until
//! somebody has chosen the way back.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use rusqlite::Connection;

use super::{
    Inner, Store, aside,
    clock::{self, Clock},
    copies,
    damage::is_damage,
    desk,
    error::StoreError,
    readers::Readers,
    records::Millis,
    repeats::Repeats,
    retention::Retention,
    schema, soundness,
};

impl Store {
    /// Opens or makes the database, for the one daemon of a state directory. Blocks; call it before serving.
    ///
    /// # Errors
    /// Another daemon holds it, the directory cannot be written, the file is of a newer version; or it is damaged, and was
    /// put aside.
    pub fn open(file: &Path, retention: Retention) -> Result<Store, StoreError> {
        Store::open_at(file, retention, clock::wall)
    }

    /// As [`Store::open`], with another wall clock: milliseconds since 1970, UTC.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_at(file: &Path, retention: Retention, wall: fn() -> Millis) -> Result<Store, StoreError> {
        let clock = Arc::new(Clock::new(wall));
        let lock = schema::lock(file)?;
        let db = checked(file, retention.copies)?;
        let repeats =
            Repeats::load(&db).map_err(|error| StoreError::sqlite("reading the last deliveries", file, error))?;
        let repeats = Arc::new(Mutex::new(repeats));
        let broken = Arc::new(AtomicBool::new(false));
        let (writer, newest) = desk::start(db, lock, file, retention, Arc::clone(&broken), Arc::clone(&clock))?;
        let readers = Readers::new(file, broken);
        let file = file.to_path_buf();
        Ok(Store { inner: Arc::new(Inner { file, writer, readers, retention, newest, repeats, clock }) })
    }
}

/// Opens the database for the daemon, checked; a copy is kept of one that is going to be brought to a new schema. One that
/// is damaged is put aside.
fn checked(file: &Path, keep: usize) -> Result<Connection, StoreError> {
    let size = fs::metadata(file).ok().map(|meta| meta.len());
    match size {
        None => {
            if let Some(aside) = aside::newest_damaged(file) {
                return Err(damaged(file, aside, "it was found damaged at an earlier start".to_owned()));
            }
        }
        Some(0) if copies::newest(file).is_some() => {
            return Err(put_aside(file, "it is empty".to_owned()));
        }
        Some(_) => {}
    }
    let opened = schema::open(file, |db| copies::before_new_schema(db, file, keep));
    let sound = opened.and_then(|db| match soundness::check(&db) {
        Ok(_) => Ok(db),
        Err(error) => Err(StoreError::sqlite("checking the database", file, error)),
    });
    match sound {
        Err(StoreError::Sqlite { source, .. }) if is_damage(&source) => Err(put_aside(file, source.to_string())),
        sound => sound,
    }
}

/// What the daemon's next start would find wrong with its database, in words. Changes nothing, and says nothing of one that
/// cannot be looked at.
pub fn foreseen(file: &Path) -> Option<String> {
    let found = match fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let aside = aside::newest_damaged(file)?;
            return Some(damaged(file, aside, "it was found damaged at an earlier start".to_owned()).to_string());
        }
        Err(_) => return None,
        Ok(meta) if meta.len() == 0 => copies::newest(file).map(|_| "it is empty".to_owned()),
        Ok(_) => match schema::open_reader(file).and_then(|db| soundness::check(&db)) {
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
    match aside::set_aside(file, "damaged") {
        Ok(aside) => damaged(file, aside, what),
        Err(error) => error,
    }
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
        drop(checked(&file, 2).unwrap());
        let copy = copies::keep(&file, 2).unwrap().unwrap();
        assert_eq!(foreseen(&file), None);
        scribble(&file);
        // To look changes nothing.
        let said = foreseen(&file).unwrap();
        assert!(file.exists() && said.contains("is damaged") && said.contains(copy.to_str().unwrap()), "{said}");
        let error = checked(&file, 2).unwrap_err();
        let StoreError::Damaged { aside, .. } = &error else { panic!("{error}") };
        assert!(!file.exists() && aside.exists());
        let said = error.to_string();
        assert!(said.contains("turnout.db.damaged-2") && said.contains(copy.to_str().unwrap()), "{said}");
        assert_eq!(foreseen(&file).unwrap().split_once(": ").unwrap().0, format!("{} is damaged", file.display()));
        // A start that is tried again says the same, and makes no empty one.
        let again = checked(&file, 2).unwrap_err().to_string();
        assert!(again.contains("turnout.db.damaged-2") && again.contains("turnout restore"), "{again}");
        // A damaged copy is no way back.
        scribble(&copy);
        assert!(checked(&file, 2).unwrap_err().to_string().contains("there is no copy"));
    }

    #[test]
    fn damage_where_nobody_reads_at_the_start_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("turnout.db");
        let db = checked(&file, 0).unwrap();
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
        assert!(matches!(checked(&file, 0), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn rows_that_cannot_be_read_are_damage_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("turnout.db");
        let db = checked(&file, 0).unwrap();
        db.execute_batch(
            "INSERT INTO deployments (repo, kind, cause, state, created_at) VALUES ('shop', 'dance', '', 'queued', 1)",
        )
        .unwrap();
        drop(db);
        assert!(matches!(checked(&file, 0), Err(StoreError::Damaged { .. })));
        fs::write(&file, "this is no database, but long enough to be taken for one".repeat(20)).unwrap();
        assert!(matches!(checked(&file, 0), Err(StoreError::Damaged { .. })));
    }
}
