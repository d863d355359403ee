//! What is counted, for whoever judges one colour by another. All of it only rises, but for what is open now: a reader keeps what
//! it read before and takes the difference. Counts begin anew with the proxy ([`Counters::began`]), and for a colour that had
//! left altogether: where one is lower than before, what was read before is worth nothing.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Upper ends of the classes in which times of answers are counted, in milliseconds. Fixed: counts of two colours, or of two
/// moments, are compared.
pub const LATENCY_MILLIS: [u64; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000];

/// What the containers of a colour answered, since it was first served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCounts {
    /// Requests that were sent to it. Copies ([`HttpCounts::mirrored`]) are none of them.
    pub requests: u64,
    /// Answers by class: 1xx (protocols changed), 2xx, 3xx, 4xx, 5xx. What is missing to `requests` got none, or has none yet.
    pub answers: [u64; 5],
    /// Answers by the time from the request's being sent to the head of the answer: one number for each of [`LATENCY_MILLIS`],
    /// and one for what took longer.
    pub latency: [u64; LATENCY_MILLIS.len() + 1],
    /// Those times together, in microseconds.
    #[serde(default)]
    pub latency_micros: u64,
    /// Requests that were its, and got no answer of its own, or no whole one.
    #[serde(default, skip_serializing_if = "Failures::are_none")]
    pub failures: Failures,
    /// Copies of requests to other colours.
    #[serde(default, skip_serializing_if = "Mirrored::is_none")]
    pub mirrored: Mirrored,
}

/// Requests that a colour's containers did not answer, or not to the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// With 502: the container broke off, or gave an answer that is none.
    pub bad_gateway: u64,
    /// With 503: no container took the request, or too many waited.
    pub unavailable: u64,
    /// With 504: the container did not answer in time.
    pub timeout: u64,
    /// Not at all, for the answer had begun: it broke off, or stopped for too long. Counted among the answers, too.
    #[serde(default)]
    pub broken_off: u64,
}

impl Failures {
    fn are_none(&self) -> bool {
        *self == Failures::default()
    }

    /// Their sum, of requests that the colour failed; bounded, not wrapped.
    pub fn all(&self) -> u64 {
        let Failures { bad_gateway, unavailable, timeout, broken_off } = *self;
        [bad_gateway, unavailable, timeout, broken_off].into_iter().fold(0, u64::saturating_add)
    }
}

/// Copies of requests, which a colour got beside its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirrored {
    /// Copies that were to be sent to it.
    pub requests: u64,
    /// Their answers by class, as in [`HttpCounts::answers`].
    pub answers: [u64; 5],
    /// Copies that got no answer: not sent, broken off, or too late.
    pub failed: u64,
    /// Copies that were not made, for as many as may be were under way.
    pub dropped: u64,
}

impl Mirrored {
    fn is_none(&self) -> bool {
        *self == Mirrored::default()
    }
}

/// The counts of one repository's `http` routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// When the proxy began, in milliseconds since 1970, by its clock then. Another value: all counts began anew.
    pub began: u64,
    /// Whose they are.
    pub repository: String,
    /// Of the repository's routes that these are.
    pub generation: u64,
    /// Of the repository's routes; see [`crate::Repository::revision`].
    pub revision: u64,
    /// In the order of the table.
    pub routes: Vec<RouteCounters>,
}

/// The counts of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounters {
    /// The address and port on which it is served.
    pub listen: SocketAddr,
    /// Its hosts; none: all that are no other route's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// How its paths begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Requests that came.
    pub requests: u64,
    /// Of these, those that the proxy answered itself, for whichever reason.
    pub answered_here: u64,
    /// Requests that wait now.
    pub waiting: u64,
    /// Requests that were asked of a second colour after a 404.
    #[serde(default)]
    pub fallback_asked: u64,
    /// Of these, those that it had.
    #[serde(default)]
    pub fallback_served: u64,
    /// Its colours, in the order of the table.
    pub colours: Vec<ColourCounters>,
}

/// The counts of one colour of a route, in one generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColourCounters {
    /// `red`, `blue`.
    pub name: String,
    /// Of the deployment that made its containers.
    pub generation: u64,
    /// Its share of the clients now.
    pub weight: u64,
    /// Requests in flight, and tunnels, now.
    pub open: u64,
    /// What it answered, and did not.
    pub http: HttpCounts,
}
