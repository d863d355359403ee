//! A proxy that the user has already, for one repository: what it is told, and how it says that it stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    super::Failure,
    beside::Second,
    canary::Step,
    made::{Made, MadeRoute},
    mistaken,
    share::{Seen, Set, Share},
    stands::Routed,
};
use crate::{
    config::Repo,
    fronts::{Caddy, Front, FrontError, Haproxy, Led, LedColour, Means, Nginx, Place, Stands, Traefik, Wanted},
    rollout::Generation,
    switch::{
        derived::{self, Origin},
        said::{Adapter, Program, StickySaid},
    },
    traffic::{Colour, bounds},
};

/// Who tells a front, by what it is called. It may be asked at any time, but in the middle of a change it stands otherwise than it was
/// told, and whoever takes that for a fault would tell it the contrary.
static TELLING: Mutex<BTreeMap<String, Arc<Turn>>> = Mutex::new(BTreeMap::new());

/// Held by whoever tells it.
type Turn = tokio::sync::Mutex<()>;

/// A proxy of the user's own, for one repository.
#[derive(Debug, Clone)]
pub struct Other {
    /// What is said of it.
    pub adapter: Adapter,
    /// Who asks and tells that program.
    pub front: Arc<dyn Front>,
}

/// The proxy of others that leads requests to a repository; `None`: turnout-proxy does.
///
/// # Errors
/// What stands under `adapter` is not right.
pub fn of(repo: &Repo) -> Result<Option<Other>, Failure> {
    let read = Adapter::alone(repo.switch.as_ref());
    let adapter = read.map_err(|mistakes| mistaken::not_said(repo, &mistakes))?;
    Ok(adapter.map(|adapter| Other { front: front(&adapter, &repo.name), adapter }))
}

fn front(adapter: &Adapter, repo: &str) -> Arc<dyn Front> {
    let (repository, places) = (repo.to_owned(), adapter.places());
    match &adapter.program {
        Program::Haproxy { socket, table, state } => Arc::new(Haproxy {
            socket: socket.into(),
            repository,
            backends: places,
            table: table.clone(),
            state: state.as_ref().map(PathBuf::from),
        }),
        Program::Nginx { file, pid, answers } => {
            let (file, pid) = (file.into(), pid.as_ref().map(PathBuf::from));
            Arc::new(Nginx { file, pid, answers: *answers, repository, patience: Nginx::PATIENCE })
        }
        Program::Caddy { admin } => Arc::new(match admin.parse() {
            Ok(address) => Caddy::on_port(address, repository, places),
            Err(_) => Caddy::on_socket(admin.into(), repository, places),
        }),
        Program::Traefik { file } => Arc::new(Traefik { file: file.into(), repository }),
    }
}

/// How the one who leads is kept with what a colour was made as; `None`: turnout-proxy.
pub fn word(adapter: &Adapter) -> String {
    format!("{} {}", adapter.program.key(), adapter.program.at())
}

impl Other {
    /// What is lost beside turnout-proxy, a line each. `shares`: requests are to be shared.
    pub fn costs(&self, shares: bool) -> Vec<String> {
        self.front.means().lost(shares)
    }

    /// What it is called, for messages.
    pub fn name(&self) -> String {
        self.front.name()
    }

    /// Has all its places lead there. Changes come one after the other.
    ///
    /// # Errors
    /// It does not, or that is not known.
    pub async fn apply(&self, wanted: &Wanted) -> Result<(), FrontError> {
        let turn = self.turn();
        let _turn = turn.lock().await;
        self.front.apply(wanted).await.map(drop)
    }

    /// How it stands when nobody is about to change it, for whoever would tell it again.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn settled(&self) -> Result<Seen, FrontError> {
        let turn = self.turn();
        let _turn = turn.lock().await;
        self.seen().await
    }

    fn turn(&self) -> Arc<Turn> {
        // Only whole values are written under this lock.
        let mut all = TELLING.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(self.front.name()).or_default())
    }

    /// Why the live colour cannot be left to it: another one leads there.
    pub fn is_another(&self, made: &Made) -> bool {
        made.led_by.as_deref() != Some(word(&self.adapter).as_str())
    }

    /// Which of these routes a place leads to.
    fn routes<'m>(&self, routes: &'m [MadeRoute], place: &str) -> Vec<&'m MadeRoute> {
        let leads_there = |route: &&MadeRoute| self.adapter.place(&route.service, route.port) == Some(place);
        routes.iter().filter(leads_there).collect()
    }

    /// Where all its places lead when a colour is the only one. `of`: the deployment that made its containers.
    ///
    /// # Errors
    /// The colour lacks what a place is to lead to.
    pub fn goal(
        &self,
        made: &Made,
        (generation, revision): (u64, u64),
        colour: &str,
        of: u64,
    ) -> Result<Wanted, Failure> {
        let all: BTreeSet<String> = self.adapter.places().into_iter().collect();
        let targets = |place: &str| {
            let own = self.routes(&made.routes, place).into_iter();
            own.flat_map(|route| route.targets.clone()).collect::<Vec<_>>()
        };
        let mut places = Vec::new();
        for name in all {
            let targets = targets(&name);
            if targets.is_empty() {
                return Err(Failure::new(format!(
                    "{colour} has nothing that {} {name} of {} could lead to",
                    self.adapter.program.place_key(),
                    self.front.name()
                ))
                .hint("`adapter` in repos.yaml names another service or port than that colour was made with"));
            }
            let colour = Colour { name: colour.to_owned(), generation: of, weight: bounds::WEIGHTS, targets };
            places.push(Place { name, colours: vec![colour] });
        }
        Ok(Wanted { generation, revision, places })
    }

    /// Gives the next colour its share of each place, but for what of it does not run yet.
    pub fn shares(&self, wanted: &mut Wanted, next: &Second<'_>, step: Step) -> Set {
        let runs = next.made.routes_of(false);
        let mut set = Set::default();
        for place in &mut wanted.places {
            let targets: Vec<_> =
                self.routes(&runs, &place.name).into_iter().flat_map(|route| route.targets.clone()).collect();
            if targets.is_empty() {
                set.left.insert(place.name.clone());
                continue;
            }
            for colour in &mut place.colours {
                colour.weight = bounds::WEIGHTS.saturating_sub(step.percent);
            }
            let (name, generation, weight) = (next.name.to_owned(), next.generation, step.percent);
            place.colours.push(Colour { name, generation, weight, targets });
            set.shared.insert(place.name.clone());
        }
        set
    }

    /// How it stands.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn seen(&self) -> Result<Seen, FrontError> {
        let number = |number: u64| Generation::try_from(number).unwrap_or(Generation::MAX);
        Ok(match self.front.stands().await? {
            Stands::Unknown => {
                Seen { routed: None, otherwise: None, maintained: false, held: false, shares: Vec::new() }
            }
            Stands::Otherwise { why, at } => {
                let routed = Routed { generation: number(at.0), revision: number(at.1), colour: None };
                Seen { routed: Some(routed), otherwise: Some(why), maintained: false, held: false, shares: Vec::new() }
            }
            Stands::Leads(led) => {
                let Led { generation, revision, colours } = led;
                let mut served = colours.into_iter().filter(|colour| colour.weight > 0);
                // The oldest: as long as the one before gets any, the newer one is not live.
                let colour = served.next().map(|colour| (colour.name, number(colour.generation)));
                let share =
                    |colour: LedColour| Share { colour: colour.name, percent: colour.weight, in_part: colour.partly };
                let shares = served.map(share).collect();
                let routed = Routed { generation: number(generation), revision: number(revision), colour };
                Seen { routed: Some(routed), otherwise: None, maintained: false, held: false, shares }
            }
        })
    }
}

/// What was said of shares, and this proxy cannot do: each with what to write.
pub fn not_shared(means: &Means, canary: &derived::Canary) -> Vec<String> {
    let Means { program, weights, pins, .. } = means;
    let mut refused = Vec::new();
    if canary.steps.is_some() && !weights {
        refused.push(format!("steps share requests, and {program}, which leads them, cannot; take them out"));
    }
    let sticky = (canary.sticky.from != Origin::Default).then_some(canary.sticky.value);
    match sticky {
        Some(StickySaid::Cookie) if !pins => refused.push(format!(
            "sticky: cookie is not {program}'s to do, which leads requests: have its own configuration say how a client stays, and \
             take it out"
        )),
        Some(StickySaid::Address) => refused.push(format!(
            "sticky: address is turnout-proxy's, and {program} leads requests; take it out"
        )),
        _ => {}
    }
    refused
}

/// What a proxy of others can do, for whoever only wants to know that.
pub fn means(adapter: &Adapter) -> Means {
    front(adapter, "").means()
}

#[cfg(test)]
mod tests {
    use super::{super::made, *};
    use crate::switch::derived::Given;

    fn shop(of: &[(&str, u16, &str)]) -> Other {
        let program = Program::Haproxy { socket: "/run/h".to_owned(), table: "turnout".to_owned(), state: None };
        let of = of.iter().map(|(service, port, place)| (((*service).to_owned(), *port), (*place).to_owned()));
        let adapter = Adapter { program, one: None, of: of.collect() };
        Other { front: front(&adapter, "shop"), adapter }
    }

    #[test]
    fn a_place_is_shared_where_the_next_colour_runs_already() {
        let live = made::tests::shop();
        let mut next = live.clone();
        next.routes[0].targets = vec!["127.0.0.1:20002".parse().unwrap()];
        // The worker must not run twice, so it does not run yet.
        let worker = MadeRoute { service: "worker".to_owned(), port: 90, ..live.routes[0].clone() };
        let (mut live, mut next) = (live, next);
        live.routes.push(worker.clone());
        next.routes.push(worker);
        let other = shop(&[("web", 80, "shop"), ("worker", 90, "jobs")]);
        let mut wanted = other.goal(&live, (7, 1), "blue", 6).unwrap();
        let next = Second { name: "red", generation: 7, made: &next };
        let set = other.shares(&mut wanted, &next, Step { percent: 20, lasts: None });
        assert_eq!((set.shared, set.left), (["shop".to_owned()].into(), ["jobs".to_owned()].into()));
        let led = wanted.led().colours;
        let said: Vec<_> = led.iter().map(|one| (one.name.as_str(), one.generation, one.weight, one.partly)).collect();
        assert_eq!(said, [("blue", 6, 80, false), ("red", 7, 20, true)]);
        let Err(failure) = shop(&[("api", 1, "api")]).goal(&live, (7, 1), "blue", 6) else {
            panic!("nothing is there")
        };
        assert!(failure.summary.contains("blue has nothing that backend api"), "{}", failure.summary);
    }

    #[test]
    fn what_a_program_cannot_do_with_shares_is_refused_by_name() {
        let steps = |sticky: Option<StickySaid>| derived::Canary {
            steps: Some(Given { value: Vec::new(), from: Origin::Said(crate::switch::Source::Repos) }),
            sticky: Given {
                value: sticky.unwrap_or(StickySaid::Cookie),
                from: sticky.map_or(Origin::Default, |_| Origin::Said(crate::switch::Source::Repos)),
            },
        };
        let haproxy = means(&shop(&[]).adapter);
        let traefik = Adapter {
            program: Program::Traefik { file: "/etc/traefik/shop.yml".to_owned() },
            one: Some("shop".to_owned()),
            of: BTreeMap::new(),
        };
        let traefik = means(&traefik);
        let (cookie, address) = (Some(StickySaid::Cookie), Some(StickySaid::Address));
        for (means, sticky, said) in [
            (haproxy, None, None),
            (haproxy, cookie, Some("sticky: cookie is not HAProxy's to do")),
            (haproxy, address, Some("sticky: address is turnout-proxy's, and HAProxy leads requests")),
            (traefik, cookie, None),
            (traefik, address, Some("and Traefik leads requests")),
            (
                Means { weights: false, ..haproxy },
                None,
                Some("steps share requests, and HAProxy, which leads them, cannot"),
            ),
        ] {
            let found = not_shared(&means, &steps(sticky));
            assert_eq!(found.len(), usize::from(said.is_some()), "{found:?}");
            assert!(said.is_none_or(|said| found[0].contains(said)), "{found:?}");
        }
    }
}
