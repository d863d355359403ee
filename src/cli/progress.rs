//! Shows a deployment's events: live on a terminal, plain lines in a pipe.

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use crate::report::{Event, Outcome};

/// Writes events for a reader.
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

    /// Shows one event.
    ///
    /// # Errors
    /// When the writer fails, for instance a closed pipe.
    pub fn show(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::StepStarted { step, text } => self.running.push((*step, text.clone())),
            Event::StepEnded { step, .. } => self.running.retain(|(s, _)| s != step),
            _ => {}
        }
        if let Some(line) = line(event, self.live) {
            self.clear()?;
            writeln!(self.out, "{line}")?;
        }
        if self.live {
            let text = match event {
                Event::Progress { subject, text } => Some(format!("{subject}: {text}")),
                _ => self.running.last().map(|(_, text)| match self.running.len() {
                    1 => text.clone(),
                    n => format!("{text} (and {} more)", n - 1),
                }),
            };
            if let Some(text) = text {
                self.clear()?;
                let text: String = text.chars().take(self.width.saturating_sub(4)).collect();
                write!(self.out, "  \u{2026} {text}")?;
                self.transient = true;
            }
        }
        self.out.flush()
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

/// The line an event leaves behind, if any. A started step leaves none on a terminal, where its end will show.
pub fn line(event: &Event, live: bool) -> Option<String> {
    Some(match event {
        Event::Phase { name } => format!("== {name}"),
        Event::Info { text } => format!("   {text}"),
        Event::Warning { text } => format!(" ! {text}"),
        Event::StepStarted { text, .. } if !live => format!(" > {text}"),
        Event::StepStarted { .. } => return None,
        Event::StepEnded { outcome, text, elapsed, .. } => {
            let mark = match outcome {
                Outcome::Done => '+',
                Outcome::Skipped => '-',
                Outcome::Failed => 'x',
                Outcome::Abandoned => '~',
            };
            format!(" {mark} {text} ({})", seconds(*elapsed))
        }
        Event::Progress { .. } => return None,
        Event::Output { source, line } => format!("   | {source}: {line}"),
    })
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

    fn shown(live: bool) -> String {
        let mut out = Vec::new();
        let mut display = Display::new(&mut out, live, 60);
        for event in [
            Event::Phase { name: "apply".into() },
            Event::StepStarted { step: 0, text: "create shop-web-1".into() },
            Event::Progress { subject: "pull nginx".into(), text: "40 %".into() },
            Event::StepEnded {
                step: 0,
                outcome: Outcome::Done,
                text: "created shop-web-1".into(),
                elapsed: Duration::from_millis(1500),
            },
        ] {
            display.show(&event).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_gets_plain_lines() {
        assert_eq!(shown(false), "== apply\n > create shop-web-1\n + created shop-web-1 (1.5 s)\n");
    }

    #[test]
    fn a_terminal_gets_a_line_that_is_replaced() {
        let text = shown(true);
        assert!(text.ends_with("\r\u{1b}[K + created shop-web-1 (1.5 s)\n"), "{text:?}");
        assert!(text.contains("\u{2026} pull nginx: 40 %"), "{text:?}");
    }

    #[test]
    fn durations_read_well() {
        for (ms, text) in [(7, "7 ms"), (2_340, "2.3 s"), (125_000, "2 min 05 s")] {
            assert_eq!(seconds(Duration::from_millis(ms)), text);
        }
    }
}
