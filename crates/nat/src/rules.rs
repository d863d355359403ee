//! Rules as `iptables` takes and lists them. Pure.
//!
//! A rule of ours stands before the engine's own, and says so in its comment: `turnout/shop/127.0.0.1:80/20000/0a1b2c3d`, with the
//! repository, both ports, and which daemon of this machine has it set (an earlier version left that out).
//!
//! The kernel translates by the first packet of a connection that it sees. Where nothing on this machine asks it to track connections of
//! IPv6 (the engine's rules do so for IPv4), it begins with our first rule and ends with our last. So only the packet that opens a
//! connection is led ([`OPENS`]): one from the middle of a connection of before would be a first one, too. And a rule that names the
//! state of connections stays until those that were led have ended, for without tracking they would be led no more.

use std::net::SocketAddr;

use crate::message::{Lead, is_daemon, is_name};

/// First part of the comment.
const OURS: &str = "turnout";
/// The packet that opens a connection.
const OPENS: &str = "--syn";
/// The engine's chain of published ports.
pub(crate) const PUBLISHED: &str = "DOCKER";

/// A rule: its table, its chain, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) table: &'static str,
    pub(crate) chain: String,
    pub(crate) spec: Vec<String>,
}

impl Rule {
    /// The arguments that do this with it: `-C` (is it there?), `-I` (before all others), `-D`.
    pub(crate) fn arguments(&self, verb: &str) -> Vec<String> {
        let mut arguments = vec!["-t".to_owned(), self.table.to_owned(), verb.to_owned(), self.chain.clone()];
        arguments.extend(self.spec.iter().cloned());
        arguments
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Whose a rule is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Whose {
    pub(crate) repository: String,
    /// Of several daemons; `None`: an earlier version's.
    pub(crate) daemon: Option<String>,
}

impl Whose {
    /// Whether a daemon has to do with it: it is its own, or nobody's by name.
    pub(crate) fn is_of(&self, daemon: Option<&str>) -> bool {
        self.daemon.is_none() || self.daemon.as_deref() == daemon
    }
}

fn comment(Whose { repository, daemon }: &Whose, lead: Lead) -> String {
    let daemon = daemon.iter().map(|name| format!("/{name}")).collect::<String>();
    format!("{OURS}/{repository}/{}/{}{daemon}", lead.from, lead.to)
}

/// All that leads one listener elsewhere.
pub(crate) fn rules(whose: &Whose, lead: Lead) -> Vec<Rule> {
    let Lead { from, to } = lead;
    let (ip, port) = (from.ip(), from.port());
    let comment = comment(whose, lead);
    let to_whom = match ip.is_unspecified() {
        true => "-m addrtype --dst-type LOCAL".to_owned(),
        false => format!("-d {ip}"),
    };
    let target = match ip.is_unspecified() {
        true => format!("-j REDIRECT --to-ports {to}"),
        false => format!("-j DNAT --to-destination {}", SocketAddr::new(ip, to)),
    };
    let led = words(&format!("-p tcp {OPENS} {to_whom} --dport {port} -m comment --comment {comment} {target}"));
    let nat = |chain: &str| Rule { table: "nat", chain: chain.to_owned(), spec: led.clone() };
    // What this machine asks itself.
    let mut rules = vec![nat("OUTPUT")];
    if !ip.is_loopback() {
        rules.push(nat("PREROUTING"));
    }
    if !ip.is_loopback() || ip.is_ipv6() {
        // What the engine publishes passes by INPUT; what is led to a program of this machine does not. Of IPv6 it has the kernel track
        // connections, too.
        rules.push(Rule {
            table: "filter",
            chain: "INPUT".to_owned(),
            spec: words(&format!(
                "-p tcp --dport {to} -m conntrack --ctstate DNAT --ctorigdstport {port} -m comment --comment {comment} \
                 -j ACCEPT"
            )),
        });
    }
    rules
}

/// The words of a line of a listing (`-S`); quotes go.
fn listed(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect()
}

/// Rules of ours in a listing of a table, with whose and what they are.
pub(crate) fn ours(table: &'static str, listing: &str) -> Vec<(Whose, Lead, Rule)> {
    listing.lines().filter_map(|line| our(table, line)).collect()
}

fn our(table: &'static str, line: &str) -> Option<(Whose, Lead, Rule)> {
    let mut words = listed(line);
    let at = words.iter().position(|word| word == "--comment")?;
    let mut parts = words.get(at + 1)?.splitn(5, '/');
    if parts.next() != Some(OURS) {
        return None;
    }
    let repository = parts.next().filter(|name| is_name(name))?.to_owned();
    let from = parts.next()?.parse().ok()?;
    let to = parts.next()?.parse().ok()?;
    let daemon = match parts.next() {
        None => None,
        Some(name) => Some(name.to_owned()).filter(|name| is_daemon(name)).map(Some)?,
    };
    if words.len() < 2 || words.first().map(String::as_str) != Some("-A") {
        return None;
    }
    let spec = words.split_off(2);
    Some((Whose { repository, daemon }, Lead { from, to }, Rule { table, chain: words.pop()?, spec }))
}

/// Ports that the engine publishes, from a listing of its chain.
pub(crate) fn published(listing: &str) -> Vec<u16> {
    let port = |line: &str| {
        let words = listed(line);
        let translates = words.iter().any(|word| word == "DNAT") && words.iter().any(|word| word == "tcp");
        let at = words.iter().position(|word| word == "--dport").filter(|_| translates)?;
        words.get(at + 1)?.parse().ok()
    };
    listing.lines().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shops(daemon: Option<&str>) -> Whose {
        Whose { repository: "shop".to_owned(), daemon: daemon.map(str::to_owned) }
    }

    fn lead(from: &str, to: u16) -> Lead {
        Lead { from: from.parse().unwrap(), to }
    }

    #[test]
    fn rules_name_turnout_the_repository_and_both_ports() {
        let told = |from: &str| -> Vec<String> {
            rules(&shops(None), lead(from, 20_001)).iter().map(|rule| rule.arguments("-I").join(" ")).collect()
        };
        assert_eq!(
            told("127.0.0.1:80"),
            [
                "-t nat -I OUTPUT -p tcp --syn -d 127.0.0.1 --dport 80 -m comment --comment turnout/shop/127.0.0.1:80/20001 -j DNAT \
              --to-destination 127.0.0.1:20001"
            ]
        );
        let any = "-p tcp --syn -m addrtype --dst-type LOCAL --dport 80 -m comment --comment turnout/shop/0.0.0.0:80/20001 -j REDIRECT \
                   --to-ports 20001";
        assert_eq!(
            told("0.0.0.0:80"),
            [
                format!("-t nat -I OUTPUT {any}"),
                format!("-t nat -I PREROUTING {any}"),
                "-t filter -I INPUT -p tcp --dport 20001 -m conntrack --ctstate DNAT --ctorigdstport 80 -m comment --comment \
                 turnout/shop/0.0.0.0:80/20001 -j ACCEPT"
                    .to_owned(),
            ]
        );
        assert!(told("[::1]:80")[0].ends_with("-j DNAT --to-destination [::1]:20001"));
        assert!(told("[::1]:80")[1].contains("-m conntrack"), "connections of IPv6 are tracked because of it");
        assert_eq!((told("[::1]:80").len(), told("192.0.2.1:80").len()), (2, 3));
    }

    #[test]
    fn what_is_listed_is_found_again_and_others_rules_are_not() {
        let listing = "-P OUTPUT ACCEPT\n-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n\
            -A OUTPUT -d 127.0.0.1/32 -p tcp -m tcp --dport 80 -m comment --comment \"turnout/shop/127.0.0.1:80/20001\" -j DNAT \
            --to-destination 127.0.0.1:20001\n\
            -A OUTPUT -p tcp -m comment --comment \"turnout is mine\" -j ACCEPT\n\
            -A OUTPUT -p tcp -m comment --comment turnout/../127.0.0.1:80/20001 -j ACCEPT\n\
            -A INPUT -m comment --comment other/shop/127.0.0.1:80/20001 -j ACCEPT\n";
        let found = ours("nat", listing);
        assert_eq!(found.len(), 1, "{found:?}");
        let (whose, found, rule) = &found[0];
        assert_eq!((whose, *found), (&shops(None), lead("127.0.0.1:80", 20_001)));
        assert_eq!(
            rule.arguments("-D").join(" "),
            "-t nat -D OUTPUT -d 127.0.0.1/32 -p tcp -m tcp --dport 80 -m comment --comment turnout/shop/127.0.0.1:80/20001 -j DNAT \
             --to-destination 127.0.0.1:20001"
        );
    }

    #[test]
    fn rules_of_another_daemon_are_told_from_ones_own_and_from_those_of_before() {
        let of = |daemon: Option<&str>| {
            let rule = &rules(&shops(daemon), lead("127.0.0.1:80", 20_001))[0];
            let line = rule.arguments("-A").split_off(2).join(" ");
            let (whose, found, _) = ours("nat", &line).remove(0);
            assert_eq!((&whose, found), (&shops(daemon), lead("127.0.0.1:80", 20_001)), "{line}");
            whose.is_of(Some("0a1b2c3d"))
        };
        assert!(of(Some("0a1b2c3d")) && of(None));
        assert!(!of(Some("00000000")));
        let odd = "-A OUTPUT -m comment --comment turnout/shop/127.0.0.1:80/20001/a-b -j ACCEPT";
        assert_eq!(ours("nat", odd).len(), 0);
    }

    #[test]
    fn the_engines_chain_says_what_is_published() {
        let listing = "-N DOCKER\n-A DOCKER -i docker0 -j RETURN\n\
            -A DOCKER -d 127.0.0.1/32 ! -i br-1 -p tcp -m tcp --dport 8765 -j DNAT --to-destination 172.18.0.2:8000\n\
            -A DOCKER ! -i br-1 -p udp -m udp --dport 53 -j DNAT --to-destination 172.18.0.2:53\n";
        assert_eq!(published(listing), [8_765]);
    }
}
