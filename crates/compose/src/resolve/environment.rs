//! Variables that a file names without a value (`environment: [KEY]`, `secrets` and `configs` from variables): the
//! value comes from the project's environment.

use std::collections::BTreeMap;

use super::defaults::insert;
use turnout_yaml::{Node, Value};

/// Key under which a secret carries the value of its variable through merging; never printed.
pub(super) const SECRET_VALUE: &str = "x-#value";

/// Fills in `- KEY` of services, and the values that secrets and configs take from variables, in place.
pub fn resolve(root: &mut Node, environment: &BTreeMap<String, String>) {
    for service in children(root, "services") {
        let Some(entry) = service.as_map_mut().and_then(|map| map.get_mut("environment")) else { continue };
        let Value::Seq(lines) = &mut entry.node.value else { continue };
        lines.retain(|line| line.as_str().is_some());
        for line in lines {
            let Value::Str(text) = &mut line.value else { continue };
            if let Some(value) = environment.get(text) {
                *text = format!("{text}={value}");
            }
        }
    }
    for (section, key) in [("secrets", SECRET_VALUE), ("configs", "content")] {
        for object in children(root, section) {
            let pos = object.pos.clone();
            let Some(map) = object.as_map_mut() else { continue };
            let variable = map.get("environment").and_then(|entry| entry.node.as_str());
            if let Some(value) = variable.and_then(|name| environment.get(name)) {
                insert(map, &pos, key, Value::Str(value.clone()));
            }
        }
    }
}

fn children<'a>(root: &'a mut Node, section: &str) -> impl Iterator<Item = &'a mut Node> {
    let section = root.as_map_mut().and_then(|map| map.get_mut(section)).and_then(|entry| entry.node.as_map_mut());
    section.into_iter().flat_map(|map| map.values_mut()).map(|entry| &mut entry.node)
}
