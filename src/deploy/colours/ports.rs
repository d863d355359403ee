//! Loopback ports on which a colour's containers are reached: chosen once and kept, so that a colour that is made again has
//! the same ones.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    net::TcpListener,
};

use super::super::Failure;
use crate::{
    store::{LoopbackPorts, Store},
    switch::Derived,
};

/// Ports that are given out: below those that Linux and its neighbours give to outgoing connections (from 32768).
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
/// Over how many of them the first choices are spread.
const SPREAD: u64 = 11_000;
/// Choices that may meet another's before it is given up.
const TRIES: u32 = 20;

/// The loopback ports of a colour, by service and port in its containers. `runs`: its containers hold them; else those that
/// somebody else has taken meanwhile are chosen anew.
///
/// # Errors
/// When the store does not answer, or no port is free.
pub async fn choose(
    store: &Store,
    repo: &str,
    colour: &str,
    derived: &Derived,
    runs: bool,
) -> Result<BTreeMap<(String, u16), u16>, Failure> {
    let mut chosen = BTreeMap::new();
    for route in &derived.routes {
        let key = (route.service.clone(), route.port);
        if chosen.contains_key(&key) {
            continue;
        }
        let replicas = derived.services.get(&route.service).map_or(1, |fate| fate.replicas.max(1));
        let count = u16::try_from(replicas).unwrap_or(u16::MAX);
        let first = one(store, repo, colour, &key, count, runs).await?;
        chosen.insert(key, first);
    }
    Ok(chosen)
}

/// The port at which the proxy listens in place of a listener that somebody else has still.
///
/// # Errors
/// As [`choose`].
pub async fn stand_in(store: &Store, repo: &str, listen: u16) -> Result<u16, Failure> {
    one(store, repo, NO_COLOUR, &(STAND_IN.to_owned(), listen), 1, false).await
}

/// What stands in is no colour's own, and no service's: none has such a name.
const NO_COLOUR: &str = "";
const STAND_IN: &str = "/stand-in";

async fn one(
    store: &Store,
    repo: &str,
    colour: &str,
    (service, port): &(String, u16),
    count: u16,
    runs: bool,
) -> Result<u16, Failure> {
    let unknown = |error: crate::store::StoreError| Failure::new(error.to_string());
    let taken = store.loopback_ports().await.map_err(unknown)?;
    let ours = |one: &&LoopbackPorts| {
        (one.repo.as_str(), one.colour.as_str(), one.service.as_str(), one.port) == (repo, colour, service, *port)
    };
    let is_free = |known: &LoopbackPorts| (known.first..known.first.saturating_add(known.count)).all(is_free);
    let known = taken.iter().find(ours).filter(|known| known.count >= count);
    if let Some(known) = known.filter(|known| runs || is_free(known)) {
        return Ok(known.first);
    }
    // Anywhere, so that two who choose at the same time seldom choose the same; from the beginning where that is too far.
    let mut from = FIRST + u16::try_from(RandomState::new().hash_one(repo) % SPREAD).unwrap_or(0);
    for _ in 0..TRIES {
        let Some(first) = free(from, count, &taken).or_else(|| free(FIRST, count, &taken)) else { break };
        let wanted = LoopbackPorts {
            first,
            count,
            repo: repo.to_owned(),
            colour: colour.to_owned(),
            service: service.clone(),
            port: *port,
        };
        if store.take_loopback_ports(wanted).await.map_err(unknown)? {
            return Ok(first);
        }
        from = first.saturating_add(count);
    }
    Err(Failure::new(format!("no {count} loopback ports in a row are free between {FIRST} and {LAST} for {service}")))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// The first run of ports from there on that nobody has, in the store or on this machine.
fn free(from: u16, count: u16, taken: &[LoopbackPorts]) -> Option<u16> {
    let is_taken = |port: u16| {
        taken.iter().any(|one| (one.first..one.first.saturating_add(one.count)).contains(&port)) || !is_free(port)
    };
    let mut first = from;
    while first.checked_add(count)? <= LAST {
        match (first..first + count).rev().find(|port| is_taken(*port)) {
            None => return Some(first),
            Some(taken) => first = taken + 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_ports_meets_no_other() {
        let one = |first, count| LoopbackPorts {
            first,
            count,
            repo: "shop".to_owned(),
            colour: "red".to_owned(),
            service: "web".to_owned(),
            port: 80,
        };
        let taken = [one(20_000, 2), one(20_005, 1)];
        let found = free(FIRST, 4, &taken).unwrap();
        assert!(found >= 20_006, "{found}");
        let found = free(FIRST, 1, &taken).unwrap();
        assert!(found >= 20_002 && found != 20_005, "{found}");
        assert_eq!(free(LAST, 1, &taken), None);
        assert_eq!(free(u16::MAX, 4, &taken), None);
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        if port < LAST {
            assert_ne!(free(port, 1, &[]), Some(port));
        }
    }
}
