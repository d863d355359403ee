//! Who is to be told.

use futures_util::future::BoxFuture;

use super::Outcome;
use crate::store::{Gap, Journaled, Letter};

/// Somebody outside who is told what happens: a page, a forge, a chat. None is shipped yet.
pub trait Destination: Send + Sync + 'static {
    /// Its name; the same over restarts, for letters and the place in the journal are kept under it.
    fn name(&self) -> &str;

    /// What it is to be told of an event, if anything. Redacted, as everything that leaves; at most
    /// [`LETTER_BYTES`](crate::store::LETTER_BYTES).
    fn letter(&self, event: &Journaled) -> Option<String>;

    /// What it is to be told where events were forgotten before they could be considered, if anything.
    fn missed(&self, gap: Gap) -> Option<String>;

    /// Sends a letter. It may come more than once with the same number; an attempt may be given up at any time.
    fn deliver<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Outcome>;
}
