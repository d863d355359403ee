//! Every acceptance behaviour of the Compose engine has a test that says so in its name: `checklist_NN_…`. The behaviours
//! are listed in docs/testing.md.

use std::{collections::BTreeMap, fs, path::Path};

/// Behaviours 1 to this one.
const LAST: u32 = 45;

fn names(dir: &Path, found: &mut BTreeMap<u32, Vec<String>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names(&path, found);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("checklist.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let mut attributed = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                attributed = true;
            } else if let Some((_, name)) = line.split_once("fn checklist_") {
                assert!(attributed, "{}: {line}: no test", path.display());
                let name = name.split('(').next().unwrap();
                // `checklist_32_and_33_…` is about both.
                let mut parts = name.split('_');
                while let Some(number) = parts.next().and_then(|part| part.parse().ok()) {
                    found.entry(number).or_default().push(format!("{}: checklist_{name}", path.display()));
                    if parts.next() != Some("and") {
                        break;
                    }
                }
                attributed = false;
            } else if !line.starts_with('#') {
                attributed = false;
            }
        }
    }
}

#[test]
fn every_behaviour_has_a_test_of_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    names(&root.join("tests"), &mut found);
    names(&root.join("src"), &mut found);
    names(&root.join("crates"), &mut found);
    let missing: Vec<u32> = (1..=LAST).filter(|number| !found.contains_key(number)).collect();
    assert!(missing.is_empty(), "behaviours without a test named checklist_NN_…: {missing:?}");
    let unknown: Vec<_> = found.iter().filter(|(number, _)| !(1..=LAST).contains(number)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// The page sends a reader to a file and a test: both are there, the test is of that behaviour, and no behaviour is left out.
#[test]
fn the_page_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/testing.md")).unwrap();
    let mut listed = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && line.contains("`checklist_")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _, test] = cells[..] else { panic!("not three cells: {row}") };
        let (file, name) = test.split_once(": ").unwrap_or_else(|| panic!("no `file`: `test`: {row}"));
        let (file, name) = (file.trim_matches('`'), name.trim_matches('`'));
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("fn {name}(")), "{file} has no test {name}");
        let number: u32 = number.parse().unwrap_or_else(|error| panic!("{number}: {error}"));
        assert!(name.split('_').any(|part| part.parse() == Ok(number)), "{name} is not of behaviour {number}");
        listed.push(number);
    }
    assert_eq!(listed, (1..=LAST).collect::<Vec<_>>(), "each behaviour has one row, in order");
}
