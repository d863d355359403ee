//! Brings a work tree to the state of its remote branch, with libgit2 and without a `git` program.
//!
//! The way of an [`update`]: lock the repository, clone it if it is absent, otherwise fetch the branch, then move the
//! work tree forward without touching what somebody changed there by hand. Nothing is moved before everything that
//! the move needs has arrived.
//!
//! libgit2 blocks and has no safe way to bound a silent peer. So it runs on a thread of its own and reaches the
//! network only through a relay on the loopback interface ([`relay`]) that belongs to this process: the relay ends the
//! connection when the peer stalls, when the time is up or when the deployment is cancelled, and the blocked call
//! returns.

mod address;
mod advance;
mod again;
mod arrived;
mod auth;
mod branch;
mod budget;
mod by_hand;
mod checkout;
mod clone;
mod convert;
mod detached;
mod error;
mod gitlinks;
mod ini;
mod key_file;
mod known_hosts;
mod lock;
mod modules;
mod objects;
mod open;
mod pin;
mod preview;
mod reach;
mod read;
mod rebase;
mod relay;
mod remote;
mod repack;
mod session;
mod short;
mod stage;
mod stale;
mod submodule;
mod tracked;
mod transfer;
mod traps;
mod update;

/// The version of libgit2, which is compiled in.
pub fn libgit2_version() -> String {
    let (major, minor, patch) = git2::Version::get().libgit2_version();
    format!("{major}.{minor}.{patch}")
}

pub use address::Address;
pub use auth::{foreseen, foreseen_by_others};
pub use by_hand::check_out;
pub use clone::{Abandoned, abandoned_clones};
pub use detached::LEFT_BRANCH;
pub use error::GitError;
pub use gitlinks::{LeftOut, Reason, left_out};
pub use pin::pin;
pub use preview::{Preview, preview};
pub use reach::{Known, Reach, beyond, known, reach};
pub use read::{
    Change, ChangedFile, Head, LogEntry, branch_tip, changed_by_hand, changed_files, changed_in_work_tree,
    followed_tip, head, is_tracked, remote_address, short_log,
};
pub use remote::{Divergence, Filters, GitAuth, MAX_CHECKOUT, MAX_FETCH, Moved, Remote, Updated};
pub use short::short;
pub use stage::Stage;
pub use submodule::foreign as foreign_submodules;
pub use tracked::{CommittedLinks, committed_links, tracked_files};
pub use update::update;
