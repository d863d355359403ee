//! Recorded projects: the project's own, and those that others published. The latter have licences of their own and lie beside the
//! project (`../shared/compose-corpus`, or `TURNOUT_SHARED`); where they are absent, that is said.

#![expect(clippy::print_stdout, reason = "what is not run is said")]

use std::{collections::BTreeMap, fs, path::PathBuf};

/// One of them.
pub struct Case {
    /// `category/name`.
    pub name: String,
    /// Where its files lie.
    pub directory: PathBuf,
}

/// All that are here, by name. Of the same name, the project's own counts.
pub fn all() -> Vec<Case> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("TURNOUT_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let published = shared.join("compose-corpus/cases");
    let mut all = BTreeMap::new();
    if published.is_dir() {
        list(&published, &mut all);
    } else {
        println!(
            "of the recorded projects only our own: {} is absent (TURNOUT_SHARED names another place)",
            shared.display()
        );
    }
    let others = all.len();
    list(&root.join("tests/compose-cases"), &mut all);
    assert!(all.len() >= 277 && (others == 0 || others >= 500), "{} cases, {others} beside the project", all.len());
    all.into_iter().map(|(name, directory)| Case { name, directory }).collect()
}

fn list(top: &std::path::Path, all: &mut BTreeMap<String, PathBuf>) {
    for category in fs::read_dir(top).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for case in fs::read_dir(category).unwrap().map(|entry| entry.unwrap().path()) {
            if case.join("case.json").exists() {
                all.insert(case.strip_prefix(top).unwrap().display().to_string(), case);
            }
        }
    }
}
