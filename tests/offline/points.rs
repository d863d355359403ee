//! Every point at which a test may have the daemon die is in the list of docs/testing.md, and a test goes there: `src/store/dies.rs`. So
//! a new action, step or transaction without a test is red, and so is a row of one that is no more.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// How the list begins in the page.
const HEAD: &str = "| point | before | after |";
/// How a cell begins that names no test: a reason follows.
const NONE: &str = "–";

/// All sources below a folder, with their paths.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push((path.display().to_string(), fs::read_to_string(&path).unwrap())),
        }
    }
}

/// A text in which no call is parted from what it is made on.
fn joined(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ").replace(" .", ".")
}

/// What stands in quotation marks after each `call` of a text, one after the other as far as they are only parted by commas.
fn arguments<'t>(text: &'t str, call: &str) -> Vec<Vec<&'t str>> {
    let calls = text.match_indices(call).map(|(at, _)| text[at + call.len()..].trim_start());
    calls
        .map(|mut rest| {
            let mut all = Vec::new();
            while let Some((argument, left)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                all.push(argument);
                rest = left.trim_start_matches([',', ' ', '\n']);
            }
            all
        })
        .collect()
}

/// The names that a function gives to its variants: the one that is called `word` in this file.
fn words(text: &str) -> Vec<&str> {
    let body = text.split_once("fn word(").expect("a function `word`").1;
    let body = body.split_once("\n}\n").map_or(body, |(body, _)| body);
    arguments(body, "=>").into_iter().flatten().collect()
}

/// Every point of the sources.
fn points() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    sources(&root, &mut all);
    let mut found = BTreeSet::new();
    let mut both = |what: &str| ["before", "after"].map(|when| found.insert(format!("{when} {what}")));
    for (file, text) in &all {
        // Of transactions, who tests the writer itself has some that nobody else has.
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let (text, whole) = (&joined(text), text);
        for call in [".run(", ".hand_in(", ".try_run("] {
            for what in arguments(text, &format!("writer{call}")).into_iter().flatten() {
                both(what);
            }
        }
        if file.ends_with("deploy/dying.rs") || file.ends_with("deploy/drive/mod.rs") {
            for what in words(whole) {
                both(what);
            }
        }
    }
    for (_, text) in &all {
        for named in arguments(text, "dies::here(") {
            if let [when, what] = named[..] {
                found.insert(format!("{when} {what}"));
            }
        }
    }
    found
}

/// What the page says of each point.
fn listed() -> BTreeMap<String, String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/testing.md")).unwrap();
    let (_, list) = page.split_once(HEAD).expect("the list of points");
    let rows = list.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut all = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [what, before, after] = cells[..] else { panic!("not three cells: {row}") };
        for (when, cell) in [("before", before), ("after", after)] {
            let former = all.insert(format!("{when} {}", what.trim_matches('`')), cell.to_owned());
            assert_eq!(former, None, "{what} has two rows");
        }
    }
    all
}

#[test]
fn every_point_is_in_the_list_and_a_test_goes_there() {
    let (points, listed) = (points(), listed());
    assert!(points.len() > 100, "the sources are read otherwise than they are written: {points:?}");
    let unlisted: Vec<&String> = points.iter().filter(|point| !listed.contains_key(*point)).collect();
    assert!(unlisted.is_empty(), "points that docs/testing.md does not list: {unlisted:#?}");
    let mut wrong = Vec::new();
    for (point, cell) in &listed {
        if let Some(reason) = cell.strip_prefix(NONE) {
            let is_there = points.contains(point);
            if is_there && reason.trim().len() < 10 {
                wrong.push(format!("{point}: no test, and no reason"));
            }
            continue;
        }
        if !points.contains(point) {
            wrong.push(format!("{point}: there is no such point"));
        }
        for test in cell.split(',').map(|name| name.trim().trim_matches('`')) {
            let file = format!("tests/{test}.rs");
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file));
            // Whatever else is wanted there, a death or a panic, stands before it.
            if !text.is_ok_and(|text| text.contains(&format!("{point}\""))) {
                wrong.push(format!("{point}: not in {file}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn points_are_found_however_they_are_written() {
    let text =
        "dies::here(\"before\", \"a\");\ndies::here(\n    \"after\",\n    \"b c\",\n);\ndies::here(when, word(x));";
    assert_eq!(arguments(text, "dies::here("), [vec!["before", "a"], vec!["after", "b c"], Vec::new()]);
    let text = "fn word(x: X) -> &'static str {\n    match x {\n        X::A => \"a\",\n        X::B { .. } => \"b\",\n    }\n}\n\"=> no\"";
    assert_eq!(words(text), ["a", "b"]);
    let text = joined("self.inner\n    .writer\n    .run(\"recording it\", work)\n    .await");
    assert_eq!(arguments(&text, "writer.run("), [vec!["recording it"]]);
}
