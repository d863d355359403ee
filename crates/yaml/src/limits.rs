//! How much a text may be and mean.

/// How much a text may be and mean.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of text.
    pub max_bytes: usize,
    /// Nesting, aliases expanded. Everything that walks a tree recurses this deep.
    pub max_depth: usize,
    /// Nodes of all documents together, aliases expanded, anchored subtrees counted twice.
    pub max_nodes: usize,
    /// Bytes of all texts and keys together, counted as the nodes are.
    pub max_text: usize,
    /// Whether a value that an alias brings to a path, and again below it, is refused, as Compose does.
    pub refuse_apparent_cycles: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_bytes: 8 << 20,
            max_depth: 128,
            max_nodes: 1_000_000,
            max_text: 64 << 20,
            refuse_apparent_cycles: false,
        }
    }
}
