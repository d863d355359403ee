//! `!reset` and `!override` (Compose specification, "Merge"): what a document removes from the ones before it.

use std::collections::BTreeSet;

use turnout_yaml::{Directive, Node, Value};

/// Paths that a document wants removed from what it is laid over.
#[derive(Debug, Clone, Default)]
pub(super) struct Resets {
    paths: BTreeSet<Vec<String>>,
}

impl Resets {
    /// Notes every directive below `root`, and removes the `!reset` nodes themselves.
    pub(super) fn take(root: &mut Node) -> Resets {
        let mut resets = Resets::default();
        resets.collect(root, &mut Vec::new());
        resets
    }

    fn collect(&mut self, node: &mut Node, path: &mut Vec<String>) {
        match &mut node.value {
            Value::Map(map) => map.retain(|key, entry| {
                path.push(key.clone());
                let keep = self.visit(&mut entry.node, path);
                path.pop();
                keep
            }),
            // Items of a list cannot be reset (Compose 2.40); a `!reset` item is only left out.
            Value::Seq(items) => items.retain_mut(|item| {
                path.push("[]".to_owned());
                let keep = self.visit(item, path);
                path.pop();
                keep
            }),
            _ => {}
        }
    }

    /// Whether the node stays.
    fn visit(&mut self, node: &mut Node, path: &mut Vec<String>) -> bool {
        match node.directive {
            Some(Directive::Reset) => {
                self.paths.insert(path.clone());
                false
            }
            Some(Directive::Override) => {
                self.paths.insert(path.clone());
                true
            }
            None => {
                self.collect(node, path);
                true
            }
        }
    }

    /// Removes the noted paths from `target`, which stands at `prefix`.
    pub(super) fn apply(&self, target: &mut Node, prefix: &[&str]) {
        let prefix: Vec<String> = prefix.iter().map(|part| (*part).to_owned()).collect();
        for path in self.paths.range(prefix.clone()..).take_while(|path| path.starts_with(&prefix)) {
            remove(target, &path[prefix.len()..]);
        }
    }
}

fn remove(node: &mut Node, path: &[String]) {
    let Value::Map(map) = &mut node.value else { return };
    match path {
        [] => {}
        // Compose matches these paths as patterns.
        [last] if last == "*" => map.clear(),
        [last] => {
            map.swap_remove(last);
        }
        [first, rest @ ..] if first == "*" => map.values_mut().for_each(|entry| remove(&mut entry.node, rest)),
        [first, rest @ ..] => {
            if let Some(entry) = map.get_mut(first) {
                remove(&mut entry.node, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{merge, same};
    use turnout_yaml::{Limits, parse};

    fn tree(text: &str) -> Node {
        parse(text, "f", &Limits::default()).unwrap().remove(0)
    }

    #[test]
    fn directives_clear_what_lies_below() {
        for (base, over, want) in [
            ("a: {b: [1], c: 2}", "a: {b: !reset null}", "a: {c: 2}"),
            ("a: {b: [1], c: 2}", "a: {b: !override [3]}", "a: {c: 2, b: [3]}"),
            ("a: {b: {x: 1}}", "a: {b: !override {y: 2}}", "a: {b: {y: 2}}"),
            ("a: {b: 1}", "a: !reset {}", "{}"),
            ("a: {b: 1, c: 2}", "a: {'*': !reset null, d: 3}", "a: {d: 3}"),
            ("a: {b: {x: 1, y: 2}}", "a: {'*': {x: !reset null}}", "a: {b: {y: 2}, '*': {}}"),
            ("a: {b: 1}", "x: &x !override {c: 2}\na: {<<: *x}", "a: {c: 2}\nx: {c: 2}"),
            ("a: {b: 1}", "a: {<<: !reset {c: 2}, d: 3}", "a: {d: 3}"),
            ("a: [1]", "a: [!reset 1, 2]", "a: [1, 2]"),
            ("a: {b: 1}", "x: &x {b: !override 2}\na: {<<: *x}", "a: {b: '2'}\nx: {b: '2'}"),
        ] {
            let (mut base, mut over) = (tree(base), tree(over));
            Resets::take(&mut over).apply(&mut base, &[]);
            let got = merge(base, over).unwrap();
            assert!(same(&got, &tree(want)), "{want}: {got:#?}");
        }
    }
}
