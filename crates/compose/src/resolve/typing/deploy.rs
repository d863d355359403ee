//! Types the `deploy` and `develop` sections.

use super::fields::{Fields, expected};
use crate::{
    error::LoadError,
    model::{
        Deploy, Develop, DeviceCount, DeviceRequest, DiscreteResource, GenericResource, Hook, Placement,
        PlacementPreference, Resource, Resources, RestartPolicy, UpdateConfig, Watch,
    },
};
use turnout_yaml::{Node, Value};

pub(super) fn deploy(f: Fields<'_>) -> Result<Deploy, LoadError> {
    Ok(Deploy {
        mode: f.text("mode")?,
        replicas: f.optional_integer("replicas")?,
        labels: f.mapping("labels")?,
        update_config: f.section("update_config", update)?,
        rollback_config: f.section("rollback_config", update)?,
        resources: f.section("resources", resources)?.unwrap_or_default(),
        restart_policy: f.section("restart_policy", restart_policy)?,
        placement: f.section("placement", placement)?.unwrap_or_default(),
        endpoint_mode: f.text("endpoint_mode")?,
    })
}

fn update(f: Fields<'_>) -> Result<UpdateConfig, LoadError> {
    Ok(UpdateConfig {
        parallelism: f.unsigned("parallelism")?,
        delay: f.duration("delay")?.unwrap_or_default(),
        failure_action: f.text("failure_action")?,
        monitor: f.duration("monitor")?.unwrap_or_default(),
        max_failure_ratio: f.number("max_failure_ratio")?,
        order: f.text("order")?,
    })
}

fn resources(f: Fields<'_>) -> Result<Resources, LoadError> {
    Ok(Resources { limits: f.section("limits", resource)?, reservations: f.section("reservations", resource)? })
}

fn resource(f: Fields<'_>) -> Result<Resource, LoadError> {
    Ok(Resource {
        cpus: f.number("cpus")?,
        memory: f.bytes("memory")?,
        pids: f.integer("pids")?,
        devices: f.sections("devices", device_request)?,
        generic_resources: f.sections("generic_resources", |f| {
            Ok(GenericResource {
                discrete_resource_spec: f.section("discrete_resource_spec", |f| {
                    Ok(DiscreteResource { kind: f.text("kind")?, value: f.integer("value")? })
                })?,
            })
        })?,
    })
}

pub(super) fn device_request(f: Fields<'_>) -> Result<DeviceRequest, LoadError> {
    Ok(DeviceRequest {
        capabilities: f.texts("capabilities")?,
        driver: f.text("driver")?,
        count: f.get("count").map(|(node, path)| device_count(node, path)).transpose()?.unwrap_or_default(),
        device_ids: f.texts("device_ids")?,
        options: f.mapping("options")?,
    })
}

fn device_count(node: &Node, path: String) -> Result<DeviceCount, LoadError> {
    match &node.value {
        Value::Int(count) => Ok(DeviceCount(*count)),
        Value::Str(text) if text.eq_ignore_ascii_case("all") => Ok(DeviceCount(-1)),
        Value::Str(text) => text.parse().map(DeviceCount).map_err(|_| expected("'all' or a number", node, &path)),
        _ => Err(expected("'all' or a number", node, &path)),
    }
}

fn restart_policy(f: Fields<'_>) -> Result<RestartPolicy, LoadError> {
    Ok(RestartPolicy {
        condition: f.text("condition")?,
        delay: f.duration("delay")?,
        max_attempts: f.unsigned("max_attempts")?,
        window: f.duration("window")?,
    })
}

fn placement(f: Fields<'_>) -> Result<Placement, LoadError> {
    Ok(Placement {
        constraints: f.texts("constraints")?,
        preferences: f.sections("preferences", |f| Ok(PlacementPreference { spread: f.text("spread")? }))?,
        max_replicas_per_node: f.unsigned("max_replicas_per_node")?.unwrap_or_default(),
    })
}

pub(super) fn develop(f: Fields<'_>) -> Result<Develop, LoadError> {
    Ok(Develop { watch: f.sections("watch", watch)? })
}

fn watch(f: Fields<'_>) -> Result<Watch, LoadError> {
    Ok(Watch {
        path: f.text("path")?,
        action: f.text("action")?,
        target: f.text("target")?,
        exec: f.section("exec", hook)?.unwrap_or_default(),
        include: f.texts("include")?,
        ignore: f.texts("ignore")?,
        initial_sync: f.flag("initial_sync")?,
    })
}

pub(super) fn hook(f: Fields<'_>) -> Result<Hook, LoadError> {
    Ok(Hook {
        command: f.command("command")?,
        user: f.text("user")?,
        privileged: f.flag("privileged")?,
        working_dir: f.text("working_dir")?,
        environment: f.variables("environment", true)?,
    })
}
