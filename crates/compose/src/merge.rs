//! Merges one document over another, by the rules of each attribute (compose-go `override/merge.go`).

use turnout_yaml::{Entry, Map, Node, Value};

use super::{
    error::LoadError,
    merge_rules::{Rule, rule_at},
};

/// Lays `over` over `base`.
///
/// Mappings merge, lists append, scalars are replaced, `null` leaves what is there; [`rule_at`] has the exceptions.
///
/// # Errors
///
/// Two values that cannot be combined, at their attribute.
pub(super) fn merge(base: Node, over: Node) -> Result<Node, LoadError> {
    Merger { path: Vec::new(), once: false }.node(base, over)
}

/// Lays a service over the one that it extends.
///
/// # Errors
///
/// As [`merge`].
pub(super) fn extend(name: &str, base: Node, over: Node) -> Result<Node, LoadError> {
    Merger { path: vec!["services".into(), name.into()], once: false }.node(base, over)
}

/// Lays a `pre_start` step over what it inherits from its service: like [`extend`], and what a list has already is not
/// appended again, so that a printed project reads the same.
///
/// # Errors
///
/// As [`merge`].
pub(super) fn inherit(base: Node, over: Node) -> Result<Node, LoadError> {
    let path = ["services", "step"].map(str::to_owned).to_vec();
    Merger { path, once: true }.node(base, over)
}

/// Whether two nodes say the same, wherever they stood.
pub(super) fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Seq(a), Value::Seq(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, x)| b.get(key).is_some_and(|y| same(&x.node, &y.node)))
        }
        (a, b) => a == b,
    }
}

struct Merger {
    path: Vec<String>,
    /// Whether what a list has already is not appended to it again.
    once: bool,
}

impl Merger {
    fn node(&mut self, base: Node, over: Node) -> Result<Node, LoadError> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        if let Some(rule) = rule_at(&path) {
            return self.special(rule, base, over);
        }
        if over.is_null() {
            return Ok(base);
        }
        let Node { value, pos, directive } = base;
        match (value, over.value) {
            (Value::Map(base), Value::Map(other)) => {
                Ok(Node { value: Value::Map(self.map(base, other)?), pos, directive })
            }
            (Value::Seq(mut items), Value::Seq(other)) => {
                self.append(&mut items, other);
                Ok(Node { value: Value::Seq(items), pos, directive })
            }
            (base @ (Value::Map(_) | Value::Seq(_)), other) => {
                let message = format!("cannot override {} by {}", base.kind(), other.kind());
                let hint = format!("what it would override stands at {pos}; write both alike, or use !override");
                Err(LoadError::new(message).path(self.shown()).pos(over.pos).hint(hint))
            }
            (_, value) => Ok(Node { value, ..over }),
        }
    }

    fn append(&self, items: &mut Vec<Node>, others: Vec<Node>) {
        let known = items.len();
        for item in others {
            if !(self.once && items.iter().take(known).any(|other| same(other, &item))) {
                items.push(item);
            }
        }
    }

    fn map(&mut self, mut base: Map, over: Map) -> Result<Map, LoadError> {
        for (key, entry) in over {
            let Some(slot) = base.get_mut(&key) else {
                base.insert(key, entry);
                continue;
            };
            let placeholder = Node::new(Value::Null, slot.node.pos.clone());
            let existing = std::mem::replace(&mut slot.node, placeholder);
            self.path.push(key);
            slot.node = self.node(existing, entry.node)?;
            self.path.pop();
        }
        Ok(base)
    }

    fn special(&mut self, rule: Rule, base: Node, over: Node) -> Result<Node, LoadError> {
        match rule {
            Rule::Replace => Ok(over),
            Rule::ToSequence => {
                let pos = base.pos.clone();
                let mut items = into_sequence(base);
                self.append(&mut items, into_sequence(over));
                Ok(Node::new(Value::Seq(items), pos))
            }
            Rule::ExtraHosts => {
                let pos = base.pos.clone();
                let mut items = into_sequence(base);
                let known = items.len();
                for item in into_sequence(over) {
                    if !items.iter().take(known).any(|other| same(other, &item)) {
                        items.push(item);
                    }
                }
                Ok(Node::new(Value::Seq(items), pos))
            }
            Rule::Build => {
                let (base, over) = (context_form(base), context_form(over));
                self.mappings(base, over)
            }
            Rule::DependsOn => {
                let (base, over) = (self.mapping_form(base, true)?, self.mapping_form(over, true)?);
                self.mappings(base, over)
            }
            Rule::NullMapping => {
                let (base, over) = (self.mapping_form(base, false)?, self.mapping_form(over, false)?);
                self.mappings(base, over)
            }
            Rule::Logging if over.is_null() || base.is_null() => {
                Err(LoadError::new("must be a mapping in every file that names it, not null")
                    .path(self.shown())
                    .pos(over.pos)
                    .hint("leave logging out to keep what is there, or remove it with !reset"))
            }
            Rule::Logging => {
                let (a, b) = (base.get("driver"), over.get("driver"));
                let combine = match (a, b) {
                    (Some(a), Some(b)) => same(a, b),
                    _ => true,
                };
                if combine { self.mappings(base, over) } else { Ok(over) }
            }
            Rule::IpamConfig => self.ipam(base, over),
        }
    }

    /// Merges two mappings without looking at the rule of this very path; `null` leaves the other, two make an empty
    /// mapping.
    fn mappings(&mut self, base: Node, over: Node) -> Result<Node, LoadError> {
        if over.is_null() && base.is_null() {
            return Ok(Node { value: Value::Map(Map::new()), ..base });
        }
        if over.is_null() {
            return Ok(base);
        }
        if base.is_null() {
            return Ok(over);
        }
        let Node { value, pos, directive } = base;
        match (value, over.value) {
            (Value::Map(base), Value::Map(other)) => {
                Ok(Node { value: Value::Map(self.map(base, other)?), pos, directive })
            }
            (base, other) => {
                let message = format!("cannot override {} by {}", base.kind(), other.kind());
                Err(LoadError::new(message).path(self.shown()).pos(over.pos).hint("both must be mappings"))
            }
        }
    }

    /// A list of names as a mapping.
    fn mapping_form(&self, node: Node, dependency: bool) -> Result<Node, LoadError> {
        let Value::Seq(items) = node.value else { return Ok(node) };
        let mut map = Map::new();
        for item in items {
            let pos = item.pos.clone();
            let Value::Str(name) = item.value else {
                return Err(LoadError::at(self.shown(), &item, format!("{} in a list of names", item.value.kind()))
                    .hint("every item must be a string"));
            };
            let mut value = Node::new(Value::Null, pos.clone());
            if dependency {
                let entry = |value| Entry { key_pos: pos.clone(), node: Node::new(value, pos.clone()) };
                value.value = Value::Map(Map::from([
                    ("condition".to_owned(), entry(Value::Str("service_started".into()))),
                    ("required".to_owned(), entry(Value::Bool(true))),
                ]));
            }
            map.insert(name, Entry { key_pos: pos, node: value });
        }
        Ok(Node { value: Value::Map(map), pos: node.pos, directive: node.directive })
    }

    /// Pools are combined by subnet. An override with another subnet comes before the pool that it was compared with,
    /// and takes its place: that is what Compose 2.40 does.
    fn ipam(&mut self, base: Node, over: Node) -> Result<Node, LoadError> {
        let pos = base.pos.clone();
        let (Value::Seq(pools), Value::Seq(overrides)) = (base.value, over.value) else {
            return Err(LoadError::new("cannot be merged")
                .path(self.shown())
                .pos(pos)
                .hint("both must be lists of pools"));
        };
        let same_subnet = |a: &Node, b: &Node| match (a.get("subnet"), b.get("subnet")) {
            (Some(a), Some(b)) => same(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let mut merged: Vec<Node> = Vec::new();
        for pool in pools {
            let mut pool = self.mapping_form(pool, false)?;
            for over in &overrides {
                let over = self.mapping_form(over.clone(), false)?;
                if !same_subnet(&over, &pool) && !merged.iter().any(|known| same_subnet(known, &over)) {
                    merged.push(over);
                    continue;
                }
                pool = self.mappings(pool, over)?;
                match merged.iter_mut().find(|known| same_subnet(known, &pool)) {
                    Some(known) => *known = pool.clone(),
                    None => merged.push(pool.clone()),
                }
            }
        }
        Ok(Node::new(Value::Seq(merged), pos))
    }

    fn shown(&self) -> String {
        self.path.join(".")
    }
}

/// `build: dir` as `build: {context: dir}`.
fn context_form(node: Node) -> Node {
    let Value::Str(_) = node.value else { return node };
    let pos = node.pos.clone();
    let entry = Entry { key_pos: pos.clone(), node };
    Node::new(Value::Map(Map::from([("context".to_owned(), entry)])), pos)
}

/// A mapping as sorted `key=value` texts; a text as a list of itself.
fn into_sequence(node: Node) -> Vec<Node> {
    match node.value {
        Value::Seq(items) => items,
        Value::Str(_) => vec![node],
        Value::Map(map) => {
            let mut items = Vec::with_capacity(map.len());
            for (key, Entry { key_pos, node }) in map {
                match node.value {
                    Value::Null => items.push((key, key_pos)),
                    Value::Seq(values) => {
                        items.extend(values.into_iter().map(|v| (format!("{key}={}", v.value.go_text()), v.pos)));
                    }
                    value => items.push((format!("{key}={}", value.go_text()), node.pos)),
                }
            }
            items.sort_by(|a, b| a.0.cmp(&b.0));
            items.into_iter().map(|(text, pos)| Node::new(Value::Str(text), pos)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use turnout_yaml::{Limits, Pos, parse};

    fn tree(text: &str) -> Node {
        parse(text, "f", &Limits::default()).unwrap().remove(0)
    }

    fn service(text: &str) -> Node {
        tree(&format!("services: {{a: {{{text}}}}}"))
    }

    #[test]
    fn attributes_merge_by_their_rules() {
        for (base, over, want) in [
            ("image: a", "image: b", "image: b"),
            ("image: a", "image: null", "image: a"),
            ("command: [a]", "command: [b]", "command: [b]"),
            ("command: [a]", "command: null", "command: null"),
            ("entrypoint: a", "entrypoint: [b]", "entrypoint: [b]"),
            ("healthcheck: {test: [a], retries: 1}", "healthcheck: {test: b}", "healthcheck: {test: b, retries: 1}"),
            ("environment: {B: 1, A: 1.50}", "environment: [A=2]", "environment: [A=1.5, B=1, A=2]"),
            ("environment: [A]", "environment: {A: null}", "environment: [A, A]"),
            ("labels: {a: true}", "labels: {a: 'x'}", "labels: [a=true, a=x]"),
            ("ports: ['80']", "ports: ['81']", "ports: ['80', '81']"),
            ("depends_on: [x]", "depends_on: {x: {condition: y}}", "depends_on: {x: {condition: y, required: true}}"),
            ("networks: [x]", "networks: {x: {aliases: [y]}, z: null}", "networks: {x: {aliases: [y]}, z: null}"),
            ("networks: null", "networks: null", "networks: {}"),
            ("build: dir", "build: {target: t}", "build: {context: dir, target: t}"),
            ("build: {args: {A: 1}}", "build: {args: [B=2]}", "build: {args: [A=1, B=2]}"),
            (
                "logging: {driver: d, options: {a: b}}",
                "logging: {options: {c: d}}",
                "logging: {driver: d, options: {a: b, c: d}}",
            ),
            ("logging: {driver: d, options: {a: b}}", "logging: {driver: e}", "logging: {driver: e}"),
            ("ulimits: {n: {soft: 1, hard: 2}}", "ulimits: {n: 3}", "ulimits: {n: 3}"),
            ("extra_hosts: [a=1, b=2]", "extra_hosts: {a: 1, c: [3, 4]}", "extra_hosts: [a=1, b=2, c=3, c=4]"),
            ("dns: 1.1.1.1", "dns: [2.2.2.2]", "dns: [1.1.1.1, 2.2.2.2]"),
            ("tmpfs: /a", "tmpfs: /b", "tmpfs: [/a, /b]"),
        ] {
            let got = merge(service(base), service(over)).unwrap();
            assert!(same(&got, &service(want)), "{base} + {over}: {got:#?}");
        }
    }

    #[test]
    fn pools_combine_by_subnet() {
        let pools = |text: &str| tree(&format!("networks: {{n: {{ipam: {{config: {text}}}}}}}"));
        for (base, over, want) in [
            ("[{subnet: a, gateway: g}]", "[{subnet: a, ip_range: r}]", "[{subnet: a, gateway: g, ip_range: r}]"),
            ("[{subnet: a}]", "[{subnet: b}]", "[{subnet: b}]"),
        ] {
            assert!(same(&merge(pools(base), pools(over)).unwrap(), &pools(want)), "{base} + {over}");
        }
    }

    #[test]
    fn what_cannot_be_combined_is_named() {
        let error = merge(service("ports: ['80']"), service("ports: {x: y}")).unwrap_err();
        assert_eq!(error.path, "services.a.ports");
        assert!(error.to_string().contains("cannot override a list by a mapping"), "{error}");
        let error = extend("a", tree("depends_on: [[x]]"), tree("depends_on: [y]")).unwrap_err();
        assert_eq!(error.path, "services.a.depends_on");
    }

    fn any_node() -> impl Strategy<Value = Node> {
        let pos = Pos::new("f".into(), 1, 1);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            "[a-z]{0,5}".prop_map(Value::Str)
        ];
        let wrap = move |value| Node::new(value, pos.clone());
        let wrap2 = wrap.clone();
        leaf.prop_map(wrap).prop_recursive(4, 32, 4, move |inner| {
            let wrap = wrap2.clone();
            let items = prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Seq);
            let maps = prop::collection::vec(("[a-z]{1,3}", inner), 0..4).prop_map(|pairs| {
                Value::Map(pairs.into_iter().map(|(k, n)| (k, Entry { key_pos: n.pos.clone(), node: n })).collect())
            });
            prop_oneof![items, maps].prop_map(wrap)
        })
    }

    /// `x-a` of a project.
    fn beside(node: Node) -> Node {
        let pos = Pos::new("f".into(), 1, 1);
        let entry = Entry { key_pos: pos.clone(), node };
        Node::new(Value::Map(Map::from([("x-a".to_owned(), entry)])), pos)
    }

    /// What merges by rules of its own, or by none, and stays what it is when laid over itself.
    fn any_attribute() -> impl Strategy<Value = String> {
        let word = || "[a-c]{1,2}";
        let pairs = move || prop::collection::vec((word(), word()), 0..3);
        prop_oneof![
            word().prop_map(|w| format!("image: {w}")),
            prop::collection::vec(word(), 0..3).prop_map(|w| format!("command: {w:?}")),
            pairs().prop_map(|p| format!("logging: {{driver: d, options: {{{}}}}}", unique(&p, ": "))),
            pairs().prop_map(|p| format!("depends_on: [{}]", unique(&p, ""))),
            pairs().prop_map(|p| format!("networks: {{{}}}", unique(&p, ": {aliases: null}, "))),
            pairs().prop_map(|p| format!(
                "build: {{context: c, args: {{}}, x-{}: b}}",
                unique(&p, "").replace([',', ' '], "")
            )),
            pairs().prop_map(|p| format!("extra_hosts: [{}]", unique(&p, "="))),
            word().prop_map(|w| format!("healthcheck: {{test: [{w}], retries: 1}}")),
        ]
    }

    /// `a: b, c: d`, each key once; with an empty separator the keys alone.
    fn unique(pairs: &[(String, String)], separator: &str) -> String {
        let map: std::collections::BTreeMap<_, _> = pairs.iter().cloned().collect();
        let one = |(key, value): (&String, &String)| match separator {
            "" => key.clone(),
            ": {aliases: null}, " => format!("{key}: {{aliases: null}}"),
            _ => format!("{key}{separator}{value}"),
        };
        map.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    proptest! {
        #[test]
        fn the_order_of_laying_over_does_not_matter(a in any_node(), b in any_node(), c in any_node()) {
            let (a, b, c) = (beside(a), beside(b), beside(c));
            let left = merge(a.clone(), b.clone()).and_then(|ab| merge(ab, c.clone()));
            let right = merge(b, c).and_then(|bc| merge(a, bc));
            // A kind that cannot be overridden may be hidden by what lies between.
            if let (Ok(left), Ok(right)) = (left, right) {
                prop_assert!(same(&left, &right), "{left:#?}\n{right:#?}");
            }
        }

        #[test]
        fn laid_over_itself_an_attribute_stays(attribute in any_attribute()) {
            let once = merge(service(&attribute), service(&attribute)).unwrap();
            let twice = merge(once.clone(), service(&attribute)).unwrap();
            prop_assert!(same(&once, &twice), "{attribute}: {once:#?}\n{twice:#?}");
        }

        #[test]
        fn mappings_keep_what_is_not_overridden(a in any_node(), b in any_node()) {
            let merged = merge(beside(a.clone()), beside(b.clone()));
            if let (Some(a), Some(b), Ok(merged)) = (a.as_map(), b.as_map(), merged) {
                let merged = merged.get("x-a").unwrap();
                for (key, entry) in a.iter().filter(|(key, _)| !b.contains_key(*key)) {
                    prop_assert!(same(&entry.node, merged.get(key).unwrap()));
                }
                for (key, entry) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                    prop_assert!(same(&entry.node, merged.get(key).unwrap()));
                }
                prop_assert_eq!(merged.as_map().unwrap().len(), a.keys().chain(b.keys()).collect::<std::collections::BTreeSet<_>>().len());
            }
        }

        #[test]
        fn nothing_laid_over_changes_nothing(node in any_node()) {
            let root = |n: Node| Node::new(Value::Map(Map::from([("x-a".to_owned(), Entry { key_pos: n.pos.clone(), node: n })])), Pos::new("f".into(), 1, 1));
            let empty = || Node::new(Value::Map(Map::new()), Pos::new("f".into(), 1, 1));
            prop_assert_eq!(merge(root(node.clone()), empty()).unwrap(), root(node.clone()));
            prop_assert_eq!(merge(empty(), root(node.clone())).unwrap(), root(node));
        }
    }
}
