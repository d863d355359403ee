//! What to bring up to date, from where, and what came of it.

use std::{path::PathBuf, time::Duration};

use turnout_report::redact::Secret;

/// What one fetch may bring unless `max_fetch` says otherwise: 4 GiB, more than nearly every repository has, and less than a
/// server that never ends needs to fill a disk.
pub const MAX_FETCH: u64 = 4 << 30;

/// What one check-out may write unless `max_checkout` says otherwise: 16 GiB. Content is packed to a quarter as a rule; that a
/// pack of a few megabytes unpacks to more is no repository but an attack on the disk.
pub const MAX_CHECKOUT: u64 = 16 << 30;

/// A work tree and the branch it follows.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Where the work tree lies.
    pub path: PathBuf,
    /// Where to fetch from; none: the remote `origin` of the work tree.
    pub url: Option<String>,
    /// The branch to follow; none: the branch that is checked out, and for a clone the remote's default branch.
    pub branch: Option<String>,
    /// How to prove who we are and who they are.
    pub auth: GitAuth,
    /// What to do when the work tree has commits that the remote branch does not have.
    pub on_divergence: Divergence,
    /// Time for the whole update, from the first packet to the last file.
    pub timeout: Duration,
    /// Time without a single byte from the server after which it counts as dead.
    pub stall: Duration,
    /// Pause after the first failure that may pass, before it is tried again; each further one is twice as long.
    pub pause: Duration,
    /// Whether submodules follow too, at all depths.
    pub submodules: bool,
    /// Hosts that submodules may lie on besides that of the repository itself; `*` is any.
    pub submodule_hosts: Vec<String>,
    /// Bytes that one fetch may bring, at most; 0: no limit. The list of branches and the server's messages may have
    /// small parts of it.
    pub most_bytes: u64,
    /// Bytes that one check-out may write, at most; 0: no limit.
    pub most_written: u64,
    /// Bytes that a check-out leaves free on the file system, for those who share it; 0: none.
    pub spare: u64,
    /// What to do with files that must pass through a program.
    pub filters: Filters,
    /// Files of the server's own, from the top of the work tree: a commit that brings one is refused while git does not
    /// track what is there, also if it is ignored, unless that is what an earlier commit had there; one that takes it out
    /// leaves it where `deployed` has it, or it was changed here.
    pub own_files: Vec<PathBuf>,
    /// The last commit with which a deployment succeeded. What no such commit had is nothing that anything here lives on.
    pub deployed: Option<String>,
}

impl Remote {
    /// A work tree that follows its own `origin`, with the default limits: ten minutes in all, one minute of silence.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            url: None,
            branch: None,
            auth: GitAuth::default(),
            on_divergence: Divergence::Refuse,
            timeout: Duration::from_secs(600),
            stall: Duration::from_secs(60),
            pause: Duration::from_secs(1),
            submodules: true,
            submodule_hosts: Vec::new(),
            most_bytes: MAX_FETCH,
            most_written: MAX_CHECKOUT,
            spare: 0,
            filters: Filters::Refuse,
            own_files: Vec::new(),
            deployed: None,
        }
    }
}

/// Keys and tokens. Nothing here is shown by `Debug`.
#[derive(Debug, Clone, Default)]
pub struct GitAuth {
    /// The private key for SSH; none: the agent (`SSH_AUTH_SOCK`), then the usual files in `~/.ssh`.
    pub ssh_key: Option<PathBuf>,
    /// The key's passphrase, where it has one.
    pub ssh_passphrase: Option<Secret>,
    /// Host keys that are trusted; none: `~/.ssh/known_hosts`, then `/etc/ssh/ssh_known_hosts`.
    pub known_hosts: Option<PathBuf>,
    /// A token or password for HTTPS. Sent to the configured host only.
    pub token: Option<Secret>,
    /// The user name that goes with the token; none: the one in the URL, else `x-access-token`.
    pub token_user: Option<String>,
    /// Whether a credential helper from the git configuration may be started. It is a program, so: not by default.
    pub credential_helper: bool,
}

/// What to do with files that pass through a program on their way between git and the work tree (`filter=` in
/// `.gitattributes`, `filter.<name>.…` in git's configuration). Git LFS needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filters {
    /// Refuse them by name, before anything is written.
    #[default]
    Refuse,
    /// Run the programs that git's configuration names.
    Run,
}

/// What to do with commits in the work tree that the remote branch does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Divergence {
    /// Change nothing and say so.
    #[default]
    Refuse,
    /// Take the remote's state; local commits, and local changes that stand in the way, are given up.
    Reset,
    /// Put local commits on top of the remote's.
    Rebase,
}

/// How the work tree came to its new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// It was absent and has been cloned.
    Cloned,
    /// There was nothing new. `ahead` counts local commits that the remote does not have.
    UpToDate {
        /// Local commits on top.
        ahead: usize,
    },
    /// The remote branch was ahead by this many commits.
    FastForwarded {
        /// How many it was ahead.
        commits: usize,
    },
    /// Another branch (or no branch) was checked out before.
    Switched {
        /// The former branch, or its short commit.
        from: String,
    },
    /// One commit was asked for: no branch is checked out any more.
    Detached {
        /// The branch that was left, or the short commit.
        from: String,
    },
    /// Local commits were given up for the remote's state.
    Reset {
        /// How many commits were given up.
        dropped: usize,
    },
    /// Local commits were put on top of the remote's.
    Rebased {
        /// How many commits stand on top now.
        commits: usize,
    },
}

/// The outcome of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The commit that was checked out before, in hex; none after a clone.
    pub old: Option<String>,
    /// The commit that is checked out now, in hex.
    pub new: String,
    /// The tip of the remote branch, in hex. Differs from `new` where local commits stand on top.
    pub remote_tip: String,
    /// The branch that is checked out now.
    pub branch: String,
    /// How it got there.
    pub moved: Moved,
}

impl Updated {
    /// Whether the work tree has another commit than before.
    pub fn changed(&self) -> bool {
        self.old.as_deref() != Some(self.new.as_str())
    }
}
