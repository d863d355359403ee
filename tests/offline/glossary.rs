//! Words that docs/glossary.md says mean one thing each: how many types of that name there are.

use std::{collections::BTreeMap, fs};

use syn::visit::Visit;

use crate::imports;

/// The words, and where each is the name of a type; of `proxy` there is none. Modules: [`MODULES`].
const TYPES: &[(&str, &[&str])] = &[
    ("Proxy", &[]),
    ("State", &["src/store/records/state.rs"]),
    ("Verdict", &["src/rollout/analysis.rs"]),
    ("Reader", &["crates/yaml/src/reader.rs"]),
    ("Loaded", &["crates/compose/src/load.rs"]),
    ("Control", &["src/server/command.rs"]),
];

/// The same of modules and their files: `control` is the control socket, of the daemon and of `turnout-proxy`.
const MODULES: &[(&str, &[&str])] = &[
    ("proxy", &["crates/net/src/lib.rs"]),
    ("state", &["src/rollout/mod.rs", "src/store/records/mod.rs"]),
    ("verdict", &[]),
    ("reader", &["crates/yaml/src/lib.rs"]),
    ("loaded", &[]),
    ("control", &["crates/proxy/src/main.rs", "crates/traffic/src/lib.rs", "src/server/mod.rs"]),
];

#[derive(Default)]
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item::{Enum, Struct, Trait, Type, Union};
        match item {
            Enum(item) => self.0.push(item.ident.to_string()),
            Struct(item) => self.0.push(item.ident.to_string()),
            Trait(item) => self.0.push(item.ident.to_string()),
            Type(item) => self.0.push(item.ident.to_string()),
            Union(item) => self.0.push(item.ident.to_string()),
            syn::Item::Mod(item) => self.0.push(item.ident.to_string()),
            _ => {}
        }
        syn::visit::visit_item(self, item);
    }
}

/// Every type and module of the tree but those of tests, with the files that define one of that name.
fn names() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let crates = imports::rooms().into_iter().filter(|(room, _)| matches!(room, imports::Room::Crate(_)));
    for folder in crates.map(|(_, folder)| folder).chain([imports::top().join("src")]) {
        for file in imports::product_files(&folder) {
            let mut names = Names::default();
            names.visit_file(&imports::parsed(&file));
            let relative = file.strip_prefix(imports::top()).unwrap().display().to_string();
            names.0.into_iter().for_each(|name| found.entry(name).or_default().push(relative.clone()));
        }
    }
    found
}

#[test]
fn six_words_mean_one_thing_each() {
    let names = names();
    for (word, files) in TYPES.iter().chain(MODULES) {
        let found = names.get(*word).cloned().unwrap_or_default();
        assert_eq!(
            found, *files,
            "{word}: give the other one a name of its own, or say in docs/glossary.md what both are"
        );
    }
}

#[test]
fn the_glossary_names_what_means_several_things() {
    let names = names();
    let page = fs::read_to_string(imports::top().join("docs/glossary.md")).unwrap();
    let listed = |word: &str| page.lines().any(|line| line.starts_with(&format!("| `{word}` |")));
    for word in ["Answer", "Found", "Refusal", "Way", "Standing", "Cause"] {
        assert!(listed(word), "{word} is in no table of docs/glossary.md");
        assert!(names.get(word).is_some_and(|files| files.len() > 1), "{word} means one thing now: take it out there");
    }
}
