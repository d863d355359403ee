//! Rules that several tables use.

use super::rule::{Kinds, Object, Rule};

pub(super) const STRING: Rule = Rule::Scalar(Kinds::STRING);
pub(super) const NULL: Rule = Rule::Scalar(Kinds::NULL);
pub(super) const BOOL: Rule = Rule::Scalar(Kinds::BOOL);
pub(super) const INTEGER: Rule = Rule::Scalar(Kinds::INTEGER);
pub(super) const NUMBER: Rule = Rule::Scalar(Kinds::NUMBER);
/// `true`, or text that becomes a boolean.
pub(super) const BOOL_TEXT: Rule = Rule::Scalar(Kinds::BOOL.or(Kinds::STRING));
pub(super) const INTEGER_TEXT: Rule = Rule::Scalar(Kinds::INTEGER.or(Kinds::STRING));
pub(super) const NUMBER_TEXT: Rule = Rule::Scalar(Kinds::NUMBER.or(Kinds::STRING));

/// Strings, repeats allowed.
pub(super) const STRINGS: Rule = Rule::List { item: &STRING, unique: false };
/// Strings, each once.
pub(super) const UNIQUE_STRINGS: Rule = Rule::List { item: &STRING, unique: true };
pub(super) const STRING_OR_LIST: Rule = Rule::Either(&[STRING, UNIQUE_STRINGS]);

const SCALAR: Rule = Rule::Scalar(Kinds::STRING.or(Kinds::NUMBER).or(Kinds::BOOL).or(Kinds::NULL));
/// `KEY: value` or `- KEY=value`.
pub(super) const LIST_OR_DICT: Rule =
    Rule::Either(&[Rule::Named { name: not_empty, value: &SCALAR, strict: true }, UNIQUE_STRINGS]);

/// Options passed on as they are.
pub(super) const DRIVER_OPTS: Rule = Rule::Named { name: not_empty, value: &NUMBER_TEXT, strict: false };

/// `host: ip`, `host: [ip]` or `- host=ip`.
pub(super) const EXTRA_HOSTS: Rule = Rule::Either(&[
    Rule::Named { name: not_empty, value: &Rule::Either(&[STRING, STRINGS]), strict: true },
    UNIQUE_STRINGS,
]);

/// Words, or one text that is split like a shell does.
pub(super) const COMMAND: Rule = Rule::Either(&[NULL, STRING, STRINGS]);

const FILE_REFERENCE: Object = Object::extensible(&[
    ("source", STRING),
    ("target", STRING),
    ("uid", STRING),
    ("gid", STRING),
    ("mode", NUMBER_TEXT),
]);
/// `secrets` and `configs` of a service or build.
pub(super) const FILE_REFERENCES: Rule =
    Rule::List { item: &Rule::Either(&[STRING, Rule::Object(&FILE_REFERENCE)]), unique: false };

const ULIMIT: Object =
    Object::extensible(&[("hard", INTEGER_TEXT), ("soft", INTEGER_TEXT)]).requires(&["soft", "hard"]);
pub(super) const ULIMITS: Rule = Rule::Named {
    name: |name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()),
    value: &Rule::Either(&[INTEGER_TEXT, Rule::Object(&ULIMIT)]),
    strict: false,
};

/// Device requests of `deploy.resources.reservations.devices` and `gpus`.
pub(super) const DEVICE_REQUEST_FIELDS: &[(&str, Rule)] = &[
    ("capabilities", UNIQUE_STRINGS),
    ("count", INTEGER_TEXT),
    ("device_ids", UNIQUE_STRINGS),
    ("driver", STRING),
    ("options", LIST_OR_DICT),
];

const HOOK: Object = Object::extensible(&[
    ("command", COMMAND),
    ("user", STRING),
    ("privileged", BOOL_TEXT),
    ("working_dir", STRING),
    ("environment", LIST_OR_DICT),
])
.requires(&["command"]);
/// A command run in the container.
pub(super) const SERVICE_HOOK: Rule = Rule::Object(&HOOK);

/// Names of services, networks and the like.
pub(super) fn resource_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

pub(super) fn not_empty(name: &str) -> bool {
    !name.is_empty()
}
