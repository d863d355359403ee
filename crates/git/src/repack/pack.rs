//! Packs and their indexes, version 2 of each (gitformat-pack(5)). libgit2 opens them, but does not list what one holds.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// Bytes of an object's name. Repositories with SHA-256 have a marked configuration, which libgit2 does not open.
pub(super) const NAME: usize = 20;
/// The name of an object.
pub(super) type Name = [u8; NAME];

/// Files that say of a pack that it is not to be touched: kept by somebody, of a server that may be asked for the rest,
/// or of unreachable objects, each with a time.
const MARKS: [&str; 3] = ["keep", "promisor", "mtimes"];
/// Header, table of first bytes, and two sums.
const LEAST: usize = 8 + 1024 + 2 * NAME;
/// An entry of the index: name, sum, place.
const EACH: usize = NAME + 4 + 4;

/// A pack that may be joined with others.
#[derive(Debug, Clone)]
pub(super) struct Pack {
    /// Its file without the ending.
    pub(super) stem: PathBuf,
    /// Of the pack, in bytes.
    pub(super) size: u64,
    index_size: u64,
}

impl Pack {
    pub(super) fn file(&self, end: &str) -> PathBuf {
        self.stem.with_extension(end)
    }

    /// How many objects it has, by the size of its index.
    pub(super) fn about_objects(&self) -> usize {
        usize::try_from(self.index_size).unwrap_or(usize::MAX).saturating_sub(LEAST) / EACH
    }

    /// Takes it away. First the index, by which it is found.
    pub(super) fn remove(&self) -> std::io::Result<()> {
        for end in ["idx", "rev", "bitmap", "pack"] {
            match fs::remove_file(self.file(end)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The packs in a folder that are whole and nobody's in particular.
pub(super) fn eligible(folder: &Path) -> Result<Vec<Pack>, String> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| format!("cannot read {}: {error}", folder.display()))?,
    };
    let names = entries.flatten().map(|entry| entry.path());
    let indexes = names.filter(|path| path.extension().is_some_and(|end| end == "idx"));
    Ok(indexes
        .filter_map(|index| {
            let stem = index.with_extension("");
            if MARKS.iter().any(|mark| stem.with_extension(mark).exists()) {
                return None;
            }
            let (pack, index) = (fs::metadata(stem.with_extension("pack")).ok()?, fs::metadata(index).ok()?);
            Some(Pack { stem, size: pack.len(), index_size: index.len() })
        })
        .collect())
}

/// The objects of a pack with their places in it, from its index.
pub(super) fn objects(index: &Path) -> Result<HashMap<Name, u64>, String> {
    let wrong = |what: &str| format!("{}: {what}", index.display());
    let bytes = fs::read(index).map_err(|error| wrong(&error.to_string()))?;
    let cut = || wrong("it is cut off");
    if bytes.get(..8) != Some(b"\xfftOc\0\0\0\x02".as_slice()) {
        return Err(wrong("it is no index of version 2"));
    }
    let number = |at: usize| {
        let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map(u32::from_be_bytes).ok_or_else(cut)
    };
    let count = number(8 + 255 * 4)? as usize;
    let (names, places) = (8 + 1024, 8 + 1024 + count * (NAME + 4));
    let far = places + count * 4;
    let mut found = HashMap::with_capacity(count.min(bytes.len() / EACH));
    for object in 0..count {
        let at = names + object * NAME;
        let name: Name = bytes.get(at..at + NAME).and_then(|name| name.try_into().ok()).ok_or_else(cut)?;
        let place = number(places + object * 4)?;
        // The highest bit tells of a place in the table of those that need eight bytes.
        let place = if place & 0x8000_0000 == 0 {
            u64::from(place)
        } else {
            let at = far + (place & 0x7fff_ffff) as usize * 8;
            let eight = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok());
            eight.map(u64::from_be_bytes).ok_or_else(cut)?
        };
        found.insert(name, place);
    }
    Ok(found)
}
