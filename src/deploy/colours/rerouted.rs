//! How the routes that a colour was made with differ from those that the files want by now. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::made::{Made, MadeRoute, MadeTls, Speaks};
use crate::{
    engine::Published,
    store::ColourRecord,
    switch::{
        Derived,
        derived::{Listen, Route},
    },
};

/// What is otherwise with the routes of the live colour than the files want.
pub(in crate::deploy) struct Rerouted {
    /// The live colour.
    pub(super) live: ColourRecord,
    /// What it was made as.
    pub(super) before: Made,
    /// The routes that are wanted now.
    pub(super) wanted: Vec<MadeRoute>,
    /// What changes, in lines.
    pub lines: Vec<String>,
    /// Why that takes a new colour.
    pub needs_colour: Option<String>,
}

impl Rerouted {
    /// What a plan says of it.
    pub fn text(&self) -> String {
        let Rerouted { live, lines, .. } = self;
        let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        format!(
            "{} is live, and its containers are as they should be: no new colour is made; its routes are set anew\n{lines}",
            live.project
        )
    }

    /// What a deployment that did it says at its end.
    pub fn summary(&self) -> String {
        format!("no container was touched; the routes were set anew: {}", self.lines.join("; "))
    }
}

/// Listeners, each with the routes on it.
type ByListener<'m> = BTreeMap<SocketAddr, Vec<&'m MadeRoute>>;

/// What listeners are told with: why they are there, and whose else they are.
pub(super) struct About<'a> {
    /// What was derived.
    pub derived: &'a Derived,
    /// Listeners of other repositories: they stay open.
    pub others: &'a BTreeSet<SocketAddr>,
}

/// Routes as they are wanted now, with what the gate has learned of those that lead to the same port. `http` is `None` where it
/// has to ask.
pub(super) fn learned(before: &[MadeRoute], wanted: &[MadeRoute]) -> Vec<MadeRoute> {
    let known = |route: &MadeRoute| {
        before.iter().find(|one| {
            let same =
                (&one.service, one.port, one.proxy_protocol) == (&route.service, route.port, route.proxy_protocol);
            // TLS that containers speak is told apart by hosts, or not.
            let as_before = one.http == Some(true) || one.hosts.is_empty() == route.hosts.is_empty();
            same && as_before && one.is_said != Some(true)
        })
    };
    let each = wanted.iter().map(|route| match known(route).filter(|_| route.http.is_none()) {
        Some(one) => MadeRoute { http: one.http, speaks: one.speaks, ..route.clone() },
        None => route.clone(),
    });
    each.collect()
}

/// What turnout-proxy would be told otherwise, a line for each listener. Where the containers are reached is no part of it.
pub(super) fn changes(before: &[MadeRoute], wanted: &[MadeRoute], about: &About<'_>) -> Vec<String> {
    let (were, are) = (by_listener(before), by_listener(wanted));
    let all: BTreeSet<&SocketAddr> = were.keys().chain(are.keys()).collect();
    let line = |listen: &SocketAddr| match (were.get(listen), are.get(listen)) {
        (None, Some(are)) => Some(format!("{listen} leads to {}: {}", shown(are), why(about.derived, *listen))),
        (Some(_), None) if about.others.contains(listen) => {
            Some(format!("{listen} leads nowhere here any more; it stays open for another repository"))
        }
        (Some(_), None) => Some(closed(*listen)),
        (Some(were), Some(are)) if parts_of(were) != parts_of(are) => Some(format!("{listen}: {}", changed(were, are))),
        _ => None,
    };
    all.into_iter().filter_map(line).collect()
}

/// Ports of what runs in place that no route of the first colour listens on. `stays`: whether the ports of a service stay the
/// engine's.
pub(super) fn not_taken_over(published: &[Published], made: &Made, stays: impl Fn(&str) -> bool) -> Vec<String> {
    let are = by_listener(&made.routes);
    let gone = published.iter().filter(|one| !stays(&one.container.service) && !are.contains_key(&one.on));
    let gone: BTreeSet<SocketAddr> = gone.map(|one| one.on).collect();
    gone.into_iter().map(closed).collect()
}

/// Keys of `switch` whose values are others now than those that a colour was made with, and which count when the next one is
/// made.
pub(super) fn for_the_next(before: &Made, wanted: &Made) -> Vec<&'static str> {
    let (was, is) = (&before.reach, &wanted.reach);
    let shown = |made: &Made| {
        // What is kept of it beside what was said is made when a colour waits.
        made.reach.preview.as_ref().map(|one| (one.host.clone(), one.listen.clone(), one.cookie, one.to.clone()))
    };
    let order = |made: &Made| -> Vec<_> { made.services.iter().map(|one| (one.name.clone(), one.alone)).collect() };
    let gate = |made: &Made| -> BTreeSet<_> {
        let each = made.routes.iter().map(|one| (one.service.clone(), one.port, one.page.clone(), one.patience));
        each.collect()
    };
    let all = [
        (before.bake != wanted.bake, "bake"),
        (before.goes_back != wanted.goes_back, "on_failure"),
        (before.promotion != wanted.promotion, "promote"),
        (before.canary != wanted.canary, "steps"),
        (was.keep != is.keep, "keep"),
        (was.fallback != is.fallback, "fallback"),
        (shown(before) != shown(wanted), "preview"),
        (was.mirror != is.mirror, "mirror"),
        (was.pins != is.pins, "pins"),
        (order(before) != order(wanted), "order"),
        (gate(before) != gate(wanted), "health"),
        (!before.judged.judges_as(&wanted.judged), "analysis"),
    ];
    all.into_iter().filter(|(differs, _)| *differs).map(|(_, key)| key).collect()
}

fn closed(listen: SocketAddr) -> String {
    format!("{listen} is closed: no route leads there any more")
}

fn by_listener(routes: &[MadeRoute]) -> ByListener<'_> {
    let mut all = ByListener::new();
    for route in routes {
        for listen in &route.listen {
            all.entry(*listen).or_default().push(route);
        }
    }
    all
}

/// Why there is a listener.
fn why(derived: &Derived, at: SocketAddr) -> String {
    let listens = |route: &&Route| match &route.listen {
        Listen::Host { addresses, port } => port.is_none_or(|port| port == at.port()) && addresses.contains(&at.ip()),
        Listen::Gateway { .. } | Listen::Other { .. } => false,
    };
    match derived.routes.iter().find(listens).map(|route| route.said) {
        Some(Some(source)) => format!("said in {source}"),
        Some(None) => "published by the Compose file".to_owned(),
        None => "for a front that keeps its ports".to_owned(),
    }
}

/// Where a listener leads, in short.
fn shown(routes: &[&MadeRoute]) -> String {
    let each = routes.iter().map(|route| {
        let told = parts(route).into_iter().filter(|(what, _)| !matches!(*what, "to" | "drain" | "health"));
        let told: Vec<String> = told.map(|(what, value)| format!("{what} {value}")).collect();
        let to = format!("{}:{}", route.service, route.port);
        if told.is_empty() { to } else { format!("{to} ({})", told.join("; ")) }
    });
    each.collect::<Vec<_>>().join(" and ")
}

/// What is otherwise on a listener that was there before.
fn changed(were: &[&MadeRoute], are: &[&MadeRoute]) -> String {
    let ([was], [is]) = (were, are) else {
        return format!("leads to {}, until now to {}", shown(are), shown(were));
    };
    let (was, is) = (parts(was), parts(is));
    let names: Vec<&str> = is.keys().chain(was.keys().filter(|name| !is.contains_key(**name))).copied().collect();
    let differs = names.into_iter().filter(|name| was.get(name) != is.get(name));
    let none = || "nothing".to_owned();
    let each = differs.map(|name| {
        let (was, is) = (was.get(name).cloned(), is.get(name).cloned());
        format!("{name} is {}, until now {}", is.unwrap_or_else(none), was.unwrap_or_else(none))
    });
    each.collect::<Vec<_>>().join("; ")
}

fn parts_of(routes: &[&MadeRoute]) -> Vec<BTreeMap<&'static str, String>> {
    routes.iter().map(|route| parts(route)).collect()
}

/// All of a route that turnout-proxy is told, but where its containers are; by what it is called in repos.yaml.
fn parts(route: &MadeRoute) -> BTreeMap<&'static str, String> {
    let MadeRoute {
        listen: _,
        service,
        port,
        targets: _,
        http,
        is_said: _,
        page: _,
        patience: _,
        hosts,
        path,
        strip_path,
        tls,
        drain,
        speaks,
        proxied_by,
        proxy_protocol,
        health,
        front,
        redirect,
        hsts,
        trusted,
    } = route;
    let spoken = match (speaks, http) {
        (Speaks::H2c, _) => "h2c",
        (Speaks::NamedTls, _) => "https",
        (Speaks::Plainly, Some(true)) => "http",
        (Speaks::Plainly, Some(false)) => "tcp",
        (Speaks::Plainly, None) => "asked for",
    };
    let list = |all: &[String]| (!all.is_empty()).then(|| all.join(", "));
    let taken = |path: &String| if *strip_path { format!("{path} (taken off)") } else { path.clone() };
    let all = [
        ("to", Some(format!("{service}:{port}"))),
        ("protocol", Some(spoken.to_owned())),
        ("hosts", list(hosts)),
        ("path", path.as_ref().map(taken)),
        (
            "tls",
            tls.as_ref().map(|tls| match tls {
                MadeTls::Files(certificate, key) => format!("{certificate} and {key}"),
                MadeTls::Obtained(_) => "acme".to_owned(),
            }),
        ),
        ("drain", drain.map(|seconds| format!("{seconds}s"))),
        ("proxied_by", list(proxied_by)),
        ("proxy_protocol", proxy_protocol.map(|version| format!("v{version}"))),
        ("health", health.clone()),
        ("front", front.clone()),
        ("redirect", redirect.map(|port| format!("https on port {port}"))),
        ("hsts", hsts.map(|seconds| format!("{seconds}s"))),
        ("trusted", list(trusted)),
    ];
    all.into_iter().filter_map(|(what, value)| Some((what, value?))).collect()
}
