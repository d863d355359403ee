//! Devices: host nodes, CDI names and requests such as GPUs.

use bollard::models::{DeviceMapping as ApiMapping, DeviceRequest as ApiRequest, HostConfig};
use turnout_compose::model::{DeviceCount, DeviceMapping, DeviceRequest};

use super::{some, some_list, some_map};

/// Adds `devices` and `gpus`.
pub fn devices(devices: &[DeviceMapping], gpus: &[DeviceRequest], host: &mut HostConfig) {
    let mut by_name = Vec::new();
    for DeviceMapping { source, target, permissions } in devices {
        if source == target && is_cdi_name(source) {
            by_name.push(source.clone());
            continue;
        }
        host.devices.get_or_insert_default().push(ApiMapping {
            path_on_host: Some(source.clone()),
            path_in_container: Some(target.clone()),
            cgroup_permissions: Some(permissions.clone()),
        });
    }
    if !by_name.is_empty() {
        host.device_requests.get_or_insert_default().push(ApiRequest {
            driver: Some("cdi".to_owned()),
            device_ids: Some(by_name),
            ..Default::default()
        });
    }
    for gpu in gpus {
        host.device_requests.get_or_insert_default().push(request(gpu, Some("gpu")));
    }
}

/// One request for devices; `implied` is a capability that its kind carries.
pub fn request(request: &DeviceRequest, implied: Option<&str>) -> ApiRequest {
    let DeviceRequest { capabilities, driver, count: DeviceCount(count), device_ids, options } = request;
    let mut capabilities = capabilities.clone();
    capabilities.extend(implied.map(str::to_owned));
    ApiRequest {
        driver: some(driver),
        count: Some(*count),
        device_ids: some_list(device_ids),
        capabilities: Some(vec![capabilities]),
        options: some_map(options),
    }
}

/// `vendor/class=name`, as the Container Device Interface writes it.
fn is_cdi_name(text: &str) -> bool {
    let word = |part: &str, dots: bool| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (dots && c == '.'))
    };
    let Some((kind, name)) = text.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    word(vendor, true)
        && word(class, false)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cdi_names_are_recognised() {
        for (text, wanted) in [
            ("vendor.com/class=name", true),
            ("nvidia.com/gpu=0", true),
            ("nvidia.com/gpu=all", true),
            ("/dev/fuse", false),
            ("/dev/x=y", false),
            ("vendor/=x", false),
            ("vendor/class=", false),
        ] {
            assert_eq!(is_cdi_name(text), wanted, "{text}");
        }
    }
}
