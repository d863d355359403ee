//! Proxies before this one that have connections still. They serve those by the table of this one, and what is open to them
//! counts as open here: who is told that nothing is, ends a container.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;
use turnout_traffic::control::{ColourStatus, Leaving, RouteStatus, Status};

use super::wire::{Link, Word};

/// How long one may take to answer. One that does not is left alone, with what it has.
const ANSWERS: Duration = Duration::from_secs(1);
/// How often it is looked whether one has ended.
const LOOK: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Before {
    links: Mutex<Vec<Link>>,
    any: AtomicBool,
}

impl Before {
    /// One more.
    pub(crate) fn add(&self, link: Link) {
        if let Err(error) = link.waits(Some(ANSWERS)) {
            tracing::warn!("the proxy before this one is not heard any more: {error}");
            return;
        }
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.push(link);
        self.any.store(true, Relaxed);
    }

    /// Whether there is one.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// Says it to all, and hears how each stands. It waits: not for a thread of the runtime.
    pub(crate) fn each(&self, word: &Word) -> Vec<Status> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        links.retain(|link| match link.asks(word) {
            Ok(status) => {
                all.push(status);
                true
            }
            Err(error) if has_ended(&error) => {
                tracing::debug!("a proxy before this one has ended");
                false
            }
            Err(error) => {
                tracing::warn!(
                    "a proxy before this one is not heard any more, and what is open to it not counted: {error}"
                );
                false
            }
        });
        self.any.store(!links.is_empty(), Relaxed);
        all
    }

    /// Waits until none is left.
    pub(crate) async fn ended(self: &Arc<Self>) {
        while self.any() {
            let before = Arc::clone(self);
            if tokio::task::spawn_blocking(move || before.each(&Word::Ask)).await.is_err() {
                return;
            }
            sleep(LOOK).await;
        }
    }
}

/// Its end of the link is closed, which it holds as long as it runs.
fn has_ended(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// How all of them stand together.
pub(crate) fn merged(mut own: Status, others: Vec<Status>) -> Status {
    for Status { connections, routes, leaving, .. } in others {
        own.connections += connections;
        for route in routes {
            let at = own.routes.iter().position(|known| is_same(known, &route));
            if let Some(known) = at.and_then(|at| own.routes.get_mut(at)) {
                known.requests += route.requests;
                known.waiting += route.waiting;
            }
            let left = route.colours.iter().map(|colour| as_left(&route, colour)).collect::<Vec<_>>();
            left.into_iter().for_each(|one| adds(&mut own, one));
        }
        leaving.into_iter().for_each(|one| adds(&mut own, one));
    }
    own
}

fn is_same(one: &RouteStatus, other: &RouteStatus) -> bool {
    (&one.repository, one.listen, &one.hosts, &one.path) == (&other.repository, other.listen, &other.hosts, &other.path)
}

/// A colour of another process, as if it had left.
fn as_left(route: &RouteStatus, colour: &ColourStatus) -> Leaving {
    Leaving {
        repository: route.repository.clone(),
        listen: route.listen,
        hosts: route.hosts.clone(),
        path: route.path.clone(),
        name: colour.name.clone(),
        generation: colour.generation,
        open: colour.open,
        tunnels: colour.tunnels,
    }
}

/// Counts what is open to a colour of another process where that colour is known, or as left.
fn adds(own: &mut Status, one: Leaving) {
    if one.open == 0 {
        return;
    }
    let named = |name: &str, generation: u64| (name, generation) == (one.name.as_str(), one.generation);
    let route = own.routes.iter_mut().find(|route| {
        (&route.repository, route.listen, &route.hosts, &route.path)
            == (&one.repository, one.listen, &one.hosts, &one.path)
    });
    if let Some(colour) = route.and_then(|of| of.colours.iter_mut().find(|of| named(&of.name, of.generation))) {
        colour.open += one.open;
        colour.tunnels += one.tunnels;
        return;
    }
    let known = own.leaving.iter_mut().find(|known| {
        named(&known.name, known.generation)
            && (&known.repository, known.listen, &known.hosts, &known.path)
                == (&one.repository, one.listen, &one.hosts, &one.path)
    });
    match known {
        Some(known) => {
            known.open += one.open;
            known.tunnels += one.tunnels;
        }
        None => own.leaving.push(one),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use turnout_traffic::control::Origin;

    use super::*;

    /// A status with these colours in its only route, and these that have left: name, generation, open.
    fn status(routed: &[(&str, u64, u64)], left: &[(&str, u64, u64)]) -> Status {
        let colours = routed.iter().map(|(name, generation, open)| ColourStatus {
            name: (*name).to_owned(),
            generation: *generation,
            weight: 100,
            open: *open,
            tunnels: 1,
            received: 0,
            sent: 0,
            http: None,
        });
        let route = RouteStatus {
            repository: "shop".to_owned(),
            listen: ([127, 0, 0, 1], 80).into(),
            hosts: Vec::new(),
            path: None,
            listening: true,
            stand_in_port: None,
            taken: 0,
            failed: 0,
            waiting: 2,
            requests: 5,
            answered_here: 0,
            unrouted: 0,
            colours: colours.collect(),
        };
        let leaving = left.iter().map(|(name, generation, open)| Leaving {
            name: (*name).to_owned(),
            generation: *generation,
            open: *open,
            ..as_left(&route, &ColourStatus { tunnels: 0, ..route.colours[0].clone() })
        });
        Status {
            serial: 1,
            origin: Origin::Current,
            durable: true,
            ending: false,
            connections: 3,
            repositories: BTreeMap::new(),
            leaving: leaving.collect(),
            routes: vec![route],
            held: Vec::new(),
            maintained: Vec::new(),
            certificates: Vec::new(),
            authority: None,
        }
    }

    #[test]
    fn what_is_open_to_another_process_is_open() {
        let own = status(&[("blue", 2, 4), ("green", 1, 0)], &[("red", 1, 1)]);
        let before = status(&[("blue", 2, 1)], &[("red", 1, 2), ("green", 1, 3), ("grey", 1, 0), ("red", 7, 6)]);
        let all = merged(own, vec![before]);
        let open: Vec<_> = all.routes[0].colours.iter().map(|of| (of.name.as_str(), of.open)).collect();
        assert_eq!(open, [("blue", 5), ("green", 3)]);
        let left: Vec<_> = all.leaving.iter().map(|of| (of.name.as_str(), of.generation, of.open)).collect();
        assert_eq!(left, [("red", 1, 3), ("red", 7, 6)]);
        assert_eq!((all.connections, all.routes[0].requests, all.routes[0].waiting), (6, 10, 4));
        assert_eq!(all.routes[0].colours[0].tunnels, 2);
    }
}
