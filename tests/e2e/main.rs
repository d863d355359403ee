//! The whole program: a push comes in, containers come out; and all that may go wrong on the way.
#![allow(
    clippy::disallowed_methods,
    reason = "tests go by the clock of the machine; sleeps are looked for in architecture.rs"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "test code: a failure is the report"
)]

#[path = "../bad_input_support/mod.rs"]
mod bad_input_support;
#[path = "../common/mod.rs"]
mod common;
#[path = "../e2e_support/mod.rs"]
mod e2e_support;
#[path = "../git_support/mod.rs"]
mod git_support;

mod adapters;
mod adapters_die;
mod adapters_share;
mod adoption;
mod adoption_data;
mod alive;
mod altered;
mod asker;
mod at_fault;
mod backup;
mod bad_input_deliveries;
mod bad_input_disk;
mod bad_input_engine;
mod bad_input_project;
mod bad_input_settings;
mod by_hand;
mod by_name;
mod commands;
mod config;
mod credentials;
mod decision;
mod deploy;
mod died_at;
mod failures;
mod front;
mod gate;
mod handed_on;
mod hanging;
mod inputs;
mod keep;
mod killed;
mod lanes;
mod mounts;
mod nameless;
mod plan;
mod projects;
mod recovery;
mod renamed;
mod sinks;
mod start_first;
mod switch;
mod switch_analysis;
mod switch_asked;
mod switch_by_color;
mod switch_canary;
mod switch_crowded;
mod switch_dies;
mod switch_ends;
mod switch_engine;
mod switch_files;
mod switch_full_disk;
mod switch_gate;
mod switch_given_up;
mod switch_health;
mod switch_held;
mod switch_https;
mod switch_killed;
mod switch_meanwhile;
mod switch_measured;
mod switch_past;
mod switch_preview;
mod switch_promote;
mod switch_protocols;
mod switch_ready;
mod switch_refused;
mod switch_renewed;
mod switch_routes;
mod switch_stays;
mod switch_still;
mod switch_words;
mod turned_link;
mod waiting;
mod watch_on;
mod way_back;
mod words;
