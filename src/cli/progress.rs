//! Shows a deployment's log: live on a terminal, plain lines in a pipe.

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use crate::{report::Event, store::LogLine};

/// Writes a log for a reader.
pub struct Display<W: Write> {
    out: W,
    live: bool,
    width: usize,
    /// Text of the transient last line, when one is shown.
    transient: bool,
    /// Steps under way: reference and text, in the order begun.
    running: Vec<(usize, String)>,
}

impl Display<io::Stdout> {
    /// For standard output, live when it is a terminal.
    pub fn stdout() -> Self {
        let out = io::stdout();
        let live = out.is_terminal();
        let width = rustix::termios::tcgetwinsize(&out).map_or(100, |size| usize::from(size.ws_col).max(40));
        Self::new(out, live, width)
    }
}

impl<W: Write> Display<W> {
    /// For any writer. `width` bounds the live line, in columns.
    pub fn new(out: W, live: bool, width: usize) -> Self {
        Self { out, live, width, transient: false, running: Vec::new() }
    }

    /// Shows a line that is kept.
    ///
    /// # Errors
    /// When the writer fails, for instance a closed pipe.
    pub fn line(&mut self, line: &LogLine) -> io::Result<()> {
        self.clear()?;
        writeln!(self.out, "{}", plain(line))?;
        self.live_line(None)?;
        self.out.flush()
    }

    /// Shows what only matters while one watches: on a terminal, in a line that is replaced.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn live(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::StepStarted { step, text } => self.running.push((*step, text.clone())),
            Event::StepEnded { step, .. } => self.running.retain(|(s, _)| s != step),
            _ => {}
        }
        self.clear()?;
        self.live_line(Some(event))?;
        self.out.flush()
    }

    fn live_line(&mut self, event: Option<&Event>) -> io::Result<()> {
        if !self.live {
            return Ok(());
        }
        let text = match event {
            Some(Event::Progress { subject, text }) => Some(format!("{subject}: {text}")),
            _ => self.running.last().map(|(_, text)| match self.running.len() {
                1 => text.clone(),
                n => format!("{text} (and {} more)", n - 1),
            }),
        };
        if let Some(text) = text {
            let text: String = text.chars().take(self.width.saturating_sub(4)).collect();
            write!(self.out, "  \u{2026} {text}")?;
            self.transient = true;
        }
        Ok(())
    }

    /// Removes the live line; call before printing anything else.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.transient {
            write!(self.out, "\r\u{1b}[K")?;
            self.transient = false;
        }
        Ok(())
    }

    /// Prints a line of the caller's own.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.clear()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }
}

/// A kept line for people.
pub fn plain(line: &LogLine) -> String {
    let text = &line.text;
    match (line.kind.as_str(), &line.source) {
        ("phase", _) => format!("== {text}"),
        ("warning", _) => format!(" ! {text}"),
        ("step", _) => format!(" * {text}"),
        ("output", Some(source)) => format!("   | {source}: {text}"),
        ("output", None) => format!("   | {text}"),
        _ => format!("   {text}"),
    }
}

/// A duration for people: `12 ms`, `3.4 s`, `2 min 05 s`.
pub fn seconds(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min {:02} s", ms / 60_000, ms / 1_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;

    fn kept(kind: &str, source: Option<&str>, text: &str) -> LogLine {
        LogLine { seq: 1, at: 0, kind: kind.to_owned(), source: source.map(str::to_owned), text: text.to_owned() }
    }

    fn shown(live: bool) -> String {
        let mut out = Vec::new();
        let mut display = Display::new(&mut out, live, 60);
        display.line(&kept("phase", None, "apply")).unwrap();
        display.live(&Event::StepStarted { step: 0, text: "create shop-web-1".into() }).unwrap();
        display.live(&Event::Progress { subject: "pull nginx".into(), text: "40 %".into() }).unwrap();
        display.line(&kept("output", Some("build web"), "RUN make")).unwrap();
        let ended = Duration::from_millis(5);
        let ended = Event::StepEnded { step: 0, outcome: Outcome::Done, text: String::new(), elapsed: ended };
        display.live(&ended).unwrap();
        display.line(&kept("step", None, "done: created shop-web-1 (1.5 s)")).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_gets_plain_lines() {
        assert_eq!(shown(false), "== apply\n   | build web: RUN make\n * done: created shop-web-1 (1.5 s)\n");
    }

    #[test]
    fn a_terminal_gets_a_line_that_is_replaced() {
        let text = shown(true);
        assert!(text.ends_with("\r\u{1b}[K * done: created shop-web-1 (1.5 s)\n"), "{text:?}");
        assert!(text.contains("\u{2026} pull nginx: 40 %\r\u{1b}[K   | build web"), "{text:?}");
    }

    #[test]
    fn durations_read_well() {
        for (ms, text) in [(7, "7 ms"), (2_340, "2.3 s"), (125_000, "2 min 05 s")] {
            assert_eq!(seconds(Duration::from_millis(ms)), text);
        }
    }
}
