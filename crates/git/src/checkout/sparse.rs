//! Sparse checkouts: which paths the work tree is to hold (git-sparse-checkout(1), "Internals").

use std::collections::BTreeSet;

use gix_glob::{Pattern, pattern::Case, wildmatch};

use super::node::{Name, parents, split};

/// The sparse set of a work tree.
#[derive(Debug)]
pub(super) struct Sparse {
    rules: Rules,
    /// Whether a file that is there although it is left out counts as left out (`sparse.expectFilesOutsideOfPatterns`).
    pub(super) expects_files_outside: bool,
}

#[derive(Debug)]
enum Rules {
    /// Whole folders, and the files directly in the folders above them.
    Cone { everything: bool, whole: BTreeSet<Name>, direct: BTreeSet<Name> },
    /// As in `.gitignore`, but what matches is taken.
    Patterns(Vec<Pattern>),
}

impl Sparse {
    /// Reads the text of `info/sparse-checkout`. With `cone`, patterns that are none of a cone make it a list of ordinary
    /// ones, as in git.
    pub(super) fn parse(text: &[u8], cone: bool, expects_files_outside: bool) -> Self {
        let lines: Vec<&[u8]> = text
            .split(|byte| *byte == b'\n')
            .map(|line| trimmed(line.strip_suffix(b"\r").unwrap_or(line)))
            .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
            .collect();
        let rules = if cone { in_cone(&lines) } else { None };
        let rules = rules
            .unwrap_or_else(|| Rules::Patterns(lines.iter().filter_map(|line| Pattern::from_bytes(line)).collect()));
        Self { rules, expects_files_outside }
    }

    /// Whether the work tree is to hold a path. A submodule counts as a folder.
    pub(super) fn holds(&self, name: &[u8], is_module: bool) -> bool {
        match &self.rules {
            Rules::Cone { everything, whole, direct } => {
                let (folder, _) = split(name);
                *everything
                    || folder.is_empty()
                    || whole.contains(name)
                    || direct.contains(folder)
                    || parents(name).any(|above| whole.contains(above))
            }
            // The innermost of the path and its folders that a pattern speaks of.
            Rules::Patterns(patterns) => {
                let above: Vec<&[u8]> = parents(name).collect();
                decided(patterns, name, is_module)
                    .or_else(|| above.iter().rev().find_map(|folder| decided(patterns, folder, true)))
                    .unwrap_or(false)
            }
        }
    }
}

fn decided(patterns: &[Pattern], name: &[u8], is_folder: bool) -> Option<bool> {
    let base = name.iter().rposition(|byte| *byte == b'/').map(|at| at + 1);
    let mode = wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
    let fits = |pattern: &&Pattern| {
        pattern.matches_repo_relative_path(name.into(), base, Some(is_folder), Case::Sensitive, mode)
    };
    patterns.iter().rev().find(fits).map(|pattern| !pattern.is_negative())
}

/// Without spaces at the end, unless the first of them is escaped.
fn trimmed(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
    let escapes = line.iter().take(end).rev().take_while(|byte| **byte == b'\\').count();
    let end = if escapes % 2 == 1 && end < line.len() { end + 1 } else { end };
    line.get(..end).unwrap_or(line)
}

/// As `add_pattern_to_hashsets` in git's `dir.c`; none where a line is no pattern of a cone.
fn in_cone(lines: &[&[u8]]) -> Option<Rules> {
    let (mut everything, mut whole, mut direct) = (false, BTreeSet::new(), BTreeSet::new());
    for line in lines {
        match *line {
            b"/*" => everything = true,
            b"!/*/" => everything = false,
            line => {
                let (negative, rest) = match line.strip_prefix(b"!") {
                    Some(rest) => (true, rest),
                    None => (false, line),
                };
                let inner = rest.strip_prefix(b"/")?.strip_suffix(b"/")?;
                match inner.strip_suffix(b"/*") {
                    Some(folder) if negative => {
                        let folder = unescaped(folder)?;
                        if !whole.remove(&folder) {
                            return None;
                        }
                        direct.insert(folder);
                    }
                    None if !negative => {
                        let folder = unescaped(inner)?;
                        if folder.is_empty() || direct.contains(&folder) {
                            return None;
                        }
                        whole.insert(folder);
                    }
                    _ => return None,
                }
            }
        }
    }
    Some(Rules::Cone { everything, whole, direct })
}

/// A literal name; none where it has a wildcard.
fn unescaped(text: &[u8]) -> Option<Name> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return None,
            b'\\' => match bytes.next() {
                Some(next @ (b'*' | b'?' | b'[' | b'\\')) => out.push(next),
                _ => return None,
            },
            byte => out.push(byte),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, cone: bool, table: &[(&str, bool)]) {
        let sparse = Sparse::parse(text.as_bytes(), cone, false);
        for (name, expected) in table {
            assert_eq!(sparse.holds(name.as_bytes(), false), *expected, "{name} of {text:?}, cone {cone}");
        }
    }

    #[test]
    fn patterns_choose_by_the_innermost_that_speaks() {
        check("/*\n!/docs/\n", false, &[("a", true), ("docs/x", false), ("src/docs/x", true)]);
        check("/*\n!docs/\n/docs/keep\n", false, &[("docs/x", false), ("docs/keep", true), ("src/docs/x", false)]);
        check("# none\n\n*.txt  \n", false, &[("a.txt", true), ("d/b.txt", true), ("d/b.md", false)]);
        check("/src/**/deep/*\r\n", false, &[("src/a/b/deep/x", true), ("src/x", false)]);
        check("", false, &[("a", false)]);
        check("a\\ \n\\!b\n", false, &[("a ", true), ("!b", true), ("a", false)]);
    }

    #[test]
    fn cones_hold_folders_and_the_files_above_them() {
        let text = "/*\n!/*/\n/a/\n!/a/*/\n/a/b/\n/odd\\*/\n";
        check(
            text,
            true,
            &[("top", true), ("a/x", true), ("a/c/x", false), ("a/b/x", true), ("a/b/c/d/x", true), ("z/x", false)],
        );
        check(text, true, &[("odd*/x", true), ("odder/x", false)]);
        check("/*\n", true, &[("a/b/c", true)]);
        // Not a cone: taken as ordinary patterns.
        check("/*\n!/docs/\n", true, &[("docs/x", false), ("src/x", true)]);
        check("*.txt\n", true, &[("a/b.txt", true), ("a/b", false)]);
    }
}
