//! Mistakes in what somebody wrote, where all of them are told at once: each with its path inside the text.
//!
//! For texts that arrive as JSON trees, in which nobody knows lines any more (`switch:`, a route table, a message of the
//! control socket). Settings and `repos.yaml` have mistakes of their own, with file, line and hint (`config`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many are told of one text, which may be a generated one and hold any number; of more there is one that says so.
pub const MISTAKES: usize = 50;

/// What is wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// The path inside the text (`repositories.shop.routes[0].listen`); empty where it concerns the whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Mistake {
    /// A mistake at a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Mistake {
        Mistake { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// All mistakes of one text, in the order of reading. Never empty when returned as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// A single mistake, where reading could not go on.
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Mistakes {
        Mistakes(vec![Mistake::new(path, message)])
    }

    /// Adds one, if there is room for it; that there are more is said once.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        match self.0.len() {
            length if length < MISTAKES => self.0.push(Mistake::new(path, message)),
            length if length == MISTAKES => {
                self.0.push(Mistake::new("", "there are further mistakes, which are not told"));
            }
            _ => {}
        }
    }

    /// `value` if there was no mistake.
    ///
    /// # Errors
    /// All of them.
    pub fn unless_any<T>(self, value: T) -> Result<T, Mistakes> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
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
    fn they_are_told_one_after_the_other() {
        let mut mistakes = Mistakes::one("", "is no mapping");
        mistakes.add("routes[0].listen", "is 0; a port is wanted");
        assert_eq!(mistakes.to_string(), "is no mapping; routes[0].listen: is 0; a port is wanted");
        assert_eq!(mistakes.clone().unless_any(1), Err(mistakes));
        assert_eq!(Mistakes::default().unless_any(1), Ok(1));
    }

    #[test]
    fn that_there_are_more_than_are_told_is_said_once() {
        let mut mistakes = Mistakes::default();
        (0..MISTAKES + 9).for_each(|number| mistakes.add("switch.bake", format!("{number}")));
        assert_eq!(mistakes.0.len(), MISTAKES + 1);
        assert!(mistakes.to_string().ends_with("; there are further mistakes, which are not told"), "{mistakes}");
    }
}
