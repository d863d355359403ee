//! The route file on the disk. This process is its only writer, held by a lock; the previous one is kept beside it.
//!
//! `routes.json`: what is served. `routes.previous.json`: what was served before. `routes.broken.json`: a file that could
//! not be read, put aside when the next one is written, for a person to look at.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use turnout_traffic::{Mistakes, RouteFile, bounds, control::Origin};

use crate::dies;

const CURRENT: &str = "routes.json";
const PREVIOUS: &str = "routes.previous.json";
const BROKEN: &str = "routes.broken.json";
const LOCK: &str = "lock";
/// What is being written; ones that a crash left are written over.
const NEW: &str = "routes.new.json";
const NEW_PREVIOUS: &str = "routes.previous.new.json";

/// Reads a file: its bytes, and what they say. None: there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<(Vec<u8>, RouteFile)>, Mistakes> {
    let unread = |error: io::Error| Mistakes::one("", format!("cannot be read: {error}"));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unread(error)),
    };
    let mut bytes = Vec::new();
    // One byte more than may be: then it is too large, which is said.
    (&mut file).take(bounds::BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unread)?;
    RouteFile::from_bytes(&bytes).map(|served| Some((bytes, served)))
}

/// How writing ended, where it did not end well.
#[derive(Debug)]
pub(crate) enum NotWritten {
    /// The route file is what it was.
    Nothing(String),
    /// The new one is in its place, but the disk did not say that it will be there after a loss of power.
    NotDurable(String),
}

/// Keeps the route file. All of it waits for the disk: not for a thread of the runtime.
#[derive(Debug)]
pub(crate) struct Keeper {
    directory: PathBuf,
    /// What is served, as bytes: it becomes the previous one. None before there was any.
    kept: Option<Vec<u8>>,
    /// `routes.json` is not what is served; it is put aside, not written over.
    foreign: bool,
    /// Held until the end, or until another process has taken over, which has the same one.
    lock: Option<File>,
}

/// What a process that takes over keeps the route file with.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) lock: OwnedFd,
    /// See [`Keeper`].
    pub(crate) bytes: Option<Vec<u8>>,
    /// See [`Keeper`].
    pub(crate) foreign: bool,
}

impl Keeper {
    /// Takes the state directory over, and gives what is to be served.
    ///
    /// # Errors
    /// Where the directory cannot be made or locked. A file that cannot be read is no error: it is said loudly, and the
    /// newest readable one is taken.
    pub(crate) fn open(directory: &Path) -> Result<(Keeper, RouteFile, Origin), String> {
        let shown = directory.display();
        fs::create_dir_all(directory).map_err(|error| format!("cannot make the state directory {shown}: {error}"))?;
        let lock = File::create(directory.join(LOCK));
        let lock = lock.map_err(|error| format!("cannot write in the state directory {shown}: {error}"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("another turnout-proxy has the state directory {shown}; end it first"));
            }
            Err(TryLockError::Error(error)) => return Err(format!("cannot lock the state directory {shown}: {error}")),
        }
        let current = read(&directory.join(CURRENT));
        let previous = read(&directory.join(PREVIOUS));
        for (name, file) in [(CURRENT, &current), (PREVIOUS, &previous)] {
            if let Err(mistakes) = file {
                let shown = directory.join(name);
                for mistake in &mistakes.0 {
                    tracing::error!("{}: {mistake}", shown.display());
                }
            }
        }
        let (found, origin) = newest(current, previous);
        let foreign = matches!(origin, Origin::Previous | Origin::Lost);
        match origin {
            Origin::Current | Origin::Nothing => {}
            Origin::Previous => {
                let serial = found.as_ref().map_or(0, |(_, served)| served.serial);
                tracing::error!(
                    "the previous route file is served (serial {serial}), for {CURRENT} is missing, older or damaged: \
                     what was changed last may be lost; turnout applies it again"
                );
            }
            Origin::Lost => {
                tracing::error!("no route file could be read: nothing is served until routes are applied again")
            }
        }
        let (kept, served) = found.map_or((None, RouteFile::default()), |(bytes, served)| (Some(bytes), served));
        Ok((Keeper { directory: directory.to_path_buf(), kept, foreign, lock: Some(lock) }, served, origin))
    }

    /// Keeps it on for a process that did so until now: the same lock, which was free at no moment.
    pub(crate) fn go_on(directory: &Path, Kept { lock, bytes, foreign }: Kept) -> Keeper {
        Keeper { directory: directory.to_path_buf(), kept: bytes, foreign, lock: Some(lock.into()) }
    }

    /// For a process that takes over, while this one still keeps it.
    ///
    /// # Errors
    /// Where there is no descriptor more.
    pub(crate) fn to_hand_over(&self) -> io::Result<Kept> {
        let lock = self.lock.as_ref().ok_or_else(|| io::Error::other("another process keeps it"))?;
        Ok(Kept { lock: lock.try_clone()?.into(), bytes: self.kept.clone(), foreign: self.foreign })
    }

    /// Another process keeps it from now on: this one never writes again.
    pub(crate) fn leave(&mut self) {
        self.lock = None;
    }

    /// Reads the route file again.
    ///
    /// # Errors
    /// What is wrong with it, and which file it is.
    pub(crate) fn read_again(&mut self) -> Result<(Vec<u8>, RouteFile), (PathBuf, Mistakes)> {
        let path = self.directory.join(CURRENT);
        let read = read(&path).and_then(|read| read.ok_or_else(|| Mistakes::one("", "there is no route file")));
        // Until it is served, it is not what is served.
        self.foreign = !matches!(&read, Ok((bytes, _)) if self.kept.as_ref() == Some(bytes));
        read.map_err(|mistakes| (path, mistakes))
    }

    /// What [`Keeper::read_again`] gave is to be served: it may be written over.
    pub(crate) fn accept(&mut self) {
        self.foreign = false;
    }

    /// Writes the next file: temporary, fsync, rename, fsync of the directory. At every moment a whole one is there.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), NotWritten> {
        let path = |name: &str| self.directory.join(name);
        let nothing = |error: io::Error| {
            NotWritten::Nothing(format!("the route file in {} cannot be written: {error}", self.directory.display()))
        };
        if self.lock.is_none() {
            return Err(nothing(io::Error::other("another process of turnout-proxy has taken over")));
        }
        dies::here("before", "writing the new route file");
        self.put(NEW, bytes).map_err(nothing)?;
        dies::here("after", "writing the new route file");
        if self.foreign {
            match fs::rename(path(CURRENT), path(BROKEN)) {
                Ok(()) => tracing::warn!("{CURRENT} was not what is served; it is {BROKEN} now"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(nothing(error)),
            }
        }
        if let Some(kept) = &self.kept {
            // Written anew, not linked: what lies in its place on the disk may not be what is served.
            self.put(NEW_PREVIOUS, kept).map_err(nothing)?;
            fs::rename(path(NEW_PREVIOUS), path(PREVIOUS)).map_err(nothing)?;
        }
        dies::here("before", "renaming the route file");
        fs::rename(path(NEW), path(CURRENT)).map_err(nothing)?;
        dies::here("after", "renaming the route file");
        self.kept = Some(bytes.to_vec());
        self.foreign = false;
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        dies::here("after", "syncing the directory");
        synced.map_err(|error| {
            NotWritten::NotDurable(format!("the disk did not say that it has the route file: {error}; ask again"))
        })
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.directory.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

type Found = Result<Option<(Vec<u8>, RouteFile)>, Mistakes>;

/// Of two files the newest one that can be read, and what that says of them.
fn newest(current: Found, previous: Found) -> (Option<(Vec<u8>, RouteFile)>, Origin) {
    let none = matches!((&current, &previous), (Ok(None), Ok(None)));
    match (current.ok().flatten(), previous.ok().flatten()) {
        (Some(current), Some(previous)) if previous.1.serial > current.1.serial => (Some(previous), Origin::Previous),
        (Some(current), _) => (Some(current), Origin::Current),
        (None, Some(previous)) => (Some(previous), Origin::Previous),
        (None, None) if none => (None, Origin::Nothing),
        (None, None) => (None, Origin::Lost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use turnout_traffic::Table;

    fn bytes(serial: u64) -> Vec<u8> {
        RouteFile { serial, table: Table::default() }.to_bytes().unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != LOCK);
        names.sort();
        names
    }

    /// What is in the directory, and what is then served from where.
    #[test]
    fn the_newest_readable_file_is_taken() {
        let (one, two, broken) = (bytes(1), bytes(2), b"{}".to_vec());
        type Case<'c> = (Option<&'c [u8]>, Option<&'c [u8]>, u64, Origin);
        let cases: [Case<'_>; 10] = [
            (None, None, 0, Origin::Nothing),
            (Some(&one), None, 1, Origin::Current),
            (Some(&two), Some(&one), 2, Origin::Current),
            (Some(&two), Some(&broken), 2, Origin::Current),
            (Some(&one), Some(&two), 2, Origin::Previous),
            (None, Some(&one), 1, Origin::Previous),
            (Some(&broken), Some(&one), 1, Origin::Previous),
            (Some(&two[..two.len() - 1]), Some(&one), 1, Origin::Previous),
            (Some(&broken), None, 0, Origin::Lost),
            (Some(&broken), Some(&broken), 0, Origin::Lost),
        ];
        for (index, (current, previous, serial, origin)) in cases.into_iter().enumerate() {
            let directory = tempfile::tempdir().unwrap();
            for (name, bytes) in [(CURRENT, current), (PREVIOUS, previous)] {
                bytes.into_iter().for_each(|bytes| fs::write(directory.path().join(name), bytes).unwrap());
            }
            let (_keeper, served, from) = Keeper::open(directory.path()).unwrap();
            assert_eq!((served.serial, from), (serial, origin), "case {index}");
        }
    }

    #[test]
    fn what_was_served_becomes_the_previous_one_whatever_lies_on_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (mut keeper, ..) = Keeper::open(directory.path()).unwrap();
        keeper.write(&bytes(1)).unwrap();
        assert_eq!(names(directory.path()), [CURRENT]);
        keeper.write(&bytes(2)).unwrap();
        assert_eq!(names(directory.path()), [CURRENT, PREVIOUS]);
        // Somebody damages it while it is served.
        fs::write(path(CURRENT), "garbage").unwrap();
        assert!(keeper.read_again().is_err());
        keeper.write(&bytes(3)).unwrap();
        assert_eq!(fs::read(path(CURRENT)).unwrap(), bytes(3));
        assert_eq!(fs::read(path(PREVIOUS)).unwrap(), bytes(2));
        assert_eq!(fs::read(path(BROKEN)).unwrap(), b"garbage");
    }

    #[test]
    fn one_that_was_found_damaged_is_put_aside_and_the_good_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path(CURRENT), "garbage").unwrap();
        fs::write(path(PREVIOUS), bytes(7)).unwrap();
        let (mut keeper, served, _) = Keeper::open(directory.path()).unwrap();
        assert_eq!(served.serial, 7);
        keeper.write(&bytes(8)).unwrap();
        assert_eq!(fs::read(path(PREVIOUS)).unwrap(), bytes(7));
        assert_eq!(fs::read(path(BROKEN)).unwrap(), b"garbage");
    }

    #[test]
    fn there_is_one_writer() {
        let directory = tempfile::tempdir().unwrap();
        let first = Keeper::open(directory.path()).unwrap();
        let second = Keeper::open(directory.path()).map(drop).expect_err("it is locked");
        assert!(second.starts_with("another turnout-proxy has the state directory"), "{second}");
        drop(first);
        Keeper::open(directory.path()).unwrap();
    }

    #[test]
    fn the_right_to_write_goes_over_and_the_lock_is_free_at_no_moment() {
        let directory = tempfile::tempdir().unwrap();
        let (mut old, ..) = Keeper::open(directory.path()).unwrap();
        old.write(&bytes(1)).unwrap();
        let mut new = Keeper::go_on(directory.path(), old.to_hand_over().unwrap());
        old.leave();
        assert!(Keeper::open(directory.path()).is_err(), "the lock went along");
        assert!(matches!(old.write(&bytes(9)), Err(NotWritten::Nothing(_))) && old.to_hand_over().is_err());
        new.write(&bytes(2)).unwrap();
        assert_eq!(fs::read(directory.path().join(CURRENT)).unwrap(), bytes(2));
        assert_eq!(fs::read(directory.path().join(PREVIOUS)).unwrap(), bytes(1));
        drop((old, new));
        Keeper::open(directory.path()).unwrap();
    }
}
