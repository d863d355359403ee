//! What would be left behind where a container of another project takes the place of one: volumes without a name go along, as far
//! as that can be; what lies in the container itself does not.

use super::{super::Failure, look::Looked};
use crate::{
    compose::model::{Brought, Project},
    engine::Engine,
    switch::Class,
};

/// Whether a service of this class has data that its successor has to have: what may be there twice has none of its own.
pub(super) fn keeps(class: Class) -> bool {
    class.stays() || class == Class::Held
}

/// Whether a service mounts something of its own at a path, so that what was there before is not seen any more.
pub(super) fn covered(projects: &[&Project], service: &str, path: &str) -> bool {
    let clean = |path: &str| path.trim_end_matches('/').to_owned();
    let services = projects.iter().filter_map(|project| project.services.get(service));
    let mut mounts = services.flat_map(|service| &service.volumes);
    mounts.any(|mount| clean(&mount.target) == clean(path) && (!mount.source.is_empty() || mount.r#type == "tmpfs"))
}

/// A volume without a name, at whose place the files of now have another one.
pub(super) fn refused(project: &str, service: &str, path: &str) -> Failure {
    Failure::new(format!(
        "{project} runs, and {service} writes {path} into a volume without a name; the Compose file mounts something else there by \
         now, and {service} would begin without what is in it"
    ))
    .hint(format!(
        "nothing was changed; bring over what is in it first: turnout compose -p {project} cp {service}:{path} ., or take that mount \
         out of the Compose file"
    ))
}

/// An engine that has nothing but its container.
pub(super) fn lost(project: &str, service: &str, what: &str, staying: &str) -> Failure {
    Failure::new(format!(
        "{project} runs in place, and {service} ({what}) has no volume: what it holds lies in its container and its memory, and \
         would end with them when {service} starts again as a container of {staying}"
    ))
    .hint(format!(
        "nothing was changed; if that may be lost (a cache), write: switch: {{ services: {{ {service}: {{ expendable: true }} }} }}; else \
         give it a volume where it writes, deploy that once without `switch`, and bring its data over"
    ))
}

impl Looked {
    /// Volumes without a name that containers of this project have are their successors', where those are to have the same data.
    ///
    /// # Errors
    /// The engine does not answer.
    pub(super) async fn bring_over(&mut self, engine: &Engine, from: &str) -> Result<(), Failure> {
        for (service, volume) in engine.nameless_volumes(from).await? {
            match self.derived.services.get(&service).map(|fate| fate.class) {
                Some(class) if class.stays() => bring(&mut self.staying.project, &service, &volume),
                Some(Class::Held) => {
                    bring(&mut self.colour.project, &service, &volume);
                    bring(&mut self.coloured.project, &service, &volume);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Has the containers of a project take a volume over.
pub(super) fn bring(project: &mut Project, service: &str, volume: &Brought) {
    let known = project.brought.entry(service.to_owned()).or_default();
    known.retain(|other| (other.number, &other.target) != (volume.number, &volume.target));
    known.push(volume.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(volumes: serde_json::Value) -> Project {
        let db = serde_json::from_value(serde_json::json!({ "image": "db", "volumes": volumes })).unwrap();
        Project { services: [("db".to_owned(), db)].into_iter().collect(), ..Project::default() }
    }

    #[test]
    fn what_is_mounted_there_covers_what_was_there() {
        let mount = |kind: &str, source: &str| {
            project(serde_json::json!([{ "type": kind, "source": source, "target": "/data" }]))
        };
        for (kind, source, is) in
            [("volume", "data", true), ("volume", "", false), ("bind", "/srv", true), ("tmpfs", "", true)]
        {
            assert_eq!(covered(&[&mount(kind, source)], "db", "/data/"), is, "{kind} {source}");
        }
        assert!(!covered(&[&mount("volume", "data")], "db", "/other"));
        assert!(!covered(&[&mount("volume", "data")], "web", "/data"));
    }

    #[test]
    fn the_last_one_at_a_place_counts() {
        let mut one = Project::default();
        let volume = |volume: &str, target: &str| Brought {
            number: 1,
            volume: volume.to_owned(),
            target: target.to_owned(),
            writable: true,
        };
        for (name, target) in [("a", "/data"), ("b", "/data"), ("c", "/log")] {
            bring(&mut one, "db", &volume(name, target));
        }
        assert_eq!(one.brought["db"], [volume("b", "/data"), volume("c", "/log")]);
    }
}
