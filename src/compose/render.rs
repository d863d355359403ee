//! What `config` prints.
//!
//! The document can be loaded again: `$` is doubled so that it is not taken for a variable. What was read from
//! elsewhere (content of secrets and of configs that come from variables, label files) is left out.

use serde_json::Value;

use super::model::{Project, Service};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// YAML.
    #[default]
    Yaml,
    /// JSON, indented by two.
    Json,
}

/// A project that has no form in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Compose 2.40 has no JSON for these, so nothing could read what would be printed.
    #[error("services.{service}.build.ssh: a key with a path has no JSON form (print YAML instead)")]
    SshKeyInJson {
        /// Service that is built with the key.
        service: String,
    },
    /// The document could not be written.
    #[error("the project cannot be printed: {0}")]
    Write(String),
}

/// Prints the project. `escape_dollars` is false only for a document whose variables were never replaced.
///
/// # Errors
///
/// [`RenderError`].
pub fn render(project: &Project, format: Format, escape_dollars: bool) -> Result<String, RenderError> {
    let project = printable(project);
    let text = match format {
        Format::Json => json(project)?,
        Format::Yaml => yaml(&project)?,
    };
    Ok(if escape_dollars { text.replace('$', "$$") } else { text })
}

fn json(mut project: Project) -> Result<String, RenderError> {
    let keys = |service: &Service| service.build.iter().any(|build| build.ssh.iter().any(|key| !key.path.is_empty()));
    if let Some((service, _)) = project.services.iter().find(|(_, service)| keys(service)) {
        return Err(RenderError::SshKeyInJson { service: service.clone() });
    }
    // The real thing prints models in YAML only.
    project.models.clear();
    let text = serde_json::to_string_pretty(&project).map_err(|error| RenderError::Write(error.to_string()))?;
    Ok(go_escapes(&text))
}

fn yaml(project: &Project) -> Result<String, RenderError> {
    let mut document = serde_json::to_value(project).map_err(|error| RenderError::Write(error.to_string()))?;
    omit_unset_commands(&mut document);
    serde_yaml::to_string(&document).map_err(|error| RenderError::Write(error.to_string()))
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
