//! What one repacking has with it, and how much it may do.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::session::Session;

/// A pack with more than this is left as it is, and what one joining copies is limited to it, in bytes and objects: the
/// pack of the first clone is not copied again and again, and no deployment waits long.
pub(super) const MOST_BYTES: u64 = 256 * 1024 * 1024;
pub(super) const MOST_OBJECTS: usize = 200_000;
/// A joining that takes longer is given up; the packs stay as they are.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What one repacking needs.
pub(super) struct Work<'w> {
    /// The update that it belongs to.
    pub(super) session: &'w Session,
    /// The repository's folder of objects.
    pub(super) objects: PathBuf,
    /// When it is given up.
    pub(super) until: Instant,
}

impl Work<'_> {
    /// Whether to go on.
    pub(super) fn goes_on(&self) -> bool {
        !self.session.stop.is_cancelled() && Instant::now() < self.until
    }

    /// Ends the work here where it must not go on.
    pub(super) fn go_on(&self) -> Result<(), String> {
        if self.goes_on() { Ok(()) } else { Err(format!("it took longer than {PATIENCE:?}")) }
    }
}
