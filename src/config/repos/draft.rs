//! One entry as written: every field optional, every single value checked, nothing compared with anything else yet.

use std::{path::PathBuf, time::Duration};

use super::{
    Builder, Divergence, Filters, MountedChanges, Orphans, OutsidePaths, Rebuild, TimeoutOverrides, TokenSource,
    fields::{Notes, join},
    mounted, names,
};
use crate::yaml::{Entry, Map, Pos};

/// A value and where it stood.
pub(super) type Placed<T> = Option<(T, Pos)>;

/// The fields of one entry, or of `defaults:`.
#[derive(Default, Clone)]
pub(super) struct Draft {
    pub(super) path: Placed<PathBuf>,
    pub(super) remote: Option<String>,
    pub(super) branch: Option<String>,
    pub(super) project: Placed<String>,
    pub(super) full_name: Placed<String>,
    pub(super) compose_files: Option<Vec<String>>,
    pub(super) env_file: Option<String>,
    pub(super) profiles: Option<Vec<String>>,
    pub(super) triggers: Option<Vec<String>>,
    pub(super) rebuild: Option<Rebuild>,
    pub(super) on_divergence: Option<Divergence>,
    pub(super) timeouts: TimeoutOverrides,
    pub(super) ssh_key: Option<PathBuf>,
    pub(super) known_hosts: Option<PathBuf>,
    pub(super) token: Option<TokenSource>,
    pub(super) submodules: Option<bool>,
    pub(super) submodule_hosts: Option<Vec<String>>,
    pub(super) max_fetch: Option<u64>,
    pub(super) max_checkout: Option<u64>,
    pub(super) credential_helper: Option<bool>,
    pub(super) filters: Option<Filters>,
    pub(super) outside_paths: Option<OutsidePaths>,
    pub(super) builder: Option<Builder>,
    pub(super) on_mounted_change: Option<MountedChanges>,
    pub(super) orphans: Option<Orphans>,
    pub(super) keep_images: Option<usize>,
    pub(super) min_free_disk: Option<u64>,
    pub(super) secret: Option<TokenSource>,
}

/// Keys that only make sense for one repository.
const OWN: [&str; 6] = ["path", "remote", "project", "full_name", "secret_env", "secret_file"];
/// Keys that `defaults:` may set too.
const SHARED: [&str; 24] = [
    "branch",
    "compose_files",
    "env_file",
    "profiles",
    "triggers",
    "rebuild",
    "on_divergence",
    "timeouts",
    "ssh_key",
    "known_hosts",
    "token_env",
    "token_file",
    "submodules",
    "submodule_hosts",
    "max_fetch",
    "max_checkout",
    "credential_helper",
    "filters",
    "outside_paths",
    "builder",
    "on_mounted_change",
    "orphans",
    "keep_images",
    "min_free_disk",
];
/// What other tools call these things.
const SYNONYMS: [(&str, &str); 12] = [
    ("url", "remote"),
    ("git", "remote"),
    ("repo", "remote"),
    ("repository", "full_name"),
    ("dir", "path"),
    ("directory", "path"),
    ("files", "compose_files"),
    ("file", "compose_files"),
    ("timeout", "timeouts"),
    ("project_name", "project"),
    ("token", "token_env"),
    ("secret", "secret_env"),
];
/// Most earlier images of a service that can be asked for. More is a slip, or a wish for a registry.
const MOST_IMAGES: usize = 1_000;
const TIMEOUTS: [&str; 5] = ["fetch", "build", "apply", "settle", "watch"];

impl Draft {
    /// Reads one mapping. `own` is false for `defaults:`.
    pub(super) fn read(map: &Map, at: &str, own: bool, notes: &mut Notes) -> Draft {
        let known: Vec<&str> = if own { OWN.iter().chain(&SHARED).copied().collect() } else { SHARED.to_vec() };
        if own {
            notes.unknown_keys(map, at, &known, &SYNONYMS);
        } else {
            for (key, entry) in map.iter().filter(|(key, _)| OWN.contains(&key.as_str())) {
                notes.wrong(&entry.key_pos, &join(at, key), "belongs to one repository and has no default");
            }
            let all: Vec<&str> = known.iter().copied().chain(OWN).collect();
            notes.unknown_keys(map, at, &all, &SYNONYMS);
        }
        let mut draft = Draft::default();
        for (key, entry) in map {
            draft.field(key, entry, &join(at, key), own, notes);
        }
        for [one, other] in [["token_env", "token_file"], ["secret_env", "secret_file"]] {
            if let (Some(_), Some(second), true) = (map.get(one), map.get(other), own || one == "token_env") {
                notes.wrong(&second.key_pos, &join(at, other), format!("`{one}` is given too; keep one of them"));
            }
        }
        draft
    }

    fn field(&mut self, key: &str, entry: &Entry, at: &str, own: bool, notes: &mut Notes) {
        let pos = &entry.node.pos;
        if !own && OWN.contains(&key) {
            return;
        }
        match key {
            "path" => self.path = notes.absolute(entry, at).map(|path| (path, pos.clone())),
            "remote" => {
                let text = notes.text(entry, at);
                if let Some((message, hint)) = text.as_deref().and_then(names::remote_fault) {
                    notes.wrong_hint(pos, at, message, hint);
                } else {
                    self.remote = text;
                }
            }
            "branch" => self.branch = checked(entry, at, "is not a branch", names::branch_fault, notes),
            "project" => {
                let text = checked(entry, at, "is not a project's name", names::project_fault, notes);
                self.project = text.map(|text| (text, pos.clone()));
            }
            "full_name" => {
                let text = checked(entry, at, "is not a full name", names::full_name_fault, notes);
                self.full_name = text.map(|text| (text, pos.clone()));
            }
            "compose_files" => {
                self.compose_files = notes.texts(entry, at).map(|files| inside(files, at, notes));
                if self.compose_files.as_ref().is_some_and(Vec::is_empty) {
                    notes.wrong(pos, at, "names no file; leave the key out for the choice between dev and prod");
                }
            }
            "env_file" => self.env_file = checked(entry, at, "lies elsewhere", names::inside_fault, notes),
            "profiles" => self.profiles = notes.texts(entry, at).map(without_places),
            "triggers" => {
                self.triggers = notes.texts(entry, at).map(|globs| {
                    for (glob, pos) in &globs {
                        if let Err(error) = globset::Glob::new(glob) {
                            let hint =
                                "globs are matched against paths inside the repository, for instance web/**/*.lock";
                            notes.wrong_hint(pos, at, format!("`{glob}`: {}", error.kind()), hint);
                        }
                    }
                    without_places(globs)
                });
            }
            "rebuild" => {
                self.rebuild = notes.choice(entry, at, &[("auto", Rebuild::Auto), ("triggers", Rebuild::Triggers)]);
            }
            "on_divergence" => {
                let words =
                    [("refuse", Divergence::Refuse), ("reset", Divergence::Reset), ("rebase", Divergence::Rebase)];
                self.on_divergence = notes.choice(entry, at, &words);
            }
            "timeouts" => self.timeouts = timeouts(entry, at, notes),
            "ssh_key" => self.ssh_key = notes.absolute(entry, at),
            "known_hosts" => self.known_hosts = notes.absolute(entry, at),
            "token_env" => self.token = variable(entry, at, notes),
            "token_file" => self.token = notes.absolute(entry, at).map(TokenSource::File),
            "secret_env" => self.secret = variable(entry, at, notes),
            "secret_file" => self.secret = notes.absolute(entry, at).map(TokenSource::File),
            "submodules" => self.submodules = notes.boolean(entry, at),
            "submodule_hosts" => {
                self.submodule_hosts = notes.texts(entry, at).map(|hosts| {
                    for (host, pos) in &hosts {
                        if let Some(message) = names::host_fault(host) {
                            let hint = "write the bare name of a host, for instance github.com, or \"*\" for any";
                            notes.wrong_hint(pos, at, format!("`{host}` {message}"), hint);
                        }
                    }
                    without_places(hosts)
                });
            }
            "max_fetch" => self.max_fetch = notes.size(entry, at),
            "max_checkout" => self.max_checkout = notes.size(entry, at),
            "credential_helper" => self.credential_helper = notes.boolean(entry, at),
            "filters" => self.filters = notes.choice(entry, at, &[("refuse", Filters::Refuse), ("run", Filters::Run)]),
            "outside_paths" => {
                let words = [("refuse", OutsidePaths::Refuse), ("allow", OutsidePaths::Allow)];
                self.outside_paths = notes.choice(entry, at, &words);
            }
            "builder" => {
                let words = [("auto", Builder::Auto), ("classic", Builder::Classic), ("buildkit", Builder::Buildkit)];
                self.builder = notes.choice(entry, at, &words);
            }
            "on_mounted_change" => self.on_mounted_change = Some(mounted::read(entry, at, notes)),
            "orphans" => {
                self.orphans = notes.choice(entry, at, &[("remove", Orphans::Remove), ("keep", Orphans::Keep)]);
            }
            "keep_images" => self.keep_images = notes.count(entry, at, MOST_IMAGES),
            "min_free_disk" => self.min_free_disk = notes.size(entry, at),
            // Unknown keys have been noted.
            _ => {}
        }
    }

    /// These fields, and those of `defaults` where nothing is given.
    pub(super) fn or(self, defaults: &Draft) -> Draft {
        let Draft {
            path,
            remote,
            branch,
            project,
            full_name,
            compose_files,
            env_file,
            profiles,
            triggers,
            rebuild,
            on_divergence,
            timeouts,
            ssh_key,
            known_hosts,
            token,
            submodules,
            submodule_hosts,
            max_fetch,
            max_checkout,
            credential_helper,
            filters,
            outside_paths,
            builder,
            on_mounted_change,
            orphans,
            keep_images,
            min_free_disk,
            secret,
        } = self;
        let base = defaults.clone();
        Draft {
            path,
            remote,
            branch: branch.or(base.branch),
            project,
            full_name,
            compose_files: compose_files.or(base.compose_files),
            env_file: env_file.or(base.env_file),
            profiles: profiles.or(base.profiles),
            triggers: triggers.or(base.triggers),
            rebuild: rebuild.or(base.rebuild),
            on_divergence: on_divergence.or(base.on_divergence),
            timeouts: TimeoutOverrides {
                fetch: timeouts.fetch.or(base.timeouts.fetch),
                build: timeouts.build.or(base.timeouts.build),
                apply: timeouts.apply.or(base.timeouts.apply),
                settle: timeouts.settle.or(base.timeouts.settle),
                watch: timeouts.watch.or(base.timeouts.watch),
            },
            ssh_key: ssh_key.or(base.ssh_key),
            known_hosts: known_hosts.or(base.known_hosts),
            token: token.or(base.token),
            submodules: submodules.or(base.submodules),
            submodule_hosts: submodule_hosts.or(base.submodule_hosts),
            max_fetch: max_fetch.or(base.max_fetch),
            max_checkout: max_checkout.or(base.max_checkout),
            credential_helper: credential_helper.or(base.credential_helper),
            filters: filters.or(base.filters),
            outside_paths: outside_paths.or(base.outside_paths),
            builder: builder.or(base.builder),
            on_mounted_change: on_mounted_change.or(base.on_mounted_change),
            orphans: orphans.or(base.orphans),
            keep_images: keep_images.or(base.keep_images),
            min_free_disk: min_free_disk.or(base.min_free_disk),
            secret: secret.or(base.secret),
        }
    }
}

/// Text that passes a rule; the rule's complaint is the hint.
fn checked(
    entry: &Entry,
    at: &str,
    message: &str,
    fault: impl Fn(&str) -> Option<&'static str>,
    notes: &mut Notes,
) -> Option<String> {
    let text = notes.text(entry, at)?;
    match fault(&text) {
        Some(hint) => {
            notes.wrong_hint(&entry.node.pos, at, format!("`{text}` {message}"), hint);
            None
        }
        None => Some(text),
    }
}

fn inside(files: Vec<(String, Pos)>, at: &str, notes: &mut Notes) -> Vec<String> {
    for (file, pos) in &files {
        if let Some(hint) = names::inside_fault(file) {
            notes.wrong_hint(pos, at, format!("`{file}` lies elsewhere"), hint);
        }
    }
    without_places(files)
}

fn without_places(texts: Vec<(String, Pos)>) -> Vec<String> {
    texts.into_iter().map(|(text, _)| text).collect()
}

fn timeouts(entry: &Entry, at: &str, notes: &mut Notes) -> TimeoutOverrides {
    let mut timeouts = TimeoutOverrides::default();
    let Some(map) = notes.map(&entry.node, at, "a mapping such as { build: 30m }") else { return timeouts };
    notes.unknown_keys(map, at, &TIMEOUTS, &[("pull", "build"), ("up", "apply"), ("clone", "fetch")]);
    for (key, entry) in map {
        let at = join(at, key);
        let slot: (&mut Option<Duration>, bool) = match key.as_str() {
            "fetch" => (&mut timeouts.fetch, false),
            "build" => (&mut timeouts.build, false),
            "apply" => (&mut timeouts.apply, false),
            "settle" => (&mut timeouts.settle, true),
            "watch" => (&mut timeouts.watch, true),
            _ => continue,
        };
        match notes.duration(entry, &at) {
            Some(Duration::ZERO) if !slot.1 => notes.wrong(&entry.node.pos, &at, "must be longer than 0"),
            value => *slot.0 = value,
        }
    }
    timeouts
}

/// The name of an environment variable. What is given instead may be the secret itself, so it is not repeated.
fn variable(entry: &Entry, at: &str, notes: &mut Notes) -> Option<TokenSource> {
    let name = notes.text(entry, at)?;
    let token = ["ghp_", "gho_", "ghs_", "github_pat_", "glpat"].iter().any(|prefix| name.starts_with(prefix));
    let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if token || !word || name.len() > 128 || name.starts_with(|c: char| c.is_ascii_digit()) {
        let hint = "name the environment variable that holds it; the text itself does not belong here";
        notes.wrong_hint(&entry.node.pos, at, "is not a variable's name", hint);
        return None;
    }
    Some(TokenSource::Env(name))
}
