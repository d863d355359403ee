//! The address of the host in a network of the engine's, and whether a container reaches something there.

use std::net::{Ipv4Addr, SocketAddr};

use bollard::{
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::Network,
};
use futures_util::StreamExt as _;

use super::{Engine, EngineError, error::status_of};

/// Where containers of a network find the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The host's address there; `None`: that network has none, for instance one of another driver than `bridge`.
    pub address: Option<Ipv4Addr>,
    /// The network's range, as `172.18.0.0/16`.
    pub subnet: String,
}

impl Engine {
    /// Where containers of a network, by the engine's name, find the host; `None`: there is no such network.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn gateway(&self, network: &str) -> Result<Option<Gateway>, EngineError> {
        let all = self.all_networks().await?;
        Ok(all.into_iter().find(|one| one.name.as_deref() == Some(network)).map(gateway))
    }

    /// Has a container connect to an address, by whatever it has for that. Whether it has anything; whether it got there is told
    /// by whoever listens.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn has_connect(&self, id: &str, to: SocketAddr) -> Result<bool, EngineError> {
        let api = |error| EngineError::api(format!("have {id} connect to {to}"), error);
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(vec!["sh".to_owned(), "-c".to_owned(), connects(to)]),
            ..Default::default()
        };
        let exec = self.ask(self.docker().create_exec(id, options)).await.map_err(api)?.id;
        let begin = StartExecOptions { detach: false, tty: false, output_capacity: None };
        match self.ask(self.docker().start_exec(&exec, Some(begin))).await {
            Ok(StartExecResults::Attached { mut output, .. }) => while output.next().await.is_some() {},
            Ok(StartExecResults::Detached) => {}
            // It has no shell.
            Err(error) if matches!(status_of(&error), Some(400 | 409 | 500)) => return Ok(false),
            Err(error) => return Err(api(error)),
        }
        let code = self.ask(self.docker().inspect_exec(&exec)).await.map_err(api)?.exit_code;
        Ok(!matches!(code, Some(NOTHING | 126 | 127) | None))
    }
}

/// How the script ends that found no program which connects.
const NOTHING: i64 = 77;

/// A line for a shell that connects once. busybox, Alpine and Debian have one of these, as a rule.
fn connects(to: SocketAddr) -> String {
    let (ip, port) = (to.ip(), to.port());
    format!(
        "has() {{ command -v $1 >/dev/null 2>&1; }}\n\
         if has nc; then nc -w 2 {ip} {port} </dev/null\n\
         elif has wget; then wget -q -T 2 -O /dev/null http://{ip}:{port}/\n\
         elif has curl; then curl -s -m 2 -o /dev/null http://{ip}:{port}/\n\
         elif has bash; then bash -c 'exec 3<>/dev/tcp/{ip}/{port}'\n\
         elif has python3; then python3 -c 'import socket; socket.create_connection((\"{ip}\", {port}), 2)'\n\
         else exit {NOTHING}\nfi\nexit 0"
    )
}

fn gateway(network: Network) -> Gateway {
    let is_bridge = network.driver.as_deref() == Some("bridge");
    let ranges = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let found = ranges.into_iter().find_map(|range| {
        let address = range.gateway?.parse::<Ipv4Addr>().ok()?;
        Some((address, range.subnet.unwrap_or_default()))
    });
    let (address, subnet) = found.unzip();
    Gateway { address: address.filter(|_| is_bridge), subnet: subnet.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_has_the_host_at_its_gateway_and_other_networks_have_not() {
        let of = |driver: &str, config: serde_json::Value| {
            gateway(
                serde_json::from_value(serde_json::json!({ "Driver": driver, "IPAM": { "Config": config } })).unwrap(),
            )
        };
        let both = serde_json::json!([
            { "Subnet": "fd00::/64", "Gateway": "fd00::1" },
            { "Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1" }
        ]);
        let found = Gateway { address: Some(Ipv4Addr::new(172, 18, 0, 1)), subnet: "172.18.0.0/16".to_owned() };
        assert_eq!(of("bridge", both.clone()), found);
        assert_eq!(of("macvlan", both).address, None);
        assert_eq!(of("bridge", serde_json::json!([])).address, None);
    }
}
