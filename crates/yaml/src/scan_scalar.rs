//! Tokens of scalars: plain, quoted, and block (`|`, `>`).

use super::{
    reader::{is_blank, is_blank_or_end, is_break},
    scan::Scanner,
    token::Fault,
};

/// White space between two pieces of a text, of which folding makes one blank or some line breaks.
#[derive(Default)]
struct Gap {
    blanks: String,
    first_break: Option<char>,
    more_breaks: String,
}

impl Gap {
    fn is_empty(&self) -> bool {
        self.blanks.is_empty() && self.first_break.is_none()
    }

    fn line_break(&mut self, char: char) {
        if self.first_break.is_none() {
            self.blanks.clear();
            self.first_break = Some(char);
        } else {
            self.more_breaks.push(char);
        }
    }

    /// Ends the gap: what it stands for goes to `text`.
    fn fold_into(&mut self, text: &mut String) {
        match self.first_break.take() {
            None => text.push_str(&self.blanks),
            Some('\n') if self.more_breaks.is_empty() => text.push(' '),
            Some('\n') => text.push_str(&self.more_breaks),
            Some(other) => {
                text.push(other);
                text.push_str(&self.more_breaks);
            }
        }
        self.blanks.clear();
        self.more_breaks.clear();
    }
}

impl Scanner<'_> {
    pub(super) fn plain_scalar(&mut self) -> Result<String, Fault> {
        let start = self.reader.mark();
        let flow = self.in_flow();
        let mut text = String::new();
        let mut gap = Gap::default();
        while !self.reader.at_document_indicator() && self.reader.peek() != Some('#') {
            while let Some(char) = self.reader.peek().filter(|c| !is_blank(*c) && !is_break(*c)) {
                let ends =
                    (char == ':' && is_blank_or_end(self.reader.peek_at(1))) || (flow && ",?[]{}".contains(char));
                if ends {
                    break;
                }
                if !gap.is_empty() {
                    gap.fold_into(&mut text);
                }
                text.push(char);
                self.reader.next();
            }
            if !self.reader.peek().is_some_and(|c| is_blank(c) || is_break(c)) {
                break;
            }
            loop {
                if let Some(char) = self.reader.line_break() {
                    gap.line_break(char);
                } else if let Some(char) = self.reader.peek().filter(|c| is_blank(*c)) {
                    if gap.first_break.is_none() {
                        gap.blanks.push(char);
                    } else if char == '\t' && self.is_left_of_text() {
                        return Err(Fault::new(start, "a tab cannot indent the lines of this text; use blanks"));
                    }
                    self.reader.next();
                } else {
                    break;
                }
            }
            if !flow && self.is_left_of_text() {
                break;
            }
        }
        if gap.first_break.is_some() {
            self.key_allowed = true;
        }
        Ok(text)
    }

    /// Whether the next character stands left of where a text inside the present block may stand.
    fn is_left_of_text(&self) -> bool {
        isize::try_from(self.reader.mark().column).unwrap_or(isize::MAX) <= self.indent
    }

    pub(super) fn quoted_scalar(&mut self, quote: char) -> Result<String, Fault> {
        let start = self.reader.mark();
        self.reader.next();
        let mut text = String::new();
        let mut gap = Gap::default();
        loop {
            if self.reader.at_document_indicator() {
                return Err(Fault::new(start, "the closing quote is missing before the end of the document"));
            }
            // An escaped line break joins lines without a blank.
            let mut joined = false;
            while let Some(char) = self.reader.peek().filter(|c| !is_blank(*c) && !is_break(*c)) {
                let next = self.reader.peek_at(1);
                if char == quote && quote == '\'' && next == Some('\'') {
                    self.reader.skip(2);
                    text.push('\'');
                } else if char == quote {
                    self.reader.next();
                    return Ok(text);
                } else if char == '\\' && quote == '"' {
                    self.reader.next();
                    if self.reader.line_break().is_some() {
                        joined = true;
                        break;
                    }
                    text.push(self.escape(start)?);
                } else {
                    text.push(char);
                    self.reader.next();
                }
            }
            if self.reader.peek().is_none() {
                return Err(Fault::new(start, "the closing quote is missing"));
            }
            let mut broken = joined;
            loop {
                if let Some(char) = self.reader.line_break() {
                    if joined {
                        gap.more_breaks.push(char);
                    } else {
                        gap.line_break(char);
                    }
                    broken = true;
                } else if let Some(char) = self.reader.peek().filter(|c| is_blank(*c)) {
                    if !broken {
                        gap.blanks.push(char);
                    }
                    self.reader.next();
                } else {
                    break;
                }
            }
            if joined {
                text.push_str(&std::mem::take(&mut gap.more_breaks));
            } else {
                gap.fold_into(&mut text);
            }
        }
    }

    /// What follows a backslash in double quotes.
    fn escape(&mut self, start: super::reader::Mark) -> Result<char, Fault> {
        let unknown = "unknown escape in this text: \\ is written as \\\\ inside double quotes";
        let length = match self.reader.next() {
            Some('0') => return Ok('\0'),
            Some('a') => return Ok('\u{7}'),
            Some('b') => return Ok('\u{8}'),
            Some('t' | '\t') => return Ok('\t'),
            Some('n') => return Ok('\n'),
            Some('v') => return Ok('\u{b}'),
            Some('f') => return Ok('\u{c}'),
            Some('r') => return Ok('\r'),
            Some('e') => return Ok('\u{1b}'),
            Some(same @ (' ' | '"' | '\'' | '\\')) => return Ok(same),
            Some('N') => return Ok('\u{85}'),
            Some('_') => return Ok('\u{a0}'),
            Some('L') => return Ok('\u{2028}'),
            Some('P') => return Ok('\u{2029}'),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(Fault::new(start, unknown)),
        };
        let digits = self.reader.rest().get(..length).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(char) = code.and_then(char::from_u32) else {
            return Err(Fault::new(start, "an escape \\x, \\u or \\U in this text is not a character's number"));
        };
        self.reader.skip(length);
        Ok(char)
    }

    pub(super) fn block_scalar(&mut self, literal: bool) -> Result<String, Fault> {
        let start = self.reader.mark();
        self.reader.next();
        let (keep, explicit) = self.block_header(start)?;
        let outer = usize::try_from(self.indent).unwrap_or(0);
        let mut indent = explicit.map(|more| outer + more);
        let mut text = String::new();
        let mut first_break: Option<char> = None;
        let mut more_breaks = String::new();
        self.block_breaks(&mut indent, &mut more_breaks, start)?;
        let column = indent.unwrap_or(0);
        let mut after_blank = false;
        while self.reader.mark().column == column && self.reader.peek().is_some() {
            let blank = self.reader.peek().is_some_and(is_blank);
            if !literal && !after_blank && !blank && first_break == Some('\n') {
                if more_breaks.is_empty() {
                    text.push(' ');
                }
            } else {
                text.extend(first_break);
            }
            text.push_str(&more_breaks);
            more_breaks.clear();
            after_blank = blank;
            while let Some(char) = self.reader.peek().filter(|c| !is_break(*c)) {
                text.push(char);
                self.reader.next();
            }
            first_break = self.reader.line_break();
            self.block_breaks(&mut indent, &mut more_breaks, start)?;
        }
        if keep != Some(false) {
            text.extend(first_break);
        }
        if keep == Some(true) {
            text.push_str(&more_breaks);
        }
        Ok(text)
    }

    /// What stands behind `|` or `>`: `+` (true) or `-` (false), and how far the text is indented.
    fn block_header(&mut self, start: super::reader::Mark) -> Result<(Option<bool>, Option<usize>), Fault> {
        let mut keep = None;
        let mut explicit = None;
        for _ in 0..2 {
            match self.reader.peek() {
                Some(sign @ ('+' | '-')) if keep.is_none() => keep = Some(sign == '+'),
                Some('0') if explicit.is_none() => {
                    return Err(Fault::new(start, "a text cannot be indented by 0"));
                }
                Some(digit @ '1'..='9') if explicit.is_none() => {
                    explicit = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
                }
                _ => break,
            }
            self.reader.next();
        }
        self.reader.skip_blanks(true);
        if self.reader.peek() == Some('#') {
            self.reader.skip_to_line_end();
        }
        if self.reader.peek().is_some() && self.reader.line_break().is_none() {
            return Err(Fault::new(
                start,
                "the text must begin on the line after | or >; put text that begins with these into quotes",
            ));
        }
        Ok((keep, explicit))
    }

    /// Reads indentation and empty lines; finds out the indentation if it is not known.
    fn block_breaks(
        &mut self,
        indent: &mut Option<usize>,
        breaks: &mut String,
        start: super::reader::Mark,
    ) -> Result<(), Fault> {
        let mut widest = 0;
        loop {
            while indent.is_none_or(|indent| self.reader.mark().column < indent) && self.reader.peek() == Some(' ') {
                self.reader.next();
            }
            let column = self.reader.mark().column;
            widest = widest.max(column);
            if indent.is_none_or(|indent| column < indent) && self.reader.peek() == Some('\t') {
                return Err(Fault::new(start, "a tab cannot indent the lines of this text; use blanks"));
            }
            match self.reader.line_break() {
                Some(char) => breaks.push(char),
                None => break,
            }
        }
        let least = usize::try_from(self.indent + 1).unwrap_or(0).max(1);
        indent.get_or_insert(widest.max(least));
        Ok(())
    }
}
