//! What can be said to the commands that work inside a container: exec, run, attach, cp.

use clap::Args;

use super::choices::PullChoice;

/// What `turnout compose exec` takes.
#[derive(Debug, Clone, Args)]
pub struct ExecArgs {
    /// Leave the command running and do not wait for it
    #[arg(short, long)]
    pub detach: bool,
    /// Set an environment variable for the command
    #[arg(short, long = "env", value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
    /// Give the command no terminal
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY", action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub no_tty: Option<bool>,
    /// Keep standard input open; `--interactive=false` to close it
    #[arg(short, long, hide = true, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub interactive: bool,
    /// A terminal; always where there is one
    #[arg(short, long, hide = true)]
    pub tty: bool,
    /// Run the command with all capabilities of the kernel
    #[arg(long)]
    pub privileged: bool,
    /// As this user
    #[arg(short, long)]
    pub user: Option<String>,
    /// In this directory
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// Service, then the command: nothing after the service is ours, not even `--`
    #[arg(trailing_var_arg = true, required = true, num_args = 2.., value_names = ["SERVICE", "COMMAND"])]
    pub words: Vec<String>,
}

impl ExecArgs {
    /// The service that was named first.
    pub fn service(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The command with its arguments, as they were given.
    pub fn command(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// What `turnout compose run` takes.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Build the image first
    #[arg(long)]
    pub build: bool,
    /// Do not wait; print the name
    #[arg(short, long)]
    pub detach: bool,
    /// Run this in place of the image's entrypoint
    #[arg(long)]
    pub entrypoint: Option<String>,
    /// Set an environment variable for the command
    #[arg(short, long = "env", value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// Put a label on the container
    #[arg(short, long = "label", alias = "labels", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Name the container so
    #[arg(long)]
    pub name: Option<String>,
    /// Give the command no terminal
    #[arg(short = 'T', long = "no-TTY", alias = "no-tty", action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub no_tty: Option<bool>,
    /// Leave dependencies alone
    #[arg(long)]
    pub no_deps: bool,
    /// Publish a port of the container, as `ports:` writes it
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
    /// Mount a volume or a path of this machine, as `volumes:` writes it
    #[arg(short, long = "volume", alias = "volumes")]
    pub volumes: Vec<String>,
    /// In this directory
    #[arg(short, long)]
    pub workdir: Option<String>,
    /// Give the container a capability of the kernel
    #[arg(long)]
    pub cap_add: Vec<String>,
    /// Take a capability of the kernel from the container
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
    /// Take environment variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_from_file: Vec<String>,
    /// A terminal; always where there is one
    #[arg(short, long, hide = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub tty: Option<bool>,
    /// Keep standard input open; `--interactive=false` to close it
    #[arg(short, long, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub interactive: Option<bool>,
    /// Service, then the command, none = the service's: nothing after the service is ours, not even `--`
    #[arg(trailing_var_arg = true, required = true, num_args = 1.., value_names = ["SERVICE", "COMMAND"])]
    pub words: Vec<String>,
}

impl RunArgs {
    /// The service that was named first.
    pub fn service(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Whether standard input is kept open.
    pub fn reads(&self) -> bool {
        self.interactive.unwrap_or(true)
    }

    /// The command; empty for the service's own.
    pub fn command(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// What `turnout compose attach` takes.
#[derive(Debug, Clone, Args)]
pub struct AttachArgs {
    /// Service whose container is meant
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

/// What `turnout compose cp` takes.
#[derive(Debug, Clone, Args)]
pub struct CpArgs {
    /// `SERVICE:PATH`, a path here, or `-` for a tar archive on standard input
    pub source: String,
    /// `SERVICE:PATH`, a path here, or `-` for a tar archive on standard output
    pub destination: String,
    /// One-offs as well
    #[arg(long)]
    pub all: bool,
    /// Keep the owners and groups of files
    #[arg(short, long)]
    pub archive: bool,
    /// Follow a symbolic link in the source
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
}
