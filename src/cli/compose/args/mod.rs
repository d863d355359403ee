//! What can be said to `turnout compose`, spelled as in `docker compose` 2.40: the commands, then one file a group of
//! them.

mod config;
mod converge;
mod global;
mod images;
mod inside;
mod lifecycle;
mod show;

use std::ffi::OsString;

use clap::{ArgAction, Args, Command, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use config::ConfigArgs;
pub use converge::{CreateArgs, ScaleArgs, UpArgs};
pub use global::{Ansi, Global, ProgressKind};
pub use images::{BuildArgs, CommitArgs, ExportArgs, ImagesArgs, PullArgs, PushArgs};
pub use inside::{AttachArgs, CpArgs, ExecArgs, RunArgs};
pub use lifecycle::{DownArgs, KillArgs, RestartArgs, RmArgs, StopArgs, WaitArgs};
pub use show::{EventsArgs, LogsArgs, LsArgs, PortArgs, PsArgs, StatsArgs, VersionArgs, VolumesArgs};

/// The everyday part of `docker compose`, on turnout's own engine.
#[derive(Debug, Parser)]
#[command(
    name = "turnout compose",
    bin_name = "turnout compose",
    version,
    max_term_width = 110,
    args_override_self = true
)]
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

/// Go's way to give a switch a value (`--build=false`, `--quiet=1`), which clap lacks: on is the switch alone, off is
/// nothing. What follows `--`, and what is no switch of any command, stays.
pub fn plain_switches(argv: Vec<OsString>) -> Vec<OsString> {
    let value = |arg: &OsString| -> Option<(String, bool)> {
        let (name, value) = arg.to_str()?.strip_prefix("--")?.split_once('=')?;
        match value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some((name.to_owned(), true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some((name.to_owned(), false)),
            _ => None,
        }
    };
    if !argv.iter().any(|arg| value(arg).is_some()) {
        return argv;
    }
    let root = ComposeCli::command();
    let is_switch = |command: &Command, name: &str| {
        command
            .get_arguments()
            .any(|arg| arg.get_long() == Some(name) && matches!(arg.get_action(), ArgAction::SetTrue))
    };
    // A value of an option may look like a command (`-f up`); one too many does no harm.
    let (mut commands, mut literal) = (vec![&root], false);
    argv.into_iter()
        .filter_map(|arg| {
            literal |= arg == "--";
            if let (false, Some((name, on))) = (literal, value(&arg))
                && commands.iter().any(|command| is_switch(command, &name))
            {
                return on.then(|| OsString::from(format!("--{name}")));
            }
            commands.extend(root.find_subcommand(&arg));
            Some(arg)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_takes_a_value_as_in_go() {
        for (line, plain) in [
            ("up --build=false -d", "up -d"),
            ("up --build=1 --wait=F web", "up --build web"),
            ("config --no-interpolate=true --hash=1", "config --no-interpolate --hash=1"),
            ("--dry-run=true up --dry-run=f", "--dry-run up"),
            ("-f up ps --all=T", "-f up ps --all"),
            ("exec web sh -- --quiet=1", "exec web sh -- --quiet=1"),
            ("ps --all=maybe", "ps --all=maybe"),
        ] {
            let told: Vec<String> = plain_switches(line.split(' ').map(OsString::from).collect())
                .into_iter()
                .map(|arg| arg.into_string().unwrap())
                .collect();
            assert_eq!(told.join(" "), plain, "{line}");
        }
    }

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
}
