//! Letters: what somebody outside is to be told, from the event that it tells of until it has been taken.
//!
//! ```text
//!   event ──► waiting ──► taken: forgotten
//!                │ ▲
//!                │ └── tried again, later
//!                └──► dead ──► sent again | forgotten with the history
//! ```

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::{DomainEvent, EventId, Millis, Store, StoreError, count::rows, journal};

/// Letters that may wait for one destination, in number and bytes. Beyond it the oldest is dead: one that is away for weeks
/// must not fill the disk.
pub const WAITING: usize = 1_000;
/// Bytes of such letters; see [`WAITING`].
pub const WAITING_BYTES: usize = 4 << 20;
/// Bytes of one letter. A larger one is dead from the beginning, and not kept.
pub const LETTER_BYTES: usize = 64 << 10;
/// Dead letters that are kept, and of those that no age makes forgotten.
const DEAD: usize = 1_000;
const NEWEST_DEAD: usize = 100;
/// Bytes of an error that are kept.
const ERROR_BYTES: usize = 500;
const COLUMNS: &str = "id, destination, event, payload, written_at, attempts, due_at, last_error, dead_at";

/// A letter to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLetter {
    /// The event that it tells of; none where it tells of several that were forgotten.
    pub event: Option<EventId>,
    /// What is sent. Redacted.
    pub payload: String,
}

/// A letter to a destination, waiting or dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its number; the same at every attempt, so that who gets it twice can know.
    pub id: i64,
    /// The destination that it is for.
    pub destination: String,
    /// The event that it tells of.
    pub event: Option<EventId>,
    /// What is sent.
    pub payload: String,
    /// Since when it waits.
    pub written_at: Millis,
    /// Attempts that failed.
    pub attempts: u32,
    /// When the next one is due; 0: at once, whatever the clock shows.
    pub due_at: Millis,
    /// Why the last attempt failed, or it is dead.
    pub last_error: Option<String>,
    /// Since when it is not tried any more.
    pub dead_at: Option<Millis>,
}

/// What becomes of a letter that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is tried again.
    Again {
        /// Not before this.
        at: Millis,
    },
    /// It is not tried any more.
    Dead,
}

/// How it stands with a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pile {
    /// The destination that they are for.
    pub destination: String,
    /// Letters that wait.
    pub waiting: u32,
    /// Since when the oldest of them does.
    pub since: Option<Millis>,
    /// Letters that are dead.
    pub dead: u32,
    /// The last error of one that waits or is dead.
    pub last_error: Option<String>,
}

impl Store {
    /// Writes letters to a destination, and that everything up to an event was considered for it, in one transaction.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn post(&self, destination: &str, letters: Vec<NewLetter>, upto: EventId) -> Result<(), StoreError> {
        let (destination, clock) = (destination.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| post(db, &destination, &letters, upto, clock.now());
        self.inner.writer.run("writing letters", work).await
    }

    /// Up to which event everything was considered for a destination; `None`: it is new.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn posted(&self, destination: &str) -> Result<Option<EventId>, StoreError> {
        self.position(&cursor(destination)).await
    }

    /// The oldest letter to a destination, due or not: none overtakes another, as the last word counts.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn next_letter(&self, destination: &str) -> Result<Option<Letter>, StoreError> {
        let destination = destination.to_owned();
        let query = move |db: &Connection| {
            let mut next = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outbox WHERE destination = ?1 AND dead_at IS NULL ORDER BY id LIMIT 1"
            ))?;
            next.query_row([destination], letter).optional()
        };
        self.inner.readers.run("reading the outbox", query).await
    }

    /// A letter was taken.
    ///
    /// # Errors
    /// As [`Store::post`].
    pub async fn delivered(&self, id: i64) -> Result<(), StoreError> {
        let work =
            move |db: &Connection| db.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id]).map(drop);
        self.inner.writer.run("recording that a letter was taken", work).await
    }

    /// A letter was not taken.
    ///
    /// # Errors
    /// As [`Store::post`].
    pub async fn not_delivered(&self, id: i64, why: &str, fate: Fate) -> Result<(), StoreError> {
        let (why, clock) = (cut(why), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| {
            let now = clock.now();
            match fate {
                Fate::Again { at } => {
                    let mut again = db.prepare_cached(
                        "UPDATE outbox SET attempts = attempts + 1, last_error = ?2, due_at = ?3
                         WHERE id = ?1 AND dead_at IS NULL",
                    )?;
                    again.execute(params![id, why, at]).map(drop)
                }
                Fate::Dead => {
                    db.prepare_cached("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?1 AND dead_at IS NULL")?
                        .execute([id])?;
                    dies(db, id, &why, now)
                }
            }
        };
        self.inner.writer.run("recording that a letter was not taken", work).await
    }

    /// Dead letters, the newest first.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn dead_letters(&self) -> Result<Vec<Letter>, StoreError> {
        let query = |db: &Connection| {
            let mut dead = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outbox WHERE dead_at IS NOT NULL ORDER BY id DESC LIMIT ?1"
            ))?;
            dead.query_map([rows(DEAD)], letter)?.collect()
        };
        self.inner.readers.run("reading the outbox", query).await
    }

    /// How it stands with each destination that has letters.
    ///
    /// # Errors
    /// As [`Store::deployment`].
    pub async fn outbox(&self) -> Result<Vec<Pile>, StoreError> {
        let query = |db: &Connection| {
            let mut all = db.prepare_cached(
                "SELECT destination, sum(dead_at IS NULL), min(iif(dead_at IS NULL, written_at, NULL)),
                   sum(dead_at IS NOT NULL), (SELECT last_error FROM outbox last WHERE last.destination = outbox.destination
                     AND last_error IS NOT NULL ORDER BY id DESC LIMIT 1)
                 FROM outbox GROUP BY destination ORDER BY destination",
            )?;
            let pile = |row: &Row<'_>| {
                Ok(Pile {
                    destination: row.get(0)?,
                    waiting: row.get(1)?,
                    since: row.get(2)?,
                    dead: row.get(3)?,
                    last_error: row.get(4)?,
                })
            };
            all.query_map([], pile)?.collect()
        };
        self.inner.readers.run("reading the outbox", query).await
    }

    /// Has a dead letter, or all of them, sent again, as if it were new. Answers which: none whose destination is not configured.
    ///
    /// # Errors
    /// As [`Store::post`].
    pub async fn send_again(&self, id: Option<i64>) -> Result<Vec<i64>, StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| {
            let at = clock.now();
            // What was too large to be kept cannot be sent.
            let mut again = db.prepare_cached(
                "UPDATE outbox SET dead_at = NULL, attempts = 0, due_at = 0
                 WHERE dead_at IS NOT NULL AND payload <> '' AND (?1 IS NULL OR id = ?1)
                   AND EXISTS (SELECT 1 FROM cursors WHERE name = ?2 || outbox.destination) RETURNING id",
            )?;
            let mut ids: Vec<i64> =
                again.query_map(params![id, CURSOR], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            ids.sort_unstable();
            if !ids.is_empty() {
                journal::of_daemon(db, at, &DomainEvent::LettersSentAgain { letters: ids.len() })?;
            }
            Ok(ids)
        };
        self.inner.writer.run("sending letters again", work).await
    }

    /// Only these destinations are left: letters to others are dead, and how far they had come is forgotten. One that comes
    /// back begins with what happens then.
    ///
    /// # Errors
    /// As [`Store::post`].
    pub async fn retire_destinations(&self, left: Vec<String>) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| {
            let mut waiting =
                db.prepare_cached("SELECT id, destination FROM outbox WHERE dead_at IS NULL ORDER BY id")?;
            let waiting = waiting
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
            for (id, _) in waiting.into_iter().filter(|(_, destination)| !left.contains(destination)) {
                dies(db, id, "its destination is not configured any more", clock.now())?;
            }
            let mut known = db.prepare_cached("SELECT name FROM cursors")?;
            let known = known.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
            let is_left = |name: &String| left.iter().any(|left| cursor(left) == *name);
            for name in known.iter().filter(|name| name.starts_with(CURSOR) && !is_left(name)) {
                db.prepare_cached("DELETE FROM cursors WHERE name = ?1")?.execute([name])?;
            }
            Ok(())
        };
        self.inner.writer.run("tidying the outbox", work).await
    }
}

/// How the cursors of destinations begin.
const CURSOR: &str = "outbox/";

fn cursor(destination: &str) -> String {
    format!("{CURSOR}{destination}")
}

fn letter(row: &Row<'_>) -> rusqlite::Result<Letter> {
    Ok(Letter {
        id: row.get(0)?,
        destination: row.get(1)?,
        event: row.get(2)?,
        payload: row.get(3)?,
        written_at: row.get(4)?,
        attempts: row.get(5)?,
        due_at: row.get(6)?,
        last_error: row.get(7)?,
        dead_at: row.get(8)?,
    })
}

fn post(db: &Connection, destination: &str, letters: &[NewLetter], upto: EventId, at: Millis) -> rusqlite::Result<()> {
    for NewLetter { event, payload } in letters {
        let fits = payload.len() <= LETTER_BYTES;
        let mut insert = db.prepare_cached(
            "INSERT INTO outbox (destination, event, payload, written_at, due_at) VALUES (?1, ?2, ?3, ?4, 0)",
        )?;
        insert.execute(params![destination, event, if fits { payload } else { "" }, at])?;
        if !fits {
            let why = format!("it has {} bytes, and at most {LETTER_BYTES} are kept of a letter", payload.len());
            dies(db, db.last_insert_rowid(), &why, at)?;
        }
    }
    journal::keep_position(db, &cursor(destination), upto, at)?;
    if letters.is_empty() {
        return Ok(());
    }
    // The newest that fit stay.
    let mut waiting = db.prepare_cached(
        "SELECT id, length(CAST(payload AS BLOB)) FROM outbox WHERE destination = ?1 AND dead_at IS NULL ORDER BY id DESC",
    )?;
    let waiting = waiting
        .query_map([destination], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, u32)>>>()?;
    let mut bytes = 0;
    for (number, (id, size)) in (1..).zip(waiting) {
        bytes += usize::try_from(size).unwrap_or(usize::MAX);
        if number > WAITING || bytes > WAITING_BYTES {
            let why = format!("more than {WAITING} letters or {WAITING_BYTES} bytes waited for this destination");
            dies(db, id, &why, at)?;
        }
    }
    Ok(())
}

/// A letter is not tried any more.
fn dies(db: &Connection, id: i64, why: &str, at: Millis) -> rusqlite::Result<()> {
    let mut die = db.prepare_cached(
        "UPDATE outbox SET dead_at = ?3, last_error = ?2 WHERE id = ?1 AND dead_at IS NULL RETURNING destination",
    )?;
    let destination: Option<String> = die.query_row(params![id, why, at], |row| row.get(0)).optional()?;
    let Some(destination) = destination else { return Ok(()) };
    journal::of_daemon(db, at, &DomainEvent::LetterDied { letter: id, destination, why: why.to_owned() })
}

/// Forgets dead letters that are older than `before` or more than are kept; at most `most`. Answers how many.
pub(super) fn forget_dead(db: &Connection, before: Millis, most: usize) -> rusqlite::Result<usize> {
    let mut forget = db.prepare_cached(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM
           (SELECT id, dead_at, row_number() OVER (ORDER BY id DESC) AS place FROM outbox WHERE dead_at IS NOT NULL)
           WHERE place > ?2 OR (dead_at < ?1 AND place > ?3) LIMIT ?4)",
    )?;
    forget.execute(params![before, rows(DEAD), rows(NEWEST_DEAD), rows(most)])
}

fn cut(text: &str) -> String {
    match text.len() > ERROR_BYTES {
        true => format!("{}…", text.get(..text.floor_char_boundary(ERROR_BYTES)).unwrap_or_default()),
        false => text.to_owned(),
    }
}
