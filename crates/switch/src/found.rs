//! Services that a proxy of the user's finds by itself, by labels or variables (ADR 23, front (c)).

use crate::{
    classify::Classes,
    refusal::Finder,
    view::{View, target},
};

/// Services that move and are found by what is written on them, and by what.
pub(crate) fn all<'a>(view: &View<'a>, classes: &Classes<'a>) -> Vec<(&'a str, String)> {
    let moving = view.names().filter(|name| classes.moves(name));
    moving.filter_map(|name| by(view, name).map(|(by, _)| (name, by))).collect()
}

/// A port that requests of a front seem to go to: as it is told, published, exposed; else what many take.
pub(crate) fn port(view: &View<'_>, name: &str) -> u16 {
    let service = view.service(name);
    let of_traefik =
        |key: &str| key.starts_with("traefik.http.services.") && key.ends_with(".loadbalancer.server.port");
    let label = service.and_then(|service| service.labels.iter().find(|(key, _)| of_traefik(key)));
    let variable = service.and_then(|service| service.environment.get("VIRTUAL_PORT")).and_then(Option::as_ref);
    let told = label.map(|(_, value)| value).or(variable).and_then(|value| value.parse().ok());
    let published = || view.tcp_ports(name).find_map(target);
    told.filter(|port| *port != 0).or_else(published).or_else(|| view.exposed(name).next()).unwrap_or(8_000)
}

/// Where another proxy leads to what publishes nothing: the service that seems to be meant.
pub(crate) fn perhaps(view: &View<'_>, classes: &Classes<'_>) -> Option<(String, u16)> {
    let moving = || view.names().filter(|name| classes.moves(name));
    let name = moving().find(|name| by(view, name).is_some()).or_else(|| moving().next())?;
    Some((name.to_owned(), port(view, name)))
}

/// By what a service is found, and by whom.
pub(crate) fn by(view: &View<'_>, name: &str) -> Option<(String, Finder)> {
    let service = view.service(name)?;
    let label = |value: &str| service.labels.get(value).map(String::as_str);
    let traefik = service.labels.keys().find(|key| {
        let part = key.strip_prefix("traefik.");
        part.is_some_and(|part| ["http.", "tcp.", "udp."].iter().any(|kind| part.starts_with(kind)) || part == "enable")
    });
    if let Some(key) =
        traefik.filter(|_| !label("traefik.enable").is_some_and(|value| value.eq_ignore_ascii_case("false")))
    {
        return Some((format!("the label {key}"), Finder::Traefik));
    }
    // caddy-docker-proxy: `caddy`, `caddy.reverse_proxy`, `caddy_1`.
    let caddy =
        |key: &&String| key.strip_prefix("caddy").is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']));
    if let Some(key) = service.labels.keys().find(caddy) {
        return Some((format!("the label {key}"), Finder::Caddy));
    }
    let variable = |key: &str| service.environment.get(key).is_some_and(|value| value.as_deref() != Some(""));
    variable("VIRTUAL_HOST").then(|| ("VIRTUAL_HOST".to_owned(), Finder::NginxProxy))
}
