//! Connections that only read: the log of a deployment can be listed while another one is written.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;

use super::{StoreError, schema};

/// Idle connections kept. Each holds its own page cache, so few.
const KEPT: usize = 2;

/// A small pool, filled as needed.
#[derive(Clone)]
pub(super) struct Readers {
    file: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(file: &Path) -> Readers {
        Readers { file: Arc::new(file.to_path_buf()), idle: Arc::default() }
    }

    /// Runs `query` on a thread that may block.
    pub(super) async fn run<T, F>(&self, doing: &'static str, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let pool = self.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let db = idle.map_or_else(|| schema::open_reader(&pool.file), Ok);
            let answer = db.and_then(|db| query(&db).map(|answer| (db, answer)));
            let (db, answer) = answer.map_err(|error| StoreError::sqlite(doing, &pool.file, error))?;
            let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(db);
            }
            Ok(answer)
        });
        asked.await.map_err(|_| StoreError::Closed)?
    }
}
