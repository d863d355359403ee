//! Any text is a template or an error, never a panic; text without `$` stays as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use turnout::compose::interpolate::substitute;

fuzz_target!(|text: &str| {
    let lookup = |name: &str| (name.len() % 2 == 0).then(|| "value with $ and }".to_owned());
    let result = substitute(text, &lookup, &mut |_| {});
    if !text.contains('$') {
        assert!(result.is_ok_and(|substituted| substituted == text));
    }
});
