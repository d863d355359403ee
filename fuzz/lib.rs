//! The two folders that are fuzzed, compiled without the rest: engine, git and database would take ten times as long
//! to build and have no part in it. The folders use nothing outside themselves (tests/architecture.rs).
#![allow(dead_code, reason = "the rest of the product uses it")]

#[path = "../src/compose/mod.rs"]
pub mod compose;
#[path = "../src/yaml/mod.rs"]
pub mod yaml;
