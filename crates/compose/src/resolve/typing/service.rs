//! Types one service, attribute by attribute.

use std::collections::BTreeMap;

use super::{
    build::{build, file_reference, ulimits},
    deploy::{deploy, develop, device_request, hook},
    fields::{Fields, expected, text},
};
use crate::{
    error::{LoadError, Warning},
    model::{
        Attachment, BindOptions, Blkio, CredentialSpec, Dependency, DeviceMapping, EnvFile, Extends, Healthcheck,
        ImageOptions, Logging, Mount, Port, PreStart, Provider, Service, ServiceModel, ThrottleDevice, TmpfsOptions,
        VolumeOptions, WeightDevice,
    },
};
use turnout_yaml::{Map, Node, Value};

pub(super) fn service(node: &Node, path: String, warnings: &mut Vec<Warning>) -> Result<Service, LoadError> {
    let f = Fields::new(node, path)?;
    warn_lost_sizes(&f, warnings);
    Ok(Service {
        profiles: f.texts("profiles")?,
        annotations: f.mapping("annotations")?,
        attach: f.optional_flag("attach")?,
        build: f.section("build", build)?,
        develop: f.section("develop", develop)?,
        blkio_config: f.section("blkio_config", blkio)?,
        cap_add: f.texts("cap_add")?,
        cap_drop: f.texts("cap_drop")?,
        cgroup_parent: f.text("cgroup_parent")?,
        cgroup: f.text("cgroup")?,
        cpu_count: f.integer("cpu_count")?,
        cpu_percent: f.number("cpu_percent")?,
        cpu_period: f.integer("cpu_period")?,
        cpu_quota: f.integer("cpu_quota")?,
        cpu_rt_period: f.integer("cpu_rt_period")?,
        cpu_rt_runtime: f.integer("cpu_rt_runtime")?,
        cpus: f.number("cpus")?,
        cpuset: f.text("cpuset")?,
        cpu_shares: f.integer("cpu_shares")?,
        command: f.command("command")?,
        configs: f.sections("configs", file_reference)?,
        container_name: f.text("container_name")?,
        credential_spec: f.section("credential_spec", credential_spec)?,
        depends_on: f.table("depends_on", dependency)?,
        deploy: f.section("deploy", deploy)?,
        device_cgroup_rules: f.texts("device_cgroup_rules")?,
        devices: f.sections("devices", device)?,
        dns: f.texts_or_one("dns")?,
        dns_opt: f.texts("dns_opt")?,
        dns_search: f.texts_or_one("dns_search")?,
        dockerfile: f.text("dockerfile")?,
        domainname: f.text("domainname")?,
        entrypoint: f.command("entrypoint")?,
        provider: f.section("provider", provider)?,
        environment: f.variables("environment", true)?,
        env_file: f.sections("env_file", env_file)?,
        expose: f.list("expose", |node, _| Ok(node.value.go_text()))?,
        extends: f.section("extends", extends)?,
        external_links: f.texts("external_links")?,
        extra_hosts: f.extra_hosts("extra_hosts")?,
        group_add: f.texts("group_add")?,
        gpus: f.sections("gpus", device_request)?,
        hostname: f.text("hostname")?,
        healthcheck: f.section("healthcheck", healthcheck)?,
        image: f.text("image")?,
        init: f.optional_flag("init")?,
        ipc: f.text("ipc")?,
        isolation: f.text("isolation")?,
        labels: f.mapping("labels")?,
        label_file: f.texts("label_file")?,
        links: f.texts("links")?,
        logging: f.section("logging", logging)?,
        log_driver: f.text("log_driver")?,
        log_opt: f.mapping("log_opt")?,
        mem_limit: f.bytes("mem_limit")?,
        mem_reservation: f.bytes("mem_reservation")?,
        memswap_limit: f.bytes("memswap_limit")?,
        mem_swappiness: f.bytes("mem_swappiness")?,
        mac_address: f.text("mac_address")?,
        models: f.references("models", |node, path| optional(node, path, service_model))?,
        net: f.text("net")?,
        network_mode: f.text("network_mode")?,
        networks: f.references("networks", |node, path| optional(node, path, attachment))?,
        oom_kill_disable: f.flag("oom_kill_disable")?,
        oom_score_adj: f.integer("oom_score_adj")?,
        pid: pid(&f)?,
        pids_limit: f.integer("pids_limit")?,
        platform: f.text("platform")?,
        ports: f.sections("ports", port)?,
        privileged: f.flag("privileged")?,
        pull_policy: f.text("pull_policy")?,
        read_only: f.flag("read_only")?,
        restart: f.text("restart")?,
        runtime: f.text("runtime")?,
        scale: f.optional_integer("scale")?,
        secrets: f.sections("secrets", file_reference)?,
        security_opt: f.texts("security_opt")?,
        shm_size: f.bytes("shm_size")?,
        stdin_open: f.flag("stdin_open")?,
        stop_grace_period: f.duration("stop_grace_period")?,
        stop_signal: f.text("stop_signal")?,
        storage_opt: f.strict_table("storage_opt", text)?,
        sysctls: f.mapping("sysctls")?,
        tmpfs: f.texts_or_one("tmpfs")?,
        tty: f.flag("tty")?,
        ulimits: ulimits(&f)?,
        use_api_socket: f.flag("use_api_socket")?,
        user: f.text("user")?,
        userns_mode: f.text("userns_mode")?,
        uts: f.text("uts")?,
        volume_driver: f.text("volume_driver")?,
        volumes: f.sections("volumes", mount)?,
        volumes_from: f.texts("volumes_from")?,
        working_dir: f.text("working_dir")?,
        pre_start: f.list("pre_start", |node, path| pre_start(node, path, warnings))?,
        post_start: f.sections("post_start", hook)?,
        pre_stop: f.sections("pre_stop", hook)?,
    })
}

fn pre_start(node: &Node, path: String, warnings: &mut Vec<Warning>) -> Result<PreStart, LoadError> {
    let per_replica = Fields::new(node, path.clone())?.flag("per_replica")?;
    Ok(PreStart::new(service(node, path, warnings)?, per_replica))
}

/// The schema allows null here, and Compose 2.40 crashes on it.
fn pid(f: &Fields<'_>) -> Result<String, LoadError> {
    match f.null("pid") {
        Some((node, path)) => {
            Err(expected("a string", node, &path).hint("leave pid out, or name a namespace such as host"))
        }
        None => f.text("pid"),
    }
}

/// Compose takes a size with a fraction and no unit for no size at all; nobody means that.
fn warn_lost_sizes(f: &Fields<'_>, warnings: &mut Vec<Warning>) {
    for key in ["mem_limit", "memswap_limit", "shm_size"] {
        if let Some((Node { value: Value::Float(number), pos, .. }, path)) = f.get(key) {
            let mut warning = Warning::at(path, pos, format!("{number} is not a whole number of bytes and is ignored"));
            warning.hint = Some("write a size with a unit, for example 512m".to_owned());
            warnings.push(warning);
        }
    }
}

/// A section that may be null, which differs from an empty one.
fn optional<'a, T>(
    node: &'a Node,
    path: String,
    read: impl FnOnce(Fields<'a>) -> Result<T, LoadError>,
) -> Result<Option<T>, LoadError> {
    if node.is_null() { Ok(None) } else { read(Fields::new(node, path)?).map(Some) }
}

fn blkio(f: Fields<'_>) -> Result<Blkio, LoadError> {
    let throttle = |f: Fields<'_>| Ok(ThrottleDevice { path: f.text("path")?, rate: f.bytes("rate")? });
    Ok(Blkio {
        weight: f.low_16_bits("weight")?,
        weight_device: f.sections("weight_device", |f| {
            Ok(WeightDevice { path: f.text("path")?, weight: f.low_16_bits("weight")? })
        })?,
        device_read_bps: f.sections("device_read_bps", throttle)?,
        device_read_iops: f.sections("device_read_iops", throttle)?,
        device_write_bps: f.sections("device_write_bps", throttle)?,
        device_write_iops: f.sections("device_write_iops", throttle)?,
    })
}

fn credential_spec(f: Fields<'_>) -> Result<CredentialSpec, LoadError> {
    Ok(CredentialSpec { config: f.text("config")?, file: f.text("file")?, registry: f.text("registry")? })
}

fn dependency(node: &Node, path: String) -> Result<Dependency, LoadError> {
    let f = Fields::new(node, path)?;
    Ok(Dependency { condition: f.text("condition")?, restart: f.flag("restart")?, required: f.flag("required")? })
}

fn device(f: Fields<'_>) -> Result<DeviceMapping, LoadError> {
    Ok(DeviceMapping { source: f.text("source")?, target: f.text("target")?, permissions: f.text("permissions")? })
}

fn env_file(f: Fields<'_>) -> Result<EnvFile, LoadError> {
    let (path, required) = (f.text("path")?, f.flag("required")?);
    Ok(EnvFile { path, required, format: f.text("format")?, long: false })
}

fn extends(f: Fields<'_>) -> Result<Extends, LoadError> {
    Ok(Extends { file: f.text("file")?, service: f.text("service")? })
}

fn healthcheck(f: Fields<'_>) -> Result<Healthcheck, LoadError> {
    let test = match f.get("test") {
        Some((Node { value: Value::Str(line), .. }, _)) => vec!["CMD-SHELL".to_owned(), line.clone()],
        _ => f.texts("test")?,
    };
    Ok(Healthcheck {
        test,
        timeout: f.duration("timeout")?,
        interval: f.duration("interval")?,
        retries: f.unsigned("retries")?,
        start_period: f.duration("start_period")?,
        start_interval: f.duration("start_interval")?,
        disable: f.flag("disable")?,
    })
}

fn logging(f: Fields<'_>) -> Result<Logging, LoadError> {
    Ok(Logging { driver: f.text("driver")?, options: f.mapping("options")? })
}

fn provider(f: Fields<'_>) -> Result<Provider, LoadError> {
    Ok(Provider { r#type: f.text("type")?, options: provider_options(&f)? })
}

/// Options of one or more values; one without any is none, and `x-*` are collected as everywhere.
fn provider_options(f: &Fields<'_>) -> Result<BTreeMap<String, Vec<String>>, LoadError> {
    let mut extensions = Map::new();
    let mut options = f.table("options", |node, _| {
        Ok(match &node.value {
            Value::Seq(items) => items.iter().map(|item| item.value.go_text()).collect::<Vec<_>>(),
            one => vec![one.go_text()],
        })
    })?;
    let written = f.get("options").and_then(|(node, _)| node.as_map());
    for (key, entry) in written.into_iter().flatten().filter(|(key, _)| key.starts_with("x-")) {
        options.remove(key);
        extensions.insert(key.clone(), entry.clone());
    }
    options.retain(|_, values| !values.is_empty());
    if !extensions.is_empty() {
        options.insert("#extensions".to_owned(), vec![Value::Map(extensions).go_text()]);
    }
    Ok(options)
}

fn service_model(f: Fields<'_>) -> Result<ServiceModel, LoadError> {
    Ok(ServiceModel { endpoint_var: f.text("endpoint_var")?, model_var: f.text("model_var")? })
}

fn attachment(f: Fields<'_>) -> Result<Attachment, LoadError> {
    Ok(Attachment {
        aliases: f.texts("aliases")?,
        driver_opts: f.mapping("driver_opts")?,
        gw_priority: f.integer("gw_priority")?,
        interface_name: f.text("interface_name")?,
        ipv4_address: f.text("ipv4_address")?,
        ipv6_address: f.text("ipv6_address")?,
        link_local_ips: f.texts("link_local_ips")?,
        mac_address: f.text("mac_address")?,
        priority: f.integer("priority")?,
    })
}

fn port(f: Fields<'_>) -> Result<Port, LoadError> {
    Ok(Port {
        name: f.text("name")?,
        mode: f.text("mode")?,
        host_ip: f.text("host_ip")?,
        target: f.low_32_bits("target")?,
        published: f.text("published")?,
        protocol: f.text("protocol")?,
        app_protocol: f.text("app_protocol")?,
    })
}

fn mount(f: Fields<'_>) -> Result<Mount, LoadError> {
    Ok(Mount {
        r#type: f.text("type")?,
        source: f.text("source")?,
        target: f.text("target")?,
        read_only: f.flag("read_only")?,
        consistency: f.text("consistency")?,
        bind: f.section("bind", |f| {
            Ok(BindOptions {
                selinux: f.text("selinux")?,
                propagation: f.text("propagation")?,
                create_host_path: f.flag("create_host_path")?,
                recursive: f.text("recursive")?,
            })
        })?,
        volume: f.section("volume", |f| {
            Ok(VolumeOptions { labels: f.mapping("labels")?, nocopy: f.flag("nocopy")?, subpath: f.text("subpath")? })
        })?,
        tmpfs: f.section("tmpfs", |f| {
            let mode = match f.get("mode") {
                Some((node @ Node { value: Value::Str(_), .. }, path)) => {
                    return Err(expected("a number", node, &path).hint("write it without quotes, for example 0o755"));
                }
                _ => f.low_32_bits("mode")?,
            };
            Ok(TmpfsOptions { size: f.bytes("size")?, mode })
        })?,
        image: f.section("image", |f| Ok(ImageOptions { subpath: f.text("subpath")? }))?,
    })
}
