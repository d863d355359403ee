//! Whose health checks turnout runs itself while colours change, and how long they may take. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::made::Made;
use crate::{
    compose::model::Project,
    engine::Probing,
    plan::{Action, Plan},
    report::Reporter,
};

/// Health checks that are waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    /// Services that are left to the engine.
    not: BTreeSet<String>,
    /// How long they may take, where the gate says so.
    limits: BTreeMap<String, Duration>,
}

impl Checks {
    /// Of a colour: nothing in it has storage of its own to begin with.
    pub fn of_colour(made: &Made) -> Checks {
        let limits =
            made.services.iter().filter_map(|one| Some((one.name.clone(), Duration::from_millis(one.patience?))));
        Checks { not: BTreeSet::new(), limits: limits.collect() }
    }

    /// Of what stays, or is in place. A database whose storage is empty answers its check while it is still setting itself up,
    /// and then restarts: what begins so is left to the engine, which asks later. `over`: containers of another project go over
    /// with their storage, so that one without a predecessor is none that begins.
    pub fn in_place(plan: &Plan, project: &Project, over: bool) -> Checks {
        let mut not = BTreeSet::new();
        for step in &plan.steps {
            match &step.action {
                Action::CreateVolume { key, .. } => {
                    let mounts = project.services.iter().filter(|(_, service)| {
                        service.volumes.iter().any(|mount| mount.r#type == "volume" && mount.source == *key)
                    });
                    not.extend(mounts.map(|(name, _)| name.clone()));
                }
                Action::CreateContainer { service, replaces: None, .. } if !over => {
                    not.insert(service.clone());
                }
                _ => {}
            }
        }
        Checks { not, limits: BTreeMap::new() }
    }

    /// For whoever waits; it is told there.
    pub fn probing<'a>(&'a self, reporter: &'a dyn Reporter) -> Probing<'a> {
        let Checks { not, limits } = self;
        Probing { not, limits, reporter }
    }

    /// The longest that any may take, where that is known.
    pub fn longest(&self) -> Duration {
        self.limits.values().copied().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::made::tests::shop, *};
    use crate::{
        compose::model::{Mount, Service},
        plan::{Condition, Replaced, Step},
    };

    #[test]
    fn a_colour_has_as_long_as_its_gate_says() {
        let mut made = shop();
        made.services[1].patience = Some(7_000);
        let checks = Checks::of_colour(&made);
        assert_eq!(checks.limits, BTreeMap::from([("web".to_owned(), Duration::from_secs(7))]));
        assert_eq!((checks.longest(), checks.not.len()), (Duration::from_secs(7), 0));
    }

    #[test]
    fn what_begins_with_empty_storage_is_left_to_the_engine() {
        let mount = Mount { r#type: "volume".to_owned(), source: "data".to_owned(), ..Mount::default() };
        let db = Service { volumes: vec![mount], ..Service::default() };
        let services = [("db".to_owned(), db), ("cache".to_owned(), Service::default())];
        let project = Project { services: services.into(), ..Project::default() };
        let create = |service: &str, replaces: Option<Replaced>| Action::CreateContainer {
            service: service.to_owned(),
            number: 1,
            name: service.to_owned(),
            create_as: service.to_owned(),
            replaces,
        };
        let volume = Action::CreateVolume { key: "data".to_owned(), name: "shop_data".to_owned() };
        let before = Replaced { id: "1".to_owned(), name: "db".to_owned(), inherit_volumes: true };
        let left = |actions: &[&Action], over| {
            let steps =
                actions.iter().map(|action| Step::new((*action).clone(), "test", Vec::new(), Condition::Always));
            let checks = Checks::in_place(&Plan { steps: steps.collect(), ..Plan::default() }, &project, over);
            checks.not.into_iter().collect::<Vec<_>>()
        };
        let (first, again) = (create("db", None), create("db", Some(before)));
        assert_eq!(left(&[&first, &create("cache", None)], false), ["cache", "db"]);
        assert_eq!(left(&[&again], false), Vec::<String>::new());
        assert_eq!(left(&[&first], true), Vec::<String>::new(), "its volumes go over");
        assert_eq!(left(&[&volume, &first], true), ["db"]);
        assert_eq!(left(&[&volume, &again], false), ["db"]);
    }
}
