//! HAProxy's servers, as its runtime socket shows them, and what has to be said to it so that they are as wanted. Pure.

use std::collections::BTreeMap;

use turnout_traffic::Colour;

use crate::{
    wanted::{Led, LedColour, Place, Stands, Wanted},
    weigh,
};

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

/// How a backend chooses among its servers, from `show stat`. `None`: it does not say.
pub(crate) fn algorithm<'s>(stat: &'s str, backend: &str) -> Option<&'s str> {
    let columns: Vec<&str> = stat.lines().find_map(|line| line.strip_prefix("# "))?.split(',').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let (name, server, algorithm) = (column("pxname")?, column("svname")?, column("algo")?);
    let rows = stat.lines().map(|line| line.split(',').collect::<Vec<&str>>());
    let mut own = rows.filter(|row| row.get(name) == Some(&backend) && row.get(server) == Some(&"BACKEND"));
    own.find_map(|row| row.get(algorithm).copied()).filter(|said| !said.is_empty())
}

/// Ways to choose by which servers get what their weights say, request by request.
pub(crate) const FAIR: &[&str] = &["roundrobin", "random"];

/// What a repository's backends and the table say of it.
pub(crate) fn stands(repository: &str, backends: &[(String, Vec<Server>)], remembered: &Remembered) -> Stands {
    let Some((generation, revision)) = remembered.get(repository).copied() else { return Stands::Unknown };
    let otherwise = |why| Stands::Otherwise { why, at: (generation, revision) };
    let below = format!("{repository}/");
    let colours = remembered.iter().filter_map(|(key, (made, weight))| {
        let name = key.strip_prefix(&below)?.to_owned();
        Some(LedColour { name, generation: *made, weight: *weight, partly: false })
    });
    let colours: Vec<LedColour> = colours.filter(|colour| colour.weight > 0).collect();
    let mut places = Vec::new();
    for (backend, servers) in backends {
        let shared = remembered.get(&at(repository, backend)).is_some_and(|(_, shared)| *shared > 0);
        // Where requests are not shared, the live colour has them all.
        let served: Vec<LedColour> = match shared {
            true => colours.clone(),
            false => colours.iter().min_by_key(|colour| colour.generation).cloned().into_iter().collect(),
        };
        if let Some(why) = differs(backend, servers, &served) {
            return otherwise(why);
        }
        places.push(served);
    }
    Stands::Leads(Led::of((generation, revision), places.into_iter()))
}

/// What of a backend is otherwise than these colours want it.
fn differs(backend: &str, servers: &[Server], colours: &[LedColour]) -> Option<String> {
    let slots = |colour: &LedColour| {
        let name = colour.name.clone();
        servers.iter().filter(move |server| server.serves() && !server.backup && is_slot(&server.name, &name))
    };
    let led = |server: &&Server| colours.iter().any(|colour| is_slot(&server.name, &colour.name));
    if let Some(server) = servers.iter().filter(|server| !server.backup && server.serves()).find(|one| !led(one)) {
        return Some(format!("the server {backend}/{} gets requests too", server.name));
    }
    if let Some(none) = colours.iter().find(|colour| slots(colour).next().is_none()) {
        return Some(format!("no server {} of {backend} gets requests", none.name));
    }
    if colours.len() < 2 {
        return None;
    }
    let weights: Vec<_> = colours.iter().map(|colour| (colour.weight, slots(colour).count())).collect();
    let parts = weigh::parts(&weights, WEIGHTS);
    colours.iter().zip(parts).find_map(|(colour, part)| {
        let other = slots(colour).find(|server| server.weight != part)?;
        Some(format!("the server {backend}/{} has the weight {} in place of {part}", other.name, other.weight))
    })
}

/// Under which key it is kept that a backend is led for a repository, and whether requests are shared there.
fn at(repository: &str, backend: &str) -> String {
    format!("{repository}@{backend}")
}

/// What is not there and must be written into HAProxy's configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A server of a backend.
    Server(String, String),
}

/// What is said so that all is as wanted. Nothing, where it is so already.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// First, and looked at before anything else is said: weights of servers that share requests. Not every backend takes any.
    pub(crate) weights: Vec<String>,
    /// New ones in, the record, old ones out.
    pub(crate) then: Vec<String>,
}

/// What has to be said to HAProxy so that requests go where they are wanted, in the order of [`Moves`].
pub(crate) fn moves(
    repository: &str,
    table: &str,
    wanted: &Wanted,
    backends: &[(String, Vec<Server>)],
    known: &Remembered,
) -> Result<Moves, Missing> {
    let (mut weights, mut into, mut out, mut usual) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let led = wanted.led();
    let place = |backend: &str| wanted.places.iter().find(|place| place.name == backend);
    for (backend, servers) in backends {
        let parts = place(backend).and_then(|place| place.parts(WEIGHTS));
        let mut kept = Vec::new();
        for (of, Colour { name, targets, .. }) in place(backend).into_iter().flat_map(Place::served).enumerate() {
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
                match parts.as_ref().and_then(|parts| parts.get(of)) {
                    Some(part) if server.weight != *part => {
                        weights.push(format!("set server {server_name} weight {part}"));
                    }
                    // The usual one: a backend whose way to choose knows no weights takes no other. Last, for until then another
                    // colour may share with it.
                    None if server.weight != server.usual_weight => {
                        usual.push(format!("set server {server_name} weight 100%"));
                    }
                    _ => {}
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
    record.extend(backends.iter().map(|(backend, _)| {
        let shared = place(backend).is_some_and(|place| place.served().count() > 1);
        (at(repository, backend), (1, u64::from(shared)))
    }));
    for (key, (one, two)) in &record {
        if known.get(key) != Some(&(*one, *two)) {
            into.push(format!("set table {table} key {key} data.gpt0 {one} data.gpc0 {two}"));
        }
    }
    let below = format!("{repository}/");
    let gone = known.keys().filter(|key| key.starts_with(&below) && !record.contains_key(*key));
    into.extend(gone.map(|key| format!("clear table {table} key {key}")));
    Ok(Moves { weights, then: [into, out, usual].concat() })
}

impl Moves {
    /// All of it.
    pub(crate) fn all(&self) -> Vec<&str> {
        self.weights.iter().chain(&self.then).map(String::as_str).collect()
    }
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
        assert_eq!(said.weights, Vec::<String>::new());
        assert_eq!(
            said.then,
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
        // The other has 1 already.
        assert_eq!(two.weights, ["set server shop/red weight 3"]);
        assert!(two.then.contains(&"set table turnout key shop@shop data.gpt0 1 data.gpc0 1".to_owned()), "{two:?}");
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
        assert_eq!(moves("shop", "turnout", &wanted(8, &[("red", 100, 18001)]), &all, &known), Ok(Moves::default()));
        // What it had while requests were shared.
        all[0].1[0].weight = 3;
        let moves = moves("shop", "turnout", &wanted(8, &[("red", 100, 18001)]), &all, &known).unwrap();
        assert_eq!(moves.all(), ["set server shop/red weight 100%"]);
    }

    #[test]
    fn a_share_is_what_weights_and_record_agree_on() {
        let known = [("shop", (8, 2)), ("shop/red", (6, 80)), ("shop/blue", (8, 20)), ("shop@shop", (1, 1))];
        let known = Remembered::from(known.map(|(key, numbers)| (key.to_owned(), numbers)));
        let mut all = backends();
        all[0].1.retain(|server| server.name != "old");
        (all[0].1[0].weight, all[0].1[1].admin) = (4, 0);
        let mut wanted = wanted(8, &[("red", 80, 18001), ("blue", 20, 1)]);
        (wanted.revision, wanted.places[0].colours[0].generation) = (2, 6);
        assert_eq!(stands("shop", &all, &known), Stands::Leads(wanted.led()));
        assert_eq!(moves("shop", "turnout", &wanted, &all, &known), Ok(Moves::default()));
        // Elsewhere the live one has all of them.
        let alone = vec![servers(&STATE.replace(" shop ", " api "), "", "api").unwrap().remove(0)];
        let two = [all.clone(), vec![("api".to_owned(), alone)]].concat();
        let Stands::Leads(led) = stands("shop", &two, &known) else { panic!("it leads") };
        assert_eq!(
            led.colours.iter().map(|one| (one.weight, one.partly)).collect::<Vec<_>>(),
            [(80, false), (20, true)]
        );
        // By hand.
        all[0].1[0].weight = 7;
        let said = "the server shop/red has the weight 7 in place of 4";
        assert!(matches!(stands("shop", &all, &known), Stands::Otherwise { why, .. } if why == said));
        all[0].1[1].admin = 1;
        assert!(
            matches!(stands("shop", &all, &known), Stands::Otherwise { why, .. } if why.contains("no server blue"))
        );
    }

    #[test]
    fn how_a_backend_chooses_is_read() {
        let stat = "# pxname,svname,algo,\nshop,red,,\nshop,BACKEND,leastconn,\nblog,BACKEND,random,\napi,BACKEND,,\n";
        assert_eq!(algorithm(stat, "shop"), Some("leastconn"));
        assert_eq!(
            (algorithm(stat, "blog"), algorithm(stat, "api"), algorithm("", "shop")),
            (Some("random"), None, None)
        );
    }
}
