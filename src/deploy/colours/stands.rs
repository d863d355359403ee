//! Where the colours of a repository stand, and whether the routes agree. Who serves is the routes' to say: the proxy has
//! them on its own disk, and goes on by them whatever becomes of the deployer. Pure.

use super::made::Made;
use crate::{
    rollout::Generation,
    store::{ColourRecord, ColourStanding, SwitchRecord},
    traffic::control::Status,
};

/// The colours of a repository, as they are recorded.
#[derive(Debug, Clone, Default)]
pub struct Stands {
    /// In whatever standing, at most one of each colour.
    pub all: Vec<ColourRecord>,
    /// The switch as a whole; `None` where nothing was ever switched.
    pub switch: Option<SwitchRecord>,
}

/// The routes of a repository at the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Which deployment set them.
    pub generation: Generation,
    /// Changes within it.
    pub revision: Generation,
    /// The colour that gets requests, and which deployment made it; `None` where no route leads anywhere.
    pub colour: Option<(String, Generation)>,
}

/// How the record and the routes stand to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// They say the same.
    Agree,
    /// The routes have moved, and nobody lived to record it: this colour is live.
    RoutesAreAhead(String),
    /// The proxy knows less than it has confirmed before: its file is lost, or an older one.
    RoutesAreLost,
}

impl Stands {
    /// The one that stands there.
    pub fn at(&self, standing: ColourStanding) -> Option<&ColourRecord> {
        // Of several kept ones the one that was live last.
        self.all.iter().filter(|one| one.standing == standing).max_by_key(|one| one.generation)
    }

    /// The live one.
    pub fn live(&self) -> Option<&ColourRecord> {
        self.at(ColourStanding::Live)
    }

    /// The live one, with what it was made as.
    ///
    /// # Errors
    /// What is recorded of it cannot be read.
    pub fn live_made(&self) -> Result<Option<(ColourRecord, Made)>, String> {
        self.live().map(|live| Made::read(&live.made).map(|made| (live.clone(), made))).transpose()
    }

    /// What runs in place and is on its way out, or was when somebody died.
    pub fn in_place(&self) -> Option<&ColourRecord> {
        self.at(ColourStanding::InPlace)
    }

    /// What comes back in place, where `switch` was taken out and the colours are on their way out.
    pub fn leaving(&self) -> Option<&ColourRecord> {
        self.at(ColourStanding::Leaving)
    }

    /// That of a colour.
    pub fn of(&self, colour: &str) -> Option<&ColourRecord> {
        self.all.iter().find(|one| one.colour == colour)
    }

    /// The next number for the routes, within the present generation.
    pub fn next_revision(&self) -> (Generation, Generation) {
        let switch = self.switch.clone().unwrap_or_default();
        (switch.generation, switch.revision + 1)
    }

    /// Compares with the routes.
    pub fn agree(&self, routed: Option<&Routed>) -> Agreement {
        let confirmed = self.switch.as_ref().map_or((0, 0), |switch| (switch.generation, switch.revision));
        let Some(routed) = routed.filter(|routed| (routed.generation, routed.revision) >= confirmed) else {
            return if confirmed == (0, 0) { Agreement::Agree } else { Agreement::RoutesAreLost };
        };
        match &routed.colour {
            // It gets its own requests over the proxy, until there is a live colour.
            Some((colour, _)) if self.in_place().is_some_and(|one| one.colour == *colour) => Agreement::Agree,
            Some((colour, made)) if self.live().is_none_or(|live| live.colour != *colour) => {
                match self.of(colour).is_some_and(|one| one.generation == *made) {
                    true => Agreement::RoutesAreAhead(colour.clone()),
                    // Of containers that are no more: nothing of it can be taken over.
                    false => Agreement::RoutesAreLost,
                }
            }
            _ => Agreement::Agree,
        }
    }
}

impl Routed {
    /// A repository's routes, from what the proxy says.
    pub fn of(status: &Status, repo: &str) -> Option<Routed> {
        let age = status.repositories.get(repo)?;
        let number = |number: u64| Generation::try_from(number).unwrap_or(Generation::MAX);
        let routes = status.routes.iter().filter(|route| route.repository == repo);
        let served = routes.flat_map(|route| &route.colours).filter(|colour| colour.weight > 0);
        // As long as the one before gets any, the newer one is not live: it has a share, or is looked at.
        let colour =
            served.map(|colour| (colour.name.clone(), number(colour.generation))).min_by_key(|(_, made)| *made);
        Some(Routed { generation: number(age.generation), revision: number(age.revision), colour })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(name: &str, standing: ColourStanding, generation: Generation) -> ColourRecord {
        ColourRecord {
            repo: "shop".to_owned(),
            colour: name.to_owned(),
            project: format!("{name}shop"),
            standing,
            generation,
            deployment: None,
            commit: None,
            since: 0,
            made: String::new(),
        }
    }

    #[test]
    fn the_routes_say_who_is_live() {
        let switch = SwitchRecord { staying: "red".to_owned(), generation: 3, revision: 0 };
        let red = colour("red", ColourStanding::Live, 3);
        let all = vec![red, colour("blue", ColourStanding::Next, 4)];
        let stands = Stands { all, switch: Some(switch) };
        let routed = |generation, revision, colour: Option<(&str, Generation)>| {
            let colour = colour.map(|(name, made)| (name.to_owned(), made));
            Some(Routed { generation, revision, colour })
        };
        for (at_proxy, agreement) in [
            (routed(3, 0, Some(("red", 3))), Agreement::Agree),
            (routed(4, 0, Some(("blue", 4))), Agreement::RoutesAreAhead("blue".to_owned())),
            // An older file was taken, or none was left.
            (routed(2, 5, Some(("blue", 2))), Agreement::RoutesAreLost),
            (None, Agreement::RoutesAreLost),
            // Containers that nobody knows.
            (routed(9, 0, Some(("blue", 9))), Agreement::RoutesAreLost),
            (routed(9, 0, Some(("green", 9))), Agreement::RoutesAreLost),
            (routed(3, 1, None), Agreement::Agree),
        ] {
            assert_eq!(stands.agree(at_proxy.as_ref()), agreement, "{at_proxy:?}");
        }
        assert_eq!(Stands::default().agree(None), Agreement::Agree);
        // What runs in place is not live, whatever the routes say; the colour after it is, as soon as they say so.
        let all = vec![colour("red", ColourStanding::InPlace, 1), colour("blue", ColourStanding::Next, 1)];
        let adopting = Stands { all, switch: Some(SwitchRecord::default()) };
        assert_eq!(adopting.agree(routed(1, 2, Some(("red", 1))).as_ref()), Agreement::Agree);
        let moved = routed(1, 3, Some(("blue", 1)));
        assert_eq!(adopting.agree(moved.as_ref()), Agreement::RoutesAreAhead("blue".to_owned()));
        assert_eq!(stands.next_revision(), (3, 1));
        assert_eq!(stands.live().map(|live| live.colour.as_str()), Some("red"));
    }
}
