//! Events to trees: anchors, merge keys, duplicate keys, limits.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use saphyr_parser::{Event, Marker, ScalarStyle, Tag};

use super::{Directive, Entry, Limits, Map, Node, Pos, Value, YamlError, lenient::PAD, scalar};

/// Documents under construction.
pub(super) struct Builder<'l> {
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

impl<'l> Builder<'l> {
    /// Nothing yet; `padded` are the lines that were moved right.
    pub(super) fn new(file: Arc<str>, limits: &'l Limits, padded: &'l BTreeSet<u32>) -> Self {
        Builder { file, limits, padded, nodes: 0, open: Vec::new(), anchors: HashMap::new(), documents: Vec::new() }
    }

    /// What was built.
    pub(super) fn documents(self) -> Vec<Node> {
        self.documents
    }

    fn pos(&self, marker: &Marker) -> Pos {
        let cast = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (line, column) = (cast(marker.line()), cast(marker.col() + 1));
        let shift = if self.padded.contains(&line) { PAD } else { 0 };
        Pos::new(self.file.clone(), line, column.saturating_sub(shift).max(1))
    }

    /// An error of the scanner, said for people.
    pub(super) fn syntax(&self, marker: &Marker, info: &str) -> YamlError {
        let error = YamlError::new(self.pos(marker), format!("not YAML: {info}"));
        if info.contains("unknown anchor") {
            return error.hint("an alias *name needs an anchor &name earlier in the same document");
        }
        error.hint("check indentation (blanks, no tabs), the blank after `:`, and quotes on this and the previous line")
    }

    /// Takes the next event.
    pub(super) fn event(&mut self, event: Event<'_>, marker: &Marker) -> Result<(), YamlError> {
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
            return Err(YamlError::new(pos, "a list or mapping cannot be a key")
                .hint("keys must be strings; quote text that begins with { or ["));
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
    let by_style = || if style == ScalarStyle::Plain { scalar::resolve(text) } else { Value::Str(text.to_owned()) };
    let Some(tag) = tag else { return Ok((by_style(), None)) };
    if !tag.is_yaml_core_schema() {
        // A lone `!` says nothing; any other private tag, `!override` too, makes the scalar text (Go's yaml.v3).
        let lone = tag.suffix.is_empty() || (tag.handle.is_empty() && tag.suffix == "!");
        let value = if lone { by_style() } else { Value::Str(text.to_owned()) };
        return Ok((value, directive_of(tag)));
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
    YamlError::new(pos, "map merge requires map or sequence of maps as the value")
        .hint("write <<: *anchor or <<: [*a, *b]")
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
