//! A connection's bytes are requests, in whatever pieces they come, and each is written anew as one that means the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnout_fuzz::passing::requests(bytes));
