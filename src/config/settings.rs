//! Settings by layers: command line over environment over the daemon's own `.env` over defaults.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Secret,
    mistake::{Mistake, Mistakes, Place},
    repos::Timeouts,
    table::{self, Key, Setting, TABLE},
};
use crate::report::nearest;

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
    /// The file of `secret_from_file`, for messages.
    pub secret_file: PathBuf,
    /// Directory of `repos.yaml` and `.env` where they are not named: `.` or `/etc/turnout`.
    pub home: PathBuf,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// All settings of the daemon, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address of the webhook server.
    pub listen: SocketAddr,
    /// Path of `repos.yaml`.
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
    /// The control socket of turnout-proxy.
    pub proxy_socket: PathBuf,
    /// Whether the terms of the authority of certificates are agreed to.
    pub acme_agree_terms: bool,
    /// The address of its directory.
    pub acme_directory: String,
    /// Whom it may write to, separated by commas.
    pub acme_contact: String,
    /// The file of who signed its own certificate.
    pub acme_trust: Option<PathBuf>,
    /// How hosts are proven: `auto`, `http-01` or `tls-alpn-01`.
    pub acme_challenge: &'static str,
    /// The access mode of ours.
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
    /// What [`Settings::variables`] hands out.
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
    let as_text = text_of(layers, &table::WEBHOOK_SECRET).map(|(text, _)| Secret::new(text));
    let file_named = layers.cli.contains_key(table::WEBHOOK_SECRET_FILE.setting.name);
    let file = layers.secret_from_file.as_ref().map(|_| layers.secret_file.clone());
    match (&layers.secret_from_file, as_text) {
        (Some(secret), _) if file_named => (Some(secret.clone()), file),
        (_, Some(text)) => (Some(text), None),
        (secret, None) => (secret.clone(), file),
    }
}

/// Computes the settings.
///
/// # Errors
/// Every text that cannot be read, with the place it came from, and every unknown `TURNOUT_` name in the `.env`.
pub fn resolve(layers: &Layers) -> Result<Settings, Mistakes> {
    let (settings, found) = resolve_all(layers);
    let mut mistakes = misspelt(layers);
    mistakes.0.extend(found.0);
    mistakes.unless_any(settings)
}

/// The same but for names that no setting has; with something in the place of what has a mistake, for whoever looks for more of them.
pub(super) fn resolve_all(layers: &Layers) -> (Settings, Mistakes) {
    let mut reader = Settler { layers, mistakes: Mistakes::default() };
    let home = |name: &str| layers.home.join(name);
    let runtime_dir = reader.directory(&table::RUNTIME_DIR);
    let socket = reader.given(&table::SOCKET).unwrap_or_else(|| runtime_dir.join("turnout.sock"));
    let settings = Settings {
        listen: reader.of(&table::LISTEN),
        repos: reader.given(&table::REPOS).unwrap_or_else(|| home("repos.yaml")),
        webhook_secret: reader.secret(),
        webhook_secret_file: secret_of(layers).1,
        insecure_no_secret: reader.of(&table::INSECURE_NO_SECRET),
        state_dir: reader.directory(&table::STATE_DIR),
        log_dir: reader.directory(&table::LOG_DIR),
        socket: socket.clone(),
        proxy_socket: reader.given(&table::PROXY_SOCKET).unwrap_or_else(|| socket.with_file_name("turnout-proxy.sock")),
        acme_agree_terms: reader.of(&table::ACME_AGREE_TERMS),
        acme_directory: reader.of(&table::ACME_DIRECTORY),
        acme_contact: reader.of(&table::ACME_CONTACT),
        acme_trust: reader.given(&table::ACME_TRUST),
        acme_challenge: reader.of(&table::ACME_CHALLENGE),
        runtime_dir,
        socket_mode: reader.of(&table::SOCKET_MODE),
        docker_host: reader.of(&table::DOCKER_HOST),
        engine_wait: reader.of(&table::ENGINE_WAIT),
        engine_timeout: reader.of(&table::ENGINE_TIMEOUT),
        parallel: reader.of(&table::PARALLEL),
        log_format: if reader.of(&table::LOG_FORMAT) == "json" { LogFormat::Json } else { LogFormat::Text },
        log_level: reader.of(&table::LOG_LEVEL),
        log_keep: reader.of(&table::LOG_KEEP),
        log_file_limit: reader.of(&table::LOG_FILE_LIMIT),
        log_limit: reader.of(&table::LOG_LIMIT),
        body_limit: reader.of(&table::BODY_LIMIT),
        max_requests: reader.of(&table::MAX_REQUESTS),
        max_connections: reader.of(&table::MAX_CONNECTIONS),
        max_connections_per_source: reader.of(&table::MAX_CONNECTIONS_PER_SOURCE),
        trusted_proxies: reader.of(&table::TRUSTED_PROXIES),
        header_timeout: reader.of(&table::HEADER_TIMEOUT),
        body_timeout: reader.of(&table::BODY_TIMEOUT),
        timeouts: Timeouts {
            fetch: reader.of(&table::FETCH_TIMEOUT),
            build: reader.of(&table::BUILD_TIMEOUT),
            apply: reader.of(&table::APPLY_TIMEOUT),
            settle: reader.of(&table::SETTLE_TIME),
            watch: reader.of(&table::WATCH_AFTER),
        },
        shutdown_grace: reader.of(&table::SHUTDOWN_GRACE),
        delivery_retention: reader.of(&table::DELIVERY_RETENTION),
        delivery_keep: reader.of(&table::DELIVERY_KEEP),
        payload_keep: reader.of(&table::PAYLOAD_KEEP),
        payload_limit: reader.of(&table::PAYLOAD_LIMIT),
        backup_keep: reader.of(&table::BACKUP_KEEP),
        keep_build_cache: reader.of(&table::KEEP_BUILD_CACHE),
        history_keep: reader.of(&table::HISTORY_KEEP),
        variables: Variables(layers.dotenv.clone().into_iter().chain(layers.env.clone()).collect()),
    };
    (settings, reader.mistakes)
}

/// The text of one setting and where it came from, before any check. For the files that must be read first.
pub(super) fn text_of<T>(layers: &Layers, key: &Key<T>) -> Option<(String, String)> {
    let Setting { name, env, aliases, .. } = &key.setting;
    if let Some(text) = layers.cli.get(name) {
        return Some((text.clone(), format!("--{name}")));
    }
    for (values, file) in [(&layers.env, ""), (&layers.dotenv, layers.dotenv_file.as_str())] {
        for variable in std::iter::once(env).chain(*aliases) {
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
    /// The value of a setting: as it is given, else its default. After a mistake was noted, something in its place.
    fn of<T>(&mut self, key: &Key<T>) -> T {
        let Setting { name, default, takes, .. } = &key.setting;
        let given = text_of(self.layers, key);
        let (text, source) = given.unwrap_or_else(|| ((*default).to_owned(), format!("default of {name}")));
        (key.read)(takes, &text).unwrap_or_else(|message| {
            self.mistakes.0.push(Mistake::new(Place::Source(source), "", message));
            (key.stand_in)()
        })
    }

    /// A path whose default depends on others.
    fn given(&self, key: &Key<PathBuf>) -> Option<PathBuf> {
        text_of(self.layers, key).map(|(text, _)| PathBuf::from(text))
    }

    /// A directory. systemd may pass several, separated by colons: the first is ours.
    /// As an absolute path: what is read below it is named to others, who work elsewhere.
    fn directory(&self, key: &Key<PathBuf>) -> PathBuf {
        let said = match text_of(self.layers, key) {
            Some((text, source)) if source.ends_with("_DIRECTORY") => {
                PathBuf::from(text.split(':').next().unwrap_or_default())
            }
            Some((text, _)) => PathBuf::from(text),
            None => PathBuf::from(key.setting.default),
        };
        // An empty one is refused where it is used.
        std::path::absolute(&said).unwrap_or(said)
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
}

/// Names in the daemon's `.env` that look like settings, and are none.
pub(super) fn misspelt(layers: &Layers) -> Mistakes {
    let known = || TABLE.iter().flat_map(|setting| std::iter::once(&setting.env).chain(setting.aliases)).copied();
    let names = layers.dotenv.keys().filter(|name| name.starts_with("TURNOUT_"));
    let unknown = names.filter(|name| !known().any(|other| other == *name)).map(|name| {
        let place = Place::Source(format!("{}: {name}", layers.dotenv_file));
        let mistake = Mistake::new(place, "", "there is no such setting");
        match nearest(name, known()) {
            Some(other) => mistake.hint(format!("did you mean {other}?")),
            None => mistake.hint("`turnout serve --help` lists all of them"),
        }
    });
    Mistakes(unknown.collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
