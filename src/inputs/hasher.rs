//! Digests of files, without reading again what did not change.

use std::{
    collections::HashMap,
    fs::Metadata,
    io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};

use super::memory::write_whole;

/// First bytes of the file: what it is, and its form.
const MAGIC: &[u8] = b"turnout inputs 1\n";
/// Bytes of a record before its path.
const RECORD: usize = 6 * 8 + 32 + 4;
/// Bytes that are read at once.
const BUFFER: usize = 256 * 1024;
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

/// Digests of files, remembered in one file from one look to the next. Blocking.
#[derive(Debug)]
pub struct Hasher {
    file: PathBuf,
    known: HashMap<PathBuf, (Stamp, [u8; 32])>,
    /// What was asked for this time; the rest is forgotten.
    seen: HashMap<PathBuf, (Stamp, [u8; 32])>,
    read: bool,
    /// What files are read into. One for all: there may be 100,000 small ones.
    buffer: Vec<u8>,
}

impl Hasher {
    /// With what the file remembers; one that is damaged or cannot be read remembers nothing.
    pub fn open(file: PathBuf) -> Self {
        let known = std::fs::read(&file).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default();
        Self { file, known, seen: HashMap::new(), read: false, buffer: Vec::new() }
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
        let stamp = Stamp::of(meta);
        if let Some((known, digest)) = self.known.get(path)
            && *known == stamp
        {
            self.seen.insert(path.to_owned(), (stamp, *digest));
            return Ok(hex::encode(digest));
        }
        self.read = true;
        let begun = now();
        let (opened, mut content) = open(path)?;
        let mut hash = Sha256::new();
        self.buffer.resize(BUFFER, 0);
        loop {
            match content.read(&mut self.buffer).map_err(&failed)? {
                0 => break,
                got => hash.update(self.buffer.get(..got).unwrap_or_default()),
            }
        }
        let digest: [u8; 32] = hash.finalize().into();
        // What changes while it is read is read again the next time.
        let after = std::fs::symlink_metadata(path).map(|meta| Stamp::of(&meta));
        let opened = Stamp::of(&opened);
        if after.is_ok_and(|after| after == opened) && opened.changed() + RACY_NS < begun {
            self.seen.insert(path.to_owned(), (opened, digest));
        }
        Ok(hex::encode(digest))
    }

    /// Writes what was learnt, if anything was. `all`: everything that there is was asked for, so that the rest can be
    /// forgotten. That it cannot be written costs time at the next look, nothing else.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&mut self, all: bool) -> io::Result<()> {
        if !self.read && (!all || self.seen.len() == self.known.len()) {
            return Ok(());
        }
        if !all {
            for (path, known) in std::mem::take(&mut self.known) {
                self.seen.entry(path).or_insert(known);
            }
        }
        let mut bytes = MAGIC.to_vec();
        for (path, (stamp, digest)) in &self.seen {
            for number in stamp.0 {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(digest);
            let path = path.as_os_str().as_bytes();
            let Ok(length) = u32::try_from(path.len()) else { continue };
            bytes.extend(length.to_le_bytes());
            bytes.extend(path);
        }
        let sum = Sha256::digest(&bytes);
        bytes.extend(sum);
        write_whole(&self.file, &bytes)
    }
}

fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

fn parse(bytes: &[u8]) -> Option<HashMap<PathBuf, (Stamp, [u8; 32])>> {
    let (body, sum) = bytes.split_last_chunk::<32>()?;
    if Sha256::digest(body).as_slice() != sum {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    let mut known = HashMap::new();
    while !rest.is_empty() {
        let (record, tail) = rest.split_at_checked(RECORD)?;
        let mut numbers = [0; 6];
        for (number, bytes) in numbers.iter_mut().zip(record.chunks_exact(8)) {
            *number = i64::from_le_bytes(bytes.try_into().ok()?);
        }
        let digest: [u8; 32] = record.get(48..80)?.try_into().ok()?;
        let length = usize::try_from(u32::from_le_bytes(record.get(80..84)?.try_into().ok()?)).ok()?;
        let (path, tail) = tail.split_at_checked(length)?;
        known.insert(PathBuf::from(std::ffi::OsStr::from_bytes(path)), (Stamp(numbers), digest));
        rest = tail;
    }
    Some(known)
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
        hasher.seen.insert(file.clone(), (stamp, digest));
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
        assert!(Hasher::open(cache).known.is_empty());
    }
}
