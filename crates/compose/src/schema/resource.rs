//! Keys of the document itself, and of top-level networks, volumes, secrets, configs, models and includes.

use super::{
    rule::{Kinds, Object, Rule},
    service::SERVICE,
    shared::*,
};

/// A whole document.
pub(super) const ROOT: Rule = Rule::Object(&Object::extensible(&[
    ("version", STRING),
    ("name", STRING),
    ("include", Rule::List { item: &INCLUDE, unique: false }),
    ("services", Rule::Named { name: resource_name, value: &SERVICE, strict: true }),
    ("models", Rule::Named { name: resource_name, value: &MODEL, strict: false }),
    ("networks", Rule::Named { name: resource_name, value: &NETWORK, strict: false }),
    ("volumes", Rule::Named { name: resource_name, value: &VOLUME, strict: true }),
    ("secrets", Rule::Named { name: resource_name, value: &SECRET, strict: true }),
    ("configs", Rule::Named { name: resource_name, value: &CONFIG, strict: true }),
]));

const INCLUDE: Rule = Rule::Either(&[
    STRING,
    Rule::Object(&Object::closed(&[
        ("path", STRING_OR_LIST),
        ("env_file", STRING_OR_LIST),
        ("project_directory", STRING),
    ])),
]);

const MODEL: Rule = Rule::Object(
    &Object::extensible(&[("name", STRING), ("model", STRING), ("context_size", INTEGER), ("runtime_flags", STRINGS)])
        .requires(&["model"]),
);

/// `external: true`, or the former `external: {name: x}`.
const EXTERNAL: Rule = Rule::Either(&[BOOL_TEXT, Rule::Object(&Object::extensible(&[("name", STRING)]))]);
/// The same for secrets and configs, which take any further key.
const FILE_EXTERNAL: Rule = Rule::Either(&[BOOL_TEXT, Rule::Object(&Object::open(&[("name", STRING)]))]);

const NETWORK: Rule = Rule::Either(&[
    NULL,
    Rule::Object(&Object::extensible(&[
        ("name", STRING),
        ("driver", STRING),
        ("driver_opts", DRIVER_OPTS),
        ("ipam", Rule::Object(&IPAM)),
        ("external", EXTERNAL),
        ("internal", BOOL_TEXT),
        ("enable_ipv4", BOOL_TEXT),
        ("enable_ipv6", BOOL_TEXT),
        ("attachable", BOOL_TEXT),
        ("labels", LIST_OR_DICT),
    ])),
]);

const TEXT_BY_NAME: Rule = Rule::Named { name: not_empty, value: &STRING, strict: true };

const IPAM: Object = Object::extensible(&[
    ("driver", STRING),
    ("config", Rule::List { item: &Rule::Object(&IPAM_POOL), unique: false }),
    ("options", TEXT_BY_NAME),
]);

const IPAM_POOL: Object = Object::extensible(&[
    ("subnet", STRING),
    ("ip_range", STRING),
    ("gateway", STRING),
    ("aux_addresses", TEXT_BY_NAME),
]);

const VOLUME: Rule = Rule::Either(&[
    Rule::Scalar(Kinds::NULL),
    Rule::Object(&Object::extensible(&[
        ("name", STRING),
        ("driver", STRING),
        ("driver_opts", DRIVER_OPTS),
        ("external", EXTERNAL),
        ("labels", LIST_OR_DICT),
    ])),
]);

const SECRET: Rule = Rule::Object(&Object::extensible(&[
    ("name", STRING),
    ("environment", STRING),
    ("file", STRING),
    ("external", FILE_EXTERNAL),
    ("labels", LIST_OR_DICT),
    ("driver", STRING),
    ("driver_opts", DRIVER_OPTS),
    ("template_driver", STRING),
]));

const CONFIG: Rule = Rule::Object(&Object::extensible(&[
    ("name", STRING),
    ("content", STRING),
    ("environment", STRING),
    ("file", STRING),
    ("external", FILE_EXTERNAL),
    ("labels", LIST_OR_DICT),
    ("template_driver", STRING),
]));
