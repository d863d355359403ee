//! Any text is a dotenv file or an error that says where. What was read can be written down and read again.
#![no_main]

use indexmap::IndexMap;
use libfuzzer_sys::fuzz_target;
use turnout_fuzz::compose::dotenv::{DotenvError, parse, parse_raw};

fuzz_target!(|text: &str| {
    // Some variables are there, some empty, some not there at all.
    let lookup = |name: &str| match name.len() % 3 {
        0 => Some(format!("{name} $x '\"\\")),
        1 => Some(String::new()),
        _ => None,
    };
    let lines = text.lines().count() + 1;
    match parse(text, &lookup) {
        Ok(values) => {
            // `export` is written before every name, for one that itself begins with that word.
            let written: String =
                values.iter().map(|(key, value)| format!("export {key}={}\n", double_quoted(value))).collect();
            same(&values, parse(&written, &|_| None), &written);
        }
        Err(error) => well_placed(&error, lines),
    }
    match parse_raw(text, &lookup) {
        // A value with a line break came from the environment, and has no form of its own in a file.
        Ok(values) if values.values().all(|value| !value.contains(['\n', '\r'])) => {
            // The first line is empty: at the beginning of a file a byte order mark would say nothing.
            let lines: String = values.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
            let written = format!("\n{lines}");
            same(&values, parse_raw(&written, &|_| None), &written);
        }
        Ok(_) => {}
        Err(error) => well_placed(&error, lines),
    }
});

fn double_quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"))
}

fn same(values: &IndexMap<String, String>, again: Result<IndexMap<String, String>, DotenvError>, written: &str) {
    match again {
        Ok(again) => assert!(*values == again, "{values:?} became {again:?} by way of {written:?}"),
        Err(error) => panic!("{error} in {written:?}, which stands for {values:?}"),
    }
}

fn well_placed(error: &DotenvError, lines: usize) {
    assert!((1..=lines).contains(&(error.line as usize)), "line {} of {lines}", error.line);
    assert!(!error.message.is_empty() && error.message.len() < 20_000);
}
