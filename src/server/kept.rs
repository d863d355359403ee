//! Keeps unproven bodies while it is not known yet whose secret they are signed with: until the repository is
//! named. Bounded all together; the largest goes first when there is too much, so that small deliveries pass beside it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Bytes of each body that do not count: nearly all forges name the repository within them.
pub const FREE: usize = 64 << 10;
/// Bytes that are kept in one place. A piece may be a small part of a large buffer, or one of a million of one byte: each by
/// itself would cost more than what is counted.
const BLOCK: usize = 64 << 10;

/// The budget of all bodies.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    held: Mutex<Held>,
    next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Held {
    /// Bytes beyond the free ones, all together.
    counted: usize,
    bodies: BTreeMap<usize, Body>,
}

#[derive(Debug, Default)]
struct Body {
    size: usize,
    blocks: Vec<Vec<u8>>,
}

/// What is kept of one body; given back when dropped.
#[derive(Debug)]
pub struct Kept {
    budget: Arc<Budget>,
    number: usize,
}

impl Budget {
    /// Room for so many bytes beyond the free ones.
    pub fn new(most: usize) -> Arc<Budget> {
        Arc::new(Budget { most, held: Mutex::default(), next: AtomicUsize::new(0) })
    }

    /// Begins to keep a body.
    pub fn keep(self: &Arc<Self>) -> Kept {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.with(|held| held.bodies.insert(number, Body::default()));
        Kept { budget: Arc::clone(self), number }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn forget(&mut self, number: usize) -> Option<Body> {
        let body = self.bodies.remove(&number)?;
        self.counted -= body.size.saturating_sub(FREE);
        Some(body)
    }
}

impl Body {
    fn append(&mut self, mut piece: &[u8]) {
        self.size += piece.len();
        while !piece.is_empty() {
            let room = self.blocks.last().map_or(0, |last| BLOCK - last.len());
            let (now, later) = piece.split_at(piece.len().min(if room == 0 { BLOCK } else { room }));
            match self.blocks.last_mut().filter(|_| room > 0) {
                Some(last) => last.extend_from_slice(now),
                None => self.blocks.push(now.to_vec()),
            }
            piece = later;
        }
    }
}

impl Kept {
    /// Keeps one piece more. False where this body had to be given up, now or before.
    pub fn push(&self, piece: &[u8]) -> bool {
        self.budget.with(|held| {
            let Some(body) = held.bodies.get_mut(&self.number) else { return false };
            let before = body.size.saturating_sub(FREE);
            body.append(piece);
            held.counted += body.size.saturating_sub(FREE) - before;
            while held.counted > self.budget.most {
                let largest = held.bodies.iter().max_by_key(|(_, body)| body.size).map(|(number, _)| *number);
                let Some(largest) = largest else { break };
                held.forget(largest);
            }
            held.bodies.contains_key(&self.number)
        })
    }

    /// All that has come, in order. `None` where the body was given up.
    pub fn take(self) -> Option<Vec<Vec<u8>>> {
        self.budget.with(|held| held.forget(self.number)).map(|body| body.blocks)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.with(|held| held.forget(self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_one_goes_first_and_all_is_given_back() {
        let budget = Budget::new(100_000);
        let piece = vec![b'x'; 50_000];
        let (large, small, other) = (budget.keep(), budget.keep(), budget.keep());
        assert!(large.push(&piece) && large.push(&piece) && large.push(&piece));
        assert!(small.push(&piece));
        assert!(other.push(&piece) && other.push(&piece) && other.push(&piece));
        assert!(!large.push(&piece), "it was given up");
        assert!(large.take().is_none());
        assert_eq!(small.take().map(|pieces| pieces.concat().len()), Some(50_000));
        drop(other);
        budget.with(|held| assert_eq!((held.counted, held.bodies.len()), (0, 0)));
        let alone = budget.keep();
        assert!(alone.push(&piece) && alone.push(&piece) && alone.push(&piece));
        assert!(!alone.push(&piece), "too much for the budget by itself");
    }

    #[test]
    fn a_million_pieces_of_a_byte_take_no_more_than_one_of_a_million() {
        let budget = Budget::new(2 << 20);
        let kept = budget.keep();
        let text: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
        assert!(text.chunks(1).all(|piece| kept.push(piece)));
        assert!(kept.push(&text), "one that is larger than a block");
        let blocks = kept.take().unwrap();
        assert!(blocks.concat() == [text.clone(), text].concat(), "in order");
        assert_eq!(blocks.len(), (2 << 20) / BLOCK);
        assert!(blocks.iter().all(|block| block.capacity() <= BLOCK), "no block is larger than is said");
    }
}
