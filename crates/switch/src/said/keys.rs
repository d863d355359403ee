//! Every key under `switch:`, declared once: name, form of its value, default, help, an example, and whether a commit may say it in
//! `x-turnout`. The reader's list of known keys, the JSON Schema, docs/repos.md and the example file all come from here.

/// One key: what it takes, what holds without it, and how it is explained.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written: `on_failure`.
    pub name: &'static str,
    /// What it takes.
    pub form: Form,
    /// What holds without it, in words or as it would be written.
    pub default: &'static str,
    /// What it is for, in one sentence or two.
    pub help: &'static str,
    /// A value in YAML, for a stack whose service `web` listens on 8000.
    pub example: &'static str,
    /// Whether a commit may say it, under `x-turnout` of the Compose file. What has turnout run, open or ask something of the
    /// host's is said in `repos.yaml` alone.
    pub by_commit: bool,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One of a few words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A duration in Compose's words.
    Duration,
    /// A time of two years at most, in years, days or Compose's words.
    Age,
    /// A whole number from 1.
    Number {
        /// The largest one that is taken.
        most: u64,
    },
    /// A share such as `5%`, or `0.25%`.
    Share,
    /// A path of a URL.
    Page,
    /// A list of them.
    Pages,
    /// A list of texts.
    Texts,
    /// Two words that may stand before a project's name.
    Colours,
    /// A port of the host, or an address with one.
    Listen,
    /// A service, with a port of its containers.
    Target,
    /// A certificate, as a word or by its files.
    Tls,
    /// What is spoken on one route.
    Protocol,
    /// One word, or words by port, or by service and port.
    Protocols,
    /// A page, or a page and how long it may take.
    Health,
    /// A list of mappings of [`ROUTE_KEYS`].
    Routes,
    /// Services, each with its class or a mapping of [`SERVICE_KEYS`].
    Services,
    /// Who has requests go to a colour that is ready.
    Promote,
    /// `on`, `off`, or a mapping of [`ANALYSIS_KEYS`].
    Analysis,
    /// A query of Prometheus with its bounds, or a list of them.
    Prometheus,
    /// A program with its arguments, or a list of them.
    Command,
    /// A page of the colour's own that is asked again and again, or a list of them.
    AskedPage,
    /// A host name, `cookie`, or a mapping of both and of a listener.
    Preview,
    /// How many of a hundred requests are copied.
    Mirror,
    /// A list of headers or cookies with their values.
    Pins,
    /// A list of shares, each with how long it lasts.
    Steps,
    /// A proxy of the user's own.
    Adapter,
    /// A text.
    Text,
    /// An absolute path on the host.
    File,
    /// A number, with or without a point.
    Decimal,
    /// How many of a hundred clients.
    Weight,
    /// A host name, without a port.
    Host,
    /// A name of a header or a cookie.
    Token,
    /// A value of a header or a cookie.
    PinValue,
    /// Where a server is asked, `http://HOST:PORT/PATH`.
    Origin,
    /// A path of a URL in ASCII, with what follows it.
    AsciiPage,
    /// A program with its arguments.
    Arguments,
    /// A name as a proxy of the user's has it.
    AdapterWord,
    /// Such a name, or one for each target.
    Words,
    /// Any name, or one for each target.
    Names,
}

const ORDER: Form = Form::Word(&["start-first", "stop-first"]);

/// Most requests that may be asked for before anything is judged: more would hardly be had while a colour bakes.
pub const MOST_REQUESTS: u64 = 1_000_000;
/// Most looks in a row that must say the same, likewise.
pub const MOST_LOOKS: u64 = 60;
/// Most times as many failures as before.
pub const MOST_TIMES: u64 = 1_000;

const fn key(name: &'static str, form: Form, default: &'static str, example: &'static str, help: &'static str) -> Key {
    Key { name, form, default, help, example, by_commit: true }
}

/// Of the host's: `repos.yaml` alone may say it.
const fn of_the_host(key: Key) -> Key {
    Key { by_commit: false, ..key }
}

/// Keys of `switch:` and of the top level's `x-turnout:`.
pub static KEYS: &[Key] = &[
    key(
        "by",
        Form::Word(&["deploy", "color"]),
        "deploy",
        "color",
        "When a deployment goes to the other colour: with each one that changes anything, or when COLOR in the file of variables \
         names it.",
    ),
    key("colors", Form::Colours, "COLOR of `.env` and its partner", "[red, green]", "The two colours."),
    key(
        "routes",
        Form::Routes,
        "what the Compose file publishes",
        "[{ listen: \"0.0.0.0:8080\", to: \"web:8000\" }]",
        "Routes in place of published ports: each takes the place of all published ports of its target.",
    ),
    key(
        "trusted",
        Form::Texts,
        "nobody; on a loopback address whoever asks",
        "[10.0.0.0/8]",
        "Networks whose `X-Forwarded-*` is believed, for all routes of HTTP that say none.",
    ),
    key(
        "protocol",
        Form::Protocols,
        "asked of the container in the gate",
        "{ \"web:8000\": http }",
        "What is spoken: one word for all, or words by `service` or `service:port`.",
    ),
    key(
        "health",
        Form::Health,
        "{ path: /, timeout: 2m }",
        "{ path: /healthz, timeout: 5m }",
        "The page by which the gate knows that a new instance is ready, and how long that may take.",
    ),
    key(
        "services",
        Form::Services,
        "derived",
        "{ web: { order: stop-first } }",
        "What is said of single services: a class, or a mapping.",
    ),
    key(
        "order",
        ORDER,
        "start-first; stop-first for workers and what writes storage of its own",
        "start-first",
        "What comes first when a service changes over: the new one starts, or the old one ends.",
    ),
    key(
        "bake",
        Form::Duration,
        "1m",
        "5m",
        "How long the colour before runs on beside the new one, to go back to at once.",
    ),
    key(
        "on_failure",
        Form::Word(&["rollback", "pause"]),
        "rollback",
        "pause",
        "What a colour that fails while it bakes asks for: back to the one before, or to stay and tell.",
    ),
    key(
        "analysis",
        Form::Analysis,
        "on: over 5 % failed, and 3 times as many as before",
        "{ errors: 2%, p99: 2s }",
        "When a new colour counts as worse by the answers to its requests, and what is asked besides.",
    ),
    key(
        "promote",
        Form::Promote,
        "auto",
        "after 10m",
        "Who has requests go to a colour that is ready: turnout at once, a person (`turnout promote`), or turnout after a time.",
    ),
    key(
        "promote_deadline",
        Form::Duration,
        "24h",
        "2h",
        "How long a person has for that; then the next colour is taken down.",
    ),
    key(
        "drain",
        Form::Duration,
        "30s",
        "2m",
        "How long tunnels (WebSockets, plain TCP) may last at a colour that has left the routes.",
    ),
    key("keep", Form::Duration, "24h", "48h", "How long a retired colour is there, stopped, to go back to."),
    key(
        "fallback",
        Form::Pages,
        "none",
        "[/assets, /build]",
        "Paths below which a 404 of the new colour is asked again of the one before, while both run.",
    ),
    key(
        "preview",
        Form::Preview,
        "none",
        "{ host: next.shop.example.org, cookie: true }",
        "How people reach a next colour that waits: by a host name, by a listener, by a cookie with a secret.",
    ),
    key(
        "mirror",
        Form::Mirror,
        "none",
        "10%",
        "How many of a hundred requests are copied to a next colour that waits.",
    ),
    key(
        "pins",
        Form::Pins,
        "none",
        "[{ header: X-Next, value: \"1\" }]",
        "Requests that go to a next colour while it waits: those with this header, or this cookie.",
    ),
    key(
        "steps",
        Form::Steps,
        "none: all requests at once",
        "[{ weight: 5, for: 2m }, { weight: 25 }]",
        "Shares of the clients that a next colour gets one after the other; one without `for` lasts until somebody promotes it.",
    ),
    key(
        "sticky",
        Form::Word(&["cookie", "address"]),
        "cookie",
        "address",
        "By what a client is known again while two colours share the requests.",
    ),
    of_the_host(key(
        "adapter",
        Form::Adapter,
        "turnout-proxy leads requests",
        "{ haproxy: { socket: /run/haproxy/turnout.sock, backend: shop } }",
        "A proxy of your own that leads requests in the place of turnout-proxy.",
    )),
];

/// Keys about one service, under `services:` and in its own `x-turnout:`.
pub static SERVICE_KEYS: &[Key] = &[
    key(
        "class",
        Form::Word(&["routed", "held", "internal", "worker", "job", "shared", "single"]),
        "derived",
        "shared",
        "What becomes of it at a switch.",
    ),
    key("order", ORDER, "that of all", "stop-first", "As `order` above, for this service."),
    key("health", Form::Health, "that of all", "/healthz", "As `health` above, for this service."),
    key(
        "protocol",
        Form::Protocols,
        "that of all",
        "{ \"8000\": h2c }",
        "What is spoken on its ports, or on each of them.",
    ),
    key(
        "expendable",
        Form::Flag,
        "false",
        "true",
        "A database or queue without a volume may begin empty when `switch` comes to a stack that runs.",
    ),
];

/// Keys of an entry of `routes:`.
pub static ROUTE_KEYS: &[Key] = &[
    key("listen", Form::Listen, "must be given", "443", "Where turnout-proxy listens."),
    key("hosts", Form::Texts, "all", "[shop.example.org]", "Names that requests (or the first words of TLS) ask for."),
    key("path", Form::Page, "all", "/api", "What the path begins with."),
    key("strip_path", Form::Flag, "false", "true", "Whether that is taken off before the container sees it."),
    key(
        "to",
        Form::Target,
        "must be given",
        "\"web:8000\"",
        "The service that the requests go to, with a port of its containers.",
    ),
    key("protocol", Form::Protocol, "asked of the container in the gate", "http", "What is spoken there."),
    key("tls", Form::Tls, "none", "acme", "TLS at the listener: `acme` obtains a certificate; or its files are named."),
    key(
        "proxied_by",
        Form::Texts,
        "nobody",
        "[10.0.0.0/8]",
        "Networks whose hosts say first for whom they speak (PROXY protocol); nobody else may connect.",
    ),
    key(
        "proxy_protocol",
        Form::Word(&["v1", "v2"]),
        "none",
        "v2",
        "The version of the PROXY protocol by which containers are told who their client is.",
    ),
    key(
        "redirect",
        Form::Word(&["https"]),
        "none",
        "https",
        "Requests are answered with where the same is served over TLS; no container is asked.",
    ),
    key(
        "hsts",
        Form::Age,
        "none",
        "1y",
        "For so long browsers are told to come over TLS alone (`Strict-Transport-Security`).",
    ),
    key("trusted", Form::Texts, "that of all", "[10.0.0.0/8]", "As `trusted` above, for this route."),
];

/// Keys of `analysis:`: the first six are about answers.
pub static ANALYSIS_KEYS: &[Key] = &[
    key("min_requests", Form::Number { most: MOST_REQUESTS }, "50", "200", "Fewer requests than these say nothing."),
    key("errors", Form::Share, "5%", "0.25%", "The share of failed requests that is let pass."),
    key(
        "times_before",
        Form::Number { most: MOST_TIMES },
        "3",
        "2",
        "So many times the share of the colour before is let pass as well.",
    ),
    key(
        "p50",
        Form::Duration,
        "not looked at",
        "200ms",
        "Half of the answers begin within; one of the ends of the classes in which turnout-proxy counts.",
    ),
    key("p99", Form::Duration, "not looked at", "2s", "The same of 99 answers of a hundred."),
    key("looks", Form::Number { most: MOST_LOOKS }, "2", "3", "Looks in a row that must say the same."),
    of_the_host(key(
        "prometheus",
        Form::Prometheus,
        "none",
        "{ url: \"http://127.0.0.1:9090\", query: up, fail_below: 1 }",
        "A query whose number is let pass within bounds.",
    )),
    of_the_host(key(
        "command",
        Form::Command,
        "none",
        "{ run: [/usr/local/bin/check-shop] }",
        "A program whose exit code 0 is good.",
    )),
    key("page", Form::AskedPage, "none", "/healthz/deep", "A page of the colour's own, of which 2xx and 3xx are good."),
    key("unknowns", Form::Number { most: MOST_LOOKS }, "3", "5", "How often in a row these may say nothing."),
    key("on_unknown", Form::Word(&["pause", "fail", "go_on"]), "pause", "go_on", "What follows then."),
];

/// Keys that a later turnout will bring: named, so that nobody takes them for a slip of the pen.
pub static LATER: &[&str] = &["memory"];

/// Their names, for lists of what is known.
pub fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}
