//! The tables, and how a file comes to have them.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::StoreError;

/// Steps from one schema to the next; `user_version` counts those done. Never edit one that was released: add another.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/001.sql"),
    include_str!("schema/002.sql"),
    include_str!("schema/003.sql"),
    include_str!("schema/004.sql"),
    include_str!("schema/005.sql"),
    include_str!("schema/006.sql"),
    include_str!("schema/007.sql"),
    include_str!("schema/008.sql"),
    include_str!("schema/009.sql"),
    include_str!("schema/010.sql"),
    include_str!("schema/011.sql"),
    include_str!("schema/012.sql"),
    include_str!("schema/013.sql"),
    include_str!("schema/014.sql"),
    include_str!("schema/015.sql"),
    include_str!("schema/016.sql"),
    include_str!("schema/017.sql"),
    include_str!("schema/018.sql"),
];

/// Prepared statements that a connection keeps: more than there are in all of this module.
const STATEMENTS: usize = 256;
/// How long a lock that is held is tried again, and how often. A process that was being started when its parent was
/// killed, or gave the lock up, holds it until it becomes another program.
const LOCK_TRIES: (u32, Duration) = (20, Duration::from_millis(50));

/// Takes the lock of a state directory. Held as long as the file is open, so a killed daemon leaves none behind.
#[expect(clippy::disallowed_methods, reason = "before the runtime has anything to do")]
pub(super) fn lock(database: &Path) -> Result<File, StoreError> {
    let path = database.with_extension("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| StoreError::io(&path, source))?;
    let (tries, pause) = LOCK_TRIES;
    for again in (0..tries).rev() {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if again > 0 => std::thread::sleep(pause),
            Err(rustix::io::Errno::WOULDBLOCK) => break,
            Err(errno) => return Err(StoreError::Io { file: path, source: errno.into() }),
        }
    }
    Err(StoreError::InUse(database.to_path_buf()))
}

/// Opens the writer's connection, making file and tables where they are missing. `before` is called for a database of a
/// former schema, before it is brought to the present one.
pub(super) fn open(
    file: &Path,
    before: impl FnOnce(&Connection) -> Result<(), StoreError>,
) -> Result<Connection, StoreError> {
    private(file).map_err(|source| StoreError::io(file, source))?;
    let fault = |source| StoreError::sqlite("opening the database", file, source);
    let mut db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(fault)?;
    db.busy_timeout(Duration::from_secs(5)).map_err(fault)?;
    plan_once(&db).map_err(fault)?;
    // FULL: the log of writes is synced at every commit, so an acknowledged record survives a power cut.
    // The checkpoint comes late enough to be rare under load, and bounds the log at about 16 MiB.
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 33554432;",
    )
    .map_err(fault)?;
    migrate(&mut db, file, before)?;
    Ok(db)
}

/// Whether a database has the present schema.
pub(super) fn is_present(db: &Connection) -> rusqlite::Result<bool> {
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(usize::try_from(found).is_ok_and(|found| found == MIGRATIONS.len()))
}

/// Opens a connection that cannot write.
pub(super) fn open_reader(file: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(Duration::from_secs(5))?;
    plan_once(&db)?;
    Ok(db)
}

/// Has each statement planned once. Without the guarantee SQLite plans one anew for each other parameter that might let it
/// use a partial index, of which there are several: a quarter of what a push cost the writer.
fn plan_once(db: &Connection) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Makes the file readable for its owner only; SQLite gives its companions (-wal, -shm) the same mode.
fn private(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(file)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))
}

fn migrate(
    db: &mut Connection,
    file: &Path,
    before: impl FnOnce(&Connection) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let fault = |source| StoreError::sqlite("updating the database's schema", file, source);
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fault)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let done = match usize::try_from(found) {
        Ok(done) if found <= known => done,
        _ => return Err(StoreError::Newer { file: file.to_path_buf(), found, known }),
    };
    if (1..MIGRATIONS.len()).contains(&done) {
        before(db)?;
    }
    for (version, sql) in (1_i64..).zip(MIGRATIONS).skip(done) {
        let step = db.transaction().map_err(fault)?;
        step.execute_batch(sql).map_err(fault)?;
        step.pragma_update(None, "user_version", version).map_err(fault)?;
        step.commit().map_err(fault)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_made_for_its_owner_only_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("turnout.db");
        let db = open(&file, |_| Ok(())).unwrap();
        db.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
        for name in ["turnout.db", "turnout.db-wal", "turnout.db-shm"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        drop(db);
        let db = open(&file, |_| Ok(())).unwrap();
        let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, MIGRATIONS.len() as i64);
        let mode: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        let synchronous: i64 = db.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
        assert_eq!((mode.as_str(), synchronous), ("wal", 2));
    }

    #[test]
    fn a_newer_file_and_another_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("turnout.db");
        open(&file, |_| Ok(())).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(open(&file, |_| Ok(())), Err(StoreError::Newer { found: 99, .. })));
        fs::write(dir.path().join("other.db"), "not a database at all, but long enough to be looked at ".repeat(20))
            .unwrap();
        let error = open(&dir.path().join("other.db"), |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("other.db") && error.contains("not a database"), "{error}");
    }

    /// A database that any earlier turnout has left is brought to the present schema with what is in it; its journal begins
    /// then.
    #[test]
    fn every_earlier_schema_is_read() {
        for former in 1..MIGRATIONS.len() {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("turnout.db");
            let db = Connection::open(&file).unwrap();
            MIGRATIONS.iter().take(former).for_each(|sql| db.execute_batch(sql).unwrap());
            db.execute_batch(
                "INSERT INTO deployments (repo, project, wanted_commit, kind, cause, state, created_at, started_at, ended_at)
                   VALUES ('shop', 'redshop', '1', 'push', 'a push', 'failed', 1, 2, 3),
                          ('shop', NULL, '2', 'push', 'a push', 'queued', 4, NULL, NULL);
                 INSERT INTO phases VALUES (1, 1, 'fetch', 2, 3);
                 INSERT INTO log_lines VALUES (1, 1, 2, 'info', NULL, 'a line');
                 INSERT INTO successes VALUES ('shop', 'redshop', '0', 1, 3);
                 INSERT INTO deliveries (forge, event, digest, verdict, reason, received_at, deployment)
                   VALUES ('github', 'push', x'00', 'deploy', 'push', 1, 1);",
            )
            .unwrap();
            let watches = (7..13).contains(&former);
            if watches {
                db.execute_batch("INSERT INTO watches VALUES ('shop', 1, 'redshop', 5, 9)").unwrap();
            }
            let rollouts = (9..13).contains(&former);
            if rollouts {
                db.execute_batch(
                    "INSERT INTO rollouts (repo, generation, plans, losses, watched)
                     VALUES ('shop', 4, 0, 0, 3), ('blog', 2, 0, 0, 1)",
                )
                .unwrap();
            }
            db.pragma_update(None, "user_version", former as i64).unwrap();
            drop(db);
            let mut kept = false;
            let db = open(&file, |_| {
                kept = true;
                Ok(())
            })
            .unwrap_or_else(|error| panic!("from schema {former}: {error}"));
            assert!(kept, "no copy is kept of schema {former}");
            assert!(is_present(&db).unwrap());
            assert_eq!(super::super::soundness::check(&db).unwrap(), 2, "from schema {former}");
            let events: i64 = db.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap();
            assert_eq!((events, super::super::journal::newest(&db).unwrap()), (0, 0));
            drop(db);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let store = crate::store::Store::open(&file, crate::store::Retention::default()).unwrap();
                let watched = store.watched().await.unwrap();
                let times = watched.iter().map(|one| (one.deployment, one.watch.since, one.watch.until));
                assert_eq!(times.collect::<Vec<_>>(), if watches { vec![(1, 5, 9)] } else { vec![] }, "from {former}");
                let of = async |repo| store.rollout(repo).await.unwrap().watch.map(|watch| watch.generation);
                let wanted = watches.then_some(if rollouts { 3 } else { 0 });
                assert_eq!((of("shop").await, of("blog").await), (wanted, None), "from {former}");
                assert_eq!(store.next("shop").await.unwrap().map(|next| next.id), Some(2));
                let told = store.events(0, Default::default()).await.unwrap();
                assert_eq!(told.events.iter().map(|event| event.deployment).collect::<Vec<_>>(), [Some(2), Some(2)]);
                assert_eq!(store.log(1, 0, 10).await.unwrap().len(), 1);
            });
        }
    }

    #[test]
    fn one_daemon_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("turnout.db");
        let held = lock(&file).unwrap();
        assert!(matches!(lock(&file), Err(StoreError::InUse(_))));
        drop(held);
        lock(&file).unwrap();
    }
}
