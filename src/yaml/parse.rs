//! Text to trees.
//!
//! Aliases are expanded here and counted, so that nothing above has to fear a small text that means a huge tree.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use saphyr_parser::{Parser, StrInput};

use super::{
    Node, Pos, YamlError,
    builder::Builder,
    lenient::{MAX_REREAD_BYTES, Repair, control_character},
};

/// How much a text may be and mean.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of text.
    pub max_bytes: usize,
    /// Nesting, aliases expanded. Everything that walks a tree recurses this deep.
    pub max_depth: usize,
    /// Nodes of all documents together, aliases expanded, anchored subtrees counted twice.
    pub max_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_bytes: 8 << 20, max_depth: 128, max_nodes: 1_000_000 }
    }
}

/// Reads every document of `text`; `file` is its name in positions.
///
/// Merge keys (`<<`) are resolved and aliases expanded. An anchored subtree that contains `!reset` children is copied
/// without them, as the Compose loader does.
///
/// # Errors
///
/// Syntax, a duplicate or non-text key, an alias to itself, or a limit passed.
pub fn parse(text: &str, file: &str, limits: &Limits) -> Result<Vec<Node>, YamlError> {
    let file: Arc<str> = file.into();
    let start = Pos::new(file.clone(), 1, 1);
    if text.len() > limits.max_bytes {
        return Err(YamlError::new(
            start,
            format!("the file has {} bytes, more than {}", text.len(), limits.max_bytes),
        ));
    }
    let mut text = Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text));
    if let Some((line, column)) = control_character(&text) {
        return Err(YamlError::new(Pos::new(file, line, column), "control characters are not allowed")
            .hint("write them as escapes in double quotes, such as \"\\x01\""));
    }
    let mut padded = BTreeSet::new();
    let mut rereads = 0_usize;
    loop {
        match build(&text, file.clone(), limits, &padded) {
            Ok(documents) => return Ok(documents),
            Err(Stop::Lenient { repair, error }) => {
                rereads += 1;
                let affordable = rereads.saturating_mul(text.len()) <= MAX_REREAD_BYTES;
                let repaired = if affordable { repair.apply(&text, &mut padded) } else { None };
                text = repaired.ok_or(error)?.into();
            }
            Err(Stop::Fault(error)) => return Err(error),
        }
    }
}

enum Stop {
    /// Go would go on.
    Lenient {
        repair: Repair,
        error: YamlError,
    },
    Fault(YamlError),
}

impl From<YamlError> for Stop {
    fn from(error: YamlError) -> Stop {
        Stop::Fault(error)
    }
}

fn build(text: &str, file: Arc<str>, limits: &Limits, padded: &BTreeSet<u32>) -> Result<Vec<Node>, Stop> {
    let mut builder = Builder::new(file, limits, padded);
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.event(event, &span.start)?,
            Err(error) => {
                let repair = Repair::of(&error);
                let error = builder.syntax(error.marker(), error.info());
                return Err(match repair {
                    Some(repair) => Stop::Lenient { repair, error },
                    None => Stop::Fault(error),
                });
            }
        }
    }
    Ok(builder.documents())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Directive, Value};

    fn one(text: &str) -> Node {
        parse(text, "f.yaml", &Limits::default()).unwrap().remove(0)
    }

    fn error(text: &str) -> String {
        parse(text, "f.yaml", &Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn positions_are_counted_from_one() {
        let root = one("a:\n  - x\n  - {b: 1}\n");
        let entry = &root.as_map().unwrap()["a"];
        assert_eq!(entry.key_pos.to_string(), "f.yaml:1:1");
        assert_eq!(entry.node.as_seq().unwrap()[0].pos.to_string(), "f.yaml:2:5");
        assert_eq!(entry.node.as_seq().unwrap()[1].get("b").unwrap().pos.to_string(), "f.yaml:3:9");
    }

    #[test]
    fn blanks_that_go_does_not_mind() {
        let root = one("a:\n  b: [\n  x,\n y\n  ]\n  c: {\n    d: 1\n}\n  e: 2\n");
        let a = root.get("a").unwrap();
        assert_eq!(a.get("b").unwrap().as_seq().unwrap().len(), 2);
        assert_eq!(a.get("b").unwrap().as_seq().unwrap()[1].pos.to_string(), "f.yaml:4:2");
        assert_eq!(a.get("c").unwrap().get("d").unwrap().value, Value::Int(1));
        assert_eq!(a.get("e").unwrap().value, Value::Int(2));
        let root = one("a:\n  b: \"x\n\n y\nz\"\n  c:\t1\n  d:\t\t'e\nf'\n");
        let a = root.get("a").unwrap();
        assert_eq!(a.get("b").unwrap().as_str(), Some("x\ny z"));
        assert_eq!(a.get("c").unwrap().value, Value::Int(1));
        assert_eq!(a.get("d").unwrap().as_str(), Some("e f"));
        assert!(error("a: x\n\u{1}b: 1\n").contains("f.yaml:2:1: control characters"));
        assert!(error("a:\n  b: \"x\ny\n").contains("not YAML"));
    }

    #[test]
    fn merge_keys_give_what_is_not_there() {
        let root = one("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 0}\nw: {a: 9, <<: *x}\n");
        let z = root.get("z").unwrap();
        assert_eq!(z.get("a").unwrap().value, Value::Int(0));
        assert_eq!(z.get("b").unwrap().value, Value::Int(2));
        assert_eq!(z.get("c").unwrap().value, Value::Int(4));
        assert_eq!(root.get("w").unwrap().get("a").unwrap().value, Value::Int(9));
    }

    #[test]
    fn directives_stay_on_their_nodes() {
        let root = one("a: !reset null\nb: !override [1]\nc: !override x\n");
        assert_eq!(root.get("a").unwrap().directive, Some(Directive::Reset));
        assert_eq!(root.get("b").unwrap().directive, Some(Directive::Override));
        assert_eq!(root.get("c").unwrap().directive, Some(Directive::Override));
        let root = one("a: !override null\nb: !foo 5\nc: ! 5\nd: !!int '0x1F'\ne: !!str\n");
        let values: Vec<_> = root.as_map().unwrap().values().map(|entry| entry.node.value.clone()).collect();
        let text = |s: &str| Value::Str(s.into());
        assert_eq!(values, [text("null"), text("5"), Value::Int(5), Value::Int(31), text("")]);
    }

    #[test]
    fn documents_and_tags() {
        let all = parse("a: 1\n---\nb: !!str 2\n...\n---\n", "f", &Limits::default()).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all[1].get("b").unwrap().value, Value::Str("2".into()));
        assert!(all[2].is_null());
        assert!(parse("# nothing\n", "f", &Limits::default()).unwrap().is_empty());
    }

    #[test]
    fn mistakes_say_where_and_what_would_be_right() {
        for (text, part) in [
            ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: mapping key \"a\" already defined at line 1"),
            ("a: {1: x}\n", "quote the key: \"1\""),
            ("a: &a [*a]\n", "inside the value that it refers to"),
            ("a: *nope\n", "needs an anchor"),
            ("a: &x 1\n---\nb: *x\n", "another document"),
            ("a: {<<: 3}\n", "map merge requires"),
            ("a:\n\t- x\n", "not YAML"),
            ("a: !!int x\n", "cannot read \"x\" as !!int"),
            ("? [a]\n: b\n", "cannot be a key"),
        ] {
            let error = error(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn hostile_texts_end_early() {
        let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 10].join(",");
            laughs.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(error(&laughs).contains("once aliases are expanded"));
        assert!(error(&"[".repeat(200)).contains("deeper than 128"));
        let mut chain = String::from("a0: &a0 [x]\n");
        for level in 1..200 {
            chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        assert!(error(&chain).contains("deeper than 128"));
        assert!(parse(&"[".repeat(100_000), "f", &Limits::default()).is_err());
        assert!(parse(&"- ".repeat(100_000), "f", &Limits::default()).is_err());
        let big = Limits { max_bytes: 10, ..Limits::default() };
        assert!(parse("aaaaaaaaaaaaaaaa", "f", &big).is_err());
    }
}
