//! The options before the command; every command knows them.

use std::path::PathBuf;

use clap::{
    Args, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser as _},
};

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Repository in repos.yaml: its project and files, as turnout deploys them
    #[arg(long, value_name = "NAME", conflicts_with_all = ["files", "project_name", "project_directory", "env_files", "workdir"])]
    pub repo: Option<String>,
    /// Compose file; repeat to merge several [env: COMPOSE_FILE]
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<String>,
    /// Project name [env: COMPOSE_PROJECT_NAME]
    #[arg(short = 'p', long, value_name = "NAME")]
    pub project_name: Option<String>,
    /// Project directory [default: that of the first Compose file]
    #[arg(long, value_name = "DIR", value_parser = OsStringValueParser::new().map(PathBuf::from))]
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
    /// Names with `_`, as of Compose 1; `config` leaves the model as written
    #[arg(long, hide = true)]
    pub compatibility: bool,
    /// Has no effect: every step is told anyway
    #[arg(long, hide = true)]
    pub verbose: bool,
    /// Former spelling of `--ansi never`
    #[arg(long, hide = true)]
    pub no_ansi: bool,
    /// Former spelling of `--project-directory`
    #[arg(long, hide = true, value_name = "DIR", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub workdir: Option<PathBuf>,
    /// Show the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// Print what would be done, do nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
}

/// `--ansi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ansi {
    /// No colours and no moving lines, on a terminal either.
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
    /// Lines that are written anew as steps go on, also where nobody looks at a terminal.
    Tty,
    /// A line an event.
    Plain,
    /// A JSON object an event.
    Json,
    /// No progress is shown; errors are.
    Quiet,
}
