//! What can be said to `turnout compose`, spelled as in `docker compose` 2.40: the commands, then one file a group of
//! them.

mod config;
mod converge;
mod global;
mod images;
mod inside;
mod lifecycle;
mod show;

use std::{ffi::OsString, ops::Deref};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, CommandFactory as _, FromArgMatches, Parser, Subcommand, ValueEnum,
    builder::Resettable,
};

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
    Config(Later<ConfigArgs>),
    /// Create and start containers
    Up(Later<UpArgs>),
    /// Build images
    Build(Later<BuildArgs>),
    /// Pull images
    Pull(Later<PullArgs>),
    /// Create containers without starting them
    Create(Later<CreateArgs>),
    /// Start existing containers
    Start(Later<ServicesArgs>),
    /// Stop running containers
    Stop(Later<StopArgs>),
    /// Restart containers
    Restart(Later<RestartArgs>),
    /// Send a signal to containers
    Kill(Later<KillArgs>),
    /// Remove stopped containers
    Rm(Later<RmArgs>),
    /// Stop and remove containers and networks
    Down(Later<DownArgs>),
    /// List containers
    Ps(Later<PsArgs>),
    /// List projects
    Ls(Later<LsArgs>),
    /// Show the output of containers
    Logs(Later<LogsArgs>),
    /// Run a command in a running container
    Exec(Later<ExecArgs>),
    /// Run a one-off command of a service
    Run(Later<RunArgs>),
    /// Show the engine's events of the project
    Events(Later<EventsArgs>),
    /// Show the host address of a container port
    Port(Later<PortArgs>),
    /// Show the processes of containers
    Top(Later<ServicesArgs>),
    /// List the images that containers use
    Images(Later<ImagesArgs>),
    /// Show the version
    Version(Later<VersionArgs>),
    /// Attach to the process of a running container
    Attach(Later<AttachArgs>),
    /// Make an image of a container
    Commit(Later<CommitArgs>),
    /// Copy files between a container and this machine
    Cp(Later<CpArgs>),
    /// Write the file system of a container as a tar archive
    Export(Later<ExportArgs>),
    /// Pause containers
    Pause(Later<ServicesArgs>),
    /// Push images
    Push(Later<PushArgs>),
    /// Set the number of containers of services
    Scale(Later<ScaleArgs>),
    /// Show what containers use
    Stats(Later<StatsArgs>),
    /// Resume paused containers
    Unpause(Later<ServicesArgs>),
    /// List volumes
    Volumes(Later<VolumesArgs>),
    /// Wait until containers end
    Wait(Later<WaitArgs>),
}

/// Arguments of one command, declared to the parser only when that command is the one asked for (or its help is):
/// declaring those of all commands takes longer than reading a project.
#[derive(Debug, Clone)]
pub struct Later<T>(pub T);

impl<T> Deref for Later<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Later<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Later<T> {
    fn augment_args(command: Command) -> Command {
        command.defer(|command| keeping_its_words(command, T::augment_args))
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(|command| keeping_its_words(command, T::augment_args_for_update))
    }
}

/// Declares arguments; what the command is about stays what the list of commands says, and not what the arguments say
/// of themselves.
fn keeping_its_words(command: Command, declare: impl FnOnce(Command) -> Command) -> Command {
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    let declared = declare(command).long_about(long_about.map_or(Resettable::Reset, Resettable::Value));
    declared.about(about.map_or(Resettable::Reset, Resettable::Value))
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
/// nothing. What follows `--` stays, and so does the command line of a container (after the service of `exec` and `run`).
pub fn plain_switches(argv: Vec<OsString>) -> Vec<OsString> {
    if !argv.iter().any(|arg| arg.to_str().is_some_and(|text| switch_value(text).is_some())) {
        return argv;
    }
    let mut root = ComposeCli::command();
    root.build();
    let long = |command: &Command, name: &str| {
        command.get_arguments().find(|arg| arg.get_long() == Some(name)).map(|arg| (is_switch(arg), takes_next(arg)))
    };
    let short = |command: &Command, name: char| {
        command.get_arguments().any(|arg| arg.get_short() == Some(name) && takes_next(arg))
    };
    let (mut command, mut chosen, mut literal, mut is_value) = (&root, false, false, false);
    let plain = argv.into_iter().filter_map(|arg| {
        let text = arg.to_str().unwrap_or_default();
        if literal || std::mem::take(&mut is_value) {
            return Some(arg);
        }
        if text == "--" {
            literal = true;
        } else if let Some(name) = text.strip_prefix("--") {
            if let Some((name, on)) = switch_value(text)
                && long(command, name).is_some_and(|(switch, _)| switch)
            {
                return on.then(|| OsString::from(format!("--{name}")));
            }
            is_value = long(command, name).is_some_and(|(_, takes)| takes);
        } else if let Some(cluster) = text.strip_prefix('-') {
            let taking = cluster.char_indices().find(|(_, name)| short(command, *name));
            is_value = taking.is_some_and(|(at, name)| at + name.len_utf8() == cluster.len());
        } else if let (false, Some(named)) = (chosen, command.find_subcommand(text)) {
            (command, chosen) = (named, true);
        } else if chosen {
            literal = matches!(command.get_name(), "exec" | "run");
        }
        Some(arg)
    });
    plain.collect()
}

/// `--name=true` in Go's spellings of true and false.
fn switch_value(text: &str) -> Option<(&str, bool)> {
    let (name, value) = text.strip_prefix("--")?.split_once('=')?;
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some((name, true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some((name, false)),
        _ => None,
    }
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Whether the value may be the next word.
fn takes_next(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
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
            ("run --rm=1 -e A web push --quiet=1 --rm=1", "run --rm -e A web push --quiet=1 --rm=1"),
            ("exec --no-tty=0 -euA=b --user up web config --quiet=1", "exec -euA=b --user up web config --quiet=1"),
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
    fn a_commands_help_says_what_the_list_of_commands_says() {
        let listed = ComposeCli::command();
        let mut whole = ComposeCli::command();
        whole.build();
        for command in listed.get_subcommands() {
            let built = whole.find_subcommand(command.get_name()).unwrap();
            assert!(command.get_about().is_some(), "{}", command.get_name());
            assert_eq!(built.get_about(), command.get_about(), "{}", command.get_name());
            assert_eq!(built.get_long_about(), command.get_long_about(), "{}", command.get_name());
        }
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
