//! A front that keeps its ports finds what moves at turnout-proxy: on the gateway of a network that it is on, under the names that it
//! knows already.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::super::Failure;
use crate::{
    compose::model::Project,
    engine::{Engine, Gateway},
    switch::{
        Derived,
        derived::{Listen, Route},
        dress,
    },
};

/// The host's addresses in the networks of fronts, by Compose key.
#[derive(Debug, Clone, Default)]
pub struct Gateways {
    known: BTreeMap<String, Gateway>,
    /// Networks that are still to be made.
    to_come: BTreeSet<String>,
}

impl Gateways {
    /// Those that routes need. `project`: with the networks; `staying`: the name of the project that will have them.
    ///
    /// # Errors
    /// The engine does not answer, or a network has none.
    pub async fn of(engine: &Engine, project: &Project, staying: &str, derived: &Derived) -> Result<Gateways, Failure> {
        let mut found = Gateways::default();
        for (front, key) in derived.routes.iter().filter_map(from) {
            if found.known.contains_key(key) || found.to_come.contains(key) {
                continue;
            }
            let name = dress::network_name(project, key, staying);
            match engine.gateway(&name).await? {
                Some(Gateway { address: None, .. }) => {
                    return Err(Failure::new(format!(
                        "{front} keeps its ports, and this machine has no address in its network {name}, at which {front} would find \
                         turnout-proxy"
                    ))
                    .hint("nothing was changed; put it on a network of the driver bridge as well, with IPv4"));
                }
                Some(gateway) => drop(found.known.insert(key.to_owned(), gateway)),
                None => drop(found.to_come.insert(key.to_owned())),
            }
        }
        Ok(found)
    }

    /// For the hosts of a front; as long as a network is to be made, an address at which nobody is.
    pub fn addresses(&self) -> BTreeMap<String, IpAddr> {
        let nobody = |key: &String| (key.clone(), Ipv4Addr::UNSPECIFIED.into());
        let known = self.known.iter().filter_map(|(key, gateway)| Some((key.clone(), gateway.address?.into())));
        self.to_come.iter().map(nobody).chain(known).collect()
    }

    /// Where turnout-proxy listens for a route, and the range of those who ask there.
    pub fn listens(&self, network: &str, port: u16) -> Option<(SocketAddr, String)> {
        let Gateway { address, subnet } = self.known.get(network)?;
        Some((SocketAddr::new((*address)?.into(), port), subnet.clone()))
    }

    /// Whether a network is to be made before the addresses are known.
    pub fn lack(&self) -> bool {
        !self.to_come.is_empty()
    }
}

/// The front that a route comes from, and the network by which.
fn from(route: &Route) -> Option<(&str, &str)> {
    match &route.listen {
        Listen::Gateway { front, network, .. } => Some((front, network)),
        _ => None,
    }
}

/// Services that fronts could not tell apart: one address of the host has each port once.
pub(super) fn refused(derived: &Derived) -> Vec<String> {
    let mut taken: BTreeMap<(&str, u16), &str> = BTreeMap::new();
    let mut refused = Vec::new();
    for route in &derived.routes {
        let Listen::Gateway { front, network, port } = &route.listen else { continue };
        let first = *taken.entry((network, *port)).or_insert(&route.service);
        if first != route.service {
            refused.push(format!(
                "{front} keeps its ports and calls both {first} and {} by port {port}: turnout-proxy has that port of one address \
                 once; have one of them listen on another port, or write: services: {{ {front}: routed }}",
                route.service
            ));
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_is_to_come_has_an_address_of_nobody() {
        let gateway = Gateway { address: Some(Ipv4Addr::new(172, 18, 0, 1)), subnet: "172.18.0.0/16".to_owned() };
        let gateways = Gateways {
            known: BTreeMap::from([("default".to_owned(), gateway)]),
            to_come: BTreeSet::from(["edge".to_owned()]),
        };
        let all: Vec<String> = gateways.addresses().into_values().map(|address| address.to_string()).collect();
        assert_eq!(all, ["172.18.0.1", "0.0.0.0"]);
        let at = gateways.listens("default", 8_000).map(|(at, subnet)| (at.to_string(), subnet));
        assert_eq!(at, Some(("172.18.0.1:8000".to_owned(), "172.18.0.0/16".to_owned())));
        assert_eq!((gateways.listens("edge", 8_000), gateways.lack()), (None, true));
    }
}
