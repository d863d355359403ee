//! A volume of the project as the engine takes it.

use bollard::models::VolumeCreateRequest;
use turnout_compose::{
    hash::volume_hash,
    model::{Project, Volume},
};

use super::{labels::volume_labels, names::volume_name, some, some_map};

/// The request that creates a volume, with Compose's labels.
pub fn volume(project: &Project, key: &str, volume: &Volume) -> VolumeCreateRequest {
    // An external volume is never created; the planner sees to that.
    let Volume { name: _, driver, driver_opts, external: _, labels } = volume;
    VolumeCreateRequest {
        name: Some(volume_name(project, key)),
        driver: some(driver),
        driver_opts: some_map(driver_opts),
        labels: Some(volume_labels(project, key, labels, &volume_hash(volume))),
        cluster_volume_spec: None,
    }
}
