//! A colour in two stages.

use turnout_compose::{hash::service_hash, model::Project};
use turnout_plan::{Intent, RunState};
use turnout_switch::{
    Said, derive,
    dress::{Coloured, Dress, StayingDress, coloured, staying},
    stage::{Stages, stages},
};

use crate::{
    pretend::Pretend,
    support::{no_facts, project},
};

const TEXT: &str = "
services:
  web:
    build: .
    ports: ['80:8000']
    depends_on:
      migrate: {condition: service_completed_successfully}
      worker: {condition: service_started, restart: true}
  api: {build: ., expose: ['8000'], healthcheck: {test: ok}}
  migrate: {build: ., command: migrate, expose: ['8000']}
  worker:
    build: .
    command: work
    volumes_from: [fill]
    depends_on:
      fill: {condition: service_completed_successfully}
      migrate: {condition: service_completed_successfully}
      api: {condition: service_healthy}
    deploy: {update_config: {order: stop-first}}
  beside: {build: ., network_mode: 'service:worker'}
  fill: {build: ., command: fill, expose: ['8000']}
  tidy: {build: ., command: tidy, depends_on: [worker]}
  report: {build: ., ports: ['81:8000'], depends_on: {tidy: {condition: service_completed_successfully}}}
  old: {build: ., ports: ['82:8000'], links: [worker]}
  db: {image: postgres, volumes: ['data:/d']}
volumes: {data: {}}
";

fn divided(text: &str) -> (Coloured, Stages) {
    let project = project(text);
    let derived = derive(&project, &no_facts(), &Said::default());
    assert_eq!(derived.refusals, []);
    let loopback = derived.routes.iter().map(|route| ((route.service.clone(), route.port), 20_000)).collect();
    let dress = Dress { name: "blueshop".into(), staying: "shop-stays".into(), loopback, ..Dress::default() };
    let coloured = coloured(&project, &derived, &dress).unwrap();
    let stages = stages(&coloured, &derived);
    (coloured, stages)
}

fn services(project: Option<&Project>) -> String {
    let names: Vec<&str> =
        project.into_iter().flat_map(|project| project.services.keys()).map(String::as_str).collect();
    names.join(" ")
}

#[test]
fn what_may_overlap_comes_first() {
    let (coloured, stages) = divided(TEXT);
    let (first, second) = (stages.first.as_ref(), stages.second.as_ref());
    assert_eq!(services(first), "api fill migrate web");
    assert_eq!(services(second), "api beside old report tidy web worker");
    let notes: Vec<String> = stages.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "beside starts only when the old worker has stopped: both share namespaces or volumes",
            "old starts only when the old worker has stopped: it links to worker",
            "tidy starts only when the old worker has stopped: it is a job and waits for worker",
            "report starts only when the old tidy has stopped: it waits for the end of tidy",
            "web starts without waiting for worker (depends_on: service_started), which starts only when the old one has \
             stopped",
        ]
    );
    // With `restart: true` the second stage would start again what has just passed its gate.
    assert_eq!(second.unwrap().services["web"].depends_on.len(), 0);
    for half in [first.unwrap(), second.unwrap()] {
        assert_eq!(half.services.len() + half.set_aside.len(), coloured.project.services.len());
        for (name, service) in &half.services {
            assert_eq!(service_hash(service), service_hash(&coloured.project.services[name]), "{name}");
        }
    }
}

#[test]
fn each_starts_once() {
    let (coloured, stages) = divided(TEXT);
    let (first, second) = (stages.first.unwrap(), stages.second.unwrap());
    let mut engine = Pretend::of(&coloured.project);
    let intent = Intent { remove_orphans: true, remove_idle_networks: true, ..Intent::default() };
    let done = engine.up(&first, &intent);
    let starts: Vec<&String> = done.iter().filter(|what| what.starts_with("start")).collect();
    assert_eq!(starts, ["start api", "start fill", "start migrate", "start web"]);
    // Not again after a crash: jobs are known by who waits for them, in the other stage too.
    assert_eq!(engine.up(&first, &intent), [""; 0]);
    let made = engine.up(&second, &Intent { no_start: true, ..intent.clone() });
    assert!(made.iter().all(|what| what.starts_with("create")), "{made:?}");
    let done = engine.up(&second, &intent);
    assert_eq!(done, ["start worker", "start beside", "start old", "start tidy", "start report"]);
    assert_eq!(engine.up(&second, &intent), [""; 0]);
    // Those of the second stage are nobody's orphans in the first.
    assert_eq!(engine.up(&first, &intent), [""; 0]);

    // A colour that comes back, all of it stopped: what ran to its end has done its work, and nothing else has, though
    // it ended as well.
    for container in &mut engine.observed.containers {
        container.state = RunState::Exited(0);
    }
    assert_eq!(engine.up(&first, &intent), ["start api", "start web"]);
    assert_eq!(engine.up(&second, &intent), ["start worker", "start beside", "start old", "start report"]);
}

#[test]
fn one_stage_is_enough_where_nothing_waits_or_everything_does() {
    let (coloured, stages) = divided("services: {web: {build: ., ports: ['80:8000']}}");
    assert_eq!(stages, Stages { first: Some(coloured.project), ..Stages::default() });
    let (coloured, stages) = divided("services: {web: {build: ., ports: ['80:8000'], volumes: [/d]}}");
    assert_eq!(stages, Stages { second: Some(coloured.project), ..Stages::default() });
}

#[test]
fn what_stays_owns_what_only_colours_use() {
    let text = "
services:
  web: {build: ., ports: ['80:8000'], volumes: ['media:/m', 'data:/d']}
  worker: {build: ., volumes: ['media:/m', 'data:/d']}
volumes: {media: {}, data: {}}
";
    let project = project(text);
    let derived = derive(&project, &no_facts(), &Said::default());
    let remembered = [("data".to_owned(), "redshop_data".to_owned())];
    let dress = StayingDress { name: "shop-stays".into(), volumes: remembered.into(), ..StayingDress::default() };
    let stays = staying(&project, &derived, &dress).unwrap();
    assert_eq!(stays.services.len(), 0);
    let intent = Intent { all_resources: true, remove_orphans: true, remove_idle_networks: true, ..Intent::default() };
    let mut engine = Pretend::of(&stays);
    // Made by another project, with another hash: used as it is, without a word.
    let volume = engine.observed.volumes.get_mut("data").unwrap();
    volume.labels.insert("com.docker.compose.project".into(), "redshop".into());
    volume.labels.insert("com.docker.compose.config-hash".into(), "another".into());
    assert_eq!(engine.up(&stays, &intent), ["volume shop_media"]);
    assert_eq!(engine.up(&stays, &intent), [""; 0]);
    // It is remembered, and gone: no empty one in its place.
    engine.observed.volumes.remove("data");
    let error = turnout_plan::converge(&stays, &engine.observed, &intent).unwrap_err().to_string();
    assert!(error.contains("redshop_data"), "{error}");
}
