//! Stacks as text, and what is derived from them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the report")]

mod adapter;
#[path = "../../../../tests/cases_support/mod.rs"]
mod cases_support;
mod corpus;
mod dress;
mod files;
mod in_place;
mod invariants;
mod pretend;
mod refusals;
mod routes;
mod rules;
mod said;
mod stacks;
mod stage;
mod support;
