//! The secrets that are looked for, in all their forms (as written, base64, lines of longer texts), within bounds.
//!
//! A repository chooses its secrets, so their number and size are not ours. Those of the daemon stay for good. Those of
//! a project, which are registered anew each time it is read, make room in the order in which they were last seen; of
//! those that were seen together the ones that were named first stay. Base64 forms, ten times as large as the texts,
//! have a bound of their own. Both bounds are for each project: none takes the room of another.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use super::{
    cut_texts::{self, SHORTEST_PIECE},
    mask::{MOST_OF_PROJECT, SHORTEST_SECRET},
    needles::Needles,
    views::{View, views},
};

/// Bytes of their base64 forms. Each byte of these and of the texts costs up to 24 bytes of memory.
const MOST_ENCODED: usize = 512 << 10;
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
    /// Which one it was of those that were registered together.
    place: usize,
}

impl Registered {
    /// Registers texts. Whether there is a new one among them.
    pub(super) fn add<'s>(&mut self, secrets: impl Iterator<Item = &'s str>, for_good: bool) -> bool {
        self.round += 1;
        let mut new = false;
        for (place, secret) in secrets.filter(|secret| secret.len() >= SHORTEST_SECRET).enumerate() {
            match self.secrets.get_mut(secret) {
                Some(seen) => {
                    if seen.round != self.round {
                        (seen.round, seen.place) = (self.round, place);
                    }
                    seen.for_good |= for_good;
                }
                None => {
                    self.secrets.insert(secret.to_owned(), Seen { for_good, round: self.round, place });
                    new = true;
                }
            }
        }
        new
    }

    /// What finds them; forgets those that there is no room for.
    pub(super) fn finder(&mut self) -> Finder {
        let mut order: Vec<(&String, Seen)> = self.secrets.iter().map(|(secret, seen)| (secret, *seen)).collect();
        order.sort_by_key(|(secret, seen)| (!seen.for_good, u64::MAX - seen.round, seen.place, *secret));
        let (mut plain, mut encoded) = (0, 0);
        let mut needles: Vec<Vec<u8>> = Vec::new();
        let mut forms: Vec<Vec<u8>> = Vec::new();
        let mut forgotten = Vec::new();
        for (secret, seen) in order {
            let texts = texts(secret);
            let size: usize = texts.iter().map(|text| text.len()).sum();
            if !seen.for_good {
                if plain + size > MOST_OF_PROJECT {
                    forgotten.push(secret.clone());
                    continue;
                }
                plain += size;
            }
            for text in texts {
                let of_text = encoded_forms(text);
                let size = of_text.iter().map(Vec::len).sum::<usize>();
                if seen.for_good || encoded + size <= MOST_ENCODED {
                    encoded += size;
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
        needles.append(&mut forms);
        Finder { needles: found, backwards: OnceLock::new(), texts: needles, blanks }
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
    /// The same, each from its end to its beginning. Made when a text comes whose beginning was cut off.
    backwards: OnceLock<Needles>,
    texts: Vec<Vec<u8>>,
    /// Some have a blank, which forms write as `+`.
    blanks: bool,
}

/// The text with `mask` in the place of everything that one of them finds. `None` where nothing is.
pub(super) fn mask(finders: &[Arc<Finder>], text: &str, mask: &str) -> Option<String> {
    let found = find(finders, text);
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

/// Whether one of them finds anything.
pub(super) fn finds(finders: &[Arc<Finder>], text: &str) -> bool {
    !find(finders, text).is_empty()
}

/// Ranges between characters, in order and apart from each other.
fn find(finders: &[Arc<Finder>], text: &str) -> Vec<(usize, usize)> {
    let finders: Vec<&Finder> = finders.iter().map(Arc::as_ref).filter(|finder| !finder.needles.is_empty()).collect();
    let mut found = Vec::new();
    if finders.is_empty() {
        return found;
    }
    let views = views(text, finders.iter().any(|finder| finder.blanks));
    for finder in finders {
        let mut plain = Vec::new();
        finder.needles.cover(text.as_bytes(), &mut plain);
        found.append(&mut plain);
        found.extend(finder.find_pieces(text.as_bytes()));
        for view in &views {
            found.extend(finder.find_in(view));
        }
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
    if found.len() > 1 {
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

impl Finder {
    fn find_in(&self, view: &View) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        self.needles.cover(&view.bytes, &mut found);
        found.extend(self.find_pieces(&view.bytes));
        found.into_iter().filter_map(|range| view.place(range)).collect()
    }

    /// Pieces of registered texts, where the text was cut.
    fn find_pieces(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut found = self.needles.begun(text, &cut_texts::ends(text), SHORTEST_PIECE);
        let begins = cut_texts::begins(text);
        if !begins.is_empty() {
            let backwards = self.backwards.get_or_init(|| {
                let reversed: Vec<Vec<u8>> = self.texts.iter().map(|text| reversed(text)).collect();
                Needles::new(reversed.iter().map(Vec::as_slice))
            });
            let (text, length) = (reversed(text), text.len());
            let cuts: Vec<usize> = begins.iter().rev().map(|at| length - at).collect();
            // Of a long text more than the piece that is known by its states.
            let mut pieces = Vec::new();
            backwards.cover(&text, &mut pieces);
            pieces.extend(backwards.begun(&text, &cuts, SHORTEST_PIECE));
            found.extend(pieces.into_iter().map(|(from, to)| (length - to, length - from)));
        }
        found
    }
}

fn reversed(text: &[u8]) -> Vec<u8> {
    text.iter().rev().copied().collect()
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
        // As many of sixteen bytes as there is room for.
        let many: Vec<String> = (0..MOST_OF_PROJECT / 16 + 10).map(|number| format!("{number:016}")).collect();
        assert!(registered.add(many.iter().map(String::as_str), false));
        let last = ["of a new project"];
        assert!(registered.add(last.into_iter(), false));
        let finder = [Arc::new(registered.finder())];
        assert!(finds(&finder, "of the daemon") && finds(&finder, last[0]) && !finds(&finder, "of an old project"));
        assert_eq!(registered.secrets.len(), 1 + MOST_OF_PROJECT / 16);
        // What was named first stays.
        assert!(finds(&finder, &many[0]) && !finds(&finder, &many[many.len() - 1]));
        // Forgotten, so it is new again.
        assert!(registered.add(["of an old project"].into_iter(), false));
    }

    #[test]
    fn what_is_too_long_takes_nothing_with_it() {
        let mut registered = Registered::default();
        let long = "0123456789abcdef".repeat(MOST_OF_PROJECT / 16 + 1);
        registered.add(["named first", &long, "named last", "named first"].into_iter(), false);
        let finder = [Arc::new(registered.finder())];
        assert!(finds(&finder, "named first") && finds(&finder, "named last") && !finds(&finder, &long));
    }
}
