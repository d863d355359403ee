//! The characters of a text, one by one, with line and column.

/// A place in the text, everything counted from 0 and in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub index: usize,
    /// Line breaks before.
    pub line: usize,
    /// Characters before on this line.
    pub column: usize,
}

/// Reads forward; never back.
pub(super) struct Reader<'t> {
    rest: &'t str,
    mark: Mark,
    /// Whether nothing but blanks came since the last line break.
    fresh_line: bool,
}

impl<'t> Reader<'t> {
    /// At the beginning of `text`.
    pub(super) fn new(text: &'t str) -> Self {
        Reader { rest: text, mark: Mark::default(), fresh_line: false }
    }

    /// Where the next character stands.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'t str {
        self.rest
    }

    /// The next character; `None` at the end.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// The character `n` after the next one.
    pub(super) fn peek_at(&self, n: usize) -> Option<char> {
        self.rest.chars().nth(n)
    }

    /// Whether nothing but blanks came since the last line break that was read.
    pub(super) fn is_fresh_line(&self) -> bool {
        self.fresh_line
    }

    /// Reads one character that is no line break.
    pub(super) fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.rest = &self.rest[char.len_utf8()..];
        self.mark.index += 1;
        self.mark.column += 1;
        self.fresh_line &= is_blank(char);
        Some(char)
    }

    /// Reads `n` characters that are no line breaks.
    pub(super) fn skip(&mut self, n: usize) {
        for _ in 0..n {
            self.next();
        }
    }

    /// Reads blanks; tabs too if `tabs`.
    pub(super) fn skip_blanks(&mut self, tabs: bool) {
        while self.peek().is_some_and(|c| c == ' ' || (tabs && c == '\t')) {
            self.next();
        }
    }

    /// Reads what is left of the line, without its end.
    pub(super) fn skip_to_line_end(&mut self) {
        while self.peek().is_some_and(|c| !is_break(c)) {
            self.next();
        }
    }

    /// Reads a line break, if there is one, and says what it stands for: every kind is `\n`, but for U+2028 and U+2029.
    pub(super) fn line_break(&mut self) -> Option<char> {
        let char = self.peek().filter(|c| is_break(*c))?;
        let length = if self.rest.starts_with("\r\n") { 2 } else { char.len_utf8() };
        self.mark.index += if length == 2 && char == '\r' { 2 } else { 1 };
        self.mark.line += 1;
        self.mark.column = 0;
        self.rest = &self.rest[length..];
        self.fresh_line = true;
        Some(if matches!(char, '\u{2028}' | '\u{2029}') { char } else { '\n' })
    }

    /// Whether `---` or `...` stands here, alone at the beginning of a line.
    pub(super) fn at_document_indicator(&self) -> bool {
        self.mark.column == 0
            && (self.rest.starts_with("---") || self.rest.starts_with("..."))
            && is_blank_or_end(self.peek_at(3))
    }
}

/// A blank that ends no line.
pub(super) fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t')
}

/// Ends a line, as YAML 1.1 has it.
pub(super) fn is_break(char: char) -> bool {
    matches!(char, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A blank, a line break, or the end of the text.
pub(super) fn is_blank_or_end(char: Option<char>) -> bool {
    char.is_none_or(|c| is_blank(c) || is_break(c))
}

/// Belongs into names of anchors and tag handles.
pub(super) fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-')
}
