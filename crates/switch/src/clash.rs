//! Two routes that want one listener.

use crate::{
    derived::{Derived, Listen},
    refusal::{Cause, Refusal},
};

/// Routes of several repositories that want one listener and whose requests cannot be told apart by host names; the names
/// are those of the repositories. Within one repository, too.
pub fn clashes(all: &[(&str, &Derived)]) -> Vec<Refusal> {
    let routes: Vec<_> =
        all.iter().flat_map(|(name, derived)| derived.routes.iter().map(move |route| (*name, route))).collect();
    let mut found = Vec::new();
    for (at, (one_name, one)) in routes.iter().enumerate() {
        for (two_name, two) in routes.iter().skip(at + 1) {
            if let (
                Listen::Other { adapter, at: one_at, place },
                Listen::Other { adapter: other, at: two_at, place: two_place },
            ) = (&one.listen, &two.listen)
                && (adapter, one_at, place) == (other, two_at, two_place)
            {
                let cause = Cause::SamePlace {
                    adapter: *adapter,
                    place: place.clone(),
                    one: ((*one_name).to_owned(), one.service.clone()),
                    two: ((*two_name).to_owned(), two.service.clone(), two.port),
                };
                found.push(cause.refused());
                continue;
            }
            // Who has no names gets what is nobody's.
            let named = !(one.hosts.is_empty() && two.hosts.is_empty());
            let readable = one.spoken.may_be_http() && two.spoken.may_be_http();
            let apart = named && readable && !one.hosts.iter().any(|host| two.hosts.contains(host));
            let by_path = one_name == two_name && one.path != two.path;
            let Some((listen, port)) = same_listener(&one.listen, &two.listen).filter(|_| !apart && !by_path) else {
                continue;
            };
            let cause = Cause::SameListener {
                listen,
                one: ((*one_name).to_owned(), one.service.clone()),
                two: ((*two_name).to_owned(), two.service.clone()),
                port,
                target: two.port,
            };
            found.push(cause.refused());
        }
    }
    found
}

/// The listener that two have in common: one of all addresses has those of each.
fn same_listener(one: &Listen, two: &Listen) -> Option<(String, u16)> {
    let (Listen::Host { addresses: ones, port: Some(port) }, Listen::Host { addresses: twos, port: other }) =
        (one, two)
    else {
        // Gateways are networks of one project, and chosen ports are nobody else's.
        return None;
    };
    if *other != Some(*port) {
        return None;
    }
    let meets = ones.iter().any(|one| {
        twos.iter()
            .any(|two| one == two || (one.is_ipv4() == two.is_ipv4() && (one.is_unspecified() || two.is_unspecified())))
    });
    meets.then(|| (one.to_string(), *port))
}
