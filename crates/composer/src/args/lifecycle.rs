//! What can be said to the commands that stop, restart and remove containers: stop, restart, kill, rm, down, wait.
//! Pause and unpause take only services, see [`super::ServicesArgs`].

use clap::Args;

/// What `turnout compose start` takes.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Wait until everything runs or is healthy (as Compose 5 has it)
    #[arg(long)]
    pub wait: bool,
    /// Fail where that takes longer
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
}

/// What `turnout compose stop` takes.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Seconds before a container is killed
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub timeout: Option<i64>,
}

/// What `turnout compose restart` takes.
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

/// What `turnout compose kill` takes.
#[derive(Debug, Clone, Args)]
pub struct KillArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Signal to send, by name or number
    #[arg(short, long, default_value = "SIGKILL")]
    pub signal: String,
    /// Remove containers of services that the project no longer has
    #[arg(long)]
    pub remove_orphans: bool,
}

/// What `turnout compose rm` takes.
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
    /// Stop containers that run first
    #[arg(short, long)]
    pub stop: bool,
    /// Remove anonymous volumes as well
    #[arg(short, long)]
    pub volumes: bool,
}

/// What `turnout compose down` takes.
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
    #[arg(short, long, alias = "volume")]
    pub volumes: bool,
}

/// What `turnout compose wait` takes.
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Services whose containers are waited for
    #[arg(required = true)]
    pub services: Vec<String>,
    /// Take the project down afterwards
    #[arg(long)]
    pub down_project: bool,
}
