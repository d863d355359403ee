//! Checks of `repos.yaml` that take more than one entry, or the disk: duplicates, shared paths, missing folders.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    path::{Path, PathBuf},
};

use super::{
    KEEP_IMAGES, LookAt, MAX_CHECKOUT, MAX_FETCH, MIN_FREE_DISK, PathState, Repo,
    draft::Draft,
    fields::Notes,
    names,
    switching::{self, Switching},
};
use crate::yaml::Pos;

/// An entry with its name.
pub(super) struct Named {
    pub(super) name: String,
    /// Its path inside the document.
    pub(super) at: String,
    pub(super) key_pos: Pos,
    pub(super) draft: Draft,
}

/// Turns drafts into repositories. Those with mistakes are left out; the notes say why.
pub(super) fn all(entries: Vec<Named>, look_at: LookAt<'_>, self_names: &[String], notes: &mut Notes) -> Vec<Repo> {
    duplicates(&entries, notes);
    let mut by_path: BTreeMap<PathBuf, (String, u32)> = BTreeMap::new();
    let mut by_project: HashMap<String, String> = HashMap::new();
    let mut repos = Vec::with_capacity(entries.len());
    for entry in entries {
        let Named { name, at, key_pos, draft } = entry;
        if self_names.iter().any(|own| own.eq_ignore_ascii_case(&name)) {
            notes.odd(
                &key_pos,
                &at,
                "is also a name of the deployer's own repository: its pushes are not acted on",
                "set `self:` to the deployer's real name, or take this entry out",
            );
        }
        let project = project(&name, &at, &key_pos, &draft, notes);
        let Some((path, pos)) = draft.path else { continue };
        let Some(real_path) = real(&path, &pos, &at, draft.remote_given, look_at, notes) else { continue };
        if let Some((other, line)) = by_path.get(&real_path) {
            notes.wrong_hint(
                &pos,
                &at,
                format!("shares its path with `{other}` (line {line})"),
                "two deployments would overwrite each other; give each repository a working tree of its own",
            );
            continue;
        }
        if let Some((how, (other, line))) = nested(&real_path, &by_path) {
            notes.wrong_hint(
                &pos,
                &at,
                format!("its path {how} that of `{other}` (line {line})"),
                "whoever pushes to the outer one could put files into the inner one's; give each repository a working \
                 tree of its own, beside the others",
            );
            continue;
        }
        by_path.insert(real_path.clone(), (name.clone(), pos.line));
        let Some(project) = project else { continue };
        if let Some(other) = by_project.insert(project.clone(), name.clone()) {
            notes.odd(
                &key_pos,
                &at,
                format!("has the same project `{project}` as `{other}`"),
                "that is right only if their .env files name different COLORs",
            );
        }
        let switch = draft.switch.filter(|switch| switch.said != switching::OFF);
        let (switch, switch_places) = switch.map(|Switching { said, places }| (said, places)).unzip();
        let switch_places = switch_places.unwrap_or_default();
        repos.push(Repo {
            name,
            path,
            real_path,
            remote: draft.remote,
            branch: draft.branch,
            project,
            full_name: draft.full_name.map(|(name, _)| name),
            compose_files: draft.compose_files.unwrap_or_default(),
            env_file: draft.env_file.unwrap_or_else(|| ".env".to_owned()),
            profiles: draft.profiles.unwrap_or_default(),
            triggers: draft.triggers.unwrap_or_default(),
            rebuild: draft.rebuild.unwrap_or_default(),
            on_divergence: draft.on_divergence.unwrap_or_default(),
            timeouts: draft.timeouts,
            ssh_key: draft.ssh_key,
            known_hosts: draft.known_hosts,
            token: draft.token,
            submodules: draft.submodules.unwrap_or(false),
            submodule_hosts: draft.submodule_hosts.unwrap_or_default(),
            max_fetch: draft.max_fetch.unwrap_or(MAX_FETCH),
            max_checkout: draft.max_checkout.unwrap_or(MAX_CHECKOUT),
            credential_helper: draft.credential_helper.unwrap_or(false),
            filters: draft.filters.unwrap_or_default(),
            outside_paths: draft.outside_paths.unwrap_or_default(),
            builder: draft.builder.unwrap_or_default(),
            switch,
            switch_places,
            on_mounted_change: draft.on_mounted_change.unwrap_or_default(),
            orphans: draft.orphans.unwrap_or_default(),
            keep_images: draft.keep_images.unwrap_or(KEEP_IMAGES),
            min_free_disk: draft.min_free_disk.unwrap_or(MIN_FREE_DISK),
            secret: draft.secret,
        });
    }
    repos
}

/// One of these whose tree holds this path or lies in it, and which it is.
fn nested<'p>(path: &Path, others: &'p BTreeMap<PathBuf, (String, u32)>) -> Option<(&'static str, &'p (String, u32))> {
    if let Some(outer) = path.ancestors().skip(1).find_map(|above| others.get(above)) {
        return Some(("lies in", outer));
    }
    // Paths are ordered part by part, so what lies in this one would come next.
    let (next, inner) = others.range::<Path, _>((Bound::Excluded(path), Bound::Unbounded)).next()?;
    next.starts_with(path).then_some(("holds", inner))
}

fn duplicates(entries: &[Named], notes: &mut Notes) {
    let mut by_name: HashMap<String, &Named> = HashMap::new();
    let mut by_full_name: HashMap<String, &Named> = HashMap::new();
    for entry in entries {
        if let Some(first) = by_name.get(&entry.name.to_lowercase()) {
            let message = format!("`{}` stands in line {} already", first.name, first.key_pos.line);
            let hint = "forges do not tell names apart by case, so they must differ in more than that";
            notes.wrong_hint(&entry.key_pos, &entry.at, message, hint);
        } else {
            by_name.insert(entry.name.to_lowercase(), entry);
        }
        let Some((full_name, pos)) = &entry.draft.full_name else { continue };
        if let Some(first) = by_full_name.get(&full_name.to_lowercase()) {
            let message = format!("`{full_name}` is `{}` already (line {})", first.name, first.key_pos.line);
            let hint = "a push must lead to one entry";
            notes.wrong_hint(pos, &format!("{}.full_name", entry.at), message, hint);
        } else {
            by_full_name.insert(full_name.to_lowercase(), entry);
        }
    }
}

fn project(name: &str, at: &str, key_pos: &Pos, draft: &Draft, notes: &mut Notes) -> Option<String> {
    if let Some((project, _)) = &draft.project {
        return Some(project.clone());
    }
    let project = names::project_from(name);
    if project.is_empty() && names::name_fault(name).is_none() {
        notes.wrong_hint(key_pos, at, "gives no project name", "say `project: name` in the long form");
    }
    (!project.is_empty()).then_some(project)
}

/// The path with symbolic links resolved, if a deployment could work there.
fn real(path: &Path, pos: &Pos, at: &str, has_remote: bool, look_at: LookAt<'_>, notes: &mut Notes) -> Option<PathBuf> {
    let shown = path.display();
    match look_at(path) {
        PathState::Directory(real) => return Some(real),
        // Where it leads is asked again before each deployment; the entry is right as it is written.
        PathState::Silent => return Some(path.to_path_buf()),
        PathState::Missing { parent_exists: true, real } if has_remote => return Some(real),
        PathState::Missing { parent_exists, .. } => {
            let message = format!("{shown} does not exist");
            if has_remote && !parent_exists {
                let above = path.parent().unwrap_or(path).display();
                let hint = format!(
                    "neither does the directory above it; create that one, for the daemon's user: \
                     `install -d -o turnout -g turnout {above}`"
                );
                notes.wrong_hint(pos, at, message, hint);
            } else {
                let hint = "clone the repository there, or give its `remote:` and it will be cloned";
                notes.wrong_hint(pos, at, message, hint);
            }
        }
        PathState::NotADirectory => notes.wrong(pos, at, format!("{shown} is not a directory")),
        PathState::Unreadable(reason) => notes.wrong_hint(
            pos,
            at,
            format!("{shown} cannot be looked at: {reason}"),
            "the daemon's user needs access to it and to the directories above",
        ),
    }
    None
}
