//! Stacks as text, and what is derived from them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the report")]

mod corpus;
mod dress;
mod invariants;
mod pretend;
mod refusals;
mod routes;
mod rules;
mod said;
mod stacks;
mod stage;
mod support;
