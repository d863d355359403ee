//! The real program, real clients, real containers' ends: all on addresses of the loopback network that are this process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code: a failure is the report")]

mod acme;
mod asking;
mod claims;
mod ending;
mod figures;
mod forwarding;
mod handing_over;
mod holding;
mod hosts;
mod http;
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
mod web;
