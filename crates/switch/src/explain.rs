//! What `turnout plan` prints of the switch, for people.

use turnout_compose::model::Duration;
use turnout_report::table::table;

use crate::{
    analysis, beyond,
    class::Class,
    derived::{Check, Derived, Fate, Front, Gate, Given, Route},
    facts::ReadFrom,
    measures,
    protocol::{Protocol, Spoken},
    refusal::Line,
    said::{By, OnFailure, Order, Promote},
    short::short,
    snapshot::Mounted,
    steps,
};

/// All that was derived, in words: classes with their reasons, routes, gates, order, times, what is refused and what to
/// write.
pub fn explain(derived: &Derived) -> String {
    let mut text = String::new();
    let colours = &derived.colours;
    let when = match derived.by {
        By::Deploy => "every deployment that changes anything goes to the idle colour",
        By::Color => "a deployment changes the colour when COLOR of .env does",
    };
    text.push_str(&format!("switch {} and {}: {when}\n", colours.named, colours.partner));

    section(&mut text, "services", &["SERVICE", "CLASS", "WHY"], services(derived));
    section(&mut text, "routes", &["LISTEN", "TO", "PROTOCOL"], derived.routes.iter().map(route).collect());
    section(&mut text, "changing over", &["SERVICE", "ORDER", "READY WHEN"], changing(derived));
    section(&mut text, "jobs, in this order", &["JOB", "RUNS"], jobs(derived));
    section(&mut text, "links to what stays", &["NETWORK", "STAYS", "REACHES IT"], links(derived));
    section(&mut text, "files", &["SOURCE", "FOR", "READ FROM", "WHY"], derived.files.iter().map(file).collect());
    section(&mut text, "times", &["WHAT", "VALUE", "FROM"], times(derived));

    if !derived.notes.is_empty() {
        text.push_str("\nto know\n");
        derived.notes.iter().for_each(|note| text.push_str(&format!("  {note}\n")));
    }
    if !derived.refusals.is_empty() {
        text.push_str("\nrefused: nothing is switched until this is written\n");
        for refusal in &derived.refusals {
            let place = match refusal.line {
                Line::Repos(_) => "in repos.yaml",
                Line::Compose(_) => "in the Compose file",
            };
            text.push_str(&format!("  {}\n    {place}: {}\n", refusal.cause, refusal.line));
        }
    }
    text
}

/// A heading and a table below it, or nothing where there are no rows.
fn section(text: &mut String, title: &str, header: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}\n"));
    for line in table(header, &rows, 0, 3).lines() {
        text.push_str(&format!("  {}\n", line.trim_end()));
    }
}

/// By class, those first that requests reach first.
fn services(derived: &Derived) -> Vec<Vec<String>> {
    let of = |class: Class| derived.services.iter().filter(move |(_, fate)| fate.class == class);
    let row = |(name, fate): (&String, &Fate)| {
        let mut why = fate.reason.to_string();
        match &fate.front {
            Some(Front::Coloured(behind)) => why.push_str(&format!("; a front of {}", behind.join(", "))),
            Some(Front::Keeps(behind)) => {
                why.push_str(&format!("; a front of {}, through the proxy", behind.join(", ")))
            }
            None => {}
        }
        vec![name.clone(), fate.class.to_string(), why]
    };
    Class::ALL.into_iter().flat_map(of).map(row).collect()
}

fn route(route: &Route) -> Vec<String> {
    let mut listen = route.listen.to_string();
    if !route.hosts.is_empty() {
        listen.push_str(&format!(" for {}", route.hosts.join(", ")));
    }
    if let Some(path) = &route.path {
        listen.push_str(&format!(" below {path}"));
    }
    if !route.proxied_by.is_empty() {
        listen.push_str(&format!(", spoken for by {}", route.proxied_by.join(", ")));
    }
    if !route.trusted.is_empty() {
        listen.push_str(&format!(", told of clients by {}", route.trusted.join(", ")));
    }
    if route.said.is_some() {
        listen.push_str(" (said)");
    }
    let told = route.proxy_protocol.map(|version| format!(", told its client by PROXY v{version}")).unwrap_or_default();
    let to = match route.redirect {
        Some(port) => format!("https on {port}, by a redirect"),
        None => format!("{}:{}", route.service, route.port),
    };
    let hsts = route.hsts.map(|hsts| format!(", HSTS for {}", short(hsts))).unwrap_or_default();
    vec![listen, to, format!("{}{told}{hsts}", route.spoken)]
}

fn changing(derived: &Derived) -> Vec<Vec<String>> {
    let row = |(name, fate): (&String, &Fate)| {
        let ((order, why), gate) = (fate.order?, fate.gate.as_ref()?);
        let order = match (order, fate.class) {
            (Order::StartFirst, _) => "new one first",
            (Order::StopFirst, Class::Worker) => "old one ends first",
            (Order::StopFirst, _) => "old one ends first, requests wait",
        };
        let mut shown = format!("{order} ({why})");
        if fate.replicas != 1 {
            shown.push_str(&format!(", {} of it", fate.replicas));
        }
        Some(vec![name.clone(), shown, ready(derived, name, gate)])
    };
    derived.services.iter().filter_map(row).collect()
}

fn ready(derived: &Derived, name: &str, gate: &Gate) -> String {
    let mut all = Vec::new();
    match gate.check {
        Check::Service => all.push("healthcheck, run by turnout".to_owned()),
        Check::Image => all.push("healthcheck of its image, run by turnout".to_owned()),
        Check::None => {}
    }
    for route in derived.routes.iter().filter(|route| route.service == name) {
        let asked = match &route.spoken {
            spoken if spoken.protocol() == Some(Protocol::Http) => {
                format!("GET {} on {} below 500", gate.page.value, route.port)
            }
            Spoken::Asked => format!("GET {} on {} below 500, or TLS", gate.page.value, route.port),
            spoken if matches!(spoken.protocol(), Some(Protocol::H2c | Protocol::Grpc)) => {
                format!("HTTP/2 on {}", route.port)
            }
            _ => format!("a connection to {}", route.port),
        };
        if !all.contains(&asked) {
            all.push(asked);
        }
    }
    if all.is_empty() {
        all.push("it stays up".to_owned());
    }
    format!("{}; within {}", all.join(", "), short(gate.timeout.value))
}

fn jobs(derived: &Derived) -> Vec<Vec<String>> {
    let row = |job: &crate::derived::Job| {
        let when = match (job.stays, job.before.is_empty()) {
            (true, _) => format!("with {}, which stay", job.before.join(", ")),
            (false, true) => "once a rollout, in the new colour".to_owned(),
            (false, false) => format!("once a rollout, in the new colour, before {}", job.before.join(", ")),
        };
        vec![job.service.clone(), when]
    };
    derived.jobs.iter().map(row).collect()
}

fn links(derived: &Derived) -> Vec<Vec<String>> {
    let row = |link: &crate::derived::Link| {
        let staying: Vec<&str> = link.staying.keys().map(String::as_str).collect();
        vec![link.network.clone(), staying.join(", "), link.moving.join(", ")]
    };
    derived.links.iter().map(row).collect()
}

fn file(file: &Mounted) -> Vec<String> {
    let (place, why) = match &file.read {
        ReadFrom::Snapshot(_) if file.writable => (
            "a snapshot",
            "git tracks it unchanged; mounted to be written, and what is written stays in that colour".to_owned(),
        ),
        ReadFrom::Snapshot(_) => {
            ("a snapshot", "git tracks it unchanged: a pull changes nothing under the live colour".to_owned())
        }
        ReadFrom::Place(keeps) => ("the work tree", keeps.to_string()),
    };
    vec![file.shown.clone(), file.readers.join(", "), place.to_owned(), why]
}

fn times(derived: &Derived) -> Vec<Vec<String>> {
    let row = |what: &str, given: &Given<Duration>| vec![what.to_owned(), short(given.value), given.from.to_string()];
    let failure = match derived.on_failure.value {
        OnFailure::Rollback => "back to the previous colour",
        OnFailure::Pause => "stay, and tell",
    };
    let mut rows = vec![
        row("bake: both colours run", &derived.bake),
        row("drain: tunnels may last", &derived.drain),
        row("keep: then to go back to, stopped", &derived.keep),
        vec!["on a failure while baking".to_owned(), failure.to_owned(), derived.on_failure.from.to_string()],
        analysis::row(derived),
    ];
    rows.extend(measures::rows(derived));
    let promote = &derived.promote;
    let who = match promote.value {
        Promote::Auto => None,
        Promote::Manual => Some("it waits for `turnout promote`".to_owned()),
        Promote::After(after) => Some(format!("{} after it is ready, or by `turnout promote`", short(after))),
    };
    if let Some(who) = who {
        rows.push(vec!["requests go to the next colour".to_owned(), who, promote.from.to_string()]);
    }
    if promote.value == Promote::Manual {
        rows.push(row("a promotion is waited for", &derived.promote_deadline));
    }
    let fallback = &derived.fallback;
    if !fallback.value.is_empty() {
        let paths = fallback.value.join(", ");
        rows.push(vec!["a 404 is tried at the old colour".to_owned(), paths, fallback.from.to_string()]);
    }
    rows.extend(beyond::rows(&derived.beyond));
    rows.extend(steps::rows(derived, short));
    rows
}
