//! Between what git stores and what lies in the work tree: line endings, `$Id$`, encodings, drivers, Git LFS.
//!
//! A [`Converter`] is built once for a check-out, from the repository, the attributes that count and the policy of the
//! session. It is asked in advance about all files that will be written ([`Converter::prepare`]), so that what cannot be
//! converted is refused by name before the work tree is touched.

mod attributes;
mod encoding;
mod rules;
mod text;

use std::{
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use git2::{Oid, Repository};
use sha1::{Digest as _, Sha1};

use attributes::Attributes;
pub use attributes::Source;
use rules::{Endings, Rules};

use super::{error::GitError, transfer::Session};

/// Converts the files of one check-out.
pub struct Converter<'r> {
    repo: &'r Repository,
    session: &'r Session,
    attributes: Attributes<'r>,
    endings: Endings,
}

/// What the work tree is to hold.
#[derive(Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The bytes of this file, which stays where it is.
    File {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
}

impl<'r> Converter<'r> {
    /// A converter for one check-out, or for one look at the work tree.
    ///
    /// # Errors
    /// When the settings, the index or the tree cannot be read.
    pub fn new(repo: &'r Repository, source: Source<'_>, session: &'r Session) -> Result<Self, GitError> {
        let local = |error: git2::Error| GitError::local(&session.remote.path, "read the attributes of", &error);
        let endings = Endings::of(&repo.config().and_then(|mut config| config.snapshot()).map_err(local)?);
        let attributes = Attributes::new(repo, &source).map_err(local)?;
        Ok(Self { repo, session, attributes, endings })
    }

    /// Hears of every regular file that will be written, before one is. Refuses by name what cannot be converted.
    ///
    /// # Errors
    /// [`GitError::Filtered`] with all files that cannot be converted.
    pub fn prepare<'f>(&mut self, files: impl IntoIterator<Item = (&'f [u8], Oid)>) -> Result<(), GitError> {
        let mut refused = Vec::new();
        for (path, _) in files {
            let rules = self.rules(path);
            if let Some(filter) = &rules.filter {
                refused.push(format!("{} (filter={})", shown(path), shown(filter)));
            } else if let Some(Err(name)) = &rules.encoding {
                refused.push(format!("{} (working-tree-encoding={name})", shown(path)));
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(GitError::Filtered { path: self.session.remote.path.clone(), files: refused })
    }

    /// What the work tree is to hold for a blob.
    ///
    /// # Errors
    /// When the blob is not there or cannot be converted.
    pub fn to_work_tree(&mut self, path: &[u8], blob: Oid) -> Result<Content, GitError> {
        let rules = self.rules(path);
        let stored = self.stored(path, blob)?;
        let mut bytes = stored;
        if rules.ident
            && let Some(new) = text::fill_ident(&bytes).map_err(|error| self.local(path, &error))?
        {
            bytes = new;
        }
        if let Some(new) = text::to_work_tree(&bytes, rules.lines) {
            bytes = new;
        }
        if let Some(Ok(encoding)) = &rules.encoding {
            bytes = encoding.write(&bytes).ok_or_else(|| self.unfit(path))?;
        }
        Ok(Content::Bytes(bytes))
    }

    /// Whether a regular file is what a check-out of the blob would leave, as git itself compares: by its form in git.
    /// The mode is not looked at.
    ///
    /// # Errors
    /// When the file or the blob cannot be read.
    pub fn is_same(&mut self, path: &[u8], blob: Oid, file: &Path) -> Result<bool, GitError> {
        let rules = self.rules(path);
        let failed = |error: &std::io::Error| GitError::io(file, "read", error);
        let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut opened = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(no_follow)
            .open(file)
            .map_err(|error| failed(&error))?;
        if rules.is_plain() {
            let size = opened.metadata().map_err(|error| failed(&error))?.len();
            if self.size(blob) != Some(size) {
                return Ok(false);
            }
            return hash(&mut opened, size).map(|id| id == blob.as_bytes()).map_err(|error| failed(&error));
        }
        let mut bytes = Vec::new();
        opened.read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        if let Some(Ok(encoding)) = &rules.encoding {
            let Some(new) = encoding.read(&bytes) else { return Ok(false) };
            bytes = new;
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

    fn rules(&mut self, path: &[u8]) -> Rules {
        Rules::new(&self.attributes.of(path), self.endings)
    }

    fn size(&self, blob: Oid) -> Option<u64> {
        let (size, _) = self.repo.odb().ok()?.read_header(blob).ok()?;
        Some(size as u64)
    }

    fn stored(&self, path: &[u8], blob: Oid) -> Result<Vec<u8>, GitError> {
        let found = self.repo.find_blob(blob).map_err(|error| self.local(path, &error))?;
        Ok(found.content().to_vec())
    }

    fn local(&self, path: &[u8], error: &git2::Error) -> GitError {
        GitError::local(&self.session.remote.path.join(attributes::as_path(path)), "convert", error)
    }

    fn unfit(&self, path: &[u8]) -> GitError {
        GitError::other(format!("convert {}", shown(path)), "its text does not fit its working-tree-encoding")
    }
}

/// The name that git would give to a blob of this content, without all of it in memory.
fn hash(file: &mut std::fs::File, size: u64) -> std::io::Result<Vec<u8>> {
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
