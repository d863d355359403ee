//! HAProxy's servers, as its runtime socket shows them, and what has to be said to it so that they are as wanted. Pure.

use std::collections::BTreeMap;

use turnout_traffic::{Colour, bounds};

use crate::wanted::{Led, LedColour, Stands, Wanted};

/// Bits of `srv_admin_state` that take a server out of service: forced, inherited, by its address, by its host.
const MAINTENANCE: u32 = 0x01 | 0x02 | 0x20 | 0x40;
/// Bits that let it finish, and take nothing new.
const DRAINING: u32 = 0x08 | 0x10;
/// The largest weight of a server.
const WEIGHTS: u64 = 256;

/// One server of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) port: String,
    admin: u32,
    weight: u64,
    usual_weight: u64,
    /// Gets requests where no other does: it is nobody's colour, and is left as it is.
    pub(crate) backup: bool,
    /// Sessions that it has.
    pub(crate) open: u64,
}

impl Server {
    /// Whether it is to get requests, whatever its checks say.
    fn serves(&self) -> bool {
        self.admin & (MAINTENANCE | DRAINING) == 0
    }
}

/// A backend's servers, from `show servers state` and `show stat`. `None`: there is no such backend.
pub(crate) fn servers(state: &str, stat: &str, backend: &str) -> Option<Vec<Server>> {
    let columns: Vec<&str> = state.lines().find_map(|line| line.strip_prefix("# be_id"))?.split_whitespace().collect();
    // The name of the first column was the mark.
    let column = |name: &str| columns.iter().position(|column| *column == name).map(|at| at + 1);
    let stats = stats(stat);
    let server = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let field = |name: &str| column(name).and_then(|at| fields.get(at).copied());
        if line.starts_with('#') || field("be_name")? != backend {
            return None;
        }
        let name = field("srv_name")?.to_owned();
        let (backup, open) = stats.get(&(backend, name.as_str())).copied().unwrap_or_default();
        let number = |name: &str| field(name).and_then(|text| text.parse::<u64>().ok());
        Some(Server {
            address: field("srv_addr")?.to_owned(),
            port: field("srv_port")?.to_owned(),
            admin: u32::try_from(number("srv_admin_state")?).ok()?,
            weight: number("srv_uweight")?,
            usual_weight: number("srv_iweight")?,
            backup,
            open,
            name,
        })
    };
    Some(state.lines().filter_map(server).collect())
}

/// Of each backend and server: whether it is a backup, and how many sessions it has.
fn stats(text: &str) -> BTreeMap<(&str, &str), (bool, u64)> {
    let columns: Vec<&str> =
        text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default().split(',').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let (Some(backend), Some(server), Some(open), Some(backup)) =
        (column("pxname"), column("svname"), column("scur"), column("bck"))
    else {
        return BTreeMap::new();
    };
    let row = |line| {
        let fields: Vec<&str> = str::split(line, ',').collect();
        let open = fields.get(open)?.parse().ok()?;
        Some(((*fields.get(backend)?, *fields.get(server)?), (fields.get(backup) == Some(&"1"), open)))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
}

/// The server of a colour for the target of that number, from 0: `red`, `red2`, `red3`.
fn slot(colour: &str, number: usize) -> String {
    if number == 0 { colour.to_owned() } else { format!("{colour}{}", number + 1) }
}

/// Whether a server is one of a colour's.
pub(crate) fn is_slot(server: &str, colour: &str) -> bool {
    server.strip_prefix(colour).is_some_and(|rest| rest.is_empty() || rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What the stick table remembers of a repository: two numbers a key.
pub(crate) type Remembered = BTreeMap<String, (u64, u64)>;

/// Reads `show table`. `None`: there is no such table.
pub(crate) fn remembered(text: &str) -> Option<Remembered> {
    text.lines().find(|line| line.starts_with("# table:"))?;
    let row = |line: &str| {
        let of = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        Some((of("key")?.to_owned(), (of("gpt0")?.parse().ok()?, of("gpc0")?.parse().ok()?)))
    };
    Some(text.lines().filter_map(row).collect())
}

/// Another repository that a backend is led for.
pub(crate) fn taken_by<'r>(remembered: &'r Remembered, backend: &str, repository: &str) -> Option<&'r str> {
    let others = remembered.keys().filter_map(|key| key.rsplit_once('@')).filter(|(of, _)| *of != repository);
    others.into_iter().find(|(_, at)| *at == backend).map(|(of, _)| of)
}

/// What a repository's backends and the table say of it.
pub(crate) fn stands(repository: &str, backends: &[(String, Vec<Server>)], remembered: &Remembered) -> Stands {
    let Some((generation, revision)) = remembered.get(repository).copied() else { return Stands::Unknown };
    let otherwise = |why| Stands::Otherwise { why, at: (generation, revision) };
    let below = format!("{repository}/");
    let colours: Vec<LedColour> = remembered
        .iter()
        .filter_map(|(key, (made, weight))| {
            let name = key.strip_prefix(&below)?.to_owned();
            Some(LedColour { name, generation: *made, weight: *weight })
        })
        .collect();
    for (backend, servers) in backends {
        for server in servers.iter().filter(|server| !server.backup) {
            let led = colours.iter().any(|colour| colour.weight > 0 && is_slot(&server.name, &colour.name));
            if server.serves() && !led {
                return otherwise(format!("the server {backend}/{} gets requests too", server.name));
            }
        }
        for colour in colours.iter().filter(|colour| colour.weight > 0) {
            let serves = |server: &Server| server.serves() && is_slot(&server.name, &colour.name);
            if !servers.iter().any(serves) {
                return otherwise(format!("no server {} of {backend} gets requests", colour.name));
            }
        }
    }
    Stands::Leads(Led { generation, revision, colours })
}

/// What is not there and must be written into HAProxy's configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A server of a backend.
    Server(String, String),
}

/// What is said so that all is as wanted: new ones in, the record, old ones out. Nothing, where it is so already.
pub(crate) fn moves(
    repository: &str,
    table: &str,
    wanted: &Wanted,
    backends: &[(String, Vec<Server>)],
    known: &Remembered,
) -> Result<Vec<String>, Missing> {
    let (mut into, mut out) = (Vec::new(), Vec::new());
    let led = wanted.led();
    for (backend, servers) in backends {
        let colours = wanted.places.iter().filter(|place| place.name == *backend).flat_map(|place| &place.colours);
        let mut kept = Vec::new();
        for Colour { name, weight, targets, .. } in colours.filter(|colour| colour.weight > 0) {
            for (number, target) in targets.iter().enumerate() {
                let slot = slot(name, number);
                let Some(server) = servers.iter().find(|server| server.name == slot) else {
                    return Err(Missing::Server(backend.clone(), slot));
                };
                let server_name = format!("{backend}/{slot}");
                let (address, port) = (target.ip().to_string(), target.port().to_string());
                if (&server.address, &server.port) != (&address, &port) {
                    into.push(format!("set server {server_name} addr {address} port {port}"));
                }
                match led.colours.len() {
                    // The usual one: a backend whose way to choose knows no weights takes no other.
                    0 | 1 if server.weight != server.usual_weight => {
                        into.push(format!("set server {server_name} weight 100%"));
                    }
                    0 | 1 => {}
                    _ => {
                        let count = u64::try_from(targets.len().max(1)).unwrap_or(1);
                        let share = (weight * WEIGHTS / bounds::WEIGHTS / count).clamp(1, WEIGHTS);
                        if server.weight != share {
                            into.push(format!("set server {server_name} weight {share}"));
                        }
                    }
                }
                if !server.serves() {
                    into.push(format!("set server {server_name} state ready"));
                }
                kept.push(slot);
            }
        }
        // Not `drain`: clients that a cookie leads to a server would stay with it. What is in flight ends well all the same.
        let others =
            servers.iter().filter(|server| !server.backup && !kept.contains(&server.name) && server.admin & 1 == 0);
        out.extend(others.map(|server| format!("set server {backend}/{} state maint", server.name)));
    }
    let mut record = BTreeMap::from([(repository.to_owned(), (led.generation, led.revision))]);
    record.extend(
        led.colours.iter().map(|colour| (format!("{repository}/{}", colour.name), (colour.generation, colour.weight))),
    );
    record.extend(backends.iter().map(|(backend, _)| (format!("{repository}@{backend}"), (1, 0))));
    for (key, (one, two)) in &record {
        if known.get(key) != Some(&(*one, *two)) {
            into.push(format!("set table {table} key {key} data.gpt0 {one} data.gpc0 {two}"));
        }
    }
    let below = format!("{repository}/");
    let gone = known.keys().filter(|key| key.starts_with(&below) && !record.contains_key(*key));
    into.extend(gone.map(|key| format!("clear table {table} key {key}")));
    into.extend(out);
    Ok(into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wanted::Place;

    // HAProxy 2.6.12's own words, with the columns behind those that count left out.
    const STATE: &str = "1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_fqdn srv_port
4 shop 1 red 127.0.0.1 2 4 1 1 - 18001
4 shop 2 blue 127.0.0.1 0 5 1 1 - 1
4 shop 3 old 127.0.0.1 2 0 1 1 - 18999
4 shop 4 sorry 127.0.0.1 2 0 1 1 - 18998
";
    const STAT: &str = "# pxname,svname,qcur,qmax,scur,bck
shop,red,0,0,3,0
shop,sorry,0,0,0,1
";
    const TABLE: &str = "# table: turnout, type: string, size:1024, used:2
0x5602: key=shop use=0 exp=0 gpt0=7 gpc0=0
0x5603: key=shop/red use=0 exp=0 gpt0=6 gpc0=100
0x5604: key=shop-two/red use=0 exp=0 gpt0=1 gpc0=100
";

    fn backends() -> Vec<(String, Vec<Server>)> {
        vec![("shop".to_owned(), servers(STATE, STAT, "shop").unwrap())]
    }

    fn wanted(generation: u64, colours: &[(&str, u64, u16)]) -> Wanted {
        let colour = |(name, weight, port): &(&str, u64, u16)| Colour {
            name: (*name).to_owned(),
            generation,
            weight: *weight,
            targets: vec![([127, 0, 0, 1], *port).into()],
        };
        let place = Place { name: "shop".to_owned(), colours: colours.iter().map(colour).collect() };
        Wanted { generation, revision: 0, places: vec![place] }
    }

    #[test]
    fn what_it_says_is_understood() {
        let all = backends();
        let red = &all[0].1[0];
        assert_eq!((red.port.as_str(), red.serves(), red.open, red.backup), ("18001", true, 3, false));
        assert!(!all[0].1[1].serves() && all[0].1[3].backup);
        assert_eq!(servers("Can't find backend.\n", STAT, "shop"), None);
        assert_eq!(remembered("No such table\n"), None);
        assert_eq!(remembered(TABLE).unwrap()["shop/red"], (6, 100));
        assert!(is_slot("red", "red") && is_slot("red2", "red") && !is_slot("redder", "red"));
    }

    #[test]
    fn who_gets_requests_is_what_servers_and_record_agree_on() {
        let known = remembered(TABLE).unwrap();
        let mut all = backends();
        assert!(
            matches!(stands("shop", &all, &known), Stands::Otherwise { why, at: (7, 0) } if why.contains("shop/old"))
        );
        all[0].1.retain(|server| server.name != "old");
        let Stands::Leads(led) = stands("shop", &all, &known) else { panic!("it leads to red") };
        assert_eq!((led.generation, led.colours.len(), led.colours[0].generation), (7, 1, 6));
        assert_eq!(stands("blog", &all, &known), Stands::Unknown);
        all[0].1[0].admin = DRAINING;
        assert!(
            matches!(stands("shop", &all, &known), Stands::Otherwise { why, at: (7, 0) } if why.contains("no server red"))
        );
    }

    #[test]
    fn the_new_one_is_in_before_the_old_one_is_out() {
        let known = remembered(TABLE).unwrap();
        let said = moves("shop", "turnout", &wanted(8, &[("blue", 100, 18002)]), &backends(), &known).unwrap();
        assert_eq!(
            said,
            [
                "set server shop/blue addr 127.0.0.1 port 18002",
                "set server shop/blue state ready",
                "set table turnout key shop data.gpt0 8 data.gpc0 0",
                "set table turnout key shop/blue data.gpt0 8 data.gpc0 100",
                "set table turnout key shop@shop data.gpt0 1 data.gpc0 0",
                "clear table turnout key shop/red",
                "set server shop/red state maint",
                "set server shop/old state maint",
            ]
        );
        let two = moves("shop", "turnout", &wanted(8, &[("red", 75, 18001), ("blue", 25, 18002)]), &backends(), &known);
        let two = two.unwrap();
        assert!(two.contains(&"set server shop/red weight 192".to_owned()), "{two:?}");
        assert!(two.contains(&"set server shop/blue weight 64".to_owned()), "{two:?}");
        let green = moves("shop", "turnout", &wanted(8, &[("green", 100, 1)]), &backends(), &known);
        assert_eq!(green, Err(Missing::Server("shop".to_owned(), "green".to_owned())));
    }

    #[test]
    fn what_is_so_is_not_said_again() {
        let known = [("shop", (8, 0)), ("shop/red", (8, 100)), ("shop@shop", (1, 0))];
        let known = Remembered::from(known.map(|(key, numbers)| (key.to_owned(), numbers)));
        assert_eq!(taken_by(&known, "shop", "shop"), None);
        assert_eq!(taken_by(&known, "shop", "blog"), Some("shop"));
        let mut all = backends();
        all[0].1.retain(|server| server.name != "old");
        assert_eq!(moves("shop", "turnout", &wanted(8, &[("red", 100, 18001)]), &all, &known), Ok(Vec::new()));
    }
}
