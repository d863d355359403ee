//! Copies the entries of several packs into one.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufReader, Read, Seek, SeekFrom, Write},
};

use git2::{Indexer, Repository};
use sha1::{Digest as _, Sha1};

use super::{
    nursery::Nursery,
    pack::{self, NAME, Name, Pack},
    work::Work,
};

/// Longest head of an entry: type and size, and the place or name of what it builds upon.
const LONGEST_HEAD: usize = 16 + NAME;
/// Kinds of entries that build upon another.
const BY_PLACE: u8 = 6;
const BY_NAME: u8 = 7;

/// Joins packs. Gives how many there were; none if there was nothing to join.
pub(super) fn join(repo: &Repository, work: &Work<'_>, packs: Vec<Pack>) -> Result<Option<usize>, String> {
    let mut contents = Vec::new();
    let mut all: HashMap<Name, u64> = HashMap::new();
    for pack in packs {
        work.go_on()?;
        let objects = pack::objects(&pack.file("idx"))?;
        all.extend(objects.keys().map(|name| (*name, 0)));
        contents.push((pack, objects));
    }
    if contents.len() < 2 {
        return Ok(None);
    }
    let nursery = Nursery::new(&work.objects)?;
    let name = write(repo, work, &nursery, &contents, all.len())?;
    // What the indexer found in it, against what was to be in it: nothing is taken away before.
    let index = nursery.settle(&name, &work.objects)?;
    let joined = pack::objects(&index)?;
    if all.keys().any(|name| !joined.contains_key(name)) {
        return Err("the new pack lacks an object; the old ones stay".to_owned());
    }
    forget_overview(work)?;
    for (pack, _) in &contents {
        if pack.file("idx") != index {
            pack.remove().map_err(|error| format!("cannot remove {}: {error}", pack.stem.display()))?;
        }
    }
    Ok(Some(contents.len()))
}

/// Writes the new pack through libgit2's indexer, which unpacks and checks every object.
fn write(
    repo: &Repository,
    work: &Work<'_>,
    nursery: &Nursery,
    contents: &[(Pack, HashMap<Name, u64>)],
    count: usize,
) -> Result<String, String> {
    let told = |error: git2::Error| error.message().to_owned();
    let odb = repo.odb().map_err(told)?;
    let mut indexer = Indexer::new(Some(&odb), nursery.path(), 0o444, false).map_err(told)?;
    indexer.progress(|_| work.goes_on());
    let mut out = Output { to: &mut indexer, sum: Sha1::new(), place: 0 };
    let count = u32::try_from(count).map_err(|_| "there are too many objects".to_owned())?;
    out.put(&[b"PACK".as_slice(), &2u32.to_be_bytes(), &count.to_be_bytes()].concat())?;
    let mut placed: HashMap<Name, u64> = HashMap::new();
    for (pack, objects) in contents {
        copy(work, pack, objects, &mut placed, &mut out)?;
    }
    let sum = out.sum.clone().finalize();
    out.to.write_all(&sum).map_err(|error| error.to_string())?;
    indexer.commit().map_err(told)
}

/// Where the new pack goes.
struct Output<'o, 'i> {
    to: &'o mut Indexer<'i>,
    sum: Sha1,
    place: u64,
}

impl Output<'_, '_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.sum.update(bytes);
        self.place += bytes.len() as u64;
        self.to.write_all(bytes).map_err(|error| error.to_string())
    }
}

/// Copies what is not there yet.
fn copy(
    work: &Work<'_>,
    pack: &Pack,
    objects: &HashMap<Name, u64>,
    placed: &mut HashMap<Name, u64>,
    out: &mut Output<'_, '_>,
) -> Result<(), String> {
    let file = pack.file("pack");
    let wrong = |what: &str| format!("{}: {what}", file.display());
    let failed = |error: std::io::Error| wrong(&error.to_string());
    let names: HashMap<u64, Name> = objects.iter().map(|(name, place)| (*place, *name)).collect();
    let mut order: Vec<u64> = names.keys().copied().collect();
    order.sort_unstable();
    let end = pack.size.saturating_sub(NAME as u64);
    let mut from = BufReader::with_capacity(256 * 1024, File::open(&file).map_err(failed)?);
    let ends = order.iter().skip(1).copied().chain([end]);
    for (start, next) in order.iter().copied().zip(ends) {
        work.go_on()?;
        let Some(name) = names.get(&start) else { continue };
        if placed.contains_key(name) {
            continue;
        }
        let length =
            next.checked_sub(start).filter(|length| *length > 1).ok_or_else(|| wrong("its index does not fit"))?;
        from.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut head = vec![0; usize::try_from(length).unwrap_or(LONGEST_HEAD).min(LONGEST_HEAD)];
        from.read_exact(&mut head).map_err(failed)?;
        let entry = Entry::parse(&head).ok_or_else(|| wrong("an entry cannot be read"))?;
        let place = out.place;
        out.put(head.get(..entry.front).unwrap_or_default())?;
        let mut used = entry.front;
        match entry.kind {
            BY_PLACE => {
                let (back, length) =
                    distance(head.get(used..).unwrap_or_default()).ok_or_else(|| wrong("an entry cannot be read"))?;
                used += length;
                // What it builds upon has been copied: it lies before, in this pack or one that came before it.
                let base =
                    start.checked_sub(back).and_then(|place| names.get(&place)).and_then(|base| placed.get(base));
                let back =
                    base.and_then(|base| place.checked_sub(*base)).ok_or_else(|| wrong("an entry builds upon none"))?;
                out.put(&as_distance(back))?;
            }
            BY_NAME => {
                out.put(head.get(used..used + NAME).ok_or_else(|| wrong("an entry is cut off"))?)?;
                used += NAME;
            }
            _ => {}
        }
        out.put(head.get(used..).unwrap_or_default())?;
        let mut rest = from.by_ref().take(length - head.len() as u64);
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let length = rest.read(&mut chunk).map_err(failed)?;
            let Some(bytes) = chunk.get(..length).filter(|bytes| !bytes.is_empty()) else { break };
            out.put(bytes)?;
        }
        placed.insert(*name, place);
    }
    Ok(())
}

/// The beginning of an entry.
struct Entry {
    kind: u8,
    /// Bytes of type and size.
    front: usize,
}

impl Entry {
    fn parse(head: &[u8]) -> Option<Self> {
        let kind = (head.first()? >> 4) & 7;
        let front = head.iter().position(|byte| byte & 0x80 == 0)? + 1;
        Some(Self { kind, front })
    }
}

/// How far before an entry the one lies on which it builds, and the bytes in which that is said.
fn distance(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().enumerate() {
        value = value.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
        value = value.checked_add(1)?;
    }
    None
}

fn as_distance(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![(value & 0x7f) as u8];
    while value > 0x7f {
        value = (value >> 7) - 1;
        bytes.push((value & 0x7f) as u8 | 0x80);
    }
    bytes.reverse();
    bytes
}

/// Removes git's overview of all packs, which names some that go. It is made anew by whoever wants it.
fn forget_overview(work: &Work<'_>) -> Result<(), String> {
    let folder = work.objects.join("pack");
    let entries = fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("multi-pack-index") {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_written_as_they_are_read() {
        for value in [0, 1, 127, 128, 129, 16_511, 16_512, 16_513, 2_113_663, 2_113_664, u64::from(u32::MAX), 1 << 40] {
            let bytes = as_distance(value);
            assert_eq!(distance(&bytes), Some((value, bytes.len())));
            assert_eq!(distance(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(as_distance(128), [0x80, 0x00], "the encoding of gitformat-pack(5)");
    }
}
