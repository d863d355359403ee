//! Any files are a Compose project or an error that has something to say, in bounded time and memory. A project that
//! loads has hashes and is printed in YAML; what can be printed in JSON is a YAML document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use turnout_fuzz::{
    compose::{
        hash,
        render::{Format, render},
    },
    files,
    yaml::{Limits, parse},
};

fuzz_target!(|text: &str| {
    let loaded = match files::loaded(&files::of(text)) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(!error.is_empty());
            assert!(error.len() < 20_000 + 4 * text.len(), "{} bytes of message", error.len());
            return;
        }
    };
    for service in loaded.project.services.values() {
        assert_eq!(hash::service_hash(service).len(), 64, "{text:?}");
    }
    for format in [Format::Yaml, Format::Json] {
        match (render(&loaded.project, format, true), format) {
            (Ok(printed), Format::Json) => {
                if let Err(error) = parse(&printed, "printed", &Limits::default()) {
                    panic!("{error}\nin {printed}\nfrom {text:?}");
                }
            }
            (Ok(_), Format::Yaml) => {}
            // An infinite number has no form in JSON, for instance.
            (Err(error), Format::Json) => assert!(!error.to_string().is_empty()),
            (Err(error), Format::Yaml) => panic!("{error}: {text:?}"),
        }
    }
});
