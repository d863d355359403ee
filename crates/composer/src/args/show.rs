//! What can be said to the commands that only look: ps, ls, logs, events, port, stats, volumes, version.
//! Top takes only services, see [`super::ServicesArgs`].

use clap::Args;

/// What `turnout compose ps` takes.
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

/// What `turnout compose ls` takes.
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

/// What `turnout compose logs` takes.
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
    /// Print when each line was written
    #[arg(short, long)]
    pub timestamps: bool,
    /// Print without colours
    #[arg(long)]
    pub no_color: bool,
    /// Print without the names of containers
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Only the container of this number
    #[arg(long)]
    pub index: Option<u32>,
}

/// What `turnout compose events` takes.
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

/// What `turnout compose port` takes.
#[derive(Debug, Clone, Args)]
pub struct PortArgs {
    /// Service whose port is meant
    pub service: String,
    /// Container port; none = list all
    pub private_port: Option<u16>,
    /// Protocol; none = tcp, or all in the list
    #[arg(long)]
    pub protocol: Option<String>,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
}

/// What `turnout compose stats` takes.
#[derive(Debug, Clone, Args)]
pub struct StatsArgs {
    /// Service; none = all
    pub service: Option<String>,
    /// Stopped containers too
    #[arg(short, long)]
    pub all: bool,
    /// Form of the output: `table`, `table TEMPLATE`, `json` or a Go template
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Print one look and end
    #[arg(long)]
    pub no_stream: bool,
    /// Print IDs in full
    #[arg(long)]
    pub no_trunc: bool,
}

/// What `turnout compose volumes` takes.
#[derive(Debug, Clone, Args)]
pub struct VolumesArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Form of the output: `table`, `table TEMPLATE`, `json` or a Go template
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only names
    #[arg(short, long)]
    pub quiet: bool,
}

/// What `turnout compose version` takes.
#[derive(Debug, Clone, Args)]
pub struct VersionArgs {
    /// Only the number
    #[arg(long)]
    pub short: bool,
    /// Form of the output
    #[arg(short, long, value_parser = ["pretty", "json"], default_value = "pretty")]
    pub format: String,
}
