//! Places: where attributes of the typed project stood in the files.

use turnout_yaml::{Node, Pos};

use crate::error::LoadError;

/// Finds where attributes of the typed project stood in the files.
pub(super) struct Places<'a> {
    /// The merged document.
    pub(super) root: &'a Node,
}

impl Places<'_> {
    /// An error at `path` (`[0]` is an item of a list), placed at the deepest part of it that stands in a file.
    pub(super) fn error(&self, path: &[&str], message: impl Into<String>) -> LoadError {
        let mut error = LoadError::new(message).path(path.join(".").replace(".[", "["));
        if let Some(pos) = self.find(path) {
            error = error.pos(pos);
        }
        error
    }

    /// Where the deepest part of `path` stands that stands in a file.
    fn find(&self, path: &[&str]) -> Option<Pos> {
        let mut node = self.root;
        let mut pos = None;
        for key in path {
            if let Some(entry) = node.as_map().and_then(|map| map.get(*key)) {
                pos = Some(entry.key_pos.clone());
                node = &entry.node;
                continue;
            }
            let index = key.strip_prefix('[').and_then(|key| key.strip_suffix(']')).and_then(|key| key.parse().ok());
            let item = index.and_then(|index: usize| node.as_seq()?.get(index));
            let Some(item) = item else { break };
            pos = Some(item.pos.clone());
            node = item;
        }
        pos
    }
}
