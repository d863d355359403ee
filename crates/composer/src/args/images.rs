//! What can be said to the commands that make, move and list images (build, pull, push, images), and to those that
//! make an image or an archive of a container (commit, export).

use std::path::PathBuf;

use clap::Args;

use super::ProgressKind;

/// What `turnout compose build` takes.
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
    /// Form of progress; belongs before the command
    #[arg(long, hide = true, value_name = "KIND")]
    pub progress: Option<ProgressKind>,
    /// Has no effect: builds always run side by side
    #[arg(long, hide = true)]
    pub parallel: bool,
    /// Has no effect: a context is never compressed
    #[arg(long, hide = true)]
    pub compress: bool,
    /// Has no effect: containers of a build are always removed
    #[arg(long, hide = true)]
    pub force_rm: bool,
    /// Has no effect: containers of a build are always removed
    #[arg(long, hide = true)]
    pub no_rm: bool,
}

/// What `turnout compose pull` takes.
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
    /// Has no effect: pulls always run side by side
    #[arg(long, hide = true)]
    pub parallel: bool,
    /// Has no effect
    #[arg(long, hide = true)]
    pub no_parallel: bool,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// What `turnout compose push` takes.
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

/// What `turnout compose images` takes.
#[derive(Debug, Clone, Args)]
pub struct ImagesArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Form of the output
    #[arg(long, value_parser = ["table", "json"], default_value = "table")]
    pub format: String,
    /// Print only the IDs of images
    #[arg(short, long)]
    pub quiet: bool,
}

/// What `turnout compose commit` takes.
#[derive(Debug, Clone, Args)]
pub struct CommitArgs {
    /// Service whose container is meant
    pub service: String,
    /// Image to make: `NAME[:TAG]`
    pub image: Option<String>,
    /// Who made the image, as `Name <name@example.org>`
    #[arg(short, long)]
    pub author: Option<String>,
    /// Dockerfile instruction to apply; repeat for several
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub change: Vec<String>,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
    /// What the image says of its making
    #[arg(short, long)]
    pub message: Option<String>,
    /// Pause the container meanwhile; `--pause=false` not to
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub pause: bool,
}

/// What `turnout compose export` takes.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Service whose container is meant
    pub service: String,
    /// Number of the container
    #[arg(long)]
    pub index: Option<u32>,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
