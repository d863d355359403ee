//! Whoever changes the colours of a repository beside its lane does so alone: one at a time for each repository.
//!
//! Who changes colours, and which of them meet:
//!
//! ```text
//!                        deployment   mending   end of a bake, way back   share taken back   kept colour removed
//! deployment             its lane     busy      1                         busy               busy
//! mending                             this      this (2)                  this               busy
//! end of a bake, way back                       this, and its task        this               3
//! ```
//!
//! `busy` ([`super::busy`]) is had by a deployment for all its time, builds included, so that mending and removals give way to it. A
//! rollback cannot wait that long, and has this lock instead, whose holders take no longer than what they start or stop:
//!
//! 1. A deployment reads under this lock whether something bakes, and goes no further then; a bake begins by its own switch alone. So a
//!    way back meets deployments only while those plan.
//! 2. Each deployment's end has the colours looked at, within two seconds, and that is when people go back. Mending must not take
//!    requests that the way back holds for those of a deployment that was broken off. It gives way, and is tried again.
//! 3. Nothing kept is removed while something bakes.
//!
//! Who has this lock never waits for `busy`: it only tries.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

/// What is done to the colours of a repository, in words.
type What = &'static str;

/// Who changes the colours of which repository.
#[derive(Default)]
pub struct Acting {
    repos: Mutex<HashMap<String, Arc<One>>>,
}

/// One repository.
#[derive(Default)]
struct One {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// By whoever has the turn.
    what: Mutex<What>,
}

/// The right to change the colours of a repository, until it is dropped.
#[derive(Debug)]
pub struct Act(#[expect(dead_code, reason = "held for its lock")] OwnedMutexGuard<()>);

impl Acting {
    /// Waits until nobody else changes the colours of the repository. `what`: for whoever waits for this.
    pub async fn begin(&self, repo: &str, what: What) -> Act {
        if let Some(act) = self.attempt(repo, what) {
            return act;
        }
        let one = self.of(repo);
        tracing::debug!(repo, "{what} waits for {}", one.what());
        let act = Act(Arc::clone(&one.turn).lock_owned().await);
        *one.what() = what;
        act
    }

    /// The same where nobody does so now; else nothing.
    pub fn attempt(&self, repo: &str, what: What) -> Option<Act> {
        let one = self.of(repo);
        let act = Act(Arc::clone(&one.turn).try_lock_owned().ok()?);
        *one.what() = what;
        Some(act)
    }

    fn of(&self, repo: &str) -> Arc<One> {
        let mut repos = self.repos.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(repos.entry(repo.to_owned()).or_default())
    }
}

impl One {
    /// Only whole values are written under this lock.
    fn what(&self) -> MutexGuard<'_, What> {
        self.what.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_changes_the_colours_of_a_repository() {
        let acting = Acting::default();
        let first = acting.begin("shop", "the way back").await;
        assert!(acting.attempt("shop", "mending").is_none());
        assert!(acting.attempt("blog", "mending").is_some(), "another repository is another matter");
        let second = acting.begin("shop", "the end of the bake");
        tokio::pin!(second);
        assert!(timeout(SOON, &mut second).await.is_err(), "the first one is not over");
        drop(first);
        let second = timeout(SOON, second).await.unwrap();
        assert!(acting.attempt("shop", "mending").is_none());
        drop(second);
        assert!(acting.attempt("shop", "mending").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_given_up_while_it_waits_keeps_nobody() {
        let acting = Acting::default();
        let first = acting.begin("shop", "the way back").await;
        assert!(timeout(SOON, acting.begin("shop", "planning")).await.is_err());
        drop(first);
        assert!(acting.attempt("shop", "mending").is_some());
    }
}
