//! How long something is waited for: one call to the engine, and work that somebody has called off.
//!
//! Whoever asks the engine asks through [`super::Engine::ask`]: it ends also where the answer begins and never ends.
//!
//! Work is boxed where it is wrapped: a future that is handed on by value through several functions lies in each of them,
//! and that of a whole deployment would not fit on a stack.

use std::{fmt, io, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// What work under way has for its end after it was called off. Most calls end well within it, and what is whole is
/// easier to go on from; who called it off, or systemd, waits meanwhile.
pub const GRACE: Duration = Duration::from_secs(5);

/// A call below the client library, in its time.
pub(super) async fn io_within<T>(limit: Duration, call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, call).await.unwrap_or_else(|_| Err(no_answer(limit)))
}

/// That there was no answer in this time; [`after`] finds it again.
pub(super) fn no_answer(limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, NoAnswer(limit))
}

/// Travels through the client library's error, which has no place for how long.
#[derive(Debug)]
struct NoAnswer(Duration);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Docker engine gave no answer in {}", spoken(self.0))
    }
}

impl std::error::Error for NoAnswer {}

/// How long an answer was waited for in vain, where that is what an error says.
pub(super) fn after(error: &io::Error) -> Option<Duration> {
    error.get_ref()?.downcast_ref::<NoAnswer>().map(|silent| silent.0)
}

/// A time as people write it: `2 min`, `90 s`, `300 ms`.
pub(super) fn spoken(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (0, millis) => format!("{millis} ms"),
        (seconds, _) if seconds >= 60 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        (seconds, _) => format!("{seconds} s"),
    }
}

/// What work came to; nothing where `cancel` fired and it did not end within `grace` of that. It is dropped then.
pub fn unless_given_up<T>(
    work: impl Future<Output = T>,
    cancel: &CancellationToken,
    grace: Duration,
) -> impl Future<Output = Option<T>> {
    let work = Box::pin(work);
    async move { GivingUp::new(cancel, grace).wait(work).await }
}

/// Several waits in a row that all end some time after one cancellation.
pub struct GivingUp<'a> {
    cancel: &'a CancellationToken,
    grace: Duration,
    /// When they end; known once the cancellation was noticed.
    at: Option<Instant>,
}

impl<'a> GivingUp<'a> {
    /// Waits that end `grace` after `cancel`.
    pub fn new(cancel: &'a CancellationToken, grace: Duration) -> Self {
        Self { cancel, grace, at: None }
    }

    /// What work came to; nothing where it did not end in time.
    pub async fn wait<T>(&mut self, work: impl Future<Output = T> + Unpin) -> Option<T> {
        let mut work = work;
        if self.at.is_none() {
            tokio::select! {
                // What has ended counts, whatever came at the same moment.
                biased;
                done = &mut work => return Some(done),
                () = self.cancel.cancelled() => self.at = Some(Instant::now() + self.grace),
            }
        }
        let at = self.at?;
        timeout_at(at, work).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use bollard::errors::Error as Bollard;

    use super::*;

    #[test]
    fn times_are_spoken() {
        for (millis, said) in [(300, "300 ms"), (2000, "2 s"), (90_000, "90 s"), (120_000, "2 min")] {
            assert_eq!(spoken(Duration::from_millis(millis)), said);
        }
    }

    #[test]
    fn how_long_it_was_comes_through_the_library() {
        let error = Bollard::IOError { err: no_answer(Duration::from_secs(2)) };
        let said = crate::EngineError::api("create web-1", error);
        assert!(said.to_string().starts_with("create web-1: the Docker engine gave no answer in 2 s ("), "{said}");
        assert!(!said.is_lost());
        let broken = Bollard::IOError { err: io::ErrorKind::ConnectionReset.into() };
        assert!(crate::EngineError::api("create web-1", broken).is_lost());
    }

    #[tokio::test(start_paused = true)]
    async fn waits_in_a_row_share_one_grace() {
        let cancel = CancellationToken::new();
        let second = Duration::from_secs(1);
        let mut waits = GivingUp::new(&cancel, 3 * second);
        assert_eq!(waits.wait(Box::pin(tokio::time::sleep(100 * second))).await, Some(()));
        cancel.cancel();
        let began = Instant::now();
        assert_eq!(waits.wait(Box::pin(tokio::time::sleep(2 * second))).await, Some(()));
        assert_eq!(waits.wait(Box::pin(tokio::time::sleep(2 * second))).await, None);
        assert_eq!(began.elapsed(), 3 * second);
        // What is there already is taken even then.
        assert_eq!(waits.wait(std::future::ready(7)).await, Some(7));
    }
}
