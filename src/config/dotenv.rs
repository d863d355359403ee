//! The daemon's own `.env`, read with dotenvy. (Compose's dialect differs and lives in `compose/dotenv`.)

use std::collections::BTreeMap;

use super::mistake::{Mistake, Mistakes, Place};

/// Reads all assignments of `text`; of two with one name the later counts. The process environment is not changed.
///
/// # Errors
/// Every line that cannot be read, with `file` and the line number. The line itself is not repeated: it may be a
/// secret.
pub fn parse(text: &str, file: &str) -> Result<BTreeMap<String, String>, Mistakes> {
    let mut values = BTreeMap::new();
    let mut mistakes = Mistakes::default();
    // Where in `text` to look for the next line that dotenvy complains about: it names the text, not the number.
    let mut from = 0;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok((name, value)) => {
                values.insert(name, value);
            }
            Err(dotenvy::Error::LineParse(line, _)) => {
                let place = match text.get(from..).and_then(|rest| rest.find(line.trim_end())) {
                    Some(offset) => {
                        let start = from + offset;
                        from = start + line.trim_end().len();
                        let number = text.get(..start).unwrap_or("").matches('\n').count() + 1;
                        format!("{file}:{number}")
                    }
                    None => file.to_owned(),
                };
                mistakes.0.push(
                    Mistake::new(Place::File(place), "", "this line cannot be read")
                        .hint("write NAME=value; put values with spaces, quotes, $ or # between single quotes"),
                );
            }
            Err(error) => {
                mistakes.0.push(Mistake::new(Place::File(file.to_owned()), "", format!("cannot be read: {error}")));
                break;
            }
        }
    }
    mistakes.unless_any(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_assignments() {
        let text = "# comment\nWEBHOOK_SECRET='It$s a #secret'\nexport TURNOUT_LISTEN=127.0.0.1:9000 # why\n\nEMPTY=\n";
        let values = parse(text, ".env").unwrap();
        assert_eq!(values["WEBHOOK_SECRET"], "It$s a #secret");
        assert_eq!(values["TURNOUT_LISTEN"], "127.0.0.1:9000");
        assert_eq!(values["EMPTY"], "");
    }

    #[test]
    fn every_unreadable_line_is_named_and_none_is_shown() {
        let error = parse("A=1\nthis is hunter2\nB=2\n\nWEBHOOK_SECRET=two words\n", "conf/.env").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("conf/.env:2: "), "{text}");
        assert!(text.contains("conf/.env:5: "), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("two words"), "{text}");
    }
}
