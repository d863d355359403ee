//! A repository whose `switch` was taken out comes back in place: what is kept of that way, and what it is called. Pure.

use std::{collections::BTreeSet, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::{
    made::{Made, MadeRoute, MadeService},
    stands::{Routed, Stands},
};
use crate::{
    compose::model::Project,
    engine::Wake,
    store::{ColourRecord, ColourStanding},
};

/// What comes back in place, as routes and store call it. No colour is called so: those have no dots.
pub const IN_PLACE: &str = "in.place";

/// What is kept of the way back, for whoever goes on with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unswitched {
    /// What runs in place then, for the routes; their targets are known only when it runs.
    #[serde(flatten)]
    pub made: Made,
    /// What stayed beside the colours, with its restart policies: it starts again where nothing comes of the way back.
    pub stays: Vec<MadeService>,
    /// What ran before is being stopped: whoever finds this goes on with the way back.
    pub ended: bool,
}

/// How far a way back had come that was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Nothing was stopped: the live colour is as it was.
    Begun,
    /// What ran before was being stopped, and in place nothing has answered yet.
    Ended,
    /// Requests go to what runs in place, or nobody leads any.
    Moved,
}

impl Unswitched {
    /// From what is kept.
    ///
    /// # Errors
    /// Where it is none, for instance of a later turnout.
    pub fn read(text: &str) -> Result<Unswitched, String> {
        serde_json::from_str(text).map_err(|error| format!("what is kept of the way back is not understood: {error}"))
    }

    /// As it is kept.
    pub fn to_text(&self) -> String {
        // Names, numbers and addresses: nothing that could not be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The live colour with the ports that stand in for its listeners, and those of what stays with these routes.
    pub fn stood_in(&self, live: &Made, staying: Vec<MadeRoute>) -> Made {
        let mut stood_in = live.clone();
        stood_in.stand_ins.clone_from(&self.made.stand_ins);
        stood_in.returns.clone_from(&self.made.returns);
        stood_in.routes.extend(staying);
        stood_in
    }

    /// What stayed, to be started again.
    pub fn wakes(&self) -> Vec<Wake> {
        let wake = |one: &MadeService| Wake { service: one.name.clone(), restart: one.restart.clone() };
        self.stays.iter().map(wake).collect()
    }

    /// How far it has come, by what the proxy says. `generation`: of the deployment that goes this way. `led`: the live colour
    /// has routes; where nothing has any, they tell nothing.
    pub fn reached(&self, generation: i64, routed: Option<&Routed>, led: bool) -> Reached {
        let moved = routed.is_some_and(|routed| {
            routed.generation >= generation && routed.colour.as_ref().is_none_or(|(colour, _)| colour == IN_PLACE)
        });
        match (moved && led, self.ended) {
            (true, true) => Reached::Moved,
            (_, true) => Reached::Ended,
            (_, false) => Reached::Begun,
        }
    }
}

/// Whether what was live can be had again as it was: it is another project than the one in place, whose containers replace none.
pub fn comes_again(live: Option<&ColourRecord>, in_place: &str) -> bool {
    live.is_some_and(|live| live.project != in_place)
}

/// Projects that are none any more in the end: the colours' and that of what stays, but for the one that is in place then.
pub fn leave(stands: &Stands, staying: &str, in_place: &str) -> Vec<String> {
    let colours = stands.all.iter().filter(|one| one.standing != ColourStanding::Leaving);
    let all: BTreeSet<&str> = colours.map(|one| one.project.as_str()).filter(|project| *project != staying).collect();
    // Last, for containers of the colours are in its networks.
    all.into_iter().chain([staying]).filter(|project| *project != in_place).map(str::to_owned).collect()
}

/// Of the live colour's listeners those that the engine will have again, and those that nobody has then.
pub fn listeners(live: &Made, project: &Project) -> (BTreeSet<SocketAddr>, BTreeSet<SocketAddr>) {
    let published: BTreeSet<u16> =
        project.services.values().flat_map(|service| &service.ports).flat_map(host_ports).collect();
    // Nobody asks where a front found turnout-proxy: in place it finds what is behind it by itself.
    let own = live.routes.iter().filter(|route| route.front.is_none());
    let all = own.flat_map(|route| route.listen.iter().copied());
    all.partition(|listen| published.contains(&listen.port()))
}

fn host_ports(port: &crate::compose::model::Port) -> Vec<u16> {
    if !matches!(port.protocol.as_str(), "" | "tcp") {
        return Vec::new();
    }
    match port.published.split_once('-') {
        // The engine takes any of them.
        Some(_) => Vec::new(),
        None => port.published.parse().into_iter().collect(),
    }
}

/// What the way back is, in words, before it is gone.
pub struct Told<'a> {
    /// The live colour's project.
    pub live: Option<&'a str>,
    /// The project in place.
    pub in_place: &'a str,
    /// Services that stayed beside the colours.
    pub stays: &'a [String],
    /// Nothing has to wait: what is in place starts beside the live colour.
    pub beside: bool,
    /// Why the kernel cannot lead connections meanwhile; `None`: it can.
    pub not_led: Option<&'a str>,
    /// Listeners that the engine has again.
    pub back: &'a BTreeSet<SocketAddr>,
    /// Listeners that nobody has any more.
    pub gone: &'a BTreeSet<SocketAddr>,
    /// The proxy ends TLS for some of them.
    pub ends_tls: bool,
    /// Services that write nothing which outlives their containers.
    pub lost: &'a [String],
    /// Projects that are removed.
    pub removed: &'a [String],
}

impl Told<'_> {
    /// A line each.
    pub fn lines(&self) -> Vec<String> {
        let Told { live, in_place, stays, beside, not_led, back, gone, ends_tls, lost, removed } = self;
        let list = |all: &BTreeSet<SocketAddr>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut lines = Vec::new();
        let ends: Vec<&str> = live.iter().copied().chain(stays.iter().map(String::as_str)).collect();
        lines.push(match live {
            None => format!("switch was taken out, and nothing is live: {in_place} starts in place"),
            Some(live) if *beside => {
                format!("switch was taken out: {in_place} starts in place beside {live}, and then {live} ends")
            }
            Some(_) => format!(
                "switch was taken out: {} end{}, and {in_place} starts in place on the same volumes; requests wait meanwhile \
                 (each 30 s at most, then 504, until it is ready)",
                and(&ends),
                if ends.len() == 1 { "s" } else { "" }
            ),
        });
        if !back.is_empty() {
            lines.push(match not_led {
                None => format!("{} goes back to the engine: meanwhile new connections are led to turnout-proxy", list(back)),
                Some(why) => format!(
                    "{} goes back to the engine: new connections are refused or cut from the moment in which turnout-proxy \
                     leaves it until {in_place} answers, for the kernel cannot be asked to lead them ({why})",
                    list(back)
                ),
            });
        }
        if !gone.is_empty() {
            lines.push(format!(
                "nobody listens on {} any more: the Compose file publishes no such port of the host",
                list(gone)
            ));
        }
        if *ends_tls {
            lines.push(
                "certificates and TLS were turnout-proxy's: the published ports speak what their containers speak"
                    .to_owned(),
            );
        }
        if !lost.is_empty() {
            let (verb, it) = if lost.len() == 1 { ("has", "it") } else { ("have", "them") };
            lines
                .push(format!("{} {verb} no volume: what is in the container or its memory ends with {it}", and(lost)));
        }
        if !removed.is_empty() {
            lines.push(format!(
                "at the end containers and networks of {} are removed; images and volumes stay",
                and(removed)
            ));
        }
        lines
    }
}

/// `a, b and c`.
fn and(all: &[impl AsRef<str>]) -> String {
    let all: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
    match all.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => all.concat(),
    }
}

/// The restart policies of services, in the order in which they start.
pub fn services(order: &[String], project: &Project, wanted: impl Fn(&str) -> bool) -> Vec<MadeService> {
    let of = |name: &String| {
        let service = project.services.get(name)?;
        Some(MadeService {
            name: name.clone(),
            restart: service.restart.clone(),
            alone: false,
            held: false,
            job: false,
            patience: None,
        })
    };
    order.iter().filter(|name| wanted(name)).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::made::tests::shop, *};

    fn row(colour: &str, project: &str, standing: ColourStanding) -> ColourRecord {
        ColourRecord {
            repo: "shop".to_owned(),
            colour: colour.to_owned(),
            project: project.to_owned(),
            standing,
            generation: 3,
            deployment: None,
            commit: None,
            since: 0,
            made: String::new(),
        }
    }

    fn project(ports: serde_json::Value) -> Project {
        let web = serde_json::from_value(serde_json::json!({ "image": "shop", "ports": ports })).unwrap();
        Project { services: [("web".to_owned(), web)].into_iter().collect(), ..Project::default() }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let stays = services(&["web".to_owned(), "db".to_owned()], &project(serde_json::json!([])), |_| true);
        let made = Made { stand_ins: [("127.0.0.1:8000".parse().unwrap(), 20_001)].into(), ..shop() };
        let one = Unswitched { made, stays, ended: true };
        assert_eq!(Unswitched::read(&one.to_text()), Ok(one.clone()));
        assert_eq!(one.wakes().len(), 1, "db is none of its services");
        assert!(Made::read(&one.to_text()).is_ok(), "whoever reads rows of colours reads this one too");
        assert!(Unswitched::read("{}").unwrap_err().contains("not understood"));
    }

    #[test]
    fn how_far_it_came_is_what_the_routes_say_once_something_was_stopped() {
        let routed = |generation, colour: Option<&str>| Routed {
            generation,
            revision: 0,
            colour: colour.map(|colour| (colour.to_owned(), 1)),
        };
        let one = |ended| Unswitched { ended, ..Unswitched::default() };
        for (ended, at_proxy, reached) in [
            (false, Some(routed(7, Some("blue"))), Reached::Begun),
            (true, Some(routed(7, Some("blue"))), Reached::Ended),
            (true, Some(routed(7, Some(IN_PLACE))), Reached::Moved),
            (true, Some(routed(7, None)), Reached::Moved),
            // Of before: a proxy that lost its file says nothing of this way.
            (true, Some(routed(6, None)), Reached::Ended),
            (true, None, Reached::Ended),
            (false, Some(routed(7, None)), Reached::Begun),
        ] {
            assert_eq!(one(ended).reached(7, at_proxy.as_ref(), true), reached, "{ended} {at_proxy:?}");
        }
        assert_eq!(one(true).reached(7, Some(&routed(7, None)), false), Reached::Ended, "nothing was live");
    }

    #[test]
    fn all_projects_of_the_switch_go_but_for_the_one_in_place() {
        let all = vec![
            row("blue", "blueshop", ColourStanding::Live),
            row("red", "redshop", ColourStanding::Kept),
            row(IN_PLACE, "redshop", ColourStanding::Leaving),
        ];
        let stands = Stands { all, switch: None };
        assert_eq!(leave(&stands, "shop", "redshop"), ["blueshop", "shop"]);
        assert_eq!(leave(&stands, "a", "redshop"), ["blueshop", "a"], "whose networks the others are in");
        assert!(comes_again(stands.live(), "redshop"));
        assert!(!comes_again(stands.live(), "blueshop"), "its containers are replaced");
        assert!(!comes_again(None, "redshop"));
    }

    #[test]
    fn listeners_go_back_to_the_engine_where_the_file_publishes_them() {
        let shop = shop();
        let count = |ports| {
            let (back, gone) = listeners(&shop, &project(ports));
            (back.len(), gone.len())
        };
        let port = |published: &str, protocol: &str| serde_json::json!([{ "target": 80, "published": published, "protocol": protocol }]);
        assert_eq!(count(port("8000", "tcp")), (2, 0));
        assert_eq!(count(port("8000", "udp")), (0, 2));
        assert_eq!(count(port("", "tcp")), (0, 2));
        assert_eq!(count(port("8000-8010", "tcp")), (0, 2));
    }

    #[test]
    fn what_waits_what_is_refused_and_what_goes_is_said_beforehand() {
        let back = BTreeSet::from(["127.0.0.1:8000".parse().unwrap()]);
        let gone = BTreeSet::from(["0.0.0.0:443".parse().unwrap()]);
        let told = Told {
            live: Some("blueshop"),
            in_place: "redshop",
            stays: &["db".to_owned()],
            beside: false,
            not_led: None,
            back: &back,
            gone: &gone,
            ends_tls: true,
            lost: &["queue".to_owned()],
            removed: &["blueshop".to_owned(), "shop".to_owned()],
        };
        assert_eq!(
            told.lines(),
            [
                "switch was taken out: blueshop and db end, and redshop starts in place on the same volumes; requests wait meanwhile \
                 (each 30 s at most, then 504, until it is ready)",
                "127.0.0.1:8000 goes back to the engine: meanwhile new connections are led to turnout-proxy",
                "nobody listens on 0.0.0.0:443 any more: the Compose file publishes no such port of the host",
                "certificates and TLS were turnout-proxy's: the published ports speak what their containers speak",
                "queue has no volume: what is in the container or its memory ends with it",
                "at the end containers and networks of blueshop and shop are removed; images and volumes stay",
            ]
        );
        let nobody = BTreeSet::new();
        let beside = Told { stays: &[], beside: true, not_led: Some("no iptables"), gone: &nobody, ..told };
        let lines = beside.lines();
        assert_eq!(
            lines[..2],
            [
                "switch was taken out: redshop starts in place beside blueshop, and then blueshop ends",
                "127.0.0.1:8000 goes back to the engine: new connections are refused or cut from the moment in which \
                 turnout-proxy leaves it until redshop answers, for the kernel cannot be asked to lead them (no iptables)",
            ]
        );
        let none = Told { live: None, back: &nobody, ends_tls: false, lost: &[], removed: &[], ..beside };
        assert_eq!(none.lines(), ["switch was taken out, and nothing is live: redshop starts in place"]);
    }
}
