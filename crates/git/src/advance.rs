//! Moves a work tree to what was fetched, or says why not. Local state is only ever given up on request.

use std::collections::HashSet;

use git2::{BranchType, ErrorCode, Oid, Repository};

use super::{
    branch, checkout, detached,
    error::GitError,
    objects, rebase,
    remote::{Divergence, Moved},
    session::Session,
    short::short_id,
    transfer::Fetched,
};

/// Moves the work tree to the fetched branch. Returns the new commit and how it got there.
pub(super) fn to(repo: &Repository, fetched: &Fetched, session: &Session) -> Result<(Oid, Moved), GitError> {
    let local = |error: git2::Error| GitError::local(&session.remote.path, "update", &error);
    let here = Here::find(repo, &fetched.branch).map_err(local)?;
    here.may_leave(repo, fetched, session)?;

    // The branch may exist without being checked out; then it is judged by its own tip.
    let Some(tip) = here.branch_tip else {
        checkout::to(repo, fetched.tip, mode(session), session)?;
        settle(repo, fetched, fetched.tip).map_err(local)?;
        checkout::finished(repo, session)?;
        return Ok((fetched.tip, here.switched(Moved::FastForwarded { commits: 0 })));
    };
    let (ahead, behind) = ahead_behind(repo, tip, fetched.tip).map_err(local)?;
    let published = published(repo, &fetched.branch, tip, ahead);
    let (target, moved) = match (ahead, behind, session.remote.on_divergence) {
        (0, 0, _) => (tip, Moved::UpToDate { ahead: 0 }),
        (0, commits, _) => (fetched.tip, Moved::FastForwarded { commits }),
        (dropped, _, Divergence::Reset) => (fetched.tip, Moved::Reset { dropped }),
        (ahead, 0, Divergence::Refuse) if published == 0 => (tip, Moved::UpToDate { ahead }),
        (dropped, 0, Divergence::Refuse) => {
            return Err(GitError::Rewound { local: short_id(repo, tip), remote: short_id(repo, fetched.tip), dropped });
        }
        (ahead, behind, Divergence::Refuse) => {
            return Err(GitError::Diverged {
                path: session.remote.path.clone(),
                local: short_id(repo, tip),
                remote: short_id(repo, fetched.tip),
                ahead,
                behind,
            });
        }
        (ahead, 0, Divergence::Rebase) if published == 0 => (tip, Moved::UpToDate { ahead }),
        // Commits that the remote once had and took back are not ours to put on top again.
        (_, _, Divergence::Rebase) => {
            let since = branch::known_before(repo, &fetched.branch).filter(|_| published > 0);
            let (target, commits) = rebase::onto(repo, tip, since, fetched.tip, session)?;
            (target, Moved::Rebased { commits })
        }
    };
    let is_there = here.head == Some(target) && here.name.as_deref() == Some(&fetched.branch);
    if !is_there || checkout::is_unfinished(repo) {
        checkout::to(repo, target, mode(session), session)?;
    }
    settle(repo, fetched, target).map_err(local)?;
    checkout::finished(repo, session)?;
    Ok((target, here.switched(moved)))
}

/// What a check-out does with changes made by hand.
pub(super) fn mode(session: &Session) -> checkout::Mode {
    if session.remote.on_divergence == Divergence::Reset { checkout::Mode::GiveUp } else { checkout::Mode::Keep }
}

/// Where the work tree is before the move.
struct Here {
    /// The branch that is checked out; none when detached.
    name: Option<String>,
    /// The commit that is checked out; none when there is none yet.
    head: Option<Oid>,
    /// The tip of the local branch that is to follow.
    branch_tip: Option<Oid>,
    short: String,
    wanted: String,
}

impl Here {
    fn find(repo: &Repository, branch: &str) -> Result<Self, git2::Error> {
        let head = match repo.head() {
            Ok(head) => Some(head.peel_to_commit()?.id()),
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => None,
            Err(error) => return Err(error),
        };
        let name = branch::checked_out(repo);
        let branch_tip = repo.find_branch(branch, BranchType::Local).ok().and_then(|branch| branch.get().target());
        let short = head.map(|head| short_id(repo, head)).unwrap_or_default();
        Ok(Self { name, head, branch_tip, short, wanted: branch.to_owned() })
    }

    /// A detached HEAD may hold commits that no branch holds; leaving it would lose them.
    fn may_leave(&self, repo: &Repository, fetched: &Fetched, session: &Session) -> Result<(), GitError> {
        let Some(head) = self.head.filter(|_| self.name.is_none()) else { return Ok(()) };
        let held = head == fetched.tip
            || contains(repo, fetched.tip, head)
            || self.branch_tip.is_some_and(|tip| contains(repo, tip, head))
            || detached::is_ours(repo, head);
        if held || session.remote.on_divergence == Divergence::Reset {
            return Ok(());
        }
        Err(GitError::Detached {
            path: session.remote.path.clone(),
            commit: self.short.clone(),
            reason: " and that commit is not part of the remote branch",
            branch: fetched.branch.clone(),
        })
    }

    fn switched(&self, moved: Moved) -> Moved {
        match (&self.name, self.head) {
            (Some(name), Some(_)) if *name != self.wanted => Moved::Switched { from: name.clone() },
            (None, Some(_)) => Moved::Switched { from: self.short.clone() },
            _ => moved,
        }
    }
}

/// How many of the commits ahead the remote branch had when we last followed it.
fn published(repo: &Repository, branch: &str, tip: Oid, ahead: usize) -> usize {
    let Some(before) = branch::known_before(repo, branch) else { return 0 };
    ahead_behind(repo, tip, before).map_or(0, |(own, _)| ahead.saturating_sub(own))
}

fn contains(repo: &Repository, tip: Oid, commit: Oid) -> bool {
    ahead_behind(repo, commit, tip).is_ok_and(|(ahead, _)| ahead == 0)
}

/// How many commits each side has that the other has not. libgit2's own count fails at the edge of a shallow clone.
fn ahead_behind(repo: &Repository, ours: Oid, theirs: Oid) -> Result<(usize, usize), git2::Error> {
    if !repo.is_shallow() {
        return repo.graph_ahead_behind(ours, theirs);
    }
    let (ours, theirs) = (history(repo, ours), history(repo, theirs));
    Ok((ours.difference(&theirs).count(), theirs.difference(&ours).count()))
}

/// All commits that lead to a tip, as far as they are here.
fn history(repo: &Repository, tip: Oid) -> HashSet<Oid> {
    let mut seen = HashSet::new();
    let mut waiting = vec![tip];
    while let Some(id) = waiting.pop() {
        if let Ok(commit) = objects::commit(repo, id)
            && seen.insert(id)
        {
            waiting.extend(commit.parent_ids().filter(|parent| !seen.contains(parent)));
        }
    }
    seen
}

/// Records where the work tree is now. After the files, so that a crash in between is repaired by the next update.
fn settle(repo: &Repository, fetched: &Fetched, target: Oid) -> Result<(), git2::Error> {
    let full = format!("refs/heads/{}", fetched.branch);
    if repo.refname_to_id(&full).ok() != Some(target) {
        repo.reference(&full, target, true, "turnout: update")?;
    }
    if branch::checked_out(repo).as_deref() != Some(&fetched.branch) {
        repo.set_head(&full)?;
    }
    detached::settled(repo);
    branch::remember_remote(repo, &fetched.branch, fetched.tip)
}
