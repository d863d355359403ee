//! Digests of files, without reading again what did not change.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::Metadata,
    io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};

use super::memory::write_whole;
use crate::files::Watch;

/// First bytes of the file: what it is, and its form.
const MAGIC: &[u8] = b"turnout inputs 2\n";
/// Bytes of a record before its path.
const RECORD: usize = 6 * 8 + 32 + 4;
/// Bytes that are read at once.
const BUFFER: usize = 256 * 1024;
/// As many files as one more thread is started for, and most threads: others deploy, too.
const FILES_A_THREAD: usize = 64;
const MOST_THREADS: usize = 8;
/// A file that changed within this time of being read is read again the next time: another change might carry the same
/// time, as clocks of file systems tick coarsely. What git calls racy.
const RACY_NS: i128 = 2_000_000_000;

/// What tells a change of a file without reading it. The change time cannot be set by anybody, so that a content put
/// back with the old size and modification time is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([i64; 6]);

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        let wrap = u64::cast_signed;
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self([
            wrap(meta.dev()),
            wrap(meta.ino()),
            wrap(meta.len()),
            nanoseconds(meta.mtime(), meta.mtime_nsec()),
            nanoseconds(meta.ctime(), meta.ctime_nsec()),
            i64::from(meta.mode()),
        ])
    }

    fn changed(&self) -> i128 {
        let [_, _, _, modified, changed, _] = self.0;
        i128::from(modified.max(changed))
    }
}

/// What is remembered of a file: how it looked, and the digest of its content.
type Known = (Stamp, [u8; 32]);

/// Digests of files, remembered in one file from one look to the next. Blocking.
#[derive(Debug)]
pub struct Hasher {
    file: PathBuf,
    known: Records,
    /// What was read this time, and can be trusted the next time.
    fresh: BTreeMap<PathBuf, Known>,
    read: bool,
}

impl Hasher {
    /// With what the file remembers; one that is damaged or cannot be read remembers nothing.
    pub fn open(file: PathBuf) -> Self {
        let known = std::fs::read(&file).ok().and_then(Records::parse).unwrap_or_default();
        Self { file, known, fresh: BTreeMap::new(), read: false }
    }

    /// The digest of a file as hex, if it is known without reading the file. `meta` is what the folder said of it.
    pub fn known(&mut self, path: &Path, meta: &Metadata) -> Option<String> {
        let stamp = Stamp::of(meta);
        let found = self.known.find(path).or_else(|| self.fresh.get(path).copied());
        found.filter(|(known, _)| *known == stamp).map(|(_, digest)| hex::encode(digest))
    }

    /// The digest of a file, as hex. `open` opens it and tells what it is once it is open; `meta` is what the folder
    /// said of it.
    ///
    /// # Errors
    /// Those of `open`, and those of reading, which `failed` puts into words.
    pub fn digest<R: io::Read, E>(
        &mut self,
        path: &Path,
        meta: &Metadata,
        open: impl FnOnce(&Path) -> Result<(Metadata, R), E>,
        failed: impl Fn(io::Error) -> E,
    ) -> Result<String, E> {
        if let Some(known) = self.known(path, meta) {
            return Ok(known);
        }
        self.read = true;
        let read = read(path, open, failed, &mut Vec::new())?;
        Ok(self.learn(path, read))
    }

    /// Reads many files, on as many threads as there are processors; their digests in the order asked for. As `digest`
    /// otherwise; `open` is asked before each file, so it can also refuse to go on.
    ///
    /// # Errors
    /// See `digest`; the first in the order of the files.
    pub fn digests<R: io::Read, E: Send>(
        &mut self,
        files: &[PathBuf],
        open: impl Fn(&Path) -> Result<(Metadata, R), E> + Sync,
        failed: impl Fn(&Path, io::Error) -> E + Sync,
    ) -> Result<Vec<String>, E> {
        self.read |= !files.is_empty();
        let (next, broken) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            let (mut buffer, mut done) = (Vec::new(), Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(path) = files.get(number).filter(|_| !broken.load(Ordering::Relaxed)) else { return done };
                let read = read(path, &open, |error| failed(path, error), &mut buffer);
                if read.is_err() {
                    broken.store(true, Ordering::Relaxed);
                }
                done.push((number, read));
            }
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // A thread is worth its start for a good many files only.
        let more = (files.len() / FILES_A_THREAD).min(processors.min(MOST_THREADS) - 1);
        // Who waits for this thread knows what those do, too.
        let watch = Watch::here();
        let helper = || {
            watch.iter().for_each(Watch::enter);
            work()
        };
        let mut done = std::thread::scope(|scope| {
            let helpers: Vec<_> = (0..more).map(|_| scope.spawn(helper)).collect();
            let mut done = work();
            for helper in helpers {
                match helper.join() {
                    Ok(more) => done.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        done.sort_by_key(|(number, _)| *number);
        let mut digests = Vec::with_capacity(files.len());
        for ((_, read), path) in done.into_iter().zip(files) {
            digests.push(self.learn(path, read?));
        }
        Ok(digests)
    }

    fn learn(&mut self, path: &Path, (stamp, digest): (Option<Stamp>, [u8; 32])) -> String {
        if let Some(stamp) = stamp {
            self.fresh.insert(path.to_owned(), (stamp, digest));
        }
        hex::encode(digest)
    }

    /// Writes what was learnt, if anything was. `all`: everything that there is was asked for, so that the rest can be
    /// forgotten. That it cannot be written costs time at the next look, nothing else.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&mut self, all: bool) -> io::Result<()> {
        if !self.read && (!all || self.known.all_found()) {
            return Ok(());
        }
        let mut records: BTreeMap<&Path, Known> = self.known.iter(all).collect();
        records.extend(self.fresh.iter().map(|(path, known)| (path.as_path(), *known)));
        let mut records: Vec<_> =
            records.into_iter().map(|(path, known)| (path.as_os_str().as_bytes(), known)).collect();
        records.sort_by_key(|(path, _)| *path);
        let mut bytes = MAGIC.to_vec();
        for (path, (stamp, digest)) in records {
            let Ok(length) = u32::try_from(path.len()) else { continue };
            for number in stamp.0 {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(digest);
            bytes.extend(length.to_le_bytes());
            bytes.extend(path);
        }
        let sum = Sha256::digest(&bytes);
        bytes.extend(sum);
        write_whole(&self.file, &bytes)
    }
}

/// Reads a file. The stamp only where it stayed the same from before to after, and is old enough to be trusted.
fn read<R: io::Read, E>(
    path: &Path,
    open: impl FnOnce(&Path) -> Result<(Metadata, R), E>,
    failed: impl Fn(io::Error) -> E,
    buffer: &mut Vec<u8>,
) -> Result<(Option<Stamp>, [u8; 32]), E> {
    let begun = now();
    let (opened, mut content) = open(path)?;
    let mut hash = Sha256::new();
    buffer.resize(BUFFER, 0);
    loop {
        match content.read(buffer).map_err(&failed)? {
            0 => break,
            got => hash.update(buffer.get(..got).unwrap_or_default()),
        }
    }
    // What changes while it is read is read again the next time.
    let after = std::fs::symlink_metadata(path).map(|meta| Stamp::of(&meta));
    let opened = Stamp::of(&opened);
    let settled = after.is_ok_and(|after| after == opened) && opened.changed() + RACY_NS < begun;
    Ok((settled.then_some(opened), hash.finalize().into()))
}

#[expect(clippy::disallowed_methods, reason = "compared with the times of files")]
fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

/// What a file of digests says, as it stands there: 100,000 records are looked through at each decision, so none of them
/// is copied.
#[derive(Debug, Default)]
struct Records {
    bytes: Vec<u8>,
    /// Where each begins, in the order of paths; and whether it was asked for and found.
    places: Vec<(usize, bool)>,
    /// The one that is likely to be asked for next.
    next: usize,
}

impl Records {
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<32>()?;
        if !body.starts_with(MAGIC) || Sha256::digest(body).as_slice() != sum {
            return None;
        }
        let (mut places, mut at, mut last) = (Vec::new(), MAGIC.len(), None);
        while at < body.len() {
            let (path, _) = record(body, at)?;
            if last.is_some_and(|last| last >= path) {
                return None;
            }
            last = Some(path);
            places.push((at, false));
            at += RECORD + path.len();
        }
        Some(Self { places, next: 0, bytes })
    }

    fn find(&mut self, path: &Path) -> Option<Known> {
        let path = path.as_os_str().as_bytes();
        let of = |place: &(usize, bool)| record(&self.bytes, place.0).map(|(path, _)| path);
        let number = match self.places.get(self.next).and_then(of) {
            Some(next) if next == path => self.next,
            _ => self.places.binary_search_by(|place| of(place).cmp(&Some(path))).ok()?,
        };
        self.next = number + 1;
        let place = self.places.get_mut(number)?;
        place.1 = true;
        record(&self.bytes, place.0).map(|(_, known)| known)
    }

    fn all_found(&self) -> bool {
        self.places.iter().all(|(_, found)| *found)
    }

    /// All, or only those that were found.
    fn iter(&self, found_only: bool) -> impl Iterator<Item = (&Path, Known)> {
        let places = self.places.iter().filter(move |(_, found)| *found || !found_only);
        places.filter_map(|(at, _)| {
            let (path, known) = record(&self.bytes, *at)?;
            Some((Path::new(OsStr::from_bytes(path)), known))
        })
    }
}

fn record(bytes: &[u8], at: usize) -> Option<(&[u8], Known)> {
    let (record, rest) = bytes.get(at..)?.split_first_chunk::<RECORD>()?;
    let mut numbers = [0; 6];
    for (number, bytes) in numbers.iter_mut().zip(record.chunks_exact(8)) {
        *number = i64::from_le_bytes(bytes.try_into().ok()?);
    }
    let digest: [u8; 32] = record.get(48..80)?.try_into().ok()?;
    let length = usize::try_from(u32::from_le_bytes(record.get(80..84)?.try_into().ok()?)).ok()?;
    Some((rest.get(..length)?, (Stamp(numbers), digest)))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fs};

    use super::*;

    /// The digest, and whether the file was read for it.
    fn ask(hasher: &mut Hasher, path: &Path) -> (String, bool) {
        let read = Cell::new(false);
        let meta = fs::symlink_metadata(path).unwrap();
        let open = |path: &Path| -> io::Result<_> {
            read.set(true);
            let file = fs::File::open(path)?;
            Ok((file.metadata()?, file))
        };
        (hasher.digest(path, &meta, open, |error| error).unwrap(), read.get())
    }

    #[test]
    fn what_just_changed_is_read_again_and_what_is_old_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (file, cache) = (dir.path().join("a"), dir.path().join("state/cache"));
        fs::write(&file, "one").unwrap();
        let mut hasher = Hasher::open(cache.clone());
        let (first, read) = ask(&mut hasher, &file);
        assert!(read);
        hasher.save(true).unwrap();
        // It is as young as the look at it: not trusted.
        let mut hasher = Hasher::open(cache.clone());
        assert_eq!(ask(&mut hasher, &file), (first.clone(), true));

        // As if it had been looked at long after its last change.
        let stamp = Stamp::of(&fs::symlink_metadata(&file).unwrap());
        let digest: [u8; 32] = hex::decode(&first).unwrap().try_into().unwrap();
        hasher.fresh.insert(file.clone(), (stamp, digest));
        hasher.save(true).unwrap();
        let mut hasher = Hasher::open(cache.clone());
        assert_eq!(ask(&mut hasher, &file), (first.clone(), false));
        hasher.save(true).unwrap();

        // Same size, same modification time: the change time tells.
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        while Stamp::of(&fs::symlink_metadata(&file).unwrap()).changed() == stamp.changed() {
            fs::write(&file, "two").unwrap();
        }
        fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
        let mut hasher = Hasher::open(cache.clone());
        let (second, read) = ask(&mut hasher, &file);
        assert!(read && second != first);

        // Damaged: it remembers nothing.
        let mut bytes = fs::read(&cache).unwrap();
        bytes[30] ^= 1;
        fs::write(&cache, bytes).unwrap();
        assert!(Hasher::open(cache).known.places.is_empty());
    }

    #[test]
    fn many_files_are_read_side_by_side_in_order_and_the_first_that_fails_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let count = FILES_A_THREAD * 3;
        let files: Vec<PathBuf> = (0..count).map(|number| dir.path().join(format!("f{number}"))).collect();
        for (number, file) in files.iter().enumerate() {
            fs::write(file, number.to_string()).unwrap();
        }
        let open = |path: &Path| {
            let file = fs::File::open(path).map_err(|_| path.to_owned())?;
            Ok((file.metadata().unwrap(), file))
        };
        let failed = |path: &Path, _| path.to_owned();
        let mut hasher = Hasher::open(dir.path().join("cache"));
        let digests = hasher.digests(&files, open, failed).unwrap();
        let expected: Vec<_> = (0..count).map(|number| hex::encode(Sha256::digest(number.to_string()))).collect();
        assert_eq!(digests, expected);
        fs::remove_file(&files[70]).unwrap();
        assert_eq!(hasher.digests(&files, open, failed), Err(files[70].clone()));

        // What is remembered is found in any order, and what is not asked for can be forgotten.
        let stamp = |file: &Path| Stamp::of(&fs::symlink_metadata(file).unwrap());
        for (file, digest) in files.iter().zip(&digests).filter(|(file, _)| file.exists()) {
            hasher.fresh.insert(file.clone(), (stamp(file), hex::decode(digest).unwrap().try_into().unwrap()));
        }
        hasher.save(true).unwrap();
        let mut hasher = Hasher::open(dir.path().join("cache"));
        for number in (0..count).rev().chain([5, 6, 7]).filter(|number| *number != 70) {
            let meta = fs::symlink_metadata(&files[number]).unwrap();
            assert_eq!(hasher.known(&files[number], &meta).as_deref(), Some(&*digests[number]), "{number}");
        }
        let mut hasher = Hasher::open(dir.path().join("cache"));
        assert!(hasher.known(&files[3], &fs::symlink_metadata(&files[3]).unwrap()).is_some());
        hasher.save(true).unwrap();
        assert_eq!(Hasher::open(dir.path().join("cache")).known.places.len(), 1);
    }
}
