//! The life of a deployment after it was queued.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{
    DeploymentId, DomainEvent, Finish, Millis, State, Store, StoreError, Update, held, journal, rollouts, wanted,
};
use crate::rollout::Phase;

impl Store {
    /// As [`Store::update`], without waiting for the disk: whatever is asked for later is recorded after it. For what the
    /// reader of a history wants to know, and no recovery depends on.
    ///
    /// # Errors
    /// The store is closed. A failure to write is logged.
    pub async fn update_soon(&self, id: DeploymentId, update: Update) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| note(db, id, &update, clock.within(id));
        self.inner.writer.hand_in("recording the deployment's progress", work).await
    }

    /// Notes what became known about a running deployment.
    ///
    /// # Errors
    /// As [`Store::next`].
    pub async fn update(&self, id: DeploymentId, update: Update) -> Result<(), StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| note(db, id, &update, clock.within(id));
        self.inner.writer.run("recording the deployment's progress", work).await
    }

    /// Notes how a running deployment ended. False if it does not run (any more): its state is left alone then.
    ///
    /// # Errors
    /// As [`Store::next`].
    pub async fn finish(&self, id: DeploymentId, how: Finish) -> Result<bool, StoreError> {
        let clock = Arc::clone(&self.inner.clock);
        let work = move |db: &Connection| finish(db, id, &how, clock.within(id));
        let ended = self.inner.writer.run("recording the deployment's end", work).await?;
        self.inner.clock.ends(id);
        Ok(ended)
    }

    /// Calls off a deployment that waits. False if it does not wait (any more).
    ///
    /// # Errors
    /// As [`Store::next`].
    pub async fn cancel_queued(&self, id: DeploymentId, reason: &str) -> Result<bool, StoreError> {
        let (reason, clock) = (reason.to_owned(), Arc::clone(&self.inner.clock));
        let cancel = move |db: &Connection| {
            let mut cancel = db.prepare_cached(
                "UPDATE deployments SET state = 'cancelled', error = ?2, ended_at = ?3 WHERE id = ?1 AND state = 'queued'",
            )?;
            let at = clock.now();
            if cancel.execute(params![id, reason, at])? == 0 {
                return Ok(false);
            }
            ended(db, at, id, State::Cancelled, Some(reason.clone()))?;
            Ok(true)
        };
        self.inner.writer.run("cancelling the deployment", cancel).await
    }
}

/// Notes what became known, and tells the journal what is news.
pub(super) fn note(db: &Connection, id: DeploymentId, update: &Update, at: Millis) -> rusqlite::Result<()> {
    let Update { phase, rollout, project, branch, commit_before, commit_after, commit_base, decision, plan } = update;
    let phase = phase.map(Phase::name);
    let mut note = db.prepare_cached(
        "UPDATE deployments SET phase = coalesce(?2, phase), project = coalesce(?3, project),
           branch = coalesce(?4, branch), commit_before = coalesce(?5, commit_before),
           commit_after = coalesce(?6, commit_after), commit_base = coalesce(?7, commit_base),
           decision = coalesce(?8, decision), plan = coalesce(?9, plan) WHERE id = ?1 AND state = 'running'",
    )?;
    let noted =
        note.execute(params![id, phase, project, branch, commit_before, commit_after, commit_base, decision, plan])?;
    if let (1, Some(phase)) = (noted, phase) {
        end_phase(db, id, at)?;
        let mut begin = db.prepare_cached(
            "INSERT INTO phases (deployment, number, name, started_at)
             SELECT ?1, 1 + coalesce(max(number), 0), ?2, ?3 FROM phases WHERE deployment = ?1",
        )?;
        begin.execute(params![id, phase, at])?;
        journal::of_deployment(db, at, id, &DomainEvent::PhaseBegan { phase: phase.to_owned() })?;
    }
    let learned = [project, branch, commit_before, commit_after, commit_base, decision];
    if noted == 1 && learned.iter().any(|what| what.is_some()) {
        let [project, branch, commit_before, commit_after, commit_base, decision] = learned.map(Clone::clone);
        let learned =
            DomainEvent::DeploymentLearned { project, branch, commit_before, commit_after, commit_base, decision };
        journal::of_deployment(db, at, id, &learned)?;
    }
    if let (1, Some(rollout)) = (noted, rollout) {
        rollouts::keep(db, &repo_of(db, id)?, Some(id), rollout, at)?;
    }
    Ok(())
}

fn repo_of(db: &Connection, id: DeploymentId) -> rusqlite::Result<String> {
    db.prepare_cached("SELECT repo FROM deployments WHERE id = ?1")?.query_row([id], |row| row.get(0))
}

/// Notes the end, with all that follows from it. False where it does not run (any more).
pub(super) fn finish(db: &Connection, id: DeploymentId, how: &Finish, at: Millis) -> rusqlite::Result<bool> {
    let (state, error, project, commit, reached, watch) = match how {
        Finish::Succeeded { project, commit, reached, watch } => {
            (State::Succeeded, None, Some(project), Some(commit), reached.as_deref(), *watch)
        }
        Finish::Failed { error } => (State::Failed, Some(error), None, None, None, None),
        Finish::Cancelled { reason } => (State::Cancelled, Some(reason), None, None, None, None),
    };
    let mut end = db.prepare_cached(
        "UPDATE deployments SET state = ?2, error = ?3, project = coalesce(?4, project),
           commit_after = coalesce(?5, commit_after), ended_at = max(?6, coalesce(started_at, ?6))
         WHERE id = ?1 AND state = 'running'",
    )?;
    if end.execute(params![id, state, error, project, commit, at])? == 0 {
        return Ok(false);
    }
    end_phase(db, id, at)?;
    let told = DomainEvent::DeploymentEnded {
        outcome: state,
        why: error.cloned(),
        project: project.cloned(),
        commit: commit.cloned(),
        superseded_by: None,
    };
    journal::of_deployment(db, at, id, &told)?;
    rollouts::end(db, id, project.map(String::as_str).zip(watch), at)?;
    if let (Some(project), Some(commit)) = (project, commit) {
        let mut success = db.prepare_cached(
            "INSERT INTO successes (repo, project, commit_id, deployment, at)
             SELECT repo, ?2, ?3, id, ?4 FROM deployments WHERE id = ?1
             ON CONFLICT (repo, project) DO UPDATE SET commit_id = excluded.commit_id,
               deployment = excluded.deployment, at = excluded.at",
        )?;
        success.execute(params![id, project, commit, at])?;
        let repo = repo_of(db, id)?;
        held::note_success(db, &repo, commit, at)?;
        wanted::reached(db, &repo, commit, reached, at)?;
    }
    Ok(true)
}

/// One that is queued rebuilds everything, because one whose place it takes was to.
pub(super) fn inherit_rebuild(db: &Connection, queued: DeploymentId, at: Millis) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE deployments SET force_rebuild = 1 WHERE id = ?1")?.execute([queued])?;
    journal::of_deployment(db, at, queued, &DomainEvent::RebuildInherited {})
}

/// The journal's word of an end that is no success.
pub(super) fn ended(
    db: &Connection,
    at: Millis,
    id: DeploymentId,
    outcome: State,
    why: Option<String>,
) -> rusqlite::Result<()> {
    let ended = DomainEvent::DeploymentEnded { outcome, why, project: None, commit: None, superseded_by: None };
    journal::of_deployment(db, at, id, &ended)
}

/// The phase that it was in is over.
pub(super) fn end_phase(db: &Connection, id: DeploymentId, at: Millis) -> rusqlite::Result<()> {
    let mut end = db.prepare_cached("UPDATE phases SET ended_at = ?2 WHERE deployment = ?1 AND ended_at IS NULL")?;
    end.execute([id, at])?;
    Ok(())
}
