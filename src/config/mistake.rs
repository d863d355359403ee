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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_reads_as_one_line() {
        let pos = Pos { file: "repos.yaml".into(), line: 3, column: 5 };
        let mistake = Mistake::new(Place::At(pos), "shop.pth", "unknown key").hint("did you mean `path`?");
        assert_eq!(mistake.to_string(), "repos.yaml:3:5: shop.pth: unknown key (did you mean `path`?)");
    }
}
