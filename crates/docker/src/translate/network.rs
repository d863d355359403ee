//! Networks of the project, and a container's attachments to them.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{EndpointIpamConfig, EndpointSettings, Ipam as ApiIpam, IpamConfig, NetworkCreateRequest};
use turnout_compose::hash::network_hash;
use turnout_compose::model::{Attachment, ExtraHosts, Ipam, IpamPool, Network, Project, Service};

use super::{gate, labels::network_labels, names::network_name, refuse, some, some_list, some_map, too_old};
use crate::{ApiVersion, EngineError};

/// Driver option by which the engine names the interface inside the container.
const INTERFACE_OPTION: &str = "com.docker.network.endpoint.ifname";

/// The request that creates a network, with Compose's labels.
pub fn network(project: &Project, key: &str, network: &Network) -> NetworkCreateRequest {
    let Network {
        name: _,
        driver,
        driver_opts,
        ipam,
        // An external network is never created; the planner sees to that.
        external: _,
        internal,
        attachable,
        labels,
        enable_ipv4,
        enable_ipv6,
    } = network;
    NetworkCreateRequest {
        name: network_name(project, key),
        driver: some(driver),
        internal: Some(*internal),
        attachable: Some(*attachable),
        ipam: pools(ipam),
        enable_ipv4: *enable_ipv4,
        enable_ipv6: *enable_ipv6,
        options: some_map(driver_opts),
        labels: Some(network_labels(project, key, labels, &network_hash(network))),
        ..Default::default()
    }
}

/// Refuses what this daemon would leave out of a new network without a word.
///
/// # Errors
/// [`EngineError::UnsupportedNetwork`].
pub fn refuse_network(key: &str, network: &Network, version: ApiVersion) -> Result<(), EngineError> {
    // Older daemons give every network IPv4: asking for it is no demand.
    let needed = ApiVersion::v1(48);
    if network.enable_ipv4 == Some(false) && version < needed {
        return Err(EngineError::UnsupportedNetwork {
            network: key.to_owned(),
            attribute: "enable_ipv4".to_owned(),
            reason: too_old(version, needed, "28.0"),
        });
    }
    Ok(())
}

fn pools(ipam: &Ipam) -> Option<ApiIpam> {
    let Ipam { driver, config } = ipam;
    if driver.is_empty() && config.is_empty() {
        return None;
    }
    let config = config
        .iter()
        .map(|IpamPool { subnet, gateway, ip_range, aux_addresses }| IpamConfig {
            subnet: some(subnet),
            ip_range: some(ip_range),
            gateway: some(gateway),
            auxiliary_addresses: some_map(aux_addresses),
        })
        .collect();
    // The daemon takes an absent driver as an unknown one.
    let driver = some(driver).or_else(|| Some("default".to_owned()));
    Some(ApiIpam { driver, config: Some(config), options: None })
}

/// One attachment of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The engine's name of the network.
    pub network: String,
    /// Addresses, aliases and driver options there.
    pub settings: EndpointSettings,
}

/// The attachments of a container, the primary one first. Empty when `network_mode` rules. Only those that are
/// [nameless](Project::nameless) have no aliases.
///
/// # Errors
/// Attachment options that this daemon does not know.
pub fn endpoints(
    project: &Project,
    name: &str,
    service: &Service,
    container_name: &str,
    links: &[String],
    version: ApiVersion,
) -> Result<Vec<Endpoint>, EngineError> {
    if !service.network_mode.is_empty() || project.networks.is_empty() {
        return Ok(Vec::new());
    }
    let absent = BTreeMap::from([("default".to_owned(), None)]);
    let attached = match service.networks.is_empty() {
        true if project.networks.contains_key("default") => &absent,
        _ => &service.networks,
    };
    let mut keys: Vec<(&String, &Option<Attachment>)> = attached.iter().collect();
    // Stable: equal priorities stay in alphabetical order.
    keys.sort_by_key(|(_, a)| std::cmp::Reverse(a.as_ref().map_or(0, |a| a.priority)));
    let mut endpoints = Vec::with_capacity(keys.len());
    for (rank, (key, attachment)) in keys.into_iter().enumerate() {
        let mut settings = endpoint(name, key, attachment.as_ref(), container_name, links, version)?;
        if project.is_nameless(name, key) {
            settings.aliases = Some(Vec::new());
        }
        if rank == 0 {
            inherit_mac_address(name, service, key, &mut settings)?;
        } else if version < ApiVersion::v1(44) && settings.mac_address.is_some() {
            gate(version, ApiVersion::v1(44), "25.0", name, format!("networks.{key}.mac_address"))?;
        }
        endpoints.push(Endpoint { network: network_name(project, key), settings });
    }
    Ok(endpoints)
}

fn endpoint(
    service: &str,
    key: &str,
    attachment: Option<&Attachment>,
    container_name: &str,
    links: &[String],
    version: ApiVersion,
) -> Result<EndpointSettings, EngineError> {
    let absent = Attachment::default();
    let Attachment {
        aliases,
        driver_opts,
        gw_priority,
        interface_name,
        ipv4_address,
        ipv6_address,
        link_local_ips,
        mac_address,
        priority: _, // orders the attachments, see above
    } = attachment.unwrap_or(&absent);

    let mut names = vec![container_name.to_owned(), service.to_owned()];
    names.extend(aliases.iter().cloned());

    let mut options: HashMap<String, String> = driver_opts.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    if !interface_name.is_empty() {
        gate(version, ApiVersion::v1(49), "28.1", service, format!("networks.{key}.interface_name"))?;
        options.insert(INTERFACE_OPTION.to_owned(), interface_name.clone());
    }
    if *gw_priority != 0 {
        gate(version, ApiVersion::v1(48), "28.0", service, format!("networks.{key}.gw_priority"))?;
    }
    Ok(EndpointSettings {
        // Wherever the attachment has settings at all, as Compose sends it: an empty one stays visible in `inspect`.
        ipam_config: attachment.is_some().then(|| EndpointIpamConfig {
            ipv4_address: some(ipv4_address),
            ipv6_address: some(ipv6_address),
            link_local_ips: some_list(link_local_ips),
        }),
        links: some_list(links),
        // What Compose sends beside it; `inspect` shows it until the container starts.
        ip_address: some(ipv4_address),
        mac_address: some(mac_address),
        aliases: Some(names),
        driver_opts: (!options.is_empty()).then_some(options),
        gw_priority: super::some_number(*gw_priority),
        ..Default::default()
    })
}

/// The service's own MAC address belongs to the primary attachment.
fn inherit_mac_address(
    name: &str,
    service: &Service,
    key: &str,
    settings: &mut EndpointSettings,
) -> Result<(), EngineError> {
    match (&settings.mac_address, service.mac_address.as_str()) {
        (_, "") => Ok(()),
        (Some(own), common) if own != common => {
            let reason = format!("{common} differs from networks.{key}.mac_address {own}; keep one of them");
            Err(refuse(name, "mac_address", reason))
        }
        _ => {
            settings.mac_address = Some(service.mac_address.clone());
            Ok(())
        }
    }
}

/// `extra_hosts`. An empty list where there are none, as Compose sends it.
pub fn hosts(ExtraHosts(hosts): &ExtraHosts) -> Option<Vec<String>> {
    let lines: Vec<String> =
        hosts.iter().flat_map(|(host, addresses)| addresses.iter().map(move |a| format!("{host}:{a}"))).collect();
    Some(lines)
}
