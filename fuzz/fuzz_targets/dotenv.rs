//! Any text is a dotenv file or an error, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use turnout::compose::dotenv;

fuzz_target!(|text: &str| {
    let lookup = |name: &str| (name.len() % 2 == 0).then(|| name.to_owned());
    let _ = dotenv::parse(text, &lookup);
    let _ = dotenv::parse_raw(text, &lookup);
});
