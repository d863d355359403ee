//! `switch`: that a repository is deployed blue/green, and what is said otherwise than derived. The words inside it are
//! checked against the services of its project (`crates/switch`), when that is read.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::fields::{Notes, join, kind};
use crate::{
    config::mistake::{Mistake, Place},
    switch::said::keys::{KEYS, LATER, names},
    yaml::{Entry, Node, Pos, Value},
};

/// The one word with which all is derived.
pub(crate) const AUTO: &str = "auto";

/// The word that counts as nothing, where `defaults:` says otherwise.
pub(crate) const OFF: &str = "off";

/// Where it stands in repos.yaml, and all that is in it. What is wrong with a value shows only beside the project's services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwitchPlaces {
    /// Its path in the document: `shop.switch`, `defaults.switch`.
    path: String,
    /// Of each value, by its path below that: `.routes[0].listen`.
    below: BTreeMap<String, Pos>,
}

impl SwitchPlaces {
    fn of(node: &Node, path: &str) -> SwitchPlaces {
        let mut places = SwitchPlaces { path: path.to_owned(), below: BTreeMap::new() };
        places.add(node, String::new());
        places
    }

    fn add(&mut self, node: &Node, path: String) {
        match &node.value {
            Value::Seq(items) => {
                items.iter().enumerate().for_each(|(at, item)| self.add(item, format!("{path}[{at}]")));
            }
            Value::Map(map) => map.iter().for_each(|(key, entry)| self.add(&entry.node, format!("{path}.{key}"))),
            _ => {}
        }
        self.below.insert(path, node.pos.clone());
    }

    /// A mistake, at its place. `path`: as `crates/switch` calls it, `switch.routes[0].listen`. `None`: it is none of repos.yaml's.
    pub fn mistake(&self, path: &str, message: &str) -> Option<Mistake> {
        let below = path.strip_prefix("switch").filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))?;
        // What is missing is told where it is to be.
        let mut nearest = below;
        let pos = loop {
            match (self.below.get(nearest), nearest.rfind(['.', '['])) {
                (Some(pos), _) => break pos,
                (None, Some(end)) => nearest = nearest.get(..end)?,
                (None, None) => return None,
            }
        };
        Some(Mistake::new(Place::At(pos.clone()), format!("{}{below}", self.path), message))
    }
}

/// What was read: the value, and where it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Switching {
    pub(super) said: Json,
    pub(super) places: SwitchPlaces,
}

/// Reads `auto`, `off`, or a mapping of known keys.
pub(super) fn read(entry: &Entry, at: &str, notes: &mut Notes) -> Option<Switching> {
    let said = value(entry, at, notes)?;
    Some(Switching { said, places: SwitchPlaces::of(&entry.node, at) })
}

fn value(entry: &Entry, at: &str, notes: &mut Notes) -> Option<Json> {
    match &entry.node.value {
        Value::Str(word) if word == AUTO || word == OFF => Some(json(&entry.node)),
        Value::Map(map) => {
            let later = map.iter().filter(|(key, _)| LATER.contains(&key.as_str()));
            for (key, entry) in later.collect::<Vec<_>>() {
                let message = "is not there yet; this turnout derives, switches, bakes and goes back";
                notes.wrong_hint(&entry.key_pos, &join(at, key), message, "take it out until a later turnout");
            }
            notes.unknown_keys(map, at, &[&names(KEYS)[..], LATER].concat(), &[]);
            Some(json(&entry.node))
        }
        other => {
            let message = format!("is {}, `auto`, `off` or a mapping is needed", kind(other));
            notes.wrong_hint(&entry.node.pos, at, message, "`switch: auto` derives everything from the Compose file");
            None
        }
    }
}

/// A value of YAML as one of JSON. The reader has bounded its size and depth.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Uint(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Str(text) | Value::Time(text) => text.clone().into(),
        Value::Seq(items) => items.iter().map(json).collect::<Vec<_>>().into(),
        Value::Map(map) => {
            let entries = map.iter().map(|(key, entry)| (key.clone(), json(&entry.node)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use crate::config::repos::{self, PathState};

    fn read(value: &str) -> Result<Option<serde_json::Value>, String> {
        let text = format!("shop:\n  path: /srv/shop\n  switch: {value}\n");
        let look = |path: &Path| PathState::Directory(path.to_path_buf());
        let list = repos::parse(&text, "repos.yaml", &look).map_err(|mistakes| mistakes.to_string())?;
        Ok(list.repos.into_iter().next().and_then(|repo| repo.switch))
    }

    #[test]
    fn off_is_as_nothing_where_the_defaults_say_otherwise() {
        let text = "defaults: { switch: auto }\nshop: { path: /srv/shop, switch: off }\nblog: { path: /srv/blog }\n";
        let look = |path: &Path| PathState::Directory(path.to_path_buf());
        let list = repos::parse(text, "repos.yaml", &look).map_err(|mistakes| mistakes.to_string()).unwrap();
        let found: Vec<_> = list.repos.into_iter().map(|repo| (repo.name, repo.switch.is_some())).collect();
        assert_eq!(found, [("shop".to_owned(), false), ("blog".to_owned(), true)]);
    }

    #[test]
    fn each_value_has_its_place() {
        let text = "
repos:
  shop:
    path: /srv/shop
    switch:
      bake: soon
      routes:
        - { listen: 80, to: web }
        - listen: x
          hosts: [a, b]
  blog: { path: /srv/blog, switch: auto }
";
        let look = |path: &Path| PathState::Directory(path.to_path_buf());
        let list = repos::parse(text, "repos.yaml", &look).map_err(|mistakes| mistakes.to_string()).unwrap();
        let [shop, blog] = list.repos.as_slice() else { panic!("{list:?}") };
        let told = |path: &str| shop.switch_places.mistake(path, "is wrong").map(|mistake| mistake.to_string());
        for (path, said) in [
            ("switch.bake", "repos.yaml:6:13: repos.shop.switch.bake: is wrong"),
            ("switch.routes[1].listen", "repos.yaml:9:19: repos.shop.switch.routes[1].listen: is wrong"),
            ("switch.routes[1].hosts[1]", "repos.yaml:10:22: repos.shop.switch.routes[1].hosts[1]: is wrong"),
            // What is missing.
            ("switch.routes[1].to", "repos.yaml:9:11: repos.shop.switch.routes[1].to: is wrong"),
        ] {
            assert_eq!(told(path).as_deref(), Some(said));
        }
        assert_eq!((told("x-turnout.bake"), told("switches")), (None, None));
        let other = blog.switch_places.mistake("switch", "is wrong").unwrap().to_string();
        assert_eq!(other, "repos.yaml:11:36: repos.blog.switch: is wrong");
    }

    #[test]
    fn one_word_or_a_mapping() {
        assert_eq!(read("auto"), Ok(Some(json!("auto"))));
        assert_eq!(read("off"), Ok(None));
        assert_eq!(read("{ by: color, bake: 90s }"), Ok(Some(json!({ "by": "color", "bake": "90s" }))));
        for (value, said) in [
            ("yes", "`auto`, `off` or a mapping is needed"),
            ("[red, blue]", "`auto`, `off` or a mapping is needed"),
            ("{ bakes: 1m }", "did you mean `bake`?"),
            ("{ memory: 5 }", "is not there yet"),
        ] {
            let mistakes = read(value).unwrap_err();
            assert!(mistakes.contains(said) && mistakes.contains("switch"), "{value}: {mistakes}");
        }
    }
}
