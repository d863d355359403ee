//! YAML text, byte for byte as go-yaml 3 writes it.
//!
//! Rules read from its `encode.go` and `emitterc.go`: texts that would be read as another type are put in double
//! quotes, texts with characters that plain style cannot carry in single ones, several lines become a block.

use super::tree::{Map, Tree};
use turnout_yaml::reads_as_text;

/// Longest key that stands on one line with its value, in bytes.
const MAX_SIMPLE_KEY: usize = 128;

/// The document as text; nested blocks are indented by `step`.
pub(super) fn print(tree: &Tree, step: usize) -> String {
    let mut printer = Printer { out: String::new(), step };
    match tree {
        Tree::Map(map) if !map.entries.is_empty() => printer.map(map, 0),
        Tree::List(items) if !items.is_empty() => printer.list(items, 0),
        scalar => {
            printer.scalar(scalar, 0, false);
            printer.end_line();
        }
    }
    printer.out
}

struct Printer {
    out: String,
    step: usize,
}

impl Printer {
    /// Entries of a mapping; the first one stands where the printer is.
    fn map(&mut self, map: &Map, indent: usize) {
        for (index, (key, value)) in map.entries.iter().enumerate() {
            if index > 0 {
                self.pad(indent);
            }
            let simple = key.len() <= MAX_SIMPLE_KEY && !key.contains(is_break);
            if simple {
                self.text(key, indent, true);
                self.out.push(':');
                self.value(value, indent, false);
            } else {
                self.out.push_str("? ");
                self.text(key, indent, false);
                self.end_line();
                self.pad(indent);
                self.out.push(':');
                self.value(value, indent, true);
            }
        }
    }

    /// What follows a key. After a key that stands alone, a nested block begins on the same line.
    fn value(&mut self, value: &Tree, indent: usize, compact: bool) {
        let inner = indent + self.step;
        match value {
            Tree::Map(map) if !map.entries.is_empty() => {
                self.open(inner, compact);
                self.map(map, inner);
            }
            Tree::List(items) if !items.is_empty() => {
                self.open(inner, compact);
                self.list(items, inner);
            }
            scalar => {
                self.out.push(' ');
                self.scalar(scalar, indent, false);
                self.end_line();
            }
        }
    }

    fn open(&mut self, indent: usize, compact: bool) {
        if compact {
            self.out.push(' ');
        } else {
            self.out.push('\n');
            self.pad(indent);
        }
    }

    /// Items of a list; the first one stands where the printer is.
    fn list(&mut self, items: &[Tree], indent: usize) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.pad(indent);
            }
            self.out.push_str("- ");
            match item {
                Tree::Map(map) if !map.entries.is_empty() => self.map(map, indent + 2),
                Tree::List(items) if !items.is_empty() => self.list(items, indent + 2),
                scalar => {
                    self.scalar(scalar, indent, false);
                    self.end_line();
                }
            }
        }
    }

    fn scalar(&mut self, value: &Tree, indent: usize, key: bool) {
        match value {
            Tree::Null => self.out.push_str("null"),
            Tree::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Tree::Int(value) => self.out.push_str(&value.to_string()),
            Tree::Float(value) => self.out.push_str(&float(*value)),
            Tree::Text(text) => self.text(text, indent, key),
            Tree::Time(text) => self.out.push_str(text),
            Tree::List(_) => self.out.push_str("[]"),
            Tree::Map(_) => self.out.push_str("{}"),
        }
    }

    fn text(&mut self, text: &str, indent: usize, key: bool) {
        let shape = Shape::of(text);
        if text.contains('\n') && shape.block && !key {
            self.block(text, indent + self.step);
        } else if text.contains('\n') || !reads_as_text(text) || is_former_type(text) {
            self.double_quoted(text);
        } else if shape.plain && !(key && text.is_empty()) {
            self.out.push_str(text);
        } else if shape.single_quoted {
            self.single_quoted(text, indent + self.step);
        } else {
            self.double_quoted(text);
        }
    }

    /// `|` and the lines below it.
    fn block(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        if text.starts_with(' ') || text.starts_with(is_break) {
            self.out.push_str(&self.step.to_string());
        }
        let mut backwards = text.chars().rev();
        match (backwards.next().is_some_and(is_break), backwards.next()) {
            (false, _) => self.out.push('-'),
            (true, Some(before)) if !is_break(before) => {}
            (true, _) => self.out.push('+'),
        }
        self.out.push('\n');
        let mut fresh = true;
        for character in text.chars() {
            if is_break(character) {
                self.out.push(character);
                fresh = true;
                continue;
            }
            if fresh {
                self.pad(indent);
                fresh = false;
            }
            self.out.push(character);
        }
    }

    /// What follows a line break is indented; `\n` never comes here, but the breaks of Unicode do.
    fn single_quoted(&mut self, text: &str, indent: usize) {
        self.out.push('\'');
        let mut fresh = false;
        for character in text.chars() {
            if std::mem::replace(&mut fresh, is_break(character)) && !fresh {
                self.pad(indent);
            }
            if character == '\'' {
                self.out.push('\'');
            }
            self.out.push(character);
        }
        self.out.push('\'');
    }

    fn double_quoted(&mut self, text: &str) {
        use std::fmt::Write as _;
        self.out.push('"');
        // go-yaml takes every character for the byte order mark that stands first.
        let marked = text.starts_with('\u{feff}');
        for character in text.chars() {
            let code = u32::from(character);
            let escape = match character {
                '\0' => '0',
                '\u{7}' => 'a',
                '\u{8}' => 'b',
                '\t' => 't',
                '\n' => 'n',
                '\u{b}' => 'v',
                '\u{c}' => 'f',
                '\r' => 'r',
                '\u{1b}' => 'e',
                '"' => '"',
                '\\' => '\\',
                '\u{85}' => 'N',
                '\u{2028}' => 'L',
                '\u{2029}' => 'P',
                other if is_printable(other) && !marked => {
                    self.out.push(other);
                    continue;
                }
                _ => {
                    // Writing to a String does not fail.
                    let _ = match code {
                        0..=0xff => write!(self.out, "\\x{code:02X}"),
                        0x100..=0xffff => write!(self.out, "\\u{code:04X}"),
                        _ => write!(self.out, "\\U{code:08X}"),
                    };
                    continue;
                }
            };
            self.out.push('\\');
            self.out.push(escape);
        }
        self.out.push('"');
    }

    fn pad(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    /// Ends a line, unless a block has ended it.
    fn end_line(&mut self) {
        if !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }
}

/// Which styles can carry a text.
struct Shape {
    plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Shape {
    fn of(text: &str) -> Shape {
        if text.is_empty() {
            return Shape { plain: true, single_quoted: true, block: false };
        }
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut breaks, mut special, mut tabs) = (false, false, false);
        let (mut break_space, mut space_break) = (false, false);
        let mut previous = None;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let blank_follows = characters.peek().is_none_or(|next| matches!(next, ' ' | '\t') || is_break(*next));
            indicators |= match (character, previous) {
                ('#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>', None)
                | ('\'' | '"' | '%' | '@' | '`', None) => true,
                ('?' | '-', None) | (':', _) => blank_follows,
                ('#', Some(before)) => matches!(before, ' ' | '\t' | '\0') || is_break(before),
                _ => false,
            };
            tabs |= character == '\t';
            special |= character != '\t' && !is_printable(character);
            let after_break = previous.is_some_and(is_break);
            break_space |= character == ' ' && after_break;
            if is_break(character) {
                breaks = true;
                space_break |= previous == Some(' ');
            }
            previous = Some(character);
        }
        let edge = |c: char| c == ' ' || is_break(c);
        let edges = text.starts_with(edge) || text.ends_with(edge);
        let single_quoted = !(break_space || space_break || tabs || special);
        Shape {
            plain: single_quoted && !edges && !breaks && !indicators,
            single_quoted,
            block: !(text.ends_with(' ') || space_break || special),
        }
    }
}

fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether go-yaml writes the character as it is. Characters beyond the basic plane count as unprintable there.
fn is_printable(character: char) -> bool {
    match character {
        '\n' | ' '..='~' => true,
        '\u{feff}' => false,
        '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => !is_break(character) || character > '\u{85}',
        _ => false,
    }
}

/// What YAML 1.1 took for a boolean or for a number of base 60.
fn is_former_type(text: &str) -> bool {
    let boolean = matches!(
        text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF"
    );
    boolean || is_base_60(text)
}

/// YAML 1.1 reads `1:30` as 90; the pattern is `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`.
fn is_base_60(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let mut count = 0;
    let rest = parts.all(|part| {
        count += 1;
        match part.as_bytes() {
            [one] => one.is_ascii_digit(),
            [ten, one] => matches!(ten, b'0'..=b'5') && one.is_ascii_digit(),
            _ => false,
        }
    });
    first.starts_with(|c: char| c.is_ascii_digit()) && digits(first) && count > 0 && rest && digits(fraction)
}

/// Shortest text of a number, with an exponent below 1e-4 and from 1e21 on for whole numbers that Go prints so.
fn float(number: f64) -> String {
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    turnout_yaml::Value::Float(number).go_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> String {
        print(&Tree::sorted(vec![("k".to_owned(), Tree::Text(value.to_owned()))]), 2)
    }

    #[test]
    fn texts_take_the_style_that_go_yaml_takes() {
        for (value, want) in [
            ("plain", "k: plain\n"),
            ("", "k: \"\"\n"),
            ("true", "k: \"true\"\n"),
            ("yes", "k: \"yes\"\n"),
            ("12:30", "k: \"12:30\"\n"),
            ("12:70", "k: 12:70\n"),
            ("1.5", "k: \"1.5\"\n"),
            ("0x1F", "k: \"0x1F\"\n"),
            ("2024-01-01", "k: \"2024-01-01\"\n"),
            ("~", "k: \"~\"\n"),
            ("a: b", "k: 'a: b'\n"),
            ("a #b", "k: 'a #b'\n"),
            ("it's: x", "k: 'it''s: x'\n"),
            ("- x", "k: '- x'\n"),
            ("-x", "k: -x\n"),
            ("[a]", "k: '[a]'\n"),
            ("a[0]", "k: a[0]\n"),
            ("@x", "k: '@x'\n"),
            (" x", "k: ' x'\n"),
            ("a\tb", "k: \"a\\tb\"\n"),
            ("\u{1f600}", "k: \"\\U0001F600\"\n"),
            ("é", "k: é\n"),
            ("a\nb", "k: |-\n  a\n  b\n"),
            ("a\nb\n", "k: |\n  a\n  b\n"),
            ("a\n\n", "k: |+\n  a\n\n"),
            ("  a\nb", "k: |2-\n    a\n  b\n"),
            ("a \nb", "k: \"a \\nb\"\n"),
            ("\na", "k: |2-\n\n  a\n"),
            ("\n", "k: |2+\n\n"),
            ("a\u{2028}it's", "k: 'a\u{2028}  it''s'\n"),
            ("<<", "k: <<\n"),
            ("a\r\nb", "k: \"a\\r\\nb\"\n"),
        ] {
            assert_eq!(text(value), want, "{value:?}");
        }
    }

    #[test]
    fn blocks_are_indented_by_two() {
        let list = Tree::List(vec![Tree::Text("a".into()), Tree::List(vec![Tree::Int(1), Tree::Null])]);
        let empty = Tree::Map(Map::default());
        let tree = Tree::sorted(vec![
            ("b".to_owned(), Tree::List(vec![Tree::sorted(vec![("x".into(), list), ("z".into(), empty)])])),
            ("a".to_owned(), Tree::Float(1e21)),
            ("k".repeat(129), Tree::Bool(true)),
        ]);
        let long = "k".repeat(129);
        let want =
            format!("a: 1e+21\nb:\n  - x:\n      - a\n      - - 1\n        - null\n    z: {{}}\n? {long}\n: true\n");
        assert_eq!(print(&tree, 2), want);
    }
}
