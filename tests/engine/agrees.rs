//! The planner's tests carry plans out on a pretended engine. Here the same plan is carried out on both, one step after
//! another, and both are looked at after each.

use std::{collections::BTreeMap, sync::Mutex};

use crate::common::{
    docker::block_on,
    engine::{Stack, connect},
};
use serde_json::{Value, json};
use turnout::{
    compose::model::Project,
    plan::*,
    report::{Event, Reporter},
};

#[path = "../../crates/plan/src/simulate.rs"]
#[expect(dead_code, reason = "the planner's own tests use the rest")]
mod simulate;

/// Service, number, state, and the names of its networks.
type Container = (String, Option<u32>, &'static str, Vec<String>);

/// What can be compared: IDs are the engines' own, and how a container ended depends on the moment.
#[derive(Debug, PartialEq)]
struct Seen {
    /// By the name of the container.
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

/// Looks at the real engine whenever a step has ended.
struct Watching<'a> {
    project: &'a Project,
    seen: Mutex<Vec<Seen>>,
}

impl Reporter for Watching<'_> {
    fn report(&self, event: Event) {
        if matches!(event, Event::StepEnded { .. }) {
            let observed = block_on(async { connect().await.observe(self.project).await.unwrap() });
            self.seen.lock().unwrap().push(seen(&observed));
        }
    }
}

/// Plans `wanted` on a stack that was brought up as `before`, and compares both engines after each step. Answers what the
/// steps did.
async fn agree(before: (Value, Value), wanted: (Value, Value), intent: Intent) -> Vec<String> {
    let mut stack = Stack::with(before.0, before.1).await;
    stack.up().await.unwrap();
    stack.set(wanted.0, wanted.1);
    let mut plan = stack.plan(&intent).await;
    // One after another, so that there is a moment after each.
    for (id, step) in plan.steps.iter_mut().enumerate().skip(1) {
        step.after.push(id - 1);
    }
    let mut world = simulate::World::default();
    world.observed = stack.engine.observe(&stack.project).await.unwrap();

    let watching = Watching { project: &stack.project, seen: Mutex::default() };
    stack.apply_told(&plan, &watching).await.unwrap();
    let real = watching.seen.into_inner().unwrap();
    let acts: Vec<String> = plan.steps.iter().map(|step| action(&step.action)).collect();
    assert_eq!(real.len(), acts.len());
    for (done, real) in real.iter().enumerate() {
        let mut pretended = world.clone();
        pretended.apply_first(&stack.project, &plan, done + 1);
        assert_eq!(seen(&pretended.observed), *real, "pretended and real, after {:#?}", &acts[..=done]);
    }
    assert!(stack.plan(&Intent::default()).await.steps.is_empty(), "{acts:#?}");
    acts
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
