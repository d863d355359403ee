//! What is asked of a deployment whose next colour waits is kept with its row until its lane takes it up, so that what was
//! accepted outlives the daemon.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{DeploymentId, Store, StoreError, Wish, rollouts, waits};
use crate::rollout;

impl Store {
    /// Notes this for the deployment of the repository whose next colour waits. Answers which one that is; `None` where there is
    /// none, or where this says nothing as it stands.
    ///
    /// # Errors
    /// The disk is full, or the store is closed.
    pub async fn wish(&self, repo: &str, wish: Wish) -> Result<Option<DeploymentId>, StoreError> {
        self.wish_of(repo, wish, None).await
    }

    /// The same, where somebody asks for it whose name is known; its log says who.
    ///
    /// # Errors
    /// As [`Store::wish`].
    pub async fn wish_of(
        &self,
        repo: &str,
        wish: Wish,
        by: Option<String>,
    ) -> Result<Option<DeploymentId>, StoreError> {
        let (repo, clock) = (repo.to_owned(), Arc::clone(&self.inner.clock));
        let work = move |db: &Connection| {
            let stands = rollouts::of(db, &repo)?;
            let follows = rollout::next(&stands, wish.fact(), clock.now()).actions;
            let waiting = waits::of(db, &repo)?.filter(|_| stands.attends() && !follows.is_empty());
            // Nothing but what makes it go on comes after that.
            let Some(waiting) = waiting.filter(|one| !matches!(one.asked, Some(Wish::TurnDown { .. }))) else {
                return Ok(None);
            };
            // Whose wish it is stands where another one says why.
            let (why, until) = match &wish {
                Wish::Promote | Wish::PromoteFully | Wish::Resume => (by.clone(), None),
                Wish::Pause { until } => (by.clone(), Some(*until)),
                Wish::TurnDown { why } => (Some(why.clone()), None),
            };
            let mut note =
                db.prepare_cached("UPDATE rollouts SET asked = ?2, asked_why = ?3, asked_until = ?4 WHERE repo = ?1")?;
            note.execute(params![repo, wish.word(), why, until])?;
            Ok(Some(waiting.deployment))
        };
        self.inner.writer.run("noting what is asked of a deployment", work).await
    }
}
