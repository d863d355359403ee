//! What is asked of a new colour beside its answers: what was said, in words, and what of it cannot be.

use turnout_report::counted;

use crate::{
    beyond::is_http,
    derived::{Derived, Given, Measures, Origin},
    said::{AnalysisSaid, Asks, Measure, OnUnknown, Promote, Said, Within, shown_time},
};

/// Only what was said.
pub(crate) fn measures(said: &Said) -> Option<Given<Measures>> {
    let (AnalysisSaid::On(said), source) = said.stack(|layer| layer.analysis.clone())? else { return None };
    let value =
        Measures { all: said.measures, looks: said.looks, unknowns: said.unknowns, on_unknown: said.on_unknown };
    (!value.all.is_empty()).then_some(Given { value, from: Origin::Said(source) })
}

/// Rows of what `turnout plan` prints.
pub(crate) fn rows(derived: &Derived) -> Vec<Vec<String>> {
    let Some(Given { value: Measures { all, looks, unknowns, on_unknown }, from }) = &derived.measures else {
        return Vec::new();
    };
    let row = |what: &str, value: String| vec![what.to_owned(), value, from.to_string()];
    let in_a_row = |count: &u64| if *count == 1 { String::new() } else { format!(", {count} times in a row") };
    let mut rows: Vec<_> = all
        .iter()
        .map(|measure| {
            let (what, said) = match &measure.asks {
                Asks::Prometheus { url, query, within } => {
                    ("a number of Prometheus is, too", format!("{} of {query} at {url}", refused(within)))
                }
                Asks::Command { run } => {
                    ("a command's exit code is, too", format!("other than 0 of {}", run.join(" ")))
                }
                Asks::Page { path, to } => {
                    let of = to.as_ref().map(|(service, port)| format!(" of {service}:{port}")).unwrap_or_default();
                    ("a page of its own is, too", format!("{path}{of} not 2xx or 3xx"))
                }
            };
            let Measure { every, timeout, .. } = measure;
            row(
                what,
                format!("{said}{}; every {}, within {}", in_a_row(looks), shown_time(*every), shown_time(*timeout)),
            )
        })
        .collect();
    let then = match on_unknown {
        OnUnknown::Pause => "a colour that waits is paused, a bake goes on; both are told",
        OnUnknown::Fail => "that is a failure as well",
        OnUnknown::GoOn => "that is told",
    };
    rows.push(row("where nothing is known of that", format!("{then}{}", in_a_row(unknowns))));
    rows
}

fn refused(within: &Within) -> String {
    let above = within.most.map(|most| format!("above {}", most.number()));
    let below = within.least.map(|least| format!("below {}", least.number()));
    above.into_iter().chain(below).collect::<Vec<_>>().join(" or ")
}

/// What was said of this and cannot be: each with what to write.
pub fn not_kept(derived: &Derived) -> Vec<String> {
    let Some(Given { value: Measures { all, looks, .. }, .. }) = &derived.measures else { return Vec::new() };
    let mut refused = Vec::new();
    for Measure { asks, every, .. } in all {
        let name = asks.name();
        if let Asks::Page { path, to } = asks {
            refused.extend(page(derived, path, to.as_ref()));
        }
        let bake = u64::try_from(derived.bake.value.as_std().as_millis()).unwrap_or(u64::MAX);
        let waits = derived.canary.steps.is_some() || derived.promote.value != Promote::Auto;
        // What a colour has not answered yet, a Prometheus cannot know.
        let at_once = !matches!(asks, Asks::Prometheus { .. });
        let takes = every.saturating_mul(looks.saturating_sub(u64::from(at_once)));
        if takes >= bake && !waits {
            refused.push(format!(
                "{name} is asked every {}, and {} that it does badly takes as long as the bake ({}): write a shorter `every`, or a longer \
                 `bake`",
                shown_time(*every),
                counted(*looks, "look"),
                shown_time(bake)
            ));
        }
    }
    refused
}

/// Whom the page is asked of has to be certain.
fn page(derived: &Derived, path: &str, to: Option<&(String, u16)>) -> Option<String> {
    let asked = |service: &str, port: u16| to.is_none_or(|(named, of)| (named.as_str(), *of) == (service, port));
    let mut http: Vec<(&str, u16)> = derived
        .routes
        .iter()
        .filter(|route| is_http(route))
        .map(|route| (route.service.as_str(), route.port))
        .collect();
    http.retain(|(service, port)| asked(service, *port));
    http.sort_unstable();
    http.dedup();
    match (&http[..], to) {
        ([_], _) => None,
        ([], Some((service, port))) => Some(format!(
            "page {path}: no route that speaks HTTP leads to {service}:{port}; write as `to` where one leads"
        )),
        ([], None) => Some(format!("page {path}: no route speaks HTTP: nobody could be asked for it; take it out")),
        ([(one, of_one), (two, of_two), ..], _) => Some(format!(
            "page {path} could be asked of {one}:{of_one} and of {two}:{of_two}; say which: page: {{ path: {path}, to: \"{one}:{of_one}\" }}"
        )),
    }
}
