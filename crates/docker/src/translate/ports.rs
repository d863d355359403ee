//! `ports` and `expose` as the engine takes them: exposed ports and port bindings.

use std::collections::HashMap;

use bollard::models::PortBinding;
use turnout_compose::model::Port;

/// `expose` passes as written; published ports are exposed too.
pub fn exposed(expose: &[String], ports: &[Port]) -> Option<Vec<String>> {
    let mut all: Vec<String> = ports.iter().map(port_key).chain(expose.iter().flat_map(|port| each(port))).collect();
    all.sort();
    all.dedup();
    (!all.is_empty()).then_some(all)
}

/// Every port of a range such as `9091-9092/udp`, as Compose 5 sends it: 2.40 sends the range itself, which newer engines
/// do not take for ports. Anything else stays as it is written.
fn each(written: &str) -> Vec<String> {
    let (ports, protocol) = written.split_once('/').unwrap_or((written, "tcp"));
    let range = ports.split_once('-').and_then(|(first, last)| {
        Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?)).filter(|(first, last)| first <= last)
    });
    match range {
        Some((first, last)) => (first..=last).map(|port| format!("{port}/{protocol}")).collect(),
        None => vec![written.to_owned()],
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_exposed_port_by_port() {
        let exposed = |ports: &[&str]| exposed(&ports.iter().map(|port| (*port).to_owned()).collect::<Vec<_>>(), &[]);
        assert_eq!(exposed(&["9091-9092", "80"]).unwrap(), ["80", "9091/tcp", "9092/tcp"]);
        assert_eq!(exposed(&["5-6/udp"]).unwrap(), ["5/udp", "6/udp"]);
        assert_eq!(exposed(&["9-8", "a-b"]).unwrap(), ["9-8", "a-b"]);
        assert_eq!(exposed(&[]), None);
    }
}
