//! The gate: paths that a commit or a Compose file chose become bytes here, and nowhere else.
//!
//! Only regular files are read, from where the project's [`Reach`] allows, with a bound in bytes ([`Kind`]) and in time
//! ([`blocking`]). See docs/adr/0013-one-gate-for-files.md.

mod folder;
mod gate;
mod kind;
mod owner;
mod reach;
mod refusal;
#[cfg(test)]
mod tests;
mod waited;
mod watch;
mod way;

pub use folder::Folder;
pub use gate::Opened;
pub use kind::Kind;
pub use owner::{anothers, give_to_owner_above, let_in, make_folder, owner, rights, this_user, user};
pub use reach::{Reach, Repository};
pub use refusal::{Refusal, hint};
pub use waited::{begun, beside_the_runtime, waited};
pub use watch::{Lost, Watch, at, blocking, blocking_for};
