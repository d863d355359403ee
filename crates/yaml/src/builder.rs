//! Events to trees: anchors, merge keys, duplicate keys, limits.

use std::{collections::HashMap, sync::Arc};

use base64::Engine;

use super::{
    Directive, Entry, Limits, Map, Node, Pos, Value, YamlError, alias_paths::AliasPaths, reader::Mark, scalar,
};

/// Documents under construction.
pub(super) struct Builder<'l> {
    file: Arc<str>,
    limits: &'l Limits,
    nodes: usize,
    /// Of all texts and keys.
    bytes: usize,
    open: Vec<Frame>,
    /// By name. They outlive their document, as in yaml.v3.
    anchors: HashMap<String, Anchored>,
    paths: AliasPaths,
    documents: Vec<Node>,
}

struct Anchored {
    node: Node,
    nodes: usize,
    /// Bytes of its texts.
    bytes: usize,
    depth: usize,
    /// Where [`AliasPaths`] knows it from.
    id: usize,
}

/// A collection whose end has not come yet.
struct Frame {
    pos: Pos,
    directive: Option<Directive>,
    anchor: Option<String>,
    kind: FrameKind,
    /// `Builder::nodes` when it began.
    nodes_before: usize,
    /// `Builder::bytes` when it began.
    bytes_before: usize,
    /// Depth of what it holds, so far.
    depth: usize,
}

/// What stands before a value.
pub(super) struct Properties {
    /// Where the value, or what stands before it, begins.
    pub mark: Mark,
    /// The name after `&`.
    pub anchor: Option<String>,
    /// The tag, whole; YAML's own begin with `!!`.
    pub tag: Option<String>,
}

enum FrameKind {
    Seq(Vec<Node>),
    Map { map: Map, key: Option<Key>, merges: Vec<Node>, merge_seen: Option<Pos> },
}

struct Key {
    name: String,
    /// Why it cannot be a key. Does not matter when its value is reset.
    fault: Option<Box<YamlError>>,
    pos: Pos,
    merge: bool,
}

impl<'l> Builder<'l> {
    pub(super) fn new(file: Arc<str>, limits: &'l Limits) -> Self {
        let paths = AliasPaths::new(limits.refuse_apparent_cycles);
        let (open, anchors) = (Vec::new(), HashMap::new());
        Builder { file, limits, nodes: 0, bytes: 0, open, anchors, paths, documents: Vec::new() }
    }

    /// What was built.
    pub(super) fn documents(self) -> Vec<Node> {
        self.documents
    }

    fn pos(&self, mark: Mark) -> Pos {
        let cast = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        Pos::new(self.file.clone(), cast(mark.line), cast(mark.column))
    }

    /// An error of the text, said for people.
    pub(super) fn syntax(&self, mark: Mark, message: &str) -> YamlError {
        YamlError::new(self.pos(mark), format!("not YAML: {message}"))
            .hint("check indentation (blanks, no tabs), the blank after `:`, and quotes on this and the previous line")
    }

    pub(super) fn scalar(&mut self, text: &str, plain: bool, properties: Properties) -> Result<(), YamlError> {
        let Properties { mark, anchor, tag } = properties;
        let pos = self.pos(mark);
        self.count(1, text.len(), &pos)?;
        if self.wants_key() {
            let merge = plain && text == "<<" && tag.as_deref().is_none_or(|tag| tag == "!" || tag == "!!merge");
            if let Some(anchor) = &anchor {
                let node = Node::new(scalar_value(text, plain, tag.as_deref(), &pos)?.0, pos.clone());
                let id = self.paths.anchor(None);
                self.keep(Some(anchor), &node, (1, text.len()), 1, id)?;
            }
            return self.key(text, plain, tag.as_deref(), merge, pos);
        }
        let (value, directive) = scalar_value(text, plain, tag.as_deref(), &pos)?;
        let node = Node { value, pos, directive };
        let id = if anchor.is_some() { self.paths.anchor(None) } else { 0 };
        self.keep(anchor.as_deref(), &node, (1, text.len()), 1, id)?;
        self.place(node, 1)
    }

    /// A list begins.
    pub(super) fn begin_list(&mut self, properties: Properties) -> Result<(), YamlError> {
        self.begin(properties, FrameKind::Seq(Vec::new()))
    }

    /// A mapping begins.
    pub(super) fn begin_map(&mut self, properties: Properties) -> Result<(), YamlError> {
        self.begin(properties, FrameKind::Map { map: Map::new(), key: None, merges: Vec::new(), merge_seen: None })
    }

    fn count(&mut self, nodes: usize, bytes: usize, pos: &Pos) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.bytes = self.bytes.saturating_add(bytes);
        let (most, what) = if self.nodes > self.limits.max_nodes {
            (self.limits.max_nodes, "values")
        } else if self.bytes > self.limits.max_text {
            (self.limits.max_text, "bytes of text")
        } else {
            return Ok(());
        };
        Err(YamlError::new(pos.clone(), format!("the text means more than {most} {what} once aliases are expanded"))
            .hint("use fewer or smaller aliases"))
    }

    fn too_deep(&self, pos: &Pos) -> YamlError {
        YamlError::new(pos.clone(), format!("nested deeper than {} levels", self.limits.max_depth))
            .hint("use fewer nested lists, mappings and aliases")
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { kind: FrameKind::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, text: &str, plain: bool, tag: Option<&str>, merge: bool, pos: Pos) -> Result<(), YamlError> {
        let (value, _) = scalar_value(text, plain, tag, &pos)?;
        let (name, fault) = match value {
            Value::Str(name) => (name, None),
            other => {
                let message = format!("key {text:?} is {}, keys must be strings", other.kind());
                let hint = format!("quote the key: \"{text}\"");
                (text.to_owned(), Some(Box::new(YamlError::new(pos.clone(), message).hint(hint))))
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
            *key = Some(Key { name, fault, pos, merge });
        }
        Ok(())
    }

    pub(super) fn alias(&mut self, name: &str, mark: Mark) -> Result<(), YamlError> {
        let pos = self.pos(mark);
        let Some(anchored) = self.anchors.get(name) else {
            if self.open.iter().any(|frame| frame.anchor.as_deref() == Some(name)) {
                return Err(YamlError::new(pos, "the alias stands inside the value that it refers to")
                    .hint("an alias may only refer to a finished value before it"));
            }
            return Err(YamlError::new(pos, format!("not YAML: there is no anchor {name:?} before this alias"))
                .hint(format!("an alias *{name} needs an anchor &{name} earlier in the same file")));
        };
        let Anchored { node, nodes, bytes, depth, id } = anchored;
        let (nodes, bytes, depth, id) = (*nodes, *bytes, *depth, *id);
        if self.wants_key() {
            let name = node.as_str().map(str::to_owned);
            let Some(name) = name else {
                return Err(YamlError::new(pos, "this alias is used as a key but is not a string"));
            };
            self.count(1, name.len(), &pos)?;
            return self.key(&name, false, None, false, pos);
        }
        if self.open.len() + depth > self.limits.max_depth {
            return Err(self.too_deep(&pos));
        }
        if self.open.iter().all(|frame| frame.directive.is_none()) {
            let step = self.step();
            self.paths.alias(id, step.as_deref(), name).map_err(|message| {
                let hint = "Compose takes that for a cycle: write the value out in one of the two places";
                YamlError::new(pos.clone(), message).hint(hint)
            })?;
        }
        let node = if self.nodes.saturating_add(nodes) <= self.limits.max_nodes
            && self.bytes.saturating_add(bytes) <= self.limits.max_text
        {
            node.clone()
        } else {
            // Too much to be copied: the count says so.
            Node::new(Value::Null, pos.clone())
        };
        self.count(nodes, bytes, &pos)?;
        self.place(node, depth)
    }

    fn begin(&mut self, properties: Properties, kind: FrameKind) -> Result<(), YamlError> {
        let Properties { mark, anchor, tag } = properties;
        let pos = self.pos(mark);
        if self.wants_key() {
            return Err(YamlError::new(pos, "a list or mapping cannot be a key")
                .hint("keys must be strings; quote text that begins with { or ["));
        }
        let (nodes_before, bytes_before) = (self.nodes, self.bytes);
        self.count(1, 0, &pos)?;
        if self.open.len() >= self.limits.max_depth {
            return Err(self.too_deep(&pos));
        }
        // From here on the name means this value, which is not finished.
        if let Some(anchor) = &anchor {
            self.anchors.remove(anchor);
        }
        let directive = tag.as_deref().and_then(directive_of);
        let step = self.step();
        self.paths.enter(step.as_deref());
        self.open.push(Frame { pos, directive, anchor, kind, nodes_before, bytes_before, depth: 1 });
        Ok(())
    }

    /// The list or mapping begun last ends.
    pub(super) fn end(&mut self) -> Result<(), YamlError> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let level = self.paths.leave();
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
        let size = (self.nodes - frame.nodes_before, self.bytes - frame.bytes_before);
        let id = if frame.anchor.is_some() { self.paths.anchor(Some(&level)) } else { 0 };
        self.keep(frame.anchor.as_deref(), &node, size, frame.depth, id)?;
        self.place(node, frame.depth)
    }

    /// Remembers an anchored value of so many values and bytes.
    fn keep(
        &mut self,
        anchor: Option<&str>,
        node: &Node,
        (nodes, bytes): (usize, usize),
        depth: usize,
        id: usize,
    ) -> Result<(), YamlError> {
        let Some(anchor) = anchor else { return Ok(()) };
        self.count(nodes, bytes, &node.pos)?;
        let mut node = node.clone();
        drop_resets(&mut node);
        self.anchors.insert(anchor.to_owned(), Anchored { node, nodes, bytes, depth, id });
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node, depth: usize) -> Result<(), YamlError> {
        let inner = self.open.len() > 1;
        let Some(frame) = self.open.last_mut() else {
            self.documents.push(node);
            self.paths.end_document();
            return Ok(());
        };
        frame.depth = frame.depth.max(depth + 1);
        match &mut frame.kind {
            FrameKind::Seq(items) => items.push(node),
            FrameKind::Map { map, key, merges, .. } => match key.take() {
                // A directive on what is merged in counts for the mapping that it is merged into, as Compose has it.
                Some(Key { merge: true, .. }) if node.directive.is_some() && inner => {
                    frame.directive = frame.directive.or(Some(Directive::Override));
                    if node.directive == Some(Directive::Override) {
                        merges.push(node);
                    }
                }
                Some(Key { fault: Some(fault), .. }) if node.directive != Some(Directive::Reset) => return Err(*fault),
                // What is reset is not there.
                Some(key) if key.merge && node.directive == Some(Directive::Reset) => {}
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

impl Builder<'_> {
    /// The step from the innermost open collection to the value that comes next; `None` in a document of its own.
    fn step(&self) -> Option<String> {
        self.open.last().map(|frame| match &frame.kind {
            FrameKind::Seq(items) => items.len().to_string(),
            FrameKind::Map { key: Some(key), .. } => key.name.clone(),
            FrameKind::Map { key: None, .. } => String::new(),
        })
    }
}

fn directive_of(tag: &str) -> Option<Directive> {
    match tag {
        "!reset" => Some(Directive::Reset),
        "!override" => Some(Directive::Override),
        _ => None,
    }
}

fn scalar_value(
    text: &str,
    plain: bool,
    tag: Option<&str>,
    pos: &Pos,
) -> Result<(Value, Option<Directive>), YamlError> {
    let by_style = || if plain { scalar::resolve(text) } else { Value::Str(text.to_owned()) };
    // A lone `!` says nothing.
    let Some(tag) = tag.filter(|tag| *tag != "!") else { return Ok((by_style(), None)) };
    let value = match (tag, scalar::resolve(text)) {
        ("!!binary", _) => base64::engine::general_purpose::STANDARD
            .decode(text.replace(['\n', '\r'], ""))
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(Value::Str),
        ("!!int", v @ (Value::Int(_) | Value::Uint(_)))
        | ("!!bool", v @ Value::Bool(_))
        | ("!!null", v @ Value::Null) => Some(v),
        ("!!float", v @ Value::Float(_)) | ("!!timestamp", v @ Value::Time(_)) => Some(v),
        #[expect(clippy::cast_precision_loss, reason = "the tag asks for it")]
        ("!!float", Value::Int(n)) => Some(Value::Float(n as f64)),
        ("!!int" | "!!bool" | "!!null" | "!!float" | "!!timestamp", _) => None,
        // Any other tag, `!override` too, makes the scalar text.
        (_, _) => Some(Value::Str(text.to_owned())),
    };
    match value {
        Some(value) => Ok((value, directive_of(tag))),
        None => Err(YamlError::new(pos.clone(), format!("cannot read {text:?} as {tag}"))),
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
