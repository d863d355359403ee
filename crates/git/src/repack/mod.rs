//! Joins the many small packs that many small fetches leave, as `git gc --auto` would.
//!
//! Every fetch of libgit2 leaves one pack. A year of pushes is thousands, and everything that looks for an object asks
//! them all. Here their entries are copied into one pack as they are: no object is dropped, whether anything leads to it
//! or not, none is compressed anew, and memory does not grow with them. So nothing has to be known of branches, logs,
//! other work trees or the edge of a shallow clone, and nothing is ever lost that `git gc` would have kept; what is
//! unreachable is left to the next `git gc` of somebody's own.
//!
//! At every instant a crash leaves a whole repository: the new pack is checked by libgit2's indexer in a folder of its own,
//! written to disk, and moved in before the first old one goes.

mod hold;
mod join;
mod loose;
mod nursery;
mod pack;
mod work;

use std::time::Instant;

use git2::{Config, Repository};

use self::{
    pack::Pack,
    work::{MOST_BYTES, MOST_OBJECTS, PATIENCE, Work},
};
use super::session::Session;
use turnout_report::{Event, counted};

/// Packs and loose objects from which on git itself repacks (`gc.autoPackLimit`, `gc.auto`).
const PACKS: i64 = 50;
const LOOSE: i64 = 6700;
/// Joins packs, and packs loose objects, if there are as many as git itself would repack at. What goes wrong is told and
/// harms nothing: the update is done.
pub(super) fn when_due(repo: &Repository, session: &Session) {
    match attempt(repo, session) {
        Ok(None) => {}
        Ok(Some(text)) => session.tell(Event::Info { text }),
        // The update must end, or the time is up: another day.
        Err(_) if session.stop.is_cancelled() => {}
        Err(reason) => {
            let path = session.remote.path.display();
            let text = format!("the objects of {path} were not repacked ({reason}); git -C {path} gc does it by hand");
            session.tell(Event::Warning { text });
        }
    }
}

fn attempt(repo: &Repository, session: &Session) -> Result<Option<String>, String> {
    let config = repo.config().and_then(|mut config| config.snapshot()).map_err(|error| error.message().to_owned())?;
    let limits = Limits::of(&config);
    let objects = repo.commondir().join("objects");
    let (packs, loose) = (pack::eligible(&objects.join("pack"))?, loose::estimate(&objects));
    let (many_packs, many_loose) =
        (limits.packs.is_some_and(|most| packs.len() > most), limits.loose.is_some_and(|most| loose > most));
    if !(many_packs || many_loose) {
        return Ok(None);
    }
    let Some(_hold) = hold::take(repo.commondir())? else { return Ok(None) };
    let work = Work { session, objects, until: Instant::now() + PATIENCE };
    nursery::sweep(&work.objects);
    let mut told = Vec::new();
    if many_packs {
        let joined = join::join(repo, &work, choose(packs))?;
        told.extend(joined.map(|count| format!("joined {} into one", counted(count, "pack"))));
    }
    if many_loose {
        let packed = loose::pack(repo, &work)?;
        told.extend((packed > 0).then(|| format!("packed {}", counted(packed, "loose object"))));
    }
    Ok((!told.is_empty()).then(|| told.join("; ")))
}

/// From how many on; none: never.
struct Limits {
    packs: Option<usize>,
    loose: Option<usize>,
}

impl Limits {
    /// As git reads them: zero packs is no limit, and `gc.auto = 0` turns all of it off.
    fn of(config: &Config) -> Self {
        let positive = |key: &str, otherwise: i64| {
            usize::try_from(config.get_i64(key).unwrap_or(otherwise)).ok().filter(|number| *number > 0)
        };
        let loose = positive("gc.auto", LOOSE);
        Self { packs: loose.and_then(|_| positive("gc.autopacklimit", PACKS)), loose }
    }
}

/// The smallest ones, within the limits of one joining.
fn choose(mut packs: Vec<Pack>) -> Vec<Pack> {
    packs.sort_by_key(|pack| pack.size);
    let (mut bytes, mut objects) = (0u64, 0usize);
    packs.retain(|pack| {
        bytes = bytes.saturating_add(pack.size);
        objects = objects.saturating_add(pack.about_objects());
        bytes <= MOST_BYTES && objects <= MOST_OBJECTS
    });
    packs
}
