//! The two folders that are fuzzed, and what they use, compiled without the rest: engine, git and database would take ten times as long
//! to build and have no part in it. The folders use nothing else (tests/offline/architecture.rs).
#![allow(dead_code, reason = "the rest of the product uses it")]

#[path = "../src/compose/mod.rs"]
pub mod compose;
#[path = "../src/report/mod.rs"]
pub mod report;
#[path = "../src/yaml/mod.rs"]
pub mod yaml;

pub mod files;
