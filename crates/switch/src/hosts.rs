//! Whether a text names a service as a host.
//!
//! Names of services are ordinary words (`web`, `api`, `worker`), so a word alone is no proof; a place where a host stands
//! is.

use turnout_compose::model::{Project, Service};

use crate::{class::Place, facts::Facts};

/// Parts of a variable's or flag's name after which a bare word is a host.
const HINTS: &[&str] = &[
    "host",
    "hosts",
    "hostname",
    "url",
    "uri",
    "addr",
    "address",
    "server",
    "servers",
    "endpoint",
    "endpoints",
    "upstream",
    "upstreams",
    "backend",
    "origin",
    "dsn",
    "target",
    "targets",
];
/// Words of configuration languages after which a bare word is a host: nginx, HAProxy, Caddy.
const DIRECTIVES: &[&str] =
    &["server", "proxy_pass", "fastcgi_pass", "uwsgi_pass", "grpc_pass", "scgi_pass", "reverse_proxy"];

/// Where `from` names one of `names` as a host, and the port if one stands there.
pub(crate) fn named<'p>(
    project: &'p Project,
    facts: &'p Facts,
    from: &'p Service,
    names: &[&str],
) -> Option<(Place, Option<u16>)> {
    let in_text = |text: &str, bare: bool| names.iter().find_map(|name| in_text(text, name, bare));
    if from.links.iter().any(|link| names.contains(&link.split(':').next().unwrap_or_default())) {
        return Some((Place::Links, None));
    }
    for (key, value) in &from.environment {
        let Some(value) = value else { continue };
        if let Some(port) = in_text(value, hints(key)) {
            return Some((Place::Environment(key.clone()), port));
        }
    }
    let words = from.entrypoint.iter().chain(&from.command).flatten();
    let mut before: &str = "";
    for word in words {
        let (flag, value) = word.split_once('=').filter(|(flag, _)| flag.starts_with('-')).unwrap_or((before, word));
        let hinted = flag.starts_with('-') && (flag == "-h" || hints(flag));
        if let Some(port) = in_text(value, hinted) {
            return Some((Place::Command, port));
        }
        before = word;
    }
    texts(project, facts, from)
        .find_map(|(path, text)| in_text(text, false).map(|port| (Place::File(path.to_owned()), port)))
}

/// Whether a variable's or flag's name says that a host follows.
fn hints(key: &str) -> bool {
    let key = key.to_lowercase();
    key.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| HINTS.contains(&part))
}

/// Tracked configuration that a service has mounted: path and text.
fn texts<'p>(project: &'p Project, facts: &'p Facts, service: &'p Service) -> impl Iterator<Item = (&'p str, &'p str)> {
    let tracked = |path: &'p str| {
        let file = facts.files.get(path).filter(|file| file.tracked && !file.text.is_empty());
        file.map(|file| (path, file.text.as_str()))
    };
    let binds = service.volumes.iter().filter(|mount| mount.r#type == "bind");
    let binds = binds.filter_map(move |mount| tracked(mount.source.trim_end_matches('/')));
    let configs = service.configs.iter().filter_map(|config| project.configs.get(&config.source));
    let configs = configs.filter_map(move |config| match config.content.as_str() {
        "" => tracked(&config.file),
        content => Some((config.name.as_str(), content)),
    });
    binds.chain(configs)
}

/// Whether a text names a host, and the port. `bare`: the word alone, or in a list, is enough.
fn in_text(text: &str, name: &str, bare: bool) -> Option<Option<u16>> {
    if name.is_empty() {
        return None;
    }
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.match_indices(name).find_map(|(at, _)| {
        let (before, after) = (text.get(..at)?, text.get(at + name.len()..)?);
        if before.ends_with(part_of_word) || after.starts_with(part_of_word) {
            // `api.` at the end of a sentence is nobody's host; `api.example.org` is another one.
            return None;
        }
        let port =
            after.strip_prefix(':').map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
        let port: Option<u16> = port.and_then(|digits| digits.parse().ok());
        let in_address = before.ends_with("//") || before.ends_with('@');
        // `user:8000` in an address is a password; `app:8000/tcp` is none of a host's places either, but rare.
        let alone = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '"' | '\'' | '[' | '(' | '{' | '=' | '|');
        let with_port = port.is_some() && (before.is_empty() || before.ends_with(alone));
        let in_list = bare
            && (before.is_empty() || before.ends_with([',', ' ', ';']))
            && (after.is_empty() || after.starts_with([',', ' ', ';', '/']));
        let directive = before.trim_end().rsplit(|c: char| c.is_whitespace() || matches!(c, ';' | '{')).next();
        let directed =
            before.ends_with(char::is_whitespace) && directive.is_some_and(|word| DIRECTIVES.contains(&word));
        (in_address || with_port || in_list || directed).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_stand_where_hosts_stand() {
        for (text, name, bare, found) in [
            ("api", "api", true, Some(None)),
            ("api", "api", false, None),
            ("api:8000", "api", false, Some(Some(8000))),
            ("http://api", "api", false, Some(None)),
            ("http://api/v1", "api", false, Some(None)),
            ("http://api:8000/v1", "api", false, Some(Some(8000))),
            ("amqp://user:secret@api:5672//", "api", false, Some(Some(5672))),
            ("a:1,api:2", "api", false, Some(Some(2))),
            ("x,api,y", "api", true, Some(None)),
            ("http://api.example.org", "api", false, None),
            ("http://my-api", "api", false, None),
            ("upstream a { server api; }", "api", false, Some(None)),
            ("proxy_pass api;", "api", false, Some(None)),
            ("the api is down", "api", false, None),
            ("/srv/api:/data", "api", false, None),
            ("registry/api:2", "api", false, None),
        ] {
            assert_eq!(in_text(text, name, bare), found, "{text} {name}");
        }
    }

    #[test]
    fn names_of_variables_hint() {
        for (key, hint) in
            [("DB_HOST", true), ("API_URL", true), ("ROLE", false), ("HOSTED", false), ("--api-url", true)]
        {
            assert_eq!(hints(key), hint, "{key}");
        }
    }
}
