//! A work tree whose files are read in another folder than the one they are named by. `turnout plan --fetch` reads the
//! fetched tip of the branch in a folder of its own, and plans as if it lay in the work tree. Pure.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    compose::{
        model::{Project, Service},
        source::FileSource,
    },
    config::Repo,
    files::Reach,
};

/// Where files are called, and where they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    root: PathBuf,
    tree: PathBuf,
}

impl View {
    /// The work tree as it is.
    pub fn of(repo: &Repo) -> View {
        View { root: repo.real_path.clone(), tree: repo.real_path.clone() }
    }

    /// The work tree, read below `tree`.
    pub fn through(repo: &Repo, tree: &Path) -> View {
        View { root: repo.real_path.clone(), tree: tree.to_owned() }
    }

    /// The top of what is read.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Where a path is read.
    pub fn at(&self, path: &Path) -> PathBuf {
        moved(path, &self.root, &self.tree)
    }

    /// The name of a path that is read.
    pub fn named_path(&self, path: &Path) -> PathBuf {
        moved(path, &self.tree, &self.root)
    }

    /// A text in which files are called by their names.
    pub fn named(&self, text: &str) -> String {
        if self.is_plain() {
            return text.to_owned();
        }
        text.replace(&*self.tree.to_string_lossy(), &self.root.to_string_lossy())
    }

    /// The project with the paths of what is read for it: build contexts, mounts, secrets and configs.
    pub fn read(&self, project: &Project) -> Project {
        let mut project = project.clone();
        if self.is_plain() {
            return project;
        }
        // What goes into images is named from here on.
        project.working_dir = self.tree.clone();
        let turn = |text: &mut String| *text = self.at(Path::new(text.as_str())).to_string_lossy().into_owned();
        let service = |service: &mut Service| {
            service.volumes.iter_mut().filter(|mount| mount.r#type == "bind").for_each(|mount| turn(&mut mount.source));
            if let Some(build) = &mut service.build {
                turn(&mut build.context);
                turn(&mut build.dockerfile);
                build.additional_contexts.values_mut().for_each(turn);
            }
        };
        project.services.values_mut().chain(project.disabled_services.values_mut()).for_each(service);
        for volume in project.volumes.values_mut().flatten() {
            if let Some(device) = volume.driver_opts.get_mut("device") {
                turn(device);
            }
        }
        project.secrets.values_mut().for_each(|secret| turn(&mut secret.file));
        project.configs.values_mut().for_each(|config| turn(&mut config.file));
        project
    }

    fn is_plain(&self) -> bool {
        self.root == self.tree
    }
}

/// A path below `from` as one below `to`; any other as it is.
fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
        Ok(rest) => to.join(rest),
        Err(_) => path.to_owned(),
    }
}

/// Files as a view has them.
pub struct Viewed<'v, F> {
    /// Where they are read.
    pub view: &'v View,
    /// What reads them.
    pub files: F,
}

impl<F: FileSource> FileSource for Viewed<'_, F> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.read(&self.view.at(path))
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.exists(&self.view.at(path))
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.files.is_dir(&self.view.at(path))
    }

    fn stays_in(&self, path: &Path, folder: &Path) -> bool {
        self.files.stays_in(&self.view.at(path), &self.view.at(folder))
    }

    fn link_target(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let target = self.files.link_target(&self.view.at(path))?;
        Ok(target.map(|target| self.view.named_path(&target)))
    }

    fn reach(&self) -> Reach {
        self.files.reach()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_work_tree_and_reads_go_elsewhere() {
        let view = View { root: "/srv/shop".into(), tree: "/state/plan/tree".into() };
        for (path, read) in [
            ("/srv/shop", "/state/plan/tree"),
            ("/srv/shop/site/a", "/state/plan/tree/site/a"),
            ("/srv/shop2", "/srv/shop2"),
            ("https://example.org/x.git", "https://example.org/x.git"),
            ("Dockerfile", "Dockerfile"),
        ] {
            assert_eq!(view.at(Path::new(path)), Path::new(read));
        }
        assert_eq!(view.named("/state/plan/tree/site/a is gone"), "/srv/shop/site/a is gone");
        let plain = View { root: "/srv/shop".into(), tree: "/srv/shop".into() };
        assert_eq!(plain.at(Path::new("/srv/shop/a")), Path::new("/srv/shop/a"));
    }
}
