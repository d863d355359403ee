//! How turnout speaks: whatever is counted is counted with its plural.

use std::path::{Path, PathBuf};

/// Nouns that turnout counts. Of `bytes`, `levels`, `values` and the like limits are told, which are never 1.
const NOUNS: [&str; 21] = [
    "files",
    "commits",
    "lines",
    "containers",
    "steps",
    "services",
    "deployments",
    "repositories",
    "submodules",
    "packs",
    "layers",
    "objects",
    "things",
    "folders",
    "deliveries",
    "pushes",
    "connections",
    "volumes",
    "networks",
    "images",
    "mistakes",
];

/// What is filled in as a number and followed by a plural: `{count} files`, `{} more files`, also over a line's end.
fn loose(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace("\\\n", " ");
    let mut found = Vec::new();
    for (at, _) in code.match_indices('}') {
        let Some((before, after)) = code.split_at_checked(at + 1) else { continue };
        let filled = before.rsplit_once('{').map_or("", |(_, name)| name.trim_end_matches('}'));
        // A constant is a limit; what is no name of a variable was not filled in.
        if filled.chars().any(|c| !(c.is_ascii_lowercase() || "_.:?0123456789".contains(c))) {
            continue;
        }
        let words: Vec<&str> = after.split_whitespace().take(3).collect();
        let is_noun = |word: &&str| NOUNS.contains(&word.trim_end_matches(|c: char| !c.is_ascii_alphabetic()));
        let plain = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase());
        let among = words.iter().take_while(plain).count();
        if after.starts_with(' ') && words.iter().take(among + 1).any(is_noun) {
            let said: String = after.chars().take(40).collect();
            found.push(format!("{{{filled}}}{said}"));
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// Texts in which what is filled in is no number, or never 1.
const OTHERWISE: [&str; 10] = [
    // A limit, a share of several, names, and the words of Compose.
    "{most} connections",
    "{} of earlier images",
    "{kind} files with supported names",
    "{} layers, {}/{} MB",
    "{} objects",
    "{scale} containers (remove container_name",
    "{most} containers (lower its scale",
    "{path} without its files",
    "{former} and its volumes",
    // Counted before.
    "{what} of mounted files",
];

#[test]
fn nothing_is_counted_past_this() {
    let mut files = Vec::new();
    for top in ["src", "crates"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(top), &mut files);
    }
    let mut faults = Vec::new();
    for file in files {
        let shown = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string();
        // The Compose commands speak as the real ones do.
        if !shown.ends_with(".rs") || shown.starts_with("crates/composer/") || shown.contains("/situations/") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        let loose = loose(product);
        let bad = loose.into_iter().filter(|said| !OTHERWISE.iter().any(|fine| said.starts_with(fine)));
        faults.extend(bad.map(|said| format!("{shown}: {said}")));
        // `file(s)`, but not `f(s)` of the language.
        let lazy = product
            .lines()
            .filter(|line| line.contains('"') && ["(s) ", "(s)\"", "(s),"].iter().any(|s| line.contains(s)));
        let lazy = lazy.filter(|line| line.split('"').skip(1).step_by(2).any(|quoted| quoted.contains("(s)")));
        faults.extend(lazy.map(|line| format!("{shown}: {}", line.trim())));
    }
    assert!(faults.is_empty(), "use `report::counted`, or say why not:\n{}", faults.join("\n"));
}
