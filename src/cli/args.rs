//! The command line: what can be said, nothing of what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Deploys several repositories' Docker Compose stacks on one host, and explains every decision.
#[derive(Debug, Parser)]
#[command(name = "turnout", version, long_version = super::built_in::words(), propagate_version = true, max_term_width = 110)]
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
    /// Show what a deployment of the checked-out commit would do, and why; with --fetch, of the branch at the remote
    Plan(PlanArgs),
    /// Remove what turnout left on the disk and nobody needs: earlier images, images of repositories that are gone
    Prune(PruneArgs),
    /// Show each repository, its containers and its last deployment
    Status(StatusArgs),
    /// Show past deployments, newest first
    History(HistoryArgs),
    /// Show what the forge sent and what was made of it; with a number, the payload of that delivery
    Deliveries(DeliveriesArgs),
    /// Show the log of deployments; that of containers: `turnout compose --repo REPO logs`
    Logs(LogsArgs),
    /// Go back to the colour that was live before: at once while it still runs, else by starting it again (with `switch`)
    Rollback(RollbackArgs),
    /// Have requests go to a colour that waits for it; else take the last switch for good at once: the colour before is stopped
    /// and kept (with `switch`)
    Promote(PromoteArgs),
    /// Show where a colour is reached that waits to be promoted (with `switch`)
    Preview(ColourArgs),
    /// Have a colour that waits to be promoted stay as it is, whatever its time (with `switch`)
    Pause(ColourArgs),
    /// Have a colour that is paused go on (with `switch`)
    Resume(ColourArgs),
    /// Have requests answered by a maintenance page, or no longer (with `switch`)
    Maintain(MaintainArgs),
    /// Show where a rollout stands, what it waits for, and how both colours do: requests a second, failures, times (with `switch`)
    Rollout(RolloutArgs),
    /// Give up what is under way; a switch that has not proved itself yet is taken back (with `switch`)
    Abort(ColourArgs),
    /// Cancel a deployment that is queued or running
    Cancel(CancelArgs),
    /// Show what could not be told to whoever was to be told, and send it again
    Letters(LettersArgs),
    /// Check settings, repos.yaml, the Docker engine, and each repository's .env and Compose files
    Check(CheckArgs),
    /// Print the JSON Schema of repos.yaml, by which editors check it
    Schema(SchemaArgs),
    /// Copy the daemon's database, at any time, whether or not the daemon runs
    Backup(BackupArgs),
    /// Put a copy in the place of the daemon's database, while the daemon does not run
    Restore(RestoreArgs),
    /// The everyday part of `docker compose`, on turnout's own engine
    #[command(disable_help_flag = true)]
    Compose(ComposeArgs),
    /// Write man pages and shell completions below a directory laid out as /usr/share
    #[command(hide = true)]
    Documents(DocumentsArgs),
}

/// Arguments of `turnout serve`: every setting, each also from the environment or the daemon's own `.env`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// One option for each setting of the table in `config`.
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
    /// Start a second stack, on volumes of its own, beside one that the same repository has under a former name
    #[arg(long)]
    pub new_stack: bool,
    /// Take the last switch for good first, if it has not proved itself yet (with `switch`)
    #[arg(long)]
    pub now: bool,
    /// Wait also until the switch has proved itself and the colour before is stopped (with `switch`)
    #[arg(long, conflicts_with = "detach")]
    pub wait: bool,
    /// Return once the deployment is queued, without waiting for its end
    #[arg(long)]
    pub detach: bool,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout promote`.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// Name of the repository in repos.yaml
    pub repo: String,
    /// Have all requests go there, whatever `steps` are left
    #[arg(long)]
    pub full: bool,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Name of the repository in repos.yaml
    pub repo: String,
    /// Go further back than to the colour that was live before: to this commit, by its first digits, or to that of this deployment
    #[arg(long, value_name = "COMMIT|NUMBER")]
    pub to: Option<String>,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout preview`, `pause`, `resume` and `abort`.
#[derive(Debug, Args)]
pub struct ColourArgs {
    /// Name of the repository in repos.yaml
    pub repo: String,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout rollout`.
#[derive(Debug, Args)]
pub struct RolloutArgs {
    /// Name of the repository in repos.yaml
    pub repo: String,
    /// Show it anew each second, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Print JSON: one object; with --watch one in each line
    #[arg(long)]
    pub json: bool,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Arguments of `turnout maintain`.
#[derive(Debug, Args)]
pub struct MaintainArgs {
    /// Name of the repository in repos.yaml
    pub repo: String,
    /// From now on, or no longer
    #[arg(value_enum)]
    pub state: OnOff,
    /// A file in HTML to answer with, in place of a line of text
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// From now on, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnOff {
    /// From now on
    On,
    /// No longer
    Off,
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
    /// Fetch, and plan for the tip of the branch; the work tree stays as it is
    #[arg(long)]
    pub fetch: bool,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
    /// Settings used when no daemon answers
    #[command(flatten)]
    pub settings: crate::config::SettingsArgs,
}

/// Arguments of `turnout prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Only these repositories, also such as are no longer in repos.yaml
    #[arg(value_name = "REPOSITORY")]
    pub only: Vec<String>,
    /// Say what would be removed and why; remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Settings of the daemon, which need not run
    #[command(flatten)]
    pub settings: crate::config::SettingsArgs,
}

/// Arguments of `turnout backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The copy: one file, for its owner only. An earlier copy of that name is replaced
    pub file: PathBuf,
    /// Settings of the daemon, which may run
    #[command(flatten)]
    pub settings: crate::config::SettingsArgs,
}

/// Arguments of `turnout restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The copy, of `turnout backup` or of those that are made every day
    #[arg(required_unless_present = "empty", conflicts_with = "empty")]
    pub file: Option<PathBuf>,
    /// Begin without a history: no deployments, no holds
    #[arg(long)]
    pub empty: bool,
    /// Settings of the daemon, which must not run
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

/// Arguments of `turnout deliveries`.
#[derive(Debug, Args)]
pub struct DeliveriesArgs {
    /// Number of a delivery: print its payload
    pub delivery: Option<i64>,
    /// How many deliveries
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

/// Arguments of `turnout letters`.
#[derive(Debug, Args)]
pub struct LettersArgs {
    /// Send this letter again, or `all`
    #[arg(long, value_name = "ID")]
    pub again: Option<Again>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The daemon's control socket.
    #[command(flatten)]
    pub socket: SocketArg,
}

/// Which dead letters are to be sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Each dead one.
    All,
    /// The one with this number.
    One(i64),
}

impl std::str::FromStr for Again {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Again::All),
            number => number.parse().map(Again::One).map_err(|_| "neither the number of a letter nor `all`".to_owned()),
        }
    }
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

/// Arguments of `turnout schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which file
    #[arg(value_enum)]
    pub of: SchemaOf,
}

/// Files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SchemaOf {
    /// The list of repositories
    Repos,
}

/// Arguments of `turnout compose`, parsed by the command itself as `docker compose` does.
#[derive(Debug, Args)]
pub struct ComposeArgs {
    /// Everything after `compose`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<std::ffi::OsString>,
}

/// Arguments of `turnout documents`.
#[derive(Debug, Args)]
pub struct DocumentsArgs {
    /// Where man/man1 and the shells' own directories are made
    pub directory: PathBuf,
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
        parts.map(|part| part.replace("{id}", "7").replace(['{', '}'], "x")).collect()
    }

    #[test]
    fn every_command_that_a_hint_names_exists() {
        let top = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut open = vec![top.join("src"), top.join("crates")];
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
                if let Some(line) = named.strip_prefix("turnout compose ").filter(|line| *line != "…") {
                    let words = std::iter::once("turnout compose").chain(line.split_whitespace());
                    let read = crate::composer::args::ComposeCli::try_parse_from(words);
                    assert!(read.is_ok(), "{}: `{named}`: {}", path.display(), read.unwrap_err());
                    continue;
                }
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

    /// Flags in the texts of a file that stand outside a command between backquotes.
    fn loose_flags(text: &str) -> Vec<String> {
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let joined = lines.collect::<Vec<_>>().join("\n");
        let mut flags = Vec::new();
        // Every second part lies between quotes, every second part of that between backquotes.
        for literal in joined.replace("\\\"", "'").replace("'\"'", "").split('"').skip(1).step_by(2) {
            for part in literal.split('`').step_by(2) {
                let words = part.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
                flags.extend(
                    words
                        .filter(|word| {
                            word.starts_with("--") && word.as_bytes().get(2).is_some_and(|b| b.is_ascii_lowercase())
                        })
                        .map(str::to_owned),
                );
            }
        }
        flags
    }

    /// Which flags a text may name by themselves, without their command. Whoever reads the texts of `deploy` and of what
    /// it stands upon gave a push or `turnout deploy`; whoever reads those of `crates/composer` gave that command.
    fn allowed(path: &std::path::Path) -> Vec<String> {
        let longs = |command: &clap::Command| {
            command.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect::<Vec<_>>()
        };
        let command = Arguments::command();
        let mut known = longs(command.find_subcommand("deploy").unwrap());
        let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_string_lossy().into_owned();
        let more: &[&str] = match path.as_str() {
            // Only said where the plan is that of `turnout compose` (`without_flags` is false, or the flag was given).
            "crates/plan/src/converge/images.rs" | "crates/plan/src/converge/select.rs" => &["--no-build"],
            "crates/plan/src/converge/resources.rs" => &["--yes"],
            "crates/plan/src/converge/containers.rs" => &["--remove-orphans"],
            // Plans of `turnout compose down` alone.
            "crates/plan/src/down.rs" => &["--remove-orphans", "--profile", "--volumes"],
            // Flags of git, named with it.
            "crates/git/src/error.rs" => {
                &["--global", "--add", "--continue", "--abort", "--unshallow", "--no-sparse-index", "--no-split-index"]
            }
            "crates/git/src/checkout/tree.rs" | "crates/git/src/checkout/carry_out.rs" => &["--refetch"],
            "crates/git/src/gitlinks.rs" => &["--cached"],
            "crates/git/src/convert/lfs/lack.rs" => &["--all"],
            // What is said to docker over SSH, and to ssh.
            "crates/docker/src/ssh.rs" => &["--host"],
            "src/deploy/prune.rs" => &["--dry-run"],
            // A rule for a firewall.
            "src/deploy/colours/fronts.rs" => &["--dport"],
            // A flag of `turnout compose build`, told of where it was given.
            "crates/docker/src/image/build.rs" => &["--memory"],
            // The word of a Dockerfile.
            "crates/docker/src/image/request.rs" => &["--mount"],
            _ => &[],
        };
        known.extend(more.iter().map(|flag| (*flag).to_owned()));
        known
    }

    #[test]
    fn what_a_deployment_says_names_no_flag_of_another_command() {
        let src = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
        let rooms = ["deploy", "decide", "lane", "store"];
        let mut open: Vec<_> = rooms.iter().map(|room| src.join(room)).collect();
        let crates = ["plan", "git", "docker", "buildkit", "registry"];
        open.extend(crates.map(|room| src.with_file_name("crates").join(room)));
        let (mut seen, mut wrong) = (0, Vec::new());
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            // Tests of plans show what both say.
            if path.extension().is_none_or(|ext| ext != "rs")
                || path.components().any(|c| c.as_os_str() == "situations" || c.as_os_str() == "tests")
            {
                continue;
            }
            let known = allowed(&path);
            for flag in loose_flags(&std::fs::read_to_string(&path).unwrap()) {
                seen += 1;
                if !known.contains(&flag) {
                    wrong.push(format!("{}: {flag}", path.display()));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(seen >= 8, "only {seen} flags were found in texts");
    }

    #[test]
    fn what_a_deployer_says_names_no_other_compose_than_its_own() {
        let src = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut open: Vec<_> = ["deploy", "lane", "server"].iter().map(|room| src.join(room)).collect();
        open.extend(
            ["docker", "fronts", "gate", "git", "measure", "plan", "steer", "switch"]
                .map(|room| src.with_file_name("crates").join(room)),
        );
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            // `as …` compares with it; a command to run is one that this machine surely has.
            let others = lines.filter(|line| line.contains("docker compose ") && !line.contains("as `docker compose "));
            assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", path.display());
        }
    }
}
