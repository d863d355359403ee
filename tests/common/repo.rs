//! A remote repository with somebody who pushes to it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use git2::{IndexAddOption, Repository, RepositoryInitOptions, Signature};
use tempfile::TempDir;

/// A bare repository (the remote) and a working clone of it (the developer's). Removed on drop.
pub struct GitRemote {
    home: TempDir,
    work: Repository,
}

impl GitRemote {
    /// An empty remote whose branch is `main`.
    pub fn new() -> Self {
        let home = TempDir::new().unwrap();
        let bare = home.path().join("remote.git");
        let options = |bare: bool| {
            let mut options = RepositoryInitOptions::new();
            options.bare(bare).initial_head("main");
            options
        };
        Repository::init_opts(&bare, &options(true)).unwrap();
        let work = Repository::init_opts(home.path().join("work"), &options(false)).unwrap();
        work.remote("origin", bare.to_str().unwrap()).unwrap();
        Self { home, work }
    }

    /// A remote with these files committed and pushed.
    pub fn with_files(files: &[(&str, &str)]) -> Self {
        let remote = Self::new();
        for (path, text) in files {
            remote.write(path, text);
        }
        remote.commit_and_push("First");
        remote
    }

    /// A remote with one of `compose-examples/`, committed and pushed.
    pub fn from_example(name: &str) -> Self {
        let remote = Self::new();
        copy_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-examples").join(name), &remote.work_dir());
        remote.commit_and_push("First");
        remote
    }

    /// The address to clone from: a path.
    pub fn url(&self) -> String {
        self.bare_dir().to_str().unwrap().to_owned()
    }

    /// The bare repository, for serving it in another way.
    pub fn bare_dir(&self) -> PathBuf {
        self.home.path().join("remote.git")
    }

    /// The developer's working tree.
    pub fn work_dir(&self) -> PathBuf {
        self.home.path().join("work")
    }

    /// Writes a file into the developer's tree.
    pub fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.work_dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Replaces text in a file of the developer's tree; panics where there is nothing to replace.
    pub fn replace(&self, path: &str, from: &str, to: &str) -> &Self {
        let text = fs::read_to_string(self.work_dir().join(path)).unwrap();
        assert!(text.contains(from), "{path} does not contain {from:?}");
        self.write(path, &text.replace(from, to))
    }

    /// Removes a file from the developer's tree.
    pub fn remove(&self, path: &str) -> &Self {
        fs::remove_file(self.work_dir().join(path)).unwrap();
        self
    }

    /// Commits everything and returns the commit.
    pub fn commit(&self, message: &str) -> String {
        let mut index = self.work.index().unwrap();
        index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
        index.update_all(["*"], None).unwrap();
        index.write().unwrap();
        let tree = self.work.find_tree(index.write_tree().unwrap()).unwrap();
        let who = Signature::now("A. Person", "person@example.org").unwrap();
        let parent = self.work.head().ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        self.work.commit(Some("HEAD"), &who, &who, message, &tree, &parents).unwrap().to_string()
    }

    /// Pushes `main`; with force, so that a rewritten history gets there too.
    pub fn push(&self) {
        self.work.find_remote("origin").unwrap().push(&["+refs/heads/main:refs/heads/main"], None).unwrap();
    }

    /// Commits everything, pushes, and returns the commit.
    pub fn commit_and_push(&self, message: &str) -> String {
        let id = self.commit(message);
        self.push();
        id
    }

    /// The developer's commit.
    pub fn head(&self) -> String {
        self.work.head().unwrap().peel_to_commit().unwrap().id().to_string()
    }

    /// Takes the developer's branch back to `commit`, for rewriting history.
    pub fn reset_to(&self, commit: &str) {
        let object = self.work.find_object(git2::Oid::from_str(commit).unwrap(), None).unwrap();
        self.work.reset(&object, git2::ResetType::Hard, None).unwrap();
    }

    /// The server's clone.
    pub fn clone_to(&self, path: &Path) {
        Repository::clone(&self.url(), path).unwrap();
    }
}

/// Writes `.env` from `.env.example` as a user without a registry does: local base, and the given lines on top.
pub fn offline_env(directory: &Path, base: &str, lines: &[(&str, &str)]) {
    let example = fs::read_to_string(directory.join(".env.example")).unwrap();
    let mut text = String::new();
    for line in example.lines() {
        let assignment = line.strip_prefix('#').filter(|rest| rest.contains('=') && !rest.starts_with(' '));
        let line = assignment.unwrap_or(line).replace("turnout-base:latest", base);
        let name = line.split('=').next().unwrap_or("");
        if !lines.iter().any(|(given, _)| *given == name) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    for (name, value) in lines {
        text.push_str(&format!("{name}={value}\n"));
    }
    fs::write(directory.join(".env"), text).unwrap();
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // A user's own .env beside the example is not part of it.
        if entry.file_name() == ".env" {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
