//! The kernel's list of tracked connections (`/proc/net/nf_conntrack`). Pure.

use std::net::IpAddr;

use crate::{
    listens,
    message::{Lead, Open},
};

/// Connections that are open to these listeners: those that reach the engine's container or its port helper, and those that a
/// rule led.
pub(crate) fn open(listing: &str, leads: &[Lead]) -> Open {
    let mut open = Open::default();
    for line in listing.lines() {
        match one(line, leads) {
            Some(true) => open.led += 1,
            Some(false) => open.direct += 1,
            None => {}
        }
    }
    open
}

impl Open {
    /// With connections of IPv6 that the kernel did not track, for nothing asked it to: those of programs of this machine. `sockets`: its
    /// list of them.
    pub(crate) fn with_untracked(mut self, tracked: &str, sockets: &str, leads: &[Lead]) -> Open {
        for lead in leads.iter().filter(|lead| lead.from.is_ipv6()) {
            let there = listens::established(sockets).filter(|on| is_to(*lead, on.ip(), on.port())).count() as u64;
            self.direct += there.saturating_sub(open(tracked, &[*lead]).direct);
        }
        self
    }
}

/// Whether it is to a listener.
fn is_to(lead: Lead, ip: IpAddr, port: u16) -> bool {
    let same = lead.from.ip().is_unspecified() && lead.from.is_ipv4() == ip.is_ipv4() || lead.from.ip() == ip;
    same && lead.from.port() == port
}

/// Whether a connection to one of the listeners was led; `None`: it is none of them, or over.
fn one(line: &str, leads: &[Lead]) -> Option<bool> {
    let mut words = line.split_whitespace();
    words.by_ref().find(|word| *word == "tcp")?;
    words.by_ref().find(|word| *word == "ESTABLISHED")?;
    // Twice each: what was asked for, and how it is answered.
    let (mut dst, mut dport, mut answers) = (None, None, None);
    for word in words {
        match word.split_once('=') {
            Some(("dst", value)) if dst.is_none() => dst = value.parse::<IpAddr>().ok(),
            Some(("dport", value)) if dport.is_none() => dport = value.parse::<u16>().ok(),
            Some(("sport", value)) if dport.is_some() && answers.is_none() => answers = value.parse::<u16>().ok(),
            _ => {}
        }
    }
    let (dst, dport, answers) = (dst?, dport?, answers?);
    let of = leads.iter().find(|lead| is_to(**lead, dst, dport))?;
    Some(of.to == answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_before_the_rule_are_told_from_those_that_it_led() {
        let lead = |from: &str| Lead { from: from.parse().unwrap(), to: 20_001 };
        let listing = "\
ipv4     2 tcp      6 431999 ESTABLISHED src=127.0.0.1 dst=127.0.0.1 sport=50000 dport=80 src=127.0.0.1 dst=127.0.0.1 sport=80 dport=50000 [ASSURED] mark=0 use=1
ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.9 dst=192.0.2.1 sport=50001 dport=80 src=172.18.0.2 dst=192.0.2.9 sport=8000 dport=50001 [ASSURED] mark=0 use=1
ipv4     2 tcp      6 431999 ESTABLISHED src=127.0.0.1 dst=127.0.0.1 sport=50002 dport=80 src=127.0.0.1 dst=127.0.0.1 sport=20001 dport=50002 [ASSURED] mark=0 use=1
ipv4     2 tcp      6 100 TIME_WAIT src=127.0.0.1 dst=127.0.0.1 sport=50003 dport=80 src=127.0.0.1 dst=127.0.0.1 sport=80 dport=50003 [ASSURED] mark=0 use=1
ipv4     2 tcp      6 431999 ESTABLISHED src=127.0.0.1 dst=127.0.0.1 sport=50004 dport=81 src=127.0.0.1 dst=127.0.0.1 sport=81 dport=50004 [ASSURED] mark=0 use=1
ipv6     10 tcp      6 431999 ESTABLISHED src=0000:0000:0000:0000:0000:0000:0000:0001 dst=0000:0000:0000:0000:0000:0000:0000:0001 sport=50005 dport=80 src=::1 dst=::1 sport=80 dport=50005
ipv4     2 udp      17 30 src=127.0.0.1 dst=127.0.0.1 sport=50006 dport=80 src=127.0.0.1 dst=127.0.0.1 sport=80 dport=50006
";
        assert_eq!(open(listing, &[lead("127.0.0.1:80")]), Open { direct: 1, led: 1 });
        assert_eq!(open(listing, &[lead("0.0.0.0:80")]), Open { direct: 2, led: 1 });
        assert_eq!(open(listing, &[lead("[::]:80")]), Open { direct: 1, led: 0 });
        assert_eq!(open(listing, &[lead("127.0.0.1:82")]), Open::default());
    }

    #[test]
    fn connections_of_ipv6_that_were_not_tracked_are_counted_by_their_sockets() {
        let lead = |from: &str| Lead { from: from.parse().unwrap(), to: 20_001 };
        let line = |ip: &str, port: &str, state: &str| format!("0: {ip}:{port} {ip}:C350 {state} 0:0 0:0 0 0 0 7 1\n");
        let (own, any) = ("00000000000000000000000001000000", "00000000000000000000000000000000");
        let v4 = "0000000000000000FFFF00000100007F";
        let sockets = [
            line(own, "0050", "01"),
            line(own, "0050", "01"),
            // A listener, one that is closed, another port, IPv4 at a listener of both.
            line(any, "0050", "0A"),
            line(own, "0050", "06"),
            line(own, "0051", "01"),
            line(v4, "0050", "01"),
        ]
        .concat();
        let tracked =
            "ipv6 10 tcp 6 299 ESTABLISHED src=::1 dst=::1 sport=50005 dport=80 src=::1 dst=::1 sport=80 dport=50005";
        let direct = |tracked: &str, from: &str| {
            open(tracked, &[lead(from)]).with_untracked(tracked, &sockets, &[lead(from)]).direct
        };
        assert_eq!((direct("", "[::1]:80"), direct("", "[::]:80")), (2, 2));
        assert_eq!(direct(tracked, "[::1]:80"), 2, "each once");
        assert_eq!((direct("", "127.0.0.1:80"), direct("", "[::1]:82")), (0, 0));
    }
}
