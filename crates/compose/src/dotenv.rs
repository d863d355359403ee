//! The dotenv dialect of Compose (`.env`, `--env-file`, `env_file`), which differs from everyone else's.
//!
//! Statements are `[export ]KEY=value`, `KEY: value` or a bare `KEY`, which takes the looked-up value. See
//! [`parse`] for the rules that surprise.

use indexmap::IndexMap;
use turnout_report::is_secret_name;

use super::interpolate::{Lookup, TemplateError, Work, substitute};

/// Bytes that the values of one text may have together. Bounds what many references to one long value amount to.
const MAX_TOTAL: usize = 64 << 20;

/// Variables that a text, and those before that it continues, may have together. A short line is one, and takes a hundred
/// bytes.
const MAX_VARIABLES: usize = 100_000;

/// A dotenv text that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}{}", hint.map(|h| format!(" ({h})")).unwrap_or_default())]
pub struct DotenvError {
    /// Line of the file, from 1.
    pub line: u32,
    /// What is wrong there; may quote the text.
    pub message: String,
    /// What would be right.
    pub hint: Option<&'static str>,
}

/// Reads a dotenv text.
///
/// Unquoted values run to the end of the line, ` #` begins a comment, backslashes are literal, variables are replaced.
/// Single quotes are literal, double quotes have escapes and variables; both may span lines. What follows a closing
/// quote is a new statement. Variables are looked up in `lookup` first, then among the keys read before.
///
/// # Errors
///
/// The line and what is wrong with it.
pub fn parse(text: &str, lookup: &Lookup<'_>) -> Result<IndexMap<String, String>, DotenvError> {
    let mut values = IndexMap::new();
    parse_into(text, &mut values, lookup, &mut |_| {})?;
    Ok(values)
}

/// As [`parse`], continuing `values` of files read before; `unset` hears of variables without a value.
///
/// # Errors
///
/// The line and what is wrong with it.
pub fn parse_into(
    text: &str,
    values: &mut IndexMap<String, String>,
    lookup: &Lookup<'_>,
    unset: &mut dyn FnMut(&str),
) -> Result<(), DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Cursor { text, rest: text };
    let (mut total, mut work) = (0_usize, Work::default());
    while reader.skip_to_statement() {
        if values.len() > MAX_VARIABLES {
            return Err(reader.error(reader.rest, too_many_variables(), FEWER_VARIABLES));
        }
        match reader.key()? {
            Key::Inherited(key) => {
                if let Some(value) = lookup(key) {
                    values.insert(key.to_owned(), value);
                }
            }
            Key::Assigned(key) => {
                let statement = reader.rest;
                let value = reader.value(key, values, lookup, unset, &mut work)?;
                total = total.saturating_add(value.len());
                if total > MAX_TOTAL {
                    let message = format!("the values exceed {MAX_TOTAL} bytes");
                    return Err(reader.error(statement, message, "refer to long variables fewer times"));
                }
                values.insert(key.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// Reads the `raw` format: what `docker run --env-file` takes. No quotes, no variables, no comments behind values.
///
/// # Errors
///
/// A key with white space, or no key.
pub fn parse_raw(text: &str, lookup: &Lookup<'_>) -> Result<IndexMap<String, String>, DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut values = IndexMap::new();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |message: String| DotenvError {
            line: u32::try_from(index + 1).unwrap_or(u32::MAX),
            message,
            hint: Some("write NAME=value"),
        };
        if values.len() > MAX_VARIABLES {
            return Err(DotenvError { hint: Some(FEWER_VARIABLES), ..fault(too_many_variables()) });
        }
        let (key, value) = line.split_once('=').map_or((line, None), |(key, value)| (key, Some(value)));
        if key.is_empty() {
            return Err(fault(format!("no variable name in {line:?}")));
        }
        if key.contains([' ', '\t']) {
            return Err(fault(format!("variable {key:?} contains whitespaces")));
        }
        match value {
            Some(value) => {
                values.insert(key.to_owned(), value.to_owned());
            }
            None => {
                if let Some(value) = lookup(key) {
                    values.insert(key.to_owned(), value);
                }
            }
        }
    }
    Ok(values)
}

const FEWER_VARIABLES: &str = "make the file shorter";

fn too_many_variables() -> String {
    format!("there are more than {MAX_VARIABLES} variables")
}

enum Key<'t> {
    /// `KEY=`: its value follows.
    Assigned(&'t str),
    /// `KEY` alone: the value is the process environment's.
    Inherited(&'t str),
}

struct Cursor<'t> {
    text: &'t str,
    rest: &'t str,
}

impl<'t> Cursor<'t> {
    fn error(&self, at: &str, message: String, hint: &'static str) -> DotenvError {
        let offset = self.text.len().saturating_sub(at.len());
        let line = self.text.as_bytes()[..offset].iter().filter(|b| **b == b'\n').count() + 1;
        DotenvError { line: u32::try_from(line).unwrap_or(u32::MAX), message, hint: Some(hint) }
    }

    /// Skips blanks and comment lines; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
        }
    }

    fn key(&mut self) -> Result<Key<'t>, DotenvError> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with(|c: char| c.is_ascii_whitespace())
        {
            self.rest = after.trim_start_matches(is_blank);
        }
        let source = self.rest;
        if source.is_empty() {
            return Err(self.error(source, "zero length string".into(), "write a name after export"));
        }
        for (at, char) in source.char_indices() {
            match char {
                '=' | ':' | '\n' => {
                    let key = source[..at].trim_end();
                    self.rest = source[at + 1..].trim_start_matches(is_blank);
                    if key.contains(' ') {
                        let message = "key cannot contain a space".into();
                        return Err(self.error(source, message, "put NAME=value on a line of its own"));
                    }
                    return Ok(if char == '\n' { Key::Inherited(key) } else { Key::Assigned(key) });
                }
                '_' | '.' | '-' | '[' | ']' => {}
                c if is_blank(c) || c.is_alphabetic() || c.is_numeric() => {}
                other => {
                    // The text may hold a secret: it is not repeated.
                    let message = format!("unexpected character {:?} in a variable name", other.to_string());
                    return Err(self.error(source, message, "names have letters, digits and _ . -"));
                }
            }
        }
        // A last line without a line break: Compose reads it as the value of a variable without a name.
        Ok(Key::Assigned(""))
    }

    fn value(
        &mut self,
        key: &str,
        values: &IndexMap<String, String>,
        lookup: &Lookup<'_>,
        unset: &mut dyn FnMut(&str),
        work: &mut Work,
    ) -> Result<String, DotenvError> {
        let source = self.rest;
        let mut expand = |text: &str, at: &str| {
            let both = |name: &str| lookup(name).or_else(|| values.get(name).cloned());
            let result = substitute(text, &both, unset, work);
            result.map_err(|error| if is_secret_name(key) { error.of_secret() } else { error }).map_err(|error| {
                match error {
                    TemplateError::Invalid(_) => self.error(
                        at,
                        "invalid variable reference in the value".into(),
                        "write ${NAME}, or $$ for a literal dollar, or use single quotes",
                    ),
                    TemplateError::TooMuch => self.error(at, error.to_string(), "refer to long variables fewer times"),
                    other => self.error(at, other.to_string(), "set it earlier in the file or in the environment"),
                }
            })
        };
        let Some(quote) = source.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            let (line, rest) = source.split_once('\n').unwrap_or((source, ""));
            let value = line.split_once(" #").map_or(line, |(value, _)| value).trim_end();
            let value = expand(value, source)?;
            self.rest = rest;
            return Ok(value);
        };
        let mut value = String::new();
        let mut escaped = false;
        for (at, char) in source.char_indices().skip(1) {
            if char == quote && !escaped {
                let value = if quote == '"' { expand(&unescape(&value), source)? } else { value };
                self.rest = &source[at + 1..];
                return Ok(value);
            }
            if char == '\\' && !escaped {
                escaped = true;
                continue;
            }
            if escaped && char != quote {
                value.push('\\');
            }
            escaped = false;
            value.push(char);
        }
        Err(self.error(source, "unterminated quoted value".into(), "close the quote"))
    }
}

/// Blank but not a line break.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// Escapes of double quotes. Unknown ones stay as they are.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(char) = rest.chars().next() else {
            out.push('\\');
            return out;
        };
        let simple = match char {
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            '"' => Some('"'),
            '\\' => Some('\\'),
            _ => None,
        };
        if let Some(simple) = simple {
            out.push(simple);
            rest = &rest[1..];
        } else if char == '$' {
            // Left for interpolation to make one dollar of.
            out.push_str("$$");
            rest = &rest[1..];
        } else if char == '0' {
            let digits: String = rest[1..].chars().take(3).take_while(char::is_ascii_digit).collect();
            rest = &rest[1 + digits.len()..];
            match u8::from_str_radix(&digits, 8) {
                Ok(code) if digits.len() == 3 => out.push(char::from(code)),
                _ => {
                    out.push('\\');
                    out.push_str(&digits);
                }
            }
        } else {
            out.push('\\');
            out.push(char);
            rest = &rest[char.len_utf8()..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "HOST").then(|| "h".to_owned())
    }

    #[test]
    fn values_as_compose_reads_them() {
        for (text, want) in [
            ("A=1", "1"),
            ("A=1\n", "1"),
            ("  A = 1  ", "1"),
            ("export A=1", "1"),
            ("export\tA=1", "1"),
            ("A: 1", "1"),
            ("A=", ""),
            ("A", "absent"),
            ("A=it is", "it is"),
            ("A=a#b", "a#b"),
            ("A=a #b", "a"),
            ("A=#b", "#b"),
            ("A=a\\nb", "a\\nb"),
            ("A='a\\nb'", "a\\nb"),
            ("A='it\\'s'", "it's"),
            ("A='$HOST'", "$HOST"),
            ("A=\"a\\nb\"", "a\nb"),
            ("A=\"a\\tb\\\"c\\\\d\"", "a\tb\"c\\d"),
            ("A=\"\\0101\"", "A"),
            ("A=\"\\012\"", "\\12"),
            ("A=\"\\c\\q\"", "\\c\\q"),
            ("A=\"\\$HOST $HOST $$HOST\"", "$HOST h $HOST"),
            ("A=\"x\ny\"", "x\ny"),
            ("A='x\ny'", "x\ny"),
            ("A=$HOST-${NO:-d}", "h-d"),
            ("B=2\nA=$B", "2"),
            ("A=\"x\" # comment\nB=1", "x"),
            ("# c\n\n#d\nA=1", "1"),
            ("\u{feff}A=1", "1"),
            ("A=1\r\nB=2\r\n", "1"),
            ("A=1\nA=2", "2"),
            ("A.b-c[0]=1\nA=ü", "ü"),
        ] {
            let got = parse(text, &env).unwrap_or_else(|e| panic!("{text:?}: {e}"));
            assert_eq!(got.get("A").map_or("absent", String::as_str), want, "{text:?}");
        }
    }

    #[test]
    fn bare_keys_inherit() {
        let got = parse("HOST\nNOPE\nT=\"x\"HOST\nexport HOST\n", &env).unwrap();
        assert_eq!(got.get("HOST").map(String::as_str), Some("h"));
        assert_eq!(got.get("T").map(String::as_str), Some("x"));
        assert!(!got.contains_key("NOPE"));
        assert_eq!(parse("=x\n", &env).unwrap().get("").map(String::as_str), Some("x"));
    }

    #[test]
    fn mistakes_name_the_line_and_not_the_value() {
        for (text, part) in [
            ("A=1\nB='x\n", "line 2: unterminated quoted value"),
            ("A=1\n\nB C=hush\n", "line 3: key cannot contain a space"),
            ("A!=hush\n", "line 1: unexpected character \"!\""),
            ("A=\"x\" \"hush\"\n", "line 1: unexpected character"),
            ("X=1\nA=${\n", "line 2: invalid variable reference"),
            ("API_KEY=${B:?set B}\n", "required variable B is missing a value: [redacted]"),
            ("A=${B:?set B}\n", "required variable B is missing a value: set B"),
        ] {
            let error = parse(text, &env).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn values_are_bounded_together() {
        let mut text = format!("A={}\n", "x".repeat(1 << 20));
        for n in 0..100 {
            text.push_str(&format!("B{n}=$A\n"));
        }
        let error = parse(&text, &env).unwrap_err().to_string();
        assert!(error.contains("line 65: the values exceed 67108864 bytes"), "{error}");
    }

    #[test]
    fn raw_takes_lines_as_they_are() {
        let got = parse_raw("# c\nA='$HOST' #x\nHOST\nNOPE\nB=\n", &env).unwrap();
        assert_eq!(got.get("A").map(String::as_str), Some("'$HOST' #x"));
        assert_eq!(got.get("HOST").map(String::as_str), Some("h"));
        assert_eq!(got.get("B").map(String::as_str), Some(""));
        assert_eq!(got.len(), 3);
        assert!(parse_raw("A B=1\n", &env).is_err());
        // The last line may end by a carriage return alone, and a blank is a space or a tab, nothing wider.
        let got = parse_raw("A=1\r\nB\u{a0}=2\r", &env).unwrap();
        assert_eq!(got.into_iter().collect::<Vec<_>>(), [("A".into(), "1".into()), ("B\u{a0}".into(), "2".to_owned())]);
        assert!(parse_raw("=1\n", &env).is_err());
    }

    /// The value as a file may have it: in one of the three ways, where it has that form.
    fn quoted(value: &str, way: u8) -> String {
        let bare = !value.is_empty()
            && value.trim() == value
            && !value.contains(['$', '\n', '\r', '\u{b}', '\u{c}'])
            && !value.contains(" #")
            && !value.starts_with(['\'', '"', '\t', '\u{85}', '\u{a0}']);
        match way {
            0 if bare => value.to_owned(),
            1 if !value.contains(['\'', '\\']) => format!("'{value}'"),
            _ => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$")),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in prop::collection::vec(("[A-Za-z_][A-Za-z0-9_.-]{0,8}", ".{0,12}|[ #\"'\\\\$\n\t=]{0,12}", 0..3_u8), 0..8),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", " # c\n", "\n\n# c\n", "\t\n", "\r\n"]), 8),
        ) {
            let mut want = IndexMap::new();
            let mut text = String::new();
            for (entry, end) in entries.into_iter().zip(ends) {
                let (name, value, way) = entry;
                // Not `export`, which is a word of its own.
                let name = format!("N{name}");
                text += &format!("{name}={}{end}", quoted(&value, way));
                want.insert(name, value);
            }
            prop_assert_eq!(parse(&text, &|_| None), Ok(want), "{:?}", text);
        }

        #[test]
        fn raw_values_are_read_as_they_are(entries in prop::collection::vec(("[A-Z][A-Z0-9]{0,8}", "[^\r\n]{0,20}"), 0..8)) {
            let want: IndexMap<String, String> = entries.into_iter().collect();
            let text: String = want.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            prop_assert_eq!(parse_raw(&text, &|_| None), Ok(want));
        }

        #[test]
        fn single_quoted_values_come_back(value in "[^'\\\\]{0,60}") {
            let got = parse(&format!("A='{value}'\nB=1\n"), &env).unwrap();
            prop_assert_eq!(got.get("A"), Some(&value));
            prop_assert_eq!(got.get("B").map(String::as_str), Some("1"));
        }

        #[test]
        fn double_quoted_values_come_back(value in "[^\r]{0,60}") {
            let written = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
            let got = parse(&format!("A=\"{written}\"\n"), &env).unwrap();
            prop_assert_eq!(got.get("A"), Some(&value));
        }

        #[test]
        fn nothing_panics(text in "[A-C=:'\"\\\\0-9$ {}#\n]{0,60}") {
            let _ = parse(&text, &env);
            let _ = parse_raw(&text, &env);
        }
    }
}
