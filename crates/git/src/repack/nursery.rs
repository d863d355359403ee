//! Where a new pack grows until it is whole.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder in which a new pack grows. Beside the others, so that it can be moved among them.
pub(super) struct Nursery(PathBuf);

/// The folder's name below `.git/objects`.
const NURSERY: &str = "turnout-repack";

impl Nursery {
    /// An empty one; there must be none.
    pub(super) fn new(objects: &Path) -> Result<Self, String> {
        let folder = objects.join(NURSERY);
        fs::create_dir(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Moves the pack among the others, to stay. First the pack, then its index: it is looked for by the index.
    pub(super) fn settle(&self, name: &str, objects: &Path) -> Result<PathBuf, String> {
        let place = objects.join("pack");
        let failed = |error: std::io::Error| format!("cannot keep the new pack in {}: {error}", place.display());
        fs::create_dir_all(&place).map_err(failed)?;
        let file = |end: &str| format!("pack-{name}.{end}");
        for end in ["pack", "idx"] {
            fs::File::open(self.0.join(file(end))).and_then(|file| file.sync_all()).map_err(failed)?;
        }
        for end in ["pack", "idx"] {
            fs::rename(self.0.join(file(end)), place.join(file(end))).map_err(failed)?;
        }
        fs::File::open(&place).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(place.join(file("idx")))
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what a crash left. Whoever calls holds git's own lock of this work.
pub(super) fn sweep(objects: &Path) {
    let _ = fs::remove_dir_all(objects.join(NURSERY));
}
