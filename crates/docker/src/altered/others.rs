//! What a container has in common with others: its names in networks, and containers of other projects whose namespaces
//! or volumes it uses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bollard::models::{ContainerInspectResponse, ContainerState, EndpointIpamConfig, EndpointSettings, MountPoint};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::difference::{Difference, Shared};

/// Whether what a container uses of another one is no more what that has. The engine notes the ID behind the name.
pub(super) fn lost(
    what: Shared,
    name: &str,
    owner: &ContainerInspectResponse,
    found: &ContainerInspectResponse,
    own: &BTreeSet<String>,
) -> Option<String> {
    let (host, state) = (found.host_config.as_ref()?, found.state.as_ref()?);
    let (noted, namespace) = match what {
        Shared::Network => (host.network_mode.as_deref(), "network"),
        Shared::Pid => (host.pid_mode.as_deref(), "PID namespace"),
        Shared::Ipc => (host.ipc_mode.as_deref(), "IPC namespace"),
        Shared::Volumes => {
            let places = |container: &ContainerInspectResponse| -> BTreeMap<String, (Option<String>, Option<String>)> {
                let mounts = container.mounts.iter().flatten();
                let shared = |m: &&MountPoint| matches!(m.typ.as_deref(), Some("volume" | "bind"));
                let place = |m: &MountPoint| Some((m.destination.clone()?, (m.name.clone(), m.source.clone())));
                mounts.filter(shared).filter_map(place).collect()
            };
            let (has, theirs) = (places(found), places(owner));
            let differs = |(place, volume): &(&String, &(Option<String>, Option<String>))| {
                !own.contains(*place) && has.get(*place) != Some(*volume)
            };
            let (place, _) = theirs.iter().find(differs)?;
            return Some(format!("container {name}, whose volumes it uses, has another one at {place} now"));
        }
    };
    let noted = noted?.strip_prefix("container:")?;
    let id = owner.id.as_deref()?;
    let is_id = noted.len() >= 12 && noted.chars().all(|c| c.is_ascii_hexdigit());
    if is_id && !id.starts_with(noted) {
        return Some(format!("lives in the {namespace} of container {name}, which is another container now"));
    }
    let began = |state: &ContainerState| OffsetDateTime::parse(state.started_at.as_deref()?, &Rfc3339).ok();
    let owners = owner.state.as_ref().filter(|state| state.running == Some(true)).and_then(began)?;
    let later = state.running == Some(true) && began(state)? < owners;
    later.then(|| format!("lives in the {namespace} of container {name}, which was started again after it"))
}

/// Names and addresses that an attachment was made with. Further names that somebody gave it do no harm.
pub(super) fn attachment(network: &str, wanted: &EndpointSettings, found: &EndpointSettings) -> Option<Difference> {
    let has = found.aliases.as_deref().unwrap_or_default();
    let missing: Vec<&str> =
        wanted.aliases.iter().flatten().filter(|alias| !has.contains(alias)).map(String::as_str).collect();
    let words = if !missing.is_empty() {
        format!("it was attached to network {network} by hand, without the name {}", missing.join(", "))
    } else {
        let none = EndpointIpamConfig::default();
        let (wanted, found) =
            (wanted.ipam_config.as_ref().unwrap_or(&none), found.ipam_config.as_ref().unwrap_or(&none));
        let pairs = [
            (wanted.ipv4_address.as_deref(), found.ipv4_address.as_deref()),
            (wanted.ipv6_address.as_deref(), found.ipv6_address.as_deref()),
        ];
        let differs = |(wanted, found): &(Option<&str>, Option<&str>)| match (wanted, found) {
            (None, _) => false,
            (Some(wanted), None) => !wanted.is_empty(),
            // One address can be written in several ways.
            (Some(wanted), Some(found)) => match (wanted.parse::<IpAddr>(), found.parse::<IpAddr>()) {
                (Ok(wanted), Ok(found)) => wanted != found,
                _ => wanted != found,
            },
        };
        let (wanted, found) = pairs.into_iter().find(differs)?;
        let (wanted, found) = (wanted.unwrap_or_default(), found.filter(|address| !address.is_empty()));
        match found {
            Some(found) => format!("its address in network {network} is {found}, configured is {wanted}"),
            None => format!("it was attached to network {network} by hand, without the address {wanted}"),
        }
    };
    Some(Difference { words, needs: None })
}

/// Names in a network in which the container is to have none: another container that others look for there may have the
/// same. The daemon adds the short ID by itself.
pub(super) fn named(network: &str, found: &EndpointSettings, id: &str) -> Option<Difference> {
    let aliases = found.aliases.iter().flatten().filter(|alias| !id.starts_with(alias.as_str()));
    let names: Vec<&str> = aliases.map(String::as_str).collect();
    let words = || format!("it is known in network {network} as {}, and is to have no name there", names.join(", "));
    (!names.is_empty()).then(|| Difference { words: words(), needs: None })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn names_and_addresses_of_attachments() {
        let settings = |value: Value| serde_json::from_value::<EndpointSettings>(value).unwrap();
        let wanted = settings(
            json!({"Aliases": ["web", "www"], "IPAMConfig": {"IPv4Address": "10.9.0.7", "IPv6Address": "fd00:0::05"}}),
        );
        for (found, told) in [
            (
                json!({"Aliases": ["www", "web", "0123"], "IPAMConfig": {"IPv4Address": "10.9.0.7", "IPv6Address": "fd00::5"}}),
                None,
            ),
            (json!({"Aliases": ["0123"]}), Some("it was attached to network n by hand, without the name web, www")),
            (
                json!({"Aliases": ["web", "www"]}),
                Some("it was attached to network n by hand, without the address 10.9.0.7"),
            ),
            (
                json!({"Aliases": ["web", "www"], "IPAMConfig": {"IPv4Address": "10.9.0.7", "IPv6Address": "fd00::5"}}),
                None,
            ),
            (
                json!({"Aliases": ["web", "www"], "IPAMConfig": {"IPv4Address": "10.9.0.8"}}),
                Some("its address in network n is 10.9.0.8, configured is 10.9.0.7"),
            ),
        ] {
            let words = attachment("n", &wanted, &settings(found)).map(|difference| difference.words);
            assert_eq!(words.as_deref(), told);
        }
    }

    #[test]
    fn names_where_there_are_to_be_none() {
        for (aliases, told) in [
            (json!(null), None),
            (json!([]), None),
            (json!(["0123456789ab"]), None),
            (
                json!(["web", "0123456789ab", "www"]),
                Some("it is known in network n as web, www, and is to have no name there"),
            ),
        ] {
            let found = serde_json::from_value(json!({"Aliases": aliases})).unwrap();
            let words = named("n", &found, "0123456789abcdef").map(|difference| difference.words);
            assert_eq!(words.as_deref(), told);
        }
    }
}
