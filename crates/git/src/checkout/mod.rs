//! Brings the work tree and the index to a commit, as git would. See docs/adr/0007-own-check-out.md.
//!
//! The way of [`to`]: take git's lock of the index, look at every path ([`look`]), decide ([`decide`], pure), refuse what
//! is in the way or cannot be done while nothing has been done yet, note what is about to happen ([`note`]), carry it out
//! ([`carry_out`]), write the index. When the caller has moved the references too, it says [`finished`].

mod carry_out;
mod decide;
mod index;
mod index_lock;
mod look;
mod names;
mod node;
pub(super) mod note;
mod owned;
mod room;
mod settings;
mod sparse;
mod tree;
mod work_tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use git2::{Oid, Repository};

use self::{
    decide::{Facts, Plan, Set, Way, decide},
    index::Index,
    look::{Eyes, States, facts},
    node::{Name, shown},
    settings::Settings,
    tree::{MOST, Most, Tree},
    work_tree::WorkTree,
};
use super::{
    convert::{Converter, Source},
    error::GitError,
    objects,
    session::Session,
    stage::Stage,
    traps,
};
use turnout_report::Event;

/// What the trees of an interrupted check-out may have together: that of where it began, and of where it went.
const HALF: Most = Most { paths: 2 * MOST.paths, bytes: 2 * MOST.bytes };

/// What happens to changes made by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They are kept; those in the way are an error that names them. As `git merge --ff-only`.
    Keep,
    /// As before, but if anything is in the way, all of them are given up, with a warning. As `git reset --hard`.
    GiveUp,
    /// They are overwritten: nobody works here.
    Fill,
}

/// Checks a commit out. Untracked files stay unless something else is to be in their place.
///
/// # Errors
/// [`GitError::LocalChanges`] and others that say what is in the way, with everything as it was. An error of the file
/// system in the middle leaves half a check-out, which the next one goes on with.
pub(super) fn to(repo: &Repository, target: Oid, mode: Mode, session: &Session) -> Result<(), GitError> {
    session.go_on()?;
    let path = repo.workdir().unwrap_or(&session.remote.path).to_owned();
    let local = |error: git2::Error| GitError::local(&path, "check out in", &error);
    let io = |error: std::io::Error| GitError::io(&path, "check out in", &error);
    let settings = Settings::of(repo).map_err(local)?;
    let lock = index_lock::take(repo, &session.stop)?;
    let index =
        index::read(&repo.path().join("index")).map_err(|error| GitError::local(&path, "read the index of", &error))?;
    let from = repo.head().ok().and_then(|head| Some(head.peel_to_commit().ok()?.id()));
    let interrupted = interrupted(repo, from, &path)?;

    let go_on = || session.go_on();
    let new = Tree::of(repo, target, &go_on)?;
    // Without an index nothing was taken out of it by hand.
    let old = from.filter(|_| index.version != 0).map(|from| Tree::of(repo, from, &go_on)).transpose()?;
    let old = old.unwrap_or_default();
    let half = half(repo, &interrupted, session)?;
    refuse_names(&new, &index, settings, &path)?;
    let files = new.nodes.iter().filter(|(_, node)| matches!(node.kind, node::Kind::File | node::Kind::Program));
    traps::refuse_commit(repo, files.map(|(name, node)| (name.as_slice(), node.id)))
        .map_err(|why| GitError::other(format!("check out {target} in {}", path.display()), why))?;
    let sparse = settings::sparse(repo)?;
    let mut work = WorkTree::open(&path).map_err(io)?;
    if !half.is_empty() {
        carry_out::sweep(half.iter().chain([&old, &new]), &mut work)?;
    }
    let own = owned::of(repo, &path, session);
    let states = States { index: &index, old: &old, new: &new, half: &half, sparse: sparse.as_ref(), own: &own };
    let mut by_hand = Converter::new(repo, Source::WorkTree, session)?;
    let mut eyes = Eyes { repo, work: &mut work, converter: &mut by_hand, settings, session };
    let facts = facts(&states, &mut eyes)?;

    let set = sparse
        .as_ref()
        .map_or(Set::Whole, |sparse| Set::Sparse { expects_files_outside: sparse.expects_files_outside });
    let mut plan = decide(&facts, if mode == Mode::Fill { Way::Force } else { Way::Keep }, set);
    let gives_up = mode == Mode::GiveUp && !plan.conflicts.is_empty();
    if gives_up {
        plan = decide(&facts, Way::Force, set);
    }
    refuse_what_is_in_the_way(&plan, &facts, &path)?;

    let tree = objects::tree_of(repo, target).map_err(local)?;
    let mut converter = Converter::new(repo, Source::Tree(&tree), session)?;
    carry_out::check(&plan, repo, &mut work, &mut converter, session)?;
    let after = plan.index(&index);
    if plan.is_idle() && after == index {
        return Ok(());
    }
    session.go_on()?;
    if gives_up {
        let files = names(&plan.given_up).join(", ");
        session.tell(Event::Warning { text: format!("local changes are overwritten (on_divergence: reset): {files}") });
    }
    for name in names(&plan.stays) {
        session.tell(Event::Warning {
            text: format!("{name} is not tracked any more; it stays here, as the server's own"),
        });
    }
    for name in own.iter().map(|own| &own.name).filter(|name| plan.remove.contains_key(*name)) {
        session.tell(Event::Warning {
            text: format!(
                "{} goes with the commit that takes it out: no deployment has succeeded with it",
                shown(name)
            ),
        });
    }
    note::write(repo, &noted(interrupted, from, target)).map_err(io)?;
    session.reach(Stage::Half, repo);
    let after = carry_out::carry_out(&plan, after, repo, &mut work, &mut converter, settings, session)?;
    owned::record(repo, &path, &plan, session).map_err(io)?;
    lock.write(&after.encode(&new), settings.shared)?;
    // libgit2 has the former one in memory.
    repo.index().and_then(|mut index| index.read(true)).map_err(local)
}

/// Refuses a commit whose files are more than a check-out takes, for whoever has libgit2 read them before that.
pub(super) fn refuse_too_much(repo: &Repository, commit: Oid, session: &Session) -> Result<(), GitError> {
    Tree::of(repo, commit, &|| session.go_on()).map(drop)
}

/// Says that the references have followed, so that nothing is half done any more.
pub(super) fn finished(repo: &Repository, session: &Session) -> Result<(), GitError> {
    session.reach(Stage::Arrived, repo);
    note::remove(repo).map_err(|error| GitError::io(repo.path(), "remove the note in", &error))
}

/// Whether a check-out was interrupted, so that the work tree may not be at HEAD whatever HEAD says.
pub(super) fn is_unfinished(repo: &Repository) -> bool {
    note::is_there(repo)
}

/// The commits of an interrupted check-out, unless somebody has checked out something else since.
fn interrupted(repo: &Repository, from: Option<Oid>, path: &Path) -> Result<Vec<Oid>, GitError> {
    let commits =
        note::read(repo).map_err(|error| GitError::io(path, "read the note of the last check-out in", &error))?;
    Ok(if from.is_none_or(|from| commits.contains(&from)) { commits } else { Vec::new() })
}

/// What an interrupted check-out may have left, from the newest. Commits that are gone meanwhile cannot be what is in the
/// work tree; those for which there is no memory count as gone.
fn half(repo: &Repository, interrupted: &[Oid], session: &Session) -> Result<Vec<Tree>, GitError> {
    let mut most = HALF;
    let mut trees = Vec::new();
    for commit in interrupted.iter().rev() {
        session.go_on()?;
        if let Ok(tree) = Tree::within(repo, *commit, most, &|| session.go_on()) {
            most = tree.left_of(most);
            trees.push(tree);
        }
    }
    session.go_on()?;
    trees.reverse();
    Ok(trees)
}

fn noted(mut commits: Vec<Oid>, from: Option<Oid>, target: Oid) -> Vec<Oid> {
    for commit in from.into_iter().chain([target]) {
        if !commits.contains(&commit) {
            commits.push(commit);
        }
    }
    commits
}

/// Refuses commits that would write into the repository itself.
fn refuse_names(new: &Tree, index: &Index, settings: Settings, path: &Path) -> Result<(), GitError> {
    for (name, node) in &new.nodes {
        if index.entries.get(name).is_none_or(|entry| entry.node != *node)
            && let Some(fault) = names::fault(name, node.kind, settings.protect)
        {
            return Err(GitError::other(
                format!("check out {:?} in {}", shown(name), path.display()),
                format!("{fault}; git refuses such a path, too: take it out of the repository"),
            ));
        }
    }
    Ok(())
}

fn refuse_what_is_in_the_way(plan: &Plan, facts: &BTreeMap<Name, Facts>, path: &Path) -> Result<(), GitError> {
    let of = |name: &Name| facts.get(name);
    let untracked = |name: &&Name| of(name).is_some_and(|facts| facts.own && facts.index.is_none());
    let own: Vec<&Name> = plan.conflicts.iter().filter(untracked).collect();
    if !own.is_empty() {
        return Err(GitError::ServerFile { path: path.to_owned(), files: names(own) });
    }
    // What lies below a submodule's folder is that one's, and unknown to the status of the work tree.
    let is_module = |name: &[u8]| {
        let facts = facts.get(name);
        facts.and_then(|facts| facts.index).is_some_and(|entry| entry.node.kind == node::Kind::Module)
    };
    let modules: BTreeSet<Name> = plan
        .conflicts
        .iter()
        .filter_map(|name| {
            let mut ends = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            ends.find_map(|at| name.get(..at).filter(|above| is_module(above)).map(<[u8]>::to_vec))
        })
        .collect();
    if !modules.is_empty() {
        return Err(GitError::ModuleInTheWay { path: path.to_owned(), folders: names(&modules) });
    }
    if !plan.conflicts.is_empty() {
        return Err(GitError::LocalChanges { path: path.to_owned(), files: names(&plan.conflicts) });
    }
    if !plan.repositories.is_empty() {
        return Err(GitError::RepositoryInTheWay { path: path.to_owned(), folders: names(&plan.repositories) });
    }
    Ok(())
}

fn names<'n>(names: impl IntoIterator<Item = &'n Name>) -> Vec<String> {
    names.into_iter().map(|name| shown(name)).collect()
}
