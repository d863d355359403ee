//! Every project that the reference implementation printed fits the model, and prints back the same.

use turnout::compose::model::Project;

use crate::compose_cases;

#[test]
fn every_recorded_project_fits_the_model_and_prints_back_equal() {
    let mut seen = 0;
    let mut failures = Vec::new();
    for case in compose_cases::all() {
        let file = case.directory.join("expected.json");
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
    assert!(seen > 200, "only {seen} recorded projects found");
    assert!(failures.is_empty(), "{} of {seen} differ:\n{}", failures.len(), failures.join("\n"));
}
