//! Tokens to structure. What is found is told to the [`Builder`], which bounds the depth, and with it the recursion here.

use std::collections::HashMap;

use super::{
    YamlError,
    builder::{Builder, Properties},
    reader::Mark,
    scan::Scanner,
    token::{Fault, Flow, Token, TokenKind},
};

/// What `!!` stands for unless a directive says otherwise.
const CORE_TAGS: &str = "tag:yaml.org,2002:";

/// Reads every document of `text` into `builder`.
///
/// # Errors
///
/// The first mistake, of the text or of what it means.
pub(super) fn read(text: &str, builder: &mut Builder<'_>) -> Result<(), YamlError> {
    let mut grammar = Grammar { scanner: Scanner::new(text), builder, prefixes: HashMap::new(), asked: None };
    grammar.stream().map_err(|stop| match stop {
        Stop::Text(fault) => grammar.builder.syntax(fault.mark, fault.message),
        Stop::Meaning(error) => error,
    })
}

enum Stop {
    Text(Fault),
    Meaning(YamlError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Text(fault)
    }
}

impl From<YamlError> for Stop {
    fn from(error: YamlError) -> Stop {
        Stop::Meaning(error)
    }
}

struct Grammar<'t, 'b, 'l> {
    scanner: Scanner<'t>,
    builder: &'b mut Builder<'l>,
    /// Prefixes of tags by handle.
    prefixes: HashMap<String, String>,
    /// Where the `:` or `-` stood whose value comes next.
    asked: Option<Mark>,
}

/// Where a node stands, which decides what it may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Flow,
    Block,
    /// The value of a mapping, where a list needs no indentation.
    BlockOfMapping,
}

impl Grammar<'_, '_, '_> {
    fn stream(&mut self) -> Result<(), Stop> {
        // Only the first document may begin without `---`.
        if !matches!(
            self.kind()?,
            TokenKind::Version { .. } | TokenKind::TagPrefix { .. } | TokenKind::DocumentStart | TokenKind::StreamEnd
        ) {
            self.directives()?;
            self.node(Place::Block)?;
            self.document_end()?;
        }
        loop {
            while *self.kind()? == TokenKind::DocumentEnd {
                self.scanner.next()?;
            }
            if *self.kind()? == TokenKind::StreamEnd {
                return Ok(());
            }
            self.directives()?;
            let start = self.scanner.next()?;
            if start.kind != TokenKind::DocumentStart {
                let message =
                    "the document ended before this; is it indented less than the lines above, or is --- missing?";
                return Err(Fault::new(start.mark, message).into());
            }
            match self.kind()? {
                TokenKind::Version { .. }
                | TokenKind::TagPrefix { .. }
                | TokenKind::DocumentStart
                | TokenKind::DocumentEnd
                | TokenKind::StreamEnd => self.nothing()?,
                _ => self.node(Place::Block)?,
            }
            self.document_end()?;
        }
    }

    fn document_end(&mut self) -> Result<(), Stop> {
        if *self.kind()? == TokenKind::DocumentEnd {
            self.scanner.next()?;
        }
        self.prefixes.clear();
        Ok(())
    }

    fn directives(&mut self) -> Result<(), Stop> {
        let mut versioned = false;
        loop {
            match self.scanner.peek()? {
                Token { kind: TokenKind::Version { major, minor }, mark } => {
                    if versioned {
                        return Err(Fault::new(*mark, "%YAML stands here twice").into());
                    }
                    if (*major, *minor) != (1, 1) {
                        return Err(Fault::new(*mark, "Compose reads %YAML 1.1 only; remove this line").into());
                    }
                    versioned = true;
                }
                Token { kind: TokenKind::TagPrefix { handle, prefix }, mark } => {
                    if self.prefixes.insert(handle.clone(), prefix.clone()).is_some() {
                        return Err(Fault::new(*mark, "%TAG stands here twice for this name").into());
                    }
                }
                _ => break,
            }
            self.scanner.next()?;
        }
        self.prefixes.entry("!".to_owned()).or_insert_with(|| "!".to_owned());
        self.prefixes.entry("!!".to_owned()).or_insert_with(|| CORE_TAGS.to_owned());
        Ok(())
    }

    fn kind(&mut self) -> Result<&TokenKind, Fault> {
        Ok(&self.scanner.peek()?.kind)
    }

    /// Takes the next token if it is of this kind.
    fn take(&mut self, kind: &TokenKind) -> Result<bool, Fault> {
        let found = self.kind()? == kind;
        self.asked = None;
        if found {
            self.asked = Some(self.scanner.next()?.mark);
        }
        Ok(found)
    }

    /// A value that is not written. Its place is behind what asks for it, not at what comes lines later.
    fn nothing(&mut self) -> Result<(), Stop> {
        let next = self.scanner.peek()?.mark;
        let mark = match self.asked.take() {
            Some(Mark { index, line, column }) if line < next.line => {
                Mark { index: index + 1, line, column: column + 1 }
            }
            _ => next,
        };
        self.builder.scalar("", true, Properties { mark, anchor: None, tag: None })?;
        Ok(())
    }

    fn node(&mut self, place: Place) -> Result<(), Stop> {
        self.asked = None;
        if let Token { kind: TokenKind::Alias(name), mark } = self.scanner.peek()? {
            let (name, mark) = (name.clone(), *mark);
            self.scanner.next()?;
            return Ok(self.builder.alias(&name, mark)?);
        }
        let properties = self.properties()?;
        let bare = properties.anchor.is_none() && properties.tag.is_none();
        match self.kind()? {
            TokenKind::BlockEntry if place == Place::BlockOfMapping => self.list_without_indentation(properties),
            TokenKind::Scalar { .. } => {
                if let TokenKind::Scalar { text, plain } = self.scanner.next()?.kind {
                    self.builder.scalar(&text, plain, properties)?;
                }
                Ok(())
            }
            TokenKind::FlowStart(Flow::Sequence) => self.flow_sequence(properties),
            TokenKind::FlowStart(Flow::Mapping) => self.flow_mapping(properties),
            TokenKind::BlockSequence if place != Place::Flow => self.block_sequence(properties),
            TokenKind::BlockMapping if place != Place::Flow => self.block_mapping(properties),
            _ if !bare => Ok(self.builder.scalar("", true, properties)?),
            _ => Err(self.unexpected("a value is missing before this").into()),
        }
    }

    fn unexpected(&mut self, message: &'static str) -> Fault {
        match self.scanner.peek() {
            Ok(token) => Fault::new(token.mark, message),
            Err(fault) => fault,
        }
    }

    /// An anchor and a tag, in either order.
    fn properties(&mut self) -> Result<Properties, Stop> {
        let mut properties = Properties { mark: self.scanner.peek()?.mark, anchor: None, tag: None };
        loop {
            match self.kind()? {
                TokenKind::Anchor(name) if properties.anchor.is_none() => properties.anchor = Some(name.clone()),
                TokenKind::Tag { handle, suffix } if properties.tag.is_none() => {
                    let (handle, suffix) = (handle.clone(), suffix.clone());
                    properties.tag = Some(self.tag(&handle, &suffix)?);
                }
                _ => return Ok(properties),
            }
            self.scanner.next()?;
        }
    }

    /// The whole tag, `!!` for the prefix of YAML's own tags.
    fn tag(&mut self, handle: &str, suffix: &str) -> Result<String, Stop> {
        let whole = if handle.is_empty() {
            suffix.to_owned()
        } else {
            match self.prefixes.get(handle) {
                Some(prefix) => format!("{prefix}{suffix}"),
                None => return Err(self.unexpected("this tag's name is not declared with %TAG").into()),
            }
        };
        Ok(match whole.strip_prefix(CORE_TAGS) {
            Some(core) => format!("!!{core}"),
            None => whole,
        })
    }

    fn list_without_indentation(&mut self, properties: Properties) -> Result<(), Stop> {
        self.builder.begin_list(properties)?;
        while self.take(&TokenKind::BlockEntry)? {
            match self.kind()? {
                TokenKind::BlockEntry | TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => self.nothing()?,
                _ => self.node(Place::Block)?,
            }
        }
        Ok(self.builder.end()?)
    }

    fn block_sequence(&mut self, properties: Properties) -> Result<(), Stop> {
        self.scanner.next()?;
        self.builder.begin_list(properties)?;
        while self.take(&TokenKind::BlockEntry)? {
            match self.kind()? {
                TokenKind::BlockEntry | TokenKind::BlockEnd => self.nothing()?,
                _ => self.node(Place::Block)?,
            }
        }
        if !self.take(&TokenKind::BlockEnd)? {
            return Err(self.unexpected("a list entry (-) is expected here").into());
        }
        Ok(self.builder.end()?)
    }

    fn block_mapping(&mut self, properties: Properties) -> Result<(), Stop> {
        self.scanner.next()?;
        self.builder.begin_map(properties)?;
        loop {
            if self.take(&TokenKind::BlockEnd)? {
                return Ok(self.builder.end()?);
            }
            if !self.take(&TokenKind::Key)? {
                return Err(self.unexpected("a key is expected here").into());
            }
            self.block_mapping_part()?;
            if self.take(&TokenKind::Value)? {
                self.block_mapping_part()?;
            } else {
                self.nothing()?;
            }
        }
    }

    fn block_mapping_part(&mut self) -> Result<(), Stop> {
        match self.kind()? {
            TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => self.nothing(),
            _ => self.node(Place::BlockOfMapping),
        }
    }

    fn flow_sequence(&mut self, properties: Properties) -> Result<(), Stop> {
        self.scanner.next()?;
        self.builder.begin_list(properties)?;
        let mut first = true;
        while !self.take(&TokenKind::FlowEnd(Flow::Sequence))? {
            if !first && !self.take(&TokenKind::FlowEntry)? {
                return Err(self.unexpected("a `,` or `]` is missing before this").into());
            }
            first = false;
            match self.kind()? {
                TokenKind::FlowEnd(Flow::Sequence) => {}
                TokenKind::Key => self.pair()?,
                _ => self.node(Place::Flow)?,
            }
        }
        Ok(self.builder.end()?)
    }

    /// `key: value` in brackets is a mapping of one.
    fn pair(&mut self) -> Result<(), Stop> {
        let mark = self.scanner.next()?.mark;
        self.builder.begin_map(Properties { mark, anchor: None, tag: None })?;
        match self.kind()? {
            TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowEnd(Flow::Sequence) => {
                self.nothing()?;
                // yaml.v3 takes this token for the key.
                self.scanner.next()?;
            }
            _ => self.node(Place::Flow)?,
        }
        self.flow_value(Flow::Sequence)?;
        Ok(self.builder.end()?)
    }

    fn flow_mapping(&mut self, properties: Properties) -> Result<(), Stop> {
        self.scanner.next()?;
        self.builder.begin_map(properties)?;
        let mut first = true;
        while !self.take(&TokenKind::FlowEnd(Flow::Mapping))? {
            if !first && !self.take(&TokenKind::FlowEntry)? {
                return Err(self.unexpected("a `,` or `}` is missing before this").into());
            }
            first = false;
            match self.kind()? {
                TokenKind::FlowEnd(Flow::Mapping) => {}
                TokenKind::Key => {
                    self.scanner.next()?;
                    match self.kind()? {
                        TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowEnd(Flow::Mapping) => {
                            self.nothing()?
                        }
                        _ => self.node(Place::Flow)?,
                    }
                    self.flow_value(Flow::Mapping)?;
                }
                _ => {
                    self.node(Place::Flow)?;
                    self.nothing()?;
                }
            }
        }
        Ok(self.builder.end()?)
    }

    /// `: value`, or nothing.
    fn flow_value(&mut self, around: Flow) -> Result<(), Stop> {
        if self.take(&TokenKind::Value)? {
            let ends = match self.kind()? {
                TokenKind::FlowEntry => true,
                TokenKind::FlowEnd(flow) => *flow == around,
                _ => false,
            };
            if !ends {
                return self.node(Place::Flow);
            }
        }
        self.nothing()
    }
}
