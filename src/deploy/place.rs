//! Where a repository's work tree lies at this moment.
//!
//! `path` in `repos.yaml` may be a link that somebody turns to another folder, between deployments or during one
//! (`current -> releases/7`). A deployment follows it once, at its start: git, Compose's project directory, mounts and
//! labels are all of the folder that it led to then, and a turned link counts from the next deployment on.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Failure;
use crate::{
    config::{PathState, Repo, gather::path_state},
    files,
};

/// How long the disk of a work tree may take for one call.
const PATIENCE: Duration = Duration::from_secs(5);

/// The repository with the place to which its path leads now.
pub fn now(repo: &Repo) -> Repo {
    let mut now = repo.clone();
    match path_state(&repo.path) {
        PathState::Directory(real) => now.real_path = real,
        PathState::Missing { real, .. } => now.real_path = behind_link(&repo.path).unwrap_or(real),
        // What is wrong with it is said by whoever works there.
        PathState::NotADirectory | PathState::Unreadable(_) | PathState::Silent => {}
    }
    now
}

/// All repositories, each with its place now.
pub fn all_now(repos: &[Repo]) -> Vec<Repo> {
    repos.iter().map(now).collect()
}

/// Where a link leads behind which nothing lies yet: that is where a clone goes, and the link stays.
fn behind_link(link: &Path) -> Option<PathBuf> {
    let looking = link.to_path_buf();
    let looked = files::waited(PATIENCE, move || {
        let behind = || {
            let target = looking.parent()?.join(fs::read_link(&looking).ok()?);
            Some(fs::canonicalize(target.parent()?).ok()?.join(target.file_name()?))
        };
        files::at(&looking, &looking, behind).ok().flatten()
    });
    looked.ok().flatten()
}

/// Asks the disk of a work tree for a sign of life, before git is sent there: git cannot be watched.
///
/// # Errors
/// It does not answer.
pub(super) async fn answers(repo: &Repo) -> Result<(), Failure> {
    let path = repo.path.clone();
    let looked = files::blocking_for(PATIENCE, move || files::at(&path, &path, || fs::metadata(&path).is_ok())).await;
    match looked.map(|answer| answer.err()) {
        // What else is wrong there, git tells.
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(Failure { hint: files::hint(&error), ..Failure::new(error.to_string()) }),
        Err(lost) => Err(lost.into()),
    }
}

/// The one of this name, unless its link leads to where another one works, or into or above that: repos.yaml is checked
/// for that when it is read, and links are turned later.
///
/// # Errors
/// With both names and the folder.
pub fn alone(repo: &Repo, all: &[Repo]) -> Result<Repo, Failure> {
    let here = now(repo);
    let others = all.iter().filter(|other| other.name != repo.name);
    let meets =
        |other: &Repo| other.real_path.starts_with(&here.real_path) || here.real_path.starts_with(&other.real_path);
    match others.map(now).find(meets) {
        None => Ok(here),
        Some(other) => {
            let (leads, there) = (repo.path.display(), here.real_path.display());
            let name = &other.name;
            let said = match (here.real_path == other.real_path, here.real_path.starts_with(&other.real_path)) {
                (true, _) => format!("{leads} leads to {there}, where `{name}` is deployed from, too"),
                (false, true) => format!("{leads} leads to {there}, which lies in the work tree of `{name}`"),
                (false, false) => format!("{leads} leads to {there}, in which the work tree of `{name}` lies"),
            };
            Err(Failure::new(said)
                .hint("two deployments would overwrite each other; turn one of the links to a work tree of its own"))
        }
    }
}

/// Refuses a work tree that shares its place with turnout's own state: a commit could overwrite the database, and whoever
/// clears one away would clear the other away, too.
///
/// # Errors
/// With both folders.
pub fn apart(repo: &Repo, state_dir: &Path) -> Result<(), Failure> {
    let looking = state_dir.to_path_buf();
    let looked = files::waited(PATIENCE, move || files::at(&looking, &looking, || fs::canonicalize(&looking).ok()));
    // One that is not there yet, or does not answer, is compared as it is written.
    let state = looked.ok().and_then(Result::ok).flatten().unwrap_or_else(|| state_dir.to_path_buf());
    let tree = &repo.real_path;
    let said = match (tree.starts_with(&state), state.starts_with(tree)) {
        (false, false) => return Ok(()),
        (true, true) => format!("its work tree {} is the folder of turnout's own state", tree.display()),
        (true, false) => {
            format!("its work tree {} lies in {}, the folder of turnout's own state", tree.display(), state.display())
        }
        (false, true) => {
            format!("turnout's own state lies in its work tree {}, in {}", tree.display(), state.display())
        }
    };
    Err(Failure::new(said).hint("give the repository another `path`, or turnout another TURNOUT_STATE_DIR"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::repos;

    #[test]
    fn links_are_followed_when_it_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        for name in ["releases/1", "releases/2", "other"] {
            fs::create_dir_all(top.join(name)).unwrap();
        }
        let turn = |to: &str| {
            let _ = fs::remove_file(top.join("current"));
            symlink(to, top.join("current")).unwrap();
        };
        turn("releases/1");
        let text = format!(
            "shop: {{ path: {0}/current, remote: /srv/shop.git }}\nother: {{ path: {0}/other }}\n",
            top.display()
        );
        let list = repos::parse(&text, "repos.yaml", &path_state).unwrap().repos;
        let shop = || alone(list.iter().find(|repo| repo.name == "shop").unwrap(), &list);
        assert_eq!(shop().unwrap().real_path, top.join("releases/1"));
        turn("releases/2");
        assert_eq!(shop().unwrap().real_path, top.join("releases/2"));
        turn("releases/3");
        assert_eq!(shop().unwrap().real_path, top.join("releases/3"), "where a clone goes");
        fs::remove_file(top.join("current")).unwrap();
        assert_eq!(shop().unwrap().real_path, top.join("current"));
        turn("other");
        let refused = shop().unwrap_err();
        assert!(refused.summary.contains("where `other` is deployed from"), "{}", refused.summary);
        fs::create_dir(top.join("other/within")).unwrap();
        for (to, said) in
            [("other/within", "lies in the work tree of `other`"), (".", "in which the work tree of `other` lies")]
        {
            turn(to);
            let refused = shop().unwrap_err();
            assert!(refused.summary.contains(said), "{}", refused.summary);
        }
    }

    #[test]
    fn a_work_tree_and_the_state_have_places_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        for name in ["state/shop", "tree/state", "other"] {
            fs::create_dir_all(top.join(name)).unwrap();
        }
        symlink("state", top.join("link")).unwrap();
        let repo = |path: &str| {
            let text = format!("shop: {{ path: {}/{path} }}\n", top.display());
            repos::parse(&text, "repos.yaml", &path_state).unwrap().repos.remove(0)
        };
        let table = [
            ("other", "state", None),
            ("state", "state", Some("is the folder of turnout's own state")),
            ("state/shop", "state", Some("lies in")),
            ("state/shop", "link", Some("lies in")),
            ("link/shop", "state", Some("lies in")),
            ("tree", "tree/state", Some("turnout's own state lies in its work tree")),
            ("state", "not/there", None),
        ];
        for (tree, state, said) in table {
            let answer = apart(&repo(tree), &top.join(state)).map_err(|refused| refused.summary);
            match (said, answer) {
                (None, answer) => assert_eq!(answer, Ok(()), "{tree} {state}"),
                (Some(said), answer) => {
                    assert!(answer.clone().unwrap_err().contains(said), "{tree} {state}: {answer:?}")
                }
            }
        }
    }
}
