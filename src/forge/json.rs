//! Takes a few values out of a JSON text that arrives in pieces, in memory that does not depend on the text.
//!
//! RFC 8259, checked whole: what `serde_json` refuses is refused here too (a test compares the two).
//! No tree is built and nothing recurses: open brackets are bits of one number, and of strings only names and wanted
//! values are kept, up to [`super::json_found::LONGEST`] bytes. A reader made for this because those at hand either pull (a slow sender
//! would hold a thread) or keep each string whole (a body may be one string).

use super::{
    fields::Fields,
    json_found::{Fault, Found, Path, Scanned, Value},
    json_parts::{Number, Text},
    utf8::Utf8,
};

/// Brackets that may be open at one time; `serde_json` has the same limit.
pub const DEEPEST: usize = 127;

/// Reads a JSON text in pieces, and keeps only what stands at wanted places.
#[derive(Debug)]
pub struct Scanner {
    scanned: Scanned,
    state: Next,
    /// Open brackets, the innermost in the lowest bit: 1 is an object.
    kinds: u128,
    depth: usize,
    /// Names of the open objects that lead to something wanted, without the outermost.
    path: Vec<&'static str>,
    /// The name before the value that comes, where it leads to something wanted.
    name: Option<&'static str>,
    text: Text,
    encoding: Utf8,
    /// Bytes before those at hand, and where the line begins.
    offset: u64,
    line: u64,
    line_start: u64,
    fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    /// A value must come.
    Value,
    /// After `[`: a value or the end.
    First,
    /// After `{`: a name or the end.
    FirstName,
    /// After `,` in an object.
    Name,
    Colon,
    /// After a value inside brackets.
    After,
    Text,
    Escape,
    Hex {
        left: u8,
        unit: u16,
    },
    /// What must follow of `true`, `false`, `null`.
    Word(&'static [u8]),
    Number(Number),
    /// After the outermost value.
    End,
}

impl Scanner {
    /// A reader for these places. Of two paths one may lead to the other.
    pub fn new(wanted: Vec<Path>) -> Scanner {
        Scanner {
            scanned: Scanned { object: false, found: vec![None; wanted.len()], wanted },
            state: Next::Value,
            kinds: 0,
            depth: 0,
            path: Vec::new(),
            name: None,
            text: Text::default(),
            encoding: Utf8::default(),
            offset: 0,
            line: 1,
            line_start: 0,
            fault: None,
        }
    }

    /// Reads the next piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.fault == Some(Fault::Encoding) {
            return;
        }
        if !self.encoding.feed(bytes) {
            self.fault = Some(Fault::Encoding);
            return;
        }
        let mut at = 0;
        while let (None, Some(byte)) = (self.fault, bytes.get(at)) {
            at += match self.state {
                Next::Text => self.characters(bytes.get(at..).unwrap_or_default(), at),
                _ => self.byte(*byte, at),
            };
        }
        self.offset += bytes.len() as u64;
    }

    /// Whether nothing wanted can come any more, because the text is no JSON.
    pub fn is_broken(&self) -> bool {
        self.fault.is_some()
    }

    /// What was found so far.
    pub fn so_far(&self) -> Fields<'_> {
        Fields::of(&self.scanned)
    }

    /// Everything that was found in the whole text.
    ///
    /// # Errors
    /// It is no JSON, or not all of it has come.
    pub fn finish(mut self) -> Result<Scanned, Fault> {
        if !self.encoding.is_whole() {
            return Err(Fault::Encoding);
        }
        if let Next::Number(number) = self.state
            && number.may_end()
        {
            self.value_ended();
        }
        match (self.fault, self.state) {
            (Some(fault), _) => Err(fault),
            (None, Next::End) => Ok(self.scanned),
            (None, _) => Err(self.syntax(0)),
        }
    }

    /// One byte outside of strings' plain characters. The number of bytes that it used up: none where a number ended.
    #[inline]
    fn byte(&mut self, byte: u8, at: usize) -> usize {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') && self.between() {
            if byte == b'\n' {
                self.line += 1;
                self.line_start = self.offset + at as u64 + 1;
            }
            return 1;
        }
        let known = match (self.state, byte) {
            (Next::Value | Next::First, _) if self.begins_value(byte) => true,
            (Next::First, b']') | (Next::FirstName, b'}') => self.close(),
            (Next::FirstName | Next::Name, b'"') => self.begin_text(true),
            (Next::Colon, b':') => self.go(Next::Value),
            (Next::After, b',') if self.in_object() => self.go(Next::Name),
            (Next::After, b',') => self.go(Next::Value),
            (Next::After, b'}') if self.in_object() => self.close(),
            (Next::After, b']') if !self.in_object() => self.close(),
            (Next::Escape, _) => self.escape(byte),
            (Next::Hex { left, unit }, _) => self.hex(byte, left, unit),
            (Next::Word(rest), _) => match rest.split_first() {
                Some((wanted, rest)) if *wanted == byte => {
                    self.state = Next::Word(rest);
                    if rest.is_empty() {
                        self.value_ended();
                    }
                    true
                }
                _ => false,
            },
            (Next::Number(number), _) => match number.next(byte) {
                Some(next) => self.go(Next::Number(next)),
                None if number.may_end() => {
                    self.value_ended();
                    return 0;
                }
                None => false,
            },
            _ => false,
        };
        if !known {
            // The depth's fault may be there already.
            let fault = self.syntax(at as u64);
            self.fault.get_or_insert(fault);
        }
        1
    }

    fn syntax(&self, at: u64) -> Fault {
        Fault::Syntax { line: self.line, column: (self.offset + at + 1).saturating_sub(self.line_start) }
    }

    /// Whether blanks may stand here.
    fn between(&self) -> bool {
        use Next::{After, Colon, End, First, FirstName, Name, Value};
        matches!(self.state, Value | First | FirstName | Name | Colon | After | End)
    }

    fn go(&mut self, state: Next) -> bool {
        self.state = state;
        true
    }

    fn in_object(&self) -> bool {
        self.kinds & 1 == 1
    }

    fn begins_value(&mut self, byte: u8) -> bool {
        match byte {
            b'"' => self.begin_text(false),
            b'{' => self.open(true),
            b'[' => self.open(false),
            b't' => self.begin(Value::Bool(true), Next::Word(b"rue")),
            b'f' => self.begin(Value::Bool(false), Next::Word(b"alse")),
            b'n' => self.begin(Value::Null, Next::Word(b"ull")),
            b'-' => self.begin(Value::Number, Next::Number(Number::Minus)),
            b'0' => self.begin(Value::Number, Next::Number(Number::Zero)),
            b'1'..=b'9' => self.begin(Value::Number, Next::Number(Number::Digits)),
            _ => false,
        }
    }

    fn begin(&mut self, value: Value, state: Next) -> bool {
        self.note(value);
        self.go(state)
    }

    /// The wanted place that the coming value stands at.
    fn place(&self) -> Option<usize> {
        let name = self.name?;
        self.scanned
            .wanted
            .iter()
            .position(|path| path.split_last().is_some_and(|(last, to)| *last == name && *to == self.path))
    }

    fn note(&mut self, value: Value) {
        let complete = value != Value::Object;
        let Some(slot) = self.place().and_then(|place| self.scanned.found.get_mut(place)) else { return };
        match slot {
            Some(found) => found.twice = true,
            None => *slot = Some(Found { value, twice: false, complete }),
        }
    }

    fn open(&mut self, object: bool) -> bool {
        if self.depth == DEEPEST {
            self.fault = Some(Fault::Depth);
            return false;
        }
        self.note(if object { Value::Object } else { Value::List });
        if self.depth == 0 {
            self.scanned.object = object;
        } else if let (true, Some(name)) = (object, self.name.take()) {
            self.path.push(name);
        }
        self.name = None;
        self.kinds = self.kinds << 1 | u128::from(object);
        self.depth += 1;
        self.go(if object { Next::FirstName } else { Next::First })
    }

    fn close(&mut self) -> bool {
        if self.follows() {
            self.name = self.path.pop();
            let place = self.place();
            if let Some(Some(found)) = place.and_then(|place| self.scanned.found.get_mut(place)) {
                found.complete = true;
            }
        }
        self.kinds >>= 1;
        self.depth -= 1;
        self.value_ended();
        true
    }

    fn value_ended(&mut self) {
        self.name = None;
        self.state = if self.depth == 0 { Next::End } else { Next::After };
    }

    /// Whether names of the innermost open object may lead to something wanted.
    fn follows(&self) -> bool {
        self.in_object() && self.scanned.object && self.depth == self.path.len() + 1
    }

    fn begin_text(&mut self, is_name: bool) -> bool {
        let keep = if is_name { self.follows() } else { self.place().is_some() };
        self.text.bytes.clear();
        (self.text.is_name, self.text.keep, self.text.long, self.text.high) = (is_name, keep, false, None);
        self.go(Next::Text)
    }

    /// Plain characters of a string, and what ends them. The number of bytes read.
    #[inline]
    fn characters(&mut self, bytes: &[u8], at: usize) -> usize {
        let plain = bytes.iter().position(|byte| ENDS[usize::from(*byte)]).unwrap_or(bytes.len());
        if plain > 0 {
            self.text.take(bytes.get(..plain).unwrap_or_default());
        }
        match bytes.get(plain) {
            None => return plain,
            Some(b'"') => self.end_text(),
            Some(b'\\') => self.state = Next::Escape,
            Some(_) => self.fault = Some(self.syntax((at + plain) as u64)),
        }
        plain + 1
    }

    fn end_text(&mut self) {
        self.text.settle();
        if self.text.is_name {
            self.name = if self.text.keep { self.known_name() } else { None };
            self.state = Next::Colon;
            return;
        }
        if self.text.keep {
            let long = std::mem::take(&mut self.text.long);
            let text = if long { Value::Long } else { Value::Text(String::from_utf8_lossy(&self.text.bytes).into()) };
            self.note(text);
        }
        self.value_ended();
    }

    fn known_name(&self) -> Option<&'static str> {
        let depth = self.path.len();
        let name = |path: &&Path| path.get(depth).copied();
        let fits = |path: &&Path| {
            name(path).is_some_and(|name| name.as_bytes() == self.text.bytes)
                && path.get(..depth).is_some_and(|to| to == self.path)
        };
        self.scanned.wanted.iter().find(fits).and_then(|path| path.get(depth)).copied()
    }

    fn escape(&mut self, byte: u8) -> bool {
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.go(Next::Hex { left: 4, unit: 0 }),
            _ => return false,
        };
        self.text.take(&[plain]);
        self.go(Next::Text)
    }

    fn hex(&mut self, byte: u8, left: u8, unit: u16) -> bool {
        let Some(digit) = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok()) else {
            return false;
        };
        let unit = unit << 4 | digit;
        if left > 1 {
            return self.go(Next::Hex { left: left - 1, unit });
        }
        self.text.take_unit(unit);
        self.go(Next::Text)
    }
}

/// Bytes at which plain characters of a string end: quote, backslash, control characters. A table, because most of a
/// body's bytes are asked for it.
static ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        ends[byte] = true;
        byte += 1;
    }
    ends[b'"' as usize] = true;
    ends[b'\\' as usize] = true;
    ends
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::forge::json_found::LONGEST;

    const WANTED: &[Path] = &[&["a"], &["o"], &["o", "n"], &["o", "f"], &["é\"", "x"]];

    fn scan(pieces: &[&[u8]]) -> Result<Scanned, Fault> {
        let mut scanner = Scanner::new(WANTED.to_vec());
        pieces.iter().for_each(|piece| scanner.feed(piece));
        scanner.finish()
    }

    fn values(json: &str) -> Vec<Option<Value>> {
        let whole = scan(&[json.as_bytes()]).unwrap();
        let bytes: Vec<&[u8]> = json.as_bytes().chunks(1).collect();
        assert_eq!(scan(&bytes).as_ref(), Ok(&whole), "in single bytes: {json}");
        whole.found.into_iter().map(|found| found.map(|found| found.value)).collect()
    }

    #[test]
    fn wanted_values_are_found_and_no_others() {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        for (json, expected) in [
            ("{}", [None, None, None, None, None]),
            ("7", [None, None, None, None, None]),
            (r#"[{"a":1}]"#, [None, None, None, None, None]),
            (r#"{"a":null}"#, [Some(Value::Null), None, None, None, None]),
            (r#"{"a":-1.5e+3,"b":"x"}"#, [Some(Value::Number), None, None, None, None]),
            (r#"{"x":{"a":1,"o":{"n":2}},"a":[{"n":1}]}"#, [Some(Value::List), None, None, None, None]),
            (
                r#"{"o":{"n":"x","z":{"f":1},"f":true}}"#,
                [None, Some(Value::Object), text("x"), Some(Value::Bool(true)), None],
            ),
            (r#"{"o":[{"n":"x"}],"a":"b"}"#, [text("b"), Some(Value::List), None, None, None]),
            (
                r#"{"\u006f":{"n":"a\"\\\/\n\ud83d\ude00\ud83dx"}}"#,
                [None, Some(Value::Object), text("a\"\\/\n😀\u{fffd}x"), None, None],
            ),
            (r#"{"é\"":{"x":"ü"}}"#, [None, None, None, None, text("ü")]),
            (r#"{"a":"\b\f\n\r\t\u00e9"}"#, [text("\u{8}\u{c}\n\r\té"), None, None, None, None]),
        ] {
            assert_eq!(values(json), expected, "{json}");
        }
        assert!(scan(&[br#"{"o":{"n":1},"o":2}"#]).unwrap().found[1].as_ref().unwrap().twice);
        let mut scanner = Scanner::new(WANTED.to_vec());
        scanner.feed(br#"{"o":{"n":{"#);
        assert!(!scanner.so_far().is_complete(&["o"]));
        scanner.feed(br#"}}"#);
        assert!(scanner.so_far().is_complete(&["o"]));
    }

    #[test]
    fn memory_does_not_depend_on_the_text() {
        let mut scanner = Scanner::new(WANTED.to_vec());
        scanner.feed(br#"{"a":""#);
        for _ in 0..64 {
            scanner.feed(&[b'x'; 1 << 16]);
        }
        scanner.feed(br#"",""#);
        for _ in 0..64 {
            scanner.feed(&[b'y'; 1 << 16]);
        }
        assert!(scanner.text.bytes.capacity() <= 2 * LONGEST, "{}", scanner.text.bytes.capacity());
        scanner.feed(br#"":1}"#);
        assert_eq!(scanner.finish().unwrap().found[0].as_ref().unwrap().value, Value::Long);
    }

    #[test]
    fn values_are_kept_up_to_their_bound() {
        for (length, kept) in [(LONGEST - 1, true), (LONGEST, true), (LONGEST + 1, false)] {
            let text = "x".repeat(length);
            let expected = if kept { Value::Text(text.clone()) } else { Value::Long };
            assert_eq!(values(&format!(r#"{{"a":"{text}"}}"#))[0], Some(expected), "{length}");
        }
    }

    #[test]
    fn faults_have_their_place() {
        for (json, fault) in [
            (&b""[..], Fault::Syntax { line: 1, column: 1 }),
            (b"{\"a\":1,\n  x}", Fault::Syntax { line: 2, column: 3 }),
            (b"{} {", Fault::Syntax { line: 1, column: 4 }),
            (b"[1}", Fault::Syntax { line: 1, column: 3 }),
            (b"{\"a\":1]", Fault::Syntax { line: 1, column: 7 }),
            (b"[1:", Fault::Syntax { line: 1, column: 3 }),
            (b"{\"a\":1,2", Fault::Syntax { line: 1, column: 8 }),
            (b"[\"abc\x01\"]", Fault::Syntax { line: 1, column: 6 }),
            (b"[\"\xff\"", Fault::Encoding),
            (b"x\xff", Fault::Encoding),
            (b"\"\xc3", Fault::Encoding),
        ] {
            assert_eq!(scan(&[json]), Err(fault), "{}", String::from_utf8_lossy(json));
        }
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(scan(&[deep(DEEPEST).as_bytes()]).is_ok());
        assert_eq!(scan(&[deep(DEEPEST + 1).as_bytes()]), Err(Fault::Depth));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Both refuse the same texts, whatever the pieces; lone halves of characters are the one exception.
        #[test]
        fn as_serde_json_judges(
            json in r#"([\[\]{},: \n0-9eE.+-]|"a"|"o"|"n"|"\\[ntu\\"/x][0-9a-f]{0,4}"|true|false|null|:|"é"|[a-z"\\\u{1}\u{7f}]){0,14}"#,
            cut in 0usize..40,
        ) {
            let bytes = json.as_bytes();
            let (one, two) = bytes.split_at(cut.min(bytes.len()));
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok();
            prop_assert_eq!(scan(&[bytes]).is_ok(), theirs, "{}", json);
            prop_assert_eq!(scan(&[one, two]), scan(&[bytes]));
        }

        /// One byte of a good text is another one, is missing or comes twice.
        #[test]
        fn as_serde_json_judges_what_is_nearly_good(
            at in 0usize..200,
            byte in prop::sample::select(b"{}[]:,\"\\ntu019.-+eE/\n \x01".to_vec()),
            how in 0u8..3,
        ) {
            let mut json = r#"{"a": [1, -0.5e+10, true, null, {}], "o": {"n": "x\n\u00e9\"y", "f": false}, "z": [[], [0], "", 1E2]}"#
                .as_bytes().to_vec();
            let at = at % json.len();
            match how {
                0 => json[at] = byte,
                1 => drop(json.remove(at)),
                _ => json.insert(at, byte),
            }
            let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(&json).is_ok();
            prop_assert_eq!(scan(&[&json]).is_ok(), theirs, "{}", String::from_utf8_lossy(&json));
        }
    }
}
