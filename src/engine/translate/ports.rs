//! `ports` and `expose`.

use std::collections::HashMap;

use bollard::models::PortBinding;

use crate::compose::model::Port;

/// `expose` passes as written; published ports are exposed too.
pub fn exposed(expose: &[String], ports: &[Port]) -> Option<Vec<String>> {
    let mut all: Vec<String> = ports.iter().map(port_key).chain(expose.iter().cloned()).collect();
    all.sort();
    all.dedup();
    (!all.is_empty()).then_some(all)
}

fn port_key(port: &Port) -> String {
    let protocol = if port.protocol.is_empty() { "tcp" } else { &port.protocol };
    format!("{}/{protocol}", port.target)
}

/// Published ports. An empty map where there are none, as Compose sends it.
pub fn bindings(ports: &[Port]) -> Option<HashMap<String, Option<Vec<PortBinding>>>> {
    let mut map: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in ports {
        // The name, the mode (one host has no ingress) and the application protocol are for other programs.
        let Port { name: _, mode: _, host_ip, target: _, published, protocol: _, app_protocol: _ } = port;
        map.entry(port_key(port))
            .or_default()
            .get_or_insert_default()
            .push(PortBinding { host_ip: Some(host_ip.clone()), host_port: Some(published.clone()) });
    }
    Some(map)
}
