//! Recognises repeats without an index on disk.
//!
//! A digest is random, so an index of ten thousand of them costs a page for every delivery: most of what a burst wrote
//! was that. Here is kept which delivery to look at; whether it is the same is decided by its row alone. A key that
//! leads to a row that was rolled back, pruned or is another one is thus harmless.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
};

use rusqlite::Connection;

use super::NewDelivery;

/// For each recent delivery that led to a deployment, where its row is. About 20 bytes a key.
#[derive(Default)]
pub(super) struct Repeats {
    /// Keyed, so that no sender can choose keys that collide.
    hasher: RandomState,
    rows: HashMap<u64, i64>,
    /// Keys after the last clearing out; at twice as many comes the next.
    kept: usize,
}

/// Fewer keys than this are not worth clearing out.
const FEW: usize = 4_096;

impl Repeats {
    /// Reads what the database remembers.
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Repeats> {
        let mut repeats = Repeats::default();
        let mut query = db.prepare(
            "SELECT id, digest, guid, repo, git_ref, commit_id FROM deliveries WHERE deployment IS NOT NULL ORDER BY id",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let body = repeats.body(row.get_ref(1)?.as_blob()?);
            repeats.rows.insert(body, id);
            let text = |column| row.get_ref(column).ok().and_then(|value| value.as_str().ok());
            if let Some(guid) = text(2) {
                let push = repeats.push(guid, text(3), text(4), text(5));
                repeats.rows.insert(push, id);
            }
        }
        repeats.kept = repeats.rows.len();
        Ok(repeats)
    }

    /// The row to compare with for the same body.
    pub(super) fn same_body(&self, delivery: &NewDelivery) -> Option<i64> {
        self.rows.get(&self.body(&delivery.digest)).copied()
    }

    /// The row to compare with for the same delivery id, repository, branch and commit.
    pub(super) fn same_push(&self, delivery: &NewDelivery) -> Option<i64> {
        self.rows.get(&self.push_of(delivery)?).copied()
    }

    /// Remembers a delivery that led to a deployment. `oldest` is the first row that is still in the database.
    pub(super) fn note(&mut self, id: i64, delivery: &NewDelivery, oldest: impl FnOnce() -> rusqlite::Result<i64>) {
        let body = self.body(&delivery.digest);
        self.rows.insert(body, id);
        if let Some(push) = self.push_of(delivery) {
            self.rows.insert(push, id);
        }
        if self.rows.len() >= FEW.max(2 * self.kept)
            && let Ok(oldest) = oldest()
        {
            self.rows.retain(|_, id| *id >= oldest);
            self.kept = self.rows.len();
        }
    }

    fn push_of(&self, delivery: &NewDelivery) -> Option<u64> {
        let NewDelivery { guid, repo, git_ref, commit, .. } = delivery;
        Some(self.push(guid.as_deref()?, repo.as_deref(), git_ref.as_deref(), commit.as_deref()))
    }

    fn body(&self, digest: &[u8]) -> u64 {
        self.hasher.hash_one(digest)
    }

    fn push(&self, guid: &str, repo: Option<&str>, git_ref: Option<&str>, commit: Option<&str>) -> u64 {
        self.hasher.hash_one((guid, repo, git_ref, commit))
    }
}
