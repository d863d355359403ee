//! What can be said to `turnout compose`: the everyday part of `docker compose` 2.40, spelled the same.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::args_more::{
    AttachArgs, CommitArgs, CpArgs, ExportArgs, PushArgs, ScaleArgs, StatsArgs, VolumesArgs, WaitArgs,
};

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

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Compose file; repeat to merge several [env: COMPOSE_FILE]
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<String>,
    /// Project name [env: COMPOSE_PROJECT_NAME]
    #[arg(short = 'p', long, value_name = "NAME")]
    pub project_name: Option<String>,
    /// Project directory [default: that of the first Compose file]
    #[arg(long, value_name = "DIR")]
    pub project_directory: Option<PathBuf>,
    /// Environment file instead of `.env`; repeat for several [env: COMPOSE_ENV_FILES]
    #[arg(long = "env-file", value_name = "FILE")]
    pub env_files: Vec<String>,
    /// Profile to enable; repeat for several, `*` for all [env: COMPOSE_PROFILES]
    #[arg(long = "profile", value_name = "PROFILE")]
    pub profiles: Vec<String>,
    /// Colours and control characters
    #[arg(long, value_enum, default_value_t = Ansi::Auto)]
    pub ansi: Ansi,
    /// Form of progress
    #[arg(long, value_enum, default_value_t = ProgressKind::Auto)]
    pub progress: ProgressKind,
    /// Include networks, volumes, secrets and configs that no service uses
    #[arg(long)]
    pub all_resources: bool,
    /// Steps carried out side by side; -1 for the built-in limit
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    pub parallel: i32,
    /// Print what would be done, do nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
}

/// `--ansi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ansi {
    /// None.
    Never,
    /// Even in a pipe.
    Always,
    /// On a terminal.
    Auto,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressKind {
    /// Live on a terminal, plain elsewhere.
    Auto,
    /// Live.
    Tty,
    /// A line an event.
    Plain,
    /// A JSON object an event.
    Json,
    /// Nothing.
    Quiet,
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

/// `config`.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Form of the output
    #[arg(long, value_parser = ["yaml", "json", ""])]
    pub format: Option<String>,
    /// Pin image tags to digests
    #[arg(long)]
    pub resolve_image_digests: bool,
    /// Print an override file with image digests
    #[arg(long)]
    pub lock_image_digests: bool,
    /// Print service names
    #[arg(long = "services", id = "services_only")]
    pub services_only: bool,
    /// Print image names
    #[arg(long)]
    pub images: bool,
    /// Print volume names
    #[arg(long)]
    pub volumes: bool,
    /// Print network names
    #[arg(long)]
    pub networks: bool,
    /// Print model names
    #[arg(long)]
    pub models: bool,
    /// Print profile names
    #[arg(long)]
    pub profiles: bool,
    /// Print the hashes of these services (comma list, `*` for all)
    #[arg(long, value_name = "SERVICES")]
    pub hash: Option<String>,
    /// Print the environment that interpolation reads
    #[arg(long)]
    pub environment: bool,
    /// Print variables and their defaults
    #[arg(long)]
    pub variables: bool,
    /// Leave `$…` as written
    #[arg(long)]
    pub no_interpolate: bool,
    /// Leave the model as written
    #[arg(long)]
    pub no_normalize: bool,
    /// Leave paths as written
    #[arg(long)]
    pub no_path_resolution: bool,
    /// Skip the checks between services and resources
    #[arg(long)]
    pub no_consistency: bool,
    /// Leave env files unread
    #[arg(long)]
    pub no_env_resolution: bool,
    /// Only check
    #[arg(short, long)]
    pub quiet: bool,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Return when everything runs
    #[arg(short, long)]
    pub detach: bool,
    /// Build images first
    #[arg(long, conflicts_with = "no_build")]
    pub build: bool,
    /// Build nothing
    #[arg(long)]
    pub no_build: bool,
    /// Leave other services alone
    #[arg(long)]
    pub no_deps: bool,
    /// Create, do not start
    #[arg(long)]
    pub no_start: bool,
    /// Recreate even what is unchanged
    #[arg(long, conflicts_with = "no_recreate")]
    pub force_recreate: bool,
    /// Recreate nothing
    #[arg(long)]
    pub no_recreate: bool,
    /// Recreate dependencies as well
    #[arg(long, conflicts_with = "no_recreate")]
    pub always_recreate_deps: bool,
    /// Remove containers of services that the project no longer has
    #[arg(long)]
    pub remove_orphans: bool,
    /// Number of containers of a service
    #[arg(long = "scale", value_name = "SERVICE=NUM")]
    pub scale: Vec<String>,
    /// Wait until everything is running or healthy
    #[arg(long)]
    pub wait: bool,
    /// At most this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
    /// When to pull
    #[arg(long, value_enum, default_value_t = PullChoice::Policy)]
    pub pull: PullChoice,
    /// Show no pull progress
    #[arg(long)]
    pub quiet_pull: bool,
    /// Show no build output
    #[arg(long)]
    pub quiet_build: bool,
    /// Seconds before a container that must stop is killed
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub timeout: Option<i64>,
    /// New anonymous volumes instead of the old ones
    #[arg(short = 'V', long)]
    pub renew_anon_volumes: bool,
    /// Answer yes: recreates volumes whose configuration changed, losing their data
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// No colours in logs
    #[arg(long)]
    pub no_color: bool,
    /// No names before log lines
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Time stamps before log lines
    #[arg(long)]
    pub timestamps: bool,
    /// Stop everything when any container ends
    #[arg(long)]
    pub abort_on_container_exit: bool,
    /// Stop everything when any container fails
    #[arg(long)]
    pub abort_on_container_failure: bool,
    /// Exit with this service's code; stops everything when any container ends
    #[arg(long, value_name = "SERVICE")]
    pub exit_code_from: Option<String>,
    /// Show only the logs of these services
    #[arg(long, value_name = "SERVICE")]
    pub attach: Vec<String>,
    /// Show the logs of dependencies as well
    #[arg(long)]
    pub attach_dependencies: bool,
    /// Do not show the logs of these services
    #[arg(long, value_name = "SERVICE")]
    pub no_attach: Vec<String>,
}

/// `build`.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// Services; none = all that build
    pub services: Vec<String>,
    /// Build argument `KEY=VALUE`
    #[arg(long = "build-arg", value_name = "KEY=VALUE")]
    pub build_args: Vec<String>,
    /// Ignore the cache
    #[arg(long)]
    pub no_cache: bool,
    /// Pull newer base images
    #[arg(long)]
    pub pull: bool,
    /// Show no output
    #[arg(short, long)]
    pub quiet: bool,
    /// Build dependencies as well
    #[arg(long)]
    pub with_dependencies: bool,
    /// Push the images of services that name theirs
    #[arg(long)]
    pub push: bool,
    /// SSH agent or key for the builds: `default`, or `ID=PATH`
    #[arg(long, value_name = "KEY", num_args = 0..=1, default_missing_value = "default")]
    pub ssh: Option<String>,
    /// Memory of RUN, for the classic builder only
    #[arg(short, long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Builder; the engine's own is the only one
    #[arg(long, value_name = "NAME")]
    pub builder: Option<String>,
    /// Provenance attestation: true, false or its parameters
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "PARAMETERS")]
    pub provenance: Option<String>,
    /// SBOM attestation: true, false or its parameters
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "PARAMETERS")]
    pub sbom: Option<String>,
    /// Check the build configuration; not available here
    #[arg(long)]
    pub check: bool,
    /// Print the equivalent bake file instead of building
    #[arg(long)]
    pub print: bool,
}

/// `pull`.
#[derive(Debug, Clone, Args)]
pub struct PullArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Leave out images that can be built
    #[arg(long)]
    pub ignore_buildable: bool,
    /// Go on when a pull fails
    #[arg(long)]
    pub ignore_pull_failures: bool,
    /// Pull dependencies as well
    #[arg(long)]
    pub include_deps: bool,
    /// When to pull
    #[arg(long, value_parser = ["missing", "always"])]
    pub policy: Option<String>,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// `create`.
#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Build images first
    #[arg(long, conflicts_with = "no_build")]
    pub build: bool,
    /// Build nothing
    #[arg(long)]
    pub no_build: bool,
    /// Recreate even what is unchanged
    #[arg(long, conflicts_with = "no_recreate")]
    pub force_recreate: bool,
    /// Recreate nothing
    #[arg(long)]
    pub no_recreate: bool,
    /// When to pull
    #[arg(long, value_enum, default_value_t = PullChoice::Policy)]
    pub pull: PullChoice,
    /// Show no pull progress
    #[arg(long)]
    pub quiet_pull: bool,
    /// Remove containers of services that the project no longer has
    #[arg(long)]
    pub remove_orphans: bool,
    /// Number of containers of a service
    #[arg(long = "scale", value_name = "SERVICE=NUM")]
    pub scale: Vec<String>,
    /// Answer yes
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// `stop`.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Seconds before a container is killed
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub timeout: Option<i64>,
}

/// `restart`.
#[derive(Debug, Clone, Args)]
pub struct RestartArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Leave dependents alone
    #[arg(long)]
    pub no_deps: bool,
    /// Seconds before a container is killed
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub timeout: Option<i64>,
}

/// `kill`.
#[derive(Debug, Clone, Args)]
pub struct KillArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Signal
    #[arg(short, long, default_value = "SIGKILL")]
    pub signal: String,
    /// Remove containers of services that the project no longer has
    #[arg(long)]
    pub remove_orphans: bool,
}

/// `rm`.
#[derive(Debug, Clone, Args)]
pub struct RmArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Has no effect, as in the real one
    #[arg(short, long, hide = true)]
    pub all: bool,
    /// Stop first
    #[arg(short, long)]
    pub stop: bool,
    /// Remove anonymous volumes as well
    #[arg(short, long)]
    pub volumes: bool,
}

/// `down`.
#[derive(Debug, Clone, Args)]
pub struct DownArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Remove containers of services that the project no longer has
    #[arg(long)]
    pub remove_orphans: bool,
    /// Remove images: `local` only those without a name of their own
    #[arg(long, value_parser = ["local", "all"])]
    pub rmi: Option<String>,
    /// Seconds before a container is killed
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub timeout: Option<i64>,
    /// Remove the project's volumes, with their data
    #[arg(short, long)]
    pub volumes: bool,
}

/// `ps`.
#[derive(Debug, Clone, Args)]
pub struct PsArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Stopped ones and one-offs too
    #[arg(short, long)]
    pub all: bool,
    /// Form of the output: `table`, `table TEMPLATE`, `json` or a Go template
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only matching: `status=…`
    #[arg(long)]
    pub filter: Option<String>,
    /// Only IDs
    #[arg(short, long)]
    pub quiet: bool,
    /// Only service names
    #[arg(long = "services", id = "services_only")]
    pub services_only: bool,
    /// Only in this state; repeat for several
    #[arg(long = "status")]
    pub status: Vec<String>,
    /// Full IDs and commands
    #[arg(long)]
    pub no_trunc: bool,
    /// Containers of services that the project no longer has
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub orphans: bool,
}

/// `ls`.
#[derive(Debug, Clone, Args)]
pub struct LsArgs {
    /// Stopped projects too
    #[arg(short, long)]
    pub all: bool,
    /// Form of the output
    #[arg(long, value_parser = ["table", "json"], default_value = "table")]
    pub format: String,
    /// Only names
    #[arg(short, long)]
    pub quiet: bool,
    /// Only matching: `name=…`
    #[arg(long)]
    pub filter: Vec<String>,
}

/// `logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Go on as lines come
    #[arg(short, long)]
    pub follow: bool,
    /// Lines of the past a container, or `all`
    #[arg(short = 'n', long, default_value = "all")]
    pub tail: String,
    /// Only from here: RFC 3339, or a duration back
    #[arg(long)]
    pub since: Option<String>,
    /// Only up to here
    #[arg(long)]
    pub until: Option<String>,
    /// Time stamps
    #[arg(short, long)]
    pub timestamps: bool,
    /// No colours
    #[arg(long)]
    pub no_color: bool,
    /// No names
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Only the container of this number
    #[arg(long)]
    pub index: Option<u32>,
}

/// `exec`.
#[derive(Debug, Clone, Args)]
pub struct ExecArgs {
    /// Do not wait
    #[arg(short, long)]
    pub detach: bool,
    /// Variables
    #[arg(short, long = "env", value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
    /// No terminal
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    pub no_tty: bool,
    /// Keep standard input open; `--interactive=false` to close it
    #[arg(short, long, hide = true, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub interactive: bool,
    /// A terminal; always where there is one
    #[arg(short, long, hide = true)]
    pub tty: bool,
    /// More rights
    #[arg(long)]
    pub privileged: bool,
    /// As this user
    #[arg(short, long)]
    pub user: Option<String>,
    /// In this directory
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// Service
    pub service: String,
    /// Command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub command: Vec<String>,
}

/// `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Build the image first
    #[arg(long)]
    pub build: bool,
    /// Do not wait; print the name
    #[arg(short, long)]
    pub detach: bool,
    /// Other entrypoint
    #[arg(long)]
    pub entrypoint: Option<String>,
    /// Variables
    #[arg(short, long = "env", value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// Labels
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Name
    #[arg(long)]
    pub name: Option<String>,
    /// No terminal
    #[arg(short = 'T', long = "no-TTY", alias = "no-tty")]
    pub no_tty: bool,
    /// Leave dependencies alone
    #[arg(long)]
    pub no_deps: bool,
    /// Publish ports
    #[arg(short, long = "publish")]
    pub publish: Vec<String>,
    /// Publish the service's ports
    #[arg(short = 'P', long)]
    pub service_ports: bool,
    /// When to pull
    #[arg(long, value_enum, default_value_t = PullChoice::Policy)]
    pub pull: PullChoice,
    /// Remove the container when it ends
    #[arg(long)]
    pub rm: bool,
    /// Remove containers of services that the project no longer has
    #[arg(long)]
    pub remove_orphans: bool,
    /// Use the service's network aliases
    #[arg(long)]
    pub use_aliases: bool,
    /// As this user
    #[arg(short, long)]
    pub user: Option<String>,
    /// Mounts
    #[arg(short, long = "volume")]
    pub volumes: Vec<String>,
    /// In this directory
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// Capabilities added
    #[arg(long)]
    pub cap_add: Vec<String>,
    /// Capabilities dropped
    #[arg(long)]
    pub cap_drop: Vec<String>,
    /// Print nothing of our own
    #[arg(short, long)]
    pub quiet: bool,
    /// Show no build output
    #[arg(long)]
    pub quiet_build: bool,
    /// Show no pull progress
    #[arg(long)]
    pub quiet_pull: bool,
    /// Variables from files
    #[arg(long, value_name = "FILE")]
    pub env_from_file: Vec<String>,
    /// A terminal; always where there is one
    #[arg(short, long, hide = true)]
    pub tty: bool,
    /// Keep standard input open; `--interactive=false` to close it
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub interactive: bool,
    /// Service
    pub service: String,
    /// Command; none = the service's
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `events`.
#[derive(Debug, Clone, Args)]
pub struct EventsArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// A JSON object an event
    #[arg(long)]
    pub json: bool,
    /// Only from here
    #[arg(long)]
    pub since: Option<String>,
    /// Only up to here; ends then
    #[arg(long)]
    pub until: Option<String>,
}

/// `port`.
#[derive(Debug, Clone, Args)]
pub struct PortArgs {
    /// Service
    pub service: String,
    /// Container port
    pub private_port: u16,
    /// Protocol
    #[arg(long, default_value = "tcp")]
    pub protocol: String,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
}

/// `version`.
#[derive(Debug, Clone, Args)]
pub struct VersionArgs {
    /// Only the number
    #[arg(long)]
    pub short: bool,
    /// Form of the output
    #[arg(short, long, value_parser = ["pretty", "json"], default_value = "pretty")]
    pub format: String,
}

/// `images`.
#[derive(Debug, Clone, Args)]
pub struct ImagesArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Form of the output
    #[arg(long, value_parser = ["table", "json"], default_value = "table")]
    pub format: String,
    /// Only IDs
    #[arg(short, long)]
    pub quiet: bool,
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
