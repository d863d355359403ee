//! Mistakes in a table or a message, and how a text is quoted in one.

pub use turnout_report::{MISTAKES, Mistake, Mistakes};

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
