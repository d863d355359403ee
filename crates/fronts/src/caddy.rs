//! Caddy, by its admin interface: the upstreams of a `reverse_proxy` handler are replaced. Which deployment had it lead there
//! is in the upstreams' own `@id`s, so that it is gone where they are.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    FrontError,
    front::{Front, Told},
    http::{Answer, At, Question},
    wanted::{Drain, Led, LedColour, Means, Open, Place, Stands, Wanted},
};

/// What every `@id` of ours begins with.
const MARK: &str = "turnout";

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
        Ok(handler_is.get("upstreams").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    fn wanted_of(&self, wanted: &Wanted, place: &Place, number: usize) -> Vec<Value> {
        let Wanted { generation, revision, .. } = wanted;
        let colours = place.colours.iter().filter(|colour| colour.weight > 0);
        let all = colours.flat_map(|colour| colour.targets.iter().map(move |target| (colour, target)));
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
        if wanted.led().colours.len() > 1 {
            return Err(FrontError::Lacks {
                front: self.name(),
                what: "cannot share requests between two colours".to_owned(),
                remedy: "take the shares out; it goes from one colour to the other at once".to_owned(),
            });
        }
        let known = self.look_for(wanted).await?;
        for led in known.iter().filter_map(|upstreams| read(&self.repository, upstreams).ok().flatten()) {
            let may = wanted.may_follow(&led);
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
        let (mut all, mut at, mut why): (Option<Option<Led>>, _, Option<String>) = (None, (0, 0), None);
        for handler in &self.handlers {
            let upstreams = self.upstreams(handler).await?;
            at = at.max(newest(&self.repository, &upstreams));
            let led = match read(&self.repository, &upstreams) {
                Ok(led) => led,
                Err(fault) => {
                    why = why.or_else(|| Some(format!("{handler}: {fault}")));
                    continue;
                }
            };
            if all.get_or_insert_with(|| led.clone()) != &led {
                why = why.or_else(|| Some(format!("{} do not lead to the same", self.handlers.join(" and "))));
            }
        }
        Ok(match (why, all.flatten()) {
            (Some(why), _) => Stands::Otherwise { why, at },
            (None, Some(led)) => Stands::Leads(led),
            (None, None) => Stands::Unknown,
        })
    }
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
        let one = LedColour { name: (*colour).to_owned(), generation: number(made)?, weight: number(weight)? };
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
        _ => Ok(led),
    }
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
            weights: false,
            pins: false,
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
        let good = read("shop", &[of("turnout:shop:0:8:1:blue:7:100:0"), of("turnout:shop:0:8:1:blue:7:100:1")]);
        let led = good.unwrap().unwrap();
        assert_eq!((led.generation, led.revision, led.colours.len(), led.colours[0].generation), (8, 1, 1, 7));
        assert_eq!(read("shop", &[json!({ "dial": "127.0.0.1:80" })]), Ok(None));
        for (upstreams, said) in [
            (vec![of("turnout:shop:0:8:1:blue:7:100:0"), json!({ "dial": "x" })], "not turnout's"),
            (vec![of("turnout:blog:0:8:1:blue:7:100:0")], "repository blog"),
            (vec![of("turnout:shop:0:8:1:blue:7:100:0"), of("turnout:shop:0:9:0:red:9:100:0")], "several deployments"),
            (vec![of("turnout:shop:0:8:x:blue:7:100:0")], "not understood"),
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
}
