//! Between what git stores and what lies in the work tree: line endings, `$Id$`, encodings, drivers, Git LFS.
//!
//! A [`Converter`] is built once for a check-out, from the repository, the attributes that count and the policy of the
//! session. It is asked in advance about all files that will be written ([`Converter::prepare`]), so that what cannot be
//! converted is refused by name before the work tree is touched.

mod attributes;
mod driver;
mod encoding;
mod lfs;
mod process;
mod program;
mod rules;
mod stored;
mod text;

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use git2::{Config, ObjectType, Oid, Repository};
use sha1::{Digest as _, Sha1};

pub use self::{attributes::Source, stored::restore_stored};
use self::{
    attributes::{Attributes, as_path},
    driver::{Driver, Programs},
    lfs::{Lfs, pointer::Pointer},
    process::Way,
    rules::{Endings, Rules},
};
use super::{error::GitError, objects, remote::Filters, session::Session};
use turnout_report::Event;

/// The filter that needs no program.
const LFS: &str = "lfs";
/// What a file encrypted by git-crypt begins with.
const GIT_CRYPT: &[u8] = b"\0GITCRYPT\0";
/// A larger file is not taken into memory to be converted.
const LARGEST: u64 = objects::LARGEST_BLOB;

/// Converts the files of one check-out.
pub struct Converter<'r> {
    repo: &'r Repository,
    session: &'r Session,
    config: Config,
    attributes: Attributes<'r>,
    endings: Endings,
    drivers: HashMap<String, Option<Driver>>,
    programs: Programs<'r>,
    lfs: Lfs,
    /// Bytes of the objects of LFS that were announced.
    kept_elsewhere: u64,
    /// Objects of LFS could not be had without its program, which may run.
    lfs_by_program: bool,
}

/// What the work tree is to hold.
#[derive(Debug)]
pub enum Content {
    /// What a conversion has made, in memory.
    Bytes(Vec<u8>),
    /// The bytes of this file, which stays where it is.
    File {
        /// Where git LFS keeps the object.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
}

/// Why a file is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// A filter, and none may run.
    Policy,
    /// git demands a driver that is not there.
    Lacking,
    /// There is no driver, and what is stored is plainly not what is meant.
    Encrypted,
    /// An encoding that is not known here.
    Encoding,
    /// A pointer of LFS whose content has been changed by programs.
    Extended,
}

impl Refusal {
    fn advice(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Policy => format!(
                "set filters: run for this repository in repos.yaml, and the programs that git's configuration names for \
                 these filters are run (a name without a program is no filter then, as for git); or let git itself write \
                 the files (git clone, or git -C {path} pull) and deploy again"
            ),
            Self::Lacking => format!(
                "git's configuration demands these filters (filter.<name>.required) and names no smudge program; set it \
                 (git -C {path} config filter.<name>.smudge …)"
            ),
            Self::Encrypted => format!(
                "they are encrypted, and git's configuration names no program for them; install it and unlock the work \
                 tree (git-crypt unlock) in {path}, then deploy again"
            ),
            Self::Encoding => format!(
                "turnout knows UTF-8, UTF-16, UTF-32, ISO-8859-1 and US-ASCII; let git itself write the files (git clone, \
                 or git -C {path} pull) and deploy again"
            ),
            Self::Extended => format!(
                "their Git LFS pointers name extensions, which are programs; install git-lfs and set filters: run in \
                 repos.yaml, or run git lfs pull in {path}"
            ),
        }
    }
}

impl<'r> Converter<'r> {
    /// A converter for one check-out, or for one look at the work tree.
    ///
    /// # Errors
    /// When the settings, the index or the tree cannot be read.
    pub fn new(repo: &'r Repository, source: Source<'_>, session: &'r Session) -> Result<Self, GitError> {
        let local = |error: git2::Error| GitError::local(&session.remote.path, "read the attributes of", &error);
        let snapshot = || repo.config().and_then(|mut config| config.snapshot()).map_err(local);
        let config = snapshot()?;
        let attributes = Attributes::new(repo, &source)?;
        let lfsconfig = attributes::read_at_top(repo, &source, ".lfsconfig")?;
        Ok(Self {
            repo,
            session,
            attributes,
            endings: Endings::of(&config),
            config,
            drivers: HashMap::new(),
            programs: Programs::new(repo, session),
            lfs: Lfs::new(repo, snapshot()?, lfsconfig, session),
            kept_elsewhere: 0,
            lfs_by_program: false,
        })
    }

    /// Hears of every regular file that will be written, before one is. Refuses by name what cannot be converted, and
    /// fetches what is kept elsewhere.
    ///
    /// # Errors
    /// [`GitError::Filtered`] with all files that cannot be converted, [`GitError::Lfs`] with those whose content cannot
    /// be had.
    pub fn prepare<'f>(&mut self, files: impl IntoIterator<Item = (&'f [u8], Oid)>) -> Result<(), GitError> {
        let (mut refused, mut reasons) = (Vec::new(), Vec::new());
        let mut kept_elsewhere = Vec::new();
        for (path, blob) in files {
            self.session.go_on()?;
            let rules = self.rules(path)?;
            let mut refuse = |what: String, reason: Refusal| {
                refused.push(format!("{} ({what})", shown(path)));
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            };
            if let Some(Err(name)) = &rules.encoding {
                refuse(format!("working-tree-encoding={name}"), Refusal::Encoding);
            }
            match &rules.filter {
                Some(filter) if filter == LFS => match self.pointer(blob) {
                    Some(pointer) if pointer.extended && !self.may_run_lfs() => {
                        refuse(format!("filter={filter}"), Refusal::Extended);
                    }
                    Some(pointer) => kept_elsewhere.push((path, pointer)),
                    // Not everything that the attribute matches was stored by LFS: it is written as it is.
                    None => {}
                },
                Some(filter) => {
                    if let Some(reason) = self.refusal(filter, blob) {
                        refuse(format!("filter={filter}"), reason);
                    }
                }
                None => {}
            }
        }
        let path = self.session.remote.path.clone();
        if !refused.is_empty() {
            let advice: Vec<String> = reasons.iter().map(|reason| reason.advice(&path)).collect();
            return Err(GitError::Filtered { path, files: refused, advice: advice.join("; ") });
        }
        let sizes = kept_elsewhere.iter().map(|(_, pointer)| pointer.size);
        self.kept_elsewhere = sizes.fold(self.kept_elsewhere, u64::saturating_add);
        self.fetch_objects(&kept_elsewhere)
    }

    /// Bytes of the content, kept elsewhere, of the files that were announced.
    pub fn kept_elsewhere(&self) -> u64 {
        self.kept_elsewhere
    }

    /// Whether a file with this filter must not be written.
    ///
    /// For git a name without a driver is no filter. That is right for filters which only tidy up what is committed; but
    /// for encryption it lays ciphertext where text is meant, without a word, and nothing tells which is which. So by
    /// default each is refused by name. Whoever lets programs run has looked at the drivers, and gets git's own rule,
    /// except for what is plainly encrypted.
    fn refusal(&mut self, filter: &str, blob: Oid) -> Option<Refusal> {
        if self.session.remote.filters == Filters::Refuse {
            return Some(Refusal::Policy);
        }
        match self.driver(filter) {
            Some(driver) if driver.is_lacking(Way::Smudge) => Some(Refusal::Lacking),
            Some(driver) if driver.offers(Way::Smudge) => None,
            _ => self.is_encrypted(blob).then_some(Refusal::Encrypted),
        }
    }

    fn fetch_objects(&mut self, files: &[(&[u8], Pointer)]) -> Result<(), GitError> {
        // Pointers say what they stand for.
        let size = files.iter().fold(0_u64, |sum, (_, pointer)| sum.saturating_add(pointer.size));
        let limit = self.session.remote.most_written;
        if limit != 0 && size > limit {
            return Err(GitError::TooLarge { path: self.session.remote.path.clone(), size, limit });
        }
        let wanted: Vec<Pointer> = files.iter().map(|(_, pointer)| pointer.clone()).collect();
        let Err(lack) = self.lfs.fetch(&wanted, self.session)? else { return Ok(()) };
        let lfs::Lack { reason, advice } = lack;
        if self.may_run_lfs() {
            let text = format!("LFS objects are left to git's lfs filter, as they cannot be had without it ({reason})");
            self.session.tell(Event::Info { text });
            self.lfs_by_program = true;
            return Ok(());
        }
        let missing = files.iter().filter(|(_, pointer)| !self.lfs.store.has(pointer));
        let files = missing.map(|(path, _)| shown(path)).collect();
        Err(GitError::Lfs { path: self.session.remote.path.clone(), files, reason, advice })
    }

    fn may_run_lfs(&mut self) -> bool {
        self.session.remote.filters == Filters::Run && self.driver(LFS).is_some_and(|driver| driver.offers(Way::Smudge))
    }

    /// What the work tree is to hold for a blob.
    ///
    /// # Errors
    /// When the blob is not there or cannot be converted.
    #[expect(clippy::wrong_self_convention, reason = "it is the way that a file takes, not a conversion of this")]
    pub fn to_work_tree(&mut self, path: &[u8], blob: Oid) -> Result<Content, GitError> {
        let rules = self.rules(path)?;
        let is_lfs = rules.filter.as_deref() == Some(LFS);
        if is_lfs
            && let Some(pointer) = self.pointer(blob)
            && !pointer.extended
            && !self.lfs_by_program
        {
            self.fetch_objects(&[(path, pointer.clone())])?;
            if !self.lfs_by_program {
                return Ok(Content::File { path: self.lfs.store.place(&pointer), size: pointer.size });
            }
        }
        let mut bytes = self.stored(path, blob)?;
        if rules.ident
            && let Some(new) =
                text::fill_ident(&bytes, rules.is_streamed()).map_err(|error| self.local(path, &error))?
        {
            bytes = new;
        }
        if let Some(new) = text::to_work_tree(&bytes, rules.lines) {
            bytes = new;
        }
        match &rules.encoding {
            Some(Ok(encoding)) => bytes = encoding.write(&bytes).ok_or_else(|| self.unfit(path))?,
            Some(Err(_)) => self.prepare([(path, blob)])?,
            None => {}
        }
        if let Some(filter) = rules.filter.filter(|_| !is_lfs || self.pointer(blob).is_some()) {
            // Asked again, should the file not have been among those announced.
            if !is_lfs {
                self.prepare([(path, blob)])?;
            }
            if let Some(driver) = self.driver(&filter)
                && let Some(new) = self.programs.pass(&driver, Way::Smudge, path, Some(blob), &bytes)?
            {
                bytes = new;
            }
        }
        Ok(Content::Bytes(bytes))
    }

    /// Whether a regular file is what a check-out of the blob would leave, as git itself compares: by its form in git.
    /// The mode is not looked at.
    ///
    /// # Errors
    /// When the file or the blob cannot be read.
    pub fn is_same(&mut self, path: &[u8], blob: Oid, file: &Path) -> Result<bool, GitError> {
        let rules = self.rules(path)?;
        let failed = |error: &io::Error| GitError::io(file, "read", error);
        let mut opened = open_no_follow(file).map_err(|error| failed(&error))?;
        let size = opened.metadata().map_err(|error| failed(&error))?.len();
        let pointer = if rules.filter.as_deref() == Some(LFS) { self.pointer(blob) } else { None };
        if let Some(pointer) = &pointer
            && size == pointer.size
        {
            // Comes first: a pointer's own form in the work tree is the exception.
            let oid = lfs::store::digest(&mut opened, &mut io::sink()).map_err(|error| failed(&error))?;
            return Ok(oid == pointer.oid);
        }
        if pointer.is_some() || rules.is_plain() || rules.filter.as_deref() == Some(LFS) {
            // A pointer in the work tree is taken by LFS for what it points to.
            return match self.size(blob) {
                Some(stored) if stored == size => {
                    hash(&mut opened, size).map(|id| id == blob.as_bytes()).map_err(|error| failed(&error))
                }
                _ => Ok(false),
            };
        }
        if size > LARGEST {
            return Err(GitError::other(
                format!("compare {}", file.display()),
                format!("it is larger than {LARGEST} bytes"),
            ));
        }
        let mut bytes = Vec::new();
        opened.read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        if let Some(filter) = &rules.filter {
            if self.session.remote.filters == Filters::Refuse {
                self.prepare([(path, blob)])?;
            }
            if let Some(driver) = self.driver(filter)
                && let Some(new) = self.programs.pass(&driver, Way::Clean, path, None, &bytes)?
            {
                bytes = new;
            }
        }
        match &rules.encoding {
            Some(Ok(encoding)) => {
                let Some(new) = encoding.read(&bytes) else { return Ok(false) };
                bytes = new;
            }
            Some(Err(_)) => self.prepare([(path, blob)])?,
            None => {}
        }
        let stored = self.stored(path, blob)?;
        if let Some(new) = text::to_git(&bytes, rules.lines, &stored) {
            bytes = new;
        }
        if rules.ident
            && let Some(new) = text::empty_ident(&bytes)
        {
            bytes = new;
        }
        Ok(bytes == stored)
    }

    fn rules(&mut self, path: &[u8]) -> Result<Rules, GitError> {
        Ok(Rules::new(&self.attributes.of(path)?, self.endings))
    }

    fn driver(&mut self, name: &str) -> Option<Driver> {
        if !self.drivers.contains_key(name) {
            let found = Driver::named(&self.config, name);
            self.drivers.insert(name.to_owned(), found);
        }
        self.drivers.get(name).cloned().flatten()
    }

    fn pointer(&self, blob: Oid) -> Option<Pointer> {
        let found = self.size(blob).filter(|size| *size < lfs::pointer::LONGEST as u64);
        found.and_then(|_| Pointer::parse(objects::blob(self.repo, blob, LARGEST).ok()?.content()))
    }

    fn is_encrypted(&self, blob: Oid) -> bool {
        objects::blob(self.repo, blob, LARGEST).is_ok_and(|blob| blob.content().starts_with(GIT_CRYPT))
    }

    fn size(&self, blob: Oid) -> Option<u64> {
        let (size, kind) = self.repo.odb().ok()?.read_header(blob).ok()?;
        (kind == ObjectType::Blob).then_some(size as u64)
    }

    fn stored(&self, path: &[u8], blob: Oid) -> Result<Vec<u8>, GitError> {
        let found = objects::blob(self.repo, blob, LARGEST).map_err(|error| self.local(path, &error))?;
        Ok(found.content().to_vec())
    }

    fn local(&self, path: &[u8], error: &git2::Error) -> GitError {
        GitError::local(&self.session.remote.path.join(as_path(path)), "convert", error)
    }

    fn unfit(&self, path: &[u8]) -> GitError {
        let file = self.session.remote.path.join(as_path(path));
        let message = "its text does not fit its working-tree-encoding; correct the file or its .gitattributes";
        GitError::other(format!("convert {}", file.display()), message)
    }
}

fn open_no_follow(file: &Path) -> io::Result<File> {
    let flags = i32::try_from((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits()).unwrap_or_default();
    File::options().read(true).custom_flags(flags).open(file)
}

/// The name that git would give to a blob of this content, without all of it in memory.
fn hash(file: &mut File, size: u64) -> io::Result<Vec<u8>> {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {size}\0"));
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        hasher.update(chunk);
    }
    Ok(hasher.finalize().to_vec())
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
