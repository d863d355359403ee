//! What reaches a next colour while it waits, and what of a colour before is asked while the new one bakes: what was said, in words,
//! and what of it cannot be.

use crate::{
    derived::{Beyond, Derived, Given, Listen, Origin, Route},
    said::{BeyondSaid, ListenSaid, PinBy, PreviewSaid, Promote, Said},
    steps,
};

/// Only what was said.
pub(crate) fn beyond(said: &Said) -> Beyond {
    fn given<T>(said: &Said, of: impl Fn(&BeyondSaid) -> Option<T>) -> Option<Given<T>> {
        said.stack(|layer| of(&layer.beyond)).map(|(value, source)| Given { value, from: Origin::Said(source) })
    }
    Beyond {
        preview: given(said, |said| said.preview.clone()),
        mirror: given(said, |said| said.mirror),
        pins: given(said, |said| said.pins.clone()),
    }
}

/// Rows of what `turnout plan` prints.
pub(crate) fn rows(beyond: &Beyond) -> Vec<Vec<String>> {
    let Beyond { preview, mirror, pins } = beyond;
    let row = |what: &str, value: String, from: &Origin| vec![what.to_owned(), value, from.to_string()];
    let preview = preview.iter().map(|Given { value, from }| row("while it waits it is reached", reached(value), from));
    let mirror = mirror.iter().map(|Given { value, from }| {
        row("while it waits it gets copies", format!("of {value} % of the requests that only ask"), from)
    });
    let pins = pins.iter().flat_map(|Given { value, from }| {
        value.iter().map(move |pin| {
            let (kind, name) = match &pin.by {
                PinBy::Header(name) => ("header", name),
                PinBy::Cookie(name) => ("cookie", name),
            };
            let value = format!("whose {kind} {name} is {}", pin.value);
            row("while it waits requests go there", value, from)
        })
    });
    preview.chain(mirror).chain(pins).collect()
}

fn reached(preview: &PreviewSaid) -> String {
    let PreviewSaid { host, listen, cookie, to } = preview;
    let host = host.iter().map(|host| format!("as {host}"));
    let listen = listen.iter().map(|listen| format!("on {}", shown(listen)));
    let cookie = cookie.then(|| "by the cookie of `turnout preview`".to_owned());
    let mut all = host.chain(listen).chain(cookie).collect::<Vec<_>>().join(", ");
    if let Some((service, port)) = to {
        all.push_str(&format!(" ({service}:{port})"));
    }
    all
}

fn shown(listen: &ListenSaid) -> String {
    match listen.address {
        Some(address) => std::net::SocketAddr::new(address, listen.port).to_string(),
        None => format!("port {}", listen.port),
    }
}

/// What was said of this, of a canary and of `fallback`, and cannot be: each with what to write.
pub fn not_kept(derived: &Derived) -> Vec<String> {
    [steps::not_kept(derived), not_reached(derived)].concat()
}

fn not_reached(derived: &Derived) -> Vec<String> {
    let Beyond { preview, mirror, pins } = &derived.beyond;
    let waiting = [("preview", preview.is_some()), ("mirror", mirror.is_some()), ("pins", pins.is_some())];
    let waiting: Vec<&str> = waiting.into_iter().filter(|(_, said)| *said).map(|(key, _)| key).collect();
    let fallback = (!derived.fallback.value.is_empty()).then_some("fallback");
    let all: Vec<&str> = fallback.into_iter().chain(waiting.iter().copied()).collect();
    if all.is_empty() {
        return Vec::new();
    }
    if let Some(adapter) = &derived.adapter {
        let key = adapter.program.key();
        return all
            .iter()
            .map(|said| format!("{said} is turnout-proxy's, and {key} leads requests; take it out"))
            .collect();
    }
    let mut refused = Vec::new();
    if derived.promote.value == Promote::Auto && derived.canary.steps.is_none() {
        let why = "says what reaches a colour that waits to be promoted, and none does: write `promote: manual` or `steps`, or take it out";
        refused.extend(waiting.iter().map(|key| format!("{key} {why}")));
    }
    let http = || derived.routes.iter().filter(|route| is_http(route));
    if http().next().is_none() {
        let by_listener_alone = preview.as_ref().is_some_and(|said| said.value.host.is_none() && !said.value.cookie);
        let needs = all.iter().filter(|key| **key != "preview" || !by_listener_alone);
        refused.extend(
            needs.map(|key| format!("{key} needs a route whose requests are understood (protocol http); take it out")),
        );
    }
    refused.extend(preview.iter().flat_map(|said| ambiguous(&said.value, derived)));
    refused
}

/// Whether its requests are understood, or may turn out to be.
pub(crate) fn is_http(route: &Route) -> bool {
    route.spoken.may_be_http() && route.spoken.protocol() != Some(crate::protocol::Protocol::Https)
}

/// What a preview by name or by listener leads to has to be certain.
fn ambiguous(preview: &PreviewSaid, derived: &Derived) -> Vec<String> {
    let PreviewSaid { host, listen, cookie: _, to } = preview;
    let leads =
        |route: &&Route| to.as_ref().is_none_or(|(service, port)| (service, *port) == (&route.service, route.port));
    let mut refused = Vec::new();
    if let Some((service, port)) = to
        && !derived.routes.iter().any(|route| leads(&route))
    {
        refused.push(format!(
            "preview: no route leads to {service}:{port}; write as `to` where one leads, or take it out"
        ));
        return refused;
    }
    let http: Vec<&Route> = derived.routes.iter().filter(|route| is_http(route)).filter(leads).collect();
    let twice = |same: &dyn Fn(&Route, &Route) -> bool| {
        let numbered = http.iter().enumerate();
        let mut pairs = numbered.flat_map(|(at, one)| http.iter().skip(at + 1).map(move |two| (*one, *two)));
        pairs.find(|(one, two)| (&one.service, one.port) != (&two.service, two.port) && same(one, two))
    };
    let choose = |by: &str, (one, two): (&Route, &Route)| {
        format!(
            "preview by {by} could lead to {}:{} and to {}:{}; say which: preview: {{ …, to: \"{}:{}\" }}",
            one.service, one.port, two.service, two.port, one.service, one.port
        )
    };
    if let Some(host) = host {
        if let Some(both) = twice(&|one, two| one.path == two.path && one.listen == two.listen) {
            refused.push(choose("host name", both));
        }
        if derived.routes.iter().any(|route| route.hosts.contains(host)) {
            refused.push(format!("preview: {host} is a host of a route; give the next colour a name of its own"));
        }
    }
    if let Some(listen) = listen {
        if let Some(both) = twice(&|one, two| one.path == two.path) {
            refused.push(choose("listener", both));
        }
        if http.is_empty() && to.is_none() {
            refused.push("preview by listener: say where it leads: preview: { …, to: \"SERVICE:PORT\" }".to_owned());
        }
        if derived.routes.iter().any(|route| meets(&route.listen, listen)) {
            refused.push(format!("preview: a route listens on {} already; give it another port", shown(listen)));
        }
    }
    refused
}

/// Whether a route has this listener.
fn meets(route: &Listen, listen: &ListenSaid) -> bool {
    let Listen::Host { addresses, port: Some(port) } = route else { return false };
    let any = |address: &std::net::IpAddr| {
        listen.address.is_none_or(|own| own == *address || own.is_unspecified() || address.is_unspecified())
    };
    *port == listen.port && addresses.iter().any(any)
}
