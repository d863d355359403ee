//! Which colour a request gets. By weights, always the same one while they are the same: raising one colour's weight moves
//! clients to it and none away from it. Pins and previews lead to a named colour, whatever its weight.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use crate::{
    beyond::{Beyond, By, Digest, OWN_COOKIES, PREVIEW_COOKIE, Sticky},
    bounds,
    spot::Network,
    table::{Colour, Route},
};

/// Where a request wants to go: what was found in it, once. The table may change before it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// By the weights: a client of this part of [`bounds::WEIGHTS`].
    Part(u64),
    /// A client of this part that was given a colour before.
    Stays {
        /// That colour's name.
        colour: String,
        /// Of the deployment that made that colour: one of another deployment is not the same.
        generation: u64,
        /// As in [`Wish::Part`].
        part: u64,
    },
    /// To this colour, by a pin or a preview.
    Named {
        /// `red`, `blue`.
        colour: String,
        /// Its generation: one of another deployment has other containers.
        generation: u64,
        /// What the weights count where that colour is no longer there.
        part: u64,
    },
}

impl Wish {
    /// Of a connection that is not understood, by its address.
    pub fn of_address(client: IpAddr) -> Wish {
        Wish::Part(part(client))
    }

    /// The value of the cookie that keeps a client at a colour. None: it needs none, or has it already.
    pub fn to_keep(&self, colour: &Colour) -> Option<String> {
        let Colour { name, generation, .. } = colour;
        match self {
            Wish::Named { .. } => None,
            Wish::Stays { colour, generation: known, .. } if (colour, known) == (name, generation) => None,
            Wish::Part(part) | Wish::Stays { part, .. } => Some(format!("{name}.{generation}.{part}")),
        }
    }

    fn part(&self) -> u64 {
        match self {
            Wish::Part(part) | Wish::Stays { part, .. } | Wish::Named { part, .. } => *part,
        }
    }
}

/// The name of the cookie that keeps a client at its colour. One for each repository: all its routes switch together, and a
/// browser sends the cookies of a host to all of its ports.
pub fn stay_cookie(repository: &str) -> String {
    let digest = hex::encode(Sha256::digest(repository.as_bytes()));
    format!("{OWN_COOKIES}{}", digest.get(..8).unwrap_or_default())
}

/// Whether a cookie is turnout-proxy's own, and no container's.
pub fn is_own_cookie(name: &[u8]) -> bool {
    let digits = |rest: &[u8]| rest.len() == 8 && rest.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    name == PREVIEW_COOKIE.as_bytes() || name.strip_prefix(OWN_COOKIES.as_bytes()).is_some_and(digits)
}

/// The cookies of a `Cookie` header's value: names and values.
pub fn cookies(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    value.split(|byte| *byte == b';').filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|byte| *byte == b'=')?;
        Some((pair.get(..at)?, pair.get(at + 1..)?))
    })
}

/// Who asks, and what a request says: its headers, with names in letters of either case.
#[derive(Debug)]
pub struct Asks<'a, H> {
    /// The client's address, as the route's trusted proxies tell it.
    pub client: IpAddr,
    /// It is believed what it says of who asked.
    pub trusted: bool,
    /// Names and values.
    pub headers: H,
    /// Name of the cookie by which this route's clients stay; see [`stay_cookie`].
    pub stay_cookie: &'a str,
}

impl Route {
    /// Where a request wants to go. `draw`: a number for a client that is new here, any number.
    pub fn wish<'h, H>(&self, asks: &Asks<'_, H>, draw: impl FnOnce() -> u64) -> Wish
    where
        H: Iterator<Item = (&'h [u8], &'h [u8])> + Clone,
    {
        let Asks { client, trusted, headers, stay_cookie } = asks;
        let Beyond { sticky, pins, preview, .. } = &self.beyond;
        let split = self.is_split();
        if !split && pins.is_empty() && preview.is_none() {
            return Wish::of_address(*client);
        }
        let named = |name: &[u8], wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        let lines = headers.clone().filter(|(name, _)| named(name, "cookie"));
        let all_cookies = lines.flat_map(|(_, value)| cookies(value));
        let of_cookie = |wanted: &str| {
            let wanted = wanted.as_bytes().to_vec();
            all_cookies.clone().filter(move |(name, _)| *name == wanted).map(|(_, value)| value)
        };
        let stays = || of_cookie(stay_cookie).find_map(|value| self.kept(value));
        let wish = match sticky {
            Sticky::Cookie if split => stays().unwrap_or_else(|| Wish::Part(draw() % bounds::WEIGHTS)),
            Sticky::Address if split && *trusted => {
                let told = headers.clone().filter(|(name, _)| named(name, "x-forwarded-for"));
                Wish::of_address(told_address(told.map(|(_, value)| value), &self.trusted).unwrap_or(*client))
            }
            _ => Wish::of_address(*client),
        };
        let fits = |secret: &[u8], digest: &Digest| secret.len() <= bounds::SECRET && Digest::of(secret) == *digest;
        let previewed = preview
            .as_ref()
            .filter(|preview| of_cookie(PREVIEW_COOKIE).any(|secret| fits(secret, &preview.sha256)))
            .map(|preview| preview.colour.as_str());
        let pinned = || {
            let pin = pins.iter().find(|pin| match &pin.by {
                By::Header(header) => {
                    headers.clone().any(|(name, value)| named(name, header) && value == pin.value.as_bytes())
                }
                By::Cookie(name) => of_cookie(name).any(|value| value == pin.value.as_bytes()),
            })?;
            Some(pin.colour.as_str())
        };
        let colour = previewed.or_else(pinned).and_then(|name| self.colour_named(name));
        match colour.and_then(|at| self.colours.get(at)) {
            Some(Colour { name, generation, .. }) => {
                Wish::Named { colour: name.clone(), generation: *generation, part: wish.part() }
            }
            None => wish,
        }
    }

    /// The place in `colours` of a request's colour. None only where weights are not what the reader checked.
    pub fn colour_for(&self, wish: &Wish) -> Option<usize> {
        let place = |name: &str, generation: u64| {
            self.colours.iter().position(|colour| (colour.name.as_str(), colour.generation) == (name, generation))
        };
        let by_weight = || self.colour_of_part(wish.part());
        match wish {
            Wish::Part(_) => by_weight(),
            Wish::Named { colour, generation, .. } => place(colour, *generation).or_else(by_weight),
            Wish::Stays { colour, generation, .. } => {
                let stays = place(colour, *generation).filter(|at| self.weight(*at) > 0);
                // It moves on to a newer colour when its part is that one's, and never back.
                let moves =
                    by_weight().filter(|at| self.colours.get(*at).is_some_and(|to| to.generation > *generation));
                moves.or(stays).or_else(by_weight)
            }
        }
    }

    /// The place of the colour of that name.
    pub fn colour_named(&self, name: &str) -> Option<usize> {
        self.colours.iter().position(|colour| colour.name == name)
    }

    /// Whether several colours get clients.
    pub fn is_split(&self) -> bool {
        self.colours.iter().filter(|colour| colour.weight > 0).count() > 1
    }

    fn weight(&self, at: usize) -> u64 {
        self.colours.get(at).map_or(0, |colour| colour.weight)
    }

    fn colour_of_part(&self, part: u64) -> Option<usize> {
        let mut reached = 0;
        self.colours.iter().position(|Colour { weight, .. }| {
            reached += weight;
            part < reached
        })
    }

    /// What a cookie's value says, if it is of a colour that gets clients: who writes one reaches no other.
    fn kept(&self, value: &[u8]) -> Option<Wish> {
        let text = std::str::from_utf8(value).ok()?;
        let (rest, part) = text.rsplit_once('.')?;
        let (colour, generation) = rest.rsplit_once('.')?;
        let whole = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
        let (generation, part) = (whole(generation)?, whole(part).filter(|part| *part < bounds::WEIGHTS)?);
        let served = |of: &Colour| of.name == colour && of.generation == generation && of.weight > 0;
        let known = self.colours.iter().any(served);
        known.then(|| Wish::Stays { colour: colour.to_owned(), generation, part })
    }
}

/// The last address of a list that is not one of those that are believed.
fn told_address<'v>(lists: impl Iterator<Item = &'v [u8]>, trusted: &[Network]) -> Option<IpAddr> {
    let words = lists.flat_map(|list| list.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut told = None;
    for word in words.filter(|word| !word.is_empty()) {
        match std::str::from_utf8(word).ok().and_then(|word| word.parse::<IpAddr>().ok()) {
            Some(address) if trusted.iter().any(|network| network.has(address)) => {}
            // What is no address breaks the chain: nothing before it is believed.
            address => told = address,
        }
    }
    told
}

/// A client's part of [`bounds::WEIGHTS`]: the same on every start and every machine. Of an IPv6 address only the network
/// counts: its other half changes from day to day.
fn part(client: IpAddr) -> u64 {
    let octets = match client.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
    };
    // The mixing steps of SplitMix64: neighbours are to be far apart.
    let mut mixed = octets.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % bounds::WEIGHTS
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{
        beyond::{Pin, Preview},
        table::Protocol,
    };

    fn route(weights: [u64; 2]) -> Route {
        let colours = [("red", weights[0]), ("blue", weights[1])].map(|(name, weight)| Colour {
            name: name.to_owned(),
            generation: 1,
            weight,
            targets: vec![([127, 0, 0, 1], 1).into()],
        });
        Route::new(([127, 0, 0, 1], 80).into(), Protocol::Tcp, colours.into())
    }

    fn clients() -> impl Iterator<Item = IpAddr> {
        (0..10_000).map(|number| Ipv4Addr::from_bits(0x0a00_0000 + number).into())
    }

    #[test]
    fn shares_are_those_of_the_weights() {
        for (weights, expected) in [([100, 0], 0), ([95, 5], 500), ([75, 25], 2_500), ([0, 100], 10_000)] {
            let route = route(weights);
            let blue = clients().filter(|client| route.colour_for(&Wish::of_address(*client)) == Some(1)).count();
            assert!(blue.abs_diff(expected) <= expected / 10, "{weights:?}: {blue} of 10000");
        }
    }

    #[test]
    fn who_was_moved_stays_while_the_weight_rises() {
        let steps = [[95, 5], [75, 25], [50, 50], [0, 100]].map(route);
        for client in clients() {
            let moved: Vec<_> = steps.iter().map(|route| route.colour_for(&Wish::of_address(client))).collect();
            assert!(moved.is_sorted(), "{client}: {moved:?}");
        }
    }

    #[test]
    fn a_client_is_known_in_every_form_of_its_address() {
        let parts = |texts: [&str; 2]| texts.map(|text| part(text.parse().unwrap()));
        let [plain, mapped] = parts(["192.0.2.7", "::ffff:192.0.2.7"]);
        assert_eq!(plain, mapped);
        let [today, tomorrow] = parts(["2001:db8:1:2:aaaa::1", "2001:db8:1:2:bbbb::9"]);
        assert_eq!(today, tomorrow);
    }

    /// Red of generation 1 and blue of generation 2, with these weights.
    fn split(weights: [u64; 2], beyond: Beyond) -> Route {
        let mut route = Route { beyond, ..route(weights) };
        route.protocol = Protocol::Http;
        route.colours[1].generation = 2;
        route
    }

    fn wish_of(route: &Route, trusted: bool, headers: &[(&str, &str)]) -> Wish {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        route.wish(&Asks { client, trusted, headers, stay_cookie: "turnout-0123abcd" }, || 107)
    }

    fn stays(colour: &str, generation: u64, part: u64) -> Wish {
        Wish::Stays { colour: colour.to_owned(), generation, part }
    }

    #[test]
    fn a_cookie_keeps_a_client_at_its_colour_and_leads_to_no_other() {
        let cookie = Beyond { sticky: Sticky::Cookie, ..Beyond::default() };
        let route = split([90, 10], cookie.clone());
        for (value, expected) in [
            ("a=b; turnout-0123abcd=red.1.95", stays("red", 1, 95)),
            ("turnout-0123abcd=blue.2.3;c=d", stays("blue", 2, 3)),
            // The first that counts.
            ("turnout-0123abcd=x; turnout-0123abcd=blue.2.3", stays("blue", 2, 3)),
            // Another deployment's, another repository's, and what is none.
            ("turnout-0123abcd=blue.1.3", Wish::Part(7)),
            ("turnout-0123abce=blue.2.3", Wish::Part(7)),
            ("turnout-0123abcd=green.2.3", Wish::Part(7)),
            ("turnout-0123abcd=blue.2.100", Wish::Part(7)),
            ("turnout-0123abcd=blue.2.+3", Wish::Part(7)),
            ("turnout-0123abcd=blue.2.", Wish::Part(7)),
            ("turnout-0123abcd", Wish::Part(7)),
            ("", Wish::Part(7)),
        ] {
            assert_eq!(wish_of(&route, false, &[("Cookie", value)]), expected, "{value}");
        }
        // No weight: not to be reached by writing a cookie.
        let route = split([0, 100], cookie.clone());
        assert!(!matches!(wish_of(&route, false, &[("cookie", "turnout-0123abcd=red.1.3")]), Wish::Stays { .. }));
        for (weights, wish, expected) in [
            ([90, 10], stays("red", 1, 85), 0),
            // The weight has come to its part.
            ([80, 20], stays("red", 1, 85), 1),
            ([80, 20], stays("red", 1, 75), 0),
            // Never back, but where its colour gets nobody any more.
            ([95, 5], stays("blue", 2, 92), 1),
            ([100, 0], stays("blue", 2, 92), 0),
            ([0, 100], stays("red", 1, 3), 1),
        ] {
            assert_eq!(split(weights, cookie.clone()).colour_for(&wish), Some(expected), "{weights:?} {wish:?}");
        }
        let [red, blue] = [0, 1].map(|at| route.colours[at].clone());
        assert_eq!(Wish::Part(7).to_keep(&blue).as_deref(), Some("blue.2.7"));
        assert_eq!(stays("blue", 2, 7).to_keep(&blue), None);
        assert_eq!(stays("red", 1, 7).to_keep(&blue).as_deref(), Some("blue.2.7"));
        let named = Wish::Named { colour: "blue".to_owned(), generation: 2, part: 7 };
        assert_eq!((named.to_keep(&blue), named.to_keep(&red)), (None, None));
    }

    #[test]
    fn pins_and_previews_lead_to_their_colour_whatever_its_weight() {
        let pin = |by, value: &str| Pin { by, value: value.to_owned(), colour: "blue".to_owned() };
        let beyond = Beyond {
            pins: vec![pin(By::Header("X-Canary".to_owned()), "1"), pin(By::Cookie("canary".to_owned()), "yes")],
            preview: Some(Preview { colour: "blue".to_owned(), sha256: Digest::of(b"open sesame") }),
            ..Beyond::default()
        };
        let mut route = split([100, 0], beyond);
        for (headers, expected) in [
            (&[][..], 0),
            (&[("x-canary", "1")], 1),
            (&[("X-CANARY", "2"), ("x-canary", "1")], 1),
            (&[("X-Canary", "11")], 0),
            (&[("Cookie", "canary=yes")], 1),
            (&[("Cookie", "a=b"), ("Cookie", "canary=yes; a=c")], 1),
            (&[("Cookie", "Canary=yes")], 0),
            (&[("Cookie", "canary=no")], 0),
            (&[("Cookie", "turnout-preview=open sesame")], 1),
            (&[("Cookie", "turnout-preview=open sesam")], 0),
            (&[("Cookie", "turnout-preview=")], 0),
            (&[("X-Cookie", "canary=yes")], 0),
        ] {
            let wish = wish_of(&route, false, headers);
            assert_eq!(route.colour_for(&wish), Some(expected), "{headers:?}");
            assert_eq!(matches!(wish, Wish::Named { .. }), expected == 1, "{headers:?}");
        }
        // It waited, and its colour was made anew meanwhile.
        let wish = wish_of(&route, false, &[("x-canary", "1")]);
        route.colours[1].generation = 3;
        assert_eq!(route.colour_for(&wish), Some(0));
    }

    #[test]
    fn a_trusted_sender_says_who_asks() {
        let mut route = split([50, 50], Beyond::default());
        route.trusted = vec![Network::read("10.0.0.0/8").unwrap()];
        let by = |text: &str| Wish::of_address(text.parse().unwrap());
        for (trusted, told, expected) in [
            (true, "203.0.113.5", "203.0.113.5"),
            (true, "198.51.100.9, 203.0.113.5", "203.0.113.5"),
            (true, "203.0.113.5, 10.0.0.7", "203.0.113.5"),
            (true, "203.0.113.5, unknown", "192.0.2.1"),
            (true, "10.0.0.7", "192.0.2.1"),
            (true, "", "192.0.2.1"),
            (false, "203.0.113.5", "192.0.2.1"),
        ] {
            assert_eq!(wish_of(&route, trusted, &[("X-Forwarded-For", told)]), by(expected), "{trusted} {told}");
        }
    }

    #[test]
    fn own_cookies_are_known() {
        let own = stay_cookie("shop");
        assert!(is_own_cookie(own.as_bytes()) && own != stay_cookie("blog"), "{own}");
        assert!(is_own_cookie(b"turnout-preview"));
        for other in
            ["turnout", "turnout-", "turnout-preview2", "turnout-0123ABCD", "turnout-theme", "xturnout-0123abcd"]
        {
            assert!(!is_own_cookie(other.as_bytes()), "{other}");
        }
    }
}
