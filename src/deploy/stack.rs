//! Which Compose files and which project name a repository has right now: `DEBUG` and `COLOR` of its `.env`.
//! Pure; whoever calls it has read the `.env` and knows which files exist.

use std::collections::BTreeSet;

/// `COLOR` where the `.env` has none.
pub const DEFAULT_COLOR: &str = "red";

/// Colours that a stack is likely to have or to get.
pub(super) const USUAL_COLORS: [&str; 3] = [DEFAULT_COLOR, "blue", "green"];
/// Longest COLOR. The project's name stands in each line that is told of it, and in the names of all that it has.
const MOST_COLOR: usize = 63;

const DEV: &[&str] = &["docker-compose.dev.yml", "docker-compose.dev.yaml", "compose.dev.yaml", "compose.dev.yml"];
const PROD: &[&str] = &["docker-compose.prod.yml", "docker-compose.prod.yaml", "compose.prod.yaml", "compose.prod.yml"];
/// In Compose's own order of preference.
pub(super) const STANDARD: &[&str] = &["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVERRIDE: &[&str] =
    &["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// What to deploy: project and files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Compose project: colour directly followed by the repository's project name.
    pub project: String,
    /// Colour, as in `.env`.
    pub color: String,
    /// Whether `DEBUG` was `true`.
    pub debug: bool,
    /// Compose files, relative to the repository, in merge order.
    pub files: Vec<String>,
    /// Why these, in words.
    pub reason: String,
}

/// Why no stack could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StackError {
    /// The colour makes no valid project name.
    #[error(
        "COLOR is `{color}` in .env, which makes the project name `{project}`; Compose allows lower-case letters, digits, `-` and `_`, beginning with a letter or digit"
    )]
    BadColor {
        /// As `.env` has it.
        color: String,
        /// What it would make.
        project: String,
    },
    /// The colour is longer than any name should be.
    #[error("COLOR in .env has {0} characters; it may have {MOST_COLOR}")]
    LongColor(usize),
    /// Files named in repos.yaml are not there.
    #[error("repos.yaml names the Compose file {0}, which is not in the repository")]
    Missing(String),
    /// The wanted one of dev and prod is not there, the other is.
    #[error("DEBUG is {debug} in .env, so one of {looked_for} is needed; the repository only has {found}")]
    OtherModeOnly {
        /// Value of DEBUG.
        debug: bool,
        /// Names of files that were looked for.
        looked_for: String,
        /// What there is.
        found: String,
    },
    /// Nothing at all.
    #[error("no Compose file in the repository; looked for {0}")]
    Nothing(String),
}

impl StackError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::LongColor(_) => "write a short COLOR, for instance COLOR=blue".to_owned(),
            Self::BadColor { .. } => "write COLOR in lower case, for instance COLOR=blue".to_owned(),
            Self::Missing(_) => "correct `compose_files` in repos.yaml, or commit the file".to_owned(),
            Self::OtherModeOnly { debug: true, .. } => {
                "set DEBUG=false in .env, or add a development Compose file".to_owned()
            }
            Self::OtherModeOnly { debug: false, .. } => {
                "set DEBUG=true in .env, or add a production Compose file".to_owned()
            }
            Self::Nothing(_) => "commit one of them, or name yours under `compose_files` in repos.yaml".to_owned(),
        }
    }
}

/// Chooses. `present` holds the names of the files at the top of the repository, plus configured paths that exist.
///
/// The rule is the mission's: `DEBUG=true` in any case means the dev file, anything else the prod file; where neither
/// exists, Compose's standard names and their automatic override.
///
/// # Errors
/// When the name is not valid or no file fits; see [`StackError`].
pub fn choose(
    project: &str,
    configured: &[String],
    color: Option<&str>,
    debug: Option<&str>,
    present: &BTreeSet<String>,
) -> Result<Stack, StackError> {
    let color = color.map(str::trim).filter(|c| !c.is_empty()).unwrap_or(DEFAULT_COLOR).to_owned();
    let debug = debug.is_some_and(|d| d.trim().eq_ignore_ascii_case("true"));
    if color.len() > MOST_COLOR {
        return Err(StackError::LongColor(color.len()));
    }
    let name = format!("{color}{project}");
    if !is_project_name(&name) {
        return Err(StackError::BadColor { color, project: name });
    }
    let (files, reason) = files(configured, debug, present)?;
    Ok(Stack { project: name, color, debug, files, reason })
}

fn files(configured: &[String], debug: bool, present: &BTreeSet<String>) -> Result<(Vec<String>, String), StackError> {
    if !configured.is_empty() {
        if let Some(missing) = configured.iter().find(|f| !present.contains(*f)) {
            return Err(StackError::Missing(missing.clone()));
        }
        return Ok((configured.to_vec(), "named in repos.yaml".to_owned()));
    }
    let first = |names: &[&str]| names.iter().find(|n| present.contains(**n)).map(|n| (*n).to_owned());
    let (wanted, other) = if debug { (DEV, PROD) } else { (PROD, DEV) };
    if let Some(file) = first(wanted) {
        let why = if debug { "DEBUG is true" } else { "DEBUG is not true" };
        return Ok((vec![file], why.to_owned()));
    }
    if let Some(found) = first(other) {
        return Err(StackError::OtherModeOnly { debug, looked_for: wanted.join(", "), found });
    }
    let Some(base) = first(STANDARD) else {
        return Err(StackError::Nothing([wanted, STANDARD].concat().join(", ")));
    };
    let files = std::iter::once(base).chain(first(OVERRIDE)).collect();
    Ok((files, "neither a dev nor a prod file exists, so the standard name".to_owned()))
}

/// Whether DEBUG chooses a file of this name.
pub(super) fn is_choice(name: &str) -> bool {
    DEV.contains(&name) || PROD.contains(&name)
}

/// Compose's rule for a project name given from outside: it must already be normal.
fn is_project_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn debug_and_color_decide() {
        let both = present(&["docker-compose.dev.yml", "docker-compose.prod.yml"]);
        for (color, debug, project, file) in [
            (None, None, "redshop", "docker-compose.prod.yml"),
            (Some("blue"), Some("TRUE"), "blueshop", "docker-compose.dev.yml"),
            (Some(""), Some("false"), "redshop", "docker-compose.prod.yml"),
            (Some(" green "), Some("1"), "greenshop", "docker-compose.prod.yml"),
            (None, Some(" True "), "redshop", "docker-compose.dev.yml"),
        ] {
            let stack = choose("shop", &[], color, debug, &both).unwrap();
            assert_eq!((stack.project.as_str(), stack.files[0].as_str()), (project, file), "{color:?} {debug:?}");
        }
    }

    #[test]
    fn the_standard_names_bring_their_override() {
        let stack =
            choose("a", &[], None, None, &present(&["docker-compose.yml", "docker-compose.override.yml"])).unwrap();
        assert_eq!(stack.files, ["docker-compose.yml", "docker-compose.override.yml"]);
    }

    #[test]
    fn configured_files_win() {
        let configured = ["deploy/a.yml".to_owned(), "deploy/b.yml".to_owned()];
        let stack = choose("a", &configured, None, None, &present(&["deploy/a.yml", "deploy/b.yml", "compose.yaml"]));
        assert_eq!(stack.unwrap().files, configured);
        let missing = choose("a", &configured, None, None, &present(&["deploy/a.yml"]));
        assert_eq!(missing, Err(StackError::Missing("deploy/b.yml".to_owned())));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = choose("a", &[], None, Some("true"), &present(&["docker-compose.prod.yml"])).unwrap_err();
        assert!(error.to_string().contains("docker-compose.dev.yml"), "{error}");
        assert!(error.to_string().contains("only has docker-compose.prod.yml"), "{error}");
        let error = choose("a", &[], None, None, &present(&["README.md"])).unwrap_err();
        for name in ["docker-compose.prod.yml", "compose.yaml", "docker-compose.yml"] {
            assert!(error.to_string().contains(name), "{error}");
        }
        let error = choose("shop", &[], Some("Blue"), None, &present(&[])).unwrap_err();
        assert!(error.to_string().contains("Blueshop"), "{error}");
        let long = "b".repeat(64);
        let error = choose("shop", &[], Some(&long), None, &present(&[])).unwrap_err();
        assert_eq!(error.to_string(), "COLOR in .env has 64 characters; it may have 63");
    }
}
