//! Whether the disk of the state directory takes another delivery.

use std::{io, path::Path};

use crate::files;

/// Bytes that the disk of the state directory must have free: with less, the database may not grow by the next delivery.
const LEAST_ROOM: u64 = 256 << 10;

/// Whether a delivery could be written there. Where that cannot be asked, the next delivery tells.
pub(super) async fn is_there(folder: &Path) -> bool {
    let folder = folder.to_owned();
    let free = files::blocking(move || {
        let room = files::at(&folder, &folder, || rustix::fs::statvfs(&folder))?;
        io::Result::Ok(room.map(|room| room.f_bavail.saturating_mul(room.f_frsize))?)
    });
    free.await.ok().and_then(Result::ok).is_none_or(|free| free >= LEAST_ROOM)
}
