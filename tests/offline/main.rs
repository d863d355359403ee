//! What needs neither Docker, nor a network, nor root: rules of the tree, the loader, the store, the webhook.
#![allow(
    clippy::disallowed_methods,
    reason = "tests go by the clock of the machine; sleeps are looked for in architecture.rs"
)]
// For the long JSON of compose_attributes.
#![recursion_limit = "512"]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "test code: a failure is the report"
)]

#[path = "../cases_support/mod.rs"]
mod cases_support;

mod architecture;
mod checklist;
mod circles;
mod compose_attributes;
mod compose_cases;
mod compose_config;
mod compose_corpus;
mod compose_model;
mod declared;
mod glossary;
mod hooks;
mod image_context;
mod imports;
mod invalid_repos;
mod licences;
mod outbox;
mod payloads;
mod points;
mod repos_schema;
mod robustness;
mod second_forge;
mod store;
mod store_facts;
mod store_holds;
mod store_journal;
mod store_readers;
mod store_rollouts;
mod store_waits;
mod webhook_bench;
mod webhook_route;
mod webhook_senders;
mod words;
