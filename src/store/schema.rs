//! The tables, as a list of migrations. A migration once released is never edited; new ones are added at the end.

use rusqlite::{Connection, TransactionBehavior};

use super::types::StoreError;

const MIGRATIONS: &[&str] = &[
    // 1: the beginning
    "
    CREATE TABLE deployments (
        id            INTEGER PRIMARY KEY AUTOINCREMENT,
        repo          TEXT NOT NULL,
        project       TEXT,
        branch        TEXT,
        state         TEXT NOT NULL,
        phase         TEXT,
        cause         TEXT NOT NULL,
        who           TEXT,
        wanted        TEXT,
        before        TEXT,
        after         TEXT,
        rebuild       INTEGER NOT NULL DEFAULT 0,
        summary       TEXT,
        hint          TEXT,
        plan          TEXT,
        created_ms    INTEGER NOT NULL,
        started_ms    INTEGER,
        ended_ms      INTEGER,
        timings       TEXT NOT NULL DEFAULT '[]',
        superseded_by INTEGER,
        attempt       INTEGER NOT NULL DEFAULT 1
    ) STRICT;
    CREATE INDEX deployments_by_repo ON deployments (repo, id);
    CREATE INDEX deployments_open ON deployments (repo, id) WHERE state IN ('queued', 'running');

    CREATE TABLE deliveries (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        guid        TEXT NOT NULL,
        digest      BLOB NOT NULL,
        event       TEXT NOT NULL,
        repo        TEXT NOT NULL,
        git_ref     TEXT NOT NULL,
        pusher      TEXT NOT NULL,
        verdict     TEXT NOT NULL,
        received_ms INTEGER NOT NULL,
        deployment  INTEGER
    ) STRICT;
    CREATE INDEX deliveries_by_guid ON deliveries (guid);
    CREATE INDEX deliveries_by_digest ON deliveries (digest);

    CREATE TABLE events (
        deployment INTEGER NOT NULL,
        seq        INTEGER NOT NULL,
        at_ms      INTEGER NOT NULL,
        event      TEXT NOT NULL,
        PRIMARY KEY (deployment, seq)
    ) STRICT, WITHOUT ROWID;

    -- Apart from the history, so that pruning never forgets what runs.
    CREATE TABLE deployed (
        repo       TEXT NOT NULL,
        project    TEXT NOT NULL,
        commit_id  TEXT NOT NULL,
        deployment INTEGER NOT NULL,
        at_ms      INTEGER NOT NULL,
        PRIMARY KEY (repo, project)
    ) STRICT, WITHOUT ROWID;
    ",
];

/// Sets the connection up for the writer and brings the tables up to date.
pub(super) fn prepare_writer(connection: &mut Connection) -> Result<(), StoreError> {
    // FULL: in WAL mode each commit is on the disk before it is answered.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA cache_size = -512; PRAGMA journal_size_limit = 8388608; PRAGMA temp_store = MEMORY;",
    )?;
    migrate(connection, MIGRATIONS)
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let version: usize = transaction.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).map(|v| v.try_into().unwrap_or(0))?;
    if version > migrations.len() {
        return Err(StoreError::Sqlite(format!(
            "it was written by a newer turnout (schema {version}, this program knows {})",
            migrations.len()
        )));
    }
    for (index, migration) in migrations.iter().enumerate().skip(version) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_run_once_and_in_order() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &["CREATE TABLE a (x)"]).unwrap();
        migrate(&mut connection, &["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y"]).unwrap();
        migrate(&mut connection, &["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y"]).unwrap();
        connection.execute("INSERT INTO a (x, y) VALUES (1, 2)", []).unwrap();
        let error = migrate(&mut connection, &["CREATE TABLE a (x)"]).unwrap_err();
        assert!(error.to_string().contains("newer turnout"), "{error}");
    }
}
