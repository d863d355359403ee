//! Any text is a Compose project or an error that has something to say, never a panic, in bounded time and memory.
#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use turnout::compose::{
    load::{LoadRequest, load},
    render::{Format, render},
    source::MapFiles,
};

fuzz_target!(|text: &str| {
    let files = MapFiles::new([("/p/compose.yaml", text), ("/p/.env", "A=1\nB=two\n"), ("/p/other.yaml", text)]);
    let request = LoadRequest { working_dir: PathBuf::from("/p"), ..LoadRequest::default() };
    match load(&request, &files) {
        Ok(loaded) => drop(render(&loaded.project, Format::Json, true)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
