//! Cuts what a container says into lines.
//!
//! The engine keeps a line of more than 16 KiB in several messages. Asked for times, it puts one before each message: they
//! are taken out, so that a long line reads as it was written.

use bollard::container::LogOutput;

/// Longest line. What is longer becomes several, with [`CUT`] where it was cut.
const MOST: usize = 64 * (STAMP + MESSAGE);
/// Where a line was cut.
const CUT: &str = "…";
/// Bytes of a line in one message of the engine's log (`daemon/logger/copier.go`).
const MESSAGE: usize = 16 * 1024;
/// Bytes of a time before a message, with the space behind it: `2026-11-29T08:52:59.199408181Z `.
const STAMP: usize = 31;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Written to standard error.
    pub(super) stderr: bool,
    /// The time before it; empty where none was asked for.
    pub(super) time: String,
    /// Without its end. A carriage return before that is the container's and stays.
    pub(super) text: String,
}

/// Cuts the chunks of one container. Its two streams are cut apart from each other.
#[derive(Debug, Default)]
pub(super) struct Lines {
    stamped: bool,
    /// The last chunk was a terminal's.
    terminal: bool,
    out: Partial,
    err: Partial,
}

/// What has come of a line.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    time: String,
    /// Its beginning was a line of its own already.
    cut: bool,
}

impl Lines {
    /// For an answer with times before its messages.
    pub(super) fn stamped() -> Lines {
        Lines { stamped: true, ..Lines::default() }
    }

    /// The lines that a chunk ends.
    pub(super) fn feed(&mut self, chunk: LogOutput) -> Vec<Line> {
        let stderr = matches!(chunk, LogOutput::StdErr { .. });
        // A terminal has one stream, of which the chunks are cut anywhere; any other chunk is one message.
        self.terminal = matches!(chunk, LogOutput::Console { .. });
        let partial = if stderr { &mut self.err } else { &mut self.out };
        let chunk = chunk.into_bytes();
        let mut rest = chunk.as_ref();
        if self.stamped
            && !self.terminal
            && let Some((time, message)) = split_stamp(rest)
        {
            if partial.bytes.is_empty() && !partial.cut {
                time.clone_into(&mut partial.time);
            }
            rest = message;
        }
        let mut lines = Vec::new();
        let mut add = |partial: &mut Partial, ended: bool| {
            let Partial { bytes, time, cut } = std::mem::take(partial);
            let bytes = if self.stamped && self.terminal { without_stamps(bytes, &time) } else { (time, bytes) };
            let (time, bytes) = bytes;
            let text = String::from_utf8_lossy(&bytes);
            let (before, after) = (if cut { CUT } else { "" }, if ended { "" } else { CUT });
            if !ended {
                *partial = Partial { time: time.clone(), cut: true, ..Partial::default() };
            }
            lines.push(Line { stderr, time, text: format!("{before}{text}{after}") });
        };
        while !rest.is_empty() {
            let room = MOST - partial.bytes.len();
            let end = rest.iter().take(room).position(|byte| *byte == b'\n');
            let (taken, left) = rest.split_at(end.unwrap_or(room.min(rest.len())));
            partial.bytes.extend_from_slice(taken);
            rest = left;
            if end.is_some() {
                rest = rest.get(1..).unwrap_or_default();
                add(partial, true);
            } else if partial.bytes.len() >= MOST {
                add(partial, false);
            }
        }
        lines
    }

    /// What was left without an end. (`docker compose` drops it.)
    pub(super) fn end(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let message = bytes::Bytes::from_static(b"\n");
        if !self.err.bytes.is_empty() {
            lines.extend(self.feed(LogOutput::StdErr { message: message.clone() }));
        }
        if !self.out.bytes.is_empty() {
            let end = if self.terminal { LogOutput::Console { message } } else { LogOutput::StdOut { message } };
            lines.extend(self.feed(end));
        }
        lines
    }
}

/// The time before a message, and the message.
fn split_stamp(message: &[u8]) -> Option<(&str, &[u8])> {
    let (stamp, rest) = message.split_at_checked(STAMP)?;
    let like = b"0000-00-00T00:00:00.000000000Z ";
    let fits = |(byte, like): (&u8, &u8)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like };
    if !stamp.iter().zip(like).all(fits) {
        return None;
    }
    Some((std::str::from_utf8(stamp).ok()?.trim_end(), rest))
}

/// A line of a terminal, whose messages are not told apart: a time is taken for one only where a message can begin. The
/// time of the line is that of its first message, or `earlier` where its beginning was cut off.
fn without_stamps(line: Vec<u8>, earlier: &str) -> (String, Vec<u8>) {
    let (mut time, mut text, mut rest) = (earlier.to_owned(), Vec::with_capacity(line.len()), line.as_slice());
    loop {
        if let Some((stamp, message)) = split_stamp(rest) {
            if time.is_empty() {
                stamp.clone_into(&mut time);
            }
            rest = message;
        }
        let (message, left) = rest.split_at(rest.len().min(MESSAGE));
        text.extend_from_slice(message);
        if left.is_empty() {
            return (time, text);
        }
        rest = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-29T08:52:59.199408181Z";

    fn out(text: impl Into<bytes::Bytes>) -> LogOutput {
        LogOutput::StdOut { message: text.into() }
    }

    fn texts(lines: Vec<Line>) -> Vec<(bool, String)> {
        lines.into_iter().map(|line| (line.stderr, line.text)).collect()
    }

    #[test]
    fn chunks_are_cut_into_lines() {
        let mut lines = Lines::default();
        let err = |text: &'static str| LogOutput::StdErr { message: text.into() };
        assert_eq!(texts(lines.feed(out("a\r\nb"))), [(false, "a\r".to_owned())]);
        assert_eq!(texts(lines.feed(err("x\n"))), [(true, "x".to_owned())]);
        assert_eq!(texts(lines.feed(out("c\n\nd"))), [(false, "bc".to_owned()), (false, String::new())]);
        assert_eq!(texts(lines.feed(err("y"))), []);
        assert_eq!(texts(lines.end()), [(true, "y".to_owned()), (false, "d".to_owned())]);
        assert_eq!(texts(lines.end()), []);
    }

    #[test]
    fn a_line_of_several_messages_has_one_time() {
        let mut lines = Lines::stamped();
        let message = "ab cd ".repeat(MESSAGE / 6);
        assert_eq!(lines.feed(out(format!("{TIME} {message}"))), []);
        let second = TIME.replace("59.1", "59.2");
        let line = lines.feed(out(format!("{second} end {TIME} too\n")));
        let text = format!("{message}end {TIME} too");
        assert_eq!(line, [Line { stderr: false, time: TIME.to_owned(), text }]);
        let next = lines.feed(out(format!("{second} next\n")));
        assert_eq!(next, [Line { stderr: false, time: second, text: "next".to_owned() }]);
    }

    #[test]
    fn a_terminal_s_line_of_several_messages_has_one_time() {
        for step in [1_000, 16_415, 100_000] {
            let mut lines = Lines::stamped();
            let (first, second) = ("x".repeat(MESSAGE), format!("y {TIME} z"));
            let all = format!("{TIME} {first}{TIME} {second}\r\n");
            let console = |piece: &[u8]| LogOutput::Console { message: piece.to_vec().into() };
            let cut: Vec<Line> = all.as_bytes().chunks(step).flat_map(|piece| lines.feed(console(piece))).collect();
            let text = format!("{first}{second}\r");
            assert_eq!(cut, [Line { stderr: false, time: TIME.to_owned(), text }], "{step}");
            assert_eq!(lines.feed(console(format!("{TIME} end").as_bytes())), []);
            assert_eq!(lines.end(), [Line { stderr: false, time: TIME.to_owned(), text: "end".to_owned() }]);
        }
    }

    #[test]
    fn a_line_without_an_end_is_cut_and_says_so() {
        let mut lines = Lines::default();
        let cut = lines.feed(out("x".repeat(MOST + 5)));
        let [line] = cut.as_slice() else { panic!("{} lines", cut.len()) };
        assert_eq!((line.text.len(), line.text.ends_with("x…")), (MOST + CUT.len(), true));
        assert_eq!(texts(lines.feed(out("y\nz\n"))), [(false, "…xxxxxy".to_owned()), (false, "z".to_owned())]);
    }
}
