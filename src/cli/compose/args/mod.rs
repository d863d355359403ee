//! What can be said to `turnout compose`, spelled as in `docker compose` 2.40: the commands, then one file a group of
//! them.

mod config;
mod converge;
mod global;
mod images;
mod inside;
mod lifecycle;
mod show;

use clap::{Arg, ArgAction, Args, Command, Parser, Subcommand, ValueEnum};

pub use config::ConfigArgs;
pub use converge::{CreateArgs, ScaleArgs, UpArgs};
pub use global::{Ansi, Global, ProgressKind};
pub use images::{BuildArgs, CommitArgs, ExportArgs, ImagesArgs, PullArgs, PushArgs};
pub use inside::{AttachArgs, CpArgs, ExecArgs, RunArgs};
pub use lifecycle::{DownArgs, KillArgs, RestartArgs, RmArgs, StopArgs, WaitArgs};
pub use show::{EventsArgs, LogsArgs, LsArgs, PortArgs, PsArgs, StatsArgs, VersionArgs, VolumesArgs};

/// The everyday part of `docker compose`, on turnout's own engine.
#[derive(Debug, Parser)]
#[command(name = "turnout compose", bin_name = "turnout compose", version, max_term_width = 110)]
pub struct ComposeCli {
    /// Options before the command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: ComposeCommand,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum ComposeCommand {
    /// Parse, resolve and print the project
    #[command(alias = "convert")]
    Config(ConfigArgs),
    /// Create and start containers
    Up(UpArgs),
    /// Build images
    Build(BuildArgs),
    /// Pull images
    Pull(PullArgs),
    /// Create containers without starting them
    Create(CreateArgs),
    /// Start existing containers
    Start(ServicesArgs),
    /// Stop running containers
    Stop(StopArgs),
    /// Restart containers
    Restart(RestartArgs),
    /// Send a signal to containers
    Kill(KillArgs),
    /// Remove stopped containers
    Rm(RmArgs),
    /// Stop and remove containers and networks
    Down(DownArgs),
    /// List containers
    Ps(PsArgs),
    /// List projects
    Ls(LsArgs),
    /// Show the output of containers
    Logs(LogsArgs),
    /// Run a command in a running container
    Exec(ExecArgs),
    /// Run a one-off command of a service
    Run(RunArgs),
    /// Show the engine's events of the project
    Events(EventsArgs),
    /// Show the host address of a container port
    Port(PortArgs),
    /// Show the processes of containers
    Top(ServicesArgs),
    /// List the images that containers use
    Images(ImagesArgs),
    /// Show the version
    Version(VersionArgs),
    /// Attach to the process of a running container
    Attach(AttachArgs),
    /// Make an image of a container
    Commit(CommitArgs),
    /// Copy files between a container and this machine
    Cp(CpArgs),
    /// Write the file system of a container as a tar archive
    Export(ExportArgs),
    /// Pause containers
    Pause(ServicesArgs),
    /// Push images
    Push(PushArgs),
    /// Set the number of containers of services
    Scale(ScaleArgs),
    /// Show what containers use
    Stats(StatsArgs),
    /// Resume paused containers
    Unpause(ServicesArgs),
    /// List volumes
    Volumes(VolumesArgs),
    /// Wait until containers end
    Wait(WaitArgs),
}

/// Only services.
#[derive(Debug, Clone, Args)]
pub struct ServicesArgs {
    /// Services; none = all
    pub services: Vec<String>,
}

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PullChoice {
    /// Always.
    Always,
    /// When absent.
    Missing,
    /// Never.
    Never,
    /// Build instead (`create` only).
    Build,
    /// As the service says.
    Policy,
}

/// The grammar as the real command reads it: a switch takes `=true` and `=false`, a number may be negative, and what is said
/// twice counts as it was said last. Its help would show every switch with a value, so it is not the first to be asked.
pub(super) fn lenient(command: Command) -> Command {
    fn switch(arg: Arg) -> Arg {
        match arg.get_action() {
            ArgAction::SetTrue => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .value_parser(truth)
                .default_value("false")
                .default_missing_value("true"),
            // `-t -1`.
            ArgAction::Set if !arg.is_positional() => arg.allow_negative_numbers(true),
            _ => arg,
        }
    }
    command.args_override_self(true).mut_args(switch).mut_subcommands(lenient)
}

/// What Go's `strconv.ParseBool` reads.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        ComposeCli::command().debug_assert();
    }

    #[test]
    fn the_usual_lines_parse() {
        for line in [
            "-p redshop -f a.yml -f b.yml up -d --build --remove-orphans --scale web=3 -t 5 -V web db",
            "--project-name x config --format json --no-interpolate",
            "down -v --rmi local --remove-orphans -t 1",
            "logs -f --tail 10 web",
            "exec -T web sh -c ls -la",
            "run --rm -e A=b web sh -c true",
            "ps -a --format json",
            "--parallel -1 ls -q",
        ] {
            let argv = std::iter::once("turnout compose").chain(line.split(' '));
            if let Err(error) = ComposeCli::try_parse_from(argv) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn switches_take_a_value_and_the_last_word_counts() {
        let parsed = |line: &str| {
            let argv = std::iter::once("turnout compose").chain(line.split(' '));
            let matches = lenient(ComposeCli::command()).try_get_matches_from(argv);
            matches.and_then(|matches| ComposeCli::from_arg_matches(&matches)).map(|cli| cli.command)
        };
        for (line, detached, timeout) in [
            ("up --detach=true web", true, None),
            ("up -d=false --build=0 web", false, None),
            ("up -d -d -t 1 -t 2 --no-deps=false", true, Some(2)),
            ("up --detach --detach=false", false, None),
            ("up -t -1 web", false, Some(-1)),
        ] {
            match parsed(line) {
                Ok(ComposeCommand::Up(args)) => assert_eq!((args.detach, args.timeout), (detached, timeout), "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        match parsed("exec -T web ls --color=false -d -d") {
            Ok(ComposeCommand::Exec(args)) => assert_eq!(args.command, ["ls", "--color=false", "-d", "-d"]),
            other => panic!("{other:?}"),
        }
        assert!(parsed("up -d=maybe").is_err());
    }
}
