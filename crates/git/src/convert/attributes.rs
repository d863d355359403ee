//! Which attributes a file has: those of `.gitattributes` wherever they lie, and the ones outside of the tree.
//!
//! The order is that of gitattributes(5): `info/attributes`, then the folders from the file's own up to the top, then
//! `core.attributesFile`, then the system's.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use git2::{Index, ObjectType, Oid, Repository, Tree};
use gix_attributes::{
    Search, StateRef,
    glob::pattern::Case,
    search::{MetadataCollection, Outcome},
};

use super::rules::{Given, NAMES};
use crate::{error::GitError, objects, traps};
use turnout_files::{Kind, Reach};

const FILE: &str = ".gitattributes";
/// The system's own attributes, as git is built for.
const SYSTEM: &str = "/etc/gitattributes";
/// Lines of all files of attributes together, at most; of bytes, what [`traps`] says. They are held, taken apart, and each
/// file's name is matched against each line. git leaves out what is larger than 100 MiB; to leave one out is to change
/// line ends without a word, so one that is too large here is refused.
const MOST_LINES: usize = 50_000;
/// A longer line is left out, as git does it (`ATTR_MAX_LINE_LENGTH`).
const LONGEST_LINE: usize = 2048;
/// Folders inside folders, at most; deeper ones have no attributes of their own. Limits the work for one path.
const DEEPEST: usize = 512;

/// Whose `.gitattributes` count.
pub enum Source<'t> {
    /// Those of this tree, and an untracked one of the work tree where it has none: how git checks out.
    Tree(&'t Tree<'t>),
    /// Those of the work tree, and that of the index where it has none: how git looks for changes.
    WorkTree,
}

/// The attributes of one repository, read as they are asked for.
pub(super) struct Attributes<'r> {
    repo: &'r Repository,
    /// The blobs named `.gitattributes`, by folder.
    stored: HashMap<Vec<u8>, Oid>,
    /// The folders whose `.gitattributes` the index has and the tree has not: a check-out takes them away first.
    leaving: HashMap<Vec<u8>, Oid>,
    /// Whether the work tree is asked before what is stored.
    work_tree_first: bool,
    top: Option<PathBuf>,
    globals: Search,
    info: Search,
    folders: HashMap<Vec<u8>, Option<Search>>,
    names: MetadataCollection,
    case: Case,
    outcome: Outcome,
    known: usize,
    held: Held,
}

/// How much is held.
#[derive(Debug, Default)]
struct Held {
    bytes: traps::Sum,
    lines: usize,
}

impl Held {
    /// One more file.
    ///
    /// # Errors
    /// When all together are too much.
    fn add(&mut self, file: &Path, text: &[u8]) -> Result<(), GitError> {
        let refuse = |why: String| GitError::other("read the attributes of files", why);
        self.bytes.add(&file.display(), text.len() as u64).map_err(refuse)?;
        self.lines += text.split(|byte| *byte == b'\n').count();
        if self.lines > MOST_LINES {
            let file = file.display();
            return Err(refuse(format!(
                "{file} and the other files of attributes have more than {MOST_LINES} lines together; git matches every \
                 file against them: say it with fewer lines"
            )));
        }
        Ok(())
    }
}

impl<'r> Attributes<'r> {
    pub(super) fn new(repo: &'r Repository, source: &Source<'_>) -> Result<Self, GitError> {
        let local = |error: git2::Error| GitError::local(repo.path(), "read the attributes of", &error);
        let config = repo.config().and_then(|mut config| config.snapshot()).map_err(local)?;
        let index = repo.index().map_err(local)?;
        let in_index = of_index(&index);
        let (stored, leaving, work_tree_first) = match source {
            Source::Tree(tree) => {
                let stored = of_tree(repo, tree).map_err(local)?;
                let leaving = in_index.into_iter().filter(|(folder, _)| !stored.contains_key(folder)).collect();
                (stored, leaving, false)
            }
            Source::WorkTree => (in_index, HashMap::new(), true),
        };
        let mut names = MetadataCollection::default();
        // Which attributes `binary` stands for is known to git itself.
        let mut globals = Search::default();
        add(&mut globals, b"[attr]binary -diff -merge -text", None, &mut names, true);
        let elsewhere = config.get_path("core.attributesfile").ok().or_else(users);
        let system = std::env::var_os("GIT_ATTR_NOSYSTEM").is_none().then(|| PathBuf::from(SYSTEM));
        let mut held = Held::default();
        for file in [system, elsewhere].into_iter().flatten() {
            if let Some(text) = read(&file, false)? {
                held.add(&file, &text)?;
                add(&mut globals, &text, None, &mut names, true);
            }
        }
        // The top's may define macros that the ones below and `info` use.
        let mut info = Search::default();
        let file = repo.commondir().join("info/attributes");
        if let Some(text) = read(&file, false)? {
            held.add(&file, &text)?;
            add(&mut info, &text, None, &mut names, true);
        }
        let ignore_case = config.get_bool("core.ignorecase").unwrap_or(false);
        Ok(Self {
            repo,
            stored,
            leaving,
            work_tree_first,
            top: repo.workdir().map(Path::to_owned),
            globals,
            info,
            folders: HashMap::new(),
            names,
            case: if ignore_case { Case::Fold } else { Case::Sensitive },
            outcome: Outcome::default(),
            known: usize::MAX,
            held,
        })
    }

    /// Whether there are none, neither in what is stored nor outside of the tree.
    pub(super) fn are_none(&self) -> bool {
        self.stored.is_empty() && self.info.num_pattern_lists() == 0 && self.globals.num_pattern_lists() <= 1
    }

    /// What is given for a file.
    ///
    /// # Errors
    /// When what says it is too large.
    pub(super) fn of(&mut self, path: &[u8]) -> Result<Given, GitError> {
        let folders = folders_of(path);
        for folder in &folders {
            if !self.folders.contains_key(*folder) {
                let found = self.load(folder)?;
                self.folders.insert(folder.to_vec(), found);
            }
        }
        let known = self.names.iter().count();
        if self.known == known {
            self.outcome.reset();
        } else {
            self.known = known;
            self.outcome = Outcome::default();
            self.outcome.initialize_with_selection(&self.names, NAMES);
        }
        let inner = folders.iter().rev().filter_map(|folder| self.folders.get(*folder)?.as_ref());
        for search in std::iter::once(&self.info).chain(inner).chain([&self.globals]) {
            search.pattern_matching_relative_path(path.into(), self.case, Some(false), &mut self.outcome);
            if self.outcome.is_done() {
                break;
            }
        }
        let states = self.outcome.iter_selected().map(|found| match found.assignment.state {
            StateRef::Set => Some(b"true".to_vec()),
            StateRef::Unset => Some(b"false".to_vec()),
            StateRef::Value(value) => Some(value.as_bstr().to_vec()),
            StateRef::Unspecified => None,
        });
        Ok(Given::from_states(states))
    }

    fn load(&mut self, folder: &[u8]) -> Result<Option<Search>, GitError> {
        let from_tree = || match self.stored.get(folder) {
            Some(id) => blob(self.repo, *id, &as_path(folder).join(FILE)),
            None => Ok(None),
        };
        let there = || match &self.top {
            Some(top) if !self.leaving.contains_key(folder) => read(&top.join(as_path(folder)).join(FILE), true),
            _ => Ok(None),
        };
        let text = if self.work_tree_first {
            there()?.map_or_else(from_tree, |text| Ok(Some(text)))?
        } else {
            from_tree()?.map_or_else(there, |text| Ok(Some(text)))?
        };
        let Some(text) = text else { return Ok(None) };
        self.held.add(&as_path(folder).join(FILE), &text)?;
        let mut search = Search::default();
        add(&mut search, &text, Some(folder), &mut self.names, folder.is_empty());
        Ok(Some(search))
    }
}

/// The folders in which a file's attributes may lie, from the top.
fn folders_of(path: &[u8]) -> Vec<&[u8]> {
    let mut folders = vec![b"".as_slice()];
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    folders.extend(ends.take(DEEPEST).filter_map(|end| path.get(..end)));
    folders
}

fn add(search: &mut Search, text: &[u8], folder: Option<&[u8]>, names: &mut MetadataCollection, macros: bool) {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| line.len() < LONGEST_LINE).collect();
    let text = lines.join(&b'\n');
    let (source, root) = match folder {
        Some(folder) => (Path::new("/").join(as_path(folder)).join(FILE), Some(Path::new("/"))),
        None => (PathBuf::from("attributes"), None),
    };
    // Fails for names that are no bytes of a path, which do not exist here.
    let _ = search.add_patterns_buffer(&text, source, root, names, macros);
}

/// Walks by itself: libgit2 would hold every path.
fn of_tree(repo: &Repository, tree: &Tree<'_>) -> Result<HashMap<Vec<u8>, Oid>, git2::Error> {
    let mut found = HashMap::new();
    collect(repo, tree, &mut Vec::new(), 0, &mut found)?;
    Ok(found)
}

fn collect(
    repo: &Repository,
    tree: &Tree<'_>,
    at: &mut Vec<u8>,
    depth: usize,
    found: &mut HashMap<Vec<u8>, Oid>,
) -> Result<(), git2::Error> {
    for entry in tree {
        let mode = entry.filemode_raw() & 0o170_000;
        if entry.name_bytes() == FILE.as_bytes() {
            // A link is not followed and counts as absent.
            if mode == 0o100_000 {
                found.insert(at.clone(), entry.id());
            }
        } else if mode == 0o040_000 && depth < DEEPEST {
            let length = at.len();
            if !at.is_empty() {
                at.push(b'/');
            }
            at.extend_from_slice(entry.name_bytes());
            collect(repo, &objects::tree(repo, entry.id())?, at, depth + 1, found)?;
            at.truncate(length);
        }
    }
    Ok(())
}

fn of_index(index: &Index) -> HashMap<Vec<u8>, Oid> {
    let folder = |path: &[u8]| match path {
        b".gitattributes" => Some(Vec::new()),
        _ => path.strip_suffix(b"/.gitattributes").map(<[u8]>::to_vec),
    };
    // A link is not followed and counts as absent.
    let regular = index.iter().filter(|entry| entry.mode & 0o170_000 == 0o100_000);
    regular.filter_map(|entry| Some((folder(&entry.path)?, entry.id))).collect()
}

/// A small file at the top of the tree, or of the work tree and the index.
///
/// # Errors
/// When it is too large.
pub(super) fn read_at_top(repo: &Repository, source: &Source<'_>, name: &str) -> Result<Option<Vec<u8>>, GitError> {
    let stored = |id: Option<Oid>| id.map_or(Ok(None), |id| blob(repo, id, Path::new(name)));
    match source {
        Source::Tree(tree) => stored(tree.get_name(name).map(|entry| entry.id())),
        Source::WorkTree => {
            let Some(top) = repo.workdir() else { return Ok(None) };
            match read(&top.join(name), true)? {
                Some(text) => Ok(Some(text)),
                None => stored(repo.index().ok().and_then(|index| Some(index.get_path(Path::new(name), 0)?.id))),
            }
        }
    }
}

/// What is stored; none where it is no file, or missing.
fn blob(repo: &Repository, id: Oid, name: &Path) -> Result<Option<Vec<u8>>, GitError> {
    let found = repo.odb().and_then(|store| store.read_header(id));
    let Some((size, _)) = found.ok().filter(|(_, kind)| *kind == ObjectType::Blob) else { return Ok(None) };
    refuse(name, size as u64)?;
    Ok(objects::blob(repo, id, traps::LARGEST).ok().map(|blob| blob.content().to_vec()))
}

/// A file of attributes. In the work tree a link counts as absent, as for git.
fn read(file: &Path, in_work_tree: bool) -> Result<Option<Vec<u8>>, GitError> {
    let found = if in_work_tree { std::fs::symlink_metadata(file) } else { std::fs::metadata(file) };
    let Some(found) = found.ok().filter(std::fs::Metadata::is_file) else { return Ok(None) };
    refuse(file, found.len())?;
    Ok(Reach::Anywhere.read(file, Kind { most: traps::LARGEST }).ok())
}

fn refuse(file: &Path, size: u64) -> Result<(), GitError> {
    // As one among others, each file is counted where it is kept.
    let alone = traps::Sum::default().add(&file.display(), size);
    alone.map_err(|why| GitError::other("read the settings of files", why))
}

/// Where a user's attributes lie without `core.attributesFile`.
fn users() -> Option<PathBuf> {
    let set = std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    Some(set.or_else(|| Some(std::env::home_dir()?.join(".config")))?.join("git/attributes"))
}

pub(super) fn as_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt as _;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}
