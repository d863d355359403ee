//! Text to trees.
//!
//! Aliases are expanded here and counted, so that nothing above has to fear a small text that means a huge tree.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput, Tag};

use super::{Directive, Entry, Map, Node, Pos, Value, YamlError, scalar};

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
        return Err(YamlError::new(start, format!("the file has {} bytes, more than {}", text.len(), limits.max_bytes)));
    }
    let mut text = std::borrow::Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text));
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

/// Blanks that an outdented line of a flow collection gets.
const PAD: u32 = 256;

/// Bytes that are read again because of repairs, at most.
const MAX_REREAD_BYTES: usize = 256 << 20;

/// What Go's parser accepts and saphyr, which follows YAML 1.2 closely, does not. Each repair changes blanks that mean
/// nothing, after which the text is read again.
enum Repair {
    /// This line of a flow collection stands left of the block around it: it is moved right.
    Flow { line: u32 },
    /// A line of the quoted text that begins here stands left of the block around it: lines are moved right one by one.
    Quoted { line: u32 },
    /// Tabs before this place, which follow a `:`, become blanks.
    Tab { index: usize },
}

impl Repair {
    fn of(error: &saphyr_parser::ScanError) -> Option<Repair> {
        let line = u32::try_from(error.marker().line()).unwrap_or(u32::MAX);
        match error.info() {
            "invalid indentation" | "invalid indentation in flow construct" => Some(Repair::Flow { line }),
            "invalid indentation in quoted scalar" => Some(Repair::Quoted { line }),
            "':' must be followed by a valid YAML whitespace" => Some(Repair::Tab { index: error.marker().index() }),
            _ => None,
        }
    }

    /// The text after the repair, or `None` when it does not help. Lines moved right are noted in `padded`.
    fn apply(&self, text: &str, padded: &mut BTreeSet<u32>) -> Option<String> {
        match *self {
            Repair::Flow { line } => padded.insert(line).then(|| pad(text, line)),
            Repair::Quoted { line } => {
                let next = (line + 1..).find(|line| !padded.contains(line))?;
                padded.insert(next);
                (text.lines().count() >= next as usize).then(|| pad(text, next))
            }
            Repair::Tab { index } => {
                let end = text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
                let start = text[..end].trim_end_matches('\t').len();
                (start < end).then(|| format!("{}{}{}", &text[..start], " ".repeat(end - start), &text[end..]))
            }
        }
    }
}

fn pad(text: &str, line: u32) -> String {
    let mut out = String::with_capacity(text.len() + PAD as usize);
    for (number, piece) in (1..).zip(text.split_inclusive('\n')) {
        if number == line {
            out.extend(std::iter::repeat_n(' ', PAD as usize));
        }
        out.push_str(piece);
    }
    out
}

/// Line and column of the first character that YAML does not allow.
fn control_character(text: &str) -> Option<(u32, u32)> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    let at = text.find(|c| !allowed(c))?;
    let line = text[..at].matches('\n').count() + 1;
    let column = text[..at].chars().rev().take_while(|c| *c != '\n').count() + 1;
    Some((u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX)))
}

enum Stop {
    /// Go would go on.
    Lenient { repair: Repair, error: YamlError },
    Fault(YamlError),
}

impl From<YamlError> for Stop {
    fn from(error: YamlError) -> Stop {
        Stop::Fault(error)
    }
}

fn build(text: &str, file: Arc<str>, limits: &Limits, padded: &BTreeSet<u32>) -> Result<Vec<Node>, Stop> {
    let mut builder =
        Builder { file, limits, padded, nodes: 0, open: Vec::new(), anchors: HashMap::new(), documents: Vec::new() };
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
    Ok(builder.documents)
}

struct Builder<'l> {
    file: Arc<str>,
    limits: &'l Limits,
    padded: &'l BTreeSet<u32>,
    nodes: usize,
    open: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    documents: Vec<Node>,
}

struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// A collection whose end has not come yet.
struct Frame {
    pos: Pos,
    directive: Option<Directive>,
    anchor: usize,
    kind: FrameKind,
    /// `Builder::nodes` when it began.
    nodes_before: usize,
    /// Depth of what it holds, so far.
    depth: usize,
}

enum FrameKind {
    Seq(Vec<Node>),
    Map { map: Map, key: Option<Key>, merges: Vec<Node>, merge_seen: Option<Pos> },
}

struct Key {
    name: String,
    pos: Pos,
    merge: bool,
}

impl Builder<'_> {
    fn pos(&self, marker: &Marker) -> Pos {
        let cast = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (line, column) = (cast(marker.line()), cast(marker.col() + 1));
        let shift = if self.padded.contains(&line) { PAD } else { 0 };
        Pos::new(self.file.clone(), line, column.saturating_sub(shift).max(1))
    }

    fn syntax(&self, marker: &Marker, info: &str) -> YamlError {
        let error = YamlError::new(self.pos(marker), format!("not YAML: {info}"));
        if info.contains("unknown anchor") {
            return error.hint("an alias *name needs an anchor &name earlier in the same document");
        }
        error.hint("check indentation (blanks, no tabs), the blank after `:`, and quotes on this and the previous line")
    }

    fn event(&mut self, event: Event<'_>, marker: &Marker) -> Result<(), YamlError> {
        let pos = self.pos(marker);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, &pos)?;
                let plain_merge = style == ScalarStyle::Plain && text == "<<" && tag.is_none();
                if self.wants_key() {
                    return self.key(&text, style, tag.as_deref(), plain_merge, pos);
                }
                let (value, directive) = scalar_value(&text, style, tag.as_deref(), &pos)?;
                let node = Node { value, pos, directive };
                self.keep(anchor, &node, 1, 1)?;
                self.place(node, 1)
            }
            Event::Alias(id) => self.alias(id, pos),
            Event::SequenceStart(anchor, tag) => self.begin(anchor, tag.as_deref(), FrameKind::Seq(Vec::new()), pos),
            Event::MappingStart(anchor, tag) => {
                let kind = FrameKind::Map { map: Map::new(), key: None, merges: Vec::new(), merge_seen: None };
                self.begin(anchor, tag.as_deref(), kind, pos)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn count(&mut self, nodes: usize, pos: &Pos) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= self.limits.max_nodes {
            return Ok(());
        }
        Err(YamlError::new(
            pos.clone(),
            format!("the text means more than {} values once aliases are expanded", self.limits.max_nodes),
        )
        .hint("use fewer nested aliases"))
    }

    fn too_deep(&self, pos: &Pos) -> YamlError {
        YamlError::new(pos.clone(), format!("nested deeper than {} levels", self.limits.max_depth))
            .hint("use fewer nested lists, mappings and aliases")
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { kind: FrameKind::Map { key: None, .. }, .. }))
    }

    fn key(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        merge: bool,
        pos: Pos,
    ) -> Result<(), YamlError> {
        let (value, _) = scalar_value(text, style, tag, &pos)?;
        let name = match value {
            Value::Str(name) => name,
            other => {
                let hint = format!("quote the key: \"{text}\"");
                return Err(
                    YamlError::new(pos, format!("key {text:?} is {}, keys must be strings", other.kind())).hint(hint)
                );
            }
        };
        if let Some(Frame { kind: FrameKind::Map { map, key, merge_seen, .. }, .. }) = self.open.last_mut() {
            let earlier = if merge { merge_seen.as_ref() } else { map.get(&name).map(|entry| &entry.key_pos) };
            if let Some(earlier) = earlier {
                let message = format!("mapping key {name:?} already defined at line {}", earlier.line);
                let hint = format!("remove or rename one of the keys on lines {} and {}", earlier.line, pos.line);
                return Err(YamlError::new(pos, message).hint(hint));
            }
            if merge {
                *merge_seen = Some(pos.clone());
            }
            *key = Some(Key { name, pos, merge });
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, pos: Pos) -> Result<(), YamlError> {
        let Some(anchored) = self.anchors.get(&id) else {
            let message = if self.open.iter().any(|frame| frame.anchor == id) {
                "the alias stands inside the value that it refers to"
            } else {
                "the alias refers to an anchor of another document"
            };
            return Err(YamlError::new(pos, message).hint("an alias may only refer to a finished value before it"));
        };
        let (node, nodes, depth) = (&anchored.node, anchored.nodes, anchored.depth);
        if self.wants_key() {
            let name = node.as_str().map(str::to_owned);
            let Some(name) = name else {
                return Err(YamlError::new(pos, "this alias is used as a key but is not a string"));
            };
            return self.key(&name, ScalarStyle::DoubleQuoted, None, false, pos);
        }
        if self.open.len() + depth > self.limits.max_depth {
            return Err(self.too_deep(&pos));
        }
        if self.nodes.saturating_add(nodes) > self.limits.max_nodes {
            return self.count(nodes, &pos);
        }
        let node = node.clone();
        self.count(nodes, &pos)?;
        self.place(node, depth)
    }

    fn begin(&mut self, anchor: usize, tag: Option<&Tag>, kind: FrameKind, pos: Pos) -> Result<(), YamlError> {
        if self.wants_key() {
            return Err(YamlError::new(pos, "a list or mapping cannot be a key").hint("keys must be strings; quote text that begins with { or ["));
        }
        let nodes_before = self.nodes;
        self.count(1, &pos)?;
        if self.open.len() >= self.limits.max_depth {
            return Err(self.too_deep(&pos));
        }
        let directive = tag.and_then(directive_of);
        self.open.push(Frame { pos, directive, anchor, kind, nodes_before, depth: 1 });
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let value = match frame.kind {
            FrameKind::Seq(items) => Value::Seq(items),
            FrameKind::Map { mut map, merges, .. } => {
                for merge in merges {
                    merge_into(&mut map, merge)?;
                }
                Value::Map(map)
            }
        };
        let node = Node { value, pos: frame.pos, directive: frame.directive };
        let nodes = self.nodes - frame.nodes_before;
        self.keep(frame.anchor, &node, nodes, frame.depth)?;
        self.place(node, frame.depth)
    }

    /// Remembers an anchored value.
    fn keep(&mut self, anchor: usize, node: &Node, nodes: usize, depth: usize) -> Result<(), YamlError> {
        if anchor == 0 {
            return Ok(());
        }
        self.count(nodes, &node.pos)?;
        let mut node = node.clone();
        drop_resets(&mut node);
        self.anchors.insert(anchor, Anchored { node, nodes, depth });
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node, depth: usize) -> Result<(), YamlError> {
        let Some(frame) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        frame.depth = frame.depth.max(depth + 1);
        match &mut frame.kind {
            FrameKind::Seq(items) => items.push(node),
            FrameKind::Map { map, key, merges, .. } => match key.take() {
                Some(key) if key.merge => merges.push(node),
                Some(key) => {
                    map.insert(key.name, Entry { key_pos: key.pos, node });
                }
                None => {}
            },
        }
        Ok(())
    }
}

fn directive_of(tag: &Tag) -> Option<Directive> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("!", "reset") | ("", "!reset") => Some(Directive::Reset),
        ("!", "override") | ("", "!override") => Some(Directive::Override),
        _ => None,
    }
}

fn scalar_value(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    pos: &Pos,
) -> Result<(Value, Option<Directive>), YamlError> {
    let by_style =
        || if style == ScalarStyle::Plain { scalar::resolve(text) } else { Value::Str(text.to_owned()) };
    let Some(tag) = tag else { return Ok((by_style(), None)) };
    if let Some(directive) = directive_of(tag) {
        return Ok((by_style(), Some(directive)));
    }
    if !tag.is_yaml_core_schema() {
        // A lone `!` means text; other private tags say nothing that Compose knows.
        let lone = tag.suffix.is_empty() || (tag.handle.is_empty() && tag.suffix == "!");
        return Ok((if lone { Value::Str(text.to_owned()) } else { by_style() }, None));
    }
    let plain = scalar::resolve(text);
    let value = match (tag.suffix.as_str(), plain) {
        ("str" | "binary", _) => Some(Value::Str(text.to_owned())),
        ("int", v @ Value::Int(_)) | ("bool", v @ Value::Bool(_)) | ("null", v @ Value::Null) => Some(v),
        ("float", v @ Value::Float(_)) | ("timestamp", v @ Value::Time(_)) => Some(v),
        #[expect(clippy::cast_precision_loss, reason = "the tag asks for it")]
        ("float", Value::Int(n)) => Some(Value::Float(n as f64)),
        ("int" | "bool" | "null" | "float" | "timestamp", _) => None,
        (_, _) => Some(by_style()),
    };
    match value {
        Some(value) => Ok((value, None)),
        None => Err(YamlError::new(pos.clone(), format!("cannot read {text:?} as !!{}", tag.suffix))),
    }
}

/// `<<`: what `map` does not have itself comes from the merged mappings, the first one winning.
fn merge_into(map: &mut Map, merge: Node) -> Result<(), YamlError> {
    let sources = match merge.value {
        Value::Map(source) => vec![source],
        Value::Seq(items) => {
            let mut sources = Vec::with_capacity(items.len());
            for item in items {
                match item.value {
                    Value::Map(source) => sources.push(source),
                    _ => return Err(not_mergeable(item.pos)),
                }
            }
            sources
        }
        _ => return Err(not_mergeable(merge.pos)),
    };
    for source in sources {
        for (name, entry) in source {
            map.entry(name).or_insert(entry);
        }
    }
    Ok(())
}

fn not_mergeable(pos: Pos) -> YamlError {
    YamlError::new(pos, "map merge requires map or sequence of maps as the value").hint("write <<: *anchor or <<: [*a, *b]")
}

fn drop_resets(node: &mut Node) {
    match &mut node.value {
        Value::Map(map) => {
            map.retain(|_, entry| entry.node.directive != Some(Directive::Reset));
            map.values_mut().for_each(|entry| drop_resets(&mut entry.node));
        }
        Value::Seq(items) => {
            items.retain(|item| item.directive != Some(Directive::Reset));
            items.iter_mut().for_each(drop_resets);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
