//! Text to trees.
//!
//! Aliases are expanded here and counted, so that nothing above has to fear a small text that means a huge tree.

use std::sync::Arc;

use super::{Limits, Node, Pos, YamlError, builder::Builder, grammar};

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
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((line, column)) = control_character(text) {
        return Err(YamlError::new(Pos::new(file, line, column), "control characters are not allowed")
            .hint("write them as escapes in double quotes, such as \"\\x01\""));
    }
    let mut builder = Builder::new(file, limits);
    grammar::read(text, &mut builder)?;
    Ok(builder.documents())
}

/// Line and column of the first character that YAML does not allow.
fn control_character(text: &str) -> Option<(u32, u32)> {
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    let at = text.find(|c| !allowed(c))?;
    let line = text[..at].matches('\n').count() + 1;
    let column = text[..at].chars().rev().take_while(|c| *c != '\n').count() + 1;
    Some((u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Directive, Value};

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

    /// Every line was compared with yaml.v3.
    #[test]
    fn texts_mean_what_they_mean_to_go() {
        let text = |s: &str| Value::Str(s.into());
        for (given, want) in [
            // Comments need no blank before them where a value has ended.
            ("\"b\"#c", text("b")),
            ("'b'#c", text("b")),
            ("b#c", text("b#c")),
            ("|-#c\n  d", text("d")),
            // Escapes: an apostrophe yes, a slash no.
            ("\"it\\'s\"", text("it's")),
            ("\"\\x41\\u00e9\\e\\_\\N\"", text("A\u{e9}\u{1b}\u{a0}\u{85}")),
            ("\"a \\\n   b\"", text("a b")),
            ("\"a\\\n  \\ b\"", text("a b")),
            ("\"a\n\n  b\n c\"", text("a\nb c")),
            // Texts in blocks.
            ("|\n  a\n   b\n\n  c\n\n", text("a\n b\n\nc\n")),
            (">\n  a\n  b\n\n  c\n   d\n  e\n", text("a b\nc\n d\ne\n")),
            ("|+\n  a\n\n", text("a\n\n\n")),
            (">-\n  a\n  b\n\n", text("a b")),
            ("|2\n    a\n  b\n", text("  a\nb\n")),
            ("|2-\n    a", text("  a")),
            ("&x |\n  a\n", text("a\n")),
            ("!!str |\n  a\n", text("a\n")),
            // A text may go on, further right; a tab may not indent it.
            ("a\n  b\n\n  c", text("a b\nc")),
            ("a b:c", text("a b:c")),
            ("http://a?b=[c]", text("http://a?b=[c]")),
            ("- a", Value::Null),
            // Line ends of all kinds.
            ("a\r\n  b", text("a b")),
            ("a\u{85}  b", text("a b")),
            ("\"a\u{2028} b\"", text("a\u{2028}b")),
            // Tags.
            ("!!binary aGk=", text("hi")),
            ("!!set 5", text("5")),
            ("!<tag:yaml.org,2002:int> '7'", Value::Int(7)),
            ("!!float 7", Value::Float(7.0)),
        ] {
            match parse(&format!("k: {given}\n"), "f", &Limits::default()) {
                Ok(documents) => assert_eq!(documents[0].get("k").unwrap().value, want, "{given:?}"),
                Err(error) => assert_eq!(Value::Null, want, "{given:?}: {error}"),
            }
        }
        let flow = one("a: {\"b\":c, d: [e: f, ?g : h], i, ? j, \"k\" : , l: m:n}\n");
        assert_eq!(
            flow.get("a").unwrap().value.go_text(),
            "map[b:c d:[map[e:f] map[g:h]] i:<nil> j:<nil> k:<nil> l:m:n]"
        );
        let block = one("? a\n: b\n? c\nd:\n- e\n-\n- - f\n  - g: h\n    i:\n");
        assert_eq!(block.value.go_text(), "map[a:b c:<nil> d:[e <nil> [f map[g:h i:<nil>]]]]");
        assert_eq!(one("a: &x 1\n---\nb: 2\n").get("a").unwrap().value, Value::Int(1));
        assert_eq!(parse("a: &x 1\n---\nb: *x\n", "f", &Limits::default()).unwrap()[1].value.go_text(), "map[b:1]");
        assert_eq!(one("1: !reset x\na: b\n").get("a").unwrap().as_str(), Some("b"));
        assert_eq!(one("%YAML 1.1\n%TAG !e! tag:yaml.org,2002:\n---\na: !e!int '3'\n").value.go_text(), "map[a:3]");
    }

    #[test]
    fn what_go_refuses() {
        for text in [
            "a: \"\\/\"",
            "a: \"\\q\"",
            "a:\n\tb: c",
            "a:\n  - b\n\t- c",
            "\t",
            "a: |\n\tb",
            "a: b: c",
            "a: - b",
            "a: @b",
            "a: `b`",
            "a: %b",
            "a: *x",
            "a: &",
            "a: &b!c d",
            "a: [b",
            "a: [b}",
            "a: {b: c d: e}",
            "a: 'b",
            "a: 'b' c",
            "a: \"b\" \"c\"",
            "a: |0\n b",
            "a: | b\n c",
            "a: |3x\n b",
            "a: b\n c: d",
            "a: b\n- c",
            "- a\nb: c",
            "a: b\n---c: d\ne\n f: g",
            "a: !b!c d",
            "a: !!int",
            "a: !b,{c} d",
            "%YAML 1.2\n---\na: b",
            "%YAML 1.1\na: b",
            "%FOO\n---\na: b",
            "a: b\n%YAML 1.1",
            "'a\n b': c",
            "[a, b]: c",
            "? [a]\n: b",
            "a: 'b\n---\nc'",
            "a: b\n...\nc: d",
            ": a",
        ] {
            assert!(parse(text, "f", &Limits::default()).is_err(), "{text:?}");
        }
        let long = format!("{}: b\n", "a".repeat(1025));
        assert!(parse(&long, "f", &Limits::default()).is_err(), "a key of more than 1024 characters");
        assert!(parse(&long[1..], "f", &Limits::default()).is_ok());
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
            ("a: *nope\n", "needs an anchor &nope"),
            ("a: &x 1\nb: &x [*x]\n", "inside the value that it refers to"),
            ("a:\n  b: \"x\n", "f.yaml:2:6: not YAML: the closing quote is missing"),
            ("a: {<<: 3}\n", "map merge requires"),
            ("a:\n\t- x\n", "f.yaml:2:1: not YAML: a tab cannot indent"),
            ("a: !!int x\n", "cannot read \"x\" as !!int"),
            ("? [a]\n: b\n", "cannot be a key"),
            ("a: !!binary '***'\n", "cannot read \"***\" as !!binary"),
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
        let prefix = format!("%TAG !e! {}\n---\n{}", "p".repeat(2000), "- !e!x a\n".repeat(1000));
        assert!(error(&prefix).contains("this tag is too long"));
        let big = Limits { max_bytes: 10, ..Limits::default() };
        assert!(parse("aaaaaaaaaaaaaaaa", "f", &big).is_err());
    }
}
