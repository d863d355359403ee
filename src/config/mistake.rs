//! A mistake in a configuration: what, where, and what to do about it.

use std::fmt;

use crate::yaml::Pos;

/// Where a mistake stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file, at a line and column.
    At(Pos),
    /// In a file as a whole, or at a line without a column: `turnout.env:3`.
    File(String),
    /// In a setting, named by where it was given: `--listen`, `TURNOUT_LISTEN`.
    Source(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::At(pos) => write!(f, "{}:{}:{}", pos.file, pos.line, pos.column),
            Place::File(text) | Place::Source(text) => f.write_str(text),
        }
    }
}

/// One mistake in `repos.yaml` or a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// The path inside the document (`repos.shop.timeouts.build`); empty where there is none.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Mistake {
    /// A mistake without a hint; see [`Mistake::hint`].
    pub fn new(place: Place, path: impl Into<String>, message: impl Into<String>) -> Mistake {
        Mistake { place, path: path.into(), message: message.into(), hint: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Mistake {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

/// All mistakes of one reading, in the order of their places. Never empty when returned as an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// A list with nothing else in it.
    pub fn one(mistake: Mistake) -> Mistakes {
        Mistakes(vec![mistake])
    }

    /// `value` if there was no mistake, else all of them.
    pub fn unless_any<T>(self, value: T) -> Result<T, Mistakes> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The candidate nearest to `word`, if near enough to be a slip of the finger. For hints.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase().replace('-', "_")), candidate))
        .min()
        .filter(|(steps, candidate)| *steps <= 1 + candidate.len() / 4)
        .map(|(_, candidate)| candidate)
}

/// Edit distance in which a swap of two neighbours counts as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    let at = |rows: &Vec<Vec<usize>>, i: usize, j: usize| rows.get(i).and_then(|r| r.get(j)).copied().unwrap_or(0);
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let steps = if i == 0 || j == 0 {
                i + j
            } else {
                let same = a.get(i - 1) == b.get(j - 1);
                let mut best = (at(&rows, i - 1, j) + 1)
                    .min(at(&rows, i, j - 1) + 1)
                    .min(at(&rows, i - 1, j - 1) + usize::from(!same));
                if i > 1 && j > 1 && a.get(i - 1) == b.get(j - 2) && a.get(i - 2) == b.get(j - 1) {
                    best = best.min(at(&rows, i - 2, j - 2) + 1);
                }
                best
            };
            if let Some(cell) = rows.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = steps;
            }
        }
    }
    at(&rows, a.len(), b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_slips_and_nothing_else() {
        let keys = ["path", "branch", "on_divergence", "compose_files"];
        for (word, expected) in [
            ("pth", Some("path")),
            ("paht", Some("path")),
            ("brnach", Some("branch")),
            ("on-divergence", Some("on_divergence")),
            ("compose_file", Some("compose_files")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }

    #[test]
    fn a_mistake_reads_as_one_line() {
        let pos = Pos { file: "repos.yaml".into(), line: 3, column: 5 };
        let mistake = Mistake::new(Place::At(pos), "shop.pth", "unknown key").hint("did you mean `path`?");
        assert_eq!(mistake.to_string(), "repos.yaml:3:5: shop.pth: unknown key (did you mean `path`?)");
    }
}
