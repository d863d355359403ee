//! When a new instance counts as ready (docs/switch.md, "The gate").

use turnout_compose::model::Duration;

use crate::{
    derived::{Check, Gate, Given, Origin},
    view::View,
};

/// The page of HTTP routes.
const PAGE: &str = "/";
/// How long a gate may take in all: every gate ends.
const TIMEOUT: Duration = Duration(120 * 1_000_000_000);

pub(crate) fn gate(view: &View<'_>, name: &str) -> Gate {
    let said = |value, source| Given { value, from: Origin::Said(source) };
    let page = view.said.service(name, |said| said.health.as_ref()?.path.clone());
    let timeout = view.said.service(name, |said| said.health.as_ref()?.timeout);
    Gate {
        check: check(view, name),
        page: page
            .map_or(Given { value: PAGE.to_owned(), from: Origin::Default }, |(value, source)| said(value, source)),
        timeout: timeout.map_or(Given { value: TIMEOUT, from: Origin::Default }, |(value, from)| Given {
            value,
            from: Origin::Said(from),
        }),
    }
}

fn check(view: &View<'_>, name: &str) -> Check {
    let own = view.service(name).and_then(|service| service.healthcheck.as_ref());
    match own {
        Some(own) if own.disable || own.test.first().is_some_and(|word| word == "NONE") => Check::None,
        Some(own) if !own.test.is_empty() => Check::Service,
        // Without a test of its own, a service changes the times of its image's check.
        _ if view.image(name).is_some_and(|image| image.healthcheck) => Check::Image,
        _ => Check::None,
    }
}
