//! Every project that the reference implementation printed fits the model, and prints back the same.

#![expect(clippy::print_stdout, reason = "a test that cannot run says so")]

use std::path::{Path, PathBuf};

use turnout::compose::model::Project;

/// The shared corpus, or `None` with a printed reason when this machine does not have it.
fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("TURNOUT_SHARED")
        .map_or_else(|| Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")).to_owned(), PathBuf::from);
    let cases = shared.join("compose-corpus/cases");
    if cases.is_dir() {
        return Some(cases);
    }
    println!("not run: {} does not exist (set TURNOUT_SHARED to the folder of the shared corpus)", cases.display());
    None
}

#[test]
fn every_recorded_project_fits_the_model_and_prints_back_equal() {
    let Some(cases) = corpus() else { return };
    let mut seen = 0;
    let mut failures = Vec::new();
    for category in std::fs::read_dir(&cases).unwrap() {
        for case in std::fs::read_dir(category.unwrap().path()).unwrap() {
            let file = case.unwrap().path().join("expected.json");
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            seen += 1;
            let recorded: serde_json::Value = serde_json::from_str(&text).unwrap();
            match serde_json::from_value::<Project>(recorded.clone()) {
                Err(error) => failures.push(format!("{}: {error}", file.display())),
                Ok(project) => {
                    let printed = serde_json::to_value(&project).unwrap();
                    if printed != recorded {
                        failures.push(format!("{}: prints differently\n{printed}", file.display()));
                    }
                }
            }
        }
    }
    assert!(seen > 300, "only {seen} recorded projects found");
    assert!(failures.is_empty(), "{} of {seen} differ:\n{}", failures.len(), failures.join("\n"));
}
