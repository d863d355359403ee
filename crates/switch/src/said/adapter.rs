//! `adapter`: a proxy of the user's own that leads requests in the place of turnout-proxy, and what it calls the things that
//! lead to the stack.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;
use turnout_compose::model::Project;
use turnout_report::Mistakes;

use super::{
    fields::{Fields, Reading, below},
    parts,
    words::{Adapter, Program},
};

/// The stick table, where none is named.
const TABLE: &str = "turnout";
/// Caddy's admin interface, where none is named.
const ADMIN: &str = "127.0.0.1:2019";

/// Reads what stands under `adapter`. Without a project, services are not looked up, and ports are 0.
pub(super) fn adapter(
    reading: &mut Reading,
    path: &str,
    value: &Value,
    mut target: impl FnMut(&mut Reading, &str, &str) -> Option<(String, u16)>,
) -> Option<Adapter> {
    let names: Vec<&str> = parts::ADAPTERS.iter().map(|(name, _)| *name).collect();
    if value.is_string() {
        reading.wrong(
            path,
            value,
            "a program with where it is asked, such as { haproxy: { socket: …, backend: shop } },",
        );
        return None;
    }
    let fields = reading.fields(path, value, &names, &[])?;
    let mut said = parts::ADAPTERS
        .iter()
        .filter_map(|(name, own)| fields.get(name).map(|(at, value)| (*name, parts::names(own), at, value)));
    let (Some((name, keys, at, value)), None) = (said.next(), said.next()) else {
        reading.mistakes.add(path, format!("one program is wanted: {}", names.join(", ")));
        return None;
    };
    let fields = reading.fields(&at, value, &keys, &[])?;
    let place_key = keys.first().copied().unwrap_or_default();
    let (one, of) = places(reading, &fields, place_key, name, &mut target)?;
    let program = match name {
        "haproxy" => Program::Haproxy {
            socket: file(reading, &fields, "socket", true)?,
            table: match fields.get("table") {
                Some((at, value)) => word(reading, &at, value)?,
                None => TABLE.to_owned(),
            },
            state: optional_file(reading, &fields, "state")?,
        },
        "nginx" => Program::Nginx {
            file: file(reading, &fields, "file", true)?,
            pid: optional_file(reading, &fields, "pid")?,
            answers: loopback(reading, &fields, "answers")?,
        },
        "caddy" => match fields.get("admin") {
            Some((at, value)) => Program::Caddy { admin: admin(reading, &at, value)? },
            None => Program::Caddy { admin: ADMIN.to_owned() },
        },
        _ => Program::Traefik { file: file(reading, &fields, "file", true)? },
    };
    Some(Adapter { program, one, of })
}

/// A name for all there is, or names by `service` or `service:port`.
#[expect(clippy::type_complexity, reason = "one of the two; the caller takes them apart at once")]
fn places(
    reading: &mut Reading,
    fields: &Fields<'_>,
    key: &str,
    program: &str,
    target: &mut impl FnMut(&mut Reading, &str, &str) -> Option<(String, u16)>,
) -> Option<(Option<String>, BTreeMap<(String, u16), String>)> {
    let place = |reading: &mut Reading, at: &str, value: &Value| match program {
        // A place in its configuration, too.
        "caddy" => handler(reading, at, value),
        _ => word(reading, at, value),
    };
    let Some((at, value)) = fields.get(key) else {
        reading.mistakes.add(below(&fields.path, key), "is missing");
        return None;
    };
    if value.is_string() {
        return Some((Some(place(reading, &at, value)?), BTreeMap::new()));
    }
    let mut of = BTreeMap::new();
    for (key, value) in reading.map(&at, value)? {
        let at = below(&at, key);
        let to = target(reading, &at, key);
        let name = place(reading, &at, value);
        of.insert(to?, name?);
    }
    if of.is_empty() {
        reading.mistakes.add(&at, "is empty; a name, or names by service, are wanted");
        return None;
    }
    Some((None, of))
}

/// A word that may stand in a command or a file of the program.
fn word(reading: &mut Reading, path: &str, value: &Value) -> Option<String> {
    let text = reading.text(path, value)?;
    if !is_word(text) {
        reading.wrong(path, value, "a name of letters, digits, -, _ and .");
        return None;
    }
    Some(text.to_owned())
}

fn is_word(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= 100 && text.bytes().all(inner)
}

fn handler(reading: &mut Reading, path: &str, value: &Value) -> Option<String> {
    let text = reading.text(path, value)?;
    let segments = text.strip_prefix("/config/").map(|rest| rest.trim_end_matches('/').split('/'));
    let good = match segments {
        Some(mut segments) => segments.all(|segment| is_word(segment) && !matches!(segment, "." | "..")),
        None => is_word(text),
    };
    if !good {
        reading.wrong(path, value, "an @id of letters, digits, -, _ and ., or a path that begins with /config/");
        return None;
    }
    Some(text.to_owned())
}

/// The path of a file; `None` where there is none, or it is none.
fn file(reading: &mut Reading, fields: &Fields<'_>, key: &str, needed: bool) -> Option<String> {
    let Some((at, value)) = fields.get(key) else {
        if needed {
            reading.mistakes.add(below(&fields.path, key), "is missing");
        }
        return None;
    };
    let text = reading.text(&at, value)?;
    if !text.starts_with('/') || text.contains(char::is_control) || text.split('/').any(|part| part == "..") {
        reading.wrong(&at, value, "a path that begins with `/`");
        return None;
    }
    Some(text.to_owned())
}

#[expect(clippy::option_option, reason = "outside: whether it is right; inside: whether it is said")]
fn optional_file(reading: &mut Reading, fields: &Fields<'_>, key: &str) -> Option<Option<String>> {
    match fields.get(key) {
        Some(_) => file(reading, fields, key, true).map(Some),
        None => Some(None),
    }
}

/// An address that only this machine reaches.
fn loopback(reading: &mut Reading, fields: &Fields<'_>, key: &str) -> Option<SocketAddr> {
    let Some((at, value)) = fields.get(key) else {
        reading.mistakes.add(below(&fields.path, key), "is missing");
        return None;
    };
    let address = value.as_str().and_then(|text| text.parse::<SocketAddr>().ok());
    let address = address.filter(|address| address.ip().is_loopback() && address.port() != 0);
    if address.is_none() {
        reading.wrong(&at, value, "an address of this machine alone, such as 127.0.0.1:8099,");
    }
    address
}

/// A loopback address, or the path of a socket.
fn admin(reading: &mut Reading, path: &str, value: &Value) -> Option<String> {
    let text = reading.text(path, value)?;
    let is_address = text.parse::<SocketAddr>().is_ok_and(|address| address.port() != 0);
    if !is_address && (!text.starts_with('/') || text.contains(char::is_control)) {
        reading.wrong(path, value, "an address such as 127.0.0.1:2019, or the path of a socket");
        return None;
    }
    Some(text.to_owned())
}

impl Adapter {
    /// Reads `adapter` of what stands under `switch:`, without the project: who is asked, and for which places. A service that
    /// is named without its port has port 0.
    ///
    /// # Errors
    /// It is not right: each mistake with its path.
    pub fn alone(switch: Option<&Value>) -> Result<Option<Adapter>, Mistakes> {
        let Some(value) = switch.and_then(|switch| switch.get("adapter")).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let mut reading = Reading::default();
        let read = adapter(&mut reading, "switch.adapter", value, |_, _, key| {
            let apart = key.rsplit_once(':').and_then(|(service, port)| Some((service, port.parse().ok()?)));
            let (service, port) = apart.unwrap_or((key, 0));
            Some((service.to_owned(), port))
        });
        reading.mistakes.unless_any(read)
    }
}

/// `web:8000`, or `web` where its only port tells.
pub(super) fn of_project<'p>(
    project: &'p Project,
    target: impl Fn(&mut Reading, &str, &Value, &Project) -> Option<(String, u16)> + 'p,
) -> impl FnMut(&mut Reading, &str, &str) -> Option<(String, u16)> + 'p {
    move |reading, at, key| target(reading, at, &Value::from(key), project)
}
