//! A connection's first words are read the same in whatever pieces they come, and what is said of a client is read back.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| turnout_fuzz::passing::first_words(bytes));
