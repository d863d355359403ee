//! Keys of the `deploy` and `develop` sections, and of which type their values are.

use super::{
    rule::{Object, Rule},
    shared::*,
};

/// `deploy`; may be null.
pub(super) const DEPLOY: Rule = Rule::Either(&[Rule::Object(&DEPLOYMENT), NULL]);

const DEPLOYMENT: Object = Object::extensible(&[
    ("mode", STRING),
    ("endpoint_mode", STRING),
    ("replicas", INTEGER_TEXT),
    ("labels", LIST_OR_DICT),
    ("rollback_config", UPDATE),
    ("update_config", UPDATE),
    ("resources", Rule::Object(&RESOURCES)),
    ("restart_policy", Rule::Object(&RESTART_POLICY)),
    ("placement", Rule::Object(&PLACEMENT)),
]);

const UPDATE: Rule = Rule::Object(&Object::extensible(&[
    ("parallelism", INTEGER_TEXT),
    ("delay", STRING),
    ("failure_action", STRING),
    ("monitor", STRING),
    ("max_failure_ratio", NUMBER_TEXT),
    ("order", Rule::Enum(&["start-first", "stop-first"])),
]));

const RESOURCES: Object =
    Object::extensible(&[("limits", Rule::Object(&LIMITS)), ("reservations", Rule::Object(&RESERVATIONS))]);

const LIMITS: Object = Object::extensible(&[("cpus", NUMBER_TEXT), ("memory", STRING), ("pids", INTEGER_TEXT)]);

const RESERVATIONS: Object = Object::extensible(&[
    ("cpus", NUMBER_TEXT),
    ("memory", STRING),
    ("generic_resources", Rule::List { item: &Rule::Object(&GENERIC), unique: false }),
    ("devices", Rule::List { item: &Rule::Object(&DEVICE), unique: false }),
]);

const GENERIC: Object = Object::extensible(&[("discrete_resource_spec", Rule::Object(&DISCRETE))]);

const DISCRETE: Object = Object::extensible(&[("kind", STRING), ("value", NUMBER_TEXT)]);

const DEVICE: Object = Object::extensible(DEVICE_REQUEST_FIELDS).requires(&["capabilities"]);

const RESTART_POLICY: Object =
    Object::extensible(&[("condition", STRING), ("delay", STRING), ("max_attempts", INTEGER_TEXT), ("window", STRING)]);

const PLACEMENT: Object = Object::extensible(&[
    ("constraints", STRINGS),
    ("preferences", Rule::List { item: &Rule::Object(&Object::extensible(&[("spread", STRING)])), unique: false }),
    ("max_replicas_per_node", INTEGER_TEXT),
]);

/// `develop`; may be null.
pub(super) const DEVELOP: Rule = Rule::Either(&[
    Rule::Object(&Object::extensible(&[("watch", Rule::List { item: &Rule::Object(&WATCH), unique: false })])),
    NULL,
]);

const WATCH: Object = Object::extensible(&[
    ("ignore", STRING_OR_LIST),
    ("include", STRING_OR_LIST),
    ("path", STRING),
    ("action", Rule::Enum(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])),
    ("target", STRING),
    ("exec", SERVICE_HOOK),
    ("initial_sync", BOOL),
])
.requires(&["path", "action"]);
