//! When a new instance counts as ready (docs/switch.md, "The gate").

use turnout_compose::model::Duration;

use crate::{
    class::Source,
    derived::{Check, Gate, Given, Origin},
    view::View,
};

/// The page of HTTP routes.
const PAGE: &str = "/";
/// How long a gate may take in all, beyond the time in which a health check may fail: every gate ends.
const TIMEOUT: Duration = Duration(120 * 1_000_000_000);
/// The attribute that says that time.
const START_PERIOD: &str = "healthcheck.start_period";

pub(crate) fn gate(view: &View<'_>, name: &str) -> Gate {
    let page = view.said.service(name, |said| said.health.as_ref()?.path.clone());
    let timeout = view.said.service(name, |said| said.health.as_ref()?.timeout);
    let check = check(view, name);
    Gate {
        check,
        page: page.map_or(Given { value: PAGE.to_owned(), from: Origin::Default }, said),
        timeout: timeout.map_or_else(|| usual_timeout(view, name, check), said),
    }
}

fn said<T>((value, source): (T, Source)) -> Given<T> {
    Given { value, from: Origin::Said(source) }
}

/// How long a gate may take unless it is said.
fn usual_timeout(view: &View<'_>, name: &str, check: Check) -> Given<Duration> {
    match start_period(view, name, check) {
        Duration(0) => Given { value: TIMEOUT, from: Origin::Default },
        Duration(more) => Given {
            value: Duration(TIMEOUT.0.saturating_add(more)),
            from: Origin::Attribute(START_PERIOD, name.to_owned()),
        },
    }
}

/// How long its health check may fail after a start, as who wrote it expects.
fn start_period(view: &View<'_>, name: &str, check: Check) -> Duration {
    let own = view.service(name).and_then(|service| service.healthcheck.as_ref()?.start_period);
    let image = || view.image(name).map(|image| image.start_period);
    let period = match check {
        Check::None => None,
        Check::Service => own,
        Check::Image => own.or_else(image),
    };
    Duration(period.map_or(0, |period| period.0.max(0)))
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
