//! Which branch a working tree is on, by its HEAD file: cheap enough to ask for every delivery, and to be asked where a
//! disk that hangs holds nobody up ([`files::blocking`]).

use std::{fs::File, io::Read as _, path::Path};

use crate::{config::Repo, files};

/// Longest HEAD or .git file read.
const MOST: u64 = 4096;

/// The branch that the repository's working tree has checked out, or left for a commit that somebody asked for by name
/// (see [`crate::git::check_out`]). `None` where it is not cloned or HEAD is detached otherwise.
pub fn checked_out(repo: &Repo) -> Option<String> {
    // Where it leads now, should it be a link.
    let git = repo.path.join(".git");
    // What hangs elsewhere in the tree says nothing of this.
    let read = |file: &Path| files::at(&git, file, || read(file)).ok().flatten();
    let folder = match read(&git) {
        // A linked working tree: `.git` is a file that names the directory.
        Some(link) => repo.path.join(link.strip_prefix("gitdir:")?.trim()),
        None => git.clone(),
    };
    let branch = |file: &str| Some(read(&folder.join(file))?.strip_prefix("ref: refs/heads/")?.trim_end().to_owned());
    branch("HEAD").or_else(|| branch(crate::git::LEFT_BRANCH))
}

fn read(file: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(file).ok()?.take(MOST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{gather::path_state, repos};

    #[test]
    fn head_names_the_branch() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("shop: {}\n", dir.path().display());
        let repos = repos::parse(&text, "repos.yaml", &path_state).unwrap();
        let shop = &repos.repos[0];
        assert_eq!(checked_out(shop), None);
        fs::create_dir(dir.path().join(".git")).unwrap();
        fs::write(dir.path().join(".git/HEAD"), "ref: refs/heads/feature/x\n").unwrap();
        assert_eq!(checked_out(shop).as_deref(), Some("feature/x"));
        fs::write(dir.path().join(".git/HEAD"), "1".repeat(40)).unwrap();
        assert_eq!(checked_out(shop), None);
        fs::write(dir.path().join(".git/TURNOUT_BRANCH"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(checked_out(shop).as_deref(), Some("main"));
        fs::remove_dir_all(dir.path().join(".git")).unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(dir.path().join(".git"), "gitdir: real\n").unwrap();
        assert_eq!(checked_out(shop).as_deref(), Some("main"));
    }
}
