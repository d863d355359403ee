//! Mistakes in what the user said: where, and what would be right.

use std::fmt;

/// How many are told; a generated file could hold any number.
const MOST: usize = 50;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `switch.services.db`, `services.db.x-turnout.order`.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// All of them, in the order of reading; never empty as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// Adds one; beyond the bound they are counted no further.
    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>) {
        if self.0.len() < MOST {
            self.0.push(Mistake { path: path.to_owned(), message: message.into() });
        }
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
