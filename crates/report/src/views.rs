//! Text as it was before a program wrote it into a URL or a JSON string, with the place of each byte. A secret is looked
//! for in these views too: of the many ways to escape it (which characters, upper or lower case, by name or number) none
//! needs to be foreseen.

/// How often one escaping may stand in another, as in JSON that is quoted in a JSON log line.
const DEEPEST: usize = 3;

/// Bytes with the places that they come from.
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    /// Where each byte begins in the text, and where the last one ends.
    places: Vec<usize>,
}

/// All views of a text but the text itself. None for the most text, which escapes nothing.
pub(super) fn views(text: &str, blanks: bool) -> Vec<View> {
    let mut all: Vec<View> = Vec::new();
    if text.contains('\\') {
        let mut view = unescaped(text.as_bytes(), None);
        for _ in 1..DEEPEST {
            if !view.bytes.contains(&b'\\') {
                break;
            }
            let next = unescaped(&view.bytes, Some(&view));
            if next.bytes == view.bytes {
                break; // nothing is left to undo
            }
            all.push(std::mem::replace(&mut view, next));
        }
        all.push(view);
    }
    let outermost = all.len().min(1);
    for at in 0..=outermost {
        let inner = at.checked_sub(1).and_then(|at| all.get(at));
        let bytes = inner.map_or(text.as_bytes(), |view| &view.bytes);
        let (percent, plus) = (bytes.contains(&b'%'), blanks && bytes.contains(&b'+'));
        let plain = percent.then(|| decoded(bytes, inner, false));
        let form = plus.then(|| decoded(bytes, inner, true));
        all.extend(plain.into_iter().chain(form));
    }
    all
}

impl View {
    fn new(most: usize) -> View {
        View { bytes: Vec::with_capacity(most), places: Vec::with_capacity(most + 1) }
    }

    /// The part of the text that a range of the view comes from.
    pub(super) fn place(&self, (from, to): (usize, usize)) -> Option<(usize, usize)> {
        Some((*self.places.get(from)?, *self.places.get(to)?))
    }

    fn push(&mut self, bytes: &[u8], place: usize) {
        self.bytes.extend_from_slice(bytes);
        self.places.resize(self.bytes.len(), place);
    }
}

/// Places in the text for places in `bytes`, which are a view themselves where there is an inner one.
fn place_in(inner: Option<&View>, at: usize) -> usize {
    inner.map_or(at, |view| view.places.get(at).copied().unwrap_or_default())
}

/// Undoes `%XX`, and with `plus` also `+`.
fn decoded(bytes: &[u8], inner: Option<&View>, plus: bool) -> View {
    let mut view = View::new(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = (*byte == b'%').then(|| number(bytes, at + 1, 2)).flatten().and_then(|byte| u8::try_from(byte).ok());
        let (byte, used) = match (hex, byte) {
            (Some(byte), _) => (byte, 3),
            (None, b'+') if plus => (b' ', 1),
            (None, byte) => (*byte, 1),
        };
        view.push(&[byte], place_in(inner, at));
        at += used;
    }
    view.places.push(place_in(inner, bytes.len()));
    view
}

/// Undoes what stands behind `\` in JSON, and in the escapes of Rust, Go and Python.
fn unescaped(bytes: &[u8], inner: Option<&View>) -> View {
    let mut view = View::new(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let place = place_in(inner, at);
        if *byte != b'\\' {
            view.push(&[*byte], place);
            at += 1;
            continue;
        }
        let (character, used) = match bytes.get(at + 1) {
            Some(b'n') => (Some('\n'), 2),
            Some(b'r') => (Some('\r'), 2),
            Some(b't') => (Some('\t'), 2),
            Some(b'b') => (Some('\u{8}'), 2),
            Some(b'f') => (Some('\u{c}'), 2),
            Some(sign @ (b'"' | b'\'' | b'\\' | b'/')) => (Some(char::from(*sign)), 2),
            Some(b'x') => (number(bytes, at + 2, 2).and_then(char::from_u32), 4),
            Some(b'u') => unicode(bytes, at),
            _ => (None, 1),
        };
        match character {
            Some(character) => {
                view.push(character.encode_utf8(&mut [0; 4]).as_bytes(), place);
                at += used;
            }
            None => {
                view.push(b"\\", place);
                at += 1;
            }
        }
    }
    view.places.push(place_in(inner, bytes.len()));
    view
}

/// `\uXXXX`, two of them for one character, or `\u{X…}`, with the length of it.
fn unicode(bytes: &[u8], at: usize) -> (Option<char>, usize) {
    if bytes.get(at + 2) == Some(&b'{') {
        let end = bytes.iter().skip(at + 3).take(7).position(|byte| *byte == b'}').unwrap_or(0);
        let character = if end == 0 { None } else { number(bytes, at + 3, end).and_then(char::from_u32) };
        return (character, end + 4);
    }
    let Some(unit) = number(bytes, at + 2, 4) else { return (None, 1) };
    if let Some(character) = char::from_u32(unit) {
        return (Some(character), 6);
    }
    let second = (bytes.get(at + 6..at + 8) == Some(b"\\u")).then(|| number(bytes, at + 8, 4)).flatten();
    let units = [Some(unit), second].map(|unit| unit.and_then(|unit| u16::try_from(unit).ok()).unwrap_or_default());
    (char::decode_utf16(units).next().and_then(Result::ok), 12)
}

fn number(bytes: &[u8], from: usize, digits: usize) -> Option<u32> {
    let digits = bytes.get(from..from + digits)?;
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_places_kept() {
        for (text, expected) in [
            ("plain", &[][..]),
            (r"a\u0062\n\x41\u{e9}\/\q", &["ab\nAé/\\q"]),
            (r"\ud83d\ude00\ud83dx\u{}", &["😀\\ud83dx\\u{}"]),
            (r#"{\"a\":\"b\\\"c\"}"#, &["{\"a\":\"b\\\"c\"}", "{\"a\":\"b\"c\"}"]),
            ("a%2fb%zz%4", &["a/b%zz%4"]),
            ("a%20b+c", &["a b+c", "a b c"]),
            (r"a\u002520", &["a%20", "a "]),
        ] {
            let views = views(text, true);
            let shown: Vec<_> = views.iter().map(|view| String::from_utf8_lossy(&view.bytes)).collect();
            assert_eq!(shown, expected, "{text}");
            for view in views {
                assert_eq!(view.places.len(), view.bytes.len() + 1);
                assert_eq!(view.place((0, view.bytes.len())), Some((0, text.len())));
            }
        }
        let view = &views(r"x\u0041y", false)[0];
        assert_eq!(view.place((1, 2)), Some((1, 7)));
    }
}
