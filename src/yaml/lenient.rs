//! What Go's parser accepts and saphyr, which follows YAML 1.2 closely, does not; and the other way round.

use std::collections::BTreeSet;

use saphyr_parser::ScanError;

/// Blanks that a line gets which is moved right.
pub(super) const PAD: u32 = 256;

/// Bytes that are read again because of repairs, at most.
pub(super) const MAX_REREAD_BYTES: usize = 16 << 20;

/// A change to blanks that mean nothing, after which the text is read again.
pub(super) enum Repair {
    /// This line of a flow collection stands left of the block around it: it is moved right.
    Flow { line: u32 },
    /// A line of the quoted text that begins here stands left of the block around it: lines are moved right one by one.
    Quoted { line: u32 },
    /// Tabs before this place, which follow a `:`, become blanks.
    Tab { index: usize },
}

impl Repair {
    /// The repair that may help against `error`.
    pub(super) fn of(error: &ScanError) -> Option<Repair> {
        let line = u32::try_from(error.marker().line()).unwrap_or(u32::MAX);
        match error.info() {
            "invalid indentation" | "invalid indentation in flow construct" => Some(Repair::Flow { line }),
            "invalid indentation in quoted scalar" => Some(Repair::Quoted { line }),
            "':' must be followed by a valid YAML whitespace" => Some(Repair::Tab { index: error.marker().index() }),
            _ => None,
        }
    }

    /// The text after the repair, or `None` when it does not help. Lines moved right are noted in `padded`.
    pub(super) fn apply(&self, text: &str, padded: &mut BTreeSet<u32>) -> Option<String> {
        match *self {
            Repair::Flow { line } => padded.insert(line).then(|| pad(text, line)),
            Repair::Quoted { line } => {
                let next = (line + 1..).find(|line| !padded.contains(line))?;
                padded.insert(next);
                (text.lines().count() >= next as usize).then(|| pad(text, next))
            }
            Repair::Tab { index } => {
                let end = text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
                let start = text[..end].trim_end_matches('\t').len();
                (start < end).then(|| format!("{}{}{}", &text[..start], " ".repeat(end - start), &text[end..]))
            }
        }
    }
}

fn pad(text: &str, line: u32) -> String {
    let mut out = String::with_capacity(text.len() + PAD as usize);
    for (number, piece) in (1..).zip(text.split_inclusive('\n')) {
        if number == line {
            out.extend(std::iter::repeat_n(' ', PAD as usize));
        }
        out.push_str(piece);
    }
    out
}

/// Line and column of the first character that YAML does not allow.
pub(super) fn control_character(text: &str) -> Option<(u32, u32)> {
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
    let at = text.find(|c| !allowed(c))?;
    let line = text[..at].matches('\n').count() + 1;
    let column = text[..at].chars().rev().take_while(|c| *c != '\n').count() + 1;
    Some((u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX)))
}
