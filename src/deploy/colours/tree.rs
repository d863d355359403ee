//! What containers mount from a work tree, as git has it: whether that is configuration, and by which digest a copy of it is
//! called. Reads, changes nothing. Blocking.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, Metadata},
    io::{self, Read as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{
    files::{self, Reach},
    git,
    inputs::Hasher,
    switch::{FileKind, Keeps},
};

/// Files in one folder that are compared with what git tracks; one with more is data.
const MOST: usize = 2_000;
/// Bytes of one source that are copied: configuration and pages, no data. Each content lies on the disk once.
pub(super) const MOST_BYTES: u64 = 256 << 20;
/// Hex digits of a digest that name a copy.
const DIGITS: usize = 32;
/// What is tracked only so that git, which knows no folders, has a folder.
const PLACEHOLDERS: &[&str] = &[".gitkeep", ".keep", ".gitignore", ".empty", ".placeholder", ".dummy"];

/// A work tree, as git has it.
pub(super) struct Tree {
    root: PathBuf,
    /// The work tree that people and containers know: rights are taken from there, which a check-out leaves as they are.
    place: PathBuf,
    tracked: Vec<PathBuf>,
    changed: BTreeSet<PathBuf>,
}

/// One path of it.
pub(super) struct Seen {
    pub kind: FileKind,
    /// Something is there.
    pub there: bool,
    /// Of what lies in the work tree: its tracked files, from the top, where it is whole and clean; else why it is not.
    /// `None` elsewhere.
    pub inside: Option<Result<Whole, Keeps>>,
}

/// What git tracks whole and clean.
pub(super) struct Whole {
    /// Where it lies, links resolved.
    pub real: PathBuf,
    /// It is a folder.
    pub folder: bool,
    /// Its files, from there; a single one that is the source itself is the empty path.
    pub files: Vec<PathBuf>,
    /// Where it lies in the work tree whose rights count.
    place: PathBuf,
}

impl Tree {
    /// A work tree that people can change.
    pub(super) fn of(root: &Path) -> Tree {
        // Of a work tree that git cannot read nothing counts as configuration: the more careful case.
        let tracked = git::tracked_files(root).unwrap_or_default();
        let changed = match git::changed_by_hand(root) {
            Ok(changed) => changed.into_iter().map(PathBuf::from).collect(),
            Err(_) => tracked.iter().cloned().collect(),
        };
        Tree { root: root.to_owned(), place: root.to_owned(), tracked, changed }
    }

    /// One that was checked out just now, for a look. `place`: the work tree in whose place it is looked at.
    pub(super) fn fetched(root: &Path, place: &Path) -> Tree {
        let tracked = git::tracked_files(root).unwrap_or_default();
        Tree { root: root.to_owned(), place: place.to_owned(), tracked, changed: BTreeSet::new() }
    }

    /// Looks at a path.
    pub(super) fn look(&self, path: &Path) -> Seen {
        let looked = files::at(&self.root, path, || Ok::<_, io::Error>((fs::metadata(path)?, fs::canonicalize(path)?)));
        let Ok((meta, real)) = looked.flatten() else {
            let inside = path.starts_with(&self.root).then_some(Err(Keeps::Untracked));
            return Seen { kind: FileKind::Ordinary, there: false, inside };
        };
        let kind = match meta.file_type() {
            kind if kind.is_socket() => FileKind::Socket,
            kind if kind.is_block_device() || kind.is_char_device() => FileKind::Device,
            _ => FileKind::Ordinary,
        };
        let inside = (real.starts_with(&self.root) && kind == FileKind::Ordinary).then(|| self.whole(&real, &meta));
        Seen { kind, there: true, inside }
    }

    fn whole(&self, real: &Path, meta: &Metadata) -> Result<Whole, Keeps> {
        let below = real.strip_prefix(&self.root).map_err(|_| Keeps::Untracked)?;
        let own: Vec<&PathBuf> = self.tracked.iter().filter(|file| file.starts_with(below)).collect();
        if own.is_empty() {
            return Err(Keeps::Untracked);
        }
        if own.iter().any(|file| self.changed.contains(*file)) {
            return Err(Keeps::Changed);
        }
        if meta.is_dir() {
            if self.count(real, 0) != Some(own.len()) {
                return Err(Keeps::Mixed);
            }
            let is_placeholder = |file: &&PathBuf| {
                let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
                PLACEHOLDERS.contains(&name)
            };
            if own.iter().all(is_placeholder) {
                return Err(Keeps::Placeholder);
            }
        }
        let from_there = |file: &PathBuf| file.strip_prefix(below).map(Path::to_owned).unwrap_or_default();
        let files = own.into_iter().map(from_there).collect();
        Ok(Whole { real: real.to_owned(), folder: meta.is_dir(), files, place: self.place.join(below) })
    }

    /// How many files lie below a folder; `None`: too many, or it cannot be told.
    fn count(&self, folder: &Path, before: usize) -> Option<usize> {
        let entries = files::at(&self.root, folder, || fs::read_dir(folder)).flatten().ok()?;
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

impl Whole {
    /// What a copy of it is called: a digest of its name, and of each file's path, kind, rights and content. `name`: as the
    /// path that is mounted ends. `left`: bytes that may still be copied; what this one has is taken off.
    ///
    /// # Errors
    /// It is too large to be copied, or cannot be read.
    pub(super) fn digest(
        &self,
        name: &OsStr,
        reach: &Reach,
        hasher: &mut Hasher,
        left: &mut u64,
    ) -> Result<String, Keeps> {
        let bytes = self.bytes();
        if bytes > MOST_BYTES.min(*left) {
            return Err(Keeps::TooLarge);
        }
        *left -= bytes;
        let mut left = MOST_BYTES;
        let too_large = || io::Error::other("too large");
        let read = |path: &Path, meta: &Metadata| {
            left = left.checked_sub(meta.len()).ok_or_else(too_large)?;
            let open = |path: &Path| {
                let file = reach.open(path)?;
                Ok((file.meta().clone(), file.take(MOST_BYTES)))
            };
            hasher.digest(path, meta, open, |error: io::Error| error)
        };
        let rights = |path: &Path, meta: &Metadata| self.rights(path, meta);
        digest(&self.real, self.folder, name, &self.files, rights, read).map_err(|_| Keeps::Unreadable)
    }

    /// The rights that count: a check-out leaves those of what is there already, but for the right to execute.
    fn rights(&self, path: &Path, meta: &Metadata) -> u32 {
        let below = path.strip_prefix(&self.real).unwrap_or(Path::new(""));
        let there = fs::symlink_metadata(at(&self.place, below)).ok();
        let same = |there: &Metadata| {
            there.file_type() == meta.file_type() && (there.is_dir() || is_program(there) == is_program(meta))
        };
        rights(path, &there.filter(same).unwrap_or_else(|| meta.clone()))
    }

    fn bytes(&self) -> u64 {
        let size = |file: &PathBuf| fs::symlink_metadata(at(&self.real, file)).map_or(0, |meta| meta.len());
        self.files.iter().map(size).fold(0, u64::saturating_add)
    }
}

/// A file of a source; of a single one the source itself.
pub(super) fn at(source: &Path, file: &Path) -> PathBuf {
    if file.as_os_str().is_empty() { source.to_owned() } else { source.join(file) }
}

fn is_program(meta: &Metadata) -> bool {
    meta.mode() & 0o100 != 0
}

/// The rights of a file or folder, as they are copied: a folder's owner can always change it.
pub(super) fn rights(_: &Path, meta: &Metadata) -> u32 {
    meta.mode() & 0o777 | if meta.is_dir() { 0o700 } else { 0 }
}

/// The digest by which a copy of these files is called. `rights` gives those of a file or folder, `read` the digest of a
/// regular file's content.
///
/// # Errors
/// Those of `read`, and what is neither a file nor a link.
pub(super) fn digest(
    source: &Path,
    folder: bool,
    name: &OsStr,
    files: &[PathBuf],
    rights: impl Fn(&Path, &Metadata) -> u32,
    mut read: impl FnMut(&Path, &Metadata) -> io::Result<String>,
) -> io::Result<String> {
    let mut whole = Sha256::new();
    let mut part = |bytes: &[u8]| {
        whole.update(bytes);
        whole.update([0]);
    };
    part(if folder { b"folder" } else { b"file" });
    part(name.as_bytes());
    let folders: BTreeSet<&Path> = files.iter().flat_map(|file| file.ancestors().skip(1)).collect();
    for below in folders {
        let path = at(source, below);
        part(b"rights");
        part(below.as_os_str().as_bytes());
        part(format!("{:o}", rights(&path, &fs::symlink_metadata(&path)?)).as_bytes());
    }
    for file in files {
        let path = at(source, file);
        let meta = fs::symlink_metadata(&path)?;
        part(file.as_os_str().as_bytes());
        if meta.is_symlink() {
            part(b"link");
            part(fs::read_link(&path)?.as_os_str().as_bytes());
        } else if meta.is_file() {
            part(format!("{:o}", rights(&path, &meta)).as_bytes());
            part(read(&path, &meta)?.as_bytes());
        } else {
            return Err(io::Error::other(format!("{} is neither a file nor a link", path.display())));
        }
    }
    let mut text = hex::encode(whole.finalize());
    text.truncate(DIGITS);
    Ok(text)
}

/// The digest of a file's content, read to its end.
///
/// # Errors
/// Those of the file system.
pub(super) fn content(path: &Path, _: &Metadata) -> io::Result<String> {
    let mut file = Reach::Anywhere.open(path)?.take(MOST_BYTES);
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize())),
            got => digest.update(buffer.get(..got).unwrap_or_default()),
        }
    }
}

/// Made by whoever runs what lies beside it, and made again.
const CACHE: &str = "__pycache__";

/// All files below a folder, from there, in the order of git's index; of more than are copied, none. Without what a
/// container that may write leaves of itself.
///
/// # Errors
/// Those of the file system, and too many files.
pub(super) fn walk(source: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(at(source, &folder))? {
            let entry = entry?;
            if entry.file_name() == CACHE {
                continue;
            }
            let path = folder.join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => open.push(path),
                false => found.push(path),
            }
            if found.len() + open.len() > 2 * MOST {
                return Err(io::Error::other("too many files"));
            }
        }
    }
    found.sort_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_what_git_tracks_whole_and_clean_is_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let all = ["conf/a.conf", "dirty.conf", "data/.gitkeep", "mixed/b.conf"];
        for file in all.iter().chain(&["mixed/data.db"]) {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), file).unwrap();
        }
        std::os::unix::fs::symlink("conf", root.join("linked")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.join("away")).unwrap();
        let mut tracked: Vec<PathBuf> = all.iter().chain(&["linked", "away"]).map(PathBuf::from).collect();
        tracked.sort();
        let tree = Tree {
            root: root.clone(),
            place: root.clone(),
            tracked,
            changed: BTreeSet::from([PathBuf::from("dirty.conf")]),
        };
        let mut hasher = Hasher::open(root.join("digests"));
        let mut look = |path: &str| match tree.look(&root.join(path)).inside {
            None => Err(None),
            Some(Err(keeps)) => Err(Some(keeps)),
            Some(Ok(whole)) => {
                whole.digest(OsStr::new("conf"), &Reach::Anywhere, &mut hasher, &mut MOST_BYTES.clone()).map_err(Some)
            }
        };
        for (path, keeps) in [
            ("mixed", Some(Keeps::Mixed)),
            ("", Some(Keeps::Changed)),
            ("dirty.conf", Some(Keeps::Changed)),
            ("nowhere", Some(Keeps::Untracked)),
            ("mixed/data.db", Some(Keeps::Untracked)),
            ("data", Some(Keeps::Placeholder)),
            ("away", None),
        ] {
            assert_eq!(look(path).unwrap_err(), keeps, "{path}");
        }
        let conf = look("conf").unwrap();
        assert_eq!(look("linked").unwrap(), conf, "the folder to which a link leads");
        assert_ne!(look("conf/a.conf").unwrap(), conf);
        assert_ne!(look("mixed/b.conf").unwrap(), look("conf/a.conf").unwrap());
        fs::write(root.join("conf/a.conf"), "other").unwrap();
        let other = look("conf").unwrap();
        assert_ne!(other, conf);
        let files = walk(&root.join("conf")).unwrap();
        let copied = digest(&root.join("conf"), true, OsStr::new("conf"), &files, rights, content);
        assert_eq!(copied.unwrap(), other, "a copy is told by the same digest");
        fs::set_permissions(root.join("conf/a.conf"), fs::Permissions::from_mode(0o600)).unwrap();
        let closed = look("conf").unwrap();
        assert_ne!(closed, other, "what is closed now is not read from a copy that is open");
        fs::set_permissions(root.join("conf"), fs::Permissions::from_mode(0o700)).unwrap();
        assert_ne!(look("conf").unwrap(), closed);

        // A check-out elsewhere has rights of its own, and those of the work tree count.
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir_all(elsewhere.join("conf")).unwrap();
        fs::write(elsewhere.join("conf/a.conf"), "other").unwrap();
        let there = root.join("conf");
        let fetched = |root: &Path, place: &Path| {
            let tracked = vec![PathBuf::from("conf/a.conf")];
            let tree = Tree { root: root.to_owned(), place: place.to_owned(), tracked, changed: BTreeSet::new() };
            let Some(Ok(whole)) = tree.look(&root.join("conf")).inside else { panic!("not whole") };
            let mut hasher = Hasher::open(dir.path().join("digests"));
            whole.digest(OsStr::new("conf"), &Reach::Anywhere, &mut hasher, &mut MOST_BYTES.clone())
        };
        let elsewhere = elsewhere.canonicalize().unwrap();
        assert_eq!(fetched(&elsewhere, &root), fetched(&root, &root), "{}", there.display());
        assert_eq!(fetched(&root, &root), fetched(&root, Path::new("/nowhere")));
        let tree = Tree::fetched(&root, &root);
        let whole = tree.whole(&there, &fs::metadata(&there).unwrap());
        assert_eq!(whole.err(), Some(Keeps::Untracked), "git knows nothing of it");
    }
}
