//! One entry as written: every field optional, every single value checked, nothing compared with anything else yet.

use std::path::PathBuf;

use super::{
    Builder, Divergence, Filters, MountedChanges, Orphans, OutsidePaths, Rebuild, TimeoutOverrides, TokenSource,
    fields::{Notes, join},
    keys::{KEYS, Key},
    kind::Given,
};
use crate::yaml::{Map, Pos};

/// A value and where it stood.
pub(super) type Placed<T> = Option<(T, Pos)>;

/// The fields of one entry, or of `defaults:`.
#[derive(Default, Clone)]
pub(super) struct Draft {
    pub(super) path: Placed<PathBuf>,
    pub(super) remote: Option<String>,
    /// The key stands there, be its value one or not.
    pub(super) remote_given: bool,
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
    pub(super) switch: Option<serde_json::Value>,
}

impl Draft {
    /// Reads one mapping. `own` is false for `defaults:`.
    pub(super) fn read(map: &Map, at: &str, own: bool, notes: &mut Notes) -> Draft {
        let (for_one, for_all): (Vec<&Key>, Vec<&Key>) = KEYS.iter().partition(|key| !key.is_shared());
        let synonyms = KEYS.iter().flat_map(|key| key.synonyms.iter().map(|other| (*other, key.name)));
        let names = |keys: &[&'static Key]| keys.iter().map(|key| key.name).collect::<Vec<_>>();
        // What may not stand here is known all the same.
        let known = if own { [names(&for_one), names(&for_all)] } else { [names(&for_all), names(&for_one)] };
        notes.unknown_keys(map, at, &known.concat(), &synonyms.collect::<Vec<_>>());
        let mut draft = Draft::default();
        for (name, entry) in map {
            let Some(key) = KEYS.iter().find(|key| key.name == name) else { continue };
            let at = join(at, name);
            draft.remote_given |= name == "remote";
            if !own && !key.is_shared() {
                notes.wrong(&entry.key_pos, &at, "belongs to one repository and has no default");
                continue;
            }
            (key.fill.set)(&mut draft, &Given { kind: &key.kind, entry, at: &at }, notes);
            if let Some(other) = key.or.filter(|other| map.contains_key(*other)) {
                notes.wrong(&entry.key_pos, &at, format!("`{other}` is given too; keep one of them"));
            }
        }
        draft
    }

    /// These fields, and those of `defaults` where nothing is given.
    pub(super) fn or(mut self, defaults: &Draft) -> Draft {
        for key in KEYS.iter().filter(|key| key.is_shared()) {
            (key.fill.inherit)(&mut self, defaults);
        }
        self
    }
}
