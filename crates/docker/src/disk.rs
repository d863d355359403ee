//! How much room there is where the engine keeps its data.

use std::path::{Path, PathBuf};

use super::{Endpoint, Engine, EngineError};

/// Where a containerd of the system's own keeps images, if the engine leaves them to it.
const CONTAINERD: &str = "/var/lib/containerd";
/// How an engine says that it does.
const SNAPSHOTTER: &str = "io.containerd.snapshotter.v1";

/// What is free on the file system of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The folder that was asked about.
    pub folder: PathBuf,
    /// Bytes that can still be written.
    pub free: u64,
}

/// What is free on the file system of a folder; none where that cannot be told.
pub fn room(folder: &Path) -> Option<Room> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(Room { folder: folder.to_owned(), free: found.f_bavail.saturating_mul(found.f_frsize) })
}

impl Engine {
    /// What is free where the engine writes images; empty for an engine that is not on this host.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn room(&self) -> Result<Vec<Room>, EngineError> {
        if !matches!(self.endpoint(), Endpoint::Unix(_)) {
            tracing::debug!(endpoint = %self.endpoint(), "the engine is elsewhere, so its disk is not looked at");
            return Ok(Vec::new());
        }
        let info = self
            .ask(self.docker().info())
            .await
            .map_err(|error| EngineError::api("ask the engine about itself", error))?;
        let mut folders: Vec<PathBuf> = info.docker_root_dir.into_iter().map(PathBuf::from).collect();
        if info.driver_status.iter().flatten().flatten().any(|word| word == SNAPSHOTTER) {
            folders.push(PathBuf::from(CONTAINERD));
        }
        let rooms = folders.into_iter().filter_map(|folder| {
            let room = room(&folder);
            if room.is_none() {
                // Behind a forwarded socket, say, or in a virtual machine.
                tracing::debug!(folder = %folder.display(), "the engine's folder is not on this host");
            }
            room
        });
        Ok(rooms.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_has_no_room() {
        let here = tempfile::tempdir().unwrap();
        assert!(room(here.path()).is_some_and(|room| room.folder == here.path()));
        assert_eq!(room(&here.path().join("none")), None);
    }
}
