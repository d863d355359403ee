//! `env_file` and `label_file`: read once. What they hold completes a service's own `environment` and `labels`, which
//! win.

use std::{collections::BTreeMap, io, path::Path};

use indexmap::IndexMap;

use super::places::Places;
use crate::{
    dotenv,
    entries::{Entries, too_many},
    error::{LoadError, Warning, keep},
    interpolate::Lookup,
    model::{EnvFile, Project},
    source::{FileSource, hint, reason},
};

/// Env and label files that are read for one project; one of many services is read for each.
const MAX_FILES: usize = 10_000;
/// Bytes that are read of them, and bytes that all that came of them has.
const MAX_BYTES: usize = 64 << 20;

const FEWER: &str = "name fewer or smaller files, or have fewer services that name them";

/// What was read for the project so far, and what its services have.
pub(super) struct Amount {
    files: usize,
    read: usize,
    values: usize,
    entries: Entries,
}

impl Amount {
    /// Nothing read; `entries` stand in the Compose files.
    pub(super) fn of(entries: Entries) -> Amount {
        Amount { files: 0, read: 0, values: 0, entries }
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        self.files = self.files.saturating_add(1);
        self.read = self.read.saturating_add(text.len());
        if self.files > MAX_FILES {
            return Err(format!(
                "more than {MAX_FILES} files are read for the services of the project, each time counted"
            ));
        }
        if self.read > MAX_BYTES {
            return Err(format!(
                "what is read for the services of the project exceeds {MAX_BYTES} bytes, each time counted"
            ));
        }
        Ok(())
    }

    /// `added` entries came of one more file; all that the service has by now has so many `bytes`.
    fn have(&mut self, bytes: usize, added: usize) -> Result<(), String> {
        self.values = self.values.saturating_add(bytes);
        if self.values > MAX_BYTES {
            return Err(format!("the variables and labels of all services exceed {MAX_BYTES} bytes"));
        }
        if self.entries.add(added) { Ok(()) } else { Err(too_many()) }
    }
}

/// Reads env files into `environment`, which wins over them, and forgets the list. Those of `pre_start` steps too.
///
/// Variables inside a file are looked up in the project's environment, then the service's, then what was read before.
pub(super) fn resolve_environment(
    project: &mut Project,
    files: &dyn FileSource,
    places: &Places<'_>,
    warnings: &mut Vec<Warning>,
    amount: &mut Amount,
) -> Result<(), LoadError> {
    let Project { services, environment, .. } = project;
    for (name, service) in services {
        let here = ["services", name];
        let mut read = EnvFiles { project: environment, files, places, warnings, amount };
        for (index, step) in service.pre_start.iter_mut().enumerate() {
            // The list stays in the specification: it is printed, and part of the hash.
            let mut own = step.spec.environment.clone();
            let item = format!("[{index}]");
            let here = [&here[..], &["pre_start", &item]].concat();
            read.complete(&here, &step.spec.env_file, &mut own)?;
            step.environment = own;
        }
        read.complete(&here, &service.env_file, &mut service.environment)?;
        service.env_file.clear();
    }
    Ok(())
}

/// What reading env files needs.
struct EnvFiles<'a> {
    project: &'a BTreeMap<String, String>,
    files: &'a dyn FileSource,
    places: &'a Places<'a>,
    warnings: &'a mut Vec<Warning>,
    amount: &'a mut Amount,
}

impl EnvFiles<'_> {
    /// Completes the variables of what stands at `here` by those of its env files.
    fn complete(
        &mut self,
        here: &[&str],
        list: &[EnvFile],
        own: &mut BTreeMap<String, Option<String>>,
    ) -> Result<(), LoadError> {
        for (key, value) in &mut *own {
            if value.is_none() {
                *value = self.project.get(key).cloned();
            }
        }
        // What stands in `environment` counts as read before the first file.
        let mut read: IndexMap<String, String> =
            own.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect();
        for (index, file) in list.iter().enumerate() {
            let lookup = |key: &str| self.project.get(key).cloned().or_else(|| own.get(key).cloned().flatten());
            let fail =
                |message: String| self.places.error(&[here, &["env_file", &format!("[{index}]")]].concat(), message);
            let unread = |unread: Unread| unread.told(fail, "create the file, or write required: false");
            let Some(text) = text_of(self.files, &file.path, "env file", file.required).map_err(unread)? else {
                continue;
            };
            self.amount.read(&text).map_err(|message| fail(message).hint(FEWER))?;
            let before = read.len();
            match file.format.as_str() {
                "" => {
                    let mut unset = |key: &str| keep(self.warnings, unset_in(&file.path, key));
                    dotenv::parse_into(&text, &mut read, &lookup, &mut unset)
                        .map_err(|error| fail(format!("{}: {error}", file.path)))?;
                }
                "raw" => {
                    let raw =
                        dotenv::parse_raw(&text, &lookup).map_err(|error| fail(format!("{}: {error}", file.path)))?;
                    read.extend(raw);
                }
                other => {
                    return Err(fail(format!("unsupported env_file format '{other}'")).hint("leave it out, or use raw"));
                }
            }
            let bytes = read.iter().map(|(key, value)| key.len() + value.len()).sum();
            let added = read.len().saturating_sub(before);
            self.amount.have(bytes, added).map_err(|message| fail(message).hint(FEWER))?;
        }
        let mut environment: BTreeMap<String, Option<String>> =
            read.into_iter().map(|(key, value)| (key, Some(value))).collect();
        environment.append(own);
        *own = environment;
        Ok(())
    }
}

/// Reads label files into `labels`, which win over them. The list stays: it is part of the hash.
pub(super) fn resolve_labels(
    project: &mut Project,
    files: &dyn FileSource,
    places: &Places<'_>,
    warnings: &mut Vec<Warning>,
    amount: &mut Amount,
) -> Result<(), LoadError> {
    for (name, service) in &mut project.services {
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        for (index, file) in service.label_file.iter().enumerate() {
            let fail =
                |message: String| places.error(&["services", name, "label_file", &format!("[{index}]")], message);
            let unread = |unread: Unread| unread.told(fail, "create the file, or name another");
            let Some(text) = text_of(files, file, "label file", true).map_err(unread)? else { continue };
            amount.read(&text).map_err(|message| fail(message).hint(FEWER))?;
            let lookup = |key: &str| labels.get(key).cloned();
            let lookup: &Lookup<'_> = &lookup;
            let mut read = IndexMap::new();
            let mut unset = |key: &str| keep(warnings, unset_in(file, key));
            dotenv::parse_into(&text, &mut read, lookup, &mut unset)
                .map_err(|error| fail(format!("{file}: {error}")))?;
            let before = labels.len();
            labels.extend(read);
            let bytes = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
            let added = labels.len().saturating_sub(before);
            amount.have(bytes, added).map_err(|message| fail(message).hint(FEWER))?;
        }
        labels.append(&mut service.labels);
        service.labels = labels;
    }
    Ok(())
}

fn unset_in(file: &str, key: &str) -> Warning {
    Warning::new(format!("{file}: the variable \"{key}\" is not set, an empty text is used"))
}

/// Why a file gave no text.
struct Unread {
    message: String,
    hint: Option<String>,
}

impl Unread {
    fn told(self, fail: impl Fn(String) -> LoadError, usual: &str) -> LoadError {
        fail(self.message).hint(self.hint.unwrap_or_else(|| usual.to_owned()))
    }
}

/// The text of a file; `None` when it does not exist and need not.
fn text_of(files: &dyn FileSource, path: &str, what: &str, required: bool) -> Result<Option<String>, Unread> {
    let unread = |message: String| Unread { message, hint: None };
    match files.read(Path::new(path)) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|error| {
            unread(format!("{what} {path} is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unread(format!("{what} {path} not found"))),
        Err(error) => {
            let message = format!("{what} {path} cannot be read: {}", reason(&error));
            Err(Unread { message, hint: hint(&error) })
        }
    }
}
