//! What `config` prints.
//!
//! The document can be loaded again: `$` is doubled so that it is not taken for a variable. What was read from
//! elsewhere (content of secrets and of configs that come from variables, label files) is left out.

use serde_json::Value;

use super::model::Project;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// YAML.
    #[default]
    Yaml,
    /// JSON, indented by two.
    Json,
}

/// Prints the project. `escape_dollars` is false only for a document whose variables were never replaced.
pub fn render(project: &Project, format: Format, escape_dollars: bool) -> String {
    let mut project = printable(project);
    if format == Format::Json {
        // The real thing prints models in YAML only.
        project.models.clear();
    }
    // Keys are strings and numbers finite, so neither conversion can fail.
    let mut document = serde_json::to_value(&project).unwrap_or_default();
    if format == Format::Yaml {
        omit_unset_commands(&mut document);
    }
    let text = match format {
        Format::Json => go_escapes(&serde_json::to_string_pretty(&document).unwrap_or_default()),
        Format::Yaml => serde_yaml::to_string(&document).unwrap_or_default(),
    };
    if escape_dollars { text.replace('$', "$$") } else { text }
}

fn printable(project: &Project) -> Project {
    let mut printable = project.clone();
    for secret in printable.secrets.values_mut() {
        secret.content.clear();
    }
    for config in printable.configs.values_mut().filter(|config| !config.environment.is_empty()) {
        config.content.clear();
    }
    for service in printable.services.values_mut() {
        service.label_file.clear();
    }
    printable
}

/// YAML leaves a null command out, where JSON prints it.
fn omit_unset_commands(document: &mut Value) {
    match document {
        Value::Object(map) => {
            map.retain(|key, value| !(value.is_null() && matches!(key.as_str(), "command" | "entrypoint")));
            map.values_mut().for_each(omit_unset_commands);
        }
        Value::Array(items) => items.iter_mut().for_each(omit_unset_commands),
        _ => {}
    }
}

/// Go's encoder writes these characters as escapes, wherever they stand in a text.
fn go_escapes(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}
