//! Finds registered texts: one pass over what is searched, however many there are and whatever they look like.
//!
//! Aho and Corasick's automaton in its plain form. The crate of that name is not used here: it lists at each state all
//! texts that end there, which texts that end in one another make quadratic, and finds texts that overlap one after the
//! other. What is wanted is less: at each place the longest text that ends there, so that all of them together are
//! covered. Time is linear in what is built and in what is searched.

use std::collections::VecDeque;

/// Of a longer text so many bytes are states of the automaton; the rest is compared where those were found.
pub(super) const HEAD: usize = 512;

/// See the module.
#[derive(Default)]
pub(super) struct Needles {
    nodes: Vec<Node>,
    /// The first byte's node, by the byte; 0 is none.
    first: Vec<u32>,
    rests: Vec<Vec<u8>>,
}

/// A beginning of registered texts. Node 0 is the empty one.
#[derive(Clone, Copy, Default)]
struct Node {
    /// The longest other beginning that this one ends in.
    fall: u32,
    child: u32,
    sibling: u32,
    /// Bytes of the longest text that ends here; 0 is none.
    longest: u32,
    /// One more than the place in `rests` of what must follow of a long text; 0 is nothing.
    rest: u32,
    /// Bytes of the beginning itself, at most [`HEAD`].
    depth: u16,
    byte: u8,
}

impl Needles {
    /// Builds it. Empty texts are left out.
    pub(super) fn new<'n>(texts: impl Iterator<Item = &'n [u8]>) -> Needles {
        let mut needles = Needles { nodes: vec![Node::default()], first: vec![0; 256], rests: Vec::new() };
        for text in texts.filter(|text| !text.is_empty()) {
            needles.insert(text);
        }
        needles.nodes.shrink_to_fit();
        needles.link();
        needles
    }

    /// Whether there is nothing to find.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() <= 1
    }

    /// The ranges that registered texts cover, in order and apart from each other.
    pub(super) fn cover(&self, text: &[u8], covered: &mut Vec<(usize, usize)>) {
        if self.is_empty() {
            return;
        }
        let mut state = 0;
        let mut compared = 0;
        for (at, byte) in text.iter().enumerate() {
            state = self.step(state, *byte);
            let Node { longest, rest, .. } = self.node(state);
            if longest == 0 {
                continue;
            }
            let (from, mut to) = ((at + 1).saturating_sub(longest as usize), at + 1);
            // What was compared already is not compared again: a text may follow upon itself at each byte.
            if rest != 0 && to >= compared {
                let rest = self.rests.get(rest as usize - 1).map(Vec::as_slice).unwrap_or_default();
                let same = rest.iter().zip(text.get(to..).unwrap_or_default()).take_while(|(a, b)| a == b).count();
                to += same;
                compared = to;
            }
            add(covered, from, to);
        }
    }

    /// Of a text that was cut off at these places, in order: the ranges that end there and are the beginning of a
    /// registered text, of `least` bytes or more.
    pub(super) fn begun(&self, text: &[u8], cuts: &[usize], least: usize) -> Vec<(usize, usize)> {
        let mut begun = Vec::new();
        if self.is_empty() {
            return begun;
        }
        let (mut state, mut from) = (0, 0);
        for cut in cuts {
            for byte in text.get(from..*cut).unwrap_or_default() {
                state = self.step(state, *byte);
            }
            from = *cut;
            let depth = usize::from(self.node(state).depth);
            if depth >= least {
                begun.push((cut.saturating_sub(depth), *cut));
            }
        }
        begun
    }

    fn insert(&mut self, text: &[u8]) {
        let (head, rest) = text.split_at(text.len().min(HEAD));
        let mut state = 0;
        for byte in head {
            state = match self.child(state, *byte) {
                0 => self.grow(state, *byte),
                child => child,
            };
        }
        let known = self.node(state).rest as usize;
        let mut place = known;
        if !rest.is_empty() {
            match known.checked_sub(1).and_then(|known| self.rests.get_mut(known)) {
                // Two long texts begin alike: as much as they share follows, and then it is one of them anyway.
                Some(other) if other.len() < rest.len() => *other = rest.to_vec(),
                Some(_) => {}
                None => {
                    self.rests.push(rest.to_vec());
                    place = self.rests.len();
                }
            }
        }
        if let Some(node) = self.nodes.get_mut(state as usize) {
            node.longest = u32::try_from(head.len()).unwrap_or(u32::MAX);
            node.rest = u32::try_from(place).unwrap_or(0);
        }
    }

    fn grow(&mut self, state: u32, byte: u8) -> u32 {
        let Ok(new) = u32::try_from(self.nodes.len()) else { return 0 };
        let Node { child, depth, .. } = self.node(state);
        let sibling = if state == 0 { 0 } else { child };
        self.nodes.push(Node { byte, sibling, depth: depth + 1, ..Node::default() });
        if state == 0 {
            if let Some(first) = self.first.get_mut(usize::from(byte)) {
                *first = new;
            }
        } else if let Some(node) = self.nodes.get_mut(state as usize) {
            node.child = new;
        }
        new
    }

    /// Shorter beginnings first, so that those that are fallen back to are done.
    fn link(&mut self) {
        let mut waiting: VecDeque<u32> = self.first.iter().copied().filter(|state| *state != 0).collect();
        while let Some(state) = waiting.pop_front() {
            let fall = self.node(state).fall;
            let mut child = self.node(state).child;
            while child != 0 {
                let Node { byte, sibling, .. } = self.node(child);
                let to = self.step(fall, byte);
                let ends = self.node(to);
                if let Some(node) = self.nodes.get_mut(child as usize) {
                    node.fall = to;
                    if node.longest == 0 {
                        (node.longest, node.rest) = (ends.longest, ends.rest);
                    }
                }
                waiting.push_back(child);
                child = sibling;
            }
        }
    }

    fn node(&self, state: u32) -> Node {
        self.nodes.get(state as usize).copied().unwrap_or_default()
    }

    fn child(&self, state: u32, byte: u8) -> u32 {
        if state == 0 {
            return self.first.get(usize::from(byte)).copied().unwrap_or(0);
        }
        let mut child = self.node(state).child;
        while child != 0 {
            let node = self.node(child);
            if node.byte == byte {
                return child;
            }
            child = node.sibling;
        }
        0
    }

    fn step(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            let child = self.child(state, byte);
            if child != 0 || state == 0 {
                return child;
            }
            state = self.node(state).fall;
        }
    }
}

/// Adds a range that ends behind all others, and joins those that it touches.
fn add(covered: &mut Vec<(usize, usize)>, mut from: usize, mut to: usize) {
    while let Some((before, end)) = covered.last().copied().filter(|(_, end)| *end >= from) {
        from = from.min(before);
        to = to.max(end);
        covered.pop();
    }
    covered.push((from, to));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cover(texts: &[&str], text: &str) -> Vec<(usize, usize)> {
        let mut covered = Vec::new();
        Needles::new(texts.iter().map(|text| text.as_bytes())).cover(text.as_bytes(), &mut covered);
        covered
    }

    #[test]
    fn overlapping_texts_are_covered_together() {
        assert_eq!(cover(&["abcd", "cdef"], "xabcdefx"), [(1, 7)]);
        assert_eq!(cover(&["abcd", "bc"], "abcbc"), [(1, 5)]);
        assert_eq!(cover(&["aa"], "aaaxa"), [(0, 3)]);
        assert_eq!(cover(&[], "abc"), []);
    }

    #[test]
    fn a_long_text_is_covered_as_far_as_it_goes() {
        let long = "0123456789".repeat(100);
        assert_eq!(cover(&[&long], &format!("x{long}x")), [(1, 1001)]);
        assert_eq!(cover(&[&long], &format!("x{}x", &long[..700])), [(1, 701)]);
        assert_eq!(cover(&[&long], &long[..500]), []);
        let other = format!("{}!", &long[..600]);
        assert_eq!(cover(&[&long, &other], &format!("{other}x{long}")).len(), 2);
    }

    #[test]
    fn what_was_cut_off_is_found_by_its_beginning() {
        let needles = Needles::new(["abcdef", "cdxyz"].iter().map(|text| text.as_bytes()));
        assert_eq!(needles.begun(b"-abcd-abc-abcde", &[5, 9, 15], 3), [(1, 5), (6, 9), (10, 15)]);
        assert_eq!(needles.begun(b"-abcd-ab", &[5, 8], 3), [(1, 5)]);
        // The longest beginning counts, whichever text it is of.
        assert_eq!(needles.begun(b"abcdx", &[5], 3), [(2, 5)]);
        assert_eq!(Needles::default().begun(b"abcd", &[4], 1), []);
    }

    proptest! {
        #[test]
        fn as_searching_one_by_one(
            texts in prop::collection::vec("[ab]{1,5}", 0..6),
            text in "[abc]{0,40}",
        ) {
            let mut expected = vec![false; text.len()];
            for needle in &texts {
                for from in 0..text.len() {
                    if text[from..].starts_with(needle.as_str()) {
                        expected[from..from + needle.len()].fill(true);
                    }
                }
            }
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mut found = vec![false; text.len()];
            for (from, to) in cover(&texts, &text) {
                found[from..to].fill(true);
            }
            prop_assert_eq!(found, expected);
        }
    }
}
