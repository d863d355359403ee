//! Keys of the `build` section, and of which type their values are.

use super::{
    rule::{Object, Rule},
    shared::*,
};

/// `build: .` or a mapping.
pub(super) const BUILD: Rule = Rule::Either(&[STRING, Rule::Object(&OBJECT)]);

const OBJECT: Object = Object::extensible(&[
    ("context", STRING),
    ("dockerfile", STRING),
    ("dockerfile_inline", STRING),
    ("entitlements", STRINGS),
    ("args", LIST_OR_DICT),
    ("ssh", LIST_OR_DICT),
    ("labels", LIST_OR_DICT),
    ("cache_from", STRINGS),
    ("cache_to", STRINGS),
    ("no_cache", BOOL_TEXT),
    ("no_cache_filter", STRING_OR_LIST),
    ("additional_contexts", LIST_OR_DICT),
    ("network", STRING),
    ("provenance", BOOL_TEXT),
    ("sbom", BOOL_TEXT),
    ("pull", BOOL_TEXT),
    ("target", STRING),
    ("shm_size", INTEGER_TEXT),
    ("extra_hosts", EXTRA_HOSTS),
    ("isolation", STRING),
    ("privileged", BOOL_TEXT),
    ("secrets", FILE_REFERENCES),
    ("tags", STRINGS),
    ("ulimits", ULIMITS),
    ("platforms", STRINGS),
]);
