//! What blue/green deployment has to know of images and files before it can derive anything. Reads, changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use super::super::{Failure, compute::compute};
use crate::{
    compose::model::Project,
    config::Repo,
    engine::Engine,
    files::{self, Kind},
    git,
    switch::{Facts, FileFacts, FileKind, ImageFacts},
};

/// Bytes of one configuration file that is looked through for names of services; larger ones are data.
const TEXT: Kind = Kind { most: 64 << 10 };
/// Bytes of all of them.
const ALL_TEXT: usize = 1 << 20;
/// Files in one folder that are compared with what git tracks; one with more is data.
const MOST: usize = 2_000;

/// The facts of a project. `colour`: the COLOR that it was loaded with.
///
/// # Errors
/// When the engine does not answer.
pub async fn gather(repo: &Repo, project: &Project, colour: &str, engine: &Engine) -> Result<Facts, Failure> {
    let images: BTreeSet<String> =
        project.services.iter().map(|(name, service)| service.image_name(&project.name, name)).collect();
    let said = engine.images_say(images).await?;
    let images = said.into_iter().map(|(name, says)| {
        let facts = ImageFacts {
            volumes: says.volumes,
            ports: says.ports,
            command: says.command,
            entrypoint: says.entrypoint,
            healthcheck: says.healthcheck,
        };
        (name, facts)
    });
    let images = images.collect();
    let (root, looked) = (repo.real_path.clone(), project.clone());
    let files = compute(repo, "looking at what is mounted", move || of_files(&root, &looked)).await?;
    Ok(Facts { images, files, colour: Some(colour.to_owned()) })
}

/// Sources of bind mounts, and files of configs and secrets.
fn of_files(root: &Path, project: &Project) -> BTreeMap<String, FileFacts> {
    let binds = project.services.values().flat_map(|service| &service.volumes).filter(|mount| mount.r#type == "bind");
    let mut paths: BTreeSet<&str> = binds.map(|mount| mount.source.as_str()).collect();
    paths.extend(project.configs.values().map(|config| config.file.as_str()));
    paths.extend(project.secrets.values().map(|secret| secret.file.as_str()));
    paths.remove("");
    if paths.is_empty() {
        return BTreeMap::new();
    }
    // Of a work tree that git cannot read nothing counts as configuration: the more careful case.
    let tracked = git::tracked_files(root).unwrap_or_default();
    let changed: BTreeSet<PathBuf> = match git::changed_by_hand(root) {
        Ok(changed) => changed.into_iter().map(PathBuf::from).collect(),
        Err(_) => tracked.iter().cloned().collect(),
    };
    let tree = Tree { root, tracked: &tracked, changed: &changed };
    let mut left = ALL_TEXT;
    paths.into_iter().map(|path| (path.to_owned(), tree.look(project, Path::new(path), &mut left))).collect()
}

/// A work tree, as git has it.
struct Tree<'a> {
    root: &'a Path,
    tracked: &'a [PathBuf],
    changed: &'a BTreeSet<PathBuf>,
}

impl Tree<'_> {
    fn look(&self, project: &Project, path: &Path, left: &mut usize) -> FileFacts {
        let meta = files::at(self.root, path, || fs::metadata(path)).flatten();
        let kind = meta.as_ref().map_or(FileKind::Ordinary, |meta| match meta.file_type() {
            kind if kind.is_socket() => FileKind::Socket,
            kind if kind.is_block_device() || kind.is_char_device() => FileKind::Device,
            _ => FileKind::Ordinary,
        });
        let own = self.below(path);
        let clean = !own.is_empty() && !own.iter().any(|file| self.changed.contains(*file));
        let is_folder = meta.is_ok_and(|meta| meta.is_dir());
        let tracked = clean && (!is_folder || self.count(path, 0).is_some_and(|there| there == own.len()));
        let mut text = String::new();
        for file in own.iter().filter(|_| tracked) {
            let bytes = project.reach.read(&self.root.join(file), TEXT).unwrap_or_default();
            let Ok(more) = String::from_utf8(bytes) else { continue };
            if more.len() > *left {
                break;
            }
            *left -= more.len();
            text.push_str(&more);
            text.push('\n');
        }
        FileFacts { tracked, kind, text }
    }

    /// Tracked files at or below a path.
    fn below(&self, path: &Path) -> Vec<&PathBuf> {
        let Ok(inside) = path.strip_prefix(self.root) else { return Vec::new() };
        self.tracked.iter().filter(|file| file.starts_with(inside)).collect()
    }

    /// How many files lie below a folder; `None`: too many, or it cannot be told.
    fn count(&self, folder: &Path, before: usize) -> Option<usize> {
        let entries = files::at(self.root, folder, || fs::read_dir(folder)).flatten().ok()?;
        let mut count = 0;
        for entry in entries {
            let entry = entry.ok()?;
            let kind = entry.file_type().ok()?;
            count += match kind.is_dir() {
                true => self.count(&entry.path(), before + count)?,
                false => 1,
            };
            if before + count > MOST {
                return None;
            }
        }
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_git_tracks_whole_and_clean_is_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (file, text) in [("conf/a.conf", "proxy_pass http://web:8000;"), ("mixed/b.conf", "b"), ("dirty.conf", "c")]
        {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), text).unwrap();
        }
        fs::write(root.join("mixed/data.db"), "rows").unwrap();
        let tracked: Vec<PathBuf> = ["conf/a.conf", "dirty.conf", "mixed/b.conf"].map(PathBuf::from).into();
        let changed = BTreeSet::from([PathBuf::from("dirty.conf")]);
        let tree = Tree { root: &root, tracked: &tracked, changed: &changed };
        let project = Project::default();
        for (path, is_tracked, text) in [
            ("conf", true, "proxy_pass http://web:8000;\n"),
            ("conf/a.conf", true, "proxy_pass http://web:8000;\n"),
            ("mixed", false, ""),
            ("mixed/b.conf", true, "b\n"),
            ("dirty.conf", false, ""),
            ("nowhere", false, ""),
        ] {
            let looked = tree.look(&project, &root.join(path), &mut ALL_TEXT.clone());
            assert_eq!((looked.tracked, looked.text.as_str()), (is_tracked, text), "{path}");
        }
        assert!(!tree.look(&project, Path::new("/etc"), &mut ALL_TEXT.clone()).tracked, "outside");
        assert_eq!(tree.look(&project, &root.join("conf/a.conf"), &mut 3).text, "", "no more than there is room for");
    }
}
