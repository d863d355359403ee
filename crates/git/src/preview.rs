//! The tip of a remote branch in a folder of its own, beside a work tree that is not touched: what a deployment would have
//! before it, for whoever wants to know first.
//!
//! Objects that the work tree's repository has are not fetched again: it stands among the alternates of the new one. What
//! git does not track there, and what somebody changed by hand, is copied: Compose files mount it and images are built from
//! it. It is not linked: a link more changes a file's time. Submodules are as they are checked out.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    io::{self, Read as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use git2::{ConfigLevel, IndexEntry, Repository, RepositoryInitOptions, Tree};
use tokio_util::sync::CancellationToken;

use super::{
    address::Address,
    checkout,
    clone::Nursery,
    error::GitError,
    objects,
    open::{is_absent, open},
    remote::Remote,
    session::Session,
    short::short,
    transfer::{self, Want},
    update::{branch_to_follow, on_a_thread, origin},
};
use turnout_files::{Folder, Reach, make_folder};
use turnout_report::Reporter;

/// Files that are copied, at most, and bytes of them. In the place of others stand links to them.
const MOST_FILES: usize = 20_000;
const MOST_BYTES: u64 = 256 << 20;
/// Sections of the repository's own configuration that say how its files are checked out and fetched.
const SETTINGS: [&str; 9] =
    ["filter.", "url.", "lfs.", "http.", "credential.", "core.autocrlf", "core.eol", "core.filemode", "core.symlinks"];
/// Holds the commit of the work tree, so that the server is told what is there already.
const LANE: &str = "refs/turnout/lane";

/// A remote's tip, checked out. The folder goes when this is dropped.
pub struct Preview {
    /// Where it lies.
    pub tree: PathBuf,
    /// Where callers may keep what goes with it.
    pub beside: PathBuf,
    /// The remote's tip, in hex.
    pub commit: String,
    /// The branch that was asked for, without `refs/heads/`.
    pub branch: String,
    /// The commit of the work tree, where there is one.
    pub head: Option<String>,
    /// Commits of the work tree that the remote branch does not have.
    pub ahead: usize,
    /// Commits of the remote branch that the work tree does not have.
    pub behind: usize,
    /// What was not taken over, in words.
    pub left_out: Vec<String>,
    /// Submodules that a deployment would bring to another commit than the one whose files are here, in words.
    pub submodules: Vec<String>,
    _folder: Nursery,
}

/// Fetches the branch that a work tree follows, or would be cloned from, into a folder below `folder`.
///
/// # Errors
/// As [`super::update`]; nothing is changed in the work tree or its repository in any case.
pub async fn preview(
    remote: &Remote,
    folder: &Path,
    reporter: &dyn Reporter,
    cancel: CancellationToken,
) -> Result<Preview, GitError> {
    let folder = folder.to_owned();
    on_a_thread(remote, reporter, cancel, move |session| run(session, &folder)).await
}

fn run(session: &Session, folder: &Path) -> Result<Preview, GitError> {
    let remote = &session.remote;
    let path = &remote.path;
    let local = |error: git2::Error| GitError::local(path, "look ahead of", &error);
    let failed = |error: io::Error| GitError::io(folder, "make a folder in", &error);
    let lane = if is_absent(path)? { None } else { Some(open(path)?) };
    let (branch, address) = match &lane {
        Some(lane) => (Some(branch_to_follow(lane, remote)?), origin(lane, remote)?),
        None => {
            let Some(url) = &remote.url else { return Err(GitError::Absent { path: path.clone() }) };
            (remote.branch.clone(), Address::parse(url)?)
        }
    };
    // Also for the daemon, where this is a command of root's.
    make_folder(folder, 0o755).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let nursery = Nursery::swept(path, folder, &format!("{name}.plan-"))?;
    // What others may not read in the work tree, they may not read here.
    fs::set_permissions(nursery.path(), fs::Permissions::from_mode(0o700)).map_err(failed)?;
    let (tree, beside) = (nursery.path().join("tree"), nursery.path().join("beside"));
    for made in [&tree, &beside] {
        fs::create_dir(made).map_err(failed)?;
    }
    let repo = repository(&tree, lane.as_ref(), session)?;
    transfer::warn_of_plain_http(&address, &remote.auth, session);
    let want = branch.as_deref().map_or(Want::DefaultBranch, Want::Branch);
    let fetched = transfer::fetch(&repo, &address, true, &want, session)?;
    session.go_on()?;
    checkout::to(&repo, fetched.tip, checkout::Mode::Fill, session)?;
    let full = format!("refs/heads/{}", fetched.branch);
    repo.reference(&full, fetched.tip, true, "plan").map_err(local)?;
    repo.set_head(&full).map_err(local)?;
    checkout::finished(&repo, session)?;
    let head = lane.as_ref().and_then(|lane| lane.head().ok()?.peel_to_commit().ok()).map(|commit| commit.id());
    let (ahead, behind) = match head {
        Some(head) => repo.graph_ahead_behind(head, fetched.tip).map_err(local)?,
        None => (0, 0),
    };
    let submodules = match remote.submodules {
        true => submodules(&repo, lane.as_ref()).map_err(local)?,
        false => Vec::new(),
    };
    let left_out = match &lane {
        Some(lane) => {
            let tip = objects::tree_of(&repo, fetched.tip).map_err(local)?;
            take_over(lane, &tip, path, &tree, session)?
        }
        None => Vec::new(),
    };
    Ok(Preview {
        tree,
        beside,
        commit: fetched.tip.to_string(),
        branch: fetched.branch,
        head: head.map(|head| head.to_string()),
        ahead,
        behind,
        left_out,
        submodules,
        _folder: nursery,
    })
}

/// Mode of an entry that stands for a submodule.
const GITLINK: u32 = 0o160_000;

/// How submodules of the tip stand in the work tree, where not as the tip wants them: nothing of them is fetched here.
fn submodules(tip: &Repository, lane: Option<&Repository>) -> Result<Vec<String>, git2::Error> {
    let index = tip.index()?;
    let links = index.iter().filter(|entry| entry.mode == GITLINK);
    let told = links.filter_map(|link| {
        let path = String::from_utf8_lossy(&link.path).into_owned();
        let folder = lane.and_then(|lane| Some(lane.workdir()?.join(OsStr::from_bytes(&link.path))));
        // Asked of itself: for libgit2's word on it the whole of .gitmodules would be read.
        let here = folder.and_then(|folder| open(&folder).ok()?.head().ok()?.target());
        let wanted = short(&link.id.to_string()).to_owned();
        match here {
            Some(here) if here == link.id => None,
            Some(here) => {
                Some(format!("{path} as it is checked out, {}, where {wanted} is wanted", short(&here.to_string())))
            }
            None => Some(format!("{path} without its files, where {wanted} is wanted")),
        }
    });
    Ok(told.collect())
}

/// An empty repository that has the objects of the work tree's one.
fn repository(tree: &Path, lane: Option<&Repository>, session: &Session) -> Result<Repository, GitError> {
    let path = &session.remote.path;
    let local = |error: git2::Error| GitError::local(path, "look ahead of", &error);
    let failed = |error: io::Error| GitError::io(tree, "write in", &error);
    let mut options = RepositoryInitOptions::new();
    options.no_reinit(true).external_template(false);
    let repo = Repository::init_opts(tree, &options).map_err(local)?;
    let Some(lane) = lane else { return Ok(repo) };
    let objects = fs::canonicalize(lane.commondir().join("objects")).map_err(failed)?;
    let info = repo.path().join("objects/info");
    fs::create_dir_all(&info).map_err(failed)?;
    fs::write(info.join("alternates"), [objects.as_os_str().as_bytes(), b"\n"].concat()).map_err(failed)?;
    // The edge of a shallow clone is one here too.
    match fs::copy(lane.commondir().join("shallow"), repo.path().join("shallow")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // Opened anew, it looks for the objects there.
    let repo = Repository::open(tree).map_err(local)?;
    if let Some(head) = lane.head().ok().and_then(|head| head.peel_to_commit().ok()) {
        repo.reference(LANE, head.id(), true, "plan").map_err(local)?;
    }
    let mut config = repo.config().and_then(|config| config.open_level(ConfigLevel::Local)).map_err(local)?;
    if let Ok(settings) = lane.config().and_then(|config| config.open_level(ConfigLevel::Local)) {
        let mut entries = settings.entries(None).map_err(local)?;
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(local)?;
            let (Ok(name), Ok(value)) = (entry.name(), entry.value()) else { continue };
            if SETTINGS.iter().any(|setting| name.starts_with(setting)) {
                // Several values of one name stay several.
                config.set_multivar(name, "^$", value).map_err(local)?;
            }
        }
    }
    Ok(repo)
}

/// Takes over what git does not track in the work tree, and what somebody changed there and the branch did not.
fn take_over(
    lane: &Repository,
    tip: &Tree<'_>,
    from: &Path,
    to: &Path,
    session: &Session,
) -> Result<Vec<String>, GitError> {
    let index = lane.index().map_err(|error| GitError::local(from, "read the index of", &error))?;
    let own: Vec<IndexEntry> = index.iter().filter(|entry| entry.mode != GITLINK).collect();
    let name = |entry: &IndexEntry| PathBuf::from(OsStr::from_bytes(&entry.path));
    let held = Reach::Anywhere.folder(from).map_err(|error| GitError::io(from, "read", &error))?;
    let mut taker = Taker {
        from,
        held,
        to,
        tracked: own.iter().map(name).collect(),
        files: 0,
        bytes: 0,
        left_out: Vec::new(),
        full: false,
    };
    for entry in &own {
        let name = name(entry);
        let Ok(meta) = fs::symlink_metadata(from.join(&name)) else { continue };
        let as_written = i64::from(entry.mtime.seconds()) == meta.mtime() && u64::from(entry.file_size) == meta.len();
        if !as_written && meta.is_file() && tip.get_path(&name).is_ok_and(|there| there.id() == entry.id) {
            taker.replace(&name);
        }
    }
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        session.go_on()?;
        taker.folder(&folder, &mut open);
    }
    let Taker { mut left_out, full, .. } = taker;
    let more = left_out.len().saturating_sub(5);
    left_out.truncate(5);
    if more > 0 {
        left_out.push(format!("and {more} more"));
    }
    if full {
        left_out.push(format!("what goes beyond {MOST_FILES} untracked files or {} MiB", MOST_BYTES >> 20));
    }
    Ok(left_out)
}

struct Taker<'p> {
    from: &'p Path,
    /// The same, held open.
    held: Folder,
    to: &'p Path,
    tracked: HashSet<PathBuf>,
    files: usize,
    bytes: u64,
    left_out: Vec<String>,
    full: bool,
}

impl Taker<'_> {
    /// One folder; those in it are put on `open`.
    fn folder(&mut self, name: &Path, open: &mut Vec<PathBuf>) {
        let entries = match fs::read_dir(self.from.join(name)) {
            Ok(entries) => entries,
            Err(error) => return self.left_out.push(format!("{} ({error})", name.display())),
        };
        for entry in entries.flatten() {
            let name = name.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            if entry.file_name() == ".git" || self.tracked.contains(&name) {
                continue;
            }
            let (source, target) = (self.from.join(&name), self.to.join(&name));
            let there = fs::symlink_metadata(&target).ok();
            let done = if kind.is_dir() {
                let made = match there {
                    Some(meta) if meta.is_dir() => Ok(()),
                    // The branch has something else there, and wins.
                    Some(_) => continue,
                    None => self.make(&source, &target, &name),
                };
                if made.is_ok() {
                    open.push(name.clone());
                }
                made
            } else if there.is_some() {
                continue;
            } else if kind.is_symlink() {
                fs::read_link(&source).and_then(|leads| std::os::unix::fs::symlink(leads, &target))
            } else if kind.is_file() {
                self.files += 1;
                self.file(&source, &target)
            } else {
                continue;
            };
            if let Err(error) = done {
                self.left_out.push(format!("{} ({error})", name.display()));
            }
        }
    }

    /// A folder that holds something untracked; one with tracked files alone would come into being empty where the branch
    /// has taken it away.
    fn make(&self, source: &Path, target: &Path, name: &Path) -> io::Result<()> {
        if self.tracked.iter().any(|file| file.starts_with(name)) && !self.has_own(source, name) {
            return Ok(());
        }
        fs::create_dir_all(target)?;
        fs::set_permissions(target, fs::metadata(source)?.permissions())
    }

    fn has_own(&self, folder: &Path, name: &Path) -> bool {
        let Ok(entries) = fs::read_dir(folder) else { return false };
        entries.flatten().any(|entry| {
            let inner = name.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.has_own(&entry.path(), &inner),
                _ => !self.tracked.contains(&inner),
            }
        })
    }

    fn file(&mut self, source: &Path, target: &Path) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(fs::symlink_metadata(source)?.len());
        if self.bytes > MOST_BYTES || self.files > MOST_FILES {
            self.full = true;
            return std::os::unix::fs::symlink(source, target);
        }
        // It may have been exchanged since it was looked at: a check-out of the lane goes on beside this.
        let (meta, mut from) = self.held.open(source)?;
        let mut into = fs::File::options().write(true).create_new(true).open(target)?;
        io::copy(&mut from.by_ref().take(MOST_BYTES), &mut into)?;
        into.set_permissions(meta.permissions())
    }

    /// What is there by hand, in the place of what git has.
    fn replace(&mut self, name: &Path) {
        self.files += 1;
        let (source, target) = (self.from.join(name), self.to.join(name));
        if let Err(error) = fs::remove_file(&target).and_then(|()| self.file(&source, &target)) {
            self.left_out.push(format!("{} ({error})", name.display()));
        }
    }
}
