//! The end of a log, for an error: what a program that ended said last.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// Lines that an error quotes.
const LINES: usize = 10;
/// Bytes of the log that are looked at for them.
const BYTES: u64 = 8 << 10;

/// The last lines that were written after `from`.
pub(crate) fn since(path: &Path, from: u64) -> String {
    match read(path, from) {
        Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes)),
        Err(error) => format!("  (it cannot be read: {error})"),
    }
}

fn read(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut log = File::open(path)?;
    let length = log.metadata()?.len();
    // Cut off by somebody in between: then all of it is newer.
    let from = if from > length { 0 } else { from };
    log.seek(SeekFrom::Start(from.max(length.saturating_sub(BYTES))))?;
    let mut bytes = Vec::new();
    log.take(BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return "  (it said nothing)".to_owned();
    }
    let shown = lines[lines.len().saturating_sub(LINES)..].iter();
    shown.map(|line| format!("  {}", line.replace(char::is_control, " "))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_end_and_of_an_earlier_start_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        assert!(since(&path, 0).contains("cannot be read"));
        std::fs::write(&path, "earlier\n").unwrap();
        assert_eq!(since(&path, 8), "  (it said nothing)");
        std::fs::write(&path, "earlier\nnow\n\n").unwrap();
        assert_eq!((since(&path, 8), since(&path, 999)), ("  now".to_owned(), "  earlier\n  now".to_owned()));
        let long: String = (0..5_000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&path, long).unwrap();
        let told = since(&path, 0);
        assert_eq!((told.lines().count(), told.lines().last()), (LINES, Some("  line 4999")));
    }
}
