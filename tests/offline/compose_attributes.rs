//! Every attribute of a service reaches the request that creates its container, or is refused by name, or is carried out
//! elsewhere, which is said here. The attributes are read from the model itself: a new one fails until it is dealt with.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use turnout::{
    compose::model::Project,
    engine::{ApiVersion, EngineError, translate},
    plan::attributes,
};

/// An attribute with a value that means something.
fn samples() -> BTreeMap<&'static str, Value> {
    let Value::Object(all) = json!({
        "annotations": { "a": "b" },
        "blkio_config": { "weight": 300 },
        "cap_add": ["SYS_TIME"],
        "cap_drop": ["CHOWN"],
        "cgroup_parent": "/x",
        "cgroup": "private",
        "cpu_count": 2,
        "cpu_percent": 50.0,
        "cpu_period": 1000,
        "cpu_quota": 500,
        "cpu_rt_period": 900,
        "cpu_rt_runtime": 800,
        "cpus": 1.5,
        "cpuset": "0",
        "cpu_shares": 7,
        "command": ["x"],
        "configs": [{ "source": "file", "target": "/c" }],
        "credential_spec": { "file": "x" },
        "depends_on": { "other": { "condition": "service_started", "required": true } },
        "deploy": { "resources": { "limits": { "pids": 9 } } },
        "device_cgroup_rules": ["c 1:1 r"],
        "devices": [{ "source": "/dev/null", "target": "/dev/x", "permissions": "r" }],
        "dns": ["1.1.1.1"],
        "dns_opt": ["x"],
        "dns_search": ["x"],
        "dockerfile": "x",
        "domainname": "x",
        "entrypoint": ["x"],
        "provider": { "type": "x" },
        "environment": { "A": "b" },
        "expose": ["80"],
        "extends": { "service": "x" },
        "extra_hosts": ["h=1.1.1.1"],
        "group_add": ["1"],
        "gpus": [{ "count": -1 }],
        "hostname": "x",
        "healthcheck": { "test": ["CMD", "x"] },
        "image": "x",
        "init": true,
        "ipc": "host",
        "isolation": "default",
        "labels": { "a": "b" },
        "logging": { "driver": "syslog" },
        "log_driver": "x",
        "log_opt": { "a": "b" },
        "mem_limit": "8388608",
        "mem_reservation": "8388608",
        "memswap_limit": "8388608",
        "mem_swappiness": "5",
        "mac_address": "02:42:ac:11:65:43",
        "models": { "m": null },
        "net": "x",
        "network_mode": "host",
        "networks": { "default": { "aliases": ["x"] } },
        "oom_kill_disable": true,
        "oom_score_adj": 5,
        "pid": "host",
        "pids_limit": 5,
        "platform": "linux/arm64",
        "ports": [{ "mode": "ingress", "target": 80, "protocol": "tcp" }],
        "privileged": true,
        "read_only": true,
        "restart": "always",
        "runtime": "x",
        "secrets": [{ "source": "file", "target": "/run/secrets/file" }],
        "security_opt": ["no-new-privileges"],
        "shm_size": "8388608",
        "stdin_open": true,
        "stop_grace_period": "5s",
        "stop_signal": "SIGINT",
        "storage_opt": { "size": "1G" },
        "sysctls": { "a": "1" },
        "tmpfs": ["/t"],
        "tty": true,
        "ulimits": { "nofile": 5 },
        "use_api_socket": true,
        "user": "1",
        "userns_mode": "host",
        "uts": "host",
        "volume_driver": "x",
        "volumes": [{ "type": "bind", "source": "/a", "target": "/a", "bind": { "create_host_path": true } }],
        "working_dir": "/x",
    }) else {
        unreachable!()
    };
    all.into_iter().map(|(name, value)| (&*name.leak(), value)).collect()
}

/// Attributes that are no part of the request, and who carries them out.
const ELSEWHERE: &[(&str, &str)] = &[
    ("attach", "whose logs an attached `up` shows: crates/composer/src/attach"),
    ("build", "the image's making: docker/image"),
    ("container_name", "the name that the planner gives: plan/converge/select"),
    ("develop", "watched, by a command of its own: crates/composer/src/watch"),
    ("env_file", "read into the environment by the loader"),
    ("external_links", "resolved to containers before: docker/apply/references"),
    ("label_file", "read into the labels by the loader"),
    ("links", "resolved to containers before: docker/apply/references"),
    ("pre_start", "run before the start, in containers of their own: docker/apply/pre_start"),
    ("post_start", "run after the start: docker/apply/hooks"),
    ("pre_stop", "run before the stop: docker/apply/hooks"),
    ("profiles", "select services: the loader"),
    ("pull_policy", "decides about images: plan/converge/images"),
    ("scale", "the number of containers: plan/converge/select"),
    ("volumes_from", "resolved to containers before: docker/apply/references"),
];

/// Names of the fields of the model's `Service`, from its text.
fn fields() -> Vec<String> {
    let text = include_str!("../../crates/compose/src/model/service.rs");
    let (_, body) = text.split_once("pub struct Service {").unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let lines = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
    lines.map(|(name, _)| name.trim_start_matches("r#").to_owned()).collect()
}

fn project(attribute: Option<(&str, &Value)>) -> Project {
    let mut service = json!({ "image": "i" });
    if let Some((name, value)) = attribute {
        service[name] = value.clone();
    }
    let mut project: Project = serde_json::from_value(json!({
        "name": "shop",
        "services": { "web": service },
        "networks": { "default": { "name": "shop_default" } },
        "secrets": { "file": { "file": "/s" } },
        "configs": { "file": { "file": "/c" } },
    }))
    .unwrap();
    project.working_dir = "/p".into();
    project
}

/// The whole request, in words.
fn request(project: &Project) -> Result<String, EngineError> {
    let service = &project.services["web"];
    let spec = translate::container(&translate::Target {
        project,
        name: "web",
        service,
        number: 1,
        container_name: "shop-web-1",
        replaces: None,
        image_id: "sha256:1",
        config_hash: "h",
        own_labels: &[],
        links: &[],
        volumes_from: &[],
        inherited: &[],
        profiles: &BTreeMap::new(),
        proxy_variables: &HashMap::new(),
        version: ApiVersion::v1(51),
    })?;
    let body = serde_json::to_value(&spec.body).unwrap();
    Ok(format!("{body} {:?} {:?} {:?} {:?}", spec.mac_address, spec.platform, spec.connect, spec.warnings))
}

#[test]
fn every_attribute_reaches_the_engine_or_is_refused_by_name() {
    let samples = samples();
    let plain = request(&project(None)).unwrap();
    let mut lost = Vec::new();
    for field in fields() {
        let elsewhere = ELSEWHERE.iter().any(|(name, _)| *name == field);
        let Some(value) = samples.get(field.as_str()) else {
            assert!(elsewhere, "services.web.{field}: a new attribute without a sample value here");
            continue;
        };
        assert!(!elsewhere, "{field} is in both lists");
        match request(&project(Some((field.as_str(), value)))) {
            Ok(request) if request == plain => lost.push(field),
            Ok(_) => {}
            Err(error) => assert!(error.to_string().contains(&field), "{field}: {error}"),
        }
    }
    assert!(lost.is_empty(), "dropped in silence: {lost:?}");
    assert_eq!(samples.len() + ELSEWHERE.len(), fields().len(), "a sample of an attribute that is no more");
}

/// And its change is told by name: nothing that shapes a container is left out of the digests.
#[test]
fn every_attribute_that_shapes_a_container_is_named_when_it_changes() {
    // Neither shapes a container; the hash leaves them out too.
    const UNTOLD: &[&str] = &["depends_on"];
    let print = |project: &Project| attributes::fingerprint("shop", "web", &project.services["web"]);
    let plain = print(&project(None));
    for (field, value) in samples() {
        let told = attributes::difference(&plain, &print(&project(Some((field, &value)))));
        assert_eq!(told.iter().any(|words| words.starts_with(field)), !UNTOLD.contains(&field), "{field}: {told:?}");
    }
}
