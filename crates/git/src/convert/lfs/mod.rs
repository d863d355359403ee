//! Git LFS without its program: pointers, the objects that are here, and the batch API for those that are not.

mod batch;
mod fetch;
mod http;
mod lack;
pub(crate) mod pointer;
mod server;
mod ssh;
pub(crate) mod store;

use git2::{Config, Repository};

pub(super) use self::lack::Lack;
use self::store::Store;
use crate::{address::Address, session::Session};

/// What is known of one repository that uses Git LFS, to fetch its objects (`fetch`).
pub(super) struct Lfs {
    pub(super) store: Store,
    config: Config,
    /// `.lfsconfig` of the tree.
    lfsconfig: Option<Vec<u8>>,
    remote: Option<Address>,
    /// The address that the token is for.
    main: Option<Address>,
}

impl Lfs {
    pub(super) fn new(repo: &Repository, config: Config, lfsconfig: Option<Vec<u8>>, session: &Session) -> Self {
        let origin = |repo: &Repository| {
            let remote = repo.find_remote("origin").ok()?;
            Address::parse(remote.url().ok()?).ok()
        };
        let configured = session.remote.url.as_deref().and_then(|url| Address::parse(url).ok());
        let main = configured.or_else(|| origin(&Repository::open(&session.remote.path).ok()?));
        let remote = if is_main(repo, session) { main.clone() } else { origin(repo) };
        Self { store: Store::of(repo, &config), config, lfsconfig, remote, main }
    }
}

/// Whether it is the repository that the session is about, and not one of its submodules. While it is cloned, beside its
/// place, that place is empty.
fn is_main(repo: &Repository, session: &Session) -> bool {
    let place = &session.remote.path;
    let real = |path: &std::path::Path| path.canonicalize().ok();
    let is_empty = std::fs::read_dir(place).map_or(true, |mut entries| entries.next().is_none());
    is_empty || repo.workdir().and_then(real) == real(place)
}
