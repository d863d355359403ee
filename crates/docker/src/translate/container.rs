//! From a service to the request that creates one of its containers.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigIsolationEnum, HostConfigLogConfig,
    NetworkingConfig,
};
use turnout_compose::model::{Deploy, Duration, Logging, Placement, Project, Service};

use super::{
    InheritedMount, devices, environment, gate, health,
    labels::{ContainerLabels, container_labels},
    mounts,
    network::{Endpoint, endpoints, hosts},
    ports, refuse, resources, security, some, some_list, some_map, some_number, too_old,
};
use crate::{ApiVersion, EngineError};

/// Which container to create, and what only the engine knows about its surroundings.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The project that the container is for.
    pub project: &'a Project,
    /// The name of its service.
    pub name: &'a str,
    /// The service with `service:` references replaced by container IDs.
    pub service: &'a Service,
    /// Which of the containers of its service it is, from 1.
    pub number: u32,
    /// Final name, also while it is being recreated under a temporary one.
    pub container_name: &'a str,
    /// What it replaces (`web-1`, or the `container_name`), if it does.
    pub replaces: Option<&'a str>,
    /// ID of the image.
    pub image_id: &'a str,
    /// Digest for the label.
    pub config_hash: &'a str,
    /// Labels of turnout's own, beside those of Compose.
    pub own_labels: &'a [(&'a str, &'a str)],
    /// `container:alias` entries for links.
    pub links: &'a [String],
    /// Containers whose mounts it has as well, `container[:ro]`.
    pub volumes_from: &'a [String],
    /// Mounts whose content is taken over.
    pub inherited: &'a [InheritedMount],
    /// Seccomp profiles by file name as written.
    pub profiles: &'a BTreeMap<String, String>,
    /// Variables every container receives unless its service sets them.
    pub proxy_variables: &'a HashMap<String, String>,
    /// Version of the daemon's API.
    pub version: ApiVersion,
}

/// What to send to the engine, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSpec {
    /// Body of the create request.
    pub body: ContainerCreateBody,
    /// MAC address of the container as a whole, for daemons before API 1.44; the body of the client library has no
    /// place for it.
    pub mac_address: Option<String>,
    /// Platform of the create request; empty = the daemon's.
    pub platform: String,
    /// Networks to connect between creation and start (daemons before API 1.44 take only one at creation).
    pub connect: Vec<Endpoint>,
    /// What the reader should know.
    pub warnings: Vec<String>,
}

/// Translates one container.
///
/// # Errors
/// [`EngineError::Unsupported`] names the attribute that cannot be carried out, and why.
pub fn container(target: &Target<'_>) -> Result<ContainerSpec, EngineError> {
    let Target { project, name, service, version, .. } = *target;
    // Taken apart completely: a new attribute has to be dealt with before this compiles.
    let Service {
        // Not the container's business: loading, planning, building and pulling have dealt with them.
        profiles: _,
        attach: _,
        build: _,
        develop: _,
        env_file: _,
        label_file: _,
        pull_policy: _,
        scale: _,
        // Hooks run around start and stop, steps before.
        pre_start: _,
        post_start: _,
        pre_stop: _,
        // Secrets and configs: mounted in `mounts`, copied before start.
        secrets: _,
        configs: _,
        volumes: _,
        // In `endpoints`.
        networks: _,
        mac_address,
        // The same with container IDs, in `target`.
        links: _,
        external_links: _,
        volumes_from: _,
        annotations,
        blkio_config,
        cap_add,
        cap_drop,
        cgroup_parent,
        cgroup,
        cpu_count,
        cpu_percent,
        cpu_period,
        cpu_quota,
        cpu_rt_period,
        cpu_rt_runtime,
        cpus,
        cpuset,
        cpu_shares,
        command,
        container_name: _,
        credential_spec,
        depends_on: _, // becomes a label
        deploy,
        device_cgroup_rules,
        devices,
        dns,
        dns_opt,
        dns_search,
        dockerfile,
        domainname,
        entrypoint,
        provider,
        environment: own_variables,
        expose,
        extends,
        extra_hosts,
        group_add,
        gpus,
        hostname,
        healthcheck,
        image: _, // resolved by `Service::image_name`
        init,
        ipc,
        isolation,
        labels: _, // in `container_labels`
        logging,
        log_driver,
        log_opt,
        mem_limit,
        mem_reservation,
        memswap_limit,
        mem_swappiness,
        models,
        net,
        network_mode,
        oom_kill_disable,
        oom_score_adj,
        pid,
        pids_limit,
        platform,
        ports: published,
        privileged,
        read_only,
        restart,
        runtime,
        security_opt,
        shm_size,
        stdin_open,
        stop_grace_period,
        stop_signal,
        storage_opt,
        sysctls,
        tmpfs,
        tty,
        ulimits,
        use_api_socket,
        user,
        userns_mode,
        uts,
        volume_driver,
        working_dir,
    } = service;

    for (attribute, given, reason) in [
        ("credential_spec", credential_spec.is_some(), "credential specs exist on Windows only"),
        ("dockerfile", !dockerfile.is_empty(), "write build.dockerfile"),
        ("extends", extends.is_some(), "was not resolved by the loader"),
        ("log_driver", !log_driver.is_empty(), "write logging.driver"),
        ("log_opt", !log_opt.is_empty(), "write logging.options"),
        ("models", !models.is_empty(), "AI models need Docker Model Runner, which is not supported"),
        ("net", !net.is_empty(), "write network_mode"),
        ("provider", provider.is_some(), "provider plugins are programs, and no program is started"),
        (
            "use_api_socket",
            *use_api_socket && !service.configs.iter().any(|c| c.source == "#apisocket"),
            "mount the engine's socket under volumes instead",
        ),
    ] {
        if given {
            return Err(refuse(name, attribute, reason));
        }
    }
    let mut warnings = Vec::new();
    let mut dropped = |attribute: &str, reason: &str| {
        let files = project.config_files.join(", ");
        let place = if files.is_empty() { String::new() } else { format!(" (in {files})") };
        warnings.push(format!("services.{name}.{attribute}{place}: {reason}, it is left out, as by Compose"));
    };
    let old = ApiVersion::v1(43);
    let annotated = version >= old;
    if !annotations.is_empty() && !annotated {
        dropped("annotations", &too_old(version, old, "24.0"));
    }

    let mounted = mounts::mounts(project, name, service, target.inherited, version)?;
    let mut attached = endpoints(project, name, service, target.container_name, target.links, version)?.into_iter();
    let mut primary = attached.next();
    // Daemons before API 1.44 know one address for the whole container instead.
    let mac_address = match (&mut primary, version < ApiVersion::v1(44)) {
        (Some(endpoint), true) => endpoint.settings.mac_address.take(),
        (None, true) => some(mac_address),
        (Some(_), false) => None,
        (None, false) => {
            if !mac_address.is_empty() {
                dropped("mac_address", "needs a network to be attached to instead of network_mode");
            }
            None
        }
    };
    let mode = match &primary {
        Some(endpoint) => endpoint.network.clone(),
        None if network_mode.is_empty() => "none".to_owned(),
        None => network_mode.clone(),
    };
    // Links of a container on the default bridge have no endpoint to stand on.
    let bridge_links = primary.is_none().then(|| some_list(target.links)).flatten();
    let mut at_creation: Vec<Endpoint> = primary.into_iter().collect();
    let mut connect: Vec<Endpoint> = attached.collect();
    if version >= ApiVersion::v1(44) {
        at_creation.append(&mut connect);
    }

    let secured = security::options(name, security_opt, target.profiles)?;
    let mut host = HostConfig {
        binds: some_list(&mounted.binds),
        mounts: (!mounted.mounts.is_empty()).then_some(mounted.mounts),
        annotations: if annotated { some_map(annotations) } else { None },
        cap_add: security::capabilities(cap_add),
        cap_drop: security::capabilities(cap_drop),
        cgroup_parent: some(cgroup_parent),
        cgroupns_mode: match cgroup.as_str() {
            "" => None,
            "host" => Some(HostConfigCgroupnsModeEnum::HOST),
            "private" => Some(HostConfigCgroupnsModeEnum::PRIVATE),
            other => return Err(refuse(name, "cgroup", format!("{other:?} is neither host nor private"))),
        },
        cpu_count: some_number(*cpu_count),
        #[expect(clippy::cast_possible_truncation, reason = "a percentage times 100")]
        cpu_percent: some_number((cpu_percent.0 * 100.0) as i64),
        cpu_period: some_number(*cpu_period),
        cpu_quota: some_number(*cpu_quota),
        cpu_realtime_period: some_number(*cpu_rt_period),
        cpu_realtime_runtime: some_number(*cpu_rt_runtime),
        nano_cpus: resources::nano_cpus(cpus.0),
        cpuset_cpus: some(cpuset),
        cpu_shares: some_number(*cpu_shares),
        memory: some_number(mem_limit.0),
        memory_reservation: some_number(mem_reservation.0),
        memory_swap: some_number(memswap_limit.0),
        memory_swappiness: some_number(mem_swappiness.0),
        oom_kill_disable: Some(*oom_kill_disable),
        oom_score_adj: some_number(*oom_score_adj),
        pids_limit: some_number(*pids_limit),
        device_cgroup_rules: some_list(device_cgroup_rules),
        dns: some_list(dns),
        dns_options: some_list(dns_opt),
        dns_search: some_list(dns_search),
        extra_hosts: hosts(extra_hosts),
        group_add: some_list(group_add),
        init: *init,
        ipc_mode: some(ipc),
        isolation: match isolation.as_str() {
            "" => None,
            text => Some(text.parse::<HostConfigIsolationEnum>().map_err(|e| refuse(name, "isolation", e))?),
        },
        links: bridge_links,
        log_config: logging
            .as_ref()
            .map(|Logging { driver, options }| HostConfigLogConfig { typ: some(driver), config: some_map(options) }),
        network_mode: Some(mode),
        pid_mode: some(pid),
        port_bindings: ports::bindings(published),
        privileged: Some(*privileged),
        readonly_rootfs: Some(*read_only),
        restart_policy: Some(health::restart_policy(name, restart, deploy.as_ref())?),
        runtime: some(runtime),
        security_opt: some_list(&secured.options),
        masked_paths: secured.unconfined_paths.then(Vec::new),
        readonly_paths: secured.unconfined_paths.then(Vec::new),
        shm_size: some_number(shm_size.0),
        storage_opt: some_map(storage_opt),
        sysctls: some_map(sysctls),
        tmpfs: mounts::tmpfs(tmpfs),
        ulimits: resources::ulimits(ulimits),
        userns_mode: some(userns_mode),
        uts_mode: some(uts),
        volume_driver: some(volume_driver),
        volumes_from: some_list(target.volumes_from),
        ..Default::default()
    };
    if let Some(limits) = blkio_config {
        resources::blkio(limits, &mut host);
    }
    devices::devices(devices, gpus, &mut host);
    if let Some(deploy) = deploy {
        // Replicas are the planner's; labels, update and rollback policies, endpoint mode and placement are an
        // orchestrator's and mean nothing on one host, for Compose as for us.
        let Deploy {
            mode: _,
            replicas: _,
            labels: _,
            update_config: _,
            rollback_config: _,
            resources,
            restart_policy: _, // above
            placement: Placement { constraints: _, preferences: _, max_replicas_per_node: _ },
            endpoint_mode: _,
        } = deploy;
        resources::deploy(resources, &mut host);
    }

    let labels = container_labels(
        project,
        service,
        &ContainerLabels {
            service: name,
            number: target.number,
            config_hash: target.config_hash,
            image_id: target.image_id,
            replaces: target.replaces,
            own: target.own_labels,
        },
    );
    let body = ContainerCreateBody {
        hostname: some(hostname),
        domainname: some(domainname),
        user: some(user),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: ports::exposed(expose, published),
        tty: Some(*tty),
        open_stdin: Some(*stdin_open),
        env: environment::variables(own_variables, target.proxy_variables),
        cmd: command.clone(),
        entrypoint: entrypoint.clone(),
        healthcheck: healthcheck.as_ref().map(|h| health::health(name, h, version)).transpose()?,
        image: Some(service.image_name(&project.name, name)),
        working_dir: some(working_dir),
        network_disabled: (network_mode == "disabled").then_some(true),
        labels: Some(labels),
        stop_signal: some(stop_signal),
        stop_timeout: stop_grace_period.map(|Duration(nanoseconds)| nanoseconds / 1_000_000_000),
        host_config: Some(host),
        networking_config: (!at_creation.is_empty()).then(|| NetworkingConfig {
            endpoints_config: Some(at_creation.into_iter().map(|e| (e.network, e.settings)).collect()),
        }),
        ..Default::default()
    };
    let platform = match (platform.as_str(), project.environment.get("DOCKER_DEFAULT_PLATFORM")) {
        ("", Some(default)) => default.clone(),
        (own, _) => own.to_owned(),
    };
    if !platform.is_empty() {
        gate(version, ApiVersion::v1(41), "20.10", name, "platform")?;
    }
    warnings.extend(mounted.warnings);
    Ok(ContainerSpec { body, mac_address, platform, connect, warnings })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const OLD: ApiVersion = ApiVersion::v1(41);
    const NEW: ApiVersion = ApiVersion::v1(53);

    fn spec(service: Value, version: ApiVersion) -> Result<ContainerSpec, EngineError> {
        spec_of(service, version, |_| ())
    }

    fn spec_of(
        service: Value,
        version: ApiVersion,
        change: impl FnOnce(&mut Project),
    ) -> Result<ContainerSpec, EngineError> {
        let document = json!({
            "name": "shop",
            "services": { "web": service },
            "networks": { "back": { "name": "shop_back" }, "front": { "name": "shop_front" } },
            "volumes": { "state": { "name": "shop_state" } },
            "secrets": { "key": { "file": "/key" } },
        });
        let mut project: Project = serde_json::from_value(document).unwrap();
        change(&mut project);
        container(&Target {
            project: &project,
            name: "web",
            service: &project.services["web"],
            number: 2,
            container_name: "shop-web-2",
            replaces: None,
            image_id: "sha256:1",
            config_hash: "h",
            own_labels: &[],
            links: &["shop-db-1:db".to_owned()],
            volumes_from: &[],
            inherited: &[],
            profiles: &BTreeMap::new(),
            proxy_variables: &HashMap::from([("HTTP_PROXY".to_owned(), "http://p".to_owned())]),
            version,
        })
    }

    /// Every wanted entry must be in the body; a pointer names it.
    fn check(service: Value, version: ApiVersion, wanted: &[(&str, Value)]) {
        let spec = spec(service.clone(), version).unwrap();
        let body = serde_json::to_value(&spec.body).unwrap();
        for (pointer, value) in wanted {
            assert_eq!(body.pointer(pointer).unwrap_or(&Value::Null), value, "{pointer} of {service}: {body:#}");
        }
    }

    #[test]
    fn attributes_are_translated() {
        for (service, wanted) in [
            (
                json!({ "environment": { "A": "1", "B": null, "HTTP_PROXY": "own" } }),
                vec![("/Env", json!(["A=1", "B", "HTTP_PROXY=own"]))],
            ),
            (json!({ "command": [] }), vec![("/Cmd", json!([])), ("/Entrypoint", Value::Null)]),
            (
                json!({}),
                vec![
                    ("/Image", json!("shop-web")),
                    ("/StopTimeout", Value::Null),
                    ("/HostConfig/NetworkMode", json!("none")),
                ],
            ),
            (json!({ "stop_grace_period": "1500ms" }), vec![("/StopTimeout", json!(1))]),
            (
                json!({ "network_mode": "host" }),
                vec![("/HostConfig/NetworkMode", json!("host")), ("/NetworkingConfig", Value::Null)],
            ),
            (
                json!({ "restart": "on-failure:3" }),
                vec![("/HostConfig/RestartPolicy", json!({ "Name": "on-failure", "MaximumRetryCount": 3 }))],
            ),
            (
                json!({ "restart": "no", "deploy": { "restart_policy": { "condition": "any" } } }),
                vec![("/HostConfig/RestartPolicy/Name", json!("always"))],
            ),
            (
                json!({ "cpus": 0.5, "deploy": { "resources": { "limits": { "cpus": 1.5 } } } }),
                vec![("/HostConfig/NanoCpus", json!(1_500_000_000))],
            ),
            (
                json!({ "ulimits": { "nofile": 9 } }),
                vec![("/HostConfig/Ulimits", json!([{ "Name": "nofile", "Soft": 9, "Hard": 9 }]))],
            ),
            (json!({ "healthcheck": { "disable": true } }), vec![("/Healthcheck/Test", json!(["NONE"]))]),
            (
                json!({ "ports": [{ "target": 80, "published": "8000-8002", "protocol": "tcp" }], "expose": ["90", "91/udp"] }),
                vec![
                    ("/HostConfig/PortBindings", json!({ "80/tcp": [{ "HostIp": "", "HostPort": "8000-8002" }] })),
                    ("/ExposedPorts", json!({ "80/tcp": {}, "90": {}, "91/udp": {} })),
                ],
            ),
            (
                json!({ "volumes": [
                    { "type": "volume", "source": "state", "target": "/s", "volume": {} },
                    { "type": "bind", "source": "/a", "target": "/a", "read_only": true, "bind": { "create_host_path": true, "selinux": "z" } },
                ] }),
                vec![
                    ("/HostConfig/Binds", json!(["/a:/a:ro,z", "shop_state:/s:rw"])),
                    ("/HostConfig/Mounts", Value::Null),
                ],
            ),
            (
                json!({ "volumes": [{ "type": "bind", "source": "/a", "target": "/a", "bind": {} }], "secrets": [{ "source": "key" }] }),
                vec![(
                    "/HostConfig/Mounts",
                    json!([
                        { "Target": "/a", "Source": "/a", "Type": "bind", "ReadOnly": false, "BindOptions": {} },
                        { "Target": "/run/secrets/key", "Source": "/key", "Type": "bind", "ReadOnly": true, "BindOptions": {} },
                    ]),
                )],
            ),
            (
                json!({ "cap_add": ["net_admin", "SYS_TIME", "CAP_CHOWN", "NET_ADMIN"], "cap_drop": ["all"] }),
                vec![
                    ("/HostConfig/CapAdd", json!(["CAP_CHOWN", "CAP_NET_ADMIN", "CAP_SYS_TIME"])),
                    ("/HostConfig/CapDrop", json!(["ALL"])),
                    ("/HostConfig/PortBindings", json!({})),
                    ("/HostConfig/ExtraHosts", json!([])),
                ],
            ),
            (
                json!({ "security_opt": ["systempaths=unconfined"] }),
                vec![("/HostConfig/MaskedPaths", json!([])), ("/HostConfig/SecurityOpt", Value::Null)],
            ),
            (
                json!({ "gpus": [{ "count": -1 }] }),
                vec![("/HostConfig/DeviceRequests", json!([{ "Count": -1, "Capabilities": [["gpu"]] }]))],
            ),
            (
                json!({ "labels": { "com.docker.compose.service": "lie", "own": "1" } }),
                vec![("/Labels/com.docker.compose.service", json!("web")), ("/Labels/own", json!("1"))],
            ),
        ] {
            let mut service = service;
            if service.get("network_mode").is_none() {
                service["network_mode"] = json!("none");
            }
            check(service, OLD, &wanted);
        }
    }

    #[test]
    fn older_daemons_take_one_network_at_creation() {
        let service = json!({
            "mac_address": "02:00:00:00:00:01",
            "networks": { "back": null, "front": { "priority": 1, "aliases": ["shop"], "ipv4_address": "10.0.0.9" } },
        });
        let old = spec(service.clone(), OLD).unwrap();
        assert_eq!(old.body.host_config.unwrap().network_mode.unwrap(), "shop_front");
        let at_creation = old.body.networking_config.unwrap().endpoints_config.unwrap();
        let front = &at_creation["shop_front"];
        assert_eq!(at_creation.len(), 1);
        assert_eq!(front.aliases.as_deref().unwrap(), ["shop-web-2", "web", "shop"]);
        assert_eq!(front.ipam_config.as_ref().unwrap().ipv4_address.as_deref(), Some("10.0.0.9"));
        assert_eq!(old.connect.iter().map(|e| e.network.as_str()).collect::<Vec<_>>(), ["shop_back"]);
        assert_eq!((old.mac_address.as_deref(), &front.mac_address), (Some("02:00:00:00:00:01"), &None));
        let new = spec(service, NEW).unwrap();
        let at_creation = new.body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!((at_creation.len(), new.connect.len(), new.mac_address), (2, 0, None));
        assert_eq!(at_creation["shop_front"].mac_address.as_deref(), Some("02:00:00:00:00:01"));
    }

    #[test]
    fn a_nameless_attachment_has_no_aliases_and_all_else() {
        let service = json!({
            "networks": { "back": null, "front": { "aliases": ["shop"], "ipv4_address": "10.0.0.9" } },
        });
        for version in [OLD, NEW] {
            let spec = spec_of(service.clone(), version, |project| {
                project.nameless.insert("web".to_owned(), ["front".to_owned()].into());
                project.nameless.insert("other".to_owned(), ["back".to_owned()].into());
            });
            let spec = spec.unwrap();
            let at_creation = spec.body.networking_config.unwrap().endpoints_config.unwrap();
            let later = spec.connect.into_iter().map(|endpoint| (endpoint.network, endpoint.settings));
            let all: BTreeMap<_, _> = at_creation.into_iter().chain(later).collect();
            assert_eq!(all["shop_back"].aliases.as_deref().unwrap(), ["shop-web-2", "web"]);
            let front = &all["shop_front"];
            assert_eq!(front.aliases.as_deref(), Some(&[][..]));
            assert_eq!(front.ipam_config.as_ref().unwrap().ipv4_address.as_deref(), Some("10.0.0.9"));
        }
    }

    /// `inspect` shows these as they were sent, until the container starts.
    #[test]
    fn an_attachment_with_options_has_addresses_if_need_be_empty_ones() {
        let service = json!({
            "networks": { "back": { "priority": 3 }, "front": { "ipv4_address": "10.0.0.9" }, "side": null },
        });
        let sent = spec(service, NEW).unwrap().body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(sent["shop_back"].ipam_config, Some(bollard::models::EndpointIpamConfig::default()));
        assert_eq!(sent["shop_front"].ip_address.as_deref(), Some("10.0.0.9"));
        assert_eq!(sent["shop_side"].ipam_config, None);
    }

    #[test]
    fn what_compose_leaves_out_is_left_out_and_told() {
        let told = |service: Value, version| spec(service, version).unwrap();
        let annotated = json!({ "annotations": { "a": "b" } });
        let old = told(annotated.clone(), OLD);
        assert!(old.body.host_config.unwrap().annotations.is_none());
        assert_eq!(
            old.warnings,
            [
                "services.web.annotations: needs Docker Engine 24.0 (API 1.43) or later, this daemon speaks API 1.41, it \
              is left out, as by Compose"
            ]
        );
        let new = told(annotated, NEW);
        assert!(new.warnings.is_empty() && new.body.host_config.unwrap().annotations.is_some());
        let addressed = json!({ "mac_address": "02:00:00:00:00:01", "network_mode": "bridge" });
        let new = told(addressed.clone(), NEW);
        assert_eq!((new.mac_address, new.warnings.len()), (None, 1));
        assert!(new.warnings[0].starts_with("services.web.mac_address: needs a network"), "{:?}", new.warnings);
        let old = told(addressed, OLD);
        assert_eq!((old.mac_address.as_deref(), old.warnings.len()), (Some("02:00:00:00:00:01"), 0));
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        for (service, version, wanted) in [
            (json!({ "use_api_socket": true }), NEW, "services.web.use_api_socket: mount the engine's socket"),
            (json!({ "provider": { "type": "x" } }), NEW, "services.web.provider: "),
            (json!({ "credential_spec": { "file": "x" } }), NEW, "services.web.credential_spec: "),
            (json!({ "restart": "foo" }), NEW, "services.web.restart: \"foo\" is not one of"),
            (
                json!({ "healthcheck": { "test": ["CMD", "x"], "start_interval": "1s", "start_period": "1s" } }),
                OLD,
                "services.web.healthcheck.start_interval: needs Docker Engine 25.0 (API 1.44) or later, this daemon speaks API 1.41",
            ),
            (
                json!({ "healthcheck": { "test": ["CMD", "x"], "start_interval": "1s" } }),
                NEW,
                "services.web.healthcheck.start_interval: healthcheck.start_interval requires healthcheck.start_period to be set",
            ),
            (
                json!({ "networks": { "back": { "interface_name": "e" } } }),
                OLD,
                "services.web.networks.back.interface_name: needs Docker Engine 28.1",
            ),
            (
                json!({ "networks": { "back": { "gw_priority": 1 } } }),
                OLD,
                "services.web.networks.back.gw_priority: needs",
            ),
            (
                json!({ "networks": { "back": null, "front": { "mac_address": "02:00:00:00:00:01" } } }),
                OLD,
                "services.web.networks.front.mac_address: needs",
            ),
            (
                json!({ "mac_address": "02:00:00:00:00:02", "networks": { "back": { "mac_address": "02:00:00:00:00:01" } } }),
                NEW,
                "services.web.mac_address: 02:00:00:00:00:02 differs",
            ),
            (
                json!({ "volumes": [{ "type": "image", "source": "i", "target": "/i" }] }),
                OLD,
                "services.web.volumes[0].type: needs Docker Engine 28.0",
            ),
            (
                json!({ "volumes": [{ "type": "cluster", "source": "i", "target": "/i" }] }),
                NEW,
                "services.web.volumes[0].type: cluster volumes need a Swarm",
            ),
            (
                json!({ "volumes": [{ "type": "volume", "source": "no", "target": "/i" }] }),
                NEW,
                "services.web.volumes[0].source: the project has no volume",
            ),
            (
                json!({ "secrets": [{ "source": "absent" }] }),
                NEW,
                "services.web.secrets.absent: the project has no such secret",
            ),
        ] {
            let said = spec(service.clone(), version).map(|s| s.body.image).unwrap_err().to_string();
            assert!(said.starts_with(wanted), "{service}: {said}");
        }
    }
}
