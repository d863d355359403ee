//! The planner's tests carry plans out on a pretended engine. Here the same steps are carried out on both, one at a time,
//! and both are looked at after each.

use std::collections::BTreeMap;

use crate::common::engine::Stack;
use serde_json::{Value, json};
use turnout::plan::*;

#[path = "../../crates/plan/src/simulate.rs"]
mod simulate;

/// Service, number, state, and the names of its networks.
type Container = (String, Option<u32>, &'static str, Vec<String>);

/// What can be compared: IDs are the engines' own, and how a container ended depends on the moment.
#[derive(Debug, PartialEq)]
struct Seen {
    /// By name.
    containers: BTreeMap<String, Container>,
    networks: Vec<String>,
    volumes: Vec<String>,
}

fn seen(observed: &Observed) -> Seen {
    let state = |state: RunState| match state {
        RunState::Created => "created",
        RunState::Running => "runs",
        RunState::Exited(_) => "ended",
        _ => "something else",
    };
    let container = |c: &ObservedContainer| {
        let networks = c.networks.keys().cloned().collect();
        (c.name.clone(), (c.service.clone(), c.number, state(c.state), networks))
    };
    let named = observed.networks.values().chain(observed.former_networks.iter().map(|(_, network)| network));
    let mut networks: Vec<String> = named.map(|network| network.name.clone()).collect();
    networks.sort();
    networks.dedup();
    Seen {
        containers: observed.containers.iter().map(container).collect(),
        networks,
        volumes: observed.volumes.values().map(|volume| volume.name.clone()).collect(),
    }
}

/// Plans `wanted` on a stack that was brought up as `before`, and compares both engines after each step.
async fn agree(before: (Value, Value), wanted: (Value, Value), intent: Intent) -> Vec<String> {
    let mut stack = Stack::with(before.0, before.1).await;
    stack.up().await.unwrap();
    stack.set(wanted.0, wanted.1);
    let plan = stack.plan(&intent).await;
    let mut world = simulate::World::default();
    world.observed = stack.engine.observe(&stack.project).await.unwrap();
    let mut done = Vec::new();
    for step in plan.steps {
        // Everything that it waits for is done, and was.
        let alone = Step::new(step.action, step.cause, Vec::new(), Condition::Always);
        done.push(action(&alone.action));
        let plan = Plan { project: plan.project.clone(), steps: vec![alone], ..Plan::default() };
        world.apply(&stack.project, &plan);
        stack.apply(&plan).await.unwrap_or_else(|error| panic!("{error}, after {done:#?}"));
        let real = stack.engine.observe(&stack.project).await.unwrap();
        assert_eq!(seen(&world.observed), seen(&real), "pretended and real, after {done:#?}");
    }
    assert!(stack.plan(&Intent::default()).await.steps.is_empty(), "{done:#?}");
    done
}

#[tokio::test]
async fn the_pretended_engine_and_the_real_one_do_the_same() {
    let services = |mode: &str| {
        json!({
            "db": { "environment": { "MODE": mode } },
            "web": { "depends_on": { "db": { "condition": "service_started", "restart": true, "required": true } } },
            "guest": {
                "network_mode": "service:db",
                "depends_on": { "db": { "condition": "service_started", "restart": true, "required": true } },
            },
            "many": { "scale": if mode == "old" { 3 } else { 1 }, "environment": { "MODE": mode } },
        })
    };
    let mut new = services("new");
    new.as_object_mut().unwrap().insert("more".to_owned(), json!({}));
    let done = agree((services("old"), json!({})), (new, json!({})), Intent::default()).await;
    for word in ["create the replacement of", "stop", "remove", "rename", "start", "create container"] {
        assert!(done.iter().any(|act| act.starts_with(word)), "{word}: {done:#?}");
    }
}

#[tokio::test]
async fn they_do_so_with_a_network_and_a_volume_made_anew() {
    let services = json!({
        "db": { "volumes": [{ "type": "volume", "source": "state", "target": "/state" }] },
        "web": {},
    });
    let top = |more: Value| {
        let label = json!({ "labels": { "more": "one" } });
        let it = if more.is_null() { json!({}) } else { label };
        json!({ "networks": { "default": it }, "volumes": { "state": it } })
    };
    let before = (services.clone(), top(Value::Null));
    let consent = Intent { yes_recreate_volumes: true, ..Intent::default() };
    let done = agree(before, (services, top(json!(1))), consent).await;
    for word in ["try out", "disconnect", "remove network", "create network", "connect", "remove volume"] {
        assert!(done.iter().any(|act| act.starts_with(word)), "{word}: {done:#?}");
    }
}
