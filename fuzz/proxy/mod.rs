//! turnout-proxy is a program, not a library: what of it is pure is taken in here, file by file.
#![allow(dead_code, reason = "not all of a file is asked")]

#[path = "../../crates/proxy/src/http/answer_head.rs"]
pub(crate) mod answer_head;
#[path = "../../crates/proxy/src/http/chunks.rs"]
pub(crate) mod chunks;
#[path = "../../crates/proxy/src/http/forward.rs"]
pub(crate) mod forward;
#[path = "../../crates/proxy/src/http/guard.rs"]
pub(crate) mod guard;
#[path = "../../crates/proxy/src/http/h2_text.rs"]
pub(crate) mod h2_text;
#[path = "../../crates/proxy/src/http/head.rs"]
pub(crate) mod head;
#[path = "../../crates/proxy/src/hello.rs"]
pub(crate) mod hello;
#[path = "../../crates/proxy/src/preamble.rs"]
pub(crate) mod preamble;
#[path = "../../crates/proxy/src/http/refusal.rs"]
pub(crate) mod refusal;
