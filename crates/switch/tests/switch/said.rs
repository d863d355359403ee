//! What can be said, who wins, and what is a mistake.

use serde_json::json;
use turnout_switch::{Class, Said};

use crate::support::{check, derived_as, mistakes, no_facts, project};

const TEXT: &str = "services: {web: {build: ., ports: ['80:8000']}, db: {image: postgres}}";

#[test]
fn every_mistake_has_its_path() {
    for (switch, expected) in [
        (json!("yes"), "switch: is `yes`; `auto`, or a mapping is wanted"),
        (json!(3), "switch: is the number 3; a mapping is wanted"),
        (
            json!({"servces": {}}),
            "switch.servces: unknown key; known here: by, colors, routes, protocol, health, services, order, bake, on_failure, promote, promote_deadline, drain, keep, fallback, preview, mirror, pins, adapter",
        ),
        (json!({"steps": []}), "switch.steps: is not there yet; take it out"),
        (json!({"by": "commit"}), "switch.by: is `commit`; one of deploy, color is wanted"),
        (json!({"services": {"wbe": "shared"}}), "switch.services.wbe: no service has this name; there are db, web"),
        (
            json!({"services": {"web": "blue"}}),
            "switch.services.web: is `blue`; one of routed, held, internal, worker, job, shared, single is wanted",
        ),
        (
            json!({"services": {"web": {"clas": 1}}}),
            "switch.services.web.clas: unknown key; known here: class, order, health, protocol",
        ),
        (json!({"bake": 60}), "switch.bake: is the number 60; a duration such as 90s or 24h is wanted"),
        (
            json!({"colors": ["red", "red"]}),
            "switch.colors: is a list; two different words of a-z, 0-9, - and _ is wanted",
        ),
        (
            json!({"routes": [{"listen": "x", "to": "web:8000"}]}),
            "switch.routes[0].listen: is `x`; a port, or an address with one such as 127.0.0.1:80 or [::]:80 is wanted",
        ),
        (
            json!({"routes": [{"listen": 80, "to": "gone:1"}]}),
            "switch.routes[0].to: no service has this name; there are db, web",
        ),
        (
            json!({"routes": [{"listen": 80, "to": "db"}]}),
            "switch.routes[0].to: is `db`; a service with the port in its container, such as web:8000, is wanted",
        ),
        (json!({"routes": [{}]}), "switch.routes[0].listen: is missing; switch.routes[0].to: is missing"),
        (
            json!({"protocol": {"web:8000": "spdy"}}),
            "switch.protocol.web:8000: is `spdy`; one of http, https, h2c, http2, grpc, ws, tcp is wanted",
        ),
        (json!({"health": "up"}), "switch.health: is `up`; a path that begins with `/` is wanted"),
        (
            json!({"promote": "after"}),
            "switch.promote: is `after`; one of auto, manual, or `after` and a duration such as `after 10m` is wanted",
        ),
        (
            json!({"promote": "after 0s"}),
            "switch.promote: is `after 0s`; one of auto, manual, or `after` and a duration such as `after 10m` is wanted",
        ),
        (
            json!({"preview": {"to": "web:8000"}}),
            "switch.preview: says nothing of how it is reached: `host`, `listen` or `cookie: true` is wanted",
        ),
        (
            json!({"preview": "*.example.org"}),
            "switch.preview: is `*.example.org`; `cookie`, or one host name such as next.shop.example.org, without a port, is wanted",
        ),
        (
            json!({"preview": {"cookie": true, "to": "gone:1"}}),
            "switch.preview.to: no service has this name; there are db, web",
        ),
        (
            json!({"mirror": 10}),
            "switch.mirror: is the number 10; a share from 1% to 100%, such as `mirror: 10%`, is wanted",
        ),
        (json!({"mirror": "0%"}), "switch.mirror: is `0%`; a share from 1% to 100%, such as `mirror: 10%`, is wanted"),
        (json!({"pins": [{"value": "1"}]}), "switch.pins[0]: needs either `header` or `cookie`"),
        (json!({"pins": [{"header": "X-Next"}]}), "switch.pins[0].value: is missing"),
        (
            json!({"pins": [{"cookie": "turnout-preview", "value": "1"}]}),
            "switch.pins[0].cookie: `turnout-preview` begins as cookies of turnout-proxy's own do",
        ),
        (
            json!({"bake": "x", "keep": "y"}),
            "switch.bake: is `x`; a duration such as 90s or 24h is wanted; switch.keep: is `y`; a duration such as 90s or 24h is wanted",
        ),
    ] {
        assert_eq!(mistakes(TEXT, switch).to_string(), expected);
    }
    let text = "x-turnout: {bak: 1s}\nservices: {web: {build: ., x-turnout: {class: rooted}}}";
    let found = Said::read(None, &project(text)).unwrap_err().to_string();
    assert_eq!(
        found,
        "x-turnout.bak: unknown key; known here: by, colors, routes, protocol, health, services, order, bake, on_failure, \
         promote, promote_deadline, drain, keep, fallback, preview, mirror, pins, adapter; services.web.x-turnout.class: is `rooted`; one of routed, held, internal, worker, \
         job, shared, single is wanted"
    );
}

#[test]
fn repos_yaml_wins() {
    let text = "
x-turnout: {services: {web: single, db: single}}
services:
  web: {build: ., ports: ['80:8000'], x-turnout: held}
  db: {image: postgres}
";
    let derived = derived_as(text, &no_facts(), &json!({"services": {"web": "shared"}}));
    check(&derived, "web", Class::Shared, "said in repos.yaml");
    check(&derived, "db", Class::Single, "said in x-turnout");
    let derived = derived_as(text, &no_facts(), &json!("auto"));
    check(&derived, "web", Class::Held, "said in x-turnout");
}

#[test]
fn a_class_said_for_one_is_that_of_all_joined_with_it() {
    let text = "services: {app: {build: ., ports: ['80:8000']}, side: {build: ., network_mode: 'service:app', devices: [/dev/kvm]}}";
    let derived = derived_as(text, &no_facts(), &json!({"services": {"app": "routed"}}));
    check(&derived, "app", Class::Routed, "said in repos.yaml");
    check(&derived, "side", Class::Routed, "is joined with app");
}

#[test]
fn a_job_can_be_said_and_unsaid() {
    let text = "
services:
  web: {build: ., ports: ['80:8000'], depends_on: {init: {condition: service_completed_successfully}}}
  init: {build: .}
  seed: {build: .}
";
    let derived = derived_as(text, &no_facts(), &json!({"services": {"init": "shared", "seed": "job"}}));
    check(&derived, "init", Class::Shared, "said in repos.yaml");
    check(&derived, "seed", Class::Job, "said in repos.yaml");
    assert_eq!(derived.jobs.len(), 1);
}

#[test]
fn what_reaches_a_colour_that_waits_is_said_in_words() {
    let text = "services: {web: {build: ., ports: ['80:8000']}, api: {build: ., ports: ['81:8000']}}";
    let said = json!({
        "promote": "manual", "mirror": "10%", "fallback": ["/assets"], "keep": "1h",
        "preview": {"host": "next.example.org", "cookie": true, "listen": "127.0.0.1:9000", "to": "web:8000"},
        "pins": [{"header": "X-Next", "value": "1"}],
    });
    let derived = derived_as(text, &no_facts(), &said);
    assert_eq!(turnout_switch::not_kept(&derived), Vec::<String>::new());
    // How wide a column is, is another test's.
    let shown = turnout_switch::explain(&derived).split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "as next.example.org, on 127.0.0.1:9000, by the cookie of `turnout preview` (web:8000)",
        "of 10 % of the requests that only ask",
        "whose header X-Next is 1",
        "a 404 is tried at the old colour /assets",
        "keep: then to go back to, stopped 1h",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn what_cannot_be_reached_so_is_refused_by_name() {
    let two = "services: {web: {build: ., ports: ['80:8000']}, api: {build: ., ports: ['81:8000']}}";
    let bytes = "services: {web: {build: ., ports: ['80:8000']}}";
    let cases = [
        // Nothing waits.
        (two, json!({"mirror": "10%"}), vec!["mirror says what reaches a colour that waits"]),
        (two, json!({"promote": "after 5m", "mirror": "10%"}), vec![]),
        // Another proxy leads.
        (
            bytes,
            json!({"adapter": {"haproxy": {"socket": "/run/h", "backend": "shop"}}, "fallback": ["/a"], "preview": "cookie"}),
            vec!["fallback is turnout-proxy's, and haproxy leads", "preview is turnout-proxy's, and haproxy leads"],
        ),
        (
            bytes,
            json!({"protocol": "tcp", "fallback": ["/a"]}),
            vec!["fallback needs a route whose requests are understood"],
        ),
        // On each listener its own.
        (two, json!({"promote": "manual", "preview": "next.example.org"}), vec![]),
        (
            two,
            json!({"promote": "manual", "preview": {"listen": 9000}}),
            vec!["could lead to api:8000 and to web:8000"],
        ),
        (two, json!({"promote": "manual", "preview": {"listen": 9000, "to": "api:8000"}}), vec![]),
        (
            two,
            json!({"promote": "manual", "preview": {"listen": 81, "to": "web:8000"}}),
            vec!["a route listens on port 81 already"],
        ),
        (
            two,
            json!({"promote": "manual", "preview": {"cookie": true, "to": "web:9"}}),
            vec!["no route leads to web:9"],
        ),
        (
            bytes,
            json!({"promote": "manual", "preview": "a.example.org", "routes": [{"listen": 80, "to": "web:8000", "hosts": ["a.example.org"]}]}),
            vec!["a.example.org is a host of a route"],
        ),
    ];
    for (text, said, expected) in cases {
        let found = turnout_switch::not_kept(&derived_as(text, &no_facts(), &said));
        assert_eq!(found.len(), expected.len(), "{said}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{said}: {found}");
        }
    }
}
