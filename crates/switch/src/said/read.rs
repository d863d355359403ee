//! The keys of `switch:` and `x-turnout:`.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Value;
use turnout_compose::model::{Duration, Project};
use turnout_report::Mistakes;

use super::{
    adapter::{adapter, of_project},
    analysis::analysis,
    beyond::{Readers, beyond},
    fields::{Reading, below},
    keys::{KEYS, LATER, ROUTE_KEYS, SERVICE_KEYS, names},
    parts,
    steps::steps,
    words::{By, Health, Layer, ListenSaid, OnFailure, Order, Promote, RouteSaid, Said, ServiceSaid, Tls},
};
use crate::{class::Class, protocol::Protocol};

/// What else may stand in a service's `x-turnout`, and is no business of the switch.
const BESIDE: &str = "on_mounted_change";

/// The extension of the Compose file.
const EXTENSION: &str = "x-turnout";

impl Said {
    /// Reads what stands under `switch:` (a word, or a mapping) and in the Compose file.
    ///
    /// # Errors
    ///
    /// Every mistake, with its path. Unknown keys, and services that the project has not, are mistakes.
    pub fn read(switch: Option<&Value>, project: &Project) -> Result<Said, Mistakes> {
        said(switch, project)
    }
}

fn said(switch: Option<&Value>, project: &Project) -> Result<Said, Mistakes> {
    let mut reading = Reading::default();
    let mut said = Said::default();
    match switch {
        // The one word with which all is derived.
        None | Some(Value::Null) => {}
        Some(Value::String(word)) if word == "auto" => {}
        Some(value @ Value::String(_)) => reading.wrong("switch", value, "`auto`, or a mapping"),
        Some(value) => said.repos = layer(&mut reading, "switch", value, project),
    }
    if let Some(value) = project.extensions.get(EXTENSION).filter(|value| !value.is_null()) {
        said.compose = layer(&mut reading, EXTENSION, value, project);
    }
    for name in project.services.keys() {
        let path = format!("services.{name}.{EXTENSION}");
        match project.service_extension(name, EXTENSION) {
            Ok(None | Some(Value::Null)) => {}
            Ok(Some(value)) => {
                let own = service(&mut reading, &path, &value);
                said.services.insert(name.clone(), own);
            }
            Err(message) => reading.mistakes.add(&path, message),
        }
    }
    if reading.mistakes.0.is_empty() { Ok(said) } else { Err(reading.mistakes) }
}

fn layer(reading: &mut Reading, path: &str, value: &Value, project: &Project) -> Layer {
    let mut layer = Layer::default();
    let Some(mut fields) = reading.fields(path, value, &names(KEYS), LATER) else { return layer };
    if path == EXTENSION {
        reading.of_the_host(&mut fields, KEYS);
    }
    layer.by = fields
        .get("by")
        .and_then(|(at, value)| reading.word(&at, value, &[("deploy", By::Deploy), ("color", By::Color)]));
    layer.colors = fields.get("colors").and_then(|(at, value)| colors(reading, &at, value));
    layer.routes = fields.get("routes").and_then(|(at, value)| routes(reading, &at, value, project));
    layer.trusted = fields.get("trusted").and_then(|(at, value)| reading.texts(&at, value));
    layer.bake = fields.get("bake").and_then(|(at, value)| reading.duration(&at, value));
    layer.drain = fields.get("drain").and_then(|(at, value)| reading.duration(&at, value));
    layer.keep = fields.get("keep").and_then(|(at, value)| reading.duration(&at, value));
    layer.fallback = fields.get("fallback").and_then(|(at, value)| paths(reading, &at, value));
    layer.on_failure = fields.get("on_failure").and_then(|(at, value)| {
        reading.word(&at, value, &[("rollback", OnFailure::Rollback), ("pause", OnFailure::Pause)])
    });
    layer.promote = fields.get("promote").and_then(|(at, value)| promote(reading, &at, value));
    layer.promote_deadline = fields.get("promote_deadline").and_then(|(at, value)| reading.duration(&at, value));
    let to = |reading: &mut Reading, path: &str, value: &Value| target(reading, path, value, project);
    layer.analysis =
        fields.get("analysis").and_then(|(at, value)| analysis(reading, &at, value, path == EXTENSION, &to));
    layer.beyond = beyond(reading, &fields, &Readers { listen: &listen, target: &to });
    layer.steps = steps(reading, &fields);
    layer.adapter =
        fields.get("adapter").and_then(|(at, value)| adapter(reading, &at, value, of_project(project, target)));
    layer.all.order = fields.get("order").and_then(|(at, value)| order(reading, &at, value));
    layer.all.health = fields.get("health").and_then(|(at, value)| health(reading, &at, value));
    if let Some((at, value)) = fields.get("services")
        && let Some(map) = reading.map(&at, value)
    {
        for (name, value) in map {
            let at = below(&at, name);
            if is_service(reading, &at, name, project) {
                let own = service(reading, &at, value);
                layer.services.insert(name.clone(), own);
            }
        }
    }
    if let Some((at, value)) = fields.get("protocol") {
        protocols_of_stack(reading, &at, value, project, &mut layer);
    }
    layer
}

/// Whether the project has a service, active or not.
fn is_service(reading: &mut Reading, path: &str, name: &str, project: &Project) -> bool {
    let known = project.services.contains_key(name) || project.disabled_services.contains_key(name);
    if !known {
        let names: Vec<&str> = project.services.keys().map(String::as_str).take(20).collect();
        reading.mistakes.add(path, format!("no service has this name; there are {}", names.join(", ")));
    }
    known
}

/// What is said about one service: its class as a word, or a mapping.
fn service(reading: &mut Reading, path: &str, value: &Value) -> ServiceSaid {
    let mut said = ServiceSaid::default();
    if value.is_string() {
        said.class = class(reading, path, value);
        return said;
    }
    let beside: &[&str] = if path.ends_with(EXTENSION) { &[BESIDE] } else { &[] };
    let keys = [&names(SERVICE_KEYS)[..], beside].concat();
    let Some(fields) = reading.fields(path, value, &keys, LATER) else { return said };
    said.class = fields.get("class").and_then(|(at, value)| class(reading, &at, value));
    said.order = fields.get("order").and_then(|(at, value)| order(reading, &at, value));
    said.health = fields.get("health").and_then(|(at, value)| health(reading, &at, value));
    said.expendable = fields.get("expendable").and_then(|(at, value)| reading.flag(&at, value));
    match fields.get("protocol") {
        Some((at, value @ Value::Object(_))) => {
            for (port, value) in reading.map(&at, value).into_iter().flatten() {
                let at = below(&at, port);
                match port.parse() {
                    Ok(number) => {
                        said.protocols.extend(protocol(reading, &at, value).map(|protocol| (number, protocol)))
                    }
                    Err(_) => reading.mistakes.add(&at, "is no port of the container"),
                }
            }
        }
        Some((at, value)) => said.protocol = protocol(reading, &at, value),
        None => {}
    }
    said
}

/// `auto`, `manual`, or `after` and a duration.
fn promote(reading: &mut Reading, path: &str, value: &Value) -> Option<Promote> {
    let text = value.as_str().unwrap_or_default();
    let after = text.strip_prefix("after ").and_then(|text| Duration::parse(text.trim()).ok());
    let read = match (text, after) {
        ("auto", _) => Some(Promote::Auto),
        ("manual", _) => Some(Promote::Manual),
        (_, after) => after.filter(|after| after.0 > 0).map(Promote::After),
    };
    if read.is_none() {
        reading.wrong(path, value, "one of auto, manual, or `after` and a duration such as `after 10m`");
    }
    read
}

fn class(reading: &mut Reading, path: &str, value: &Value) -> Option<Class> {
    reading.word(path, value, &Class::ALL.map(|class| (class.word(), class)))
}

fn order(reading: &mut Reading, path: &str, value: &Value) -> Option<Order> {
    reading.word(path, value, &[("start-first", Order::StartFirst), ("stop-first", Order::StopFirst)])
}

fn protocol(reading: &mut Reading, path: &str, value: &Value) -> Option<Protocol> {
    let read = value.as_str().and_then(Protocol::parse);
    if read.is_none() {
        reading.wrong(path, value, "one of http, https, h2c, http2, grpc, ws, tcp");
    }
    read
}

/// `protocol:` of the whole stack: one word, or words by `service` or `service:port`.
fn protocols_of_stack(reading: &mut Reading, path: &str, value: &Value, project: &Project, layer: &mut Layer) {
    if value.is_string() {
        layer.all.protocol = protocol(reading, path, value);
        return;
    }
    for (key, value) in reading.map(path, value).into_iter().flatten() {
        let at = below(path, key);
        let (name, port) = key.split_once(':').map_or((key.as_str(), None), |(name, port)| (name, Some(port)));
        if !is_service(reading, &at, name, project) {
            continue;
        }
        let Some(read) = protocol(reading, &at, value) else { continue };
        let own = layer.services.entry(name.to_owned()).or_default();
        match port.map(str::parse) {
            None => own.protocol = Some(read),
            Some(Ok(port)) => {
                own.protocols.insert(port, read);
            }
            Some(Err(_)) => reading.mistakes.add(&at, "is no `service` or `service:port`"),
        }
    }
}

fn health(reading: &mut Reading, path: &str, value: &Value) -> Option<Health> {
    if value.is_string() {
        return Some(Health { path: Some(page(reading, path, value)?), timeout: None });
    }
    let fields = reading.fields(path, value, &parts::names(parts::HEALTH), &[])?;
    Some(Health {
        path: fields.get("path").and_then(|(at, value)| page(reading, &at, value)),
        timeout: fields.get("timeout").and_then(|(at, value)| reading.duration(&at, value)),
    })
}

/// A path of a URL.
fn page(reading: &mut Reading, path: &str, value: &Value) -> Option<String> {
    let text = reading.text(path, value)?;
    if !text.starts_with('/') || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        reading.wrong(path, value, "a path that begins with `/`");
        return None;
    }
    Some(text.to_owned())
}

fn paths(reading: &mut Reading, path: &str, value: &Value) -> Option<Vec<String>> {
    let list = reading.list(path, value)?;
    list.iter().enumerate().map(|(at, item)| page(reading, &format!("{path}[{at}]"), item)).collect()
}

/// Two words, each of which may stand before a project's name.
fn colors(reading: &mut Reading, path: &str, value: &Value) -> Option<[String; 2]> {
    let word = |text: &String| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    match <[String; 2]>::try_from(reading.texts(path, value)?) {
        Ok(colors) if colors.iter().all(word) && colors[0] != colors[1] => Some(colors),
        _ => {
            reading.wrong(path, value, "two different words of a-z, 0-9, - and _");
            None
        }
    }
}

fn routes(reading: &mut Reading, path: &str, value: &Value, project: &Project) -> Option<Vec<RouteSaid>> {
    let list = reading.list(path, value)?;
    let read = list.iter().enumerate().map(|(at, item)| route(reading, &format!("{path}[{at}]"), item, project));
    // All are read, so that every mistake is told.
    read.collect::<Vec<_>>().into_iter().collect()
}

fn route(reading: &mut Reading, path: &str, value: &Value, project: &Project) -> Option<RouteSaid> {
    let fields = reading.fields(path, value, &names(ROUTE_KEYS), &[])?;
    let mut needed = |key: &str| {
        let found = fields.get(key);
        if found.is_none() {
            reading.mistakes.add(below(path, key), "is missing");
        }
        found
    };
    let (listen_at, to_at) = (needed("listen"), needed("to"));
    let listen = listen_at.and_then(|(at, value)| listen(reading, &at, value));
    let to = to_at.and_then(|(at, value)| target(reading, &at, value, project));
    let hosts = fields.get("hosts").and_then(|(at, value)| reading.texts(&at, value)).unwrap_or_default();
    let prefix = fields.get("path").and_then(|(at, value)| page(reading, &at, value));
    let strip_path = fields.get("strip_path").and_then(|(at, value)| reading.flag(&at, value)).unwrap_or_default();
    let protocol = fields.get("protocol").and_then(|(at, value)| protocol(reading, &at, value));
    let tls = fields.get("tls").and_then(|(at, value)| tls(reading, &at, value));
    let proxied_by = fields.get("proxied_by").and_then(|(at, value)| reading.texts(&at, value)).unwrap_or_default();
    let versions = [("v1", 1), ("v2", 2)];
    let proxy_protocol = fields.get("proxy_protocol").and_then(|(at, value)| reading.word(&at, value, &versions));
    let redirect = fields.get("redirect").and_then(|(at, value)| reading.word(&at, value, &[("https", true)]));
    let hsts = fields.get("hsts").and_then(|(at, value)| hsts(reading, &at, value));
    let trusted = fields.get("trusted").and_then(|(at, value)| reading.texts(&at, value));
    let (service, port) = to?;
    Some(RouteSaid {
        listen: listen?,
        hosts,
        path: prefix,
        strip_path,
        service,
        port,
        protocol,
        tls,
        proxied_by,
        proxy_protocol,
        redirect: redirect.unwrap_or_default(),
        hsts,
        trusted,
    })
}

/// `1y`, `180d`, or a duration in Compose's words; two years at most. 0 has browsers forget it.
fn hsts(reading: &mut Reading, path: &str, value: &Value) -> Option<Duration> {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;
    let text = value.as_str().unwrap_or_default();
    let days = |unit: char, days: i64| {
        let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Duration(number.checked_mul(days)?.checked_mul(DAY)?))
    };
    let read = days('y', 365).or_else(|| days('d', 1)).or_else(|| Duration::parse(text).ok());
    let read = read.filter(|read| (0..=2 * 365 * DAY).contains(&read.0));
    if read.is_none() {
        reading.wrong(path, value, "a time of two years at most such as 1y, 180d or 24h");
    }
    read
}

/// `80`, `"80"`, `"127.0.0.1:80"`, `"[::]:80"`.
fn listen(reading: &mut Reading, path: &str, value: &Value) -> Option<ListenSaid> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let read = match text.rsplit_once(':') {
        None => text.parse().ok().map(|port| ListenSaid { address: None, port }),
        Some((address, port)) => {
            let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
            let address = bare.parse::<IpAddr>().ok();
            address.zip(port.parse().ok()).map(|(address, port)| ListenSaid { address: Some(address), port })
        }
    };
    let read = read.filter(|listen| listen.port != 0);
    if read.is_none() {
        reading.wrong(path, value, "a port, or an address with one such as 127.0.0.1:80 or [::]:80");
    }
    read
}

/// `web:8000`, or `web` where its only published port, or its only exposed one, tells.
fn target(reading: &mut Reading, path: &str, value: &Value, project: &Project) -> Option<(String, u16)> {
    let text = reading.text(path, value)?;
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    if !is_service(reading, path, name, project) {
        return None;
    }
    let port = match port {
        Some(port) => port.parse().ok(),
        None => only_port(project, name),
    };
    let port = port.filter(|port| *port != 0);
    if port.is_none() {
        reading.wrong(path, value, "a service with the port in its container, such as web:8000,");
    }
    Some((name.to_owned(), port?))
}

fn only_port(project: &Project, name: &str) -> Option<u16> {
    let service = project.services.get(name)?;
    let published: BTreeMap<u32, ()> = service.ports.iter().map(|port| (port.target, ())).collect();
    match published.keys().copied().collect::<Vec<_>>().as_slice() {
        [port] => u16::try_from(*port).ok(),
        [] => service.expose.first().filter(|_| service.expose.len() == 1)?.split('/').next()?.parse().ok(),
        _ => None,
    }
}

fn tls(reading: &mut Reading, path: &str, value: &Value) -> Option<Tls> {
    if value.is_string() {
        return reading.word(path, value, &[("acme", ()), ("auto", ())]).map(|()| Tls::Auto);
    }
    let fields = reading.fields(path, value, &parts::names(parts::TLS_FILES), &[])?;
    let mut file = |key: &str| match fields.get(key) {
        Some((at, value)) => reading.text(&at, value).map(str::to_owned),
        None => {
            reading.mistakes.add(below(path, key), "is missing");
            None
        }
    };
    let (certificate, key) = (file("certificate"), file("key"));
    Some(Tls::Files { certificate: certificate?, key: key? })
}
