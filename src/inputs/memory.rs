//! What images were built from, in files under the state directory. A loss costs one build, which the cache serves.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::Manifest;
use crate::files;

/// Most manifests that are kept.
const KEPT: usize = 400;
/// Most bytes that they take; those of a context of 100,000 files take some 12 MB.
const BYTES: u64 = 256 << 20;

/// The manifests of images by their ID: these inputs gave this image. That never becomes wrong, since neither changes.
#[derive(Debug, Clone)]
pub struct Memory {
    directory: PathBuf,
}

impl Memory {
    /// In this directory, which need not be there.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// What the image was built from, if that is known.
    pub fn recall(&self, image: &str) -> Option<Manifest> {
        serde_json::from_slice(&fs::read(self.file(image)?).ok()?).ok()
    }

    /// Whether something is remembered of an image; none where nothing is of any, as after a loss. What is asked for is
    /// not forgotten before what nobody asks for.
    pub fn knows(&self, image: &str) -> Option<bool> {
        let file = self.file(image)?;
        if let Ok(found) = fs::OpenOptions::new().append(true).open(&file) {
            #[expect(clippy::disallowed_methods, reason = "written on a file")]
            let _ = found.set_modified(SystemTime::now()); // it is then forgotten sooner, no more
            return Some(true);
        }
        // One that may only be read says as much.
        if fs::symlink_metadata(&file).is_ok() {
            return Some(true);
        }
        if self.images().is_empty() { None } else { Some(false) }
    }

    /// Remembers what an image was built from, and forgets the oldest where there are too many.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn remember(&self, image: &str, manifest: &Manifest) -> io::Result<()> {
        let Some(file) = self.file(image) else { return Ok(()) };
        write_whole(&file, &serde_json::to_vec(manifest)?)?;
        self.prune();
        Ok(())
    }

    /// The images that something is remembered of, and where, sorted.
    pub fn images(&self) -> Vec<(String, PathBuf)> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let ids = names.filter_map(|name| Some(format!("sha256:{}", name.strip_suffix(".json")?)));
        let mut images: Vec<_> = ids.filter_map(|id| self.file(&id).map(|file| (id, file))).collect();
        images.sort();
        images
    }

    fn file(&self, image: &str) -> Option<PathBuf> {
        let id = image.strip_prefix("sha256:")?;
        let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| self.directory.join(format!("{id}.json")))
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let meta = entry.metadata().ok()?;
                let json = entry.path().extension().is_some_and(|ext| ext == "json");
                (meta.is_file() && json).then_some((meta.modified().ok()?, meta.len(), entry.path()))
            })
            .collect();
        files.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
        let mut total = 0;
        for (number, (_, size, path)) in files.into_iter().enumerate() {
            total += size;
            // The newest stays whatever its size: it was just asked for.
            if number > 0 && (number >= KEPT || total > BYTES) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Writes a file whole or not at all, for its owner only. Its folder is made where it is missing.
pub(super) fn write_whole(file: &Path, content: &[u8]) -> io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    files::make_folder(folder, 0o700)?;
    let temporary = file.with_extension(format!("{}.new", std::process::id()));
    let written = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut out| out.write_all(content))
        .and_then(|()| files::give_to_owner_above(&temporary))
        .and_then(|()| fs::rename(&temporary, file));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_remembered_is_recalled_and_the_oldest_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::new(dir.path().join("inputs"));
        let mut manifest = Manifest::default();
        manifest.setting("target", "dev");
        assert_eq!(memory.recall("sha256:aa"), None);
        memory.remember("sha256:aa", &manifest).unwrap();
        assert_eq!(memory.recall("sha256:aa"), Some(manifest.clone()));
        memory.remember("sha256:../../x", &manifest).unwrap();
        assert_eq!(memory.recall("sha256:../../x"), None);
        fs::write(dir.path().join("inputs/aa.json"), "{").unwrap();
        assert_eq!(memory.recall("sha256:aa"), None);
        for number in 0..KEPT + 5 {
            fs::write(dir.path().join(format!("inputs/{number:x}.json")), "{}").unwrap();
        }
        memory.remember("sha256:bb", &manifest).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("inputs")).unwrap().count(), KEPT);
        assert_eq!(memory.recall("sha256:bb"), Some(manifest));
        fs::write(dir.path().join("inputs/strange.json"), "").unwrap();
        let images = memory.images();
        assert_eq!(images.len(), KEPT);
        assert!(images.contains(&("sha256:bb".to_owned(), dir.path().join("inputs/bb.json"))));
    }
}
