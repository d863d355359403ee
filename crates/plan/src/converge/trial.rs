//! Tries out networks that are to be replaced, before anything is stopped for them.
//!
//! A network can only be replaced once nobody is connected any more: the containers stop, the old one goes, and only
//! then does the engine say whether it can make the new one. A driver that is not there or an impossible option would
//! leave the whole project stopped. So the new one is made once beside the old one, and removed again.

use std::net::IpAddr;

use super::super::{Action, Cause, Condition, NetworkCause, NetworkRemoval, ObservedNetwork, StepId};
use super::Draft;
use turnout_compose::labels;

/// Driver options for which the old network stands in the way of a new one.
const EXCLUSIVE: &[&str] = &["com.docker.network.bridge.name", "parent"];

/// Adds the trial of one network; what waits for it must not begin before it has gone well. Empty where the old network is
/// in the way of any other.
pub(super) fn plan(draft: &mut Draft<'_>, key: &str, name: &str, cause: &Cause) -> Vec<StepId> {
    let Some(old) = draft.observed.networks.get(key) else { return Vec::new() };
    let wanted = draft.project.networks.get(key).cloned().flatten().unwrap_or_default();
    if EXCLUSIVE.iter().any(|option| {
        let new = wanted.driver_opts.get(*option);
        new.is_some() && new == old.options.get(*option)
    }) {
        return Vec::new();
    }
    // Addresses that the old network still has cannot be tried; others can.
    let subnets = !wanted.ipam.config.iter().any(|pool| meets(&pool.subnet, &old.subnets));
    let trial = labels::temporary_name(&old.id, name);
    let mut after = draft.foundation();
    let left = draft.observed.former_networks.iter().find(|(_, network)| network.name == trial);
    if let Some((key, ObservedNetwork { id, .. })) = left {
        let action = Action::RemoveNetwork {
            key: key.clone(),
            name: trial.clone(),
            id: Some(id.clone()),
            reason: NetworkRemoval::Trial,
        };
        let removed = draft.push(action, NetworkCause::TrialLeft, after.clone(), Condition::Always);
        after.push(removed);
    }
    let action = Action::TryNetwork { key: key.to_owned(), name: name.to_owned(), trial: trial.clone(), subnets };
    let tried = draft.push(action, cause.clone(), after, Condition::Always);
    let action = Action::RemoveNetwork { key: key.to_owned(), name: trial, id: None, reason: NetworkRemoval::Trial };
    vec![draft.push_part(Some(tried), action, cause, vec![tried], Condition::AnyDid(vec![tried]))]
}

/// Whether a subnet has addresses in common with one of these; what cannot be read has. No subnet at all has none.
fn meets(new: &str, taken: &[String]) -> bool {
    if new.is_empty() {
        return false;
    }
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
            ("fd00:1:0:0:1::/80", true),
            ("fd00:1:0:1::/64", false),
            ("fd00:2::/64", false),
            ("10.1.0.0", true),
            ("nonsense", true),
            ("", false),
        ] {
            assert_eq!(meets(new, &taken), expected, "{new}");
        }
    }
}
