//! Connections that only read: the log of a deployment can be listed while another one is written.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::Connection;

use super::{damage::is_damage, error::StoreError, schema};

/// Idle connections kept. Each holds its own page cache, so few.
const KEPT: usize = 2;

/// A small pool, filled as needed.
#[derive(Clone)]
pub(super) struct Readers {
    file: Arc<PathBuf>,
    /// `None`: the store has ended, and nothing is kept open any more.
    idle: Arc<Mutex<Option<Vec<Connection>>>>,
    /// Set when the database is found damaged.
    broken: Arc<AtomicBool>,
}

impl Readers {
    pub(super) fn new(file: &Path, broken: Arc<AtomicBool>) -> Readers {
        Readers { file: Arc::new(file.to_path_buf()), idle: Arc::new(Mutex::new(Some(Vec::new()))), broken }
    }

    /// Closes what is idle, and keeps nothing from now on: the last one to close the database must be who can write it.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Runs `query` on a thread that may block.
    pub(super) async fn run<T, F>(&self, doing: &'static str, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let pool = self.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(Vec::pop);
            let db = idle.map_or_else(|| schema::open_reader(&pool.file), Ok);
            let answer = db.and_then(|db| query(&db).map(|answer| (db, answer)));
            let (db, answer) = answer.map_err(|error| {
                if is_damage(&error) {
                    pool.broken.store(true, Ordering::Relaxed);
                }
                StoreError::sqlite(doing, &pool.file, error)
            })?;
            let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(idle) = idle.as_mut().filter(|idle| idle.len() < KEPT) {
                idle.push(db);
            }
            Ok(answer)
        });
        asked.await.map_err(|_| StoreError::Closed)?
    }
}
