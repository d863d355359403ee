//! Tries out networks that are to be replaced, before anything is stopped for them.
//!
//! A network can only be replaced once nobody is connected any more: the containers stop, the old one goes, and only
//! then does the daemon say whether it can make the new one. A driver that is not there or an impossible option would
//! leave the whole project stopped. So the new one is made once beside the old one, and removed again.

use std::net::IpAddr;

use bollard::{
    models::{Ipam, NetworkCreateRequest},
    query_parameters::InspectNetworkOptions,
};
use turnout_compose::labels;
use turnout_plan::Action;

use super::{Apply, containers::short};
use crate::{Engine, EngineError, error::status_of, observe::absent_is_none, translate};

/// Driver options for which the old network stands in the way of a new one.
const EXCLUSIVE: &[&str] = &["com.docker.network.bridge.name", "parent"];

impl Engine {
    /// Refuses a plan with a network that the daemon cannot make.
    ///
    /// # Errors
    /// The daemon's, about the first such network. Nothing has been changed then.
    pub(super) async fn rehearse_networks(&self, run: &Apply<'_>) -> Result<(), EngineError> {
        for step in &run.plan.steps {
            let Action::RecreateNetwork { key, name, id, .. } = &step.action else { continue };
            let Some(definition) = run.project.networks.get(key) else { continue };
            let request = translate::network(run.project, key, &definition.clone().unwrap_or_default());
            self.rehearse(name, id, request).await?;
        }
        Ok(())
    }

    async fn rehearse(&self, name: &str, old_id: &str, wanted: NetworkCreateRequest) -> Result<(), EngineError> {
        let old = absent_is_none(self.ask(self.docker().inspect_network(old_id, None::<InspectNetworkOptions>)).await)
            .map_err(|e| EngineError::api(format!("inspect network {name}"), e))?;
        let Some(old) = old else { return Ok(()) };
        let old_options = old.options.unwrap_or_default();
        let clashes = |option: &&&str| {
            let new = wanted.options.as_ref().and_then(|options| options.get(**option));
            new.is_some() && new == old_options.get(**option)
        };
        if EXCLUSIVE.iter().any(|option| clashes(&option)) {
            return Ok(());
        }
        // Addresses that the old network still has cannot be tried; others can.
        let taken = subnets(old.ipam.as_ref());
        let ipam = wanted.ipam.map(|ipam| match subnets(Some(&ipam)).iter().any(|new| meets(new, &taken)) {
            true => Ipam { config: None, ..ipam },
            false => ipam,
        });
        let rehearsal = format!("{}_{name}", short(old_id));
        let wanted = NetworkCreateRequest { name: rehearsal.clone(), ipam, ..wanted };
        let mut made = self.ask(self.docker().create_network(wanted.clone())).await;
        if made.as_ref().is_err_and(|error| status_of(error) == Some(409)) && self.is_of(&rehearsal, &wanted).await? {
            // Left by a run that was killed here.
            self.forget(&rehearsal).await?;
            made = self.ask(self.docker().create_network(wanted)).await;
        }
        match made {
            Ok(made) => self.forget(&made.id).await,
            // There will be room when the old one is gone.
            Err(error) if error.to_string().contains("address pool") => Ok(()),
            Err(error) => {
                Err(EngineError::api(format!("replace network {name} (tried before anything is stopped)"), error))
            }
        }
    }

    /// Whether the network of that name was made for the project that `wanted` is for.
    async fn is_of(&self, network: &str, wanted: &NetworkCreateRequest) -> Result<bool, EngineError> {
        let found =
            absent_is_none(self.ask(self.docker().inspect_network(network, None::<InspectNetworkOptions>)).await)
                .map_err(|e| EngineError::api(format!("inspect network {network}"), e))?;
        let project = wanted.labels.as_ref().and_then(|labels| labels.get(labels::PROJECT));
        let owner = found.as_ref().and_then(|found| found.labels.as_ref()?.get(labels::PROJECT));
        Ok(owner.is_some() && owner == project)
    }

    async fn forget(&self, network: &str) -> Result<(), EngineError> {
        match self.ask(self.docker().remove_network(network)).await {
            Err(error) if status_of(&error) != Some(404) => {
                Err(EngineError::api(format!("remove the network {network}, made to try"), error))
            }
            _ => Ok(()),
        }
    }
}

fn subnets(ipam: Option<&Ipam>) -> Vec<String> {
    let pools = ipam.and_then(|ipam| ipam.config.as_ref());
    pools.into_iter().flatten().filter_map(|pool| pool.subnet.clone()).collect()
}

/// Whether a subnet has addresses in common with one of these; what cannot be read has.
fn meets(new: &str, taken: &[String]) -> bool {
    let Some((new, length)) = range(new) else { return true };
    taken.iter().any(|old| match range(old) {
        None => true,
        Some((IpAddr::V4(old), other)) => match new {
            IpAddr::V4(new) => {
                let hosts = 32 - u32::from(length.min(other));
                u32::from(new).checked_shr(hosts) == u32::from(old).checked_shr(hosts)
            }
            IpAddr::V6(_) => false,
        },
        Some((IpAddr::V6(old), other)) => match new {
            IpAddr::V6(new) => {
                let hosts = 128 - u32::from(length.min(other));
                u128::from(new).checked_shr(hosts) == u128::from(old).checked_shr(hosts)
            }
            IpAddr::V4(_) => false,
        },
    })
}

/// Address and prefix length of `10.1.0.0/16`.
fn range(subnet: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = subnet.split_once('/')?;
    let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (length <= longest).then_some((address, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_meet_where_they_share_addresses() {
        let taken = ["10.1.0.0/16".to_owned(), "fd00:1::/64".to_owned()];
        for (new, expected) in [
            ("10.1.2.0/24", true),
            ("10.0.0.0/8", true),
            ("0.0.0.0/0", true),
            ("10.2.0.0/16", false),
            ("fd00:1::/48", true),
            ("fd00:2::/64", false),
            ("10.1.0.0", true),
            ("nonsense", true),
        ] {
            assert_eq!(meets(new, &taken), expected, "{new}");
        }
    }
}
