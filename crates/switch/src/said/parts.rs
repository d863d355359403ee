//! The keys inside the values of keys, declared once as those are: the reader's lists of known keys and the JSON Schema come from
//! here.

use super::keys::Form;

/// A key inside the value of another one.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// As it is written: `timeout`.
    pub name: &'static str,
    /// What it takes.
    pub form: Form,
    /// Whether it must be given.
    pub required: bool,
    /// What it is, in a few words.
    pub help: &'static str,
}

const fn part(name: &'static str, form: Form, help: &'static str) -> Part {
    Part { name, form, required: false, help }
}

const fn required(name: &'static str, form: Form, help: &'static str) -> Part {
    Part { name, form, required: true, help }
}

/// Most measures of one kind: each is asked for itself.
pub const MOST_MEASURES: usize = 8;
/// Most pins of one repository: every request is compared with each.
pub const MOST_PINS: usize = 16;
/// Longest name or value of a pin, in bytes.
pub const LONGEST_PIN: usize = 128;
/// Most steps of one deployment: each is a wait of its own.
pub const MOST_STEPS: usize = 16;

/// `health`, where it is a mapping.
pub static HEALTH: &[Part] = &[
    part("path", Form::Page, "The page that is asked."),
    part("timeout", Form::Duration, "How long a new instance has until it is ready."),
];

/// `tls`, where it names files.
pub static TLS_FILES: &[Part] = &[
    required("certificate", Form::Text, "The file with the certificate and those between it and its root."),
    required("key", Form::Text, "The file with its private key."),
];

/// `preview`, where it is a mapping.
pub static PREVIEW: &[Part] = &[
    part("host", Form::Host, "A host name that leads to the next colour."),
    part("listen", Form::Listen, "A port, or an address with one, that leads to it."),
    part("cookie", Form::Flag, "Whether a cookie with a secret leads to it."),
    part("to", Form::Target, "The service that is shown, where there are several."),
];

/// An entry of `pins`.
pub static PIN: &[Part] = &[
    part("header", Form::Token, "The header that is compared."),
    part("cookie", Form::Token, "The cookie that is compared, in place of a header."),
    required("value", Form::PinValue, "The value that it has."),
];

/// An entry of `steps`.
pub static STEP: &[Part] = &[
    required("weight", Form::Weight, "How many of a hundred clients."),
    part("for", Form::Duration, "How long the step lasts; without it, until somebody promotes it."),
];

/// What every measure has besides its own.
pub static MEASURED: &[Part] = &[
    part("every", Form::Duration, "How often it is asked."),
    part("timeout", Form::Duration, "How long an answer may take."),
];

/// `prometheus` of `analysis`.
pub static PROMETHEUS: &[Part] = &[
    required("url", Form::Origin, "Where it is asked."),
    required("query", Form::Text, "A query for one number."),
    part("fail_above", Form::Decimal, "More than this is bad."),
    part("fail_below", Form::Decimal, "Less than this is bad."),
];

/// `command` of `analysis`.
pub static COMMAND: &[Part] = &[required("run", Form::Arguments, "The program and its arguments.")];

/// `page` of `analysis`, where it is a mapping.
pub static ASKED_PAGE: &[Part] = &[
    required("path", Form::AsciiPage, "The page that is asked."),
    part("to", Form::Target, "The service that it is of, where there are several."),
];

/// Programs under `adapter`, each with its parts; the first part is what it calls a place that leads to the stack.
pub static ADAPTERS: &[(&str, &[Part])] = &[
    (
        "haproxy",
        &[
            required("backend", Form::Words, "The backend with the two servers, or one for each target."),
            required("socket", Form::File, "Its runtime socket, of level `admin`."),
            part("table", Form::AdapterWord, "The backend with the stick table. Default: turnout."),
            part("state", Form::File, "The folder of `server-state-base`."),
        ],
    ),
    (
        "nginx",
        &[
            required("upstream", Form::Words, "The upstream, or one for each target."),
            required("file", Form::File, "The file of upstreams that turnout writes and nginx includes."),
            required("answers", Form::Text, "Where it answers which deployment it has."),
            part("pid", Form::File, "Where the number of its master process is."),
        ],
    ),
    (
        "caddy",
        &[
            required("id", Form::Names, "The `@id` of the handler, or one for each target."),
            part("admin", Form::Text, "An address, or the path of a socket. Default: 127.0.0.1:2019."),
        ],
    ),
    (
        "traefik",
        &[
            required("service", Form::Words, "The service, or one for each target."),
            required("file", Form::File, "The file of services that turnout writes and Traefik watches."),
        ],
    ),
];

/// Their names, for lists of what is known.
pub(super) fn names(parts: &[Part]) -> Vec<&'static str> {
    parts.iter().map(|part| part.name).collect()
}
