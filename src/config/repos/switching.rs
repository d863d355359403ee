//! `switch`: that a repository is deployed blue/green, and what is said otherwise than derived. The words inside it are
//! checked against the services of its project (`crates/switch`), when that is read.

use serde_json::{Map, Value as Json};

use super::fields::{Notes, join, kind};
use crate::{
    switch::said::keys::{KEYS, LATER, names},
    yaml::{Entry, Node, Value},
};

/// The one word with which all is derived.
pub(crate) const AUTO: &str = "auto";

/// The word that counts as nothing, where `defaults:` says otherwise.
pub(crate) const OFF: &str = "off";

/// Reads `auto`, `off`, or a mapping of known keys.
pub(super) fn read(entry: &Entry, at: &str, notes: &mut Notes) -> Option<Json> {
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
