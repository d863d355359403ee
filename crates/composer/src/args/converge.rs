//! What can be said to the commands that bring containers to what the project says: up, create, scale.

use clap::Args;

use super::choices::PullChoice;

/// What `turnout compose up` takes.
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
    #[arg(short = 'y', long, alias = "y")]
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
    /// Bring changed files to the containers, or rebuild, as `develop.watch` says
    #[arg(short, long)]
    pub watch: bool,
}

/// What `turnout compose watch` takes.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Do not build and start the services first
    #[arg(long)]
    pub no_up: bool,
    /// Remove images that a rebuild has replaced
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub prune: bool,
    /// Show no build output
    #[arg(long)]
    pub quiet: bool,
}

/// What `turnout compose create` takes.
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
    /// Answer every question with yes
    #[arg(short = 'y', long, alias = "y")]
    pub yes: bool,
}

/// What `turnout compose scale` takes.
#[derive(Debug, Clone, Args)]
pub struct ScaleArgs {
    /// Services and their numbers of containers
    #[arg(value_name = "SERVICE=NUM", required = true)]
    pub scale: Vec<String>,
    /// Leave other services alone
    #[arg(long)]
    pub no_deps: bool,
}
