//! What the containers of a colour answered, and bytes both ways, counted.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use turnout_traffic::control::{Failures, HttpCounts, LATENCY_MILLIS, Mirrored};

/// The running totals of [`HttpCounts`].
#[derive(Debug, Default)]
pub(crate) struct Answers {
    requests: AtomicU64,
    classes: [AtomicU64; 5],
    latency: [AtomicU64; LATENCY_MILLIS.len() + 1],
    latency_micros: AtomicU64,
    failures: [AtomicU64; 4],
    pub(crate) copies: Copies,
}

/// Why a request of a colour got no answer of its own, or no whole one; see [`Failures`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    BadGateway,
    Unavailable,
    Timeout,
    BrokenOff,
}

/// Copies of requests to other colours; see [`Mirrored`].
#[derive(Debug, Default)]
pub(crate) struct Copies {
    under_way: AtomicU64,
    requests: AtomicU64,
    classes: [AtomicU64; 5],
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Copies {
    /// Whether one more may be made, if `most` may be under way; then it is, until [`Copies::ended`].
    pub(crate) fn begin(&self, most: u64) -> bool {
        let may = self.under_way.fetch_add(1, Relaxed) < most;
        if may {
            self.requests.fetch_add(1, Relaxed);
        } else {
            self.under_way.fetch_sub(1, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
        }
        may
    }

    /// The status of its answer, if it got one.
    pub(crate) fn ended(&self, status: Option<u16>) {
        self.under_way.fetch_sub(1, Relaxed);
        match status.and_then(|status| class(&self.classes, status)) {
            Some(class) => class.fetch_add(1, Relaxed),
            None => self.failed.fetch_add(1, Relaxed),
        };
    }

    fn told(&self) -> Mirrored {
        Mirrored {
            requests: self.requests.load(Relaxed),
            answers: self.classes.each_ref().map(|count| count.load(Relaxed)),
            failed: self.failed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
        }
    }
}

/// The count of a status.
fn class(classes: &[AtomicU64; 5], status: u16) -> Option<&AtomicU64> {
    usize::from(status / 100).checked_sub(1).and_then(|class| classes.get(class))
}

/// Bytes of a colour.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    /// That its containers got.
    pub(crate) received: AtomicU64,
    /// That its clients got.
    pub(crate) sent: AtomicU64,
}

impl Answers {
    /// A request is sent.
    pub(crate) fn asked(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// It was not sent after all.
    pub(crate) fn unsent(&self) {
        self.requests.fetch_sub(1, Relaxed);
    }

    /// The head of its answer is there.
    pub(crate) fn answered(&self, status: u16, after: Duration) {
        if let Some(class) = class(&self.classes, status) {
            class.fetch_add(1, Relaxed);
        }
        if let Some(count) = self.latency.get(bucket(after)) {
            count.fetch_add(1, Relaxed);
        }
        self.latency_micros.fetch_add(u64::try_from(after.as_micros()).unwrap_or(0), Relaxed);
    }

    /// It got no answer, or no whole one.
    pub(crate) fn failed(&self, failure: Failure) {
        let [bad_gateway, unavailable, timeout, broken_off] = &self.failures;
        let count = match failure {
            Failure::BadGateway => bad_gateway,
            Failure::Unavailable => unavailable,
            Failure::Timeout => timeout,
            Failure::BrokenOff => broken_off,
        };
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn told(&self) -> HttpCounts {
        let [bad_gateway, unavailable, timeout, broken_off] = self.failures.each_ref().map(|count| count.load(Relaxed));
        HttpCounts {
            requests: self.requests.load(Relaxed),
            answers: self.classes.each_ref().map(|count| count.load(Relaxed)),
            latency: self.latency.each_ref().map(|count| count.load(Relaxed)),
            latency_micros: self.latency_micros.load(Relaxed),
            failures: Failures { bad_gateway, unavailable, timeout, broken_off },
            mirrored: self.copies.told(),
        }
    }
}

/// The class of a time: up to and with its upper end.
fn bucket(after: Duration) -> usize {
    LATENCY_MILLIS.partition_point(|millis| Duration::from_millis(*millis) < after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_up_to_their_upper_end() {
        for (micros, expected) in
            [(0, 0), (1_000, 0), (1_001, 1), (2_000, 1), (99_000, 6), (30_000_000, 13), (30_000_001, 14)]
        {
            assert_eq!(bucket(Duration::from_micros(micros)), expected, "{micros}");
        }
        let answers = Answers::default();
        for status in [200, 204, 302, 404, 500, 999] {
            answers.asked();
            answers.answered(status, Duration::from_millis(3));
        }
        let told = answers.told();
        assert_eq!((told.requests, told.answers, told.latency[2]), (6, [0, 2, 1, 1, 1], 6));
        assert_eq!(told.latency_micros, 18_000);
    }
}
