//! Named situations and the plans they lead to, as a reader sees them. Every plan is also checked, carried out by a
//! pretended engine, and followed by a second plan that must be empty.

mod acts;
mod dependencies;
mod down;
mod images;
mod large;
mod mounted;
mod names;
mod overlap;
mod pre_start;
mod remains;
mod replace;
mod resources;
mod starts;

use serde_json::{Value, json};

use super::simulate::{World, labels_of};
use super::*;
use turnout_compose::{
    labels,
    model::{Network, Project, Service, Volume},
};

/// A project, the world it is deployed to, and what is wanted.
#[derive(Clone)]
struct Stage {
    project: Project,
    world: World,
    intent: Intent,
}

/// Services as JSON, with the defaults that loading fills in.
fn services(value: Value) -> std::collections::BTreeMap<String, Service> {
    let Value::Object(map) = value else { panic!("not a map") };
    map.into_iter()
        .map(|(name, mut value)| {
            let fields = value.as_object_mut().unwrap();
            if let Some(Value::Object(edges)) = fields.get_mut("depends_on") {
                for edge in edges.values_mut() {
                    let edge = edge.as_object_mut().unwrap();
                    edge.entry("condition").or_insert(json!("service_started"));
                    edge.entry("required").or_insert(json!(true));
                }
            }
            if !fields.contains_key("network_mode") {
                fields.entry("networks").or_insert(json!({"default": null}));
            }
            (name, serde_json::from_value(value).unwrap())
        })
        .collect()
}

/// A project called `shop`, with the networks and volumes that its services name.
fn project(value: Value) -> Project {
    let mut project = Project { name: "shop".to_owned(), services: services(value), ..Project::default() };
    for service in project.services.values() {
        for key in service.networks.keys() {
            let network = Network { name: format!("shop_{key}"), ..Network::default() };
            project.networks.entry(key.clone()).or_insert(Some(network));
        }
        for mount in service.volumes.iter().filter(|m| m.r#type == "volume" && !m.source.is_empty()) {
            let volume = Volume { name: format!("shop_{}", mount.source), ..Volume::default() };
            project.volumes.entry(mount.source.clone()).or_insert(Some(volume));
        }
    }
    project
}

impl Stage {
    fn of(value: Value) -> Stage {
        Stage { project: project(value), world: World::default(), intent: Intent::default() }
    }

    /// Deploys it, so that what follows is a change.
    fn up(mut self) -> Stage {
        let plan = converge(&self.project, &self.world.observed, &Intent::default()).unwrap();
        check(&plan).unwrap();
        self.world.apply(&self.project, &plan);
        self
    }

    /// Changes the project.
    fn edit<R>(mut self, edit: impl FnOnce(&mut Project) -> R) -> Stage {
        let _ = edit(&mut self.project);
        self
    }

    /// Changes one service of the project.
    fn service(self, name: &str, edit: impl FnOnce(&mut Service)) -> Stage {
        let name = name.to_owned();
        self.edit(move |project| edit(project.services.get_mut(&name).unwrap()))
    }

    /// Changes the world.
    fn world<R>(mut self, edit: impl FnOnce(&mut World) -> R) -> Stage {
        let _ = edit(&mut self.world);
        self
    }

    /// Changes a container.
    fn container<R>(self, name: &str, edit: impl FnOnce(&mut ObservedContainer) -> R) -> Stage {
        let name = name.to_owned();
        self.world(move |world| edit(world.named(&name).unwrap()))
    }

    fn want<R>(mut self, edit: impl FnOnce(&mut Intent) -> R) -> Stage {
        let _ = edit(&mut self.intent);
        self
    }

    fn build(self, service: &str, cause: &str) -> Stage {
        self.want(|intent| intent.build.insert(service.to_owned(), cause.to_owned()))
    }

    /// As [`Stage::plan`], for intents and policies that want the same again the next time.
    fn plan_that_repeats(mut self) -> String {
        let plan = converge(&self.project, &self.world.observed, &self.intent).unwrap();
        check(&plan).unwrap();
        self.world.apply(&self.project, &plan);
        let second = converge(&self.project, &self.world.observed, &Intent::default()).unwrap();
        let did = self.world.apply(&self.project, &second);
        let executed =
            second.steps.iter().zip(did).filter(|(step, did)| *did && !matches!(step.action, Action::Pull { .. }));
        assert_eq!(executed.count(), 0, "{}", render(&second));
        render(&plan)
    }

    /// The plan as printed, after it proved checked, executable and final.
    fn plan(mut self) -> String {
        let plan = match converge(&self.project, &self.world.observed, &self.intent) {
            Ok(plan) => plan,
            Err(error) => return format!("error: {error}"),
        };
        let text = render(&plan);
        check(&plan).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
        self.world.apply(&self.project, &plan);
        let again = Intent {
            services: self.intent.services.clone(),
            scale: self.intent.scale.clone(),
            no_deps: self.intent.no_deps,
            no_start: self.intent.no_start,
            no_recreate: self.intent.no_recreate,
            ..Intent::default()
        };
        let second = converge(&self.project, &self.world.observed, &again).unwrap();
        assert!(second.steps.is_empty(), "first:\n{text}\nsecond:\n{}", render(&second));
        text
    }
}

fn job() -> Value {
    json!({
        "migrate": {"image": "shop"},
        "web": {"image": "shop", "depends_on": {"migrate": {"condition": "service_completed_successfully"}}},
    })
}

fn web_and_db() -> Value {
    json!({
        "db": {"image": "postgres", "volumes": [{"type": "volume", "source": "data", "target": "/data"}]},
        "web": {"build": {"context": "/src"}, "depends_on": {"db": {}}, "environment": {"APP_MODE": "a"}},
    })
}

fn web() -> Value {
    json!({"web": {"image": "shop"}})
}

/// One service that lives in another's network.
fn vpn() -> Value {
    json!({
        "client": {
            "image": "client", "network_mode": "service:vpn", "depends_on": {"vpn": {"restart": true}},
        },
        "vpn": {"image": "vpn"},
    })
}

fn set(service: &mut Service, variable: &str, value: &str) {
    service.environment.insert(variable.to_owned(), Some(value.to_owned()));
}
