//! How much of the past is kept.

use std::time::Duration;

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Deliveries older than this are forgotten.
    pub delivery_age: Duration,
    /// Most deliveries remembered.
    pub deliveries: usize,
    /// Newest deliveries of which the payload is kept; 0 = of none.
    pub payloads: usize,
    /// Deployments kept for each repository, with their logs.
    pub deployments: usize,
    /// Most events in the journal.
    pub events: usize,
    /// Copies of the database kept beside it; 0 = none are made.
    pub copies: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            delivery_age: Duration::from_secs(30 * 86_400),
            deliveries: 10_000,
            payloads: 1_000,
            deployments: 200,
            events: 50_000,
            copies: 7,
        }
    }
}
