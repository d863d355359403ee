//! A service's `environment` as the engine takes it.

use std::collections::{BTreeMap, HashMap};

/// `NAME=value`, or a bare `NAME` that unsets the image's variable. Sorted, so that equal services send equal bodies.
pub fn variables(
    environment: &BTreeMap<String, Option<String>>,
    proxy_variables: &HashMap<String, String>,
) -> Option<Vec<String>> {
    let mut all: BTreeMap<&str, Option<&str>> =
        proxy_variables.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))).collect();
    all.extend(environment.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
    let list: Vec<String> = all
        .into_iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.to_owned(),
        })
        .collect();
    (!list.is_empty()).then_some(list)
}
