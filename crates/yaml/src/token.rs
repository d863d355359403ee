//! The tokens into which a text is divided, before its structure is looked at.

use super::reader::Mark;

/// A token and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub mark: Mark,
}

/// Kinds of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// `%YAML 1.1`
    Version { major: u32, minor: u32 },
    /// `%TAG !x! prefix`
    TagPrefix { handle: String, prefix: String },
    /// `---`
    DocumentStart,
    /// `...`
    DocumentEnd,
    /// The end of the text.
    StreamEnd,
    /// A list by indentation begins.
    BlockSequence,
    /// A mapping by indentation begins.
    BlockMapping,
    /// A list or mapping by indentation ends.
    BlockEnd,
    /// `[` or `{`
    FlowStart(Flow),
    /// `]` or `}`
    FlowEnd(Flow),
    /// `,`
    FlowEntry,
    /// `-`
    BlockEntry,
    /// `?`, or where it could stand.
    Key,
    /// `:`
    Value,
    /// `*name`
    Alias(String),
    /// `&name`
    Anchor(String),
    /// `!handle!suffix`; an empty handle means that the suffix is the whole tag.
    Tag { handle: String, suffix: String },
    /// A scalar; `plain`: without quotes, so that it may be a number.
    Scalar { text: String, plain: bool },
}

/// Brackets or braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Sequence,
    Mapping,
}

/// Why a text is not YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub mark: Mark,
    pub message: &'static str,
}

impl Fault {
    /// A fault at a place.
    pub(super) fn new(mark: Mark, message: &'static str) -> Fault {
        Fault { mark, message }
    }
}
