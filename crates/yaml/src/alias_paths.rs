//! Where aliases stand, for a check that Compose makes: a value that is used at one path and again below that path
//! counts as a cycle there, though YAML finds nothing wrong with it.
//!
//! Paths are texts with dots between their steps, so that `labels: {a: *v, a.b: *v}` is such a case (compose-go 2.9.1,
//! `ResetProcessor.checkForCycle`). `<<` is no step, except at the top.

use std::collections::{BTreeSet, HashMap};

/// Paths longer than this are not looked at, in bytes.
const MAX_PATH: usize = 4096;

/// Bytes of paths that are remembered; those that come later are not looked at.
const MAX_BYTES: usize = 16 << 20;

const MERGE: &str = "<<";

/// The aliases of a document.
#[derive(Debug, Default)]
pub(super) struct AliasPaths {
    enabled: bool,
    /// Path of the innermost open collection.
    path: String,
    /// Length of the path, and uses known, when each open collection began.
    levels: Vec<Level>,
    /// Anchored value and path, in the order met.
    uses: Vec<(usize, String)>,
    /// Bytes of all paths in `uses`.
    bytes: usize,
    /// Paths at which an anchored value is used.
    by_anchor: HashMap<usize, BTreeSet<String>>,
    /// Aliases inside anchored values, with their paths relative to those; by the value's number.
    inside: Vec<Vec<(usize, String)>>,
}

/// What was so when a collection began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Level {
    outer: usize,
    length: usize,
    uses: usize,
}

impl AliasPaths {
    /// Remembers nothing unless `enabled`.
    pub(super) fn new(enabled: bool) -> AliasPaths {
        AliasPaths { enabled, ..AliasPaths::default() }
    }

    /// A collection begins, one step below the one before.
    pub(super) fn enter(&mut self, step: Option<&str>) {
        let outer = self.path.len();
        if let Some(step) = step.filter(|_| self.enabled && outer <= MAX_PATH) {
            push(&mut self.path, step);
        }
        self.levels.push(Level { outer, length: self.path.len(), uses: self.uses.len() });
    }

    /// The collection begun last ends.
    pub(super) fn leave(&mut self) -> Level {
        let level = self.levels.pop().unwrap_or_default();
        self.path.truncate(level.outer);
        level
    }

    /// A number for an anchored value: the collection that has just ended, or a text.
    pub(super) fn anchor(&mut self, collection: Option<&Level>) -> usize {
        if !self.enabled {
            return 0;
        }
        let uses = collection.and_then(|level| self.uses.get(level.uses..).map(|uses| (level.length, uses)));
        let inside = uses.map_or_else(Vec::new, |(length, uses)| {
            uses.iter().map(|(id, path)| (*id, path.get(length..).unwrap_or_default().to_owned())).collect()
        });
        self.bytes += inside.iter().map(|(_, path)| path.len()).sum::<usize>();
        self.inside.push(inside);
        self.inside.len() - 1
    }

    /// An alias of an anchored value stands one step below the innermost collection.
    ///
    /// # Errors
    ///
    /// The two paths, when one is below the other.
    pub(super) fn alias(&mut self, id: usize, step: Option<&str>, name: &str) -> Result<(), String> {
        if !self.enabled {
            return Ok(());
        }
        let mut path = self.path.clone();
        push(&mut path, step.unwrap_or_default());
        let inside = self.inside.get(id).cloned().unwrap_or_default();
        let all = inside.into_iter().map(|(id, rest)| (id, format!("{path}{rest}")));
        for (id, path) in std::iter::once((id, path.clone())).chain(all.collect::<Vec<_>>()) {
            if path.len() > MAX_PATH || self.bytes > MAX_BYTES {
                continue;
            }
            let known = self.by_anchor.entry(id).or_default();
            if let Some(other) = related(known, &path) {
                return Err(format!("the alias *{name} brings the same value to {path} and to {other}"));
            }
            self.bytes += 2 * path.len();
            known.insert(path.clone());
            self.uses.push((id, path));
        }
        Ok(())
    }

    /// Paths of another document have nothing to do with these.
    pub(super) fn end_document(&mut self) {
        self.by_anchor.clear();
        self.uses.clear();
    }
}

fn push(path: &mut String, step: &str) {
    if path.is_empty() {
        path.push_str(step);
    } else if step != MERGE {
        path.push('.');
        path.push_str(step);
    }
}

/// A known path that is above or below this one.
fn related(known: &BTreeSet<String>, path: &str) -> Option<String> {
    if path.contains(MERGE) {
        return None;
    }
    let above = path.match_indices('.').filter_map(|(at, _)| path.get(..at)).find(|above| known.contains(*above));
    if let Some(above) = above {
        return Some(above.to_owned());
    }
    let below = format!("{path}.");
    let next = known.range(below.clone()..).next()?;
    (next.starts_with(&below) && !next.contains(MERGE)).then(|| next.clone())
}

#[cfg(test)]
mod tests {
    use crate::{Limits, parse};

    #[test]
    fn values_used_at_a_path_and_below_it_are_refused() {
        let limits = Limits { refuse_apparent_cycles: true, ..Limits::default() };
        for (text, fine) in [
            ("v: &v x\na: *v\nb: *v", true),
            ("v: &v x\nm: {a: *v, a.b: *v}", false),
            ("v: &v x\nm: {a.b: *v, a: *v}", false),
            ("v: &v x\nm: {a: *v, ab: *v, b: {a: *v}}", true),
            ("v: &v {x: y}\nm: {<<: *v, b: {<<: *v}}", false),
            ("v: &v {x: y}\nm: {<<: *v, b: *v}", false),
            ("v: &v {x: y}\n<<: *v\nm: {<<: *v}", true),
            ("v: &v {x: y}\nm: [*v, *v, {<<: *v}]", true),
            ("v: &v x\nw: &w {a: *v}\nm: {n: *w, n.a.b: *v}", false),
            ("v: &v x\nm: !override {a: *v, a.b: *v}", true),
            ("v: &v x\nm: {a: *v}\n---\nm: {a.b: *v}", true),
        ] {
            let result = parse(text, "f", &limits);
            assert_eq!(result.is_ok(), fine, "{text:?}: {result:?}");
            assert!(parse(text, "f", &Limits::default()).is_ok(), "{text:?}");
        }
        let error = parse("v: &v x\nm: {a: *v, a.b: *v}", "f", &limits).unwrap_err().to_string();
        assert!(error.contains("f:2:17") && error.contains("m.a.b and to m.a"), "{error}");
    }
}
