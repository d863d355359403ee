//! What can be said to `turnout compose`, spelled as in `docker compose` 2.40: the commands, then one file a group of
//! them.

mod choices;
mod config;
mod converge;
mod global;
mod images;
mod inside;
mod lifecycle;
mod show;

use std::ops::Deref;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand, builder::Resettable};

pub use choices::PullChoice;
pub use config::ConfigArgs;
pub use converge::{CreateArgs, ScaleArgs, UpArgs, WatchArgs};
pub use global::{Ansi, Global, ProgressKind};
pub use images::{BuildArgs, CommitArgs, ExportArgs, ImagesArgs, PullArgs, PushArgs};
pub use inside::{AttachArgs, CpArgs, ExecArgs, RunArgs};
pub use lifecycle::{DownArgs, KillArgs, RestartArgs, RmArgs, StartArgs, StopArgs, WaitArgs};
pub use show::{EventsArgs, LogsArgs, LsArgs, PortArgs, PsArgs, StatsArgs, VersionArgs, VolumesArgs};

/// The everyday part of `docker compose`, on turnout's own engine.
#[derive(Debug, Parser)]
#[command(
    name = "turnout compose",
    bin_name = "turnout compose",
    version,
    disable_version_flag = true,
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
    Start(Later<StartArgs>),
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
    /// Bring changed files to the containers, or rebuild, as `develop.watch` says
    Watch(Later<WatchArgs>),
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

/// Of commands that take names of services and nothing else.
#[derive(Debug, Clone, Args)]
pub struct ServicesArgs {
    /// Services; none = all
    pub services: Vec<String>,
}

/// The grammar as the real command reads it: a switch takes `=true` and `=false`, a number may be negative, and what is
/// said twice counts as it was said last. Its help would show every switch with a value, so it is not the first to be
/// asked.
pub(super) fn lenient(mut command: Command) -> Command {
    // What is declared later has no switches yet.
    command.build();
    lenient_in(command)
}

fn lenient_in(command: Command) -> Command {
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
    command.args_override_self(true).mut_args(switch).mut_subcommands(lenient_in)
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
    use clap::CommandFactory as _;

    use super::*;

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
            Ok(ComposeCommand::Exec(args)) => {
                assert_eq!((args.service(), args.command().join(" ")), ("web", "ls --color=false -d -d".to_owned()));
            }
            other => panic!("{other:?}"),
        }
        assert!(parsed("up -d=maybe").is_err());
        for (line, command) in
            [("exec web -- ls", "-- ls"), ("exec -- web -T", "-T"), ("exec web ls -- -a", "ls -- -a")]
        {
            match parsed(line) {
                Ok(ComposeCommand::Exec(args)) => assert_eq!(args.command().join(" "), command, "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        assert!(parsed("exec --nope web ls").is_err() && parsed("exec web").is_err());
    }
}
