//! Any text is a template or an error: bounded, line by line, and only `$` means anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use turnout_fuzz::compose::interpolate::{TemplateError, Work, substitute};

/// What one text may become, at most.
const MOST: usize = 8 << 20;

fuzz_target!(|text: &str| {
    let lookup = |name: &str| match name.len() % 3 {
        0 => None,
        1 => Some("value with $ and } and ${x:-y}".to_owned()),
        _ => Some(String::new()),
    };
    let mut unset = Vec::new();
    let whole = substitute(text, &lookup, &mut |name| unset.push(name.to_owned()), &mut Work::default());
    assert!(unset.iter().all(|name| lookup(name).is_none() && text.contains(name.as_str())), "{unset:?}");

    match &whole {
        Ok(out) => assert!(out.len() <= MOST),
        // The text is repeated in a message only in part.
        Err(TemplateError::Invalid(shown)) => assert!(shown.len() <= 1000),
        Err(_) => {}
    }

    // Text without `$` is itself, and doubling makes any text so.
    if !text.contains('$') {
        assert_eq!(whole.as_deref(), Ok(text));
    }
    assert_eq!(substitute(&text.replace('$', "$$"), &lookup, &mut |_| {}, &mut Work::default()).as_deref(), Ok(text));

    // No reference reaches over the end of a line.
    let lines: Result<Vec<String>, TemplateError> =
        text.split('\n').map(|line| substitute(line, &lookup, &mut |_| {}, &mut Work::default())).collect();
    match (&whole, lines) {
        (Ok(out), Ok(lines)) => assert_eq!(*out, lines.join("\n")),
        (Ok(out), Err(error)) => panic!("{error} in a line, but the whole gives {out:?}"),
        (Err(error), Ok(lines)) => {
            assert!(*error == TemplateError::TooLong, "{error} in the whole, but the lines give {lines:?}")
        }
        (Err(_), Err(_)) => {}
    }

    // Nothing depends on how the result is asked for twice.
    assert_eq!(whole, substitute(text, &lookup, &mut |_| {}, &mut Work::default()));
});
