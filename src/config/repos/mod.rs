//! `repos.yaml`: which repositories are deployed, from where, and how.
//!
//! Two shapes are read. The plain one maps names to paths or to mappings; the keyed one puts that mapping under
//! `repos:`, so that a repository may bear a reserved name. `self:` and `defaults:` stand at the top of either.

mod choice;
mod choices;
mod draft;
mod fallback;
mod fields;
mod filling;
pub mod keys;
pub mod kind;
mod mounted;
mod names;
mod parse;
mod switching;
mod validate;

pub use crate::git::{MAX_CHECKOUT, MAX_FETCH};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use choices::{Builder, Divergence, Filters, Orphans, OutsidePaths, Rebuild};
pub use fallback::{Fallback, fallback};
pub use mounted::{MOUNTED_CHANGES, MountedChange, MountedChanges, mounted_words};
pub use names::project_from;
pub use parse::{parse, parse_sound};
pub use switching::SwitchPlaces;
pub(crate) use switching::{AUTO, OFF};

use super::mistake::Mistake;

/// Names under which the deployer's own repository is known unless `self:` says otherwise.
pub const DEFAULT_SELF: [&str; 2] = ["deployer", "turnout"];

/// Earlier images of each service that stay unless `keep_images` says otherwise: enough to look at or to go back to what
/// ran before a bad week, without a disk that fills with every push.
pub const KEEP_IMAGES: usize = 3;

/// What must be free before a build unless `min_free_disk` says otherwise: 1 GiB, less than most builds write. A build that
/// fills the disk also stops the databases on it from writing. Not a share of the disk: what a build needs does not grow
/// with it.
pub const MIN_FREE_DISK: u64 = 1 << 30;

/// What `repos.yaml` says of all repositories, validated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repos {
    /// In the order of the file.
    pub repos: Vec<Repo>,
    /// Names of the deployer's own repository, short or `owner/name`. Its pushes are never acted on.
    pub self_names: Vec<String>,
    /// What is odd but not wrong.
    pub warnings: Vec<Mistake>,
}

impl Repos {
    /// The repository configured under this name, in any case.
    pub fn by_name(&self, name: &str) -> Option<&Repo> {
        self.repos.iter().find(|repo| repo.name.eq_ignore_ascii_case(name))
    }
}

/// One repository, with defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// Its name here: what the commands take, and what a push's short name is compared with.
    pub name: String,
    /// The working tree, as written.
    pub path: PathBuf,
    /// The working tree with symbolic links resolved, as far as it existed when the file was read.
    pub real_path: PathBuf,
    /// Where a first clone comes from.
    pub remote: Option<String>,
    /// The deployed branch. Without it: the branch checked out, else the forge's default branch.
    pub branch: Option<String>,
    /// The Compose project without its colour: `shop` in `redshop`.
    pub project: String,
    /// `owner/name` at the forge. With it, a push of another owner's repository of the same short name is unknown.
    pub full_name: Option<String>,
    /// Compose files in place of the choice between dev and prod, relative to the path.
    pub compose_files: Vec<String>,
    /// The file with DEBUG and COLOR, relative to the path.
    pub env_file: String,
    /// Compose profiles that are on.
    pub profiles: Vec<String>,
    /// Globs of further files whose change means a rebuild.
    pub triggers: Vec<String>,
    /// What leads to a rebuild.
    pub rebuild: Rebuild,
    /// What to do when local and remote history have parted.
    pub on_divergence: Divergence,
    /// Time-outs that differ from the daemon's.
    pub timeouts: TimeoutOverrides,
    /// Private key for SSH remotes.
    pub ssh_key: Option<PathBuf>,
    /// Host keys to trust, in place of the user's `known_hosts`.
    pub known_hosts: Option<PathBuf>,
    /// Where the token for HTTPS remotes comes from.
    pub token: Option<TokenSource>,
    /// Submodules are updated too.
    pub submodules: bool,
    /// Hosts that submodules may lie on besides the repository's own; `*` is any.
    pub submodule_hosts: Vec<String>,
    /// Bytes that one fetch may bring, at most; 0 = no limit.
    pub max_fetch: u64,
    /// Bytes that one check-out may write, at most; 0 = no limit.
    pub max_checkout: u64,
    /// For HTTPS remotes without a token, the credential helper of the git configuration is asked; it is a program.
    pub credential_helper: bool,
    /// What to do with files that pass through a program of git's configuration.
    pub filters: Filters,
    /// Whether files outside of the repository are read where a commit names them.
    pub outside_paths: OutsidePaths,
    /// Which builder makes the images.
    pub builder: Builder,
    /// What is done when files in a mounted folder changed.
    pub on_mounted_change: MountedChanges,
    /// What happens to containers whose service is gone.
    pub orphans: Orphans,
    /// How many images of each service stay beside the present one.
    pub keep_images: usize,
    /// Bytes that must be free where the engine and turnout write, before something is built or pulled; 0 = not looked at.
    pub min_free_disk: u64,
    /// How it is deployed blue/green: `auto`, or a mapping; `None`: in place.
    pub switch: Option<serde_json::Value>,
    /// Where that stands.
    pub switch_places: SwitchPlaces,
    /// A webhook secret of its own; the daemon's then does not authorise this repository.
    pub secret: Option<TokenSource>,
}

/// Where a token or secret comes from. The text itself never stands in `repos.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// An environment variable of the daemon, or a line of its `.env`.
    Env(String),
    /// A file that holds it and nothing else.
    File(PathBuf),
}

/// Time-outs of one deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Clone or fetch.
    pub fetch: Duration,
    /// Builds and pulls of images.
    pub build: Duration,
    /// Starting containers, dependencies included.
    pub apply: Duration,
    /// How long started containers without a health check must stay up; not a limit but a wait.
    pub settle: Duration,
    /// How long all of the project is watched on after a success, beside the next deployments; zero = not at all.
    pub watch: Duration,
}

/// The time-outs that one repository sets for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeoutOverrides {
    /// In place of [`Timeouts::fetch`]; `None`: that holds.
    pub fetch: Option<Duration>,
    /// In place of [`Timeouts::build`]; `None`: that holds.
    pub build: Option<Duration>,
    /// In place of [`Timeouts::apply`]; `None`: that holds.
    pub apply: Option<Duration>,
    /// In place of [`Timeouts::settle`]; `None`: that holds.
    pub settle: Option<Duration>,
    /// In place of [`Timeouts::watch`]; `None`: that holds.
    pub watch: Option<Duration>,
}

impl TimeoutOverrides {
    /// These where set, the daemon's elsewhere.
    pub fn over(&self, daemon: &Timeouts) -> Timeouts {
        let Self { fetch, build, apply, settle, watch } = *self;
        Timeouts {
            fetch: fetch.unwrap_or(daemon.fetch),
            build: build.unwrap_or(daemon.build),
            apply: apply.unwrap_or(daemon.apply),
            settle: settle.unwrap_or(daemon.settle),
            watch: watch.unwrap_or(daemon.watch),
        }
    }
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathState {
    /// A directory; here with symbolic links resolved.
    Directory(PathBuf),
    /// A file, a device or a socket.
    NotADirectory,
    /// Nothing lies there.
    Missing {
        /// The directory above exists.
        parent_exists: bool,
        /// The path with symbolic links resolved as far as it exists.
        real: PathBuf,
    },
    /// It cannot be told, for this reason.
    Unreadable(String),
    /// Its file system does not answer.
    Silent,
}

/// Answers what lies at a path; how [`parse`] stays free of the file system.
pub type LookAt<'a> = &'a dyn Fn(&Path) -> PathState;
