//! What comes first, how long things last, and what a failure asks for: `deploy.update_config` in Compose's own words.

use turnout_compose::model::{Duration, UpdateConfig};

use crate::{
    class::Class,
    classify::Classes,
    derived::{Given, Note, OrderWhy, Origin},
    said::{Layer, OnFailure, Order, Promote},
    view::View,
};

const SECOND: i64 = 1_000_000_000;
/// How long the previous colour runs on. A minute shows most of what requests break, and two colours need twice the memory.
const BAKE: Duration = Duration(60 * SECOND);
/// How long tunnels last when their colour retires; requests run until it stops.
const DRAIN: Duration = Duration(30 * SECOND);
/// How long a retired colour is kept: a day's worth of second thoughts, bounded for the disk's sake.
const KEEP: Duration = Duration(24 * 3600 * SECOND);

/// How long a promotion is waited for that nobody gives: over night, and the morning after. Two colours run meanwhile.
const PROMOTE_DEADLINE: Duration = Duration(24 * 3600 * SECOND);

fn update<'a>(view: &View<'a>, name: &str) -> Option<&'a UpdateConfig> {
    view.service(name)?.deploy.as_ref()?.update_config.as_ref()
}

/// What comes first when a service changes over, and why.
///
/// What writes storage of its own never overlaps with itself, whatever is said ([`crate::refusal`] refuses the contrary).
/// `joined`: all that share its fate, among them schedulers.
pub(crate) fn order(
    view: &View<'_>,
    name: &str,
    class: Class,
    joined: &[&str],
    notes: &mut Vec<Note>,
) -> (Order, OrderWhy) {
    let forced = match class {
        Class::Held => Some(OrderWhy::OneWriter),
        _ if joined.iter().any(|name| view.scheduler(name).is_some()) => Some(OrderWhy::Scheduler),
        _ => None,
    };
    let asked = match update(view, name).map(|update| update.order.as_str()) {
        Some("start-first") => Some(Order::StartFirst),
        Some("stop-first") => Some(Order::StopFirst),
        _ => None,
    };
    // Only of this very service: an order for all is not meant for a scheduler.
    let outright = view.said.of_this(name, |said| said.order);
    match (forced, outright) {
        (Some(OrderWhy::Scheduler) | None, Some((order, source))) => return (order, OrderWhy::Said(source)),
        (Some(why), _) => {
            if asked == Some(Order::StartFirst) {
                notes.push(Note::StartFirstNotKept { service: name.to_owned(), why });
            }
            return (Order::StopFirst, why);
        }
        (None, None) => {}
    }
    if let Some((order, source)) = view.said.service(name, |said| said.order) {
        return (order, OrderWhy::Said(source));
    }
    match (asked, class) {
        (Some(order), _) => (order, OrderWhy::UpdateConfig),
        (None, Class::Worker) => (Order::StopFirst, OrderWhy::Worker),
        (None, _) => (Order::StartFirst, OrderWhy::Usual),
    }
}

fn said_or(view: &View<'_>, of: impl Fn(&Layer) -> Option<Duration>, default: Duration) -> Given<Duration> {
    match view.said.stack(of) {
        Some((value, source)) => Given { value, from: Origin::Said(source) },
        None => Given { value: default, from: Origin::Default },
    }
}

pub(crate) fn drain(view: &View<'_>) -> Given<Duration> {
    said_or(view, |layer| layer.drain, DRAIN)
}

pub(crate) fn keep(view: &View<'_>) -> Given<Duration> {
    said_or(view, |layer| layer.keep, KEEP)
}

/// Who has requests go to the next colour: turnout, unless it is said.
pub(crate) fn promote(view: &View<'_>) -> Given<Promote> {
    match view.said.stack(|layer| layer.promote) {
        Some((value, source)) => Given { value, from: Origin::Said(source) },
        None => Given { value: Promote::Auto, from: Origin::Default },
    }
}

pub(crate) fn promote_deadline(view: &View<'_>) -> Given<Duration> {
    said_or(view, |layer| layer.promote_deadline, PROMOTE_DEADLINE)
}

/// Said, else the longest `monitor` of those that move.
pub(crate) fn bake(view: &View<'_>, classes: &Classes<'_>) -> Given<Duration> {
    let said = said_or(view, |layer| layer.bake, BAKE);
    if said.from != Origin::Default {
        return said;
    }
    let monitors = view.names().filter(|name| classes.moves(name)).filter_map(|name| {
        let monitor = update(view, name)?.monitor;
        (monitor.0 > 0).then_some((monitor, name))
    });
    match monitors.max_by_key(|(monitor, _)| *monitor) {
        Some((value, name)) => {
            Given { value, from: Origin::Attribute("deploy.update_config.monitor", name.to_owned()) }
        }
        None => said,
    }
}

/// Said, else `pause` where one of those that move asks for it, else back.
pub(crate) fn on_failure(view: &View<'_>, classes: &Classes<'_>, notes: &mut Vec<Note>) -> Given<OnFailure> {
    if let Some((value, source)) = view.said.stack(|layer| layer.on_failure) {
        return Given { value, from: Origin::Said(source) };
    }
    let mut found = Given { value: OnFailure::Rollback, from: Origin::Default };
    for name in view.names().filter(|name| classes.moves(name)) {
        let value = match update(view, name).map(|update| update.failure_action.as_str()) {
            Some("pause") => OnFailure::Pause,
            Some("rollback") => OnFailure::Rollback,
            Some("continue") => {
                notes.push(Note::FailureContinue(name.to_owned()));
                continue;
            }
            _ => continue,
        };
        if found.from == Origin::Default || value == OnFailure::Pause {
            found = Given { value, from: Origin::Attribute("deploy.update_config.failure_action", name.to_owned()) };
        }
    }
    found
}
