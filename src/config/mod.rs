//! Settings and `repos.yaml`: raw text -> validated values, every mistake reported at once.
//!
//! [`settings`] and [`repos`] are pure over given text; [`gather`] and [`live`] are the edge to the disk.

pub mod dotenv;
pub mod gather;
pub mod live;
mod live_secret;
mod look;
pub mod mistake;
pub mod reference;
mod repo_list;
pub mod repos;
pub mod settings;
mod stamp;
mod table;
pub mod takes;
mod turn;
pub use crate::report::units;

pub use crate::report::redact::Secret;
pub use gather::{gather, gather_all, load_repos};
pub use live::LiveRepos;
pub use live_secret::LiveSecret;
pub use look::Broken;
pub use mistake::{Mistake, Mistakes, Place};
pub use repo_list::RepoList;
pub use repos::{
    Builder, Divergence, Filters, MOUNTED_CHANGES, MountedChange, MountedChanges, Orphans, OutsidePaths, PathState,
    Rebuild, Repo, Repos, TimeoutOverrides, Timeouts, TokenSource,
};
pub use settings::{Layers, LogFormat, Settings};
pub use table::{DEFAULT_LISTEN, Setting, SettingsArgs, TABLE};
pub use takes::Takes;
pub use turn::LATELY;
