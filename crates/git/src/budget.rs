//! How much a server may send for one fetch. What it sends is kept in memory or on the disk, and a server, or who stands
//! between, can send without end.

use std::sync::{Mutex, PoisonError};

use super::error::GitError;

/// The list of branches and tags, which libgit2 keeps in memory, may have this part of the whole, and at least so much.
const LIST: (u64, u64) = (64, 1024 * 1024);
/// What the server says for people to read, likewise.
const MESSAGES: (u64, u64) = (4096, 64 * 1024);

/// What is being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The list of branches and tags.
    List,
    /// Messages beside the objects.
    Messages,
    /// The objects, with all that goes with them.
    Pack,
}

impl Part {
    /// In bytes, where the whole may have `most`; 0 is no limit.
    pub(super) fn limit(self, most: u64) -> u64 {
        let share = |(part, least): (u64, u64)| (most / part).max(least);
        match self {
            _ if most == 0 => u64::MAX,
            Self::List => share(LIST),
            Self::Messages => share(MESSAGES),
            Self::Pack => most,
        }
    }

    /// That the limit was passed.
    pub(super) fn exceeded(self, peer: &str, limit: u64) -> GitError {
        let what = match self {
            Self::List => "the list of its branches and tags",
            Self::Messages => "messages beside the objects",
            Self::Pack => "the objects of one fetch",
        };
        GitError::TooMuch { peer: peer.to_owned(), what, limit }
    }
}

/// Counts what arrives.
#[derive(Debug)]
pub(super) struct Budget(Mutex<Guarded>);

#[derive(Debug)]
struct Guarded {
    part: Part,
    limit: u64,
    taken: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(Guarded { part: Part::Pack, limit: u64::MAX, taken: 0 }))
    }
}

impl Budget {
    /// From now on this part arrives, in so many bytes at most.
    pub(super) fn begin(&self, part: Part, limit: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Guarded { part, limit, taken: 0 };
    }

    /// Counts bytes that have arrived.
    ///
    /// # Errors
    /// When they are too many.
    pub(super) fn take(&self, bytes: usize, peer: &str) -> Result<(), GitError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken = state.taken.saturating_add(bytes as u64);
        if state.taken > state.limit { Err(state.part.exceeded(peer, state.limit)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_their_shares() {
        let table = [(4 << 30, 64 << 20, 1 << 20), (1 << 20, 1 << 20, 64 << 10), (0, u64::MAX, u64::MAX)];
        for (most, list, messages) in table {
            assert_eq!((Part::List.limit(most), Part::Messages.limit(most)), (list, messages), "{most}");
        }
        assert_eq!((Part::Pack.limit(5), Part::Pack.limit(0)), (5, u64::MAX));
    }

    #[test]
    fn the_last_byte_counts() {
        let budget = Budget::default();
        assert!(budget.take(usize::MAX, "h:1").is_ok());
        budget.begin(Part::List, 10);
        assert!(budget.take(10, "h:1").is_ok());
        let error = budget.take(1, "h:1").unwrap_err().to_string();
        assert!(error.contains("h:1") && error.contains("10 B") && error.contains("branches and tags"), "{error}");
        budget.begin(Part::Pack, 1);
        assert!(budget.take(1, "h:1").is_ok());
    }
}
