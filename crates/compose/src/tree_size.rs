//! How large a tree is: what bounds of a load are counted in.

use turnout_yaml::{Node, Value};

/// Values in a tree, and bytes of its texts and keys.
pub(super) fn size(node: &Node) -> (usize, usize) {
    let add = |(nodes, bytes): (usize, usize), (more, longer): (usize, usize)| (nodes + more, bytes + longer);
    match &node.value {
        Value::Str(text) => (1, text.len()),
        Value::Seq(items) => items.iter().map(size).fold((1, 0), add),
        Value::Map(map) => map.iter().map(|(key, entry)| add(size(&entry.node), (1, key.len()))).fold((1, 0), add),
        _ => (1, 0),
    }
}
