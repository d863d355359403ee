//! Settings by layers: command line over environment over the daemon's own `.env` over defaults.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Secret,
    mistake::{Mistake, Mistakes, Place, nearest},
    repos::Timeouts,
    table::{Setting, TABLE},
    units,
};

/// Where texts of settings come from. Earlier fields win.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The command line: setting name -> text.
    pub cli: BTreeMap<&'static str, String>,
    /// The process environment.
    pub env: BTreeMap<String, String>,
    /// The daemon's own `.env`.
    pub dotenv: BTreeMap<String, String>,
    /// Name of that file, for messages.
    pub dotenv_file: String,
    /// The secret read from a file, if one was named and could be read. Counts where no secret is given as text.
    pub secret_from_file: Option<Secret>,
    /// That file.
    pub secret_file: PathBuf,
    /// Directory of `repos.yaml` and `.env` where they are not named: `.` or `/etc/turnout`.
    pub home: PathBuf,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// All settings of the daemon, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address of the webhook server.
    pub listen: SocketAddr,
    /// `repos.yaml`.
    pub repos: PathBuf,
    /// Secret that deliveries are signed with.
    pub webhook_secret: Option<Secret>,
    /// The file that it was read from, if it was: what that says later counts then.
    pub webhook_secret_file: Option<PathBuf>,
    /// Unsigned deliveries are taken.
    pub insecure_no_secret: bool,
    /// Directory of the database.
    pub state_dir: PathBuf,
    /// Directory of the log files.
    pub log_dir: PathBuf,
    /// Directory of the control socket.
    pub runtime_dir: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Its access mode.
    pub socket_mode: u32,
    /// The Docker engine, as a URL.
    pub docker_host: String,
    /// How long a deployment waits for an engine that does not answer.
    pub engine_wait: Duration,
    /// How long the engine may take for one call.
    pub engine_timeout: Duration,
    /// Most deployments at one time.
    pub parallel: usize,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Filter of log lines, as tracing's directives.
    pub log_level: String,
    /// Daily log files kept.
    pub log_keep: usize,
    /// Bytes of one log file.
    pub log_file_limit: u64,
    /// Bytes of all log files.
    pub log_limit: u64,
    /// Largest request body, in bytes.
    pub body_limit: usize,
    /// Most proven deliveries recorded at one time.
    pub max_requests: usize,
    /// Most open connections of the webhook server.
    pub max_connections: usize,
    /// Most open connections of one sender.
    pub max_connections_per_source: usize,
    /// Networks of proxies that say truly whom a delivery comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// Time for a request's head.
    pub header_timeout: Duration,
    /// Time for a request's body.
    pub body_timeout: Duration,
    /// Time-outs of deployments where `repos.yaml` does not say otherwise.
    pub timeouts: Timeouts,
    /// Time for the step under way at a shutdown.
    pub shutdown_grace: Duration,
    /// How long deliveries are remembered.
    pub delivery_retention: Duration,
    /// Most deliveries remembered.
    pub delivery_keep: usize,
    /// Newest deliveries of which the payload is kept; 0 = of none.
    pub payload_keep: usize,
    /// Bytes of a payload that is kept; of a larger one nothing is.
    pub payload_limit: usize,
    /// Deployments kept for each repository.
    pub history_keep: usize,
    /// Copies of the database that are kept; 0 = none are made.
    pub backup_keep: usize,
    /// Bytes to which the engine's build cache is cut after a build; none = left to the engine.
    pub keep_build_cache: Option<u64>,
    /// See [`Settings::variables`].
    variables: Variables,
}

/// Texts that may be secret, so never shown.
#[derive(Clone, PartialEq, Eq)]
struct Variables(BTreeMap<String, String>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} variables", self.0.len())
    }
}

impl Settings {
    /// Variables that `repos.yaml` may refer to (`token_env:`, `secret_env:`): the environment over the daemon's `.env`.
    pub fn variables(&self) -> HashMap<String, String> {
        self.variables.0.iter().map(|(name, text)| (name.clone(), text.clone())).collect()
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.state_dir.join("turnout.db")
    }

    /// Where the last `repos.yaml` without a mistake is kept for a start with a broken one.
    pub fn last_good(&self) -> PathBuf {
        self.state_dir.join("repos.last-good.yaml")
    }
}

/// The webhook secret, and the file that it is from.
fn secret_of(layers: &Layers) -> (Option<Secret>, Option<PathBuf>) {
    let as_text = text_of(layers, "webhook-secret").map(|(text, _)| Secret::new(text));
    let file_named = layers.cli.contains_key("webhook-secret-file");
    let file = layers.secret_from_file.as_ref().map(|_| layers.secret_file.clone());
    match (&layers.secret_from_file, as_text) {
        (Some(secret), _) if file_named => (Some(secret.clone()), file),
        (_, Some(text)) => (Some(text), None),
        (secret, None) => (secret.clone(), file),
    }
}

/// A size of log files: less would hold no single deployment's log.
fn log_size(text: &str) -> Result<u64, String> {
    match units::bytes(text)? {
        0..0x1_0000 => Err(format!("`{text}` is less than 64KiB")),
        size => Ok(size),
    }
}

/// Computes the settings.
///
/// # Errors
/// Every text that cannot be read, with the place it came from, and every unknown `TURNOUT_` name in the `.env`.
pub fn resolve(layers: &Layers) -> Result<Settings, Mistakes> {
    let mut reader = Settler { layers, mistakes: Mistakes::default() };
    reader.unknown_names();
    let home = |name: &str| layers.home.join(name);
    let runtime_dir = reader.directory("runtime-dir");
    let settings = Settings {
        listen: reader.parsed("listen", SocketAddr::from(([127, 0, 0, 1], 8000)), address),
        repos: reader.path("repos").unwrap_or_else(|| home("repos.yaml")),
        webhook_secret: reader.secret(),
        webhook_secret_file: secret_of(layers).1,
        insecure_no_secret: reader.parsed("insecure-no-secret", false, boolean),
        state_dir: reader.directory("state-dir"),
        log_dir: reader.directory("log-dir"),
        socket: reader.path("socket").unwrap_or_else(|| runtime_dir.join("turnout.sock")),
        runtime_dir,
        socket_mode: reader.parsed("socket-mode", 0o660, mode),
        docker_host: reader.parsed("docker-host", String::new(), docker_host),
        engine_wait: reader.parsed("engine-wait", Duration::ZERO, units::duration),
        engine_timeout: reader.parsed("engine-timeout", Duration::ZERO, some_time),
        parallel: reader.parsed("parallel", 2, |text| count(text, 64)),
        log_format: reader.parsed("log-format", LogFormat::Text, log_format),
        log_level: reader.parsed("log-level", String::new(), |text| Ok(text.to_owned())),
        log_keep: reader.parsed("log-keep", 30, |text| count(text, 3650)),
        log_file_limit: reader.parsed("log-file-limit", 1, log_size),
        log_limit: reader.parsed("log-limit", 1, log_size),
        body_limit: reader.parsed("body-limit", 0, body_limit),
        max_requests: reader.parsed("max-requests", 64, |text| count(text, 10_000)),
        max_connections: reader.parsed("max-connections", 512, |text| count(text, 100_000)),
        max_connections_per_source: reader.parsed("max-connections-per-source", 64, |text| count(text, 100_000)),
        trusted_proxies: reader.parsed("trusted-proxies", Vec::new(), networks),
        header_timeout: reader.parsed("header-timeout", Duration::ZERO, some_time),
        body_timeout: reader.parsed("body-timeout", Duration::ZERO, some_time),
        timeouts: Timeouts {
            fetch: reader.parsed("fetch-timeout", Duration::ZERO, some_time),
            build: reader.parsed("build-timeout", Duration::ZERO, some_time),
            apply: reader.parsed("apply-timeout", Duration::ZERO, some_time),
            settle: reader.parsed("settle-time", Duration::ZERO, units::duration),
            watch: reader.parsed("watch-after", Duration::ZERO, units::duration),
        },
        shutdown_grace: reader.parsed("shutdown-grace", Duration::ZERO, units::duration),
        delivery_retention: reader.parsed("delivery-retention", Duration::ZERO, some_time),
        delivery_keep: reader.parsed("delivery-keep", 1, |text| count(text, 10_000_000)),
        payload_keep: reader.parsed("payload-keep", 0, |text| match text {
            "0" => Ok(0),
            text => count(text, 1_000_000),
        }),
        payload_limit: reader.parsed("payload-limit", 0, payload_limit),
        backup_keep: reader.parsed("backup-keep", 7, |text| match text {
            "0" => Ok(0),
            text => count(text, 1_000),
        }),
        keep_build_cache: reader.parsed("keep-build-cache", None, |text| match text {
            "" => Ok(None),
            text => units::bytes(text).map(Some),
        }),
        history_keep: reader.parsed("history-keep", 1, |text| count(text, 1_000_000)),
        variables: Variables(layers.dotenv.clone().into_iter().chain(layers.env.clone()).collect()),
    };
    reader.mistakes.unless_any(settings)
}

/// The text of one setting and where it came from, before any check. For the files that must be read first.
pub fn text_of(layers: &Layers, name: &str) -> Option<(String, String)> {
    let setting = TABLE.iter().find(|setting| setting.name == name)?;
    if let Some(text) = layers.cli.get(name) {
        return Some((text.clone(), format!("--{name}")));
    }
    for (values, file) in [(&layers.env, ""), (&layers.dotenv, layers.dotenv_file.as_str())] {
        for variable in std::iter::once(&setting.env).chain(setting.aliases) {
            // An empty variable is one that somebody wanted to switch off.
            if let Some(text) = values.get(*variable).filter(|text| !text.is_empty()) {
                let source = if file.is_empty() { (*variable).to_owned() } else { format!("{file}: {variable}") };
                return Some((text.clone(), source));
            }
        }
    }
    None
}

struct Settler<'a> {
    layers: &'a Layers,
    mistakes: Mistakes,
}

impl Settler<'_> {
    fn setting(name: &str) -> Option<&'static Setting> {
        TABLE.iter().find(|setting| setting.name == name)
    }

    /// The value of `name`, or `fallback` after a mistake has been noted.
    fn parsed<T>(&mut self, name: &str, fallback: T, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let default = Self::setting(name).map_or("", |setting| setting.default);
        let (text, source) = text_of(self.layers, name).unwrap_or((default.to_owned(), format!("default of {name}")));
        match parse(&text) {
            Ok(value) => value,
            Err(message) => {
                self.mistakes.0.push(Mistake::new(Place::Source(source), "", message));
                fallback
            }
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        text_of(self.layers, name).map(|(text, _)| PathBuf::from(text))
    }

    /// A directory. systemd may pass several, separated by colons: the first is ours.
    fn directory(&self, name: &str) -> PathBuf {
        let default = Self::setting(name).map_or("", |setting| setting.default);
        match text_of(self.layers, name) {
            Some((text, source)) if source.ends_with("_DIRECTORY") => {
                PathBuf::from(text.split(':').next().unwrap_or_default())
            }
            Some((text, _)) => PathBuf::from(text),
            None => PathBuf::from(default),
        }
    }

    fn secret(&mut self) -> Option<Secret> {
        let (secret, _) = secret_of(self.layers);
        if secret.as_ref().is_some_and(|secret| secret.reveal().trim().is_empty()) {
            self.mistakes
                .0
                .push(Mistake::new(Place::Source("webhook-secret".to_owned()), "", "the secret is empty").hint(
                    "an empty secret would still make valid signatures; `openssl rand -hex 32` makes a good one",
                ));
        }
        secret
    }

    fn unknown_names(&mut self) {
        let known = || TABLE.iter().flat_map(|setting| std::iter::once(&setting.env).chain(setting.aliases)).copied();
        for name in self.layers.dotenv.keys().filter(|name| name.starts_with("TURNOUT_")) {
            if known().any(|other| other == name) {
                continue;
            }
            let mistake = Mistake::new(
                Place::Source(format!("{}: {name}", self.layers.dotenv_file)),
                "",
                "there is no such setting",
            );
            self.mistakes.0.push(match nearest(name, known()) {
                Some(other) => mistake.hint(format!("did you mean {other}?")),
                None => mistake.hint("`turnout serve --help` lists all of them"),
            });
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = SocketAddr::from_str(text) {
        return Ok(address);
    }
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    Err(match port {
        Ok(port) => format!("`{text}` has no address; write 127.0.0.1:{port}, or 0.0.0.0:{port} for every interface"),
        Err(_) => format!("`{text}` is not an address with a port; write it like 127.0.0.1:8000 or [::1]:8000"),
    })
}

/// Networks or single addresses, separated by commas or blanks; `none` for none.
fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    if text.trim() == "none" {
        return Ok(Vec::new());
    }
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let net = |part: &str| {
        let net = part.parse().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
        net.map_err(|_| format!("`{part}` is no network; write it like 10.0.0.0/8, 192.0.2.7 or fd00::/8, or say none"))
    };
    parts.map(net).collect()
}

/// `true` in any case, as the ancestors of this program took it, and the usual other words.
fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(format!("`{text}` is not an access mode; write it in octal, like 0660")),
    }
}

fn count(text: &str, most: usize) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not a whole number from 1 to {most}")),
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match units::duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than 0".to_owned()),
        other => other,
    }
}

/// Between one byte and a size that a 32-bit machine could still hold several times over.
fn body_limit(text: &str) -> Result<usize, String> {
    match units::bytes(text)? {
        size @ 1024..=268_435_456 => usize::try_from(size).map_err(|error| error.to_string()),
        _ => Err(format!("`{text}` is not between 1KiB and 256MiB")),
    }
}

/// What is kept of each body while it is not proven, so an eighth of a gigabyte for all connections at the most.
fn payload_limit(text: &str) -> Result<usize, String> {
    match units::bytes(text)? {
        size @ 0..=262_144 => usize::try_from(size).map_err(|error| error.to_string()),
        _ => Err(format!("`{text}` is more than 256KiB")),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is neither text nor json")),
    }
}

fn docker_host(text: &str) -> Result<String, String> {
    let wrong = || {
        let forms = "unix:///var/run/docker.sock, tcp://host:2375 or ssh://user@host";
        format!("`{text}` is not an engine's address; write {forms}")
    };
    if text.is_empty() {
        return Ok(String::new());
    }
    // Only what can be said without reading anything; the engine's own reader checks the rest.
    match text.split_once("://") {
        Some(("unix", path)) if Path::new(path).is_absolute() => Ok(text.to_owned()),
        Some(("tcp" | "http", host)) if !host.is_empty() => Ok(text.to_owned()),
        // Not repeated: it may hold a password, which is refused later.
        Some(("ssh", host)) if !host.is_empty() => Ok(text.to_owned()),
        Some(("npipe" | "fd", _)) => Err(format!("`{text}`: only unix://, tcp:// and ssh:// are supported")),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(cli: &[(&'static str, &str)], env: &[(&str, &str)], dotenv: &[(&str, &str)]) -> Layers {
        let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Layers {
            cli: cli.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(),
            env: own(env),
            dotenv: own(dotenv),
            dotenv_file: "/etc/turnout/.env".to_owned(),
            secret_from_file: None,
            secret_file: PathBuf::new(),
            home: PathBuf::from("/etc/turnout"),
        }
    }

    #[test]
    fn defaults_are_valid() {
        let settings = resolve(&layers(&[], &[], &[])).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8000");
        assert_eq!(settings.repos, Path::new("/etc/turnout/repos.yaml"));
        assert_eq!(settings.socket, Path::new("/run/turnout/turnout.sock"));
        assert_eq!(settings.database(), Path::new("/var/lib/turnout/turnout.db"));
        assert_eq!(settings.body_limit, 26_214_400);
        assert_eq!(settings.keep_build_cache, None);
        let bounded = resolve(&layers(&[("keep-build-cache", "10GB")], &[], &[])).unwrap();
        assert_eq!(bounded.keep_build_cache, Some(10_000_000_000));
        assert_eq!(settings.trusted_proxies.len(), 2);
        assert_eq!(settings.webhook_secret, None);
    }

    #[test]
    fn the_higher_layer_wins() {
        let dotenv = &[("TURNOUT_PARALLEL", "3"), ("WEBHOOK_SECRET", "from-dotenv"), ("OTHER", "x")];
        let env = &[("TURNOUT_PARALLEL", "4"), ("STATE_DIRECTORY", "/s/one:/s/two")];
        let all = resolve(&layers(&[("parallel", "5")], env, dotenv)).unwrap();
        assert_eq!(all.parallel, 5);
        assert_eq!(all.state_dir, Path::new("/s/one"));
        assert_eq!(all.webhook_secret, Some(Secret::new("from-dotenv")));
        assert_eq!(resolve(&layers(&[], env, dotenv)).unwrap().parallel, 4);
        assert_eq!(resolve(&layers(&[], &[], dotenv)).unwrap().parallel, 3);
        // Empty means "not given", so that a unit can switch a variable off.
        assert_eq!(resolve(&layers(&[], &[("TURNOUT_PARALLEL", "")], dotenv)).unwrap().parallel, 3);
        // The own name is stronger than an alias of the same layer.
        let both = &[("WEBHOOK_SECRET", "a"), ("TURNOUT_WEBHOOK_SECRET", "b")];
        assert_eq!(resolve(&layers(&[], both, &[])).unwrap().webhook_secret, Some(Secret::new("b")));
    }

    #[test]
    fn all_mistakes_at_once_with_their_places() {
        let error = resolve(&layers(
            &[("listen", "8000"), ("parallel", "0")],
            &[("TURNOUT_SETTLE_TIME", "10"), ("DOCKER_HOST", "npipe:////./x"), ("TURNOUT_SHARED", "not ours")],
            &[
                ("TURNOUT_LISTN", "x"),
                ("TURNOUT_TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
                ("TURNOUT_BODY_LIMIT", "1"),
                ("TURNOUT_SOCKET_MODE", "9"),
                ("WEBHOOK_SECRET", " "),
            ],
        ))
        .unwrap_err();
        insta::assert_snapshot!(error.to_string(), @r"
        /etc/turnout/.env: TURNOUT_LISTN: there is no such setting (did you mean TURNOUT_LISTEN?)
        --listen: `8000` has no address; write 127.0.0.1:8000, or 0.0.0.0:8000 for every interface
        webhook-secret: the secret is empty (an empty secret would still make valid signatures; `openssl rand -hex 32` makes a good one)
        /etc/turnout/.env: TURNOUT_SOCKET_MODE: `9` is not an access mode; write it in octal, like 0660
        DOCKER_HOST: `npipe:////./x`: only unix://, tcp:// and ssh:// are supported
        --parallel: `0` is not a whole number from 1 to 64
        /etc/turnout/.env: TURNOUT_BODY_LIMIT: `1` is not between 1KiB and 256MiB
        /etc/turnout/.env: TURNOUT_TRUSTED_PROXIES: `proxy` is no network; write it like 10.0.0.0/8, 192.0.2.7 or fd00::/8, or say none
        TURNOUT_SETTLE_TIME: `10` is not a duration; write it like 500ms, 10s, 5m, 1h30m or 2d
        ");
    }

    #[test]
    fn debug_shows_no_secret() {
        let settings = resolve(&layers(&[], &[("WEBHOOK_SECRET", "hunter2")], &[])).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
