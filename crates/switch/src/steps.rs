//! A canary: what was said of its steps, in words, and what of it cannot be.

use turnout_compose::model::Duration;

use crate::{
    derived::{Canary, Derived, Given, Origin},
    said::{Promote, Said, StepSaid, StickySaid},
};

/// Only what was said, but for how a client stays: by a cookie. An address tells clients apart only where nobody stands
/// before the proxy.
pub(crate) fn canary(said: &Said) -> Canary {
    let steps = said.stack(|layer| layer.steps.steps.clone());
    let sticky = said.stack(|layer| layer.steps.sticky);
    Canary {
        steps: steps.map(|(value, source)| Given { value, from: Origin::Said(source) }),
        sticky: match sticky {
            Some((value, source)) => Given { value, from: Origin::Said(source) },
            None => Given { value: StickySaid::Cookie, from: Origin::Default },
        },
    }
}

/// Rows of what `turnout plan` prints. `shown`: a duration, for people.
pub(crate) fn rows(derived: &Derived, shown: impl Fn(Duration) -> String) -> Vec<Vec<String>> {
    let Canary { steps, sticky } = &derived.canary;
    let Some(Given { value, from }) = steps else { return Vec::new() };
    // A proxy of others draws by request, and says itself whether a client stays.
    let whom = if derived.adapter.is_some() { "requests" } else { "clients" };
    let row = |(at, StepSaid { weight, lasts }): (usize, &StepSaid)| {
        let lasts = match lasts {
            Some(lasts) => format!("for {}, or until `turnout promote`", shown(*lasts)),
            None => format!("until `turnout promote`, {} at most", shown(derived.promote_deadline.value)),
        };
        let share = format!("{weight} % of the {whom} {lasts}");
        vec![format!("step {} of {} before it gets all requests", at + 1, value.len()), share, from.to_string()]
    };
    let stays = match sticky.value {
        StickySaid::Cookie => "by a cookie; one that keeps none is drawn anew with each request",
        StickySaid::Address => "by its address",
    };
    let stays = vec!["meanwhile a client stays with its colour".to_owned(), stays.to_owned(), sticky.from.to_string()];
    value.iter().enumerate().map(row).chain(Some(stays).filter(|_| derived.adapter.is_none())).collect()
}

/// What was said of steps and cannot be: each with what to write.
pub(crate) fn not_kept(derived: &Derived) -> Vec<String> {
    let Canary { steps, sticky } = &derived.canary;
    let Some(Given { value: steps, .. }) = steps else {
        let said = (sticky.from != Origin::Default).then_some(
            "sticky says how a client stays while requests are shared, and they are not: write `steps`, or take it out",
        );
        return said.map(str::to_owned).into_iter().collect();
    };
    let mut refused = Vec::new();
    if derived.routes.is_empty() {
        refused.push("steps share the requests of routes, and there is none; take them out".to_owned());
    }
    if derived.promote.value != Promote::Manual {
        let endless = steps.iter().position(|step| step.lasts.is_none());
        refused.extend(endless.map(|at| {
            format!(
                "step {} has no `for`, and no person is waited for: write how long it lasts, or `promote: manual`, with which \
                 `turnout promote` ends it",
                at + 1
            )
        }));
    }
    refused
}
