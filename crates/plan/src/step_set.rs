//! A set of steps, a bit each: a plan of thousands of steps with millions of edges is gone through in a moment.

use super::StepId;

/// Some steps of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StepSet(Vec<u64>);

/// Where a step's bit is.
fn place(id: StepId) -> (usize, u64) {
    (id / 64, 1 << (id % 64))
}

impl StepSet {
    pub fn insert(&mut self, id: StepId) {
        let (word, bit) = place(id);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    pub fn contains(&self, id: StepId) -> bool {
        let (word, bit) = place(id);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Whether a step is in both.
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(own, theirs)| own & theirs != 0)
    }

    pub fn extend(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(own, theirs)| *own |= theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_in() {
        let (mut low, mut high) = (StepSet::default(), StepSet::default());
        [0, 63].into_iter().for_each(|id| low.insert(id));
        [64, 200].into_iter().for_each(|id| high.insert(id));
        assert!(!low.meets(&high) && low.meets(&low.clone()));
        low.extend(&high);
        assert!(low.meets(&high) && high.meets(&low));
        high.extend(&StepSet::default());
        assert_eq!((0..300).filter(|id| low.contains(*id)).collect::<Vec<_>>(), [0, 63, 64, 200]);
        assert_eq!((0..300).filter(|id| high.contains(*id)).collect::<Vec<_>>(), [64, 200]);
        // A bit each, or plans of thousands of steps would need gigabytes.
        assert_eq!((low.0.len(), high.0.len()), (4, 4));
    }
}
