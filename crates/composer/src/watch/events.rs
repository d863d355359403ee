//! Which files have changed, as the kernel tells: inotify, with a watch on each directory.
//!
//! A directory is watched before it is looked through, so that nothing made in it meanwhile is missed. When the kernel
//! has lost count of changes, everything that is watched counts as changed.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::sync::mpsc;

/// Bytes of one reading; a name has at most 255.
const BUFFER: usize = 16 * 1024;
/// Events on their way; more wait in the kernel, which says so when it has lost some.
const ON_THEIR_WAY: usize = 1024;

/// What the kernel tells: the number of the watch, what happened, and the name in the directory.
type News = (i32, ReadFlags, Option<OsString>);

/// Watches paths, those that are still to come too.
pub(super) struct Events {
    kernel: Arc<OwnedFd>,
    news: mpsc::Receiver<io::Result<News>>,
    /// Directories by the kernel's number of their watch.
    directories: HashMap<i32, PathBuf>,
    wanted: Vec<PathBuf>,
}

impl Events {
    /// Watches these, absolute paths of files and directories; of one that is not there its nearest ancestor.
    ///
    /// # Errors
    /// The kernel's, with what to do about its bounds.
    pub(super) fn of(paths: impl IntoIterator<Item = PathBuf>) -> io::Result<Events> {
        let kernel = inotify::init(CreateFlags::CLOEXEC)
            .map_err(|error| bounded(error.into(), "fs.inotify.max_user_instances"))?;
        let kernel = Arc::new(kernel);
        let wanted: Vec<PathBuf> = paths.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let (sender, news) = mpsc::channel(ON_THEIR_WAY);
        // A thread, for it sleeps in the kernel; it ends when nobody listens any more, see [`Drop`].
        let reader = Arc::clone(&kernel);
        std::thread::Builder::new().name("inotify".to_owned()).spawn(move || read(&reader, &sender))?;
        let mut events = Events { kernel, news, directories: HashMap::new(), wanted };
        events.watch_all(&mut BTreeSet::new())?;
        Ok(events)
    }

    /// The next changes: paths that were made, written, renamed or removed, in order, each once.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) async fn next(&mut self) -> io::Result<BTreeSet<PathBuf>> {
        let mut changed = BTreeSet::new();
        while changed.is_empty() {
            let first = self.news.recv().await;
            let mut next = Some(first.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into())));
            while let Some(news) = next {
                let (number, what, name) = news?;
                self.take(number, what, name.as_deref().map(Path::new), &mut changed)?;
                next = self.news.try_recv().ok();
            }
        }
        Ok(changed)
    }

    fn take(
        &mut self,
        number: i32,
        what: ReadFlags,
        name: Option<&Path>,
        changed: &mut BTreeSet<PathBuf>,
    ) -> io::Result<()> {
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.watch_all(changed);
        }
        if what.contains(ReadFlags::IGNORED) {
            self.directories.remove(&number);
            return Ok(());
        }
        let (Some(directory), Some(name)) = (self.directories.get(&number), name) else { return Ok(()) };
        let path = directory.join(name);
        let is_directory = what.contains(ReadFlags::ISDIR);
        if is_directory && what.contains(ReadFlags::MOVED_FROM) {
            // Its watches go along with it; where it is now they would tell of the wrong place.
            let moved: Vec<i32> =
                self.directories.iter().filter(|(_, own)| own.starts_with(&path)).map(|(number, _)| *number).collect();
            for number in moved {
                self.directories.remove(&number);
                // One that the kernel has forgotten already is a good end.
                let _ = inotify::remove_watch(&self.kernel, number);
            }
        }
        if is_directory && what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            self.watch(&path, changed)?;
        }
        // What a directory is told of is what lies in it, unless it was made, renamed or removed itself.
        if !(is_directory && what.contains(ReadFlags::ATTRIB)) {
            self.tell(path, changed);
        }
        Ok(())
    }

    /// Watches everything that is wanted, from the nearest directory above that is there: that one tells when a file or
    /// a whole directory is replaced.
    fn watch_all(&mut self, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        for path in self.wanted.clone() {
            let there = path.ancestors().skip(1).find(|ancestor| ancestor.is_dir());
            self.watch(there.unwrap_or(Path::new("/")), changed)?;
        }
        Ok(())
    }

    /// Watches a directory and what lies in it, as far as it leads to, or lies below, what is wanted. All that is found
    /// counts as changed.
    fn watch(&mut self, directory: &Path, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let mut open = vec![directory.to_owned()];
        while let Some(directory) = open.pop() {
            if !self.leads_to(&directory) {
                continue;
            }
            let flags = WatchFlags::CREATE
                | WatchFlags::MODIFY
                | WatchFlags::ATTRIB
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE
                | WatchFlags::ONLYDIR
                | WatchFlags::DONT_FOLLOW;
            match inotify::add_watch(&self.kernel, &directory, flags) {
                Ok(number) => drop(self.directories.insert(number, directory.clone())),
                // It went, or became something else, meanwhile; whatever it is now is told.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => continue,
                Err(error) => {
                    let error = bounded(error.into(), "fs.inotify.max_user_watches");
                    return Err(io::Error::new(error.kind(), format!("cannot watch {}: {error}", directory.display())));
                }
            }
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(io::Error::new(error.kind(), format!("cannot read {}: {error}", directory.display())));
                }
            };
            for entry in entries {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(path.clone());
                }
                self.tell(path, changed);
            }
        }
        Ok(())
    }

    /// Whether a directory lies below what is wanted, or above it.
    fn leads_to(&self, directory: &Path) -> bool {
        self.wanted.iter().any(|wanted| directory.starts_with(wanted) || wanted.starts_with(directory))
    }

    /// Notes a path that is wanted. Not a wanted directory itself: what lies in it is told.
    fn tell(&self, path: PathBuf, changed: &mut BTreeSet<PathBuf>) {
        let whole = self.wanted.contains(&path) && path.symlink_metadata().is_ok_and(|found| found.is_dir());
        if !whole && self.wanted.iter().any(|wanted| path.starts_with(wanted)) {
            changed.insert(path);
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.news.close();
        // Each watch that goes is told of, which wakes the reader; it then finds nobody listening.
        for number in self.directories.keys() {
            let _ = inotify::remove_watch(&self.kernel, *number);
        }
    }
}

/// Passes on what the kernel tells, until nobody listens or it cannot be read.
fn read(kernel: &OwnedFd, sender: &mpsc::Sender<io::Result<News>>) {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut reader = inotify::Reader::new(kernel, &mut buffer);
    loop {
        let news = match reader.next() {
            Ok(event) => {
                let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).to_owned());
                Ok((event.wd(), event.events(), name))
            }
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
        let last = news.is_err();
        if sender.blocking_send(news).is_err() || last {
            return;
        }
    }
}

/// An error that may come of one of the kernel's bounds, with what to do then.
fn bounded(error: io::Error, bound: &str) -> io::Error {
    match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::NOSPC | rustix::io::Errno::MFILE) => io::Error::new(
            error.kind(),
            format!("{error} (the kernel's bound is reached: look at `sysctl {bound}`, and set it higher)"),
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    /// Gathers changes until `path` is among them.
    async fn until(events: &mut Events, path: &Path) -> BTreeSet<PathBuf> {
        let mut all = BTreeSet::new();
        while !all.contains(path) {
            let next = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
            all.extend(next.unwrap_or_else(|_| panic!("{} is not told of: {all:?}", path.display())).unwrap());
        }
        all
    }

    #[tokio::test]
    async fn files_and_directories_are_told_of_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("watched");
        let outside = root.parent().unwrap().join("outside");
        // Neither is there yet.
        let mut events = Events::of([root.clone(), root.clone()]).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("x"), "").unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "1").unwrap();
        let told = until(&mut events, &root.join("a/b/file")).await;
        assert!(!told.contains(&root) && !told.iter().any(|path| path.starts_with(&outside)), "{told:?}");

        fs::remove_file(root.join("a/b/file")).unwrap();
        until(&mut events, &root.join("a/b/file")).await;
        fs::rename(root.join("a"), outside.join("a")).unwrap();
        until(&mut events, &root.join("a")).await;
        // What has left is told of no more, what comes in is, with all it has.
        fs::write(outside.join("a/b/late"), "").unwrap();
        fs::rename(outside.join("a"), root.join("back")).unwrap();
        let told = until(&mut events, &root.join("back/b/late")).await;
        assert!(!told.contains(&root.join("a/b/late")), "{told:?}");
        fs::write(root.join("back/b/later"), "").unwrap();
        until(&mut events, &root.join("back/b/later")).await;
        fs::remove_dir_all(root.join("back")).unwrap();
        until(&mut events, &root.join("back")).await;
    }

    #[tokio::test]
    async fn a_file_is_told_of_when_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let file = root.join("one.conf");
        fs::write(&file, "1").unwrap();
        let mut events = Events::of([file.clone()]).unwrap();
        fs::write(root.join("other"), "").unwrap();
        for turn in 0..3 {
            fs::write(root.join("new"), turn.to_string()).unwrap();
            fs::rename(root.join("new"), &file).unwrap();
            assert_eq!(until(&mut events, &file).await, [file.clone()].into());
        }
    }

    #[tokio::test]
    async fn when_the_kernel_lost_count_everything_counts_as_changed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/file"), "").unwrap();
        let mut events = Events::of([root.clone()]).unwrap();
        let mut changed = BTreeSet::new();
        events.take(-1, ReadFlags::QUEUE_OVERFLOW, None, &mut changed).unwrap();
        assert_eq!(changed, [root.join("sub"), root.join("sub/file")].into());
    }
}
