//! What is looked for in a JSON text, and what was found of it.

/// Bytes of a wanted value that are kept; a longer one is [`Value::Long`].
pub const LONGEST: usize = 4096;
/// Names that lead from the outermost object to a value.
pub type Path = &'static [&'static str];

/// What stands at a wanted place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The word `null`.
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A string of at most [`LONGEST`] bytes.
    Text(String),
    /// A string of more than [`LONGEST`] bytes.
    Long,
    /// A number, whatever it is: nothing asks for one.
    Number,
    /// A list; what is in it stands at places of its own.
    List,
    /// An object; what is in it stands at places of its own.
    Object,
}

/// A wanted value that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The first one there.
    pub value: Value,
    /// Another one stands at the same place.
    pub twice: bool,
    /// All of it was read.
    pub complete: bool,
}

/// Why a text is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The text is not UTF-8.
    Encoding,
    /// Not JSON, from this place on; both count from 1, columns in bytes.
    Syntax {
        /// Line breaks before it, and one.
        line: u64,
        /// Bytes before it in its line, and one.
        column: u64,
    },
    /// More than [`super::json::DEEPEST`] brackets are open.
    Depth,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Whether the text is one object.
    pub object: bool,
    /// The places that were looked at.
    pub wanted: Vec<Path>,
    /// The wanted values, in the order of their places.
    pub found: Vec<Option<Found>>,
}
