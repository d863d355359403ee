//! `on_mounted_change`: what is done when files in a mounted folder changed.

use std::collections::BTreeMap;

use super::fields::{Notes, join, kind};
use crate::yaml::{Entry, Value};

/// What is done with a container when files in a folder that it mounts changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountedChange {
    /// A new container takes its place.
    Recreate,
    /// It is restarted.
    Restart,
    /// It is sent this signal, `SIGHUP` for one.
    Signal(String),
    /// Nothing, which is said.
    Ignore,
}

/// Signals by which a service can be told to read its files again, or to end.
const SIGNALS: &[&str] = &["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGTERM", "SIGQUIT", "SIGWINCH"];
/// What can be written.
pub const MOUNTED_CHANGES: &str =
    "one of: recreate, restart, signal SIGHUP (or SIGUSR1, SIGUSR2, SIGINT, SIGTERM, SIGQUIT, SIGWINCH), ignore";

/// The words as a regular expression, for editors.
pub fn mounted_words() -> String {
    let signals: Vec<&str> = SIGNALS.iter().map(|name| name.trim_start_matches("SIG")).collect();
    format!("^(recreate|restart|ignore|signal +(SIG)?({}) *)$", signals.join("|"))
}

impl std::str::FromStr for MountedChange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "recreate" => Self::Recreate,
            "restart" => Self::Restart,
            "ignore" => Self::Ignore,
            other => {
                let name = other.strip_prefix("signal ").ok_or(())?.trim();
                let full = if name.starts_with("SIG") { name.to_owned() } else { format!("SIG{name}") };
                if !SIGNALS.contains(&full.as_str()) {
                    return Err(());
                }
                Self::Signal(full)
            }
        })
    }
}

/// `on_mounted_change` of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountedChanges {
    /// For every service.
    pub all: Option<MountedChange>,
    /// For single services.
    pub services: BTreeMap<String, MountedChange>,
}

impl MountedChanges {
    /// What is said about a service.
    pub fn of(&self, service: &str) -> Option<&MountedChange> {
        self.services.get(service).or(self.all.as_ref())
    }
}

/// One value for the repository, or a mapping of services to values.
pub(super) fn read(entry: &Entry, at: &str, notes: &mut Notes) -> MountedChanges {
    let mut changes = MountedChanges::default();
    match &entry.node.value {
        Value::Map(map) => {
            for (service, entry) in map {
                if let Some(change) = one(entry, &join(at, service), notes) {
                    changes.services.insert(service.clone(), change);
                }
            }
        }
        Value::Str(_) => changes.all = one(entry, at, notes),
        other => {
            let message = format!("is {}, a word or a mapping of services to words is needed", kind(other));
            notes.wrong_hint(&entry.node.pos, at, message, MOUNTED_CHANGES);
        }
    }
    changes
}

fn one(entry: &Entry, at: &str, notes: &mut Notes) -> Option<MountedChange> {
    let text = notes.text(entry, at)?;
    let change = text.parse().ok();
    if change.is_none() {
        notes.wrong_hint(&entry.node.pos, at, format!("`{text}` is not known here"), MOUNTED_CHANGES);
    }
    change
}

#[cfg(test)]
mod tests {
    use super::super::{PathState, Repos, parse};
    use super::*;
    use crate::config::Mistakes;

    fn read(value: &str) -> Result<Repos, Mistakes> {
        let text = format!("shop:\n  path: /srv/shop\n  on_mounted_change: {value}\n");
        parse(&text, "repos.yaml", &|path| PathState::Directory(path.to_path_buf()))
    }

    #[test]
    fn one_value_or_one_a_service() {
        let of = |value: &str, service: &str| read(value).unwrap().repos[0].on_mounted_change.of(service).cloned();
        assert_eq!(of("restart", "web"), Some(MountedChange::Restart));
        assert_eq!(of("signal HUP", "web"), Some(MountedChange::Signal("SIGHUP".to_owned())));
        let each = "{ web: signal SIGHUP, worker: recreate, docs: ignore }";
        assert_eq!(of(each, "web"), Some(MountedChange::Signal("SIGHUP".to_owned())));
        assert_eq!(of(each, "worker"), Some(MountedChange::Recreate));
        assert_eq!(of(each, "docs"), Some(MountedChange::Ignore));
        assert_eq!(of(each, "db"), None);
    }

    #[test]
    fn bad_values_are_named_with_their_place() {
        for (value, wanted) in [
            ("reload", "`reload` is not known here"),
            ("signal SIGKILL", "`signal SIGKILL` is not known here"),
            ("{ web: nothing }", "on_mounted_change.web"),
            ("[restart]", "is a list"),
            ("true", "is a boolean"),
        ] {
            let error = read(value).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains("repos.yaml:3:"), "{value}: {error}");
        }
    }
}
