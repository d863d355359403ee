//! What is registered as secret, in the forms in which it is looked for, within bounds.
//!
//! A repository chooses its secrets, so their number and size are not ours. Those of the daemon stay for good. Those of
//! projects, which are registered anew each time a project is read, make room in the order in which they were last
//! seen, of one project the longest first (its lines are registered one by one). Base64 forms, ten times as large as
//! the texts, have a bound of their own.

use std::collections::HashMap;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use super::{
    needles::Needles,
    redact::SHORTEST_SECRET,
    views::{View, views},
};

/// Bytes of texts that are looked for, all together, beside the daemon's.
const MOST_PLAIN: usize = 1 << 20;
/// Bytes of their base64 forms.
const MOST_ENCODED: usize = 1 << 20;
/// Shorter lines of a text of several lines are not registered by themselves.
const SHORTEST_LINE: usize = 8;

/// Everything that was registered.
#[derive(Default)]
pub(super) struct Registered {
    secrets: HashMap<String, Seen>,
    round: u64,
}

#[derive(Clone, Copy)]
struct Seen {
    for_good: bool,
    round: u64,
}

impl Registered {
    /// Registers texts. Whether there is a new one among them.
    pub(super) fn add<'s>(&mut self, secrets: impl Iterator<Item = &'s str>, for_good: bool) -> bool {
        self.round += 1;
        let mut new = false;
        for secret in secrets.filter(|secret| secret.len() >= SHORTEST_SECRET) {
            match self.secrets.get_mut(secret) {
                Some(seen) => {
                    seen.round = self.round;
                    seen.for_good |= for_good;
                }
                None => {
                    self.secrets.insert(secret.to_owned(), Seen { for_good, round: self.round });
                    new = true;
                }
            }
        }
        new
    }

    /// What finds them; forgets those that there is no room for.
    pub(super) fn finder(&mut self) -> Finder {
        let mut order: Vec<(&String, Seen)> = self.secrets.iter().map(|(secret, seen)| (secret, *seen)).collect();
        order.sort_by_key(|(secret, seen)| (!seen.for_good, u64::MAX - seen.round, secret.len(), *secret));
        let (mut plain, mut encoded) = (0, 0);
        let mut needles: Vec<Vec<u8>> = Vec::new();
        let mut forms: Vec<Vec<u8>> = Vec::new();
        let mut forgotten = Vec::new();
        for (secret, seen) in order {
            let texts = texts(secret);
            let size: usize = texts.iter().map(|text| text.len()).sum();
            if !seen.for_good {
                plain += size;
                if plain > MOST_PLAIN {
                    forgotten.push(secret.clone());
                    continue;
                }
            }
            for text in texts {
                let of_text = encoded_forms(text);
                encoded += of_text.iter().map(Vec::len).sum::<usize>();
                if seen.for_good || encoded <= MOST_ENCODED {
                    forms.extend(of_text);
                }
                needles.push(text.as_bytes().to_vec());
            }
        }
        let blanks = needles.iter().any(|needle| needle.contains(&b' '));
        let found = Needles::new(needles.iter().chain(&forms).map(Vec::as_slice));
        for secret in forgotten {
            self.secrets.remove(&secret);
        }
        Finder { needles: found, blanks }
    }
}

/// The text, without blanks around it, and where it has several, its lines. Armour lines of keys are no secret.
fn texts(secret: &str) -> Vec<&str> {
    let mut texts = vec![secret, secret.trim()];
    if secret.trim().contains('\n') {
        let lines = secret.lines().map(str::trim);
        texts.extend(lines.filter(|line| line.len() >= SHORTEST_LINE && !line.starts_with("-----")));
    }
    texts.retain(|text| text.len() >= SHORTEST_SECRET);
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// The base64 of a text, alone and as part of something longer, as in the `user:token` of basic authentication: each of
/// the three ways in which it can lie on the three-byte groups, without the characters that depend on neighbours.
fn encoded_forms(text: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for shift in 0..3_usize {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(text.as_bytes());
        let (from, to) = ((shift * 8).div_ceil(6), bytes.len() * 8 / 6);
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let whole = engine.encode(&bytes).into_bytes();
            forms.extend(whole.get(from..to).map(<[u8]>::to_vec));
            if shift == 0 {
                forms.push(whole);
            }
        }
    }
    forms.retain(|form| form.len() >= SHORTEST_SECRET);
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// Finds what was registered.
#[derive(Default)]
pub(super) struct Finder {
    needles: Needles,
    /// Some have a blank, which forms write as `+`.
    blanks: bool,
}

impl Finder {
    /// The text with `mask` in the place of everything that is found. `None` where nothing is.
    pub(super) fn mask(&self, text: &str, mask: &str) -> Option<String> {
        let found = self.find(text);
        if found.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for (from, to) in found {
            out.push_str(text.get(copied..from).unwrap_or_default());
            out.push_str(mask);
            copied = to;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Some(out)
    }

    /// Whether anything is found.
    pub(super) fn finds(&self, text: &str) -> bool {
        !self.find(text).is_empty()
    }

    /// Ranges between characters, in order and apart from each other.
    fn find(&self, text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        if self.needles.is_empty() {
            return found;
        }
        self.needles.cover(text.as_bytes(), &mut found);
        let plain = found.len();
        for view in views(text, self.blanks) {
            found.extend(self.find_in(&view));
        }
        // A base64 form or a long text may end inside a character of what only looks like it.
        for (from, to) in &mut found {
            while !text.is_char_boundary(*from) {
                *from -= 1;
            }
            while !text.is_char_boundary(*to) {
                *to += 1;
            }
        }
        if found.len() > plain || plain > 1 {
            found.sort_unstable();
            found.dedup_by(|next, before| {
                let joined = next.0 <= before.1;
                if joined {
                    before.1 = before.1.max(next.1);
                }
                joined
            });
        }
        found
    }

    fn find_in(&self, view: &View) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        self.needles.cover(&view.bytes, &mut found);
        found.into_iter().filter_map(|range| view.place(range)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_stay_and_projects_make_room() {
        let mut registered = Registered::default();
        assert!(registered.add(["of the daemon"].into_iter(), true));
        assert!(registered.add(["of an old project"].into_iter(), false));
        assert!(!registered.add(["of the daemon", "abc"].into_iter(), false));
        let many: Vec<String> = (0..40).map(|number| format!("{number:05}").repeat(8_000)).collect();
        assert!(registered.add(many.iter().map(String::as_str), false));
        let last = ["of a new project"];
        assert!(registered.add(last.into_iter(), false));
        let finder = registered.finder();
        assert!(finder.finds("of the daemon") && finder.finds(last[0]) && !finder.finds("of an old project"));
        assert_eq!(registered.secrets.len(), 2 + MOST_PLAIN / 40_000);
        // Forgotten, so it is new again.
        assert!(registered.add(["of an old project"].into_iter(), false));
    }
}
