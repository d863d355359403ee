//! Published ports, short syntax of the Compose specification: `[[ip:]published:]target[/protocol]`, ranges included.

use core::net::IpAddr;

use super::made::{map_at, text};
use crate::error::LoadError;
use turnout_yaml::{Node, Value};

/// Ports that the lists of one project may expand to: every port there is. The text of a range is short, what it
/// expands to is not.
pub(crate) const MAX_PORTS: usize = 1 << 16;

/// Expands a list of ports; one entry may become several. `counted`: how many entries became in the project so far.
pub(super) fn expand(node: &mut Node, path: &str, lenient: bool, counted: &mut usize) -> Result<(), LoadError> {
    let Value::Seq(items) = &mut node.value else {
        return Err(LoadError::at(path, node, format!("must be a list, not {}", node.value.kind())));
    };
    let mut expanded = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let here = || format!("{path}[{index}]");
        let spec = match &item.value {
            Value::Map(_) => {
                expanded.push(item.clone());
                continue;
            }
            Value::Int(port) => port.to_string(),
            Value::Str(spec) => spec.clone(),
            other => {
                return Err(LoadError::at(here(), item, format!("must be a port or a mapping, not {}", other.kind())));
            }
        };
        match parse(&spec) {
            Ok(ports) => {
                *counted = counted.saturating_add(ports.len());
                expanded.extend(ports.into_iter().map(|port| Node::new(port.into_value(item), item.pos.clone())));
            }
            // One entry that cannot be read leaves the whole list as it stands.
            Err(_) if lenient => return Ok(()),
            Err(message) => {
                return Err(LoadError::at(here(), item, message)
                    .hint("the form is [[ip:]published:]target[/protocol], for example 127.0.0.1:8080:80/tcp"));
            }
        }
        if *counted > MAX_PORTS {
            let message = format!("the ports of the project's services come to more than {MAX_PORTS}");
            return Err(LoadError::at(here(), item, message).hint("publish smaller ranges"));
        }
    }
    *items = expanded;
    Ok(())
}

struct Port {
    host_ip: String,
    published: String,
    target: u16,
    protocol: String,
}

impl Port {
    fn into_value(self, short: &Node) -> Value {
        let mut entries = vec![("mode", text("ingress"))];
        if !self.host_ip.is_empty() {
            entries.push(("host_ip", text(self.host_ip)));
        }
        // Port 0 is no port: what is left has no target, and is refused for that.
        if self.target != 0 {
            entries.push(("target", Value::Int(i64::from(self.target))));
        }
        if !self.published.is_empty() {
            entries.push(("published", text(self.published)));
        }
        entries.push(("protocol", text(self.protocol)));
        map_at(&short.pos, entries)
    }
}

fn parse(spec: &str) -> Result<Vec<Port>, String> {
    let (address, target) = spec.rsplit_once(':').unwrap_or(("", spec));
    let (ip, published) = address.rsplit_once(':').unwrap_or(("", address));
    let host_ip = host_ip(ip)?;
    let (target, protocol) = target.split_once('/').unwrap_or((target, ""));
    if target.is_empty() {
        return Err(format!("no port specified in '{spec}'"));
    }
    // What follows a second slash is not looked at.
    let protocol = protocol.split('/').next().filter(|p| !p.is_empty()).unwrap_or("tcp").to_ascii_lowercase();
    let (first, last) = range(target).ok_or_else(|| format!("invalid container port '{target}'"))?;
    let host = match published {
        "" => None,
        text => Some(range(text).ok_or_else(|| format!("invalid host port '{text}'"))?),
    };
    if host.is_some_and(|(from, to)| to - from != last - first) && first != last {
        return Err(format!("ranges differ in length: '{target}' and '{published}'"));
    }
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid protocol '{protocol}'"));
    }
    let mut ports: Vec<Port> = (first..=last)
        .map(|target| Port {
            host_ip: host_ip.clone(),
            published: match host {
                None => String::new(),
                // One target and many host ports: the engine picks one of them.
                Some((from, to)) if first == last && from != to => format!("{from}-{to}"),
                Some((from, _)) => (from + (target - first)).to_string(),
            },
            target,
            protocol: protocol.clone(),
        })
        .collect();
    // Compose sorts the ports of one entry as text; the order is part of the hash.
    ports.sort_by_cached_key(|port| port.target.to_string());
    Ok(ports)
}

fn host_ip(ip: &str) -> Result<String, String> {
    let bare = match ip.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bare) => bare,
        // An IPv6 address needs its brackets.
        None if ip.contains([':', '[', ']']) => return Err(format!("invalid IP address '{ip}'")),
        None => ip,
    };
    if !bare.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address '{bare}'"));
    }
    Ok(bare.to_owned())
}

/// `80` or `80-90`.
fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| -> Option<u16> {
        // `+80` is a number to Rust but not to Go.
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let mut parts = text.split('-');
    let first = number(parts.next()?)?;
    let last = parts.next().map_or(Some(first), number)?;
    (first <= last).then_some((first, last))
}
