//! What can be said to the less common commands; see [`super::args`].

use clap::Args;

/// `attach`.
#[derive(Debug, Clone, Args)]
pub struct AttachArgs {
    /// Service
    pub service: String,
    /// Keys that detach, as Docker writes them: `ctrl-p,ctrl-q`
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
    /// Leave standard input alone
    #[arg(long)]
    pub no_stdin: bool,
    /// Pass signals on to the process; `--sig-proxy=false` not to
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub sig_proxy: bool,
}

/// `commit`.
#[derive(Debug, Clone, Args)]
pub struct CommitArgs {
    /// Service
    pub service: String,
    /// Image to make: `NAME[:TAG]`
    pub image: Option<String>,
    /// Author
    #[arg(short, long)]
    pub author: Option<String>,
    /// Dockerfile instruction to apply; repeat for several
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
    /// Message
    #[arg(short, long)]
    pub message: Option<String>,
    /// Pause the container meanwhile; `--pause=false` not to
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub pause: bool,
}

/// `cp`.
#[derive(Debug, Clone, Args)]
pub struct CpArgs {
    /// `SERVICE:PATH`, a path here, or `-` for a tar archive on standard input
    pub source: String,
    /// `SERVICE:PATH`, a path here, or `-` for a tar archive on standard output
    pub destination: String,
    /// One-offs as well
    #[arg(long)]
    pub all: bool,
    /// Keep owners
    #[arg(short, long)]
    pub archive: bool,
    /// Follow a symbolic link in the source
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
}

/// `export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Service
    pub service: String,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<std::path::PathBuf>,
}

/// `push`.
#[derive(Debug, Clone, Args)]
pub struct PushArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Go on when a push fails
    #[arg(long)]
    pub ignore_push_failures: bool,
    /// Push dependencies as well
    #[arg(long)]
    pub include_deps: bool,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// `scale`.
#[derive(Debug, Clone, Args)]
pub struct ScaleArgs {
    /// Services and their numbers of containers
    #[arg(value_name = "SERVICE=NUM", required = true)]
    pub scale: Vec<String>,
    /// Leave other services alone
    #[arg(long)]
    pub no_deps: bool,
}

/// `stats`.
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
    /// Print once
    #[arg(long)]
    pub no_stream: bool,
    /// Full IDs
    #[arg(long)]
    pub no_trunc: bool,
}

/// `volumes`.
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

/// `wait`.
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Services
    #[arg(required = true)]
    pub services: Vec<String>,
    /// Take the project down afterwards
    #[arg(long)]
    pub down_project: bool,
}
