//! What `status` tells, in figures as Prometheus reads them. Pure, but for the door at the end.

use std::fmt::Write as _;

use turnout_traffic::control::{
    CertificateStatus, ColourStatus, Failures, HttpCounts, LATENCY_MILLIS, Mirrored, RouteStatus, Status,
};

/// One value, and its labels.
type Value = (String, String);

/// The whole text. `dropped`: lines of the access log.
pub(crate) fn text(status: &Status, dropped: u64) -> String {
    let mut out = String::new();
    let single = |value: u64| vec![(String::new(), value.to_string())];
    family(&mut out, "serial", "gauge", "Serial number of the route table that is served", single(status.serial));
    family(&mut out, "durable", "gauge", "1 if the disk has that table", single(status.durable.into()));
    family(&mut out, "connections", "gauge", "Connections that are open", single(status.connections));
    family(
        &mut out,
        "access_log_dropped_total",
        "counter",
        "Lines that the access log had no room for",
        single(dropped),
    );
    if !status.certificates.is_empty() {
        certificates(&mut out, &status.certificates);
    }
    let mut doors = status.routes.iter().collect::<Vec<_>>();
    doors.dedup_by_key(|route| route.listen);
    let door = |value: fn(&RouteStatus) -> u64| {
        doors.iter().map(|route| (format!("listen=\"{}\"", route.listen), value(route).to_string())).collect()
    };
    family(&mut out, "taken_total", "counter", "Connections that a listener has taken", door(|route| route.taken));
    family(&mut out, "listening", "gauge", "1 if it is listened on", door(|route| route.listening.into()));
    family(
        &mut out,
        "unrouted_total",
        "counter",
        "Requests to a listener that were no route's",
        door(|of| of.unrouted),
    );
    let each = |value: fn(&RouteStatus) -> u64| {
        status.routes.iter().map(|route| (of_route(route), value(route).to_string())).collect()
    };
    family(&mut out, "requests_total", "counter", "Requests that came", each(|route| route.requests));
    family(&mut out, "answered_here_total", "counter", "Answers of the proxy's own", each(|route| route.answered_here));
    family(
        &mut out,
        "failed_total",
        "counter",
        "Connections and requests that a container failed",
        each(|of| of.failed),
    );
    family(&mut out, "waiting", "gauge", "Connections and requests that wait for a container", each(|of| of.waiting));
    let colours: Vec<(&RouteStatus, &ColourStatus)> =
        status.routes.iter().flat_map(|route| route.colours.iter().map(move |colour| (route, colour))).collect();
    let of = |value: fn(&ColourStatus) -> u64| {
        colours.iter().map(|(route, colour)| (of_colour(route, colour), value(colour).to_string())).collect()
    };
    family(&mut out, "weight", "gauge", "Share of the clients that a colour gets, of 100", of(|colour| colour.weight));
    family(&mut out, "open", "gauge", "Connections, or requests in flight and tunnels", of(|colour| colour.open));
    family(&mut out, "tunnels", "gauge", "What was HTTP and is another protocol now", of(|colour| colour.tunnels));
    family(&mut out, "received_bytes_total", "counter", "Bytes that containers got", of(|colour| colour.received));
    family(&mut out, "sent_bytes_total", "counter", "Bytes that clients got", of(|colour| colour.sent));
    let http = || {
        colours.iter().filter_map(|(route, colour)| colour.http.as_ref().map(|http| (of_colour(route, colour), http)))
    };
    let sent = http().map(|(labels, http)| (labels, http.requests.to_string())).collect();
    family(&mut out, "passed_total", "counter", "Requests that were sent to a container", sent);
    let classes = http().flat_map(|(labels, http)| {
        let numbered = http.answers.into_iter().enumerate();
        numbered.map(move |(at, count)| (format!("{labels},class=\"{}xx\"", at + 1), count.to_string()))
    });
    family(&mut out, "answers_total", "counter", "Answers of containers, by class of status", classes.collect());
    let failed = http().flat_map(|(labels, http)| {
        let Failures { bad_gateway, unavailable, timeout, broken_off } = http.failures;
        let kinds = [("502", bad_gateway), ("503", unavailable), ("504", timeout), ("broken_off", broken_off)];
        kinds.map(|(kind, count)| (format!("{labels},kind=\"{kind}\""), count.to_string()))
    });
    let help = "Requests of a colour that its containers did not answer, or not to the end";
    family(&mut out, "failures_total", "counter", help, failed.collect());
    let copies = http().flat_map(|(labels, http)| {
        let Mirrored { requests, answers, failed, dropped } = http.mirrored;
        let classes = answers.into_iter().enumerate().map(|(at, count)| (format!("{}xx", at + 1), count)).skip(1);
        let others = [("failed", failed), ("dropped", dropped)].map(|(kind, count)| (kind.to_owned(), count));
        // Few routes have any, and their lines are many.
        let any = requests > 0 || dropped > 0;
        let kinds = classes.chain(others).filter(move |_| any);
        let labels = labels.clone();
        kinds.map(move |(kind, count)| (format!("{labels},outcome=\"{kind}\""), count.to_string()))
    });
    let help = "Copies of requests that a colour got beside its own, by what became of them";
    family(&mut out, "copies_total", "counter", help, copies.collect());
    head(&mut out, "answer_seconds", "histogram", "Time from a request's being sent to the head of its answer");
    for (labels, http) in http() {
        histogram(&mut out, &labels, http);
    }
    out
}

/// Those that are obtained.
fn certificates(out: &mut String, all: &[CertificateStatus]) {
    let each = |value: fn(&CertificateStatus) -> Option<i64>| -> Vec<Value> {
        let told = |of: &CertificateStatus| Some((format!("host=\"{}\"", of.host), value(of)?.to_string()));
        all.iter().filter_map(told).collect()
    };
    let there = each(|of| Some(of.ends.is_some().into()));
    family(
        out,
        "certificate_there",
        "gauge",
        "0 if clients of the host get no TLS: there is no certificate yet",
        there,
    );
    let ends = each(|of| of.ends);
    family(out, "certificate_ends_seconds", "gauge", "Until when it counts, in seconds since 1970", ends);
    let failures = each(|of| Some(of.failures.into()));
    family(out, "certificate_failures", "gauge", "Failures in a row to obtain it", failures);
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Into a String: it cannot fail.
    let _ = writeln!(out, "# HELP turnout_proxy_{name} {help}.\n# TYPE turnout_proxy_{name} {kind}");
}

fn family(out: &mut String, name: &str, kind: &str, help: &str, values: Vec<Value>) {
    head(out, name, kind, help);
    for (labels, value) in values {
        let _ = match labels.is_empty() {
            true => writeln!(out, "turnout_proxy_{name} {value}"),
            false => writeln!(out, "turnout_proxy_{name}{{{labels}}} {value}"),
        };
    }
}

fn histogram(out: &mut String, labels: &str, http: &HttpCounts) {
    let mut sum = 0;
    for (at, count) in http.latency.iter().enumerate() {
        sum += count;
        let upper = LATENCY_MILLIS.get(at).map_or("+Inf".to_owned(), |millis| seconds(millis * 1_000));
        let _ = writeln!(out, "turnout_proxy_answer_seconds_bucket{{{labels},le=\"{upper}\"}} {sum}");
    }
    let total = seconds(http.latency_micros);
    let _ = writeln!(out, "turnout_proxy_answer_seconds_sum{{{labels}}} {total}");
    let _ = writeln!(out, "turnout_proxy_answer_seconds_count{{{labels}}} {sum}");
}

fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Names and hosts have no character that would need to be escaped.
fn of_route(route: &RouteStatus) -> String {
    let RouteStatus { repository, listen, hosts, path, .. } = route;
    let (hosts, path) = (hosts.join(" "), path.as_deref().unwrap_or_default());
    format!("repository=\"{repository}\",listen=\"{listen}\",hosts=\"{hosts}\",path=\"{path}\"")
}

fn of_colour(route: &RouteStatus, colour: &ColourStatus) -> String {
    let ColourStatus { name, generation, .. } = colour;
    format!("{},colour=\"{name}\",generation=\"{generation}\"", of_route(route))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(
            [0, 1, 1_000, 2_500_000, 10_000_000].map(seconds),
            ["0", "0.000001", "0.001", "2.5", "10"].map(str::to_owned)
        );
    }
}
