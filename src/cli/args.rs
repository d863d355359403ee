//! The command line: what can be said, nothing of what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Deploys several repositories' Docker Compose stacks on one host, and explains every decision.
#[derive(Debug, Parser)]
#[command(name = "turnout", version, propagate_version = true, max_term_width = 110)]
pub struct Arguments {
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the daemon listens for commands.
#[derive(Debug, Clone, Default, Args)]
pub struct SocketArg {
    /// Control socket of the daemon [env: TURNOUT_SOCKET] [default: /run/turnout/turnout.sock]
    #[arg(long, value_name = "FILE")]
    pub socket: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: take webhooks, deploy
    Serve(Box<ServeArgs>),
    /// Deploy a repository now and show how it goes; the exit code is the outcome
    Deploy(DeployArgs),
    /// Let the pushes of a held repository be deployed again, beginning with the newest
    #[command(visible_alias = "unhold")]
    Release(ReleaseArgs),
    /// Show what a deployment of the checked-out commit would do, and why
    Plan(PlanArgs),
    /// Show each repository, its containers and its last deployment
    Status(StatusArgs),
    /// Show past deployments, newest first
    History(HistoryArgs),
    /// Show the log of deployments
    Logs(LogsArgs),
    /// Cancel a deployment that is queued or running
    Cancel(CancelArgs),
    /// Check settings, repos.yaml, the Docker engine, and each repository's .env and Compose files
    Check(CheckArgs),
    /// The everyday part of `docker compose`, on turnout's own engine
    #[command(disable_help_flag = true)]
    Compose(ComposeArgs),
}

/// Arguments of `turnout serve`: every setting, each also from the environment or the daemon's own `.env`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// All settings.
    #[command(flatten)]
    pub settings: crate::config::SettingsArgs,
}

/// Arguments of `turnout deploy`.
#[derive(Debug, Default, Args)]
pub struct DeployArgs {
    /// Name of the repository in repos.yaml
    pub repo: String,
    /// Rebuild every image that the repository builds
    #[arg(long)]
    pub rebuild: bool,
    /// Deploy this commit (its digits, or the first of them), tag or branch in place of the followed branch
    #[arg(long, value_name = "COMMIT", conflicts_with_all = ["previous", "release"])]
    pub commit: Option<String>,
    /// Deploy the commit of the last successful deployment before the current one
    #[arg(long, conflicts_with = "release")]
    pub previous: bool,
    /// Let pushes wait until `turnout release`. Alone: hold what runs, and deploy nothing
    #[arg(long, conflicts_with = "release")]
    pub hold: bool,
    /// Lift a hold and deploy the branch, as `turnout release`
    #[arg(long)]
    pub release: bool,
    /// Return once the deployment is queued, without waiting for its end
    #[arg(long)]
    pub detach: bool,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Name of the repository in repos.yaml
    pub repo: String,
    /// Return once the deployment is queued, without waiting for its end
    #[arg(long)]
    pub detach: bool,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Name of the repository in repos.yaml
    pub repo: String,
    /// As if `deploy --rebuild`
    #[arg(long)]
    pub rebuild: bool,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
    /// Settings used when no daemon answers
    #[command(flatten)]
    pub settings: crate::config::SettingsArgs,
}

/// Arguments of `turnout status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only this repository
    pub repo: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only this repository
    pub repo: Option<String>,
    /// How many deployments
    #[arg(short = 'n', long, default_value_t = 20)]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Only this repository
    pub repo: Option<String>,
    /// Only this deployment
    #[arg(long, value_name = "ID")]
    pub deployment: Option<i64>,
    /// Go on as lines come
    #[arg(short, long)]
    pub follow: bool,
    /// How many lines of the past [default: 200; all of one deployment]
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<u32>,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Number of the deployment
    pub deployment: i64,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Settings to check
    #[command(flatten)]
    pub settings: crate::config::SettingsArgs,
}

/// Arguments of `turnout compose`, parsed by the command itself as `docker compose` does.
#[derive(Debug, Args)]
pub struct ComposeArgs {
    /// Everything after `compose`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<std::ffi::OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    /// Every `turnout …` between backquotes in the source, with stand-ins for what is filled in.
    fn commands_named(text: &str) -> Vec<String> {
        let quoted = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
        let parts = quoted.split('`').filter(|part| part.starts_with("turnout ") && part.len() < 60);
        parts.map(|part| part.replace(['{', '}'], "x")).collect()
    }

    #[test]
    fn every_command_that_a_hint_names_exists() {
        let mut open = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut seen = 0;
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            // The Compose commands have hints in the words of the real program.
            if path.extension().is_none_or(|ext| ext != "rs") || path.ends_with("cli/args.rs") {
                continue;
            }
            for named in commands_named(&std::fs::read_to_string(&path).unwrap()) {
                seen += 1;
                let named = named.split('|').next().unwrap_or_default();
                let mut words: Vec<&str> = named.split_whitespace().collect();
                let given = Arguments::try_parse_from(&words);
                words.push("repository");
                let sound = |parsed: Result<Arguments, clap::Error>| {
                    parsed.map_or_else(|error| error.kind() == clap::error::ErrorKind::DisplayHelp, |_| true)
                };
                assert!(sound(given) || sound(Arguments::try_parse_from(&words)), "{}: `{named}`", path.display());
            }
        }
        assert!(seen >= 8, "only {seen} commands were found in hints");
    }

    #[test]
    fn what_a_deployment_says_names_no_flag_of_another_command() {
        // Flags of `serve` and `check`, and of programs that are named with them.
        let src = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut open = vec![src.join("deploy"), src.join("decide"), src.join("worker"), src.join("store")];
        let deploy = Arguments::command();
        let deploy = deploy.find_subcommand("deploy").unwrap();
        let known: Vec<String> =
            deploy.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in text.lines().filter(|line| line.contains('"') && !line.trim_start().starts_with("//")) {
                for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
                    let flag = word.starts_with("--") && word.len() > 3;
                    assert!(!flag || known.iter().any(|name| name == word), "{}: {word} in {line}", path.display());
                }
            }
        }
    }
}
