//! What must hold for any stack: drawn from a palette of services, many of them.

use serde_json::{Value, json};
use turnout_compose::{hash::service_hash, model::Project};
use turnout_plan::Intent;
use turnout_switch::{
    Class, Derived, Facts, ImageFacts, Said, derive,
    dress::{Coloured, Dress, StayingDress, coloured, staying},
    refusal::Line,
    said::Order,
    stage::{Note, stages},
};

use crate::{pretend::Pretend, support::try_project};

/// What a service may be; `OTHER` is the next one's name.
const PALETTE: &[&str] = &[
    "build: .",
    "build: ., ports: ['PORT:8000']",
    "build: ., expose: ['8000']",
    "build: ., ports: ['PORT:8000'], volumes: ['./data:/data']",
    "build: ., ports: ['PORT:8000'], volumes: ['common:/data']",
    "build: ., volumes: ['common:/data']",
    "build: ., environment: {OTHER_URL: 'http://OTHER:8000'}",
    "build: ., ports: ['PORT:8000'], environment: {OTHER_URL: 'http://OTHER:8000'}",
    "build: ., network_mode: 'service:OTHER'",
    "build: ., volumes_from: [OTHER]",
    "build: ., command: celery beat, deploy: {update_config: {order: start-first}}",
    "build: ., ports: ['PORT:8000'], depends_on: {OTHER: {condition: service_completed_successfully}}",
    "image: postgres, volumes: ['own:/data']",
    "image: redis, depends_on: [OTHER]",
    "image: redis, depends_on: {OTHER: {condition: service_completed_successfully}}",
    "image: nginx, ports: ['PORT:80'], depends_on: [OTHER]",
    "image: caddy, ports: ['PORT:80'], volumes: ['common:/data'], depends_on: [OTHER]",
    "image: caddy, ports: ['PORT:80'], volumes: [/data], environment: {UPSTREAM: 'OTHER:8000'}",
    "image: other, depends_on: [OTHER]",
    "image: other, ports: ['PORT:8000'], volumes: [/data]",
    "image: declares, ports: ['PORT:8000']",
    "build: ., devices: [/dev/kvm]",
    "build: ., labels: {traefik.http.routers.a.rule: x}",
    "build: ., ports: ['PORT:8000'], depends_on: [OTHER], deploy: {update_config: {order: stop-first}}",
    "build: ., depends_on: {OTHER: {condition: service_completed_successfully}}, links: [OTHER]",
    "build: ., expose: ['8000'], depends_on: {OTHER: {condition: service_started, restart: true}}",
];

/// Draws numbers; the same ones every time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

fn facts() -> Facts {
    let declares = ImageFacts { volumes: ["/data".to_owned()].into(), ..ImageFacts::default() };
    Facts { images: [("declares".to_owned(), declares)].into(), ..Facts::default() }
}

fn stack(draw: &mut Draw) -> String {
    let names = ["a", "b", "c", "d"];
    let count = 2 + draw.below(3);
    let mut text = "services:\n".to_owned();
    for at in 0..count {
        // The last one has nobody after it: no circles.
        let mut what = PALETTE[draw.below(PALETTE.len())];
        while at + 1 == count && what.contains("OTHER") {
            what = PALETTE[draw.below(PALETTE.len())];
        }
        let other = names[(at + 1 + draw.below(count.max(at + 2) - at - 1)).min(count - 1)];
        let what = what.replace("OTHER_URL", "API_URL").replace("OTHER", other).replace("PORT", &(80 + at).to_string());
        text.push_str(&format!("  {}: {{{what}}}\n", names[at]));
    }
    text + "volumes: {common: {}, own: {}}\n"
}

#[test]
fn any_stack() {
    let mut draw = Draw(7);
    let (mut stacks, mut refused, mut in_two) = (0, 0, 0);
    for _ in 0..1_500 {
        let text = stack(&mut draw);
        // Shared namespaces and published ports exclude each other for the loader, and the like.
        let Ok(project) = try_project(&text) else { continue };
        stacks += 1;
        let first = derive(&project, &facts(), &Said::default());
        check(&text, &project, &first, true);
        refused += usize::from(!first.refusals.is_empty());
        let last = lifted(&text, &project, first);
        check(&text, &project, &last, false);
        in_two += usize::from(dressed(&text, &project, &last));
    }
    let drawn = format!("{stacks} stacks, {refused} refused, {in_two} in two stages");
    assert!(stacks > 500 && refused > 100 && in_two > 100, "{drawn}");
}

/// `derived`: nothing was said.
fn check(text: &str, project: &Project, it: &Derived, derived: bool) {
    for (name, fate) in &it.services {
        let service = &project.services[name];
        let engine = service.image == "postgres";
        let refused = !it.refusals.is_empty();
        assert!(!engine || !fate.class.is_coloured() || refused, "{name} is doubled\n{text}");
        let beat = fate.scheduler && derived;
        assert!(!beat || fate.order.is_none_or(|(order, _)| order == Order::StopFirst), "two of {name}\n{text}");
        let own = service.volumes.iter().any(|mount| mount.source == "/srv/shop/data");
        let alone = project.services.values().filter(|it| it.volumes.iter().any(|it| it.source == "/srv/shop/data"));
        let alone = own && alone.count() == 1 && !text.contains("volumes_from");
        assert!(!derived || !alone || !fate.class.is_coloured(), "{name} writes alone\n{text}");
        let mixed = fate.joined.iter().find(|other| it.services[*other].class != fate.class);
        assert_eq!(mixed, None, "{name}\n{text}");
        assert_eq!(fate.order.is_some(), fate.class.moves());
        let held = fate.class == Class::Held && fate.order.is_some_and(|(order, _)| order == Order::StartFirst);
        assert!(!held, "{name}\n{text}");
    }
    for route in &it.routes {
        assert!(it.services[&route.service].class.moves() || !it.refusals.is_empty(), "{route:?}\n{text}");
    }
}

/// Writes every line, until nothing is refused.
fn lifted(text: &str, project: &Project, mut now: Derived) -> Derived {
    let mut switch = json!({});
    for _ in 0..12 {
        let Some(refusal) = now.refusals.iter().find(|it| matches!(it.line, Line::Repos(_))).cloned() else {
            return now;
        };
        merge(&mut switch, refusal.line.value());
        let said = Said::read(Some(&switch), project).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        now = derive(project, &facts(), &said);
        let still = now.refusals.iter().any(|it| it.cause == refusal.cause);
        assert!(!still, "{} is not lifted by {}\n{text}", refusal.cause, refusal.line);
    }
    panic!("{:?} after {switch}\n{text}", now.refusals);
}

fn merge(into: &mut Value, line: &Value) {
    match (into, line) {
        (Value::Object(into), Value::Object(line)) => {
            for (key, value) in line {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, line) => *into = line.clone(),
    }
}

/// Each service is in one of both projects, and neither names what is in the other. Whether a colour of it starts in two
/// stages.
fn dressed(text: &str, project: &Project, derived: &Derived) -> bool {
    if !derived.refusals.is_empty() {
        return false;
    }
    let loopback = derived.routes.iter().map(|route| ((route.service.clone(), route.port), 20_000)).collect();
    let dress = Dress { name: "blueshop".into(), staying: "stays".into(), loopback, ..Dress::default() };
    let gateways = project.networks.keys().map(|key| (key.clone(), [172, 20, 0, 1].into())).collect();
    let stays = StayingDress { name: "stays".into(), gateways, ..StayingDress::default() };
    let (moving, staying) = (coloured(project, derived, &dress).unwrap(), staying(project, derived, &stays).unwrap());
    assert_eq!(moving.project.services.len() + staying.services.len(), project.services.len(), "{text}");
    for half in [&moving.project, &staying] {
        for (name, service) in &half.services {
            let modes = [&service.network_mode, &service.ipc, &service.pid];
            let modes = modes.into_iter().filter_map(|mode| mode.strip_prefix("service:"));
            let from = service.volumes_from.iter().filter_map(|entry| entry.split(':').next());
            let all = service.depends_on.keys().map(String::as_str).chain(modes).chain(from);
            let gone: Vec<&str> = all.filter(|other| !half.services.contains_key(*other)).collect();
            assert!(gone.is_empty(), "{name} of {} needs {gone:?}\n{text}", half.name);
        }
    }
    assert!(moving.project.volumes.values().flatten().all(|volume| volume.external));
    let ports = moving.project.services.values().flat_map(|service| &service.ports);
    assert!(ports.into_iter().all(|port| port.host_ip == "127.0.0.1"));
    in_stages(text, derived, &moving)
}

/// What stops first starts in the second stage; each container is made and started once, jobs run once, and neither stage
/// takes the other's containers for orphans.
fn in_stages(text: &str, derived: &Derived, whole: &Coloured) -> bool {
    let divided = stages(whole, derived);
    let both = || divided.first.iter().chain(&divided.second);
    for half in both() {
        assert_eq!(half.services.len() + half.set_aside.len(), whole.project.services.len(), "{text}");
        for (name, service) in &half.services {
            assert_eq!(service_hash(service), service_hash(&whole.project.services[name]), "{name}\n{text}");
        }
    }
    let early = |name: &str| divided.first.as_ref().is_some_and(|first| first.services.contains_key(name));
    let job = |name: &str| derived.services[name].class == Class::Job;
    for name in whole.project.services.keys() {
        let fate = &derived.services[name];
        let stops_first = fate.order.is_some_and(|(order, _)| order == Order::StopFirst);
        assert!(!(stops_first && early(name)), "{name} overlaps\n{text}");
        assert!(fate.joined.iter().all(|other| early(other) == early(name)), "{name} is torn from its unit\n{text}");
        // Nothing is later without a reason.
        let follows = |note: &Note| matches!(note, Note::Follows { service, .. } if service == name);
        assert_eq!(!early(name), stops_first || divided.notes.iter().any(follows), "{name}\n{text}");
        let again = divided.second.as_ref().is_some_and(|second| second.services.contains_key(name));
        assert!(!(early(name) && job(name) && again), "{name} runs twice\n{text}");
    }

    let mut engine = Pretend::of(&whole.project);
    let intent =
        Intent { remove_orphans: true, remove_idle_networks: true, start_unchecked: true, ..Intent::default() };
    let mut done: Vec<String> = Vec::new();
    for half in both() {
        let (what, before) = (engine.up(half, &intent), done.len());
        // All at once, and nothing of the first stage a second time.
        for name in half.services.keys().filter(|name| before == 0 || !early(name)) {
            let started = what.iter().filter(|what| **what == format!("start {name}")).count();
            let wanted = usize::try_from(half.services[name].scale()).unwrap();
            assert_eq!(started, wanted, "{name}: {what:?}\n{text}");
        }
        let touched = what.iter().filter_map(|what| what.split(' ').nth(1)).any(early);
        assert!(before == 0 || !touched, "{what:?}\n{text}");
        done.extend(what);
    }
    for half in both() {
        assert_eq!(engine.up(half, &intent), [""; 0], "a second time\n{text}");
    }
    divided.first.is_some() && divided.second.is_some()
}
