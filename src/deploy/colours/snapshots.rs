//! Copies of the mounted files of a colour: made before its containers are, kept as long as a colour is recorded that was made
//! with them, and removed then.
//!
//! ```text
//! STATE/snapshots/shop/5f0c…/site.conf     a copy, called by a digest of what is in it (`tree::digest`)
//!                      .5f0c…              one that was not finished: goes at the next look
//!                      5f0c….written       one that a container has written to, and no colour has any more: left for people
//! ```

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, lchown},
    path::{Path, PathBuf},
};

use super::{
    super::{Deployer, Failure, compute::compute},
    made::{Made, MadeSnapshot},
    stands::Stands,
    tree::{MOST_BYTES, Tree, Whole, at, content, digest, rights, walk},
};
use crate::{
    config::Repo,
    files::{self, Reach},
    report::{Reporter, counted},
};

/// Folder of the state directory.
const FOLDER: &str = "snapshots";
/// What is added to the name of a copy that was written to.
const WRITTEN: &str = ".written";
/// Its folders, where other users come to what is copied: who may go into the state directory may go into them.
const MODE: u32 = 0o755;

/// Where the copies of a repository lie.
pub(super) fn folder(state: &Path, repo: &str) -> PathBuf {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // A name that is no file's is written in digits, behind a sign that no name begins with then.
    let name = match !repo.starts_with('.') && repo.chars().all(is_plain) {
        true => repo.to_owned(),
        false => format!("={}", hex::encode(repo)),
    };
    std::path::absolute(state).unwrap_or_else(|_| state.to_owned()).join(FOLDER).join(name)
}

/// Where a copy of a path lies.
pub(super) fn place(folder: &Path, path: &Path, id: &str) -> PathBuf {
    folder.join(id).join(path.file_name().unwrap_or(OsStr::new("files")))
}

impl Deployer {
    /// Makes the copies that a colour mounts and that are not there yet.
    ///
    /// # Errors
    /// They cannot be made, or what is copied changed meanwhile.
    pub(super) async fn make_snapshots(
        &self,
        repo: &Repo,
        wanted: Vec<MadeSnapshot>,
        reach: Reach,
        reporter: &dyn Reporter,
    ) -> Result<(), Failure> {
        if wanted.is_empty() {
            return Ok(());
        }
        let root = repo.real_path.clone();
        let make = move || {
            let mut tree = None;
            let mut made = Vec::new();
            for one in wanted {
                let done = if fs::symlink_metadata(&one.place).is_ok() {
                    Ok(())
                } else {
                    copy(tree.get_or_insert_with(|| Tree::of(&root)), &one, &reach)
                        .map(|()| made.push(one.shown.clone()))
                };
                done.map_err(|error| (one, error))?;
            }
            Ok(made)
        };
        let made = compute(repo, "copying mounted files", make).await?;
        let made = made.map_err(|(one, error): (MadeSnapshot, io::Error)| {
            let failure = Failure::new(format!("{} cannot be copied to {}: {error}", one.shown, one.place.display()));
            failure.hint(files::hint(&error).unwrap_or_else(|| {
                "what is live stays live; each colour mounts copies of the files that git tracks, in turnout's state \
                 directory; deploy again once there is room and nobody changes them"
                    .to_owned()
            }))
        })?;
        if !made.is_empty() {
            reporter
                .info(format!("copied for the new colour, which reads them whatever is pulled: {}", made.join(", ")));
        }
        Ok(())
    }

    /// Removes copies that no colour of the repository was made with, and what was not finished. Nothing that fails here
    /// keeps anybody from anything.
    pub(super) async fn sweep_snapshots(&self, repo: &Repo, reporter: &dyn Reporter) {
        let Ok(stands) = self.recorded(&repo.name).await else { return };
        let mut used = BTreeSet::new();
        for one in &stands.all {
            // One that is not understood may have any of them.
            let Ok(made) = Made::read(&one.made) else { return };
            used.extend(made.snapshots.into_iter().filter_map(|one| Some(one.place.parent()?.to_owned())));
        }
        let folder = folder(&self.planner.settings.state_dir, &repo.name);
        let Ok(swept) = files::blocking(move || sweep(&folder, &used)).await else { return };
        if swept.removed > 0 {
            let what = counted(swept.removed, "copy");
            reporter.info(format!("removed {what} of mounted files that no colour was made with any more"));
        }
        for place in swept.written {
            reporter.warn(format!(
                "{} is a copy of mounted files to which a container has written; no colour reads it any more, and it is left: \
                 take out of it what is needed, then remove it",
                place.display()
            ));
        }
        swept.failed.into_iter().for_each(|failed| reporter.warn(failed));
    }

    /// What a container of the live colour has written into its copy the next colour would not find.
    ///
    /// # Errors
    /// There is something.
    pub(super) async fn refuse_written(&self, stands: &Stands, next: &Made) -> Result<(), Failure> {
        let Some(live) = stands.live() else { return Ok(()) };
        let live = Made::read(&live.made).map_err(Failure::new)?;
        let again = |one: &MadeSnapshot| {
            one.writable && next.snapshots.iter().any(|next| next.writable && next.shown == one.shown)
        };
        let looked: Vec<MadeSnapshot> = live.snapshots.into_iter().filter(again).collect();
        let written = files::blocking(move || {
            looked.into_iter().find(|one| fs::symlink_metadata(&one.place).is_ok() && !is_intact(&one.place))
        });
        let Some(one) = written.await? else { return Ok(()) };
        let MadeSnapshot { place, shown, .. } = one;
        Err(Failure::new(format!(
            "a container of the live colour has written into {shown}, which git tracks and each colour has a copy of: the next \
             colour would not find what was written"
        ))
        .hint(format!(
            "nothing was changed; it lies in {}. Where that is data, copy it to {shown} in the work tree, which is mounted itself \
             from then on; where it may be lost, mount it read-only (`:ro`), or say `on_mounted_change: ignore` for the service",
            place.display()
        )))
    }
}

/// The copies that a colour was made with are there: without them its containers would start with nothing in their place.
///
/// # Errors
/// One is gone.
pub(super) fn refuse_gone(project: &str, made: &Made) -> Result<(), Failure> {
    let gone = made.snapshots.iter().find(|one| fs::symlink_metadata(&one.place).is_err());
    let Some(gone) = gone else { return Ok(()) };
    Err(Failure::new(format!(
        "{project} was made with a copy of {}, which is gone: {} is not there",
        gone.shown,
        gone.place.display()
    ))
    .hint("nothing was changed; deploy that commit anew: turnout deploy REPO --commit COMMIT"))
}

/// Makes a copy beside its place, and moves it there when it is whole.
fn copy(tree: &Tree, one: &MadeSnapshot, reach: &Reach) -> io::Result<()> {
    let changed = || io::Error::other(format!("{} changed while it was looked at", one.shown));
    let whole = match tree.look(&one.path).inside {
        Some(Ok(whole)) => whole,
        _ => return Err(changed()),
    };
    let (Some(own), Some(name)) = (one.place.parent(), one.place.file_name()) else { return Err(changed()) };
    let (Some(folder), Some(id)) = (own.parent(), own.file_name()) else { return Err(changed()) };
    files::make_folder(folder, MODE)?;
    let mut unfinished = std::ffi::OsString::from(".");
    unfinished.push(id);
    let beside = folder.join(unfinished);
    remove(&beside)?;
    make_folder(&beside, if is_open(&whole.real) { MODE } else { 0o700 })?;
    let target = beside.join(name);
    let done = copy_files(&whole, &target, reach).and_then(|()| {
        let files = if whole.folder { walk(&target)? } else { vec![PathBuf::new()] };
        match digest(&target, whole.folder, name, &files, rights, content)? == *id.to_string_lossy() {
            true => Ok(()),
            false => Err(changed()),
        }
    });
    let done = done.and_then(|()| {
        // All of it, at once: thousands of small files one by one would take minutes.
        rustix::fs::syncfs(File::open(&beside)?)?;
        fs::rename(&beside, own)?;
        File::open(folder)?.sync_all()
    });
    if done.is_err() {
        let _ = remove(&beside);
    }
    done
}

/// Copies what git tracks, with the rights that it has in the work tree. Links stay links: a container follows them among its
/// own files, and nobody does here.
fn copy_files(whole: &Whole, target: &Path, reach: &Reach) -> io::Result<()> {
    if whole.folder {
        make_folder(target, mode(&whole.real)?)?;
        give(&whole.real, target)?;
    }
    let mut left = MOST_BYTES;
    for file in &whole.files {
        let (from, to) = (at(&whole.real, file), at(target, file));
        let above: Vec<&Path> = file.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
        for above in above.into_iter().rev().filter(|above| fs::symlink_metadata(target.join(above)).is_err()) {
            make_folder(&target.join(above), mode(&whole.real.join(above))?)?;
            give(&whole.real.join(above), &target.join(above))?;
        }
        let meta = fs::symlink_metadata(&from)?;
        if meta.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else {
            let mut content = reach.open(&from)?.take(left);
            let mut copied = File::create_new(&to)?;
            left -= io::copy(&mut content, &mut copied)?;
            copied.set_permissions(Permissions::from_mode(meta.mode() & 0o777))?;
        }
        give(&from, &to)?;
    }
    Ok(())
}

fn mode(folder: &Path) -> io::Result<u32> {
    Ok(rights(folder, &fs::metadata(folder)?))
}

/// Whether other users come to where a path lies: a copy is reached by nobody who does not reach that.
fn is_open(path: &Path) -> bool {
    path.ancestors().skip(1).all(|above| fs::metadata(above).is_ok_and(|meta| meta.mode() & 0o001 != 0))
}

/// A folder with these rights, whatever the process's mask takes away; its owner can always remove it.
fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode | 0o700))
}

/// Has the copy belong to whom the file belongs, where this is root; any other user has what it made, as after a check-out.
fn give(from: &Path, to: &Path) -> io::Result<()> {
    let (from, own) = (fs::symlink_metadata(from)?, fs::symlink_metadata(to)?);
    if (from.uid(), from.gid()) == (own.uid(), own.gid()) || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    lchown(to, Some(from.uid()), Some(from.gid()))
}

/// Whether a copy is as it was made.
fn is_intact(place: &Path) -> bool {
    let (Some(name), Some(id)) = (place.file_name(), place.parent().and_then(Path::file_name)) else { return false };
    let folder = fs::symlink_metadata(place).is_ok_and(|meta| meta.is_dir());
    let files = if folder { walk(place) } else { Ok(vec![PathBuf::new()]) };
    let found = files.and_then(|files| digest(place, folder, name, &files, rights, content));
    found.is_ok_and(|found| *found == *id.to_string_lossy())
}

/// What became of the copies that nobody uses.
#[derive(Debug, Default)]
struct Swept {
    removed: usize,
    written: Vec<PathBuf>,
    failed: Vec<String>,
}

/// Removes all that is not used. Blocking.
fn sweep(folder: &Path, used: &BTreeSet<PathBuf>) -> Swept {
    let mut swept = Swept::default();
    let Ok(entries) = fs::read_dir(folder) else { return swept };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if used.contains(&path) || name.ends_with(WRITTEN) {
            continue;
        }
        let done = if name.starts_with('.') {
            remove(&path)
        } else if only(&path).is_some_and(|place| !is_intact(&place)) {
            let left = folder.join(format!("{name}{WRITTEN}"));
            fs::rename(&path, &left).map(|()| swept.written.push(left))
        } else {
            remove(&path).map(|()| swept.removed += 1)
        };
        if let Err(error) = done {
            swept.failed.push(format!("{} is not needed any more and cannot be removed: {error}", path.display()));
        }
    }
    swept
}

/// The one thing in a folder.
fn only(folder: &Path) -> Option<PathBuf> {
    Some(fs::read_dir(folder).ok()?.next()?.ok()?.path())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with a folder of pages: its tree, and what is copied of it.
    fn pages(root: &Path, state: &Path) -> (Tree, MadeSnapshot) {
        let repo = git2::Repository::init(root).unwrap();
        fs::create_dir_all(root.join("site/deep")).unwrap();
        fs::write(root.join("site/index.html"), "one").unwrap();
        fs::write(root.join("site/deep/run.sh"), "run").unwrap();
        fs::set_permissions(root.join("site/deep/run.sh"), Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("site/link")).unwrap();
        let mut index = repo.index().unwrap();
        index.add_all(["site"], git2::IndexAddOption::DEFAULT, None).unwrap();
        index.write().unwrap();
        let tree = repo.find_tree(index.write_tree().unwrap()).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        repo.commit(Some("HEAD"), &who, &who, "one", &tree, &[]).unwrap();
        let (tree, path) = (Tree::of(root), root.join("site"));
        let Some(Ok(whole)) = tree.look(&path).inside else { panic!("not whole") };
        let mut hasher = crate::inputs::Hasher::open(state.join("digests"));
        let id = whole.digest(OsStr::new("site"), &Reach::Anywhere, &mut hasher, &mut MOST_BYTES.clone()).unwrap();
        let place = place(&folder(state, "shop"), &path, &id);
        (tree, MadeSnapshot { path, place, shown: "./site".to_owned(), writable: true })
    }

    #[test]
    fn a_copy_has_what_a_check_out_has_and_goes_when_nobody_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let (root, state) = (dir.path().canonicalize().unwrap().join("shop"), dir.path().join("state"));
        fs::create_dir_all(&root).unwrap();
        let (tree, one) = pages(&root, &state);
        copy(&tree, &one, &Reach::Anywhere).unwrap();
        assert_eq!(fs::read_to_string(one.place.join("index.html")).unwrap(), "one");
        assert_eq!(fs::metadata(one.place.join("deep/run.sh")).unwrap().mode() & 0o777, 0o755);
        assert_eq!(fs::read_link(one.place.join("link")).unwrap(), Path::new("/etc/passwd"), "a link stays one");
        assert!(is_intact(&one.place));

        let own = one.place.parent().unwrap().to_owned();
        let unfinished = own.with_file_name(".left");
        fs::create_dir_all(unfinished.join("site")).unwrap();
        let swept = sweep(own.parent().unwrap(), &BTreeSet::from([own.clone()]));
        assert_eq!((swept.removed, own.exists(), unfinished.exists()), (0, true, false));
        // What a container has written is nobody's to remove.
        fs::write(one.place.join("upload"), "data").unwrap();
        assert!(!is_intact(&one.place));
        let swept = sweep(own.parent().unwrap(), &BTreeSet::new());
        assert_eq!((swept.removed, swept.written.len(), own.exists()), (0, 1, false));
        assert_eq!(fs::read_to_string(swept.written[0].join("site/upload")).unwrap(), "data");
        let swept = sweep(own.parent().unwrap(), &BTreeSet::new());
        assert_eq!((swept.removed, swept.written.len()), (0, 0), "it is told once");

        copy(&tree, &one, &Reach::Anywhere).unwrap();
        let swept = sweep(own.parent().unwrap(), &BTreeSet::new());
        assert_eq!((swept.removed, own.exists()), (1, false));
    }

    #[test]
    fn what_changes_while_it_is_copied_is_no_copy() {
        let dir = tempfile::tempdir().unwrap();
        let (root, state) = (dir.path().canonicalize().unwrap().join("shop"), dir.path().join("state"));
        fs::create_dir_all(&root).unwrap();
        let (tree, one) = pages(&root, &state);
        fs::write(root.join("site/index.html"), "two").unwrap();
        let error = copy(&tree, &one, &Reach::Anywhere).unwrap_err();
        assert!(error.to_string().contains("./site changed"), "{error}");
        assert!(fs::read_dir(folder(&state, "shop")).unwrap().next().is_none(), "nothing is left");
    }

    #[test]
    fn names_are_folders_of_their_own() {
        let named = |repo: &str| folder(Path::new("/state"), repo).display().to_string();
        assert_eq!(named("shop"), "/state/snapshots/shop");
        assert_eq!(named("a/b"), "/state/snapshots/=612f62");
        assert_eq!(named("..").rfind('='), Some(17));
    }
}
