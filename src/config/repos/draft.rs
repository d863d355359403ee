//! One entry as written: every field optional, every single value checked, nothing compared with anything else yet.

use std::path::PathBuf;

use super::{
    TimeoutOverrides, TokenSource,
    choices::{Builder, Divergence, Filters, Orphans, OutsidePaths, Rebuild},
    mounted::MountedChanges,
    switching::Switching,
};
use crate::yaml::Pos;

/// A value and where it stood.
pub(super) type Placed<T> = Option<(T, Pos)>;

/// The fields of one entry, or of `defaults:`.
#[derive(Default, Clone)]
pub(super) struct Draft {
    pub(super) path: Placed<PathBuf>,
    pub(super) remote: Option<String>,
    /// The key stands there, be its value one or not.
    pub(super) remote_given: bool,
    pub(super) branch: Option<String>,
    pub(super) project: Placed<String>,
    pub(super) full_name: Placed<String>,
    pub(super) compose_files: Option<Vec<String>>,
    pub(super) env_file: Option<String>,
    pub(super) profiles: Option<Vec<String>>,
    pub(super) triggers: Option<Vec<String>>,
    pub(super) rebuild: Option<Rebuild>,
    pub(super) on_divergence: Option<Divergence>,
    pub(super) timeouts: TimeoutOverrides,
    pub(super) ssh_key: Option<PathBuf>,
    pub(super) known_hosts: Option<PathBuf>,
    pub(super) token: Option<TokenSource>,
    pub(super) submodules: Option<bool>,
    pub(super) submodule_hosts: Option<Vec<String>>,
    pub(super) max_fetch: Option<u64>,
    pub(super) max_checkout: Option<u64>,
    pub(super) credential_helper: Option<bool>,
    pub(super) filters: Option<Filters>,
    pub(super) outside_paths: Option<OutsidePaths>,
    pub(super) builder: Option<Builder>,
    pub(super) on_mounted_change: Option<MountedChanges>,
    pub(super) orphans: Option<Orphans>,
    pub(super) keep_images: Option<usize>,
    pub(super) min_free_disk: Option<u64>,
    pub(super) secret: Option<TokenSource>,
    pub(super) switch: Option<Switching>,
}
