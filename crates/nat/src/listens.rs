//! The kernel's lists of sockets (`/proc/net/tcp`, `/proc/net/tcp6`): who listens where, and what is connected. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::message::Lead;

/// The state of a socket that listens.
const LISTENS: &str = "0A";
/// Of one that is connected.
const CONNECTED: &str = "01";

/// Addresses that are listened on, each with the user whose program does.
pub(crate) fn listening(listing: &str) -> Vec<(SocketAddr, u32)> {
    listing.lines().filter_map(|line| one(line, LISTENS)).collect()
}

/// Addresses at which connections end here.
pub(crate) fn established(listing: &str) -> impl Iterator<Item = SocketAddr> {
    listing
        .lines()
        .filter_map(|line| one(line, CONNECTED))
        .map(|(on, _)| SocketAddr::new(on.ip().to_canonical(), on.port()))
}

fn one(line: &str, wanted: &str) -> Option<(SocketAddr, u32)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, user, ..] = words.as_slice() else { return None };
    if *state != wanted {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some((SocketAddr::new(address_of(address)?, u16::from_str_radix(port, 16).ok()?), user.parse().ok()?))
}

/// Words of 32 bits, each as this machine has it in memory.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at * 8)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Whether one user's program listens both where connections are led from and where they are led to: what is that program's
/// stays that program's. `also_root`: whoever asks could lead those of root's programs by himself.
pub(crate) fn stays_with_one(listening: &[(SocketAddr, u32)], lead: Lead, also_root: bool) -> bool {
    let to = SocketAddr::new(lead.from.ip(), lead.to);
    let users = |address: SocketAddr| listening.iter().filter(move |(on, _)| *on == address).map(|(_, user)| *user);
    users(lead.from).any(|user| (also_root || user != 0) && users(to).any(|other| other == user))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   991        0 1 1 0 100 0 0 10 0
   1: 0100007F:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000   991        0 2 1 0 100 0 0 10 0
   2: 0100007F:4E22 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 100 0 0 10 0
   3: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4 1 0 100 0 0 10 0
   4: 00000000:4E23 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 1 0 100 0 0 10 0
   5: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     7        0 6 1 0 100 0 0 10 0
   6: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 991 0 7 1
";

    #[test]
    #[cfg(target_endian = "little")]
    fn listeners_are_told_from_connections_with_whose_they_are() {
        let found: Vec<String> = listening(LISTING).iter().map(|(on, user)| format!("{on} {user}")).collect();
        assert_eq!(
            found,
            [
                "127.0.0.1:8080 991",
                "127.0.0.1:20001 991",
                "127.0.0.1:20002 1000",
                "0.0.0.0:22 0",
                "0.0.0.0:20003 0",
                "[::1]:80 991"
            ]
        );
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn what_is_one_programs_is_led_to_that_program_alone() {
        let all = listening(LISTING);
        let stays =
            |from: &str, to, also_root| stays_with_one(&all, Lead { from: from.parse().unwrap(), to }, also_root);
        assert!(stays("127.0.0.1:8080", 20_001, false));
        for (from, to) in [
            // Another user's, nobody's, another address, root's.
            ("127.0.0.1:8080", 20_002),
            ("127.0.0.1:8080", 20_009),
            ("127.0.0.1:8081", 20_001),
            ("0.0.0.0:8080", 20_001),
            ("0.0.0.0:22", 20_003),
        ] {
            assert!(!stays(from, to, false), "{from} {to}");
        }
        assert!(stays("0.0.0.0:22", 20_003, true), "who asks is root");
    }
}
