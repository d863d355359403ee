//! How many requests a client may take back: each costs a container something, and its client next to nothing
//! (CVE-2023-44487). Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Requests that may be taken back at once: a page that is left takes back all that it had asked for.
const AT_ONCE: u32 = 200;
/// And one more each time that this has gone by.
const ONE_MORE: Duration = Duration::from_millis(50);

/// What one connection may still take back.
#[derive(Debug)]
pub(crate) struct Calm {
    left: u32,
    since: Instant,
}

impl Calm {
    pub(crate) fn new(now: Instant) -> Calm {
        Calm { left: AT_ONCE, since: now }
    }

    /// A request was taken back. Whether that is still usual.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        let gone = now.saturating_duration_since(self.since);
        let more = u32::try_from(gone.as_millis() / ONE_MORE.as_millis()).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(AT_ONCE);
            self.since = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_a_page_has_and_then_slowly() {
        let begin = Instant::now();
        let mut calm = Calm::new(begin);
        assert!((0..AT_ONCE).all(|_| calm.allows(begin)));
        assert!(!calm.allows(begin));
        assert!(!calm.allows(begin + ONE_MORE / 2));
        let later = begin + ONE_MORE * 3;
        assert_eq!((0..9).filter(|_| calm.allows(later)).count(), 3);
        let much_later = later + Duration::from_secs(3_600);
        assert_eq!((0..1_000).filter(|_| calm.allows(much_later)).count(), 200);
    }
}
