//! Questions of yes and no, as the real one asks them: on standard output.

use std::io::{self, IsTerminal as _, Write as _};

/// Asks; `by_default` is what an empty line means on a terminal. Where standard input is none, one line of it is the
/// answer, and no line, or an empty one, is no.
///
/// # Errors
/// When standard output or input fails.
pub(super) fn confirm(question: &str, by_default: bool) -> io::Result<bool> {
    let asks = io::stdin().is_terminal();
    loop {
        let mut out = io::stdout().lock();
        match (asks, by_default) {
            (false, _) => write!(out, "{question}")?,
            (true, false) => write!(out, "? {question} (y/N) ")?,
            (true, true) => write!(out, "? {question} (Y/n) ")?,
        }
        out.flush()?;
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer)?;
        match (meaning(&answer), asks) {
            (Some(answer), _) => return Ok(answer),
            (None, true) if read > 0 && answer.trim().is_empty() => return Ok(by_default),
            // A terminal asks again, unless it was closed.
            (None, true) if read > 0 => {}
            (None, _) => return Ok(false),
        }
    }
}

fn meaning(answer: &str) -> Option<bool> {
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" | "1" | "t" | "true" => Some(true),
        "n" | "no" | "0" | "f" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::meaning;

    #[test]
    fn answers() {
        for (answer, means) in
            [("y\n", Some(true)), (" Yes ", Some(true)), ("N\n", Some(false)), ("", None), ("?", None)]
        {
            assert_eq!(meaning(answer), means, "{answer:?}");
        }
    }
}
