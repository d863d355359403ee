//! Text to tokens, as Go's yaml.v3 (a descendant of libyaml, YAML 1.1 with a few leniencies) divides it, because that
//! is how Compose reads.
//!
//! A key shows itself only by the `:` behind it. So tokens that may turn out to begin a key are held back until the
//! question is settled: by a `:`, by the end of the line, or by 1024 characters.

use std::collections::VecDeque;

use super::{
    reader::{Mark, Reader, is_blank_or_end, is_break, is_word},
    token::{Fault, Flow, Token, TokenKind},
};

/// Characters that a key may have, quotes and brackets included.
const MAX_KEY_LENGTH: usize = 1024;

/// Bytes that a tag or the prefix of some may have.
const MAX_TAG_LENGTH: usize = 1024;

/// Characters that a comment may stand apart from what precedes it to be skipped together with it.
const COMMENT_REACH: usize = 512;

/// Divides a text into tokens.
pub(super) struct Scanner<'t> {
    pub(super) reader: Reader<'t>,
    queue: VecDeque<Token>,
    /// Tokens taken out of the queue.
    taken: usize,
    /// Column of the innermost block collection; -1 outside of all.
    pub(super) indent: isize,
    indents: Vec<isize>,
    /// A key that may have begun, for the block level and for each open bracket.
    keys: Vec<Option<PossibleKey>>,
    /// Whether a key may begin at the next token.
    pub(super) key_allowed: bool,
    ended: bool,
}

#[derive(Clone, Copy)]
struct PossibleKey {
    /// Nothing but a key can stand there.
    required: bool,
    /// Number of its first token.
    token: usize,
    mark: Mark,
}

impl<'t> Scanner<'t> {
    /// At the beginning of `text`.
    pub(super) fn new(text: &'t str) -> Self {
        Scanner {
            reader: Reader::new(text),
            queue: VecDeque::new(),
            taken: 0,
            indent: -1,
            indents: Vec::new(),
            keys: vec![None],
            key_allowed: true,
            ended: false,
        }
    }

    /// The next token, left where it is. After the end it is [`TokenKind::StreamEnd`] for ever.
    pub(super) fn peek(&mut self) -> Result<&Token, Fault> {
        while !self.ended && (self.queue.is_empty() || self.head_may_be_key()?) {
            self.fetch()?;
        }
        if self.queue.is_empty() {
            self.push(TokenKind::StreamEnd, self.reader.mark());
        }
        Ok(&self.queue[0])
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> Result<Token, Fault> {
        self.peek()?;
        self.taken += 1;
        let end = Token { kind: TokenKind::StreamEnd, mark: self.reader.mark() };
        Ok(self.queue.pop_front().unwrap_or(end))
    }

    fn head_may_be_key(&mut self) -> Result<bool, Fault> {
        match self.keys.iter().position(|key| key.is_some_and(|key| key.token == self.taken)) {
            Some(level) => self.is_still_key(level),
            None => Ok(false),
        }
    }

    /// Whether the possible key of a level can still become one.
    fn is_still_key(&mut self, level: usize) -> Result<bool, Fault> {
        let Some(key) = self.keys.get(level).copied().flatten() else { return Ok(false) };
        let now = self.reader.mark();
        if key.mark.line == now.line && key.mark.index + MAX_KEY_LENGTH >= now.index {
            return Ok(true);
        }
        self.drop_key(level)?;
        Ok(false)
    }

    fn drop_key(&mut self, level: usize) -> Result<(), Fault> {
        match self.keys.get_mut(level).and_then(Option::take) {
            Some(key) if key.required => Err(Fault::new(key.mark, "a `:` is missing after this key")),
            _ => Ok(()),
        }
    }

    pub(super) fn in_flow(&self) -> bool {
        self.keys.len() > 1
    }

    fn push(&mut self, kind: TokenKind, mark: Mark) {
        self.queue.push_back(Token { kind, mark });
    }

    /// Where a key might begin, one is expected from now on.
    fn begin_key(&mut self) -> Result<(), Fault> {
        if self.key_allowed {
            let mark = self.reader.mark();
            let level = self.keys.len() - 1;
            self.drop_key(level)?;
            let required = !self.in_flow() && isize::try_from(mark.column) == Ok(self.indent);
            self.keys[level] = Some(PossibleKey { required, token: self.taken + self.queue.len(), mark });
        }
        Ok(())
    }

    fn end_key(&mut self) -> Result<(), Fault> {
        self.drop_key(self.keys.len() - 1)
    }

    /// Begins a block collection if `column` lies right of the present one. `at` is the token it goes before.
    fn roll(&mut self, column: usize, at: Option<usize>, kind: TokenKind, mark: Mark) {
        let column = isize::try_from(column).unwrap_or(isize::MAX);
        if self.in_flow() || self.indent >= column {
            return;
        }
        self.indents.push(self.indent);
        self.indent = column;
        let at = at.map_or(self.queue.len(), |number| number - self.taken);
        self.queue.insert(at, Token { kind, mark });
    }

    /// Ends the block collections that lie right of `column`.
    fn unroll(&mut self, column: isize) {
        while !self.in_flow() && self.indent > column {
            self.push(TokenKind::BlockEnd, self.reader.mark());
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn fetch(&mut self) -> Result<(), Fault> {
        self.skip_to_token();
        let mark = self.reader.mark();
        self.unroll(isize::try_from(mark.column).unwrap_or(isize::MAX));
        let Some(first) = self.reader.peek() else { return self.end_stream() };
        if mark.column == 0 && first == '%' {
            self.end_block()?;
            let directive = self.directive()?;
            self.push(directive, mark);
            return Ok(());
        }
        if self.reader.at_document_indicator() {
            self.end_block()?;
            self.reader.skip(3);
            self.push(if first == '-' { TokenKind::DocumentStart } else { TokenKind::DocumentEnd }, mark);
            return Ok(());
        }
        self.fetch_content(first, mark)?;
        let entry = self.queue.back().is_some_and(|token| token.kind == TokenKind::BlockEntry);
        if !entry {
            self.skip_comment_behind();
        }
        Ok(())
    }

    fn fetch_content(&mut self, first: char, mark: Mark) -> Result<(), Fault> {
        let lone = is_blank_or_end(self.reader.peek_at(1));
        let flow = self.in_flow();
        match first {
            '[' => self.flow_start(Flow::Sequence, mark),
            '{' => self.flow_start(Flow::Mapping, mark),
            ']' => self.flow_end(Flow::Sequence, mark),
            '}' => self.flow_end(Flow::Mapping, mark),
            ',' => {
                self.end_key()?;
                self.indicator(TokenKind::FlowEntry, true, mark)
            }
            '-' if lone => self.block_entry(mark),
            '?' if flow || lone => self.explicit_key(mark),
            ':' if flow || lone => self.value(mark),
            '*' | '&' => {
                self.begin_key()?;
                self.key_allowed = false;
                let name = self.name()?;
                self.push(if first == '*' { TokenKind::Alias(name) } else { TokenKind::Anchor(name) }, mark);
                Ok(())
            }
            '!' => {
                self.begin_key()?;
                self.key_allowed = false;
                let tag = self.tag()?;
                self.push(tag, mark);
                Ok(())
            }
            '|' | '>' if !flow => {
                self.end_key()?;
                self.key_allowed = true;
                let text = self.block_scalar(first == '|')?;
                self.push(TokenKind::Scalar { text, plain: false }, mark);
                Ok(())
            }
            '\'' | '"' => {
                self.begin_key()?;
                self.key_allowed = false;
                let text = self.quoted_scalar(first)?;
                self.push(TokenKind::Scalar { text, plain: false }, mark);
                Ok(())
            }
            // A dash before a line break was an entry above; in brackets it is nothing.
            '-' if !lone => self.plain(mark),
            '?' | ':' if !flow && !lone => self.plain(mark),
            '\t' => Err(Fault::new(mark, "a tab cannot indent; use blanks")),
            '@' | '`' | '%' | '|' | '>' => {
                Err(Fault::new(mark, "this character cannot begin a value; put the text into quotes"))
            }
            _ => self.plain(mark),
        }
    }

    fn plain(&mut self, mark: Mark) -> Result<(), Fault> {
        self.begin_key()?;
        self.key_allowed = false;
        let text = self.plain_scalar()?;
        self.push(TokenKind::Scalar { text, plain: true }, mark);
        Ok(())
    }

    fn indicator(&mut self, kind: TokenKind, key_allowed: bool, mark: Mark) -> Result<(), Fault> {
        self.key_allowed = key_allowed;
        self.reader.next();
        self.push(kind, mark);
        Ok(())
    }

    fn flow_start(&mut self, flow: Flow, mark: Mark) -> Result<(), Fault> {
        self.begin_key()?;
        self.keys.push(None);
        self.indicator(TokenKind::FlowStart(flow), true, mark)
    }

    fn flow_end(&mut self, flow: Flow, mark: Mark) -> Result<(), Fault> {
        self.end_key()?;
        if self.in_flow() {
            self.keys.pop();
        }
        self.indicator(TokenKind::FlowEnd(flow), false, mark)
    }

    fn block_entry(&mut self, mark: Mark) -> Result<(), Fault> {
        if !self.in_flow() {
            if !self.key_allowed {
                return Err(Fault::new(mark, "block sequence entries (-) are not allowed in this context"));
            }
            self.roll(mark.column, None, TokenKind::BlockSequence, mark);
        }
        self.end_key()?;
        self.indicator(TokenKind::BlockEntry, true, mark)
    }

    fn explicit_key(&mut self, mark: Mark) -> Result<(), Fault> {
        let block = !self.in_flow();
        if block {
            if !self.key_allowed {
                return Err(Fault::new(mark, "mapping keys (?) are not allowed in this context"));
            }
            self.roll(mark.column, None, TokenKind::BlockMapping, mark);
        }
        self.end_key()?;
        self.indicator(TokenKind::Key, block, mark)
    }

    fn value(&mut self, mark: Mark) -> Result<(), Fault> {
        let level = self.keys.len() - 1;
        if self.is_still_key(level)?
            && let Some(key) = self.keys[level].take()
        {
            self.queue.insert(key.token - self.taken, Token { kind: TokenKind::Key, mark: key.mark });
            self.roll(key.mark.column, Some(key.token), TokenKind::BlockMapping, key.mark);
            return self.indicator(TokenKind::Value, false, mark);
        }
        let block = !self.in_flow();
        if block {
            if !self.key_allowed {
                return Err(Fault::new(mark, "mapping values are not allowed in this context"));
            }
            self.roll(mark.column, None, TokenKind::BlockMapping, mark);
        }
        self.indicator(TokenKind::Value, block, mark)
    }

    fn end_block(&mut self) -> Result<(), Fault> {
        self.unroll(-1);
        self.end_key()?;
        self.key_allowed = false;
        Ok(())
    }

    fn end_stream(&mut self) -> Result<(), Fault> {
        self.end_block()?;
        self.ended = true;
        self.push(TokenKind::StreamEnd, self.reader.mark());
        Ok(())
    }

    /// Skips blanks, comments and line breaks.
    fn skip_to_token(&mut self) {
        loop {
            // Where a key may begin, a tab would indent it.
            self.reader.skip_blanks(self.in_flow() || !self.key_allowed);
            if self.reader.peek() == Some('#') {
                self.skip_comments();
            }
            if self.reader.line_break().is_none() {
                return;
            }
            if !self.in_flow() {
                self.key_allowed = true;
            }
        }
    }

    /// Skips a comment, and those on the lines after it, however they are indented.
    fn skip_comments(&mut self) {
        loop {
            self.reader.skip_to_line_end();
            let blank = |c: &char| matches!(c, ' ' | '\t') || is_break(*c);
            let gap = self.reader.rest().chars().take(COMMENT_REACH).take_while(blank).count();
            if gap == COMMENT_REACH || self.reader.peek_at(gap) != Some('#') {
                return;
            }
            while self.reader.peek() != Some('#') {
                if self.reader.line_break().is_none() {
                    self.reader.next();
                }
            }
        }
    }

    /// Skips a comment that stands on the line of the token before it.
    fn skip_comment_behind(&mut self) {
        if self.reader.is_fresh_line() {
            return;
        }
        let gap = self.reader.rest().chars().take(COMMENT_REACH).take_while(|c| matches!(c, ' ' | '\t')).count();
        if gap < COMMENT_REACH && self.reader.peek_at(gap) == Some('#') {
            self.reader.skip_to_line_end();
        }
    }

    /// `*name` or `&name`.
    fn name(&mut self) -> Result<String, Fault> {
        let mark = self.reader.mark();
        self.reader.next();
        let name = self.word();
        let next = self.reader.peek();
        let ends = is_blank_or_end(next) || next.is_some_and(|c| "?:,]}%@`".contains(c));
        if name.is_empty() || !ends {
            return Err(Fault::new(
                mark,
                "names of anchors have letters, digits, _ and - only; put other text into quotes",
            ));
        }
        Ok(name)
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(char) = self.reader.peek().filter(|c| is_word(*c)) {
            word.push(char);
            self.reader.next();
        }
        word
    }

    fn tag(&mut self) -> Result<TokenKind, Fault> {
        let mark = self.reader.mark();
        let (handle, suffix) = if self.reader.peek_at(1) == Some('<') {
            self.reader.skip(2);
            let suffix = self.tag_text(String::new(), false, mark)?;
            if self.reader.next() != Some('>') {
                return Err(Fault::new(mark, "a `>` is missing after this tag"));
            }
            (String::new(), suffix)
        } else {
            let handle = self.tag_handle();
            if handle.len() > 1 && handle.ends_with('!') {
                (handle, self.tag_text(String::new(), false, mark)?)
            } else {
                let suffix = self.tag_text(handle[1..].to_owned(), true, mark)?;
                if suffix.is_empty() { (String::new(), "!".to_owned()) } else { ("!".to_owned(), suffix) }
            }
        };
        if is_blank_or_end(self.reader.peek()) {
            Ok(TokenKind::Tag { handle, suffix })
        } else {
            Err(Fault::new(mark, "a blank is missing after this tag; put text that begins with ! into quotes"))
        }
    }

    /// `!`, `!name` or `!name!`.
    fn tag_handle(&mut self) -> String {
        self.reader.next();
        let mut handle = format!("!{}", self.word());
        if self.reader.peek() == Some('!') {
            self.reader.next();
            handle.push('!');
        }
        handle
    }

    fn tag_text(&mut self, mut text: String, may_be_empty: bool, mark: Mark) -> Result<String, Fault> {
        let before = self.reader.mark().index;
        while let Some(char) = self.reader.peek().filter(|c| is_word(*c) || ";/?:@&=+$,.!~*'()[]%".contains(*c)) {
            if char == '%' {
                text.push(self.escaped_char(mark)?);
            } else {
                text.push(char);
                self.reader.next();
            }
        }
        // A prefix (%TAG) is written once and copied to every tag that uses it.
        if text.len() > MAX_TAG_LENGTH {
            return Err(Fault::new(mark, "this tag is too long"));
        }
        if !may_be_empty && self.reader.mark().index == before {
            return Err(Fault::new(mark, "this tag has no name"));
        }
        Ok(text)
    }

    /// `%C3%A9`: the octets of one character.
    fn escaped_char(&mut self, mark: Mark) -> Result<char, Fault> {
        let mut octets = Vec::new();
        while octets.len() < 4 {
            let hex = self.reader.rest().strip_prefix('%').and_then(|rest| rest.get(..2));
            let octet = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
            let Some(octet) = octet.and_then(|hex| u8::from_str_radix(hex, 16).ok()) else { break };
            self.reader.skip(3);
            octets.push(octet);
            if let Some(char) = std::str::from_utf8(&octets).ok().and_then(|text| text.chars().next()) {
                return Ok(char);
            }
        }
        Err(Fault::new(mark, "the escapes (%) in this tag do not make a character"))
    }

    fn directive(&mut self) -> Result<TokenKind, Fault> {
        let mark = self.reader.mark();
        self.reader.next();
        let name = self.word();
        let unknown = Fault::new(mark, "a line that begins with % is %YAML 1.1 or %TAG; put other text into quotes");
        if !is_blank_or_end(self.reader.peek()) {
            return Err(unknown);
        }
        self.reader.skip_blanks(true);
        let directive = match name.as_str() {
            "YAML" => self.version(mark)?,
            "TAG" => self.tag_prefix(mark)?,
            _ => return Err(unknown),
        };
        self.reader.skip_blanks(true);
        if self.reader.peek() == Some('#') {
            self.reader.skip_to_line_end();
        }
        if self.reader.peek().is_some() && self.reader.line_break().is_none() {
            return Err(Fault::new(mark, "the line goes on after the directive"));
        }
        Ok(directive)
    }

    fn version(&mut self, mark: Mark) -> Result<TokenKind, Fault> {
        let major = self.version_number(mark)?;
        if self.reader.peek() != Some('.') {
            return Err(Fault::new(mark, "the version is written as %YAML 1.1"));
        }
        self.reader.next();
        Ok(TokenKind::Version { major, minor: self.version_number(mark)? })
    }

    fn version_number(&mut self, mark: Mark) -> Result<u32, Fault> {
        let digits: String = self.reader.rest().chars().take(3).take_while(char::is_ascii_digit).collect();
        self.reader.skip(digits.len());
        match digits.parse() {
            Ok(number) if digits.len() < 3 => Ok(number),
            _ => Err(Fault::new(mark, "the version is written as %YAML 1.1")),
        }
    }

    fn tag_prefix(&mut self, mark: Mark) -> Result<TokenKind, Fault> {
        let wrong = Fault::new(mark, "a tag prefix is written as %TAG !name! prefix");
        if self.reader.peek() != Some('!') {
            return Err(wrong);
        }
        let handle = self.tag_handle();
        if (handle != "!" && !handle.ends_with('!')) || !self.reader.peek().is_some_and(super::reader::is_blank) {
            return Err(wrong);
        }
        self.reader.skip_blanks(true);
        let prefix = self.tag_text(String::new(), false, mark)?;
        if is_blank_or_end(self.reader.peek()) { Ok(TokenKind::TagPrefix { handle, prefix }) } else { Err(wrong) }
    }
}
