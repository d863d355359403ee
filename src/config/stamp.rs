//! What tells a file from what it was, without reading it.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::files;

/// A file changed this recently may change again without a different time stamp, so it is compared by content too.
const TOO_FRESH: Duration = Duration::from_secs(2);

/// What tells a file from what it was.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

impl Stamp {
    /// Changed so recently that it may change again and keep its stamp.
    pub(super) fn is_fresh(&self) -> bool {
        let modified = u64::try_from(self.modified.0).unwrap_or(0);
        #[expect(clippy::disallowed_methods, reason = "compared with the time of a file")]
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(modified));
        // A time in the future says nothing, so it counts as fresh.
        age.map_or(true, |age| age < TOO_FRESH)
    }
}

pub(super) fn stamp(file: &Path) -> Option<Stamp> {
    let meta = files::at(file, file, || fs::metadata(file)).flatten().ok()?;
    Some(Stamp {
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
        size: meta.size(),
        inode: meta.ino(),
    })
}
