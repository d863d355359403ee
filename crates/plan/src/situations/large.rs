//! Large projects, of the shapes that ask most of who plans them.

use std::time::{Duration, Instant};

use super::*;

/// A third of what may be deployed: the pretended engine of these tests is slower than what is tested.
const SERVICES: usize = 300;
const DEPENDENCIES: usize = 3_000;
/// Far more than it takes, far less than a planner needs that goes through all edges for each step (minutes to hours).
const SOON: Duration = Duration::from_secs(60);

fn name(number: usize) -> String {
    format!("s{number:04}")
}

fn large(service: impl Fn(usize) -> Value) -> Value {
    Value::Object((0..SERVICES).map(|number| (name(number), service(number))).collect())
}

/// Each built, and dependent on the `count` before it.
fn on_the_last(count: usize, restart: bool) -> Value {
    large(|number| {
        let edges = (number.saturating_sub(count)..number).map(|other| (name(other), json!({"restart": restart})));
        json!({"build": {"context": "/src"}, "depends_on": Value::Object(edges.collect())})
    })
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test measures how the time grows")]
fn the_largest_projects_are_planned_soon() {
    let mut slow = Vec::new();
    for (shape, value) in [
        ("side by side", large(|_| json!({"build": {"context": "/src"}}))),
        ("a chain", on_the_last(1, false)),
        ("as many edges as may be", on_the_last(DEPENDENCIES / SERVICES, false)),
        ("all restarted with each other", on_the_last(DEPENDENCIES / SERVICES, true)),
        (
            "each in the namespaces of the one before",
            large(|number| match number {
                0 => json!({"image": "x"}),
                _ => json!({"image": "x", "network_mode": format!("service:{}", name(number - 1))}),
            }),
        ),
    ] {
        let stage = Stage::of(value);
        let began = Instant::now();
        let first = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        check(&first).unwrap();
        let text = render(&first);
        assert!(text.starts_with("shop: "), "{text}");
        let made = began.elapsed();

        // All of them there, and all of them changed.
        let mut stage = stage;
        stage.world.apply(&stage.project, &first);
        stage.project.services.values_mut().for_each(|service| set(service, "A", "other"));
        let began = Instant::now();
        let second = converge(&stage.project, &stage.world.observed, &stage.intent).unwrap();
        check(&second).unwrap();
        let changed = began.elapsed();
        println!("{shape}: {} steps in {made:?}, {} steps in {changed:?}", first.steps.len(), second.steps.len());
        if made.max(changed) > SOON {
            slow.push((shape, made, changed));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}
