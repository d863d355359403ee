//! Whether there is room for a build: one that fills the disk stops more than itself.

use std::path::Path;

use super::{Failure, Prepared};
use crate::{
    config::{Repo, units},
    decide::leftovers,
    engine::disk::{self, Room},
    plan::Action,
};

/// Refuses a deployment that builds or pulls where less than `min_free_disk` is free. Nothing has been changed then.
///
/// # Errors
/// With where, how much, and what to do.
pub async fn require(prepared: &Prepared, repo: &Repo, state: &Path) -> Result<(), Failure> {
    let Prepared { plan, engine, loaded, .. } = prepared;
    let writes = |action: &Action| matches!(action, Action::Build { .. } | Action::Pull { .. });
    if repo.min_free_disk == 0 || !plan.steps.iter().any(|step| writes(&step.action)) {
        return Ok(());
    }
    let engines = engine.room().await?;
    let Some((room, whose)) = tight(&engines, disk::room(state), repo.min_free_disk) else { return Ok(()) };
    let images = engine.built_images(&loaded.project.name).await.unwrap_or_default();
    let own: u64 = leftovers::earlier(&images, repo.keep_images).removals.iter().map(|removal| removal.size).sum();
    let own = match own {
        0 => "`turnout prune --dry-run` shows what turnout itself could free".to_owned(),
        own => format!("`turnout prune` frees up to {} of earlier images of this project", units::shown(own)),
    };
    Err(Failure::new(format!(
        "there is too little room to build or pull: {} free at {} ({whose}), and min_free_disk asks for {}",
        units::shown(room.free),
        room.folder.display(),
        units::shown(repo.min_free_disk)
    ))
    .hint(format!(
        "nothing was changed; free some space ({own}; `docker system df` shows what the \
         engine holds), or lower min_free_disk of `{}` in repos.yaml",
        repo.name
    )))
}

/// The first place with less than `least`.
fn tight(engines: &[Room], state: Option<Room>, least: u64) -> Option<(Room, &'static str)> {
    let engines = engines.iter().cloned().map(|room| (room, "the engine's data"));
    let own = state.map(|room| (room, "turnout's state"));
    engines.chain(own).find(|(room, _)| room.free < least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_that_is_tight_is_named() {
        let room = |folder: &str, free| Room { folder: folder.into(), free };
        let (engine, state) = (room("/var/lib/docker", 50), room("/var/lib/turnout", 30));
        let named = |least| {
            tight(std::slice::from_ref(&engine), Some(state.clone()), least)
                .map(|(room, whose)| format!("{} {whose}", room.folder.display()))
        };
        assert_eq!(named(30), None);
        assert_eq!(named(31).as_deref(), Some("/var/lib/turnout turnout's state"));
        assert_eq!(named(51).as_deref(), Some("/var/lib/docker the engine's data"));
        assert_eq!(tight(&[], None, 51), None);
    }
}
