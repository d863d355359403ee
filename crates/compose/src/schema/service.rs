//! Keys of one service, and of which type their values are.

use super::{
    build::BUILD,
    deploy::{DEPLOY, DEVELOP},
    rule::{Kinds, Object, Rule},
    shared::*,
};

pub(super) const SERVICE: Rule = Rule::Object(
    &Object::extensible(&[
        ("develop", DEVELOP),
        ("deploy", DEPLOY),
        ("attach", BOOL_TEXT),
        ("build", BUILD),
        ("container_name", CONTAINER_NAME),
        ("depends_on", DEPENDS_ON),
        ("expose", Rule::List { item: &NUMBER_TEXT, unique: true }),
        (
            "extends",
            Rule::Either(&[
                STRING,
                Rule::Object(&Object::closed(&[("service", STRING), ("file", STRING)]).requires(&["service"])),
            ]),
        ),
        ("provider", Rule::Object(&PROVIDER)),
        ("external_links", UNIQUE_STRINGS),
        ("healthcheck", Rule::Object(&HEALTHCHECK)),
        ("links", UNIQUE_STRINGS),
        ("ports", Rule::List { item: &Rule::Either(&[NUMBER_TEXT, Rule::Object(&PORT)]), unique: true }),
        ("pre_start", Rule::List { item: &Rule::Object(&PRE_START), unique: false }),
        ("post_start", Rule::List { item: &SERVICE_HOOK, unique: false }),
        ("pre_stop", Rule::List { item: &SERVICE_HOOK, unique: false }),
        ("profiles", UNIQUE_STRINGS),
        ("restart", STRING),
        ("scale", INTEGER_TEXT),
        ("stdin_open", BOOL_TEXT),
        ("tty", BOOL_TEXT),
    ])
    .over(&CONTAINER),
);

/// A container that runs to its end before a service starts.
const PRE_START: Object = Object::extensible(&[("per_replica", BOOL_TEXT)]).over(&CONTAINER);

/// What a service and a `pre_start` step have in common: `container_spec` of Compose 5.
pub(super) const CONTAINER: Object = Object::extensible(&[
    ("annotations", LIST_OR_DICT),
    ("blkio_config", Rule::Object(&BLKIO)),
    ("cap_add", UNIQUE_STRINGS),
    ("cap_drop", UNIQUE_STRINGS),
    ("cgroup", Rule::Enum(&["host", "private"])),
    ("cgroup_parent", STRING),
    ("command", COMMAND),
    ("configs", FILE_REFERENCES),
    ("cpu_count", Rule::Either(&[STRING, Rule::Range { least: 0, most: i64::MAX }])),
    ("cpu_percent", Rule::Either(&[STRING, Rule::Range { least: 0, most: 100 }])),
    ("cpu_shares", NUMBER_TEXT),
    ("cpu_quota", NUMBER_TEXT),
    ("cpu_period", NUMBER_TEXT),
    ("cpu_rt_period", NUMBER_TEXT),
    ("cpu_rt_runtime", NUMBER_TEXT),
    ("cpus", NUMBER_TEXT),
    ("cpuset", STRING),
    (
        "credential_spec",
        Rule::Object(&Object::extensible(&[("config", STRING), ("file", STRING), ("registry", STRING)])),
    ),
    ("device_cgroup_rules", UNIQUE_STRINGS),
    ("devices", Rule::List { item: &Rule::Either(&[STRING, Rule::Object(&DEVICE)]), unique: false }),
    ("dns", STRING_OR_LIST),
    ("dns_opt", UNIQUE_STRINGS),
    ("dns_search", STRING_OR_LIST),
    ("domainname", STRING),
    ("entrypoint", COMMAND),
    ("env_file", ENV_FILE),
    ("label_file", Rule::Either(&[STRING, STRINGS])),
    ("environment", LIST_OR_DICT),
    ("extra_hosts", EXTRA_HOSTS),
    ("gpus", GPUS),
    ("group_add", Rule::List { item: &NUMBER_TEXT, unique: true }),
    ("hostname", STRING),
    ("image", STRING),
    ("init", BOOL_TEXT),
    ("ipc", STRING),
    ("isolation", STRING),
    ("labels", LIST_OR_DICT),
    ("logging", Rule::Object(&Object::extensible(&[("driver", STRING), ("options", LOG_OPTIONS)]))),
    ("mac_address", STRING),
    ("mem_limit", NUMBER_TEXT),
    ("mem_reservation", INTEGER_TEXT),
    ("mem_swappiness", INTEGER_TEXT),
    ("memswap_limit", NUMBER_TEXT),
    ("network_mode", STRING),
    ("models", MODELS),
    ("networks", NETWORKS),
    ("oom_kill_disable", BOOL_TEXT),
    ("oom_score_adj", Rule::Either(&[STRING, Rule::Range { least: -1000, most: 1000 }])),
    ("pid", Rule::Scalar(Kinds::STRING.or(Kinds::NULL))),
    ("pids_limit", NUMBER_TEXT),
    ("platform", STRING),
    ("privileged", BOOL_TEXT),
    ("pull_policy", PULL_POLICY),
    ("pull_refresh_after", STRING),
    ("read_only", BOOL_TEXT),
    ("runtime", STRING),
    ("security_opt", UNIQUE_STRINGS),
    ("shm_size", NUMBER_TEXT),
    ("secrets", FILE_REFERENCES),
    ("sysctls", LIST_OR_DICT),
    ("stop_grace_period", STRING),
    ("stop_signal", STRING),
    ("storage_opt", Rule::Scalar(Kinds::MAP)),
    ("tmpfs", STRING_OR_LIST),
    ("ulimits", ULIMITS),
    ("use_api_socket", BOOL),
    ("user", STRING),
    ("uts", STRING),
    ("userns_mode", STRING),
    ("volumes", Rule::List { item: &Rule::Either(&[STRING, Rule::Object(&MOUNT)]), unique: true }),
    ("volumes_from", UNIQUE_STRINGS),
    ("working_dir", STRING),
]);

const CONTAINER_NAME: Rule = Rule::Pattern {
    matches: |text| {
        let bytes = text.as_bytes();
        let follows = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        bytes.iter().zip(bytes.iter().skip(1)).any(|(first, second)| first.is_ascii_alphanumeric() && follows(second))
    },
    example: "a letter or digit, then one or more of letters, digits, '_', '.', '-'",
};

const PULL_POLICY: Rule = Rule::Pattern {
    // The specification's pattern is not anchored; a policy is accepted anywhere in the text.
    matches: |text| {
        let words = ["always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"];
        let every = || text.match_indices("every_").any(|(at, found)| starts_with_period(text, at + found.len()));
        words.iter().any(|word| text.contains(word)) || every()
    },
    example: "use always, never, build, missing, if_not_present, refresh, daily, weekly or every_<duration>",
};

/// Digits and one of `wdhms` at `at`.
fn starts_with_period(text: &str, at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < rest.len() && unit.starts_with(['w', 'd', 'h', 'm', 's'])
}

const BLKIO: Object = Object::closed(&[
    ("device_read_bps", LIMITS),
    ("device_read_iops", LIMITS),
    ("device_write_bps", LIMITS),
    ("device_write_iops", LIMITS),
    ("weight", INTEGER_TEXT),
    (
        "weight_device",
        Rule::List {
            item: &Rule::Object(&Object::closed(&[("path", STRING), ("weight", INTEGER_TEXT)])),
            unique: false,
        },
    ),
]);

const LIMITS: Rule =
    Rule::List { item: &Rule::Object(&Object::closed(&[("path", STRING), ("rate", INTEGER_TEXT)])), unique: false };

const DEPENDS_ON: Rule = Rule::Either(&[
    UNIQUE_STRINGS,
    Rule::Named { name: resource_name, value: &Rule::Object(&DEPENDENCY), strict: true },
]);

const DEPENDENCY: Object = Object::extensible(&[
    ("restart", BOOL_TEXT),
    ("required", BOOL),
    ("condition", Rule::Enum(&["service_started", "service_healthy", "service_completed_successfully"])),
])
.requires(&["condition"]);

const DEVICE: Object =
    Object::extensible(&[("source", STRING), ("target", STRING), ("permissions", STRING)]).requires(&["source"]);

const ENV_FILE: Rule = Rule::Either(&[
    STRING,
    Rule::List {
        item: &Rule::Either(&[
            STRING,
            Rule::Object(
                &Object::closed(&[("path", STRING), ("format", STRING), ("required", BOOL_TEXT)]).requires(&["path"]),
            ),
        ]),
        unique: false,
    },
]);

const OPTION: Rule = Rule::Scalar(Kinds::STRING.or(Kinds::NUMBER).or(Kinds::BOOL));

const PROVIDER: Object = Object::extensible(&[
    ("type", STRING),
    (
        "options",
        Rule::Named {
            name: not_empty,
            value: &Rule::Either(&[OPTION, Rule::List { item: &OPTION, unique: false }]),
            strict: false,
        },
    ),
])
.requires(&["type"]);

const GPUS: Rule = Rule::Either(&[
    Rule::Enum(&["all"]),
    Rule::List { item: &Rule::Object(&Object::open(DEVICE_REQUEST_FIELDS)), unique: false },
]);

const HEALTHCHECK: Object = Object::extensible(&[
    ("disable", BOOL_TEXT),
    ("interval", STRING),
    ("retries", NUMBER_TEXT),
    ("test", Rule::Either(&[STRING, STRINGS])),
    ("timeout", STRING),
    ("start_period", STRING),
    ("start_interval", STRING),
]);

const LOG_OPTIONS: Rule = Rule::Named {
    name: not_empty,
    value: &Rule::Scalar(Kinds::STRING.or(Kinds::NUMBER).or(Kinds::NULL)),
    strict: false,
};

const MODELS: Rule = Rule::Either(&[
    UNIQUE_STRINGS,
    Rule::Named {
        name: resource_name,
        value: &Rule::Either(&[
            Rule::Object(&Object::extensible(&[("endpoint_var", STRING), ("model_var", STRING)])),
            NULL,
        ]),
        strict: false,
    },
]);

const NETWORKS: Rule = Rule::Either(&[
    UNIQUE_STRINGS,
    Rule::Named { name: resource_name, value: &Rule::Either(&[Rule::Object(&ATTACHMENT), NULL]), strict: true },
]);

const ATTACHMENT: Object = Object::extensible(&[
    ("aliases", UNIQUE_STRINGS),
    ("interface_name", STRING),
    ("ipv4_address", STRING),
    ("ipv6_address", STRING),
    ("link_local_ips", UNIQUE_STRINGS),
    ("mac_address", STRING),
    ("driver_opts", DRIVER_OPTS),
    ("priority", NUMBER),
    ("gw_priority", NUMBER),
]);

const PORT: Object = Object::extensible(&[
    ("name", STRING),
    ("mode", STRING),
    ("host_ip", STRING),
    ("target", INTEGER_TEXT),
    ("published", INTEGER_TEXT),
    ("protocol", STRING),
    ("app_protocol", STRING),
]);

const MOUNT: Object = Object::extensible(&[
    ("type", Rule::Enum(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
    ("source", STRING),
    ("target", STRING),
    ("read_only", BOOL_TEXT),
    ("consistency", STRING),
    (
        "bind",
        Rule::Object(&Object::extensible(&[
            ("propagation", STRING),
            ("create_host_path", BOOL_TEXT),
            ("recursive", Rule::Enum(&["enabled", "disabled", "writable", "readonly"])),
            ("selinux", Rule::Enum(&["z", "Z"])),
        ])),
    ),
    (
        "volume",
        Rule::Object(&Object::extensible(&[("labels", LIST_OR_DICT), ("nocopy", BOOL_TEXT), ("subpath", STRING)])),
    ),
    (
        "tmpfs",
        Rule::Object(&Object::extensible(&[
            ("size", Rule::Either(&[Rule::Range { least: 0, most: i64::MAX }, STRING])),
            ("mode", NUMBER_TEXT),
        ])),
    ),
    ("image", Rule::Object(&Object::extensible(&[("subpath", STRING)]))),
])
.requires(&["type"]);
