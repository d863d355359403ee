//! Caddy, by its admin interface: the upstreams of a `reverse_proxy` handler are replaced. Which deployment had it lead there
//! is in the upstreams' own `@id`s, so that it is gone where they are.
//!
//! Weights only newer ones know, and the way to choose is the user's: an upstream that is to get more stands there oftener.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    FrontError,
    front::{Front, Told},
    http::{Answer, At, Question},
    wanted::{Drain, Led, LedColour, Means, Open, Place, Stands, Wanted},
    weigh,
};

/// What every `@id` of ours begins with.
const MARK: &str = "turnout";
/// How often an upstream stands in a list at most.
const OFTENEST: u64 = 100;
/// Ways to choose by which an upstream that stands there oftener gets more. Without a word it is `random`.
const FAIR: &[&str] = &["random", "round_robin", "cookie"];

/// Caddy, for one repository.
#[derive(Debug)]
pub struct Caddy {
    at: At,
    repository: String,
    handlers: Vec<String>,
}

impl Caddy {
    /// By a port of its admin interface.
    pub fn on_port(at: SocketAddr, repository: String, handlers: Vec<String>) -> Caddy {
        Caddy { at: At::Tcp(at), repository, handlers }
    }

    /// By a socket of its admin interface.
    pub fn on_socket(at: PathBuf, repository: String, handlers: Vec<String>) -> Caddy {
        Caddy { at: At::Unix(at), repository, handlers }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<Answer, FrontError> {
        let host = match &self.at {
            At::Tcp(address) => address.to_string(),
            At::Unix(_) => "localhost".to_owned(),
        };
        Question { front: &self.name(), at: &self.at, host: &host, method, path, body }.ask().await
    }

    /// The upstreams of a handler.
    async fn upstreams(&self, handler: &str) -> Result<Vec<Value>, FrontError> {
        let known = self.handler(handler).await?;
        Ok(known.get("upstreams").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// A handler, as it stands in the configuration.
    async fn handler(&self, handler: &str) -> Result<Value, FrontError> {
        let answer = self.ask(Method::GET, &path(handler), None).await?;
        let lacks = |what: String| FrontError::Lacks {
            front: self.name(),
            what,
            remedy: format!(
                "give the `reverse_proxy` handler in its JSON configuration `\"@id\": \"{handler}\"`, or name its path there, \
                 such as /config/apps/http/servers/srv0/routes/0/handle/0"
            ),
        };
        if answer.status != StatusCode::OK {
            let said = cut(&answer.body);
            return Err(lacks(format!("knows no handler {handler} (status {}: {said})", answer.status.as_u16())));
        }
        let handler_is = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
        if handler_is.get("handler").and_then(Value::as_str) != Some("reverse_proxy") {
            return Err(lacks(format!("has something else than a reverse_proxy as {handler}")));
        }
        Ok(handler_is)
    }

    /// Whether each handler gives its upstreams as much as they stand there.
    async fn look_for_shares(&self) -> Result<(), FrontError> {
        for name in &self.handlers {
            let handler = self.handler(name).await?;
            let Some(other) = chooses(&handler).filter(|said| !FAIR.contains(said)) else { continue };
            return Err(FrontError::Lacks {
                front: self.name(),
                what: format!("chooses by {other} in its handler {name}, and no share of the requests is kept by that"),
                remedy: "have its `selection_policy` be random, round_robin or cookie, or take `steps` out".to_owned(),
            });
        }
        Ok(())
    }

    fn wanted_of(&self, wanted: &Wanted, place: &Place, number: usize) -> Vec<Value> {
        let Wanted { generation, revision, .. } = wanted;
        let parts = place.parts(OFTENEST).unwrap_or_else(|| vec![1]);
        let all = place.served().zip(parts).flat_map(|(colour, part)| {
            let each = colour.targets.iter().map(move |target| (colour, target));
            each.flat_map(move |one| (0..part).map(move |_| one))
        });
        let upstream = |(at, (colour, target)): (usize, (&turnout_traffic::Colour, &SocketAddr))| {
            let words = [MARK, &self.repository, &number.to_string(), &generation.to_string(), &revision.to_string()];
            let rest = [colour.name.clone(), colour.generation.to_string(), colour.weight.to_string(), at.to_string()];
            json!({ "@id": format!("{}:{}", words.join(":"), rest.join(":")), "dial": target.to_string() })
        };
        all.enumerate().map(upstream).collect()
    }

    /// Finds what is missing.
    async fn look_for(&self, wanted: &Wanted) -> Result<Vec<Vec<Value>>, FrontError> {
        let mut known = Vec::new();
        for place in &wanted.places {
            let upstreams = self.upstreams(&place.name).await?;
            if let Some(other) = others(&self.repository, &upstreams) {
                return Err(FrontError::Lacks {
                    front: self.name(),
                    what: format!("leads its handler {} for the repository {other}", place.name),
                    remedy: "name another handler under `adapter`".to_owned(),
                });
            }
            known.push(upstreams);
        }
        Ok(known)
    }

    async fn move_to(&self, wanted: &Wanted) -> Result<bool, FrontError> {
        let known = self.look_for(wanted).await?;
        for (place, upstreams) in wanted.places.iter().zip(&known) {
            let Some(led) = read(&self.repository, upstreams).ok().flatten() else { continue };
            // Elsewhere requests may be shared otherwise.
            let here = Wanted { places: vec![place.clone()], ..*wanted };
            let may = here.may_follow(&led);
            may.map_err(|(what, remedy)| FrontError::Lacks { front: self.name(), what, remedy })?;
        }
        let mut changed = false;
        for (number, (place, known)) in wanted.places.iter().zip(known).enumerate() {
            let upstreams = self.wanted_of(wanted, place, number);
            if known == upstreams {
                continue;
            }
            let at = format!("{}/upstreams", path(&place.name));
            // PATCH is for what is there.
            let method = if known.is_empty() { Method::PUT } else { Method::PATCH };
            let answer = self.ask(method, &at, Some(Value::from(upstreams.clone()).to_string())).await?;
            let now = self.upstreams(&place.name).await?;
            if now != upstreams {
                return Err(FrontError::NotSo {
                    front: self.name(),
                    after: Duration::ZERO,
                    why: format!("status {}: {}", answer.status.as_u16(), cut(&answer.body)),
                    unknown: changed,
                });
            }
            changed = true;
        }
        Ok(changed)
    }

    async fn look(&self) -> Result<Stands, FrontError> {
        let (mut all, mut at, mut why): (Vec<Option<Led>>, _, Option<String>) = (Vec::new(), (0, 0), None);
        for handler in &self.handlers {
            let upstreams = self.upstreams(handler).await?;
            at = at.max(newest(&self.repository, &upstreams));
            match read(&self.repository, &upstreams) {
                Ok(led) => all.push(led),
                Err(fault) => why = why.or_else(|| Some(format!("{handler}: {fault}"))),
            }
        }
        let age = |led: &Option<Led>| led.as_ref().map(|led| (led.generation, led.revision));
        let first = all.first().and_then(age);
        if why.is_none() && all.iter().any(|led| age(led) != first) {
            why = Some(format!("{} do not lead to the same", self.handlers.join(" and ")));
        }
        Ok(match (why, first) {
            (Some(why), _) => Stands::Otherwise { why, at },
            (None, Some(age)) => Stands::Leads(Led::of(age, all.into_iter().flatten().map(|led| led.colours))),
            (None, None) => Stands::Unknown,
        })
    }
}

/// By which of its policies a handler chooses; `None`: the usual one.
fn chooses(handler: &Value) -> Option<&str> {
    handler.pointer("/load_balancing/selection_policy/policy").and_then(Value::as_str)
}

/// The highest generation and revision among upstreams.
fn newest(repository: &str, upstreams: &[Value]) -> (u64, u64) {
    let ids = upstreams.iter().filter_map(|upstream| upstream.get("@id")?.as_str());
    let ages = ids.filter_map(|id| match id.split(':').collect::<Vec<_>>().as_slice() {
        [MARK, of, _, generation, revision, ..] if *of == repository => {
            Some((generation.parse().ok()?, revision.parse().ok()?))
        }
        _ => None,
    });
    ages.max().unwrap_or_default()
}

/// Another repository whose upstreams they are.
fn others<'u>(repository: &str, upstreams: &'u [Value]) -> Option<&'u str> {
    let mut ids = upstreams.iter().filter_map(|upstream| upstream.get("@id")?.as_str());
    ids.find_map(|id| match id.split(':').collect::<Vec<_>>().as_slice() {
        [MARK, of, ..] if *of != repository => Some(*of),
        _ => None,
    })
}

/// Where upstreams lead, by what turnout wrote into them. `None`: they are not turnout's.
fn read(repository: &str, upstreams: &[Value]) -> Result<Option<Led>, String> {
    let mut led: Option<Led> = None;
    let mut strange = 0;
    // How often each stands there, by colour and address.
    let mut often: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for upstream in upstreams {
        let id = upstream.get("@id").and_then(Value::as_str).unwrap_or_default();
        let words: Vec<&str> = id.split(':').collect();
        let [MARK, of, _, generation, revision, colour, made, weight, _] = words.as_slice() else {
            strange += 1;
            continue;
        };
        if *of != repository {
            return Err(format!("it is the repository {of}'s"));
        }
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{id} is not understood"));
        let (generation, revision) = (number(generation)?, number(revision)?);
        let (name, generation_of, weight) = ((*colour).to_owned(), number(made)?, number(weight)?);
        let one = LedColour { name, generation: generation_of, weight, partly: false };
        let dial = upstream.get("dial").and_then(Value::as_str).unwrap_or_default();
        *often.entry((*colour, dial)).or_default() += 1;
        let known = led.get_or_insert_with(|| Led { generation, revision, colours: Vec::new() });
        if (known.generation, known.revision) != (generation, revision) {
            return Err("its upstreams are of several deployments".to_owned());
        }
        if !known.colours.contains(&one) {
            known.colours.push(one);
        }
    }
    match (&led, strange) {
        (Some(_), 1..) => Err(format!("{strange} of its upstreams are not turnout's")),
        (Some(known), 0) if !as_often(known, &often) => {
            Err("its upstreams do not stand there as often as their shares want it".to_owned())
        }
        _ => Ok(led.map(|led| Led::of((led.generation, led.revision), std::iter::once(led.colours)))),
    }
}

/// Whether upstreams stand there as often as they were written.
fn as_often(led: &Led, often: &BTreeMap<(&str, &str), u64>) -> bool {
    let of = |colour: &LedColour| {
        let name = colour.name.clone();
        often.iter().filter(move |((of, _), _)| **of == *name).map(|(_, count)| *count)
    };
    let weights: Vec<_> = led.colours.iter().map(|colour| (colour.weight, of(colour).count())).collect();
    let parts = match weights.len() {
        0 | 1 => vec![1],
        _ => weigh::parts(&weights, OFTENEST),
    };
    led.colours.iter().zip(parts).all(|(colour, part)| of(colour).collect::<BTreeSet<u64>>() == BTreeSet::from([part]))
}

/// The path of a handler: by its `@id`, or its place in the configuration.
fn path(handler: &str) -> String {
    if handler.starts_with("/config/") { handler.trim_end_matches('/').to_owned() } else { format!("/id/{handler}") }
}

fn cut(body: &str) -> String {
    body.trim().chars().take(200).collect()
}

impl Front for Caddy {
    fn name(&self) -> String {
        match &self.at {
            At::Tcp(address) => format!("Caddy on {address}"),
            At::Unix(path) => format!("Caddy on {}", path.display()),
        }
    }

    fn means(&self) -> Means {
        Means {
            program: "Caddy",
            holds: false,
            weights: true,
            pins: false,
            answers: true,
            counts: false,
            bytes: false,
            together: false,
            // It forgets how many requests an upstream has when its configuration loses it.
            drain: Drain::Waited,
        }
    }

    fn stands(&self) -> Told<'_, Stands> {
        Box::pin(self.look())
    }

    fn check<'f>(&'f self, wanted: &'f Wanted) -> Told<'f, ()> {
        Box::pin(async { self.look_for(wanted).await.map(drop) })
    }

    fn could_share(&self) -> Told<'_, ()> {
        Box::pin(self.look_for_shares())
    }

    fn apply<'f>(&'f self, wanted: &'f Wanted) -> Told<'f, bool> {
        Box::pin(self.move_to(wanted))
    }

    fn open<'f>(&'f self, _colour: &'f str) -> Told<'f, Open> {
        Box::pin(async { Ok(Open::Unseen) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_told_from_what_was_there() {
        let of = |id: &str| json!({ "@id": id, "dial": "127.0.0.1:20000" });
        let other = json!({ "@id": "turnout:shop:0:8:1:blue:7:100:1", "dial": "127.0.0.1:20001" });
        let good = read("shop", &[of("turnout:shop:0:8:1:blue:7:100:0"), other]);
        let led = good.unwrap().unwrap();
        assert_eq!((led.generation, led.revision, led.colours.len(), led.colours[0].generation), (8, 1, 1, 7));
        assert_eq!(read("shop", &[json!({ "dial": "127.0.0.1:80" })]), Ok(None));
        for (upstreams, said) in [
            (vec![of("turnout:shop:0:8:1:blue:7:100:0"), json!({ "dial": "x" })], "not turnout's"),
            (vec![of("turnout:blog:0:8:1:blue:7:100:0")], "repository blog"),
            (vec![of("turnout:shop:0:8:1:blue:7:100:0"), of("turnout:shop:0:9:0:red:9:100:0")], "several deployments"),
            (vec![of("turnout:shop:0:8:x:blue:7:100:0")], "not understood"),
            (vec![of("turnout:shop:0:8:1:blue:7:100:0"), of("turnout:shop:0:8:1:blue:7:100:1")], "as often as"),
        ] {
            assert!(read("shop", &upstreams).unwrap_err().contains(said), "{said}");
        }
        assert_eq!(others("shop", &[of("turnout:blog:0:8:1:blue:7:100:0")]), Some("blog"));
        assert_eq!(others("shop", &[of("turnout:shop:0:8:1:blue:7:100:0"), of("mine")]), None);
        assert_eq!(
            newest("shop", &[of("turnout:shop:0:8:1:blue:7:100:0"), of("turnout:shop:0:7:9:red:7:100:0")]),
            (8, 1)
        );
        assert_eq!(path("shop"), "/id/shop");
        assert_eq!(path("/config/apps/http/0/"), "/config/apps/http/0");
    }

    #[test]
    fn who_is_to_get_more_stands_there_oftener() {
        let colour = |name: &str, generation, weight, ports: &[u16]| turnout_traffic::Colour {
            name: name.to_owned(),
            generation,
            weight,
            targets: ports.iter().map(|port| ([127, 0, 0, 1], *port).into()).collect(),
        };
        let colours = vec![
            colour("red", 6, 80, &[20_000]),
            colour("blue", 8, 20, &[20_001, 20_002]),
            colour("green", 5, 0, &[1]),
        ];
        let wanted = Wanted { generation: 8, revision: 2, places: vec![Place { name: "shop".to_owned(), colours }] };
        let front = Caddy::on_port(([127, 0, 0, 1], 2019).into(), "shop".to_owned(), vec!["shop".to_owned()]);
        let upstreams = front.wanted_of(&wanted, &wanted.places[0], 0);
        let dials = |port: u16| upstreams.iter().filter(|one| one["dial"] == format!("127.0.0.1:{port}")).count();
        assert_eq!((dials(20_000), dials(20_001), dials(20_002), upstreams.len()), (8, 1, 1, 10));
        let ids: BTreeSet<_> = upstreams.iter().map(|one| one["@id"].to_string()).collect();
        assert_eq!(ids.len(), 10, "no @id twice");
        assert_eq!(read("shop", &upstreams), Ok(Some(wanted.led())));
        assert!(read("shop", &upstreams[1..]).unwrap_err().contains("as often as"));
        let handler = json!({ "load_balancing": { "selection_policy": { "policy": "least_conn" } } });
        assert_eq!((chooses(&handler), chooses(&json!({}))), (Some("least_conn"), None));
    }
}
