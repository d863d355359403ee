//! `preview`, `mirror` and `pins`: what reaches a next colour while it waits.

use serde_json::Value;

use super::{
    fields::{Fields, Reading, below},
    parts::{self, LONGEST_PIN, MOST_PINS},
    words::{BeyondSaid, ListenSaid, PinBy, PinSaid, PreviewSaid},
};

/// The word for a preview by a secret in a cookie.
const COOKIE: &str = "cookie";
/// How cookies begin that are turnout-proxy's own.
const OWN_COOKIES: &str = "turnout-";

/// Reads a listener, or a service with its port; nothing where it is mistaken.
type Reads<'a, T> = &'a dyn Fn(&mut Reading, &str, &Value) -> Option<T>;

/// How listeners and services are read.
pub(super) struct Readers<'a> {
    /// A listener, as `9000` or `127.0.0.1:9000`.
    pub(super) listen: Reads<'a, ListenSaid>,
    /// A service and a port of its containers, as `web:8000`.
    pub(super) target: Reads<'a, (String, u16)>,
}

/// Reads the three keys where they stand.
pub(super) fn beyond(reading: &mut Reading, fields: &Fields<'_>, readers: &Readers<'_>) -> BeyondSaid {
    BeyondSaid {
        preview: fields.get("preview").and_then(|(at, value)| preview(reading, &at, value, readers)),
        mirror: fields.get("mirror").and_then(|(at, value)| mirror(reading, &at, value)),
        pins: fields.get("pins").and_then(|(at, value)| pins(reading, &at, value)),
    }
}

/// `cookie`, a host name, or a mapping of both and of a listener.
fn preview(reading: &mut Reading, path: &str, value: &Value, readers: &Readers<'_>) -> Option<PreviewSaid> {
    match value.as_str() {
        Some(COOKIE) => return Some(PreviewSaid { cookie: true, ..PreviewSaid::default() }),
        Some(_) => return Some(PreviewSaid { host: Some(host(reading, path, value)?), ..PreviewSaid::default() }),
        None => {}
    }
    let fields = reading.fields(path, value, &parts::names(parts::PREVIEW), &[])?;
    let before = reading.mistakes.0.len();
    let said = PreviewSaid {
        host: fields.get("host").and_then(|(at, value)| host(reading, &at, value)),
        listen: fields.get("listen").and_then(|(at, value)| (readers.listen)(reading, &at, value)),
        cookie: fields.get(COOKIE).and_then(|(at, value)| reading.flag(&at, value)).unwrap_or_default(),
        to: fields.get("to").and_then(|(at, value)| (readers.target)(reading, &at, value)),
    };
    if reading.mistakes.0.len() > before {
        return None;
    }
    if said.host.is_none() && said.listen.is_none() && !said.cookie {
        reading.mistakes.add(path, "says nothing of how it is reached: `host`, `listen` or `cookie: true` is wanted");
        return None;
    }
    Some(said)
}

/// One host name; which letters it may have, turnout-proxy knows.
fn host(reading: &mut Reading, path: &str, value: &Value) -> Option<String> {
    let text = reading.text(path, value)?;
    if text.is_empty() || text.contains(['*', '/', ':', ' ']) {
        reading.wrong(path, value, "`cookie`, or one host name such as next.shop.example.org, without a port,");
        return None;
    }
    Some(text.to_owned())
}

/// How many of a hundred requests are copied, as `10%`.
fn mirror(reading: &mut Reading, path: &str, value: &Value) -> Option<u8> {
    let digits = value.as_str().and_then(|text| text.strip_suffix('%'));
    let read = digits.and_then(|digits| digits.trim().parse().ok()).filter(|percent| (1..=100).contains(percent));
    if read.is_none() {
        reading.wrong(path, value, "a share from 1% to 100%, such as `mirror: 10%`,");
    }
    read
}

fn pins(reading: &mut Reading, path: &str, value: &Value) -> Option<Vec<PinSaid>> {
    let list = reading.list(path, value)?;
    if list.is_empty() || list.len() > MOST_PINS {
        reading.mistakes.add(path, format!("has {} pins; from 1 to {MOST_PINS} may be", list.len()));
        return None;
    }
    let read: Vec<_> = list.iter().enumerate().map(|(at, item)| pin(reading, &format!("{path}[{at}]"), item)).collect();
    read.into_iter().collect()
}

fn pin(reading: &mut Reading, path: &str, value: &Value) -> Option<PinSaid> {
    let fields = reading.fields(path, value, &parts::names(parts::PIN), &[])?;
    let by = match (fields.get("header"), fields.get(COOKIE)) {
        (Some((at, value)), None) => token(reading, &at, value).map(PinBy::Header),
        (None, Some((at, value))) => match token(reading, &at, value) {
            Some(name) if name.starts_with(OWN_COOKIES) => {
                reading.mistakes.add(&at, format!("`{name}` begins as cookies of turnout-proxy's own do"));
                None
            }
            name => name.map(PinBy::Cookie),
        },
        _ => {
            reading.mistakes.add(path, "needs either `header` or `cookie`");
            None
        }
    };
    let Some((at, value)) = fields.get("value") else {
        reading.mistakes.add(below(path, "value"), "is missing");
        return None;
    };
    let text = value.as_str().unwrap_or_default();
    let in_cookie = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
    if text.is_empty() || text.len() > LONGEST_PIN || !text.bytes().all(in_cookie) {
        let wanted = format!(
            "a text of 1 to {LONGEST_PIN} characters of ASCII, without space, \", comma, semicolon and backslash (numbers in \
             quotes),"
        );
        reading.wrong(&at, value, &wanted);
        return None;
    }
    Some(PinSaid { by: by?, value: text.to_owned() })
}

/// A name of a header or a cookie.
fn token(reading: &mut Reading, path: &str, value: &Value) -> Option<String> {
    let text = reading.text(path, value)?;
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > LONGEST_PIN || !text.bytes().all(inner) {
        reading.wrong(path, value, "a name of a header or a cookie");
        return None;
    }
    Some(text.to_owned())
}
