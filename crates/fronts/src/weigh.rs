//! How much of the requests a single server gets, so that its colour gets its share whatever the number of its servers. Pure.

/// Parts for each server of a colour, of colours with so much weight and so many servers: exact, as long as none is more than
/// `most`, and else as near as that allows. None is 0.
pub(crate) fn parts(colours: &[(u64, usize)], most: u64) -> Vec<u64> {
    let count = |servers: usize| u64::try_from(servers.max(1)).unwrap_or(u64::MAX);
    let all = colours.iter().fold(1_u64, |all, (_, servers)| all.saturating_mul(count(*servers)));
    let exact: Vec<u64> =
        colours.iter().map(|(weight, servers)| weight.saturating_mul(all / count(*servers)).max(1)).collect();
    let common = exact.iter().copied().fold(0, greatest_common);
    let exact: Vec<u64> = exact.into_iter().map(|part| part / common.max(1)).collect();
    let largest = exact.iter().copied().max().unwrap_or_default();
    if largest <= most {
        return exact;
    }
    exact.into_iter().map(|part| ((part.saturating_mul(most) + largest / 2) / largest).max(1)).collect()
}

fn greatest_common(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_common(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_has_its_share_whatever_the_number_of_its_servers() {
        for (colours, most, expected) in [
            (&[(80, 1), (20, 1)][..], 256, &[4, 1][..]),
            (&[(50, 1), (50, 1)], 256, &[1, 1]),
            (&[(99, 1), (1, 1)], 256, &[99, 1]),
            // Together 198 and 2.
            (&[(99, 3), (1, 2)], 256, &[66, 1]),
            // Together 6,336 and 64.
            (&[(99, 64), (1, 1)], 256, &[99, 64]),
            // 1 % were a two-hundredth: as near as it can be.
            (&[(99, 1), (1, 3)], 100, &[100, 1]),
            (&[(100, 5)], 256, &[1]),
            (&[], 256, &[]),
        ] {
            assert_eq!(parts(colours, most), expected, "{colours:?}");
        }
    }
}
