//! Recorded cases of Compose (`case.json`; tests/compose-cases/README.md says what stands there), as requests to the loader.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use turnout_compose::load::LoadRequest;

/// What a case asks for, where its project lies in `directory`.
pub fn request(case: &Value, directory: &Path) -> LoadRequest {
    let text = |key: &str| case[key].as_str().map(|text| untoken(text, directory));
    let list = |key: &str| {
        let items = case[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        items.map(|text| untoken(text, directory)).collect::<Vec<_>>()
    };
    let variables = case["env"].as_object().into_iter().flatten();
    let variables: BTreeMap<String, String> =
        variables.map(|(key, value)| (key.clone(), untoken(value.as_str().unwrap_or_default(), directory))).collect();
    LoadRequest {
        working_dir: directory.to_path_buf(),
        project_directory: text("project_directory").map(Into::into),
        files: list("compose_files"),
        stdin: Some(String::new()),
        env_files: list("env_files"),
        project_name: text("project_name"),
        profiles: list("profiles"),
        process_env: variables,
        ..LoadRequest::default()
    }
}

/// `@DIR@` and `@DIR_UPn@` as the directories that they stand for.
pub fn untoken(text: &str, directory: &Path) -> String {
    let mut text = text.replace("@DIR@", &directory.to_string_lossy());
    for (ups, above) in directory.ancestors().enumerate().skip(1) {
        text = text.replace(&format!("@DIR_UP{ups}@"), &above.to_string_lossy());
    }
    text
}
