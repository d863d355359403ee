//! Capabilities, and `security_opt`, whose seccomp profiles are files that the request carries inside.

use std::collections::{BTreeMap, BTreeSet};

use turnout_compose::model::Service;

use super::refuse;
use crate::EngineError;

/// `security_opt` as the request wants it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SecurityOptions {
    /// `security_opt` with the content of seccomp profiles in place of their file names.
    pub options: Vec<String>,
    /// `systempaths=unconfined` was given: nothing is masked or read-only under /proc and /sys.
    pub unconfined_paths: bool,
}

/// Seccomp profile files that `security_opt` names; the caller reads them.
pub fn profile_files(service: &Service) -> Vec<String> {
    service.security_opt.iter().filter_map(|o| profile_of(o)).map(str::to_owned).collect()
}

/// Translates `security_opt`; `profiles` holds the text of the files by name as written.
///
/// # Errors
/// An option that is no option, a profile that is not JSON.
pub fn options(
    name: &str,
    security_opt: &[String],
    profiles: &BTreeMap<String, String>,
) -> Result<SecurityOptions, EngineError> {
    let mut result = SecurityOptions::default();
    for option in security_opt {
        if option == "systempaths=unconfined" {
            result.unconfined_paths = true;
            continue;
        }
        if option != "no-new-privileges" && !option.contains(['=', ':']) {
            return Err(refuse(name, "security_opt", format!("{option:?} is not an option: write key=value")));
        }
        let Some(file) = profile_of(option) else {
            result.options.push(option.clone());
            continue;
        };
        let text = profiles.get(file).map(String::as_str).unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(text)
            .map_err(|e| refuse(name, "security_opt", format!("seccomp profile {file} is not JSON: {e}")))?;
        result.options.push(format!("seccomp={value}"));
    }
    Ok(result)
}

/// `cap_add` and `cap_drop` in the spelling of Docker's own client, so that containers look the same whoever made them.
pub fn capabilities(given: &[String]) -> Option<Vec<String>> {
    let spelled = given.iter().map(|capability| match capability.trim().to_uppercase() {
        whole if whole == "ALL" || whole.starts_with("CAP_") => whole,
        short => format!("CAP_{short}"),
    });
    let spelled: BTreeSet<String> = spelled.collect();
    (!spelled.is_empty()).then(|| spelled.into_iter().collect())
}

/// The profile file of a `seccomp=FILE` or `seccomp:FILE` option.
fn profile_of(option: &str) -> Option<&str> {
    let (key, value) = option.split_once('=').or_else(|| option.split_once(':'))?;
    (key == "seccomp" && value != "unconfined" && value != "builtin").then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_translated() {
        let profiles = BTreeMap::from([("p.json".to_owned(), "{ \"defaultAction\" : \"SCMP_ACT_ALLOW\" }".to_owned())]);
        let given =
            ["systempaths=unconfined", "no-new-privileges", "label:disable", "seccomp:p.json", "seccomp=unconfined"]
                .map(str::to_owned);
        let got = options("web", &given, &profiles).unwrap();
        assert!(got.unconfined_paths);
        let wanted = [
            "no-new-privileges",
            "label:disable",
            "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}",
            "seccomp=unconfined",
        ];
        assert_eq!(got.options, wanted);
        assert!(options("web", &["nonsense".to_owned()], &profiles).is_err());
        assert!(options("web", &["seccomp=missing.json".to_owned()], &profiles).is_err());
    }
}
