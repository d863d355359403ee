//! `x-*` keys below the top level: kept only to be printed again, in YAML.

use std::collections::BTreeMap;

use turnout_yaml::{Node, Value};

/// The `x-*` keys of a mapping, and of those inside it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extras {
    /// Keys of this mapping.
    pub own: Vec<(String, Node)>,
    /// Mappings and lists inside it that have some; items of a list by their number.
    pub inside: BTreeMap<String, Extras>,
}

impl Extras {
    /// Collects every `x-*` key of a document, where `x-*` is no name that the user chose (compose-go
    /// `loader.processExtensions`).
    pub fn of(root: &Node) -> Extras {
        collect(root, &mut Vec::new())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.inside.is_empty()
    }
}

fn collect<'a>(node: &'a Node, path: &mut Vec<&'a str>) -> Extras {
    let mut extras = Extras::default();
    match &node.value {
        Value::Map(map) => {
            let names = matches!(
                path.as_slice(),
                ["services" | "volumes" | "networks" | "secrets" | "configs"] | ["services", _, "depends_on"]
            );
            // These the real thing forgets.
            let lost = matches!(
                path.as_slice(),
                ["services", _, "gpus", _]
                    | ["services", _, "deploy", "resources", "reservations", "devices", _]
                    | ["services", _, "env_file", _]
                    | ["networks", _, "ipam", "config", _]
            );
            for (key, entry) in map {
                if key.starts_with("x-") && !names {
                    if !lost && key != SECRET_VALUE {
                        extras.own.push((key.clone(), entry.node.clone()));
                    }
                    continue;
                }
                path.push(key);
                let inside = collect(&entry.node, path);
                path.pop();
                if !inside.is_empty() {
                    extras.inside.insert(key.clone(), inside);
                }
            }
        }
        Value::Seq(items) => {
            for (index, item) in items.iter().enumerate().filter(|(_, item)| item.as_map().is_some()) {
                path.push("[]");
                let inside = collect(item, path);
                path.pop();
                if !inside.is_empty() {
                    extras.inside.insert(index.to_string(), inside);
                }
            }
        }
        _ => {}
    }
    extras
}

/// Key under which the value of a secret's variable travels through the document; never printed.
pub(crate) const SECRET_VALUE: &str = "x-#value";
