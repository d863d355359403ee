//! What one commit may ask of the host that all repositories share. Pure.

use std::time::Duration;

use super::Failure;
use crate::{compose::model::Project, plan};

/// Containers of one project. An engine on one host has trouble with far fewer, and each is planned, made and watched.
const MOST_CONTAINERS: i64 = 1_000;
/// Dependencies between its services, in all. What is planned grows with services times dependencies.
const MOST_DEPENDENCIES: usize = 10_000;
/// Entries (list items and keys) of all containers: what the engine is told and holds, each container's own counted. Several
/// containers are made side by side.
const MOST_ENTRIES: usize = 400_000;
/// Longest time that a container may take to stop: its lane waits for it.
const LONGEST_STOP: Duration = Duration::from_secs(3600);

/// Refuses what would hold up the other repositories.
///
/// # Errors
/// With the service, the attribute and what it may be.
pub(super) fn refuse(project: &Project) -> Result<(), Failure> {
    let hint = "nothing was changed; correct the Compose file and push again";
    let (mut containers, mut dependencies, mut entries) = (0_i64, 0_usize, 0_usize);
    for (name, service) in &project.services {
        // One without containers is planned too.
        containers = containers.saturating_add(i64::from(service.scale().max(1)));
        if containers > MOST_CONTAINERS {
            return Err(Failure::new(format!(
                "services.{name} makes it more than {MOST_CONTAINERS} containers; a project that is deployed may have so many \
                 (deploy.replicas, scale; a service without any counts as one)"
            ))
            .hint(hint));
        }
        dependencies = dependencies.saturating_add(plan::dependencies(project, service).len());
        if dependencies > MOST_DEPENDENCIES {
            return Err(Failure::new(format!(
                "services.{name} makes it more than {MOST_DEPENDENCIES} dependencies between services; a project that is \
                 deployed may have so many (depends_on, links, volumes_from, network_mode, ipc, pid)"
            ))
            .hint(hint));
        }
        let replicas = usize::try_from(service.scale().max(1)).unwrap_or(usize::MAX);
        entries = entries.saturating_add(service.entries().saturating_mul(replicas));
        if entries > MOST_ENTRIES {
            return Err(Failure::new(format!(
                "services.{name} makes it more than {MOST_ENTRIES} entries (variables, labels, networks, mounts, ports and all \
                 other list items and keys, counted for each container); a project that is deployed may have so many"
            ))
            .hint(hint));
        }
        let stop = service.stop_grace_period.as_ref().map(|grace| grace.as_std());
        if stop.is_some_and(|stop| stop > LONGEST_STOP) {
            return Err(Failure::new(format!(
                "services.{name}.stop_grace_period is longer than an hour, and all that time nothing else of this \
                 repository could be deployed"
            ))
            .hint(hint));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::{Dependency, Deploy, Duration as Grace, Service};

    #[test]
    fn a_project_has_its_bounds() {
        let with = |services: &[(&str, i64, u64)]| {
            let mut project = Project::default();
            for (name, replicas, stop) in services {
                let nanos = i64::try_from(Duration::from_secs(*stop).as_nanos()).unwrap();
                let service = Service {
                    deploy: Some(Deploy { replicas: Some(*replicas), ..Deploy::default() }),
                    stop_grace_period: Some(Grace(nanos)),
                    ..Service::default()
                };
                project.services.insert((*name).to_owned(), service);
            }
            refuse(&project).map_err(|refused| refused.summary)
        };
        assert_eq!(with(&[("web", 500, 3600), ("worker", 500, 0)]), Ok(()));
        assert!(with(&[("web", 1000, 0), ("idle", 0, 0)]).is_err());
        let many = with(&[("web", 500, 0), ("worker", 501, 0)]).unwrap_err();
        assert!(many.contains("services.worker makes it more than 1000 containers"), "{many}");
        assert!(with(&[("web", 1_000_000_000, 0)]).is_err());
        let stop = with(&[("web", 1, 3601)]).unwrap_err();
        assert!(stop.contains("services.web.stop_grace_period is longer than an hour"), "{stop}");
    }

    #[test]
    fn entries_are_counted_for_each_container() {
        let with = |replicas: i64, count: usize| {
            let environment = (0..count).map(|n| (format!("V{n}"), None)).collect();
            let labels = (0..count).map(|n| (format!("l{n}"), String::new())).collect();
            let service = Service { environment, labels, scale: Some(replicas), ..Service::default() };
            let project = Project { services: [("web".to_owned(), service)].into(), ..Project::default() };
            refuse(&project).map_err(|refused| refused.summary)
        };
        assert_eq!(with(1, 150_000), Ok(()));
        assert_eq!(with(1000, 150), Ok(()));
        for (replicas, count) in [(1, 210_000), (0, 210_000), (3, 70_000), (1000, 210)] {
            let many = with(replicas, count).unwrap_err();
            assert!(many.starts_with("services.web makes it more than 400000 entries"), "{many}");
        }
    }

    #[test]
    fn dependencies_are_counted_in_all() {
        let each_on_the_last = |count: usize| {
            let mut project = Project::default();
            for number in 0..150_usize {
                let depends_on = (number.saturating_sub(count)..number)
                    .map(|other| (format!("s{other:03}"), Dependency::default()))
                    .collect();
                project.services.insert(format!("s{number:03}"), Service { depends_on, ..Service::default() });
            }
            refuse(&project).map_err(|refused| refused.summary)
        };
        assert_eq!(each_on_the_last(60), Ok(()));
        let many = each_on_the_last(150).unwrap_err();
        assert!(many.starts_with("services.s141 makes it more than 10000 dependencies between services"), "{many}");
    }
}
