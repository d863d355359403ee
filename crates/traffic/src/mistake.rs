//! A mistake in a table or a message: where, and what.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bounds;

/// One mistake.
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

/// All mistakes of one text, in their order. Never empty when returned as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// One mistake.
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Mistakes {
        Mistakes(vec![Mistake::new(path, message)])
    }

    /// Adds one, if there is room for it.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        match self.0.len() {
            length if length < bounds::MISTAKES => self.0.push(Mistake::new(path, message)),
            length if length == bounds::MISTAKES => {
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

/// A word of the text as an error quotes it: on one line, and not long.
pub(crate) fn quoted(word: &str) -> String {
    // A digest fits.
    const LONGEST: usize = 64;
    let mut shown: String = word.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if word.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
