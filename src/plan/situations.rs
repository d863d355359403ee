//! Named situations and the plans they lead to, as a reader sees them. Every plan is also checked, carried out by a
//! pretended engine, and followed by a second plan that must be empty.

use serde_json::{Value, json};

use super::simulate::{World, labels_of};
use super::*;
use crate::compose::{
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
    fn edit(mut self, edit: impl FnOnce(&mut Project)) -> Stage {
        edit(&mut self.project);
        self
    }

    /// Changes one service of the project.
    fn service(self, name: &str, edit: impl FnOnce(&mut Service)) -> Stage {
        let name = name.to_owned();
        self.edit(move |project| edit(project.services.get_mut(&name).unwrap()))
    }

    /// Changes the world.
    fn world(mut self, edit: impl FnOnce(&mut World)) -> Stage {
        edit(&mut self.world);
        self
    }

    /// Changes a container.
    fn container(self, name: &str, edit: impl FnOnce(&mut ObservedContainer)) -> Stage {
        let name = name.to_owned();
        self.world(move |world| edit(world.named(&name).unwrap()))
    }

    fn want(mut self, edit: impl FnOnce(&mut Intent)) -> Stage {
        edit(&mut self.intent);
        self
    }

    fn build(self, service: &str, cause: &str) -> Stage {
        self.want(|intent| drop(intent.build.insert(service.to_owned(), cause.to_owned())))
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

#[test]
fn first_deployment() {
    let text = Stage::of(web_and_db()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 8 steps
      1. pull postgres: image postgres is not there yet
      2. build shop-web for web: image shop-web is not there yet
      3. create network shop_default: network shop_default does not exist yet
      4. create volume shop_data: volume shop_data does not exist yet
      5. create container shop-db-1: no container yet
         after 1, 2, 3, 4
      6. create container shop-web-1: no container yet
         after 1, 2, 3
      7. start container shop-db-1: created
         after 5, 6
      8. start container shop-web-1: created
         after 7
    ");
}

#[test]
fn nothing_changed() {
    let text = Stage::of(web_and_db()).up().plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
      web: running, nothing changed
    ");
}

#[test]
fn environment_change_replaces_exactly_that_service() {
    let text = Stage::of(web_and_db()).up().service("web", |s| set(s, "APP_MODE", "b")).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: environment APP_MODE changed
      2. start container shop-web-1: replaced
         after 1
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn environment_change_without_memory_names_the_hashes() {
    let text = Stage::of(web())
        .up()
        .service("web", |s| set(s, "APP_MODE", "b"))
        .container("shop-web-1", |c| drop(c.labels.remove(attributes::LABEL)))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: configuration changed (config-hash 4a3ee762577c -> 3ca032752439)
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn what_is_not_hashed_replaces_nothing() {
    let text = Stage::of(web_and_db())
        .up()
        .service("web", |s| {
            s.depends_on.clear();
            s.pull_policy = "missing".to_owned();
            s.profiles = vec!["x".to_owned()];
            s.build.as_mut().unwrap().context = "/elsewhere".to_owned();
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
      web: running, nothing changed
    ");
}

#[test]
fn rebuild_is_conditional_on_a_new_image() {
    let text = Stage::of(web_and_db())
        .up()
        .build("web", "src/app.py changed")
        .world(|w| drop(w.yields.insert("shop-web".to_owned(), "sha256:shop-web-2".to_owned())))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. build shop-web for web: src/app.py changed
      2. replace container shop-web-1: image shop-web is built: src/app.py changed
         only if image shop-web is no longer shop-web-1; after 1
      3. start container shop-web-1: replaced
         only if step 2 was needed; after 2
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn identical_rebuild_looks_the_same_and_does_nothing() {
    let text = Stage::of(web_and_db()).up().build("web", "REBUILD_TRIGGER is there").plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. build shop-web for web: REBUILD_TRIGGER is there
      2. replace container shop-web-1: image shop-web is built: REBUILD_TRIGGER is there
         only if image shop-web is no longer shop-web-1; after 1
      3. start container shop-web-1: replaced
         only if step 2 was needed; after 2
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn rebuild_and_change_is_certain() {
    let text =
        Stage::of(web_and_db()).up().build("web", "Dockerfile changed").service("web", |s| set(s, "NEW", "1")).plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. build shop-web for web: Dockerfile changed
      2. replace container shop-web-1: environment NEW added; image shop-web is built: Dockerfile changed
         after 1
      3. start container shop-web-1: replaced
         after 2
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn retagged_image_replaces() {
    let text = Stage::of(web())
        .up()
        .world(|w| w.observed.images.get_mut("shop").unwrap().id = Some("sha256:feedbeef".to_owned()))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: image shop is another one now (shop-1 -> feedbeef)
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn missing_image_label_replaces() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.image_label.clear()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: label com.docker.compose.image is missing, its image is not known
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn two_services_share_a_built_image() {
    let text = Stage::of(json!({
        "web": {"image": "shop", "build": {"context": "/src"}},
        "worker": {"image": "shop"},
    }))
    .world(|w| drop(w.unknown.insert("shop".to_owned())))
    .up()
    .build("web", "src/app.py changed")
    .world(|w| drop(w.yields.insert("shop".to_owned(), "sha256:2".to_owned())))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. build shop for web: src/app.py changed
      2. replace container shop-web-1: image shop is built: src/app.py changed
         only if image shop is no longer shop-1; after 1
      3. replace container shop-worker-1: image shop is built: src/app.py changed
         only if image shop is no longer shop-1; after 1
      4. start container shop-web-1: replaced
         only if step 2 was needed; after 2, 3
      5. start container shop-worker-1: replaced
         only if step 3 was needed; after 2, 3
    ");
}

#[test]
fn image_and_build_tries_to_pull_first() {
    let text = Stage::of(json!({"web": {"image": "shop", "build": {"context": "/src"}}}))
        .world(|w| drop(w.unknown.insert("shop".to_owned())))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. try to pull shop: image shop is not there yet
      2. build shop for web: image shop is not there yet
         only if step 1 did not succeed; after 1
      3. create network shop_default: network shop_default does not exist yet
      4. create container shop-web-1: no container yet
         after 2, 3
      5. start container shop-web-1: created
         after 4
    ");
}

#[test]
fn build_context_of_another_service_is_built_first() {
    let text = Stage::of(json!({
        "app": {"build": {"context": "/app", "additional_contexts": {"base": "service:zbase"}}},
        "zbase": {"build": {"context": "/base"}},
    }))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 7 steps
      1. build shop-zbase for zbase: image shop-zbase is not there yet
      2. build shop-app for app: image shop-app is not there yet
         after 1
      3. create network shop_default: network shop_default does not exist yet
      4. create container shop-app-1: no container yet
         after 2, 3
      5. create container shop-zbase-1: no container yet
         after 2, 3
      6. start container shop-app-1: created
         after 4, 5
      7. start container shop-zbase-1: created
         after 4, 5
    ");
}

#[test]
fn pull_policies() {
    let text = Stage::of(json!({
        "always": {"image": "a", "pull_policy": "always"},
        "daily": {"image": "d", "pull_policy": "daily"},
        "fresh": {"image": "f", "pull_policy": "every_12h"},
        "never": {"image": "n", "pull_policy": "never"},
        "plain": {"image": "p"},
    }))
    .world(|w| {
        for (name, time) in [("a", None), ("d", Some(0)), ("f", Some(99_000)), ("n", None), ("p", None)] {
            let state = ImageState { id: Some(format!("sha256:{name}")), last_tag_time: time, ..ImageState::default() };
            w.observed.images.insert(name.to_owned(), state);
        }
    })
    .want(|i| i.now = 100_000)
    .plan_that_repeats();
    insta::assert_snapshot!(text, @r"
    shop: 13 steps
       1. pull a: pull_policy is always
       2. pull d: pull_policy is daily, and the image is older
       3. create network shop_default: network shop_default does not exist yet
       4. create container shop-always-1: no container yet
          after 1, 2, 3
       5. create container shop-daily-1: no container yet
          after 1, 2, 3
       6. create container shop-fresh-1: no container yet
          after 1, 2, 3
       7. create container shop-never-1: no container yet
          after 1, 2, 3
       8. create container shop-plain-1: no container yet
          after 1, 2, 3
       9. start container shop-always-1: created
          after 4, 5, 6, 7, 8
      10. start container shop-daily-1: created
          after 4, 5, 6, 7, 8
      11. start container shop-fresh-1: created
          after 4, 5, 6, 7, 8
      12. start container shop-never-1: created
          after 4, 5, 6, 7, 8
      13. start container shop-plain-1: created
          after 4, 5, 6, 7, 8
    ");
}

#[test]
fn missing_image_that_may_not_be_pulled() {
    let text = Stage::of(json!({"web": {"image": "shop", "pull_policy": "never"}})).plan();
    insta::assert_snapshot!(text, @r"error: image shop of service web is not there, and pull_policy is never");
}

#[test]
fn missing_image_with_no_build() {
    let text = Stage::of(web_and_db()).want(|i| i.no_build = true).plan();
    insta::assert_snapshot!(text, @r"error: image shop-web of service web is not there, and building was refused (--no-build)");
}

#[test]
fn build_without_a_build_section() {
    let text = Stage::of(web()).build("web", "asked").plan();
    insta::assert_snapshot!(text, @r"error: service web has no `build` section, so it cannot be built");
}

#[test]
fn unknown_service() {
    let text = Stage::of(web()).want(|i| i.services = vec!["wbe".to_owned()]).plan();
    insta::assert_snapshot!(text, @r"error: no such service: wbe (the project has: web)");
}

#[test]
fn unknown_pull_policy() {
    let text = Stage::of(json!({"web": {"image": "shop", "pull_policy": "sometimes"}})).plan();
    insta::assert_snapshot!(text, @r#"error: services.web.pull_policy: "sometimes" is not a pull policy (use always, never, missing, build, daily, weekly or every_<duration>)"#);
}

#[test]
fn no_service_at_all() {
    let text = Stage::of(json!({})).plan();
    insta::assert_snapshot!(text, @r"error: no service selected (every service is inactive: activate one of their profiles, or add a service)");
}

#[test]
fn replacement_keeps_number_and_name() {
    let text = Stage::of(json!({"web": {"image": "shop", "scale": 3}}))
        .up()
        .world(|w| w.observed.containers.retain(|c| c.number != Some(2)))
        .service("web", |s| {
            s.scale = Some(2);
            s.hostname = "h".to_owned();
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. replace container shop-web-1: hostname added
      2. replace container shop-web-3: hostname added
      3. start container shop-web-1: replaced
         after 1, 2
      4. start container shop-web-3: replaced
         after 3
    ");
}

#[test]
fn anonymous_volumes_are_inherited_unless_renewed() {
    let text = Stage::of(web()).up().want(|i| i.renew_anon_volumes = true).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: fresh anonymous volumes were asked for
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn force_recreate_spares_dependencies() {
    let text = Stage::of(web_and_db())
        .up()
        .want(|i| {
            i.force_recreate = true;
            i.services = vec!["web".to_owned()];
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: replacement was asked for
      2. start container shop-web-1: replaced
         after 1
    unchanged:
      db: running, nothing changed
    ");
}

#[test]
fn always_recreate_deps() {
    let text = Stage::of(web_and_db())
        .up()
        .want(|i| {
            i.always_recreate_deps = true;
            i.services = vec!["web".to_owned()];
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-db-1: replacement of dependencies was asked for
      2. start container shop-db-1: replaced
         after 1
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn no_recreate_keeps_what_changed() {
    let text =
        Stage::of(web_and_db()).up().service("web", |s| set(s, "APP_MODE", "b")).want(|i| i.no_recreate = true).plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
      web: running, nothing changed
    ");
}

#[test]
fn no_deps_leaves_dependencies_alone() {
    let text = Stage::of(web_and_db())
        .up()
        .world(|w| w.observed.containers.clear())
        .want(|i| {
            i.no_deps = true;
            i.services = vec!["web".to_owned()];
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. create container shop-web-1: no container yet
      2. start container shop-web-1: created
         after 1
    ");
}

#[test]
fn no_start_only_creates() {
    let text = Stage::of(web_and_db()).want(|i| i.no_start = true).plan();
    insta::assert_snapshot!(text, @r"
    shop: 6 steps
      1. pull postgres: image postgres is not there yet
      2. build shop-web for web: image shop-web is not there yet
      3. create network shop_default: network shop_default does not exist yet
      4. create volume shop_data: volume shop_data does not exist yet
      5. create container shop-db-1: no container yet
         after 1, 2, 3, 4
      6. create container shop-web-1: no container yet
         after 1, 2, 3
    ");
}

#[test]
fn restart_dependents_are_stopped_and_started() {
    let text = Stage::of(json!({
        "db": {"image": "postgres"},
        "web": {"image": "shop", "depends_on": {"db": {"restart": true}}},
        "worker": {"image": "shop", "depends_on": {"db": {}}},
        "zcache": {"image": "redis", "depends_on": {"web": {"restart": true}}},
    }))
    .up()
    .service("db", |s| set(s, "TUNE", "1"))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 6 steps
      1. stop container shop-zcache-1: web is stopped
      2. stop container shop-web-1: db is replaced
         after 1
      3. replace container shop-db-1: environment TUNE added
         after 2
      4. start container shop-db-1: replaced
         after 3
      5. start container shop-web-1: stopped before
         after 4
      6. start container shop-zcache-1: stopped before
         after 5
    unchanged:
      worker: running, nothing changed
    ");
}

#[test]
fn restart_dependents_of_a_rebuild_are_stopped_only_if_needed() {
    let text = Stage::of(json!({
        "db": {"build": {"context": "/db"}},
        "web": {"image": "shop", "depends_on": {"db": {"restart": true}}},
    }))
    .up()
    .build("db", "Dockerfile changed")
    .world(|w| drop(w.yields.insert("shop-db".to_owned(), "sha256:2".to_owned())))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. build shop-db for db: Dockerfile changed
      2. stop container shop-web-1: db is replaced
         only if image shop-db is no longer shop-db-1; after 1
      3. replace container shop-db-1: image shop-db is built: Dockerfile changed
         only if image shop-db is no longer shop-db-1; after 2
      4. start container shop-db-1: replaced
         only if step 3 was needed; after 3
      5. start container shop-web-1: stopped before
         only if step 2 was needed; after 4
    ");
}

#[test]
fn namespace_sharers_are_replaced_with_the_owner() {
    let text = Stage::of(vpn()).up().service("vpn", |s| set(s, "TUNE", "1")).plan();
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. stop container shop-client-1: vpn is replaced
      2. replace container shop-vpn-1: environment TUNE added
         after 1
      3. replace container shop-client-1: shares the network namespace of vpn, which is replaced
         after 2
      4. start container shop-vpn-1: replaced
         after 3
      5. start container shop-client-1: replaced
         after 4
    ");
}

#[test]
fn namespace_sharers_of_a_rebuild_are_replaced_perhaps() {
    let text = Stage::of(vpn())
        .up()
        .service("vpn", |s| s.pull_policy = "always".to_owned())
        .world(|w| drop(w.yields.insert("vpn".to_owned(), "sha256:2".to_owned())))
        .plan_that_repeats();
    insta::assert_snapshot!(text, @r"
    shop: 6 steps
      1. pull vpn: pull_policy is always
      2. stop container shop-client-1: vpn is replaced
         only if image vpn is no longer vpn-1; after 1
      3. replace container shop-vpn-1: image vpn is pulled: pull_policy is always
         only if image vpn is no longer vpn-1; after 2
      4. replace container shop-client-1: shares the network namespace of vpn, if that is replaced
         only if step 3 was needed; after 3
      5. start container shop-vpn-1: replaced
         only if step 3 was needed; after 4
      6. start container shop-client-1: replaced or stopped before
         only if one of steps 2, 4 was needed; after 5
    ");
}

#[test]
fn namespace_owner_replaced_by_somebody_else() {
    let text = Stage::of(vpn()).up().container("shop-vpn-1", |c| c.id = "f".repeat(64)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-client-1: shares with vpn, which has another container now
      2. start container shop-client-1: replaced
         after 1
    unchanged:
      vpn: running, nothing changed
    ");
}

#[test]
fn shared_namespace_without_owner() {
    let text = Stage::of(vpn()).want(|i| drop(i.scale.insert("vpn".to_owned(), 0))).plan();
    insta::assert_snapshot!(text, @r"error: service client cannot share the network namespace with service vpn: container missing (start vpn too, or set its scale to 1)");
}

#[test]
fn volumes_from_follow_their_source() {
    let text = Stage::of(json!({
        "backup": {"image": "backup", "volumes_from": ["db:ro"], "depends_on": {"db": {}}},
        "db": {"image": "postgres"},
    }))
    .up()
    .service("db", |s| set(s, "TUNE", "1"))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. replace container shop-db-1: environment TUNE added
      2. replace container shop-backup-1: shares volumes of db, which is replaced
         after 1
      3. start container shop-db-1: replaced
         after 2
      4. start container shop-backup-1: replaced
         after 3
    ");
}

#[test]
fn unhealthy_dependency_holds_up_dependents() {
    let text = Stage::of(json!({
        "db": {"image": "postgres", "healthcheck": {"test": ["CMD", "true"]}},
        "web": {"image": "shop", "depends_on": {"db": {"condition": "service_healthy"}}},
    }))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 8 steps
      1. pull postgres: image postgres is not there yet
      2. pull shop: image shop is not there yet
      3. create network shop_default: network shop_default does not exist yet
      4. create container shop-db-1: no container yet
         after 1, 2, 3
      5. create container shop-web-1: no container yet
         after 1, 2, 3
      6. start container shop-db-1: created
         after 4, 5
      7. wait until db is healthy: web depends on it
         after 6
      8. start container shop-web-1: created
         after 7
    ");
}

#[test]
fn health_without_healthcheck() {
    let text = Stage::of(json!({
        "db": {"image": "postgres"},
        "web": {"image": "shop", "depends_on": {"db": {"condition": "service_healthy"}}},
    }))
    .world(|w| {
        for name in ["postgres", "shop"] {
            let state = ImageState { id: Some(format!("sha256:{name}")), ..ImageState::default() };
            w.observed.images.insert(name.to_owned(), state);
        }
    })
    .plan();
    insta::assert_snapshot!(text, @r"error: dependency failed to start: web waits for db to be healthy, but db has no healthcheck configured (add one to services.db, or depend with condition: service_started)");
}

#[test]
fn job_runs_before_its_dependents() {
    let text = Stage::of(job()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 7 steps
      1. pull shop: image shop is not there yet
      2. create network shop_default: network shop_default does not exist yet
      3. create container shop-migrate-1: no container yet
         after 1, 2
      4. create container shop-web-1: no container yet
         after 1, 2
      5. start container shop-migrate-1: created
         after 3, 4
      6. wait until migrate has completed: web depends on it
         after 5
      7. start container shop-web-1: created
         after 6
    ");
}

#[test]
fn completed_job_is_not_run_again_by_a_deployment() {
    let text = Stage::of(job()).up().plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      migrate: completed with exit code 0, nothing changed, not run again
      web: running, nothing changed
    ");
}

#[test]
fn completed_job_is_run_again_by_up() {
    let text = Stage::of(job()).up().want(|i| i.rerun_completed_jobs = true).plan_that_repeats();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. start container shop-migrate-1: stopped with exit code 0
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn completed_job_runs_again_when_it_changed() {
    let text = Stage::of(job()).up().service("migrate", |s| set(s, "STEP", "2")).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-migrate-1: environment STEP added
      2. start container shop-migrate-1: replaced
         after 1
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn failed_job_is_tried_again() {
    let text = Stage::of(job())
        .up()
        .container("shop-migrate-1", |c| c.state = RunState::Exited(3))
        .container("shop-web-1", |c| c.state = RunState::Created)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. start container shop-migrate-1: stopped with exit code 3
      2. wait until migrate has completed: web depends on it
         after 1
      3. start container shop-web-1: created, but never started
         after 2
    ");
}

#[test]
fn stopped_server_is_no_job() {
    let text = Stage::of(json!({"web": {"image": "shop", "ports": [{"target": 80, "protocol": "tcp"}]}}))
        .up()
        .container("shop-web-1", |c| c.state = RunState::Exited(0))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. start container shop-web-1: stopped with exit code 0
    ");
}

#[test]
fn optional_dependencies_do_not_hold_up() {
    let text = Stage::of(json!({
        "cache": {"image": "redis"},
        "seed": {"image": "seed"},
        "web": {"image": "shop", "depends_on": {
            "cache": {"required": false},
            "gone": {"required": false},
            "seed": {"required": false, "condition": "service_completed_successfully"},
        }},
    }))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 12 steps
       1. pull redis: image redis is not there yet
       2. pull seed: image seed is not there yet
       3. pull shop: image shop is not there yet
       4. create network shop_default: network shop_default does not exist yet
       5. create container shop-cache-1: no container yet
          after 1, 2, 3, 4
       6. create container shop-seed-1: no container yet
          after 1, 2, 3, 4
       7. create container shop-web-1: no container yet
          after 1, 2, 3, 4
       8. start container shop-cache-1: created
          after 5, 6, 7
       9. start container shop-seed-1: created
          after 5, 6, 7
      10. wait until cache is started, and go on if it fails: web depends on it
          after 8
      11. wait until seed has completed, and go on if it fails: web depends on it
          after 9
      12. start container shop-web-1: created
          after 10, 11
    ");
}

#[test]
fn scale_up_from_one_to_three() {
    let text = Stage::of(web()).up().want(|i| drop(i.scale.insert("web".to_owned(), 3))).plan();
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. create container shop-web-2: scaled up from 1 to 3
      2. create container shop-web-3: scaled up from 1 to 3
      3. start container shop-web-2: created
         after 1, 2
      4. start container shop-web-3: created
         after 3
    ");
}

#[test]
fn scale_down_keeps_number_one() {
    let text =
        Stage::of(json!({"web": {"image": "shop", "scale": 3}})).up().service("web", |s| s.scale = Some(1)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. remove container shop-web-3: scaled down from 3 to 1
      2. remove container shop-web-2: scaled down from 3 to 1
    ");
}

#[test]
fn gaps_are_not_filled() {
    let text = Stage::of(json!({"web": {"image": "shop", "scale": 3}}))
        .up()
        .world(|w| w.observed.containers.retain(|c| c.number != Some(2)))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. create container shop-web-4: scaled up from 2 to 3
      2. start container shop-web-4: created
         after 1
    ");
}

#[test]
fn obsolete_ones_are_scaled_down_first() {
    let text = Stage::of(json!({"web": {"image": "shop", "scale": 3}}))
        .up()
        .container("shop-web-1", |c| c.image_label = "sha256:old".to_owned())
        .service("web", |s| s.scale = Some(2))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. remove container shop-web-1: scaled down from 3 to 2
    ");
}

#[test]
fn scale_to_zero() {
    let text = Stage::of(web_and_db()).up().want(|i| drop(i.scale.insert("db".to_owned(), 0))).plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. remove container shop-db-1: scaled down from 1 to 0
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn fixed_name_cannot_scale() {
    let text = Stage::of(json!({"web": {"image": "shop", "container_name": "the-web"}}))
        .want(|i| drop(i.scale.insert("web".to_owned(), 2)))
        .plan();
    insta::assert_snapshot!(text, @r"error: services.web.container_name: the-web is fixed, so the service cannot have 2 containers (remove container_name, or scale to 1)");
}

#[test]
fn fixed_name_changes() {
    let text = Stage::of(json!({"web": {"image": "shop", "container_name": "old-web"}}))
        .up()
        .service("web", |s| s.container_name = "new-web".to_owned())
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container old-web by new-web: container_name changed
      2. start container new-web: replaced
         after 1
    ");
}

#[test]
fn orphans_are_mentioned() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| drop(p.services.remove("db")))
        .service("web", |s| s.depends_on.clear())
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    warnings:
      orphans, containers that no service stands behind: shop-db-1 (remove them with --remove-orphans)
    ");
}

#[test]
fn orphans_are_removed_but_running_one_offs_stay() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| drop(p.services.remove("db")))
        .service("web", |s| s.depends_on.clear())
        .world(|w| {
            for (name, state) in [("shop-web-run-1", RunState::Running), ("shop-web-run-2", RunState::Exited(0))] {
                let mut oneoff = w.named("shop-web-1").unwrap().clone();
                oneoff.id = w.fresh_id();
                oneoff.labels = labels_of(&[(labels::ONEOFF, "True")]);
                (oneoff.name, oneoff.oneoff, oneoff.number, oneoff.state) = (name.to_owned(), true, None, state);
                w.observed.containers.push(oneoff);
            }
        })
        .want(|i| i.remove_orphans = true)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. remove container shop-db-1: service db is no longer in the project
      2. remove container shop-web-run-2: one-off that has ended
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn services_of_inactive_profiles_are_no_orphans() {
    let text = Stage::of(web_and_db())
        .up()
        .service("web", |s| s.depends_on.clear())
        .edit(|p| {
            let db = p.services.remove("db").unwrap();
            p.disabled_services.insert("db".to_owned(), db);
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn network_change_reconnects_the_same_containers() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. stop container shop-db-1: network shop_default is replaced
      2. stop container shop-web-1: network shop_default is replaced
      3. replace network shop_default and reconnect shop-db-1, shop-web-1: network shop_default changed (config-hash cf68f29b281a -> e53b802f1a7d)
         after 1, 2
      4. start container shop-db-1: stopped before
         after 3
      5. start container shop-web-1: stopped before
         after 4
    ");
}

#[test]
fn network_change_and_rebuild() {
    let text = Stage::of(web_and_db())
        .up()
        .build("web", "Dockerfile changed")
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 7 steps
      1. build shop-web for web: Dockerfile changed
      2. stop container shop-db-1: network shop_default is replaced
         after 1
      3. stop container shop-web-1: network shop_default is replaced
         after 1
      4. replace network shop_default and reconnect shop-db-1, shop-web-1: network shop_default changed (config-hash cf68f29b281a -> e53b802f1a7d)
         after 2, 3
      5. replace container shop-web-1: image shop-web is built: Dockerfile changed
         only if image shop-web is no longer shop-web-1; after 4
      6. start container shop-db-1: stopped before
         after 5
      7. start container shop-web-1: replaced or stopped before
         after 6
    ");
}

#[test]
fn network_of_the_same_name_with_another_label() {
    let text = Stage::of(web())
        .up()
        .world(|w| {
            drop(
                w.observed
                    .networks
                    .get_mut("default")
                    .unwrap()
                    .labels
                    .insert(labels::NETWORK.to_owned(), "other".to_owned()),
            )
        })
        .plan();
    insta::assert_snapshot!(text, @r#"error: network shop_default was found but has incorrect label com.docker.compose.network set to "other" (expected: "default"); to use an existing network set `external: true`, else remove or rename it"#);
}

#[test]
fn network_of_a_stranger_is_used_as_it_is() {
    let text = Stage::of(web())
        .up()
        .edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().internal = true)
        .world(|w| {
            drop(
                w.observed
                    .networks
                    .get_mut("default")
                    .unwrap()
                    .labels
                    .insert(labels::PROJECT.to_owned(), "other".to_owned()),
            )
        })
        .plan();
    insta::assert_snapshot!(text, @r#"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    warnings:
      network shop_default exists but was created for project "other"; it is used as it is (set `external: true` to say so)
    "#);
}

#[test]
fn network_was_removed_behind_our_back() {
    let text = Stage::of(web()).up().world(|w| w.observed.networks.clear()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. create network shop_default: network shop_default does not exist yet
      2. replace container shop-web-1: network default is created anew
         after 1
      3. start container shop-web-1: replaced
         after 2
    ");
}

#[test]
fn running_container_was_disconnected() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.networks.clear()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: not attached to network default
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn created_container_is_connected_at_its_start() {
    let text = Stage::of(web())
        .up()
        .container("shop-web-1", |c| {
            c.state = RunState::Created;
            c.networks.values_mut().for_each(String::clear);
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. start container shop-web-1: created, but never started
    ");
}

#[test]
fn changed_volume_is_kept() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| p.volumes.get_mut("data").unwrap().as_mut().unwrap().driver = "nfs".to_owned())
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      db: running, nothing changed
      web: running, nothing changed
    warnings:
      volume shop_data changed (config-hash 4e9994dd3f18 -> 1b5b11cf1716); it is kept with its data (to recreate it empty, agree with --yes)
    ");
}

#[test]
fn changed_volume_is_replaced_with_consent() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| p.volumes.get_mut("data").unwrap().as_mut().unwrap().driver = "nfs".to_owned())
        .want(|i| i.yes_recreate_volumes = true)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. remove container shop-db-1: volume shop_data is recreated
      2. replace volume shop_data: volume shop_data changed (config-hash 4e9994dd3f18 -> 1b5b11cf1716); its data is lost, as agreed
         after 1
      3. create container shop-db-1: volume shop_data is recreated
         after 2
      4. start container shop-db-1: replaced
         after 3
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn changed_volume_that_an_orphan_uses_is_kept() {
    let text = Stage::of(web_and_db())
        .up()
        .edit(|p| {
            p.volumes.get_mut("data").unwrap().as_mut().unwrap().driver = "nfs".to_owned();
        })
        .container("shop-db-1", |c| c.service = "olddb".to_owned())
        .container("shop-db-1", |c| c.name = "shop-olddb-1".to_owned())
        .want(|i| i.yes_recreate_volumes = true)
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. create container shop-db-1: no container yet
      2. start container shop-db-1: created
         after 1
    unchanged:
      web: running, nothing changed
    warnings:
      volume shop_data changed (config-hash 4e9994dd3f18 -> 1b5b11cf1716); it is kept, because container shop-olddb-1 uses it and has no part in this plan
      orphans, containers that no service stands behind: shop-olddb-1 (remove them with --remove-orphans)
    ");
}

#[test]
fn volume_is_no_longer_mounted() {
    let text = Stage::of(web_and_db()).up().container("shop-db-1", |c| c.mounts.clear()).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-db-1: volume data is not mounted
      2. start container shop-db-1: replaced
         after 1
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn missing_externals_fail_before_anything() {
    let text = Stage::of(web_and_db())
        .edit(|p| {
            p.networks.get_mut("default").unwrap().as_mut().unwrap().external = true;
            p.volumes.get_mut("data").unwrap().as_mut().unwrap().external = true;
        })
        .plan();
    insta::assert_snapshot!(text, @r"error: declared as external, but not found: network shop_default, volume shop_data (create with `docker network create` or `docker volume create`, or remove `external: true`)");
}

#[test]
fn leftover_beside_the_original_is_removed() {
    let text = Stage::of(web())
        .up()
        .service("web", |s| set(s, "A", "1"))
        .world(|w| {
            let mut copy = w.named("shop-web-1").unwrap().clone();
            copy.name = format!("{}_shop-web-1", &copy.id[..12]);
            (copy.id, copy.state) = (w.fresh_id(), RunState::Created);
            w.observed.containers.push(copy);
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. remove container 00000000ab02_shop-web-1: left over from a replacement that was interrupted
      2. replace container shop-web-1: environment A added
         after 1
      3. start container shop-web-1: replaced
         after 2
    ");
}

#[test]
fn leftover_that_took_over_is_renamed() {
    let text = Stage::of(web())
        .up()
        .container("shop-web-1", |c| {
            c.name = "0123456789ab_shop-web-1".to_owned();
            c.state = RunState::Created;
        })
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. rename container 0123456789ab_shop-web-1 to shop-web-1: its replacement was interrupted before it got its final name
      2. start container shop-web-1: created, but never started
         after 1
    ");
}

#[test]
fn leftover_that_took_over_and_changed_is_replaced() {
    let text = Stage::of(web())
        .up()
        .container("shop-web-1", |c| c.name = "0123456789ab_shop-web-1".to_owned())
        .service("web", |s| set(s, "A", "1"))
        .plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container 0123456789ab_shop-web-1 by shop-web-1: environment A added
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn paused_container_is_resumed() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.state = RunState::Paused).plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. resume container shop-web-1: the container is paused
    ");
}

#[test]
fn dead_container_is_replaced() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.state = RunState::Dead).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: the engine marks the container dead
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn missing_number_names_the_container() {
    let text =
        Stage::of(web()).up().container("shop-web-1", |c| c.number = None).service("web", |s| set(s, "A", "1")).plan();
    insta::assert_snapshot!(text, @r"error: container shop-web-1 of service web must be replaced (environment A added), but its label com.docker.compose.container-number is missing or unreadable; remove the container (`docker rm -f shop-web-1`) and try again");
}

#[test]
fn missing_number_is_tolerated_while_nothing_changes() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.number = None).plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      web: running, nothing changed
    ");
}

#[test]
fn missing_oneoff_label_is_mended() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| drop(c.labels.remove(labels::ONEOFF))).plan();
    insta::assert_snapshot!(text, @r"
    shop: 2 steps
      1. replace container shop-web-1: label com.docker.compose.oneoff is missing, other tools would not start it
      2. start container shop-web-1: replaced
         after 1
    ");
}

#[test]
fn crashed_container_is_started() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.state = RunState::Exited(137)).plan();
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. start container shop-web-1: stopped with exit code 137
    ");
}

#[test]
fn restarting_container_is_left_to_the_gate() {
    let text = Stage::of(web()).up().container("shop-web-1", |c| c.state = RunState::Restarting).plan();
    insta::assert_snapshot!(text, @r"
    shop: nothing to do
    unchanged:
      web: nothing changed, but it keeps restarting
    ");
}

#[test]
fn links_are_created_first() {
    let text = Stage::of(json!({
        "db": {"image": "postgres"},
        "web": {"image": "shop", "links": ["db:database"], "depends_on": {"db": {"restart": true}}},
    }))
    .plan();
    insta::assert_snapshot!(text, @r"
    shop: 7 steps
      1. pull postgres: image postgres is not there yet
      2. pull shop: image shop is not there yet
      3. create network shop_default: network shop_default does not exist yet
      4. create container shop-db-1: no container yet
         after 1, 2, 3
      5. create container shop-web-1: no container yet
         after 4
      6. start container shop-db-1: created
         after 5
      7. start container shop-web-1: created
         after 6
    ");
}

/// `down` and its kin: the plan as printed, after it proved checked and executable.
fn taken(mut stage: Stage, plan: Plan) -> String {
    let text = render(&plan);
    check(&plan).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
    stage.world.apply(&stage.project, &plan);
    text
}

fn down_of(stage: Stage, with_file: bool, options: &DownOptions) -> String {
    let plan = down(with_file.then_some(&stage.project), &stage.world.observed, options);
    taken(stage, plan)
}

fn chain() -> Stage {
    Stage::of(json!({
        "api": {"image": "api", "depends_on": {"db": {"condition": "service_healthy", "restart": true}}},
        "db": {
            "image": "postgres",
            "healthcheck": {"test": ["CMD", "true"]},
            "volumes": [{"type": "volume", "source": "data", "target": "/data"}],
        },
        "web": {"build": {"context": "/src"}, "depends_on": {"api": {}}},
    }))
    .up()
}

#[test]
fn down_removes_dependents_first_and_keeps_data() {
    let text = down_of(chain(), true, &DownOptions::default());
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. remove container shop-web-1: the project is taken down
      2. remove container shop-api-1: the project is taken down
         after 1
      3. remove container shop-db-1: the project is taken down
         after 2
      4. remove network shop_default: the project is taken down
         after 3
    unchanged:
      volume shop_data: kept with its data
    ");
}

#[test]
fn down_without_a_file_reads_the_labels() {
    let options = DownOptions { project: "shop".to_owned(), volumes: true, ..DownOptions::default() };
    let text = down_of(chain(), false, &options);
    insta::assert_snapshot!(text, @r"
    shop: 5 steps
      1. remove container shop-web-1 and its anonymous volumes: the project is taken down
      2. remove container shop-api-1 and its anonymous volumes: the project is taken down
         after 1
      3. remove container shop-db-1 and its anonymous volumes: the project is taken down
         after 2
      4. remove network shop_default: the project is taken down
         after 3
      5. remove volume shop_data: removal of volumes was asked for, its data is lost
         after 3
    ");
}

#[test]
fn down_with_volumes_spares_external_ones_and_strangers() {
    let stage = chain().edit(|p| p.networks.get_mut("default").unwrap().as_mut().unwrap().external = true).world(|w| {
        drop(w.observed.volumes.get_mut("data").unwrap().labels.remove(labels::PROJECT));
    });
    let options = DownOptions { volumes: true, images: Some(RemoveImages::Local), ..DownOptions::default() };
    let text = down_of(stage, true, &options);
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. remove container shop-web-1 and its anonymous volumes: the project is taken down
      2. remove container shop-api-1 and its anonymous volumes: the project is taken down
         after 1
      3. remove container shop-db-1 and its anonymous volumes: the project is taken down
         after 2
      4. remove image shop-web: removal of images was asked for
         after 3
    warnings:
      volume shop_data was not created for this project; it is kept
    ");
}

#[test]
fn down_of_one_service_takes_what_depends_on_it() {
    let options = DownOptions { services: vec!["api".to_owned()], ..DownOptions::default() };
    let text = down_of(chain(), true, &options);
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. remove container shop-web-1: web depends on what is taken down
      2. remove container shop-api-1: api is taken down
         after 1
      3. remove network shop_default: the project is taken down
         after 2
    unchanged:
      volume shop_data: kept with its data
    ");
}

#[test]
fn down_mentions_what_it_leaves_alone() {
    let text = down_of(chain().edit(|p| drop(p.services.remove("web"))), true, &DownOptions::default());
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. remove container shop-api-1: the project is taken down
      2. remove container shop-db-1: the project is taken down
         after 1
      3. remove network shop_default: the project is taken down
         after 2
    unchanged:
      volume shop_data: kept with its data
    warnings:
      left alone, because no active service stands behind them: shop-web-1 (remove them with --remove-orphans)
    ");
}

#[test]
fn stop_goes_from_dependents_to_dependencies() {
    let stage = chain();
    let plan = stop("shop", None, &stage.world.observed, &[]);
    let text = taken(stage, plan);
    insta::assert_snapshot!(text, @r"
    shop: 3 steps
      1. stop container shop-web-1: asked for
      2. stop container shop-api-1: asked for
         after 1
      3. stop container shop-db-1: asked for
         after 2
    ");
}

#[test]
fn start_waits_for_conditions() {
    let mut stage = chain();
    let plan = stop("shop", None, &stage.world.observed, &[]);
    stage.world.apply(&stage.project, &plan);
    let plan = start("shop", Some(&stage.project), &stage.world.observed, &[]);
    let text = taken(stage, plan);
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. start container shop-db-1: asked for
      2. wait until db is healthy: api depends on it
         after 1
      3. start container shop-api-1: asked for
         after 2
      4. start container shop-web-1: asked for
         after 3
    ");
}

#[test]
fn restart_takes_along_those_that_ask_for_it() {
    let stage = chain();
    let plan = restart("shop", Some(&stage.project), &stage.world.observed, &["db".to_owned()]);
    let text = taken(stage, plan);
    insta::assert_snapshot!(text, @r"
    shop: 4 steps
      1. stop container shop-db-1: asked for
      2. start container shop-db-1: asked for
         after 1
      3. stop container shop-api-1: what it depends on is restarted
         after 2
      4. start container shop-api-1: what it depends on is restarted
         after 3
    ");
}

#[test]
fn remove_takes_stopped_containers_only() {
    let stage = chain().container("shop-web-1", |c| c.state = RunState::Exited(1));
    let plan = remove("shop", None, &stage.world.observed, &[], false, true);
    let text = taken(stage, plan);
    insta::assert_snapshot!(text, @r"
    shop: 1 step
      1. remove container shop-web-1 and its anonymous volumes: asked for
    unchanged:
      shop-api-1: running, not removed
      shop-db-1: running, not removed
    ");
}
