//! How a draft is filled: from a mapping, key by key as each is declared, and from `defaults:`.

use super::{
    draft::Draft,
    fields::{Notes, join},
    keys::{KEYS, Key},
    kind::Given,
};
use crate::yaml::Map;

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
