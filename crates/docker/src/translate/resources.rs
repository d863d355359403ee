//! CPU, memory, block I/O, limits: everything that bounds a container.

use bollard::models::{HostConfig, ResourcesBlkioWeightDevice, ResourcesUlimits, ThrottleDevice as ApiThrottle};
use turnout_compose::model::{Blkio, Bytes, Resource, Resources, ThrottleDevice, Ulimit, WeightDevice};

/// One CPU in the engine's unit.
const NANO: f64 = 1e9;

/// Sets the block I/O limits.
pub fn blkio(blkio: &Blkio, host: &mut HostConfig) {
    let Blkio { weight, weight_device, device_read_bps, device_read_iops, device_write_bps, device_write_iops } = blkio;
    host.blkio_weight = (*weight != 0).then_some(*weight);
    let weights: Vec<_> = weight_device
        .iter()
        .map(|WeightDevice { path, weight }| ResourcesBlkioWeightDevice {
            path: Some(path.clone()),
            weight: Some(usize::from(*weight)),
        })
        .collect();
    host.blkio_weight_device = (!weights.is_empty()).then_some(weights);
    host.blkio_device_read_bps = throttles(device_read_bps);
    host.blkio_device_read_iops = throttles(device_read_iops);
    host.blkio_device_write_bps = throttles(device_write_bps);
    host.blkio_device_write_iops = throttles(device_write_iops);
}

fn throttles(devices: &[ThrottleDevice]) -> Option<Vec<ApiThrottle>> {
    let devices: Vec<_> = devices
        .iter()
        .map(|ThrottleDevice { path, rate: Bytes(rate) }| ApiThrottle { path: Some(path.clone()), rate: Some(*rate) })
        .collect();
    (!devices.is_empty()).then_some(devices)
}

/// CPUs to the engine's unit, through the same single precision that Compose computes with.
pub fn nano_cpus(cpus: f32) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a count of CPUs times 1e9 fits; saturating is what we want")]
    let nano = (f64::from(cpus * 1e9_f32)).min(NANO * 1e6) as i64;
    (nano != 0).then_some(nano)
}

/// Applies `deploy.resources`, which wins over the service's own keys.
pub fn deploy(resources: &Resources, host: &mut HostConfig) {
    let Resources { limits, reservations } = resources;
    if let Some(Resource { cpus, memory, pids, devices: _, generic_resources: _ }) = limits {
        // Devices and generic resources are reservations only; the schema refuses them here.
        if memory.0 != 0 {
            host.memory = Some(memory.0);
        }
        if let Some(nano) = nano_cpus(cpus.0) {
            host.nano_cpus = Some(nano);
        }
        if *pids > 0 {
            host.pids_limit = Some(*pids);
        }
    }
    // CPU and PID reservations and generic resources are the orchestrator's; a single host has nothing to do.
    if let Some(Resource { cpus: _, memory, pids: _, devices, generic_resources: _ }) = reservations {
        if memory.0 != 0 {
            host.memory_reservation = Some(memory.0);
        }
        for device in devices {
            host.device_requests.get_or_insert_default().push(super::devices::request(device, None));
        }
    }
}

/// Ulimits; a single number is both the soft and the hard limit.
pub fn ulimits(limits: &std::collections::BTreeMap<String, Ulimit>) -> Option<Vec<ResourcesUlimits>> {
    let limits: Vec<_> = limits
        .iter()
        .map(|(name, Ulimit { single, soft, hard })| ResourcesUlimits {
            name: Some(name.clone()),
            soft: Some(if *soft != 0 { *soft } else { *single }),
            hard: Some(if *hard != 0 { *hard } else { *single }),
        })
        .collect();
    (!limits.is_empty()).then_some(limits)
}
