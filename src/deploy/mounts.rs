//! Looks at what containers read from the checkout: files, folders, secrets and configs. Reads, changes nothing.
//!
//! Never waits on what is no plain file, and nothing that cannot be read is a failure: it is named instead.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io::{self, Read as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use sha2::{Digest as _, Sha256};

use super::View;
use crate::{
    compose::model::{Mount, Project, Service},
    decide::mounted::{
        Kind, Read, Reads,
        absent::{Absent, Engine},
    },
    engine::translate,
    files::Reach,
    git,
    inputs::Hasher,
};

/// Most files that git does not track which are looked at in one folder.
const MOST_UNTRACKED: usize = 5_000;
/// Most bytes of them.
const MOST_UNTRACKED_BYTES: u64 = 256 << 20;
/// Files larger than this are told apart by size and times.
const MOST_BYTES: u64 = 256 << 20;
/// Most files of one folder that are remembered by name.
const MOST_NAMES: usize = 5_000;
/// Hex digits of a digest that are kept; of secrets and texts fewer, which give less away.
const DIGITS: usize = 16;
const FEW_DIGITS: usize = 8;
/// What the system writes all the time.
const LIVING: &[&str] = &["/proc", "/sys", "/dev", "/run", "/var/run", "/var/log"];

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// What each service mounts, by its name.
    pub reads: BTreeMap<String, Reads>,
    /// By service: sources that are not there.
    pub absent: BTreeMap<String, Vec<Absent>>,
    /// What could not be looked at, each in words.
    pub skipped: BTreeSet<String>,
}

/// Looks at everything that the services of a project read. Blocking.
///
/// `digests` is where those of files are remembered, so that what did not change is not read again.
pub fn look(view: &View, project: &Project, digests: PathBuf) -> Looked {
    let root = view.tree();
    let real = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let mut skipped = BTreeSet::new();
    let tracked = git::tracked_files(root).unwrap_or_else(|error| {
        skipped.insert(format!("the files that git tracks: {error}"));
        Vec::new()
    });
    let binds = project.services.values().flat_map(|service| binds(project, service));
    let at = |path: PathBuf| project.reach.at(&path, || fs::canonicalize(&path)).flatten().ok();
    let written = binds.filter(|bind| !bind.read_only).filter_map(|bind| at(bind.source)).collect();
    let hasher = Hasher::open(digests);
    let reach = project.reach.looking();
    let mut looker =
        Looker { view: view.clone(), root: real, reach, tracked, written, skipped, seen: BTreeMap::new(), hasher };
    let (mut reads, mut absent) = (BTreeMap::new(), BTreeMap::new());
    for (name, service) in &project.services {
        let (own, gone) = looker.service(project, name, service, 0);
        if !gone.is_empty() {
            absent.insert(name.clone(), gone.into_values().collect());
        }
        if !own.0.is_empty() {
            reads.insert(name.clone(), own);
        }
    }
    if let Err(error) = looker.hasher.save(true) {
        tracing::debug!(%error, "cannot remember the digests of mounted files; they are read again the next time");
    }
    Looked { reads, absent, skipped: looker.skipped }
}

/// A path of the host that is mounted.
struct Bind {
    source: PathBuf,
    target: String,
    read_only: bool,
    /// What the engine does where there is nothing.
    engine: Engine,
}

/// Mounts of paths, and of volumes that stand for one.
fn binds(project: &Project, service: &Service) -> Vec<Bind> {
    let source = |mount: &Mount| match mount.r#type.as_str() {
        "bind" => {
            // As the engine is asked: only the structured form makes no folder.
            let makes = mount.bind.as_ref().is_none_or(|bind| bind.create_host_path || !bind.selinux.is_empty());
            let engine = if makes { Engine::MakesFolder } else { Engine::Refuses };
            Some((PathBuf::from(&mount.source), engine))
        }
        "volume" => {
            let options = &project.volumes.get(&mount.source)?.as_ref()?.driver_opts;
            let binds = options.get("o").is_some_and(|o| o.split(',').any(|word| word == "bind" || word == "rbind"));
            let device = options.get("device").filter(|_| binds)?;
            Some((PathBuf::from(device), Engine::Volume))
        }
        _ => None,
    };
    let mounts = service.volumes.iter();
    mounts
        .filter_map(|mount| {
            let (source, engine) = source(mount)?;
            Some(Bind { source, target: mount.target.clone(), read_only: mount.read_only, engine })
        })
        .filter(|bind| bind.source.is_absolute())
        .collect()
}

struct Looker {
    /// Where what is read lies by its name.
    view: View,
    /// Top of the work tree, links resolved.
    root: PathBuf,
    /// Mounts may come from anywhere; this bounds only how they are looked at.
    reach: Reach,
    /// Sorted by bytes. Names need not be text.
    tracked: Vec<PathBuf>,
    /// What some container of the project can write.
    written: BTreeSet<PathBuf>,
    skipped: BTreeSet<String>,
    /// Folders and files seen already: several services mount the same.
    seen: BTreeMap<(PathBuf, bool), Option<Read>>,
    hasher: Hasher,
}

/// What a container reads, and what is not there, by its path in the container.
type Found = (Reads, BTreeMap<String, Absent>);

impl Looker {
    fn service(&mut self, project: &Project, name: &str, service: &Service, depth: usize) -> Found {
        let (mut reads, mut gone) = Found::default();
        for entry in &service.volumes_from {
            let other = entry.split(':').next().unwrap_or_default();
            if let Some(definition) = project.services.get(other).filter(|_| depth < 8) {
                let (others, absent) = self.service(project, other, definition, depth + 1);
                reads.0.extend(others.0);
                gone.extend(absent);
            }
        }
        for Bind { source, target, read_only, engine } in binds(project, service) {
            // Its own mount goes before one that it takes over from another service.
            gone.remove(&target);
            if let Some(absent) = self.absent(&source, &target, engine) {
                reads.0.remove(&target);
                gone.insert(target, absent);
            } else if let Some(read) = self.path(&source, read_only) {
                reads.0.insert(target, read);
            }
        }
        // What these refuse, the plan refuses before.
        if let Ok((files, _)) = translate::mounted_files(project, name, service) {
            for file in files {
                let source = Path::new(&file.source);
                // A mount of that target goes before.
                if service.volumes.iter().any(|mount| mount.target == file.target) {
                    continue;
                }
                if let Some(absent) = self.absent(source, &file.target, Engine::Refuses) {
                    gone.insert(file.target, absent);
                } else if let Some(mut read) = self.path(source, true) {
                    if file.secret {
                        read.digest.truncate(FEW_DIGITS);
                    }
                    reads.0.insert(file.target, read);
                }
            }
        }
        if let Ok(texts) = translate::copied_files(project, name, service) {
            for text in texts {
                let mut digest = Sha256::new();
                for part in [project.name.as_str(), name, &text.target, &text.content] {
                    digest.update(part);
                    digest.update([0]);
                }
                let read = Read::new(Kind::Text, "a config or secret".to_owned(), hexed(digest, FEW_DIGITS));
                reads.0.insert(text.target, read);
            }
        }
        (reads, gone)
    }

    /// A source where nothing is that could be mounted: no such name, or a link that leads nowhere. A folder where git
    /// has a file is what the engine made of one that was gone.
    fn absent(&self, source: &Path, target: &str, engine: Engine) -> Option<Absent> {
        let place = self.inside(&place(source));
        let file = place.as_ref().is_some_and(|path| self.is_tracked(path));
        let engine = match self.reach.at(source, || fs::metadata(source)).flatten() {
            Ok(meta) if meta.is_dir() && file && !source.is_symlink() => engine,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                // No folder can be made of the name of a link, or below a file.
                let free = error.kind() == io::ErrorKind::NotFound && !source.is_symlink();
                if engine == Engine::MakesFolder && !free { Engine::Refuses } else { engine }
            }
            _ => return None,
        };
        let below =
            || place.as_ref().is_some_and(|path| *path != Path::new("") && !self.tracked_below(path).is_empty());
        Some(Absent {
            source: self.shown(source),
            path: source.display().to_string(),
            target: target.to_owned(),
            tracked: file || below(),
            passing: LIVING.iter().any(|living| source.starts_with(living)),
            engine,
        })
    }

    fn path(&mut self, source: &Path, read_only: bool) -> Option<Read> {
        let key = (source.to_owned(), read_only);
        if let Some(seen) = self.seen.get(&key) {
            return seen.clone();
        }
        let read = self.fresh(source, read_only);
        self.seen.insert(key, read.clone());
        read
    }

    fn fresh(&mut self, source: &Path, read_only: bool) -> Option<Read> {
        let shown = self.shown(source);
        let look = || fs::canonicalize(source).and_then(|real| Ok((fs::metadata(&real)?, real)));
        let looked = self.reach.at(source, look).flatten();
        let (meta, real) = match looked {
            Ok(looked) => looked,
            Err(error) => return self.skip(&shown, &error),
        };
        let mut read = Read {
            kind: Kind::File,
            source: shown.clone(),
            digest: String::new(),
            identity: identity(&meta),
            files: BTreeMap::new(),
            own: false,
            written_at: written_at(&meta),
            born_at: born_at(&meta),
        };
        // A link that was turned elsewhere is another file or folder, however old that is.
        if let Ok(link) = fs::symlink_metadata(source)
            && link.is_symlink()
        {
            read.born_at = read.born_at.max(written_at(&link));
        }
        if meta.is_file() {
            if LIVING.iter().any(|living| real.starts_with(living)) {
                return None;
            }
            let tracked = self.inside(&real).is_some_and(|path| self.is_tracked(&path));
            read.own = !tracked && (!read_only || self.is_written(&real));
            return match content(&mut self.hasher, &self.reach, &real, &meta) {
                Ok(digest) => {
                    read.digest = digest;
                    self.as_in_place(source, &mut read);
                    Some(read)
                }
                Err(error) => self.skip(&shown, &error),
            };
        }
        // Sockets and devices have nothing to read, and folders elsewhere are data.
        let folder = self.inside(&real).filter(|_| meta.is_dir())?;
        if let Err(error) = self.reach.at(&real, || fs::read_dir(&real)).flatten() {
            return self.skip(&shown, &error);
        }
        read.kind = Kind::Folder;
        self.as_in_place(source, &mut read);
        if !read_only || self.is_written(&real) {
            // Its own time tells mostly of what containers put there.
            read.written_at = 0;
        }
        let mut files = self.tracked_below(&folder);
        if read_only && !self.is_written(&real) {
            match self.untracked_below(&real, &files) {
                Some(more) => files.extend(more),
                None => {
                    self.skipped.insert(format!(
                        "files in {shown} that git does not track (more than {MOST_UNTRACKED}, or {} MiB)",
                        MOST_UNTRACKED_BYTES >> 20
                    ));
                }
            }
        }
        let mut whole = Sha256::new();
        for file in &files {
            let path = self.root.join(file);
            let Ok(Ok(meta)) = self.reach.at(&path, || fs::symlink_metadata(&path)) else { continue };
            let name = named(file);
            let digest = self.entry(&name, &path, &meta);
            read.written_at = read.written_at.max(self.written(&name, &path, &meta, &digest));
            whole.update(&name);
            whole.update([0]);
            whole.update(&digest);
            whole.update([0]);
            if files.len() <= MOST_NAMES {
                read.files.insert(name, digest);
            }
        }
        read.digest = hexed(whole, DIGITS);
        Some(read)
    }

    /// Where a path lies that is read elsewhere than it is called.
    fn in_place(&self, path: &Path) -> Option<PathBuf> {
        Some(self.view.named_path(path)).filter(|place| place != path)
    }

    /// What is read elsewhere is what lies in place, if that is of the same kind: a check-out leaves what does not change,
    /// and writes into folders that are there.
    fn as_in_place(&mut self, source: &Path, read: &mut Read) {
        let Some(place) = self.in_place(source) else { return };
        let Ok((meta, real)) = fs::canonicalize(place).and_then(|real| Ok((fs::metadata(&real)?, real))) else {
            return;
        };
        let same = match read.kind {
            Kind::Folder => meta.is_dir(),
            _ => {
                meta.is_file()
                    && content(&mut self.hasher, &self.reach, &real, &meta).is_ok_and(|digest| digest == read.digest)
            }
        };
        if same {
            read.identity = identity(&meta);
            (read.written_at, read.born_at) = (written_at(&meta), born_at(&meta));
        }
    }

    /// When a file of a folder was written: in place, where it is the same there.
    fn written(&mut self, name: &str, path: &Path, meta: &Metadata, digest: &str) -> i64 {
        let place = self.in_place(path).and_then(|place| Some((fs::symlink_metadata(&place).ok()?, place)));
        match place {
            Some((found, place)) if self.entry(name, &place, &found) == digest => written_at(&found),
            _ => written_at(meta),
        }
    }

    fn entry(&mut self, name: &str, path: &Path, meta: &Metadata) -> String {
        let mut digest = Sha256::new();
        if meta.is_symlink() {
            digest.update("link\0");
            digest.update(fs::read_link(path).unwrap_or_default().as_os_str().as_encoded_bytes());
        } else if meta.is_file() {
            digest.update(format!("{:o}\0", meta.permissions().mode() & 0o777));
            match content(&mut self.hasher, &self.reach, path, meta) {
                Ok(content) => digest.update(content),
                Err(error) => {
                    self.skipped.insert(format!("{name}: {error}"));
                }
            }
        }
        hexed(digest, DIGITS)
    }

    /// Names what cannot be looked at.
    fn skip(&mut self, shown: &str, error: &io::Error) -> Option<Read> {
        self.skipped.insert(format!("{shown}: {error}"));
        None
    }

    /// The path from the top of the work tree, if it lies inside; empty for the top itself.
    fn inside(&self, real: &Path) -> Option<PathBuf> {
        real.strip_prefix(&self.root).ok().map(Path::to_owned)
    }

    fn shown(&self, source: &Path) -> String {
        match source.strip_prefix(&self.root) {
            Ok(path) if path.as_os_str().is_empty() => ".".to_owned(),
            Ok(path) => format!("./{}", path.display()),
            Err(_) => source.display().to_string(),
        }
    }

    /// Whether a container can write what lies there.
    fn is_written(&self, real: &Path) -> bool {
        real.ancestors().any(|above| self.written.contains(above))
    }

    fn is_tracked(&self, file: &Path) -> bool {
        self.tracked.binary_search_by(|own| own.as_os_str().cmp(file.as_os_str())).is_ok()
    }

    fn tracked_below(&self, folder: &Path) -> BTreeSet<PathBuf> {
        if folder.as_os_str().is_empty() {
            return self.tracked.iter().cloned().collect();
        }
        let mut prefix = folder.as_os_str().to_owned();
        prefix.push("/");
        let start = self.tracked.partition_point(|file| file.as_os_str() < prefix.as_os_str());
        self.tracked.iter().skip(start).take_while(|file| file.starts_with(folder)).cloned().collect()
    }

    /// Files below that git does not track and no container writes; `None` beyond the bounds.
    fn untracked_below(&mut self, real: &Path, tracked: &BTreeSet<PathBuf>) -> Option<Vec<PathBuf>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut open = vec![real.to_owned()];
        while let Some(folder) = open.pop() {
            let entries = match self.reach.at(&folder, || fs::read_dir(&folder)).flatten() {
                Ok(entries) => entries,
                Err(error) => {
                    let shown = self.shown(&folder);
                    self.skipped.insert(format!("{shown}: {error}"));
                    continue;
                }
            };
            for entry in entries.flatten() {
                let path = entry.path();
                if entry.file_name() == ".git" || self.written.contains(&path) {
                    continue;
                }
                let Ok(Ok(meta)) = self.reach.at(&path, || fs::symlink_metadata(&path)) else { continue };
                if meta.is_dir() {
                    open.push(path);
                    continue;
                }
                let Some(name) = self.inside(&path).filter(|name| !tracked.contains(name)) else { continue };
                if meta.is_file() || meta.is_symlink() {
                    bytes += meta.len();
                    found.push(name);
                }
                if found.len() > MOST_UNTRACKED || bytes > MOST_UNTRACKED_BYTES {
                    return None;
                }
            }
        }
        Some(found)
    }
}

/// A path as text that no other path has: what is no text is written as its bytes.
fn named(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => path.as_os_str().as_bytes().escape_ascii().to_string(),
    }
}

/// Where a path would lie that need not exist: links of the folders above are resolved, one of its own name is not.
fn place(source: &Path) -> PathBuf {
    let above = source.ancestors().skip(1).find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    let joined = above.and_then(|(above, real)| Some(real.join(source.strip_prefix(above).ok()?)));
    joined.unwrap_or_else(|| source.to_owned())
}

/// Digest of a file's content, as far as it is looked at. Does not wait: what became a pipe meanwhile is refused.
fn content(hasher: &mut Hasher, reach: &Reach, path: &Path, meta: &Metadata) -> io::Result<String> {
    if meta.len() > MOST_BYTES {
        let mut digest = Sha256::new();
        digest.update(format!("{}\0{}\0{}", meta.len(), meta.mtime(), meta.mtime_nsec()));
        return Ok(hexed(digest, DIGITS));
    }
    let open = |path: &Path| {
        let file = reach.open(path)?;
        Ok((file.meta().clone(), file.take(MOST_BYTES)))
    };
    let mut digest = hasher.digest(path, meta, open, |error| error)?;
    digest.truncate(DIGITS);
    Ok(digest)
}

fn hexed(digest: Sha256, digits: usize) -> String {
    let mut text = hex::encode(digest.finalize());
    text.truncate(digits);
    text
}

/// What tells one file or folder from another of the same name. Not the device, whose number may be another after a
/// reboot; the time of birth instead, because numbers of files are used again.
fn identity(meta: &Metadata) -> String {
    let born = meta.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{:x}-{:x}", meta.ino(), born.as_nanos())
}

fn written_at(meta: &Metadata) -> i64 {
    meta.ctime().saturating_mul(1000).saturating_add(meta.ctime_nsec() / 1_000_000)
}

fn born_at(meta: &Metadata) -> i64 {
    let born = meta.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(born.as_millis()).unwrap_or(0)
}
