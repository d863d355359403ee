//! Every setting, declared once: name, kind of value with its bounds, default, help, where it may be given. The command
//! line, its help, the reader with its messages, and docs/settings.md all come from here.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Arg, ArgMatches, Command};
use ipnet::IpNet;

use super::{
    Secret,
    takes::{Takes, Value},
};

/// Where turnout listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8000";

/// One setting. How layers merge is the same for all: the command line over the environment over the daemon's `.env` over
/// the default, each replacing the one below as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Name in words with dashes; the option is `--name`.
    pub name: &'static str,
    /// Environment variable, also looked for in the daemon's `.env`.
    pub env: &'static str,
    /// Further environment names that are understood, the first found counts.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub takes: Takes,
    /// Default as text; empty where `shown_default` explains it.
    pub default: &'static str,
    /// Default as the help shows it, where it is not a plain text.
    pub shown_default: &'static str,
    /// What stands for the value in the help.
    pub value: &'static str,
    /// One sentence or two.
    pub help: &'static str,
    /// How it may be given.
    pub kind: Kind,
}

/// How a setting may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With a value: `--name VALUE`.
    Value,
    /// `--name` alone means `true`.
    Flag,
    /// Not on the command line, where every user of the machine could read it.
    SecretValue,
}

/// A setting whose value has the type `T`.
#[derive(Debug)]
pub(super) struct Key<T: 'static> {
    pub(super) setting: Setting,
    pub(super) read: fn(&Takes, &str) -> Result<T, String>,
    pub(super) stand_in: fn() -> T,
}

const fn setting(name: &'static str, takes: Takes, default: &'static str, help: &'static str) -> Setting {
    let value = takes.placeholder();
    Setting { name, env: "", aliases: &[], takes, default, shown_default: "", value, help, kind: Kind::Value }
}

const ANY_TIME: Takes = Takes::Time { zero: true };
const SOME_TIME: Takes = Takes::Time { zero: false };
/// Less would hold no single deployment's log.
const LOG_SIZE: Takes = Takes::Size { least: 64 << 10, most: u64::MAX };

/// Declares the settings: a key for each, whose name is the variable's without `TURNOUT_`, and the table of all of them.
macro_rules! settings {
    ($($key:ident: $type:ty = $setting:expr;)*) => {
        $(pub(super) static $key: Key<$type> = Key {
            setting: Setting { env: concat!("TURNOUT_", stringify!($key)), ..$setting },
            read: <$type as Value>::read,
            stand_in: <$type as Value>::stand_in,
        };)*
        /// All settings, in the order of the help.
        pub static TABLE: &[&Setting] = &[$(&$key.setting),*];
    };
}

settings! {
    LISTEN: SocketAddr = setting("listen", Takes::Address, DEFAULT_LISTEN,
        "Address of the webhook server. Ignored where systemd passes a socket.");
    REPOS: PathBuf = Setting {
        shown_default: "repos.yaml here, else /etc/turnout/repos.yaml",
        ..setting("repos", Takes::Path, "",
            "The list of repositories.")
    };
    ENV_FILE: PathBuf = Setting {
        shown_default: ".env beside repos.yaml, if there is one",
        ..setting("env-file", Takes::Path, "",
            "The daemon's own .env, read for the variables named here.")
    };
    WEBHOOK_SECRET: Secret = Setting {
        aliases: &["WEBHOOK_SECRET"],
        shown_default: "none: serve refuses to start",
        kind: Kind::SecretValue,
        ..setting("webhook-secret", Takes::Text, "",
            "The secret that deliveries are signed with (not on the command line).")
    };
    WEBHOOK_SECRET_FILE: PathBuf = Setting {
        aliases: &["WEBHOOK_SECRET_FILE"],
        shown_default: "$CREDENTIALS_DIRECTORY/webhook-secret, if there is one",
        ..setting("webhook-secret-file", Takes::Path, "",
            "A file that holds the secret; one line end at its end is not part of it.")
    };
    INSECURE_NO_SECRET: bool = Setting {
        kind: Kind::Flag,
        ..setting("insecure-no-secret", Takes::Switch, "false",
            "Accept unsigned deliveries: whoever reaches the port can deploy.")
    };
    STATE_DIR: PathBuf = Setting {
        value: "DIR",
        aliases: &["STATE_DIRECTORY"],
        ..setting("state-dir", Takes::Path, "/var/lib/turnout",
            "Where the database lies.")
    };
    LOG_DIR: PathBuf = Setting {
        value: "DIR",
        aliases: &["LOGS_DIRECTORY"],
        ..setting("log-dir", Takes::Path, "/var/log/turnout",
            "Where the log files lie.")
    };
    RUNTIME_DIR: PathBuf = Setting {
        value: "DIR",
        aliases: &["RUNTIME_DIRECTORY"],
        ..setting("runtime-dir", Takes::Path, "/run/turnout",
            "Where the control socket lies.")
    };
    SOCKET: PathBuf = Setting {
        shown_default: "turnout.sock in the runtime directory",
        ..setting("socket", Takes::Path, "",
            "The control socket that the other commands speak to.")
    };
    PROXY_SOCKET: PathBuf = Setting {
        shown_default: "turnout-proxy.sock beside the control socket",
        ..setting("proxy-socket", Takes::Path, "",
            "The control socket of turnout-proxy, which holds the published ports of repositories with `switch`.")
    };
    ACME_AGREE_TERMS: bool = Setting {
        kind: Kind::Flag,
        ..setting("acme-agree-terms", Takes::Switch, "false",
            "You agree to the terms of the authority from which turnout-proxy obtains certificates (`tls: acme`). Without it none are.")
    };
    ACME_DIRECTORY: String = Setting {
        value: "URL",
        ..setting("acme-directory", Takes::Text, "https://acme-v02.api.letsencrypt.org/directory",
            "The address of that authority's directory (ACME, RFC 8555).")
    };
    ACME_CONTACT: String = Setting {
        value: "ADDRESSES",
        shown_default: "none",
        ..setting("acme-contact", Takes::Text, "",
            "E-mail addresses to which that authority may write, separated by commas.")
    };
    ACME_TRUST: PathBuf = Setting {
        shown_default: "whom the system trusts",
        ..setting("acme-trust", Takes::Path, "",
            "A certificate that has signed that authority's own, for a private one; turnout-proxy's user must be able to read it.")
    };
    ACME_CHALLENGE: &'static str = setting("acme-challenge", Takes::Word(&["auto", "http-01", "tls-alpn-01"]), "auto",
        "How hosts are proven: auto is tls-alpn-01 where a route of the host listens on port 443, else http-01.");
    SOCKET_MODE: u32 = setting("socket-mode", Takes::Mode, "0660", "Access mode of the control socket.");
    DOCKER_HOST: String = Setting {
        aliases: &["DOCKER_HOST"],
        shown_default: "the docker command's current context, else unix:///var/run/docker.sock",
        ..setting("docker-host", Takes::Engine, "",
            "The Docker engine: unix:///path, tcp://host:port (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH) or ssh://user@host.")
    };
    ENGINE_WAIT: Duration = setting("engine-wait", ANY_TIME, "2m",
        "How long a deployment waits for an engine that does not answer, at its beginning and when the engine goes away later.");
    ENGINE_TIMEOUT: Duration = setting("engine-timeout", SOME_TIME, "2m",
        "How long the engine may take for one call, such as creating a container; the time a container has for its end comes on top.");
    PARALLEL: usize = setting("parallel", Takes::Count { least: 1, most: 64 }, "2",
        "Most deployments at one time, each of another repository; what is built during a bake counts as one.");
    LOG_FORMAT: &'static str = Setting {
        value: "text|json",
        ..setting("log-format", Takes::Word(&["text", "json"]), "text",
            "Form of the log lines.")
    };
    LOG_LEVEL: String = Setting {
        value: "LEVEL",
        ..setting("log-level", Takes::Text, "info",
            "error, warn, info, debug, trace, or a filter such as info,turnout::git=debug.")
    };
    LOG_KEEP: usize = setting("log-keep", Takes::Count { least: 1, most: 3_650 }, "30",
        "Days of which log files are kept.");
    LOG_FILE_LIMIT: u64 = setting("log-file-limit", LOG_SIZE, "64MiB",
        "Size of a log file after which another is begun.");
    LOG_LIMIT: u64 = setting("log-limit", LOG_SIZE, "1GiB", "Size of all log files; the oldest go.");
    BODY_LIMIT: usize = setting("body-limit", Takes::Size { least: 1 << 10, most: 256 << 20 }, "26214400",
        "Largest delivery taken. GitHub sends up to 25 MB.");
    MAX_REQUESTS: usize = setting("max-requests", Takes::Count { least: 1, most: 10_000 }, "64",
        "Most proven deliveries recorded at one time; further ones wait a little, then are answered 503.");
    MAX_CONNECTIONS: usize = setting("max-connections", Takes::Count { least: 1, most: 100_000 }, "512",
        "Most open connections of the webhook server; a further one takes the place of the oldest that has proven nothing.");
    MAX_CONNECTIONS_PER_SOURCE: usize = setting("max-connections-per-source", Takes::Count { least: 1, most: 100_000 }, "64",
        "Most open connections of one address (IPv6: of one /64), likewise.");
    TRUSTED_PROXIES: Vec<IpNet> = setting("trusted-proxies", Takes::Networks, "127.0.0.0/8,::1/128",
        "Networks of the proxies whose X-Forwarded-For says whom a delivery comes from, separated by commas.");
    HEADER_TIMEOUT: Duration = setting("header-timeout", SOME_TIME, "10s", "Time to send a request's head.");
    BODY_TIMEOUT: Duration = setting("body-timeout", SOME_TIME, "30s", "Time to send a request's body.");
    FETCH_TIMEOUT: Duration = setting("fetch-timeout", SOME_TIME, "5m",
        "Time for clone or fetch, unless repos.yaml says otherwise.");
    BUILD_TIMEOUT: Duration = setting("build-timeout", SOME_TIME, "30m",
        "Time for the builds and pulls of a deployment, unless repos.yaml says otherwise.");
    APPLY_TIMEOUT: Duration = setting("apply-timeout", SOME_TIME, "10m",
        "Time to start containers and wait for their dependencies, unless repos.yaml says otherwise.");
    SETTLE_TIME: Duration = setting("settle-time", ANY_TIME, "10s",
        "How long started containers without a health check must stay up, unless repos.yaml says otherwise.");
    WATCH_AFTER: Duration = setting("watch-after", ANY_TIME, "60s",
        "How long a stack is watched after its verdict, beside other work; what falls over then is told; 0 = not at all.");
    SHUTDOWN_GRACE: Duration = setting("shutdown-grace", ANY_TIME, "30s",
        "Time for the step under way at a shutdown.");
    DELIVERY_RETENTION: Duration = setting("delivery-retention", SOME_TIME, "30d",
        "How long deliveries are remembered, and repeats of them recognised.");
    DELIVERY_KEEP: usize = setting("delivery-keep", Takes::Count { least: 1, most: 10_000_000 }, "10000",
        "Most deliveries remembered.");
    PAYLOAD_KEEP: usize = setting("payload-keep", Takes::Count { least: 0, most: 1_000_000 }, "1000",
        "Newest deliveries of which the whole payload is kept, secrets blotted out, to be looked at with `turnout deliveries`; 0 = of none.");
    PAYLOAD_LIMIT: usize = setting("payload-limit", Takes::Size { least: 0, most: 256 << 10 }, "64KiB",
        "Largest payload that is kept, up to 256KiB; of a larger one nothing is.");
    KEEP_BUILD_CACHE: Option<u64> = Setting {
        shown_default: "the engine's own rule",
        ..setting("keep-build-cache", Takes::Size { least: 0, most: u64::MAX }, "",
            "After a build, remove what was not used for longest of the engine's whole build cache (other users' too) down to this size.")
    };
    BACKUP_KEEP: usize = setting("backup-keep", Takes::Count { least: 0, most: 1_000 }, "7",
        "Copies of the database kept beside it, in STATE_DIR/copies; one is made every day. 0 = none.");
    HISTORY_KEEP: usize = setting("history-keep", Takes::Count { least: 1, most: 1_000_000 }, "200",
        "Deployments kept for each repository, with their logs.");
}

/// The command line's part of the settings. `#[command(flatten)]` it into a command; the table drives options and help.
#[derive(Debug, Clone, Default)]
pub struct SettingsArgs {
    /// Setting name -> text given.
    pub given: BTreeMap<&'static str, String>,
}

impl clap::Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        TABLE
            .iter()
            .copied()
            .fold(command, |command, setting| match setting.kind {
                Kind::SecretValue => command,
                Kind::Value => command.arg(option(setting)),
                Kind::Flag => {
                    command.arg(option(setting).num_args(0..=1).require_equals(true).default_missing_value("true"))
                }
            })
            .after_help(after_help())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = SettingsArgs::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in TABLE.iter().copied().filter(|setting| setting.kind != Kind::SecretValue) {
            if let Some(text) = matches.get_one::<String>(setting.name) {
                self.given.insert(setting.name, text.clone());
            }
        }
        Ok(())
    }
}

fn option(setting: &'static Setting) -> Arg {
    Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .help(format!("{} [env: {}] [default: {}]", setting.help, env_names(setting), default_text(setting)))
        .help_heading("Settings")
}

/// Settings that have no option are listed below the options, so that the help names all of them.
fn after_help() -> String {
    let mut text = String::from(
        "Settings come from the command line, then the environment, then the daemon's own .env, then the defaults.\n\
         Only from the environment or the .env:",
    );
    for setting in TABLE.iter().copied().filter(|setting| setting.kind == Kind::SecretValue) {
        text.push_str(&format!("\n  {}: {} [default: {}]", env_names(setting), setting.help, default_text(setting)));
    }
    text
}

pub(super) fn env_names(setting: &Setting) -> String {
    let mut text = setting.env.to_owned();
    for alias in setting.aliases {
        text.push_str(" or ");
        text.push_str(alias);
    }
    text
}

pub(super) fn default_text(setting: &Setting) -> &'static str {
    if setting.shown_default.is_empty() { setting.default } else { setting.shown_default }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::{Args, FromArgMatches};

    use super::*;

    #[test]
    fn names_are_unique_and_match_their_variables() {
        let mut seen = HashSet::new();
        for setting in TABLE {
            assert!(seen.insert(setting.name), "{}", setting.name);
            assert_eq!(setting.env, format!("TURNOUT_{}", setting.name.replace('-', "_").to_uppercase()));
            assert!(!setting.help.is_empty() && !default_text(setting).is_empty(), "{}", setting.name);
        }
    }

    #[test]
    fn the_help_lists_every_setting() {
        let help = SettingsArgs::augment_args(Command::new("serve")).render_long_help().to_string();
        for setting in TABLE {
            assert!(help.contains(setting.env), "{} is missing in\n{help}", setting.env);
            assert!(setting.kind == Kind::SecretValue || help.contains(&format!("--{}", setting.name)), "{help}");
        }
    }

    #[test]
    fn options_reach_the_map() {
        let matches = SettingsArgs::augment_args(Command::new("serve")).get_matches_from([
            "serve",
            "--listen",
            "[::1]:1",
            "--insecure-no-secret",
        ]);
        let args = SettingsArgs::from_arg_matches(&matches).unwrap();
        assert_eq!(args.given.get("listen").map(String::as_str), Some("[::1]:1"));
        assert_eq!(args.given.get("insecure-no-secret").map(String::as_str), Some("true"));
        assert_eq!(args.given.len(), 2);
    }
}
