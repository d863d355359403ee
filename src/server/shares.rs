//! How many connections each user has at the control socket, so that nobody can take the places of the others: who opens
//! many and reads nothing waits for himself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Connections of one user that are served at one time; of others he waits.
pub const SERVED: usize = 128;
/// Connections of one user that are open at one time, those that wait among them. More are closed.
pub const OPEN: usize = 256;

/// All users, by the number that the kernel tells; those of whom it tells none are one.
#[derive(Debug, Default)]
pub struct Shares(Mutex<HashMap<Option<u32>, Share>>);

#[derive(Debug)]
struct Share {
    places: Arc<Semaphore>,
    open: usize,
}

/// One connection; it ends when this is dropped.
#[derive(Debug)]
pub struct Connected {
    shares: Arc<Shares>,
    user: Option<u32>,
    places: Arc<Semaphore>,
}

impl Shares {
    /// Somebody has connected. `None` where he has too many connections already.
    pub fn connect(self: &Arc<Self>, user: Option<u32>) -> Option<Connected> {
        let mut all = self.lock();
        let fresh = || Share { places: Arc::new(Semaphore::new(SERVED)), open: 0 };
        let share = all.entry(user).or_insert_with(fresh);
        if share.open >= OPEN {
            return None;
        }
        share.open += 1;
        Some(Connected { shares: Arc::clone(self), user, places: Arc::clone(&share.places) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<u32>, Share>> {
        // Only counted under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected {
    /// Waits for its turn, and has it until what comes back is dropped.
    ///
    /// # Errors
    /// Never: nobody closes the door.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.places).acquire_owned().await
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut all = self.shares.lock();
        if let Some(share) = all.get_mut(&self.user) {
            share.open -= 1;
            if share.open == 0 {
                all.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn who_takes_all_his_places_takes_none_of_the_others() {
        let shares = Arc::new(Shares::default());
        let greedy: Vec<Connected> = (0..OPEN).map(|_| shares.connect(Some(1000)).unwrap()).collect();
        assert!(shares.connect(Some(1000)).is_none(), "more are closed");
        let turns: Vec<_> = greedy.iter().filter_map(|one| one.turn().now_or_never()).collect();
        assert_eq!(turns.len(), SERVED, "the others of his wait");
        let root = shares.connect(Some(0)).unwrap();
        assert!(root.turn().now_or_never().is_some_and(|turn| turn.is_ok()));
        drop(turns);
        assert!(greedy[OPEN - 1].turn().now_or_never().is_some_and(|turn| turn.is_ok()), "an end makes room");
        drop((greedy, root));
        assert!(shares.lock().is_empty(), "nobody is remembered");
    }
}
