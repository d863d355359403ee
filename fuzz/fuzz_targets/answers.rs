//! A container's bytes are an answer, in whatever pieces they come, and it is written anew as one that means the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnout_fuzz::passing::answers(bytes));
