//! What is wanted of a front, and what it says of itself.

use serde::{Deserialize, Serialize};
use turnout_traffic::Colour;

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
        let mut colours: Vec<LedColour> = Vec::new();
        for colour in self.places.iter().flat_map(|place| &place.colours).filter(|colour| colour.weight > 0) {
            let Colour { name, generation, weight, .. } = colour;
            if colours.iter().all(|known| known.name != *name) {
                colours.push(LedColour { name: name.clone(), generation: *generation, weight: *weight });
            }
        }
        Led { generation: self.generation, revision: self.revision, colours }
    }
}

/// Where a front leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Led {
    /// Which deployment had it lead there.
    pub generation: u64,
    /// Changes within it.
    pub revision: u64,
    /// Who gets requests.
    pub colours: Vec<LedColour>,
}

/// A colour that gets requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedColour {
    /// `red`, `blue`.
    pub name: String,
    /// Of the deployment that made its containers.
    pub generation: u64,
    /// Its share of a place's requests, of the sum of all weights there.
    pub weight: u64,
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
    /// A client stays with its colour while they share.
    pub pins: bool,
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
    /// What is lost with it, beside turnout-proxy: a line each.
    pub fn lost(&self) -> Vec<String> {
        let Means { program, holds, weights, pins, bytes, together, drain } = *self;
        let mut lost = Vec::new();
        if !holds {
            lost.push(format!(
                "{program} cannot hold requests: they fail while a service that gets some ends before its successor starts"
            ));
        }
        if !weights {
            lost.push(format!("{program} gets all requests of one colour or of the other: no canary"));
        } else if !pins {
            lost.push(format!(
                "with {program} a client does not stay with its colour while both get requests, unless its configuration says so"
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
            bytes: true,
            together: true,
            drain: Drain::Counted,
        };
        assert_eq!(all.lost(), ["drain: it counts what is open to each server"]);
        let none = Means {
            holds: false,
            weights: false,
            pins: false,
            bytes: false,
            together: false,
            drain: Drain::Waited,
            ..all
        };
        assert_eq!(none.lost().len(), 5);
        assert!(Means { pins: false, ..all }.lost()[0].contains("does not stay with its colour"));
    }

    #[test]
    fn who_gets_nothing_is_not_led_to() {
        let colour = |name: &str, weight| Colour { name: name.to_owned(), generation: 3, weight, targets: Vec::new() };
        let place = |name: &str| Place { name: name.to_owned(), colours: vec![colour("red", 0), colour("blue", 100)] };
        let wanted = Wanted { generation: 4, revision: 1, places: vec![place("web"), place("api")] };
        let led = wanted.led();
        assert_eq!((led.generation, led.revision, led.colours.len()), (4, 1, 1));
        assert_eq!((led.colours[0].name.as_str(), led.colours[0].generation), ("blue", 3));
        assert_eq!(wanted.may_follow(&led), Ok(()));
        assert!(wanted.may_follow(&Led { generation: 5, ..led.clone() }).unwrap_err().0.contains("is older"));
        assert!(wanted.may_follow(&Led { colours: Vec::new(), ..led }).unwrap_err().0.contains("elsewhere"));
    }
}
