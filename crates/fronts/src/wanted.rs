//! What is wanted of a front, and what it says of itself.

use serde::{Deserialize, Serialize};
use turnout_traffic::Colour;

use crate::weigh;

/// Where all places of a repository are to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Counts the repository's deployments; never falls.
    pub generation: u64,
    /// Counts changes within a generation.
    pub revision: u64,
    /// Everything in the front that leads to this repository's services.
    pub places: Vec<Place>,
}

/// What a front calls the thing that leads to the containers of a service: a backend, an upstream, a handler, a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name there.
    pub name: String,
    /// Who gets requests, and how much of them. The weights are [`turnout_traffic::bounds::WEIGHTS`] together.
    pub colours: Vec<Colour>,
}

impl Wanted {
    /// Whether it may follow upon where a front leads now: generations never fall, and one means one thing.
    ///
    /// # Errors
    /// It may not: what is in the way, and what to do.
    pub(crate) fn may_follow(&self, led: &Led) -> Result<(), (String, String)> {
        let (own, there) = ((self.generation, self.revision), (led.generation, led.revision));
        let known = format!("is at generation {}, revision {}", there.0, there.1);
        let remedy = "where turnout's database was lost, or is an older copy, take its record out of there as docs/switch.md says, and \
                      deploy again"
            .to_owned();
        if own < there {
            return Err((format!("{known}; generation {}, revision {}, is older", own.0, own.1), remedy));
        }
        if own == there && self.led() != *led {
            return Err((format!("{known} already, and leads elsewhere"), remedy));
        }
        Ok(())
    }

    /// The colours that get requests, as they are recorded at the front.
    pub fn led(&self) -> Led {
        let colour = |Colour { name, generation, weight, .. }: &Colour| LedColour {
            name: name.clone(),
            generation: *generation,
            weight: *weight,
            partly: false,
        };
        let places = self.places.iter().map(|place| place.served().map(colour).collect());
        Led::of((self.generation, self.revision), places)
    }
}

impl Place {
    /// Who gets requests here.
    pub fn served(&self) -> impl Iterator<Item = &Colour> {
        self.colours.iter().filter(|colour| colour.weight > 0)
    }

    /// What each server of those is given, so that the colours get their shares; `None`: only one colour gets requests.
    pub(crate) fn parts(&self, most: u64) -> Option<Vec<u64>> {
        let weights: Vec<_> = self.served().map(|colour| (colour.weight, colour.targets.len())).collect();
        (weights.len() > 1).then(|| weigh::parts(&weights, most))
    }
}

impl Led {
    /// From who gets requests at each place. What a colour is said to have is its share where requests are shared.
    pub(crate) fn of((generation, revision): (u64, u64), places: impl Iterator<Item = Vec<LedColour>>) -> Led {
        let places: Vec<Vec<LedColour>> = places.collect();
        let mut colours: Vec<LedColour> = Vec::new();
        for one in places.iter().flatten() {
            match colours.iter_mut().find(|known| known.name == one.name) {
                Some(known) => known.weight = known.weight.min(one.weight),
                None => colours.push(one.clone()),
            }
        }
        for colour in &mut colours {
            colour.partly = !places.iter().all(|place| place.iter().any(|one| one.name == colour.name));
        }
        colours.sort_by(|one, other| (one.generation, &one.name).cmp(&(other.generation, &other.name)));
        Led { generation, revision, colours }
    }
}

/// Where a front leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Led {
    /// Which deployment had it lead there.
    pub generation: u64,
    /// Changes within it.
    pub revision: u64,
    /// Who gets requests, the oldest first: as long as that one gets any, it is the live one.
    pub colours: Vec<LedColour>,
}

/// A colour that gets requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedColour {
    /// `red`, `blue`.
    pub name: String,
    /// Of the deployment that made its containers.
    pub generation: u64,
    /// Its share of a place's requests, of [`turnout_traffic::bounds::WEIGHTS`].
    pub weight: u64,
    /// There are places where it gets none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partly: bool,
}

/// How a front stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// It knows nothing of the repository: it was never told, or has started anew.
    Unknown,
    /// It leads there, as it was told.
    Leads(Led),
    /// It leads elsewhere than it was told: somebody changed it, or the one who told it was broken off.
    Otherwise {
        /// What stands there in place of what was told.
        why: String,
        /// The highest generation and revision that it has been told: whoever tells it again goes on from there.
        at: (u64, u64),
    },
}

/// What is open to a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// So many connections, requests, or processes that have some.
    Counted(u64),
    /// It cannot be seen.
    Unseen,
}

/// What a front can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// The program's name.
    pub program: &'static str,
    /// Requests can be made to wait while a service changes over.
    pub holds: bool,
    /// Colours can share the requests.
    pub weights: bool,
    /// A client stays with its colour while they share, by a cookie. By its address none is kept.
    pub pins: bool,
    /// It says itself whom it leads to, and with which shares; else that is known from what was written for it.
    pub answers: bool,
    /// It tells what a colour answered, so that it can be judged.
    pub counts: bool,
    /// Connections that are not HTTP are led as well.
    pub bytes: bool,
    /// All places of a repository move at once.
    pub together: bool,
    /// How it is seen that nothing is open to a colour any more.
    pub drain: Drain,
}

/// How a drain is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// The program counts what is open, by server.
    Counted,
    /// Processes of before a change end when nothing is open to them.
    Processes,
    /// It cannot be: a time is waited.
    Waited,
}

impl Means {
    /// What is lost with it, beside turnout-proxy: a line each. `shares`: requests are to be shared.
    pub fn lost(&self, shares: bool) -> Vec<String> {
        let Means { program, holds, weights, pins, answers, counts, bytes, together, drain } = *self;
        let mut lost = Vec::new();
        if !holds {
            lost.push(format!(
                "{program} cannot hold requests: they fail while a service that gets some ends before its successor starts"
            ));
        }
        if !weights {
            lost.push(format!("{program} gets all requests of one colour or of the other: no canary"));
        } else if shares && pins {
            lost.push(format!(
                "with {program} a client that keeps its cookie stays with the colour that it met first, in later steps too; one \
                 that keeps none is drawn anew with each request"
            ));
        } else if shares {
            lost.push(format!(
                "with {program} each request is drawn anew, so that a client meets both colours, unless its configuration says \
                 otherwise"
            ));
        }
        if shares && !counts {
            lost.push(format!("{program} does not tell what a colour answered: it is not judged by its answers"));
        }
        if !answers {
            lost.push(format!(
                "{program} does not say whom it leads to: what `status` shows is what was written for it, shares too"
            ));
        }
        if !bytes {
            lost.push(format!("{program} leads HTTP only"));
        }
        if !together {
            lost.push(format!("{program} moves several routes of a repository one after the other"));
        }
        lost.push(match drain {
            Drain::Counted => format!("drain: {program} counts what is open to each server"),
            Drain::Processes => format!("drain: {program}'s processes of before a change have ended"),
            Drain::Waited => format!(
                "drain: {program} does not tell what is open to a colour: the time of `drain` is waited from the switch on before \
                 one is stopped"
            ),
        });
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said() {
        let all = Means {
            program: "it",
            holds: true,
            weights: true,
            pins: true,
            answers: true,
            counts: true,
            bytes: true,
            together: true,
            drain: Drain::Counted,
        };
        assert_eq!(all.lost(false), ["drain: it counts what is open to each server"]);
        assert!(all.lost(true)[0].contains("in later steps too"));
        let none = Means {
            holds: false,
            weights: false,
            pins: false,
            answers: false,
            counts: false,
            bytes: false,
            together: false,
            drain: Drain::Waited,
            ..all
        };
        assert_eq!((none.lost(false).len(), none.lost(true).len()), (6, 7));
        let drawn = Means { pins: false, counts: false, ..all };
        assert_eq!(drawn.lost(false).len(), 1, "nobody asks for shares");
        assert!(drawn.lost(true)[0].contains("each request is drawn anew"));
        assert!(drawn.lost(true)[1].contains("not judged"));
    }

    fn colour(name: &str, generation: u64, weight: u64) -> Colour {
        Colour { name: name.to_owned(), generation, weight, targets: vec!["127.0.0.1:1".parse().unwrap()] }
    }

    #[test]
    fn who_gets_nothing_is_not_led_to() {
        let place =
            |name: &str| Place { name: name.to_owned(), colours: vec![colour("red", 3, 0), colour("blue", 3, 100)] };
        let wanted = Wanted { generation: 4, revision: 1, places: vec![place("web"), place("api")] };
        let led = wanted.led();
        assert_eq!((led.generation, led.revision, led.colours.len()), (4, 1, 1));
        assert_eq!(
            (led.colours[0].name.as_str(), led.colours[0].generation, led.colours[0].partly),
            ("blue", 3, false)
        );
        assert_eq!(wanted.may_follow(&led), Ok(()));
        assert!(wanted.may_follow(&Led { generation: 5, ..led.clone() }).unwrap_err().0.contains("is older"));
        assert!(wanted.may_follow(&Led { colours: Vec::new(), ..led }).unwrap_err().0.contains("elsewhere"));
    }

    #[test]
    fn a_share_is_what_a_colour_has_where_requests_are_shared() {
        let web = Place { name: "web".to_owned(), colours: vec![colour("red", 3, 80), colour("blue", 4, 20)] };
        let api = Place { name: "api".to_owned(), colours: vec![colour("red", 3, 100)] };
        assert_eq!((web.parts(256), api.parts(256)), (Some(vec![4, 1]), None));
        let led = |places| Wanted { generation: 4, revision: 1, places }.led();
        let one =
            |name: &str, generation, weight, partly| LedColour { name: name.to_owned(), generation, weight, partly };
        assert_eq!(led(vec![web.clone()]).colours, [one("red", 3, 80, false), one("blue", 4, 20, false)]);
        let both = led(vec![api.clone(), web.clone()]);
        assert_eq!(both.colours, [one("red", 3, 80, false), one("blue", 4, 20, true)]);
        assert_eq!(both, led(vec![web, api]));
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(serde_json::from_str::<Led>(&text).unwrap(), both);
        assert_eq!(text.matches("partly").count(), 1, "{text}");
    }
}
