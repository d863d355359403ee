//! Plans carried out against the real engine.

use crate::common;
use bollard::models::NetworkCreateRequest;
use common::engine::{Stack, image};
use serde_json::json;
use turnout::{
    engine::{ApiVersion, ApplyError},
    plan::{Action, Intent, RunState},
    report::{Event, Outcome},
};

#[tokio::test]
async fn up_creates_starts_and_then_changes_nothing() {
    let stack = Stack::with(
        json!({
            "web": { "depends_on": { "db": { "condition": "service_started", "required": true } } },
            "db": { "volumes": [{ "type": "volume", "source": "state", "target": "/state" }] },
        }),
        json!({ "volumes": { "state": {} } }),
    )
    .await;
    let report = stack.up().await.unwrap();
    assert_eq!(report.started.iter().map(|c| c.service.as_str()).collect::<Vec<_>>(), ["db", "web"]);
    let before = stack.containers().await;
    assert_eq!(before.len(), 2);
    assert!(before.values().all(|c| c.state == RunState::Running), "{before:?}");
    let plan = stack.plan(&Intent::default()).await;
    assert!(plan.steps.is_empty(), "{}", turnout::plan::render(&plan));
}

#[tokio::test]
async fn recreation_keeps_number_name_and_anonymous_volumes() {
    let mut stack = Stack::new(json!({ "web": {} })).await;
    stack.up().await.unwrap();
    let old = stack.one("web").await;
    let volume = old.mounts.iter().find(|m| m.target == "/data").expect("the image's VOLUME").name.clone();
    stack.set(json!({ "web": { "environment": { "MODE": "new" } } }), json!({}));
    stack.up().await.unwrap();
    let new = stack.one("web").await;
    assert_ne!(old.id, new.id);
    assert_eq!((&old.name, old.number), (&new.name, new.number));
    assert_eq!(new.state, RunState::Running);
    assert!(new.mounts.iter().any(|m| m.name == volume && m.target == "/data"), "{:?}", new.mounts);
    assert_eq!(new.labels["com.docker.compose.replace"], "web-1");
    assert!(stack.plan(&Intent::default()).await.steps.is_empty());
}

/// The engine refuses `back`, whose replacement comes last.
fn two(mode: &str, back: &serde_json::Value) -> serde_json::Value {
    let mut back = back.clone();
    back["environment"] = json!({ "MODE": mode });
    back["links"] = json!(["afront"]);
    json!({ "afront": { "environment": { "MODE": mode } }, "back": back })
}

#[tokio::test]
async fn a_refused_creation_of_the_second_leaves_both_running() {
    let mut stack = Stack::new(two("old", &json!({}))).await;
    stack.up().await.unwrap();
    let before = stack.containers().await;
    // Less than the engine gives to any container.
    stack.set(two("new", &json!({ "mem_limit": "1048576" })), json!({}));
    let plan = stack.plan(&Intent::default()).await;
    let error = stack.apply(&plan).await.unwrap_err();
    assert!(error.to_string().contains("emory limit"), "{error}");
    let ApplyError::Step { report, .. } = error else { panic!("{error}") };
    let done = |index: usize| report.steps[index].outcome == Outcome::Done;
    let created = plan.steps.iter().position(|s| matches!(&s.action, Action::CreateContainer { .. })).unwrap();
    assert!(done(created), "the first one was created: {report:?}");
    let after = stack.containers().await;
    for (name, old) in &before {
        assert_eq!((&after[name].id, after[name].state), (&old.id, RunState::Running), "{name}");
    }
    assert_eq!(after.len(), 3, "what was created beside is left to whoever puts back: {after:?}");

    stack.put_back(&plan, &report).await;
    let after = stack.containers().await;
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    // As if nothing had been.
    stack.set(two("old", &json!({})), json!({}));
    assert!(stack.plan(&Intent::default()).await.steps.is_empty());
}

/// The files and hooks that the project has by then are those of what was to replace it.
#[tokio::test]
async fn what_was_to_be_replaced_starts_again_as_it_was_made() {
    let top = |internal: bool, text: &str| json!({ "networks": { "default": { "internal": internal } }, "configs": { "c": { "content": text } } });
    let file = json!([{ "source": "c", "target": "/c" }]);
    let mut stack = Stack::with(json!({ "web": { "configs": file } }), top(false, "one")).await;
    stack.up().await.unwrap();
    let before = stack.one("web").await;
    // The network is replaced before; then nothing can be copied into what is read-only.
    let hook = json!([{ "command": ["false"] }]);
    stack.set(json!({ "web": { "configs": file, "read_only": true, "post_start": hook } }), top(true, "two"));
    let plan = stack.plan(&Intent::default()).await;
    let error = stack.apply(&plan).await.unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
    let ApplyError::Step { report, .. } = error else { panic!("{error}") };
    stack.put_back(&plan, &report).await;
    let after = stack.one("web").await;
    assert_eq!((&after.id, after.state), (&before.id, RunState::Running));
}

#[tokio::test]
async fn a_network_that_two_runs_have_made_is_removed_once() {
    let stack = Stack::new(json!({ "web": {} })).await;
    stack.up().await.unwrap();
    if stack.engine.version() >= ApiVersion::v1(44) {
        return println!("not run: this engine makes no two networks of one name");
    }
    let (web, docker) = (stack.one("web").await, stack.engine.docker());
    let name = format!("{}_default", stack.project.name);
    let old = docker.inspect_network(&web.networks[&name], None).await.unwrap();
    let twin = NetworkCreateRequest { name: name.clone(), labels: old.labels, ..Default::default() };
    let twin = docker.create_network(twin).await.unwrap().id;
    docker.kill_container(&web.id, None).await.unwrap();
    stack.up().await.unwrap();
    let after = stack.one("web").await;
    assert_eq!((after.id, after.state, &after.networks), (web.id, RunState::Running, &web.networks));
    assert!(docker.inspect_network(&twin, None).await.is_err(), "the other one is there still");
    assert!(stack.plan(&Intent::default()).await.steps.is_empty());
}

#[tokio::test]
async fn names_are_handed_on_in_a_circle() {
    let named = |a: &str, b: &str| json!({ "a": { "container_name": a }, "b": { "container_name": b } });
    let mut stack = Stack::new(json!({})).await;
    let (x, y) = (format!("{}-x", stack.project.name), format!("{}-y", stack.project.name));
    stack.set(named(&x, &y), json!({}));
    stack.up().await.unwrap();
    stack.set(named(&y, &x), json!({}));
    stack.up().await.unwrap();
    assert_eq!((stack.one("a").await.name, stack.one("b").await.name), (y, x));
    assert!(stack.plan(&Intent::default()).await.steps.is_empty());
}

#[tokio::test]
async fn checklist_28_two_networks_are_attached_before_the_start() {
    let stack = Stack::with(
        json!({
            "web": {
                "networks": { "front": { "priority": 5, "aliases": ["shop"] }, "back": null },
                "command": ["sh", "-c", "ip -o -4 addr | grep -c 'eth[01]'"],
            },
        }),
        json!({ "networks": { "front": {}, "back": {} } }),
    )
    .await;
    stack.up().await.unwrap();
    let web = stack.one("web").await;
    let name = &stack.project.name;
    assert_eq!(web.networks.keys().cloned().collect::<Vec<_>>(), [format!("{name}_back"), format!("{name}_front")]);
    let inspected = stack.engine.docker().inspect_container(&web.id, None).await.unwrap();
    assert_eq!(inspected.host_config.unwrap().network_mode.unwrap(), format!("{name}_front"));
    let mut endpoints = inspected.network_settings.unwrap().networks.unwrap();
    let aliases = endpoints.remove(&format!("{name}_front")).unwrap().aliases.unwrap();
    assert!(["web", "shop", &web.name].iter().all(|a| aliases.iter().any(|b| a == b)), "{aliases:?}");
    let aliases = endpoints.remove(&format!("{name}_back")).unwrap().aliases.unwrap();
    assert!(["web", &web.name].iter().all(|a| aliases.iter().any(|b| a == b)), "{aliases:?}");
}

#[tokio::test]
async fn checklist_17_a_healthy_dependency_is_waited_for() {
    let check = json!({ "test": ["CMD", "test", "-e", "/tmp/ready"], "interval": "500ms", "retries": 60 });
    let stack = Stack::new(json!({
        "db": { "command": ["sh", "-c", "sleep 2; touch /tmp/ready; sleep 1000"], "healthcheck": check },
        "web": { "depends_on": { "db": { "condition": "service_healthy", "required": true } } },
    }))
    .await;
    stack.up().await.unwrap();
    let db = state(&stack, "db").await;
    assert_eq!(db.health.unwrap().status.unwrap().to_string(), "healthy");
    assert!(state(&stack, "web").await.started_at.unwrap() > db.started_at.unwrap());
}

async fn state(stack: &Stack, service: &str) -> bollard::models::ContainerState {
    let id = stack.one(service).await.id;
    stack.engine.docker().inspect_container(&id, None).await.unwrap().state.unwrap()
}

#[tokio::test]
async fn checklist_18_an_unhealthy_dependency_fails_and_leaves_the_dependent_created() {
    let check = json!({ "test": ["CMD", "false"], "interval": "200ms", "retries": 1 });
    let stack = Stack::new(json!({
        "db": { "command": ["sh", "-c", "echo refusing; sleep 1000"], "healthcheck": check },
        "web": { "depends_on": { "db": { "condition": "service_healthy", "required": true } } },
    }))
    .await;
    let error = stack.up().await.unwrap_err().to_string();
    let db = stack.one("db").await;
    assert!(error.contains(&format!("dependency failed to start: container {} is unhealthy", db.name)), "{error}");
    assert_eq!(db.state, RunState::Running);
    assert_eq!(stack.one("web").await.state, RunState::Created);
    let events = stack.events.0.lock().unwrap();
    assert!(events.iter().any(|e| matches!(e, Event::Output { line, .. } if line == "refusing")), "{events:?}");
}

#[tokio::test]
async fn checklist_20_jobs_run_first_and_must_succeed() {
    let mut stack = Stack::new(json!({
        "migrate": { "command": ["sh", "-c", "exit 0"] },
        "web": { "depends_on": { "migrate": { "condition": "service_completed_successfully", "required": true } } },
    }))
    .await;
    stack.up().await.unwrap();
    assert_eq!(stack.one("migrate").await.state, RunState::Exited(0));
    assert_eq!(stack.one("web").await.state, RunState::Running);
    stack.set(
        json!({
            "migrate": { "command": ["sh", "-c", "exit 3"] },
            "web": {
                "environment": { "A": "1" },
                "depends_on": { "migrate": { "condition": "service_completed_successfully", "required": true } },
            },
        }),
        json!({}),
    );
    let error = stack.up().await.unwrap_err().to_string();
    assert!(error.contains("service \"migrate\" didn't complete successfully: exit 3"), "{error}");
    assert_eq!(stack.one("web").await.state, RunState::Created);
}

#[tokio::test]
async fn checklist_21_what_is_not_required_may_fail() {
    let stack = Stack::new(json!({
        "job": { "command": ["sh", "-c", "exit 3"] },
        "web": { "depends_on": { "job": { "condition": "service_completed_successfully", "required": false } } },
    }))
    .await;
    stack.up().await.unwrap();
    assert_eq!(stack.one("web").await.state, RunState::Running);
    let events = stack.events.0.lock().unwrap();
    let warned = |e: &Event| matches!(e, Event::Warning { text } if text.contains("optional dependency \"job\" didn't complete"));
    assert!(events.iter().any(warned), "{events:?}");
}

#[tokio::test]
async fn checklist_38_an_occupied_port_fails_and_succeeds_once_it_is_free() {
    let occupied = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = occupied.local_addr().unwrap().port().to_string();
    let stack = Stack::new(
        json!({ "web": { "ports": [{ "mode": "ingress", "target": 80, "published": port, "protocol": "tcp" }] } }),
    )
    .await;
    let error = stack.up().await.unwrap_err().to_string();
    assert!(error.contains("start ") && error.contains("try again: the container is kept and only started"), "{error}");
    let created = stack.one("web").await;
    assert_ne!(created.state, RunState::Running);
    drop(occupied);
    stack.up().await.unwrap();
    let web = stack.one("web").await;
    assert_eq!((web.id, web.state), (created.id, RunState::Running));
}

#[tokio::test]
async fn checklist_40_secrets_from_variables_are_there_before_the_process() {
    let mut stack = Stack::with(
        json!({
            "web": {
                "command": ["sh", "-c", "cat /run/secrets/token /etc/app.conf; stat -c ' %a %u' /run/secrets/token"],
                "secrets": [{ "source": "token" }],
                "configs": [{ "source": "app", "target": "/etc/app.conf", "uid": "7", "mode": "0400" }],
            },
        }),
        json!({
            "secrets": { "token": { "environment": "B2_TOKEN" } },
            "configs": { "app": { "content": "mode=1" } },
        }),
    )
    .await;
    stack.project.environment.insert("B2_TOKEN".into(), "s3cret-".into());
    stack.up().await.unwrap();
    assert_eq!(stack.output("web").await, "s3cret-mode=1 444 0\n");
}

#[tokio::test]
async fn hooks_run_and_their_failure_fails() {
    let hook = |command: &str| json!([{ "command": ["sh", "-c", command] }]);
    let stack = Stack::new(json!({ "web": { "post_start": hook("echo hello; exit 4") } })).await;
    let error = stack.up().await.unwrap_err().to_string();
    assert!(error.contains("web hook exited with status 4 (post_start): hello"), "{error}");
    assert_eq!(stack.one("web").await.state, RunState::Running);
}

#[tokio::test]
async fn checklist_16_shared_namespaces_follow_their_owner() {
    let services = |mode: &str| {
        json!({
            "owner": { "environment": { "MODE": mode } },
            "guest": { "network_mode": "service:owner", "depends_on": { "owner": { "condition": "service_started", "restart": true, "required": true } } },
        })
    };
    let mut stack = Stack::new(services("a")).await;
    stack.up().await.unwrap();
    let guest = stack.one("guest").await.id;
    stack.set(services("b"), json!({}));
    stack.up().await.unwrap();
    assert_ne!(stack.one("guest").await.id, guest);
    let inspected = stack.engine.docker().inspect_container(&stack.one("guest").await.id, None).await.unwrap();
    assert_eq!(
        inspected.host_config.unwrap().network_mode.unwrap(),
        format!("container:{}", stack.one("owner").await.id)
    );
    assert!(stack.plan(&Intent::default()).await.steps.is_empty());
}

#[tokio::test]
async fn checklist_25_a_changed_network_is_recreated_and_names_still_resolve() {
    let services = json!({ "db": {}, "web": {} });
    let mut stack = Stack::new(services.clone()).await;
    stack.up().await.unwrap();
    let (db, web) = (stack.one("db").await, stack.one("web").await);
    stack.set(services, json!({ "networks": { "default": { "labels": { "changed": "1" } } } }));
    stack.up().await.unwrap();
    let after = stack.one("web").await;
    assert_eq!((after.id, stack.one("db").await.id), (web.id.clone(), db.id));
    assert_ne!(after.networks, web.networks);
    let exec = bollard::exec::CreateExecOptions {
        cmd: Some(vec!["nslookup".to_owned(), "db".to_owned()]),
        ..Default::default()
    };
    let exec = stack.engine.docker().create_exec(&web.id, exec).await.unwrap().id;
    let detached = bollard::exec::StartExecOptions { detach: true, ..Default::default() };
    stack.engine.docker().start_exec(&exec, Some(detached)).await.unwrap();
    let code = loop {
        let state = stack.engine.docker().inspect_exec(&exec).await.unwrap();
        if state.running != Some(true) {
            break state.exit_code;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(code, Some(0), "nslookup db");
    assert!(stack.plan(&Intent::default()).await.steps.is_empty());
}

#[tokio::test]
async fn a_foreign_container_of_the_same_name_is_named() {
    let stack = Stack::new(json!({ "web": {} })).await;
    let name = format!("{}-web-1", stack.project.name);
    let body = bollard::models::ContainerCreateBody { image: Some(image()), ..Default::default() };
    let options = bollard::query_parameters::CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
    let foreign = stack.engine.docker().create_container(Some(options), body).await.unwrap().id;
    let error = stack.up().await.unwrap_err().to_string();
    let force = bollard::query_parameters::RemoveContainerOptions { force: true, v: true, link: false };
    stack.engine.docker().remove_container(&foreign, Some(force)).await.unwrap();
    assert!(
        error.contains(&format!("the container name {name} is in use by a container that Compose did not make")),
        "{error}"
    );
    stack.up().await.unwrap();
}

#[tokio::test]
async fn a_mac_address_reaches_an_older_daemon() {
    let stack = Stack::new(json!({ "web": { "mac_address": "02:42:ac:11:65:43" } })).await;
    stack.up().await.unwrap();
    let inspected = stack.engine.docker().inspect_container(&stack.one("web").await.id, None).await.unwrap();
    let endpoints = inspected.network_settings.unwrap().networks.unwrap();
    let addresses: Vec<_> = endpoints.into_values().filter_map(|e| e.mac_address).collect();
    assert_eq!(addresses, ["02:42:ac:11:65:43"]);
}

#[tokio::test]
async fn pre_stop_hooks_run_before_a_removal() {
    let mut stack = Stack::with(
        json!({
            "keep": {},
            "web": {
                "volumes": [{ "type": "volume", "source": "state", "target": "/state" }],
                "pre_stop": [{ "command": ["sh", "-c", "echo farewell"] }],
                "scale": 2,
            },
        }),
        json!({ "volumes": { "state": {} } }),
    )
    .await;
    stack.up().await.unwrap();
    if let Some(web) = stack.project.services.get_mut("web") {
        web.set_scale(1);
    }
    stack.up().await.unwrap();
    assert_eq!(stack.one("web").await.number, Some(1));
    let events = stack.events.0.lock().unwrap();
    let said = |e: &&Event| matches!(e, Event::Output { source, line } if line == "farewell" && source.contains("-web-2 pre_stop"));
    assert_eq!(events.iter().filter(said).count(), 1, "{events:?}");
}

#[tokio::test]
async fn a_container_left_without_its_second_network_comes_up_with_both() {
    let stack = Stack::with(
        json!({ "web": { "networks": { "front": null, "back": null } } }),
        json!({ "networks": { "front": {}, "back": {} } }),
    )
    .await;
    let plan = stack.plan(&Intent { no_start: true, ..Intent::default() }).await;
    stack.apply(&plan).await.unwrap();
    // What an interruption between creation and connection leaves on daemons before API 1.44.
    let (id, network) = (stack.one("web").await.id, format!("{}_front", stack.project.name));
    let leave = bollard::models::NetworkDisconnectRequest { container: id, force: Some(true) };
    stack.engine.docker().disconnect_network(&network, leave).await.unwrap();
    stack.up().await.unwrap();
    let web = stack.one("web").await;
    assert_eq!((web.state, web.networks.len(), web.networks.contains_key(&network)), (RunState::Running, 2, true));
    assert!(stack.plan(&Intent::default()).await.steps.is_empty());
}
