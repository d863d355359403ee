//! Wall-clock time and the lengths of phases.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Measures phases that follow one another.
#[derive(Debug, Default)]
pub struct Phases {
    ended: Vec<(String, u64)>,
    current: Option<(String, Instant)>,
}

impl Phases {
    /// Ends the phase before and begins another.
    pub fn begin(&mut self, name: &str) {
        self.end();
        self.current = Some((name.to_owned(), Instant::now()));
    }

    /// Ends the last phase and returns all, in milliseconds.
    pub fn finish(mut self) -> Vec<(String, u64)> {
        self.end();
        self.ended
    }

    fn end(&mut self) {
        if let Some((name, begun)) = self.current.take() {
            self.ended.push((name, u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)));
        }
    }
}
