//! The real program, real clients, real containers' ends: all on addresses of the loopback network that are this process's.
#![allow(
    clippy::disallowed_methods,
    reason = "tests go by the clock of the machine; sleeps are looked for in architecture.rs"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code: a failure is the report")]

mod acme;
mod arriving;
mod asking;
mod claims;
mod conforming;
mod dying;
mod ending;
mod figures;
mod floods;
mod forwarding;
mod frames;
mod grpc;
mod handing_over;
mod holding;
mod hosts;
mod http;
mod http2;
mod overlap;
mod passing;
mod patience;
mod progressive;
mod promise;
mod restarting;
mod smuggling;
mod steering;
mod support;
mod switching;
mod tls;
mod two;
mod unruly;
mod web;
