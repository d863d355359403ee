//! What can be said to `config`.

use std::ffi::OsString;

use clap::Args;

/// What `turnout compose config` takes.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// Services; none = all
    pub services: Vec<String>,
    /// Form of the output: yaml, json; of variables also table
    #[arg(long)]
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
    pub output: Option<OsString>,
}
