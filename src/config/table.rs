//! Every setting: name, environment names, default, help. The command line's help and the reader both follow it.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command};

/// Where turnout listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8000";

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Name in words with dashes; the option is `--name`.
    pub name: &'static str,
    /// Environment variable, also looked for in the daemon's `.env`.
    pub env: &'static str,
    /// Further environment names that are understood, the first found counts.
    pub aliases: &'static [&'static str],
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
    /// `--name VALUE`.
    Value,
    /// `--name` alone means `true`.
    Flag,
    /// Not on the command line, where every user of the machine could read it.
    SecretValue,
}

const fn value(
    name: &'static str,
    env: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, env, aliases: &[], default, shown_default: "", value, help, kind: Kind::Value }
}

/// All settings, in the order of the help.
pub const TABLE: &[Setting] = &[
    value(
        "listen",
        "TURNOUT_LISTEN",
        "ADDR:PORT",
        DEFAULT_LISTEN,
        "Address of the webhook server. Ignored where systemd passes a socket.",
    ),
    Setting {
        shown_default: "repos.yaml here, else /etc/turnout/repos.yaml",
        ..value("repos", "TURNOUT_REPOS", "FILE", "", "The list of repositories.")
    },
    Setting {
        shown_default: ".env beside repos.yaml, if there is one",
        ..value("env-file", "TURNOUT_ENV_FILE", "FILE", "", "The daemon's own .env, read for the variables named here.")
    },
    Setting {
        aliases: &["WEBHOOK_SECRET"],
        kind: Kind::SecretValue,
        shown_default: "none: serve refuses to start",
        ..value(
            "webhook-secret",
            "TURNOUT_WEBHOOK_SECRET",
            "TEXT",
            "",
            "The secret that deliveries are signed with (not on the command line).",
        )
    },
    Setting {
        aliases: &["WEBHOOK_SECRET_FILE"],
        shown_default: "$CREDENTIALS_DIRECTORY/webhook-secret, if there is one",
        ..value(
            "webhook-secret-file",
            "TURNOUT_WEBHOOK_SECRET_FILE",
            "FILE",
            "",
            "A file that holds the secret; one line end at its end is not part of it.",
        )
    },
    Setting {
        kind: Kind::Flag,
        ..value(
            "insecure-no-secret",
            "TURNOUT_INSECURE_NO_SECRET",
            "BOOL",
            "false",
            "Accept unsigned deliveries: whoever reaches the port can deploy.",
        )
    },
    Setting {
        aliases: &["STATE_DIRECTORY"],
        ..value("state-dir", "TURNOUT_STATE_DIR", "DIR", "/var/lib/turnout", "Where the database lies.")
    },
    Setting {
        aliases: &["LOGS_DIRECTORY"],
        ..value("log-dir", "TURNOUT_LOG_DIR", "DIR", "/var/log/turnout", "Where the log files lie.")
    },
    Setting {
        aliases: &["RUNTIME_DIRECTORY"],
        ..value("runtime-dir", "TURNOUT_RUNTIME_DIR", "DIR", "/run/turnout", "Where the control socket lies.")
    },
    Setting {
        shown_default: "turnout.sock in the runtime directory",
        ..value("socket", "TURNOUT_SOCKET", "FILE", "", "The control socket that the other commands speak to.")
    },
    value("socket-mode", "TURNOUT_SOCKET_MODE", "OCTAL", "0660", "Access mode of the control socket."),
    Setting {
        aliases: &["DOCKER_HOST"],
        shown_default: "the docker command's current context, else unix:///var/run/docker.sock",
        ..value(
            "docker-host",
            "TURNOUT_DOCKER_HOST",
            "URL",
            "",
            "The Docker engine: unix:///path, tcp://host:port (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH) or ssh://user@host.",
        )
    },
    value(
        "engine-wait",
        "TURNOUT_ENGINE_WAIT",
        "TIME",
        "2m",
        "How long a deployment waits for an engine that does not answer, at its beginning and when the engine goes away later.",
    ),
    value(
        "engine-timeout",
        "TURNOUT_ENGINE_TIMEOUT",
        "TIME",
        "2m",
        "How long the engine may take for one call, such as creating a container; the time a container has for its end comes on top.",
    ),
    value("parallel", "TURNOUT_PARALLEL", "N", "2", "Most deployments at one time, each of another repository."),
    value("log-format", "TURNOUT_LOG_FORMAT", "text|json", "text", "Form of the log lines."),
    value(
        "log-level",
        "TURNOUT_LOG_LEVEL",
        "LEVEL",
        "info",
        "error, warn, info, debug, trace, or a filter such as info,turnout::git=debug.",
    ),
    value("log-keep", "TURNOUT_LOG_KEEP", "N", "30", "Days of which log files are kept."),
    value(
        "log-file-limit",
        "TURNOUT_LOG_FILE_LIMIT",
        "SIZE",
        "64MiB",
        "Size of a log file after which another is begun.",
    ),
    value("log-limit", "TURNOUT_LOG_LIMIT", "SIZE", "1GiB", "Size of all log files; the oldest go."),
    value("body-limit", "TURNOUT_BODY_LIMIT", "SIZE", "26214400", "Largest delivery taken. GitHub sends up to 25 MB."),
    value(
        "max-requests",
        "TURNOUT_MAX_REQUESTS",
        "N",
        "64",
        "Most proven deliveries recorded at one time; further ones wait a little, then are answered 503.",
    ),
    value(
        "max-connections",
        "TURNOUT_MAX_CONNECTIONS",
        "N",
        "512",
        "Most open connections of the webhook server; a further one takes the place of the oldest that has proven nothing.",
    ),
    value(
        "max-connections-per-source",
        "TURNOUT_MAX_CONNECTIONS_PER_SOURCE",
        "N",
        "64",
        "Most open connections of one address (IPv6: of one /64), likewise.",
    ),
    value(
        "trusted-proxies",
        "TURNOUT_TRUSTED_PROXIES",
        "NETS",
        "127.0.0.0/8,::1/128",
        "Networks of the proxies whose X-Forwarded-For says whom a delivery comes from, separated by commas.",
    ),
    value("header-timeout", "TURNOUT_HEADER_TIMEOUT", "TIME", "10s", "Time to send a request's head."),
    value("body-timeout", "TURNOUT_BODY_TIMEOUT", "TIME", "30s", "Time to send a request's body."),
    value(
        "fetch-timeout",
        "TURNOUT_FETCH_TIMEOUT",
        "TIME",
        "5m",
        "Time for clone or fetch, unless repos.yaml says otherwise.",
    ),
    value(
        "build-timeout",
        "TURNOUT_BUILD_TIMEOUT",
        "TIME",
        "30m",
        "Time for the builds and pulls of a deployment, unless repos.yaml says otherwise.",
    ),
    value(
        "apply-timeout",
        "TURNOUT_APPLY_TIMEOUT",
        "TIME",
        "10m",
        "Time to start containers and wait for their dependencies, unless repos.yaml says otherwise.",
    ),
    value(
        "settle-time",
        "TURNOUT_SETTLE_TIME",
        "TIME",
        "10s",
        "How long started containers without a health check must stay up, unless repos.yaml says otherwise.",
    ),
    value(
        "watch-after",
        "TURNOUT_WATCH_AFTER",
        "TIME",
        "60s",
        "How long a stack is watched after its verdict, beside other work; what falls over then is told; 0 = not at all.",
    ),
    value("shutdown-grace", "TURNOUT_SHUTDOWN_GRACE", "TIME", "30s", "Time for the step under way at a shutdown."),
    value(
        "delivery-retention",
        "TURNOUT_DELIVERY_RETENTION",
        "TIME",
        "30d",
        "How long deliveries are remembered, and repeats of them recognised.",
    ),
    value("delivery-keep", "TURNOUT_DELIVERY_KEEP", "N", "10000", "Most deliveries remembered."),
    value(
        "payload-keep",
        "TURNOUT_PAYLOAD_KEEP",
        "N",
        "1000",
        "Newest deliveries of which the whole payload is kept, secrets blotted out, to be looked at with `turnout deliveries`; 0 = of none.",
    ),
    value(
        "payload-limit",
        "TURNOUT_PAYLOAD_LIMIT",
        "SIZE",
        "64KiB",
        "Largest payload that is kept, up to 256KiB; of a larger one nothing is.",
    ),
    Setting {
        shown_default: "the engine's own rule",
        ..value(
            "keep-build-cache",
            "TURNOUT_KEEP_BUILD_CACHE",
            "SIZE",
            "",
            "After a build, remove what was not used for longest of the engine's whole build cache (other users' too) down to this size.",
        )
    },
    value(
        "backup-keep",
        "TURNOUT_BACKUP_KEEP",
        "N",
        "7",
        "Copies of the database kept beside it, in STATE_DIR/copies; one is made every day. 0 = none.",
    ),
    value("history-keep", "TURNOUT_HISTORY_KEEP", "N", "200", "Deployments kept for each repository, with their logs."),
];

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
        for setting in TABLE.iter().filter(|setting| setting.kind != Kind::SecretValue) {
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
    for setting in TABLE.iter().filter(|setting| setting.kind == Kind::SecretValue) {
        text.push_str(&format!("\n  {}: {} [default: {}]", env_names(setting), setting.help, default_text(setting)));
    }
    text
}

fn env_names(setting: &Setting) -> String {
    let mut text = setting.env.to_owned();
    for alias in setting.aliases {
        text.push_str(" or ");
        text.push_str(alias);
    }
    text
}

fn default_text(setting: &Setting) -> &'static str {
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
