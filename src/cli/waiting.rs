//! No command waits silently: after a second, standard error says what for, and how long yet.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// When it is said first.
const FIRST: Duration = Duration::from_secs(1);
/// How often it is said again: in a pipe, and on a terminal, where the line is replaced.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_LIVE: Duration = Duration::from_secs(1);

/// What is waited for, over one or more waits.
#[derive(Debug)]
pub struct Waiting(Mutex<Option<Wait>>);

#[derive(Debug, Clone)]
struct Wait {
    what: String,
    at_most: Option<String>,
    since: Instant,
    next: Instant,
}

impl Waiting {
    /// Waits for this, from now on. `what` goes on from "waiting for"; `at_most` is a time in words, where there is a
    /// limit.
    pub fn for_(what: impl Into<String>, at_most: Option<&str>) -> Waiting {
        let waiting = Waiting(Mutex::new(None));
        waiting.now(what, at_most);
        waiting
    }

    /// Now it is this. The same as before goes on as one wait.
    pub fn now(&self, what: impl Into<String>, at_most: Option<&str>) {
        let (what, now) = (what.into(), Instant::now());
        let mut wait = self.lock();
        if wait.as_ref().is_none_or(|wait| wait.what != what) {
            *wait = Some(Wait { what, at_most: at_most.map(str::to_owned), since: now, next: now + FIRST });
        }
    }

    /// Nothing is waited for: what comes, comes when it happens.
    pub fn over(&self) {
        *self.lock() = None;
    }

    /// Does the work, and says meanwhile what is waited for.
    pub async fn told<T>(&self, work: impl Future<Output = T>) -> T {
        let live = io::stderr().is_terminal();
        tokio::pin!(work);
        let mut shown = false;
        loop {
            let next = self.lock().as_ref().map(|wait| wait.next);
            let pause = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => {
                    if shown && live {
                        // A reader that has gone is not worth a word.
                        let _ = write!(io::stderr(), "\r\u{1b}[K");
                    }
                    return done;
                }
                () = pause => {
                    let Some(line) = self.due(if live { AGAIN_LIVE } else { AGAIN }) else { continue };
                    shown = true;
                    let _ = match live {
                        true => write!(io::stderr(), "\r\u{1b}[K{line}"),
                        false => writeln!(io::stderr(), "{line}"),
                    };
                }
            }
        }
    }

    /// The line to be said now; the next one is due after `again`.
    fn due(&self, again: Duration) -> Option<String> {
        let mut wait = self.lock();
        let wait = wait.as_mut()?;
        let now = Instant::now();
        let waited = now.duration_since(wait.since);
        if waited < FIRST {
            // It is another wait than the one for which this line was due.
            return None;
        }
        // In a pipe at 1, 5, 10, … seconds.
        let rounds = u32::try_from(waited.as_millis() / again.as_millis().max(1)).unwrap_or(u32::MAX - 1);
        wait.next = wait.since + again.saturating_mul(rounds + 1);
        Some(line(&wait.what, waited, wait.at_most.as_deref()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Wait>> {
        // Whole values are written under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(what: &str, waited: Duration, at_most: Option<&str>) -> String {
    let of = at_most.map(|most| format!(" of {most}")).unwrap_or_default();
    format!("waiting for {what} ({} s{of})\u{2026}", waited.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_said_after_a_second_and_then_now_and_then() {
        let waiting = Waiting::for_("the Docker engine", Some("30 s"));
        let mut said = Vec::new();
        for _ in 0..4 {
            let next = waiting.lock().as_ref().unwrap().next;
            sleep_until(next).await;
            said.push(waiting.due(AGAIN).unwrap());
        }
        assert_eq!(
            said,
            [1, 5, 10, 15].map(|seconds| format!("waiting for the Docker engine ({seconds} s of 30 s)\u{2026}"))
        );
        // The same goes on as one wait, another one begins.
        waiting.now("the Docker engine", Some("30 s"));
        assert!(waiting.due(AGAIN).unwrap().contains("(15 s"));
        waiting.now("its lane", None);
        assert_eq!(waiting.due(AGAIN), None, "it has only begun");
        tokio::time::advance(FIRST).await;
        assert_eq!(waiting.due(AGAIN).unwrap(), "waiting for its lane (1 s)\u{2026}");
        waiting.over();
        assert_eq!(waiting.due(AGAIN), None);
        assert_eq!(waiting.told(async { 7 }).await, 7);
    }
}
