//! `turnout rollout`: where a rollout stands, and how both colours do; once, or once a second.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    args::RolloutArgs,
    client::{Client, ClientError},
    rollout_lines::{Shown, line, lines, shown},
    show::json,
    trouble::Trouble,
};
use crate::{report::redact::escape_json, server::wire::RolloutReply};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long a daemon that has ended is waited for.
const BACK: Duration = Duration::from_secs(120);
/// Exit code where the reader wants no more (Ctrl-C), as a shell shows it of a program that SIGINT ended.
const LEFT: u8 = 130;

/// Shows where a rollout stands, once, or with `--watch` every second until it is over or the reader leaves.
pub(super) async fn rollout(client: &Client, args: &RolloutArgs) -> Result<ExitCode, Trouble> {
    let RolloutArgs { repo, watch, json: as_json, socket: _ } = args;
    let path = format!("/v1/repositories/{repo}/rollout");
    if !watch {
        let first: RolloutReply = client.get(&path).await?;
        // Requests a second are the difference of two looks.
        sleep(LOOK).await;
        let shown = shown(&client.get(&path).await?, Some(&first));
        let text = if *as_json { json(&shown) + "\n" } else { lines(&shown).join("\n") + "\n" };
        io::stdout().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    tokio::select! {
        biased;
        left = tokio::signal::ctrl_c() => left.map(|()| ExitCode::from(LEFT)).map_err(Trouble::from),
        watched = watched(client, &path, *as_json) => watched,
    }
}

async fn watched(client: &Client, path: &str, as_json: bool) -> Result<ExitCode, Trouble> {
    let mut screen = Screen::of_stdout();
    let mut before: Option<RolloutReply> = None;
    let mut away: Option<Instant> = None;
    loop {
        match client.get::<RolloutReply>(path).await {
            Ok(now) => {
                away = None;
                if let Some(before) = &before {
                    let shown = shown(&now, Some(before));
                    if as_json { print_json(&shown)? } else { screen.show(&shown)? }
                }
                before = Some(now);
            }
            Err(error @ (ClientError::Unreachable { .. } | ClientError::Cut(_))) if before.is_some() => {
                let since = *away.get_or_insert_with(Instant::now);
                if since.elapsed() > BACK {
                    return Err(Trouble::Gone(format!("{error}; it did not come back within {} s", BACK.as_secs())));
                }
                if !as_json {
                    screen.say(&format!(
                        "the daemon ends or is being restarted; waiting ({} s)",
                        since.elapsed().as_secs()
                    ))?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        sleep(LOOK).await;
    }
}

fn print_json(shown: &Shown) -> io::Result<()> {
    let text = serde_json::to_string(shown).unwrap_or_default();
    let mut out = io::stdout().lock();
    writeln!(out, "{}", escape_json(&text))?;
    out.flush()
}

/// Where it is shown: on a terminal in place, else a line each time.
struct Screen<W: io::Write> {
    out: W,
    /// Rows and columns, asked for anew each time; `None`: no terminal.
    size: fn() -> Option<(usize, usize)>,
    /// Rows that are shown.
    shown: usize,
}

impl Screen<io::Stdout> {
    fn of_stdout() -> Self {
        Screen { out: io::stdout(), size: terminal, shown: 0 }
    }
}

/// Rows and columns of the terminal at standard output.
fn terminal() -> Option<(usize, usize)> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).map_or((24, 80), |size| (size.ws_row.into(), size.ws_col.into()));
    // Some terminals do not say.
    Some(if size.0 == 0 || size.1 == 0 { (24, 80) } else { size })
}

impl<W: io::Write> Screen<W> {
    fn show(&mut self, shown: &Shown) -> io::Result<()> {
        match (self.size)() {
            Some(_) => self.redraw(&lines(shown)),
            None => self.say(&line(shown)),
        }
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        if (self.size)().is_some() {
            return self.redraw(&[text.to_owned()]);
        }
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// These lines in the place of those before. What does not fit is cut off: a line that wraps, or a page that scrolls, could not be
    /// gone back over.
    fn redraw(&mut self, lines: &[String]) -> io::Result<()> {
        let (rows, columns) = (self.size)().unwrap_or((24, 80));
        let mut text = String::new();
        if self.shown > 0 {
            text.push_str(&format!("\u{1b}[{}A\r\u{1b}[J", self.shown));
        }
        let fits = lines.iter().take(rows.saturating_sub(1).max(1));
        self.shown = 0;
        for line in fits {
            text.extend(line.chars().take(columns.saturating_sub(1).max(1)));
            text.push('\n');
            self.shown += 1;
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_redrawn_in_place_and_never_wraps_or_scrolls() {
        let mut screen = Screen { out: Vec::new(), size: || Some((4, 6)), shown: 0 };
        screen.redraw(&["abcdefgh".to_owned(), "two".to_owned()]).unwrap();
        screen.redraw(&["1".to_owned(), "2".to_owned(), "3".to_owned(), "4".to_owned()]).unwrap();
        screen.redraw(&["end".to_owned()]).unwrap();
        let text = String::from_utf8(screen.out).unwrap();
        assert_eq!(text, "abcde\ntwo\n\u{1b}[2A\r\u{1b}[J1\n2\n3\n\u{1b}[3A\r\u{1b}[Jend\n");
    }

    #[test]
    fn a_pipe_gets_a_line_each_time() {
        let mut screen = Screen { out: Vec::new(), size: || None, shown: 0 };
        screen.say("one").unwrap();
        screen.say("two").unwrap();
        assert_eq!(screen.out, b"one\ntwo\n");
    }
}
