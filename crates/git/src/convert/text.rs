//! Line endings and `$Id$`: conversions that need nothing but the bytes. The rules are those of git's convert.c.

use git2::{ObjectType, Oid};

use super::rules::Lines;

/// What a text is made of, as far as it tells text from other data.
#[derive(Default)]
struct Stats {
    nul: usize,
    lone_cr: usize,
    lone_lf: usize,
    crlf: usize,
    printable: usize,
    other: usize,
}

impl Stats {
    fn of(bytes: &[u8]) -> Self {
        let mut stats = Self::default();
        let mut rest = bytes.iter().peekable();
        while let Some(byte) = rest.next() {
            match byte {
                b'\r' if rest.next_if(|next| **next == b'\n').is_some() => stats.crlf += 1,
                b'\r' => stats.lone_cr += 1,
                b'\n' => stats.lone_lf += 1,
                0 => {
                    stats.nul += 1;
                    stats.other += 1;
                }
                8 | b'\t' | 12 | 27 | 32..=126 | 128.. => stats.printable += 1,
                _ => stats.other += 1,
            }
        }
        // The end-of-file mark of DOS.
        if bytes.last() == Some(&0x1a) {
            stats.other -= 1;
        }
        stats
    }

    fn is_binary(&self) -> bool {
        self.lone_cr > 0 || self.nul > 0 || (self.printable >> 7) < self.other
    }
}

/// LF made CRLF on the way into the work tree, where the rules say so.
pub(super) fn to_work_tree(bytes: &[u8], lines: Lines) -> Option<Vec<u8>> {
    let auto = match lines {
        Lines::Text { crlf: true } => false,
        Lines::Auto { crlf: true } => true,
        _ => return None,
    };
    let stats = Stats::of(bytes);
    if stats.lone_lf == 0 || (auto && (stats.lone_cr > 0 || stats.crlf > 0 || stats.is_binary())) {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() + stats.lone_lf);
    let mut before = 0;
    for byte in bytes {
        if *byte == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(*byte);
        before = *byte;
    }
    Some(out)
}

/// CRLF made LF on the way into git. Where the rules leave it to the look of the file, one that is stored with CRLF
/// already (`stored`) keeps them.
pub(super) fn to_git(bytes: &[u8], lines: Lines, stored: &[u8]) -> Option<Vec<u8>> {
    if lines == Lines::Binary {
        return None;
    }
    let stats = Stats::of(bytes);
    if stats.crlf == 0 {
        return None;
    }
    if matches!(lines, Lines::Auto { .. }) {
        let kept = || {
            let stored = Stats::of(stored);
            stored.crlf > 0 && !stored.is_binary()
        };
        if stats.is_binary() || kept() {
            return None;
        }
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().peekable();
    while let Some(byte) = rest.next() {
        if !(*byte == b'\r' && rest.peek() == Some(&&b'\n')) {
            out.push(*byte);
        }
    }
    Some(out)
}

/// `$Id$` filled in with the blob's own name.
///
/// git has two readings of a text. Where nothing but the name and line endings is to be done it reads letter by letter,
/// and a letter that ends one attempt begins no other: `$$Id$` stays as it is. Elsewhere (`streamed` is false) it looks
/// at each dollar.
pub(super) fn fill_ident(bytes: &[u8], streamed: bool) -> Result<Option<Vec<u8>>, git2::Error> {
    if !has_ident(bytes) {
        return Ok(None);
    }
    let name = format!("Id: {} $", Oid::hash_object(ObjectType::Blob, bytes)?).into_bytes();
    let replace = |mark: &[u8]| (mark == b"Id$" || !is_foreign(mark)).then(|| name.clone());
    Ok(Some(if streamed { marks_in_stream(bytes, replace) } else { marks(bytes, replace) }))
}

/// Whether a mark has spaces in other places than git's own: it is that of another system (CVS, Subversion).
fn is_foreign(mark: &[u8]) -> bool {
    let inside = mark.get(4..mark.len().saturating_sub(1)).unwrap_or_default();
    inside.iter().position(|byte| *byte == b' ').is_some_and(|at| at + 1 < inside.len())
}

/// `$Id: …$` made `$Id$` again.
pub(super) fn empty_ident(bytes: &[u8]) -> Option<Vec<u8>> {
    has_ident(bytes).then(|| marks(bytes, |mark| mark.starts_with(b"Id:").then(|| b"Id$".to_vec())))
}

fn has_ident(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|four| four == b"$Id$" || four == b"$Id:")
}

/// Replaces what follows a dollar and is `Id$`, or begins with `Id:` and ends with a dollar in the same line.
fn marks(bytes: &[u8], replace: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let mut rest = bytes;
    while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
        let (before, after) = rest.split_at(dollar + 1);
        out.extend_from_slice(before);
        rest = after;
        let mark = match rest {
            [b'I', b'd', b'$', ..] => rest.get(..3),
            [b'I', b'd', b':', inside @ ..] => {
                // Cut off: nothing after it is looked at either.
                let Some(end) = inside.iter().position(|byte| *byte == b'$') else { break };
                rest.get(..end + 4).filter(|mark| !mark.contains(&b'\n'))
            }
            _ => None,
        };
        if let Some(mark) = mark
            && let Some(new) = replace(mark)
        {
            out.extend(new);
            rest = rest.get(mark.len()..).unwrap_or_default();
        }
    }
    out.extend_from_slice(rest);
    out
}

/// As [`marks`], letter by letter.
fn marks_in_stream(bytes: &[u8], replace: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    const HEAD: &[u8] = b"$Id";
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let mut rest = bytes;
    while let Some((first, _)) = rest.split_first() {
        let common = HEAD.iter().zip(rest).take_while(|(a, b)| a == b).count();
        let mark = match rest.get(HEAD.len()) {
            _ if common < HEAD.len() => None,
            Some(b'$') => Some(3),
            Some(b':') => {
                let inside = rest.get(HEAD.len() + 1..).unwrap_or_default();
                let Some(end) = inside.iter().position(|byte| matches!(byte, b'$' | b'\n')) else { break };
                // Up to the end of the line at most, and kept if it ends there.
                Some(HEAD.len() + end + 1)
            }
            _ => None,
        };
        // What was read and did not fit, with the letter that told.
        let length = mark.map_or(common + 1, |length| length + 1);
        let read = rest.get(..length).unwrap_or(rest);
        let inner = read.strip_prefix(b"$").filter(|inner| mark.is_some() && inner.ends_with(b"$"));
        match inner.and_then(&replace) {
            Some(new) => {
                out.push(*first);
                out.extend(new);
            }
            None => out.extend_from_slice(read),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}
