//! Which colour a client gets: always the same one, while the weights are the same. Raising one colour's weight moves
//! clients to it and none away from it.

use std::net::IpAddr;

use crate::{
    bounds,
    table::{Colour, Route},
};

impl Route {
    /// The place in `colours` of a client's colour. None only where weights are not what the reader checked.
    pub fn colour_for(&self, client: IpAddr) -> Option<usize> {
        let part = part(client);
        let mut reached = 0;
        self.colours.iter().position(|Colour { weight, .. }| {
            reached += weight;
            part < reached
        })
    }
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
    use crate::table::Protocol;

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
            let blue = clients().filter(|client| route.colour_for(*client) == Some(1)).count();
            assert!(blue.abs_diff(expected) <= expected / 10, "{weights:?}: {blue} of 10000");
        }
    }

    #[test]
    fn who_was_moved_stays_while_the_weight_rises() {
        let steps = [[95, 5], [75, 25], [50, 50], [0, 100]].map(route);
        for client in clients() {
            let moved: Vec<_> = steps.iter().map(|route| route.colour_for(client)).collect();
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
}
