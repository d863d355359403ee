//! Where a text was cut: what stands there may be a piece of a secret, which is not found as a whole.
//!
//! Who cuts a text before it is masked writes [`CUT`] in the place of what is missing. What the engine cuts ends without a
//! sign, but only where it is long.

/// Stands in the place of what was cut off.
pub const CUT: char = '…';

/// Pieces of fewer bytes are not looked for: they would blot out ordinary words.
pub(super) const SHORTEST_PIECE: usize = 8;

/// A text of so many bytes may have been cut at its end by the engine, which says nothing of it: it keeps 4,096 bytes of a
/// check's output (moby `daemon/health.go`, `maxOutputLen`) and 16 KiB of a line (`daemon/logger/copier.go`).
const LONG: usize = 4_000;

/// [`CUT`] in UTF-8.
const SIGN: &[u8] = "…".as_bytes();

/// Places before which something may have been cut in two: before each sign, and the end of a long text. In order.
pub(super) fn ends(text: &[u8]) -> Vec<usize> {
    let mut ends: Vec<usize> = signs(text).collect();
    if text.len() >= LONG {
        ends.push(text.len());
    }
    ends
}

/// Places after which something may have been cut in two: after each sign. In order.
pub(super) fn begins(text: &[u8]) -> Vec<usize> {
    signs(text).map(|at| at + SIGN.len()).filter(|at| at + SHORTEST_PIECE <= text.len()).collect()
}

fn signs(text: &[u8]) -> impl Iterator<Item = usize> {
    text.windows(SIGN.len()).enumerate().filter(|(_, bytes)| *bytes == SIGN).map(|(at, _)| at)
}

/// At most `most` bytes of a text; [`CUT`] stands for the rest and is counted.
pub fn shortened(text: &str, most: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let end = text.floor_char_boundary(most.saturating_sub(SIGN.len()));
    format!("{}{CUT}", text.get(..end).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_cuts_are_found() {
        assert_eq!(ends("a…bcdefghi…".as_bytes()), [1, 12]);
        assert_eq!(begins("a…bcdefghi…".as_bytes()), [4]);
        assert_eq!(ends(&[b'a'; LONG]), [LONG]);
        assert!(ends(b"plain").is_empty() && begins(b"plain").is_empty());
    }

    #[test]
    fn a_shortened_text_says_so_and_keeps_its_bound() {
        for (text, most, expected) in
            [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abc…"), ("äöü", 5, "ä…"), ("abcd", 1, "…")]
        {
            assert_eq!(shortened(text, most), expected);
        }
    }
}
