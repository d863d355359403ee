//! When a new colour counts as worse than the one before: what was said, what holds otherwise, and what cannot be.

use turnout_report::counted;

use crate::{
    beyond::is_http,
    derived::{Derived, Given, Origin, Route},
    said::{Adapter, AnalysisSaid, Rules, Said, shown_time},
};

/// Said, else the usual rules, where somebody counts what they are about.
pub(crate) fn analysis(said: &Said, routes: &[Route], adapter: Option<&Adapter>) -> Given<Option<Rules>> {
    let counted = || adapter.is_none() && routes.iter().any(is_http);
    match said.stack(|layer| layer.analysis.clone()) {
        Some((AnalysisSaid::Off, source)) => Given { value: None, from: Origin::Said(source) },
        Some((AnalysisSaid::On(said), source)) => match said.rules {
            Some(rules) => Given { value: Some(rules), from: Origin::Said(source) },
            // How often in a row is said of all that is looked at.
            None => {
                let rules = Rules { looks: said.looks, ..Rules::default() };
                Given { value: counted().then_some(rules), from: Origin::Default }
            }
        },
        None => Given { value: counted().then(Rules::default), from: Origin::Default },
    }
}

/// The row of what `turnout plan` prints.
pub(crate) fn row(derived: &Derived) -> Vec<String> {
    let Given { value, from } = &derived.analysis;
    let said = match (value, &derived.adapter) {
        (Some(rules), _) => rules_in_words(rules),
        (None, Some(adapter)) if *from == Origin::Default => {
            format!("not looked at: {} leads requests", adapter.program.key())
        }
        (None, None) if *from == Origin::Default => "not looked at: no route speaks HTTP".to_owned(),
        (None, _) => "not looked at".to_owned(),
    };
    vec!["answers are a failure, too".to_owned(), said, from.to_string()]
}

fn rules_in_words(rules: &Rules) -> String {
    let Rules { min_requests, errors, times_before, p50, p99, looks } = rules;
    let usual = Rules::default();
    let mut said = vec![format!("over {} 5xx", percent(*errors))];
    said.extend(p50.map(|time| format!("p50 over {}", shown_time(time))));
    said.extend(p99.map(|time| format!("p99 over {}", shown_time(time))));
    let before = match times_before {
        1 => "more than before".to_owned(),
        times => format!("{times} times before"),
    };
    let mut said = format!("{}, {before}", said.join(" or "));
    if *min_requests != usual.min_requests {
        said.push_str(&format!("; from {} on", counted(*min_requests, "request")));
    }
    if *looks != usual.looks {
        said.push_str(&format!("; {}", counted(*looks, "look")));
    }
    said
}

/// Hundredths of a percent: `5 %`, `0.25 %`.
pub(crate) fn percent(hundredths: u64) -> String {
    let (whole, part) = (hundredths / 100, hundredths % 100);
    match part {
        0 => format!("{whole} %"),
        part if part % 10 == 0 => format!("{whole}.{} %", part / 10),
        part => format!("{whole}.{part:02} %"),
    }
}

/// What was said of it and cannot be: with what to write.
pub fn not_kept(derived: &Derived) -> Option<String> {
    derived.analysis.value.filter(|_| derived.analysis.from != Origin::Default)?;
    if let Some(adapter) = &derived.adapter {
        let key = adapter.program.key();
        return Some(format!("analysis needs what turnout-proxy counts, and {key} leads requests; take it out"));
    }
    let http = derived.routes.iter().any(is_http);
    (!http).then(|| "analysis needs a route whose requests are understood (protocol http); take it out".to_owned())
}
