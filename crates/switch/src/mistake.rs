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
    /// Adds one, if there is room for it; that there are more is said once.
    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>) {
        let (path, message) = match self.0.len() {
            length if length < MOST => (path.to_owned(), message.into()),
            length if length == MOST => {
                ("switch".to_owned(), "there are further mistakes, which are not told".to_owned())
            }
            _ => return,
        };
        self.0.push(Mistake { path, message });
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
    fn that_there_are_more_than_are_told_is_said_once() {
        let mut mistakes = Mistakes::default();
        (0..MOST + 9).for_each(|number| mistakes.add("switch.bake", format!("{number}")));
        assert_eq!(mistakes.0.len(), MOST + 1);
        assert!(mistakes.to_string().ends_with("further mistakes, which are not told"), "{mistakes}");
    }
}
