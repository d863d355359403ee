//! Routes, protocols, gates, order and times.

use serde_json::{Value, json};
use turnout_switch::{Facts, ImageFacts, said::Order};

use crate::support::{derived, derived_as, no_facts, refused};

/// Routes as `listen -> service:port protocol`.
fn routes(derived: &turnout_switch::Derived) -> Vec<String> {
    let shown = derived.routes.iter();
    shown.map(|route| format!("{} -> {}:{} {}", route.listen, route.service, route.port, route.spoken)).collect()
}

#[test]
fn listeners_are_what_the_file_publishes() {
    for (ports, expected) in [
        ("['80:8000']", &["0.0.0.0:80 and [::]:80 -> web:8000 asked in the gate"][..]),
        ("['127.0.0.1:80:8000']", &["127.0.0.1:80 -> web:8000 asked in the gate"]),
        ("['0.0.0.0:80:8000', '[::]:80:8000']", &["0.0.0.0:80 and [::]:80 -> web:8000 asked in the gate"]),
        (
            "['8000']",
            &["0.0.0.0:a port that turnout chooses and [::]:a port that turnout chooses -> web:8000 asked in the gate"],
        ),
        (
            "['80:8000', '2222:22']",
            &[
                "0.0.0.0:80 and [::]:80 -> web:8000 asked in the gate",
                "0.0.0.0:2222 and [::]:2222 -> web:22 tcp (the port of SSH)",
            ],
        ),
    ] {
        let text = format!("services: {{web: {{build: ., ports: {ports}}}}}");
        let mut got = routes(&derived(&text, &no_facts()));
        let mut expected = expected.to_vec();
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "{ports}");
    }
}

#[test]
fn app_protocols() {
    for (word, shown) in [
        ("http", "http (app_protocol: http)"),
        ("ws", "http (app_protocol: ws)"),
        ("h2c", "h2c (app_protocol: h2c)"),
        ("http2", "h2c (app_protocol: http2)"),
        ("grpc", "grpc (app_protocol: grpc)"),
        ("tcp", "tcp (app_protocol: tcp)"),
        ("https", "https, passed through (app_protocol: https)"),
        ("kubernetes.io/h2c", "h2c (app_protocol: kubernetes.io/h2c)"),
        ("postgresql", "tcp (app_protocol: postgresql)"),
        ("gopher", "asked in the gate"),
    ] {
        let port = format!("{{target: 8000, published: '80', app_protocol: {word}}}");
        let derived = derived(&format!("services: {{web: {{build: ., ports: [{port}]}}}}"), &no_facts());
        assert_eq!(derived.routes[0].spoken.to_string(), shown);
        let told = derived.notes.iter().any(|note| note.to_string().contains("no word that turnout knows"));
        assert_eq!(told, word == "gopher");
    }
}

#[test]
fn what_is_said_wins_over_what_is_written() {
    let text = "
services:
  web:
    build: .
    ports: [{target: 8000, published: '80', app_protocol: grpc}]
    x-turnout: {protocol: {'8000': h2c}}
";
    let spoken = |switch| derived_as(text, &no_facts(), &switch).routes[0].spoken.to_string();
    assert_eq!(spoken(json!("auto")), "h2c (said in x-turnout)");
    assert_eq!(spoken(json!({"protocol": {"web:8000": "tcp"}})), "tcp (said in repos.yaml)");
    assert_eq!(spoken(json!({"protocol": {"web": "https"}})), "https, passed through (said in repos.yaml)");
    assert_eq!(spoken(json!({"protocol": "http"})), "http (said in repos.yaml)");
}

#[test]
fn said_routes_take_the_place_of_the_published_port() {
    let text = "services: {web: {build: ., ports: ['80:8000', '82:8002']}}";
    let switch = json!({"routes": [
        {"listen": "[::1]:81", "to": "web:8000", "hosts": ["a.example.org"], "path": "/x", "strip_path": true},
        {"listen": 443, "to": "web:9000", "tls": "auto", "protocol": "grpc", "proxied_by": ["10.0.0.0/8"], "proxy_protocol": "v2"},
    ]});
    let derived = derived_as(text, &no_facts(), &switch);
    assert_eq!(
        routes(&derived),
        [
            "[::1]:81 -> web:8000 asked in the gate",
            "0.0.0.0:443 and [::]:443 -> web:9000 grpc (said in repos.yaml)",
            "0.0.0.0:82 and [::]:82 -> web:8002 asked in the gate"
        ]
    );
    let told = "nobody listens on 0.0.0.0:80 and [::]:80, where web publishes 8000: a route to web:8000 is said";
    assert!(derived.notes.iter().any(|note| note.to_string().starts_with(told)), "{:?}", derived.notes);
    assert!(derived.routes[0].strip_path && derived.routes[0].listen.is_loopback());
    let second = &derived.routes[1];
    assert_eq!((second.proxied_by.as_slice(), second.proxy_protocol), (&["10.0.0.0/8".to_owned()][..], Some(2)));
}

#[test]
fn of_a_published_port_what_no_route_listens_on_is_told() {
    let text = "services: {web: {build: ., ports: ['80:8000']}}";
    let told = |listen: &str| {
        let derived = derived_as(text, &no_facts(), &json!({"routes": [{"listen": listen, "to": "web:8000"}]}));
        let notes = derived.notes.iter().map(ToString::to_string).filter(|note| note.starts_with("nobody listens"));
        notes.map(|note| note.split(',').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told("80"), Vec::<String>::new());
    assert_eq!(told("0.0.0.0:80"), ["nobody listens on [::]:80"]);
    assert_eq!(told("81"), ["nobody listens on 0.0.0.0:80 and [::]:80"]);
}

#[test]
fn redirects_lead_to_the_port_that_has_the_host_with_tls() {
    let text = "services: {web: {build: ., ports: ['80:8000']}, api: {build: ., ports: ['81:8001']}}";
    let port = |redirect: Value, secure: &[Value]| {
        let all: Vec<Value> = [&[redirect][..], secure].concat();
        let derived = derived_as(text, &no_facts(), &json!({"routes": all}));
        (derived.routes[0].redirect, refused(&derived))
    };
    let plain = |more: Value| with(json!({"listen": 80, "to": "web:8000", "redirect": "https"}), more);
    let secure = |more: Value| with(json!({"listen": 443, "to": "web:8000", "tls": "acme"}), more);
    let found = |of: (Option<u16>, Vec<String>)| {
        assert_eq!(of.1, Vec::<String>::new());
        of.0.unwrap()
    };
    let (a, b) = (json!({"hosts": ["a.example.org"]}), json!({"hosts": ["b.example.org"], "listen": 8443}));
    let both = json!({"hosts": ["a.example.org", "b.example.org"]});
    assert_eq!(found(port(plain(a.clone()), &[secure(b.clone()), secure(a.clone())])), 443);
    assert_eq!(found(port(plain(json!({"hosts": ["b.example.org"]})), &[secure(b.clone()), secure(a.clone())])), 8443);
    assert_eq!(found(port(plain(a.clone()), &[secure(json!({"hosts": ["*.example.org"]}))])), 443);
    assert_eq!(found(port(plain(json!({})), &[secure(json!({}))])), 443);
    let passed = json!({"listen": 444, "to": "api:8001", "protocol": "https", "hosts": ["a.example.org"]});
    assert_eq!(found(port(plain(a.clone()), &[passed])), 444);
    assert_eq!(found(port(plain(json!({"path": "/x/y"})), &[secure(json!({"path": "/x"}))])), 443);
    assert_eq!(
        found(port(plain(both.clone()), &[secure(a.clone()), secure(json!({"hosts": ["b.example.org"]}))])),
        443
    );

    let acme =
        |host: &str| format!("switch: {{routes: [{{hosts: [{host}], listen: 443, tls: acme, to: \"web:8000\"}}]}}");
    for (redirect, secure, what, line) in [
        (plain(a.clone()), vec![], "the host a.example.org", acme("a.example.org")),
        (plain(both), vec![secure(a.clone()), secure(b)], "the host b.example.org", acme("b.example.org")),
        (plain(json!({})), vec![], "all hosts", acme("web.example.org")),
        (
            plain(json!({})),
            vec![secure(a.clone())],
            "all hosts",
            "switch: {routes: [{hosts: [a.example.org], listen: 80, redirect: https, to: \"web:8000\"}]}".to_owned(),
        ),
        (plain(json!({"path": "/xy"})), vec![secure(json!({"path": "/x"}))], "all hosts", acme("web.example.org")),
    ] {
        let (found, refused) = port(redirect, &secure);
        assert_eq!(found, None);
        let [one] = refused.as_slice() else { panic!("{refused:?}") };
        let (cause, wanted) = one.split_once(" <- ").unwrap();
        assert!(
            cause.ends_with(&format!("redirects to https, and no route with TLS serves {what} and its path there")),
            "{one}"
        );
        assert_eq!(wanted, line);
    }
}

/// A mapping with more in it.
fn with(mut value: Value, more: Value) -> Value {
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

#[test]
fn networks_are_trusted_by_a_route_or_by_all_of_http() {
    let text = "services: {web: {build: ., ports: ['80:8000', '81:8001']}, raw: {build: ., ports: ['82:9000']}}";
    let switch = json!({"trusted": ["10.0.0.0/8"], "protocol": {"raw": "tcp"}, "routes": [
        {"listen": 443, "to": "web:8000", "tls": "acme", "hosts": ["a.example.org"], "hsts": "1y", "trusted": ["192.0.2.0/24"]},
        {"listen": 83, "to": "web:8000", "trusted": []},
    ]});
    let derived = derived_as(text, &no_facts(), &switch);
    let trusted: Vec<String> = derived.routes.iter().map(|route| route.trusted.join(",")).collect();
    assert_eq!(trusted, ["192.0.2.0/24", "", "", "10.0.0.0/8"], "{:?}", routes(&derived));
    assert_eq!(derived.routes[0].hsts.unwrap().as_std().as_secs(), 31_536_000);
}

#[test]
fn a_gate_has_as_long_as_its_health_check_may_fail_besides() {
    let seconds = |seconds: i64| turnout_compose::model::Duration(seconds * 1_000_000_000);
    let image = ImageFacts { healthcheck: true, start_period: seconds(30), ..ImageFacts::default() };
    let facts = Facts { images: [("shop-web".to_owned(), image)].into(), ..Facts::default() };
    for (check, facts, timeout) in [
        ("test: [CMD, ok], start_period: 5m", no_facts(), "7m0s"),
        ("interval: 1s", facts.clone(), "2m30s"),
        ("start_period: 1m", facts.clone(), "3m0s"),
        ("disable: true, start_period: 5m", facts, "2m0s"),
        ("start_period: 5m", no_facts(), "2m0s"),
    ] {
        let derived = derived(&format!("services: {{web: {{build: ., healthcheck: {{{check}}}}}}}"), &facts);
        assert_eq!(derived.services["web"].gate.as_ref().unwrap().timeout.value.to_string(), timeout, "{check}");
    }
}

#[test]
fn gates() {
    let image = ImageFacts { healthcheck: true, ..ImageFacts::default() };
    let facts = Facts { images: [("shop-web".to_owned(), image)].into(), ..Facts::default() };
    for (check, facts, shown) in [
        ("test: [CMD, ok]", no_facts(), "Service"),
        ("test: [NONE]", facts.clone(), "None"),
        ("disable: true", facts.clone(), "None"),
        ("interval: 3s", facts.clone(), "Image"),
        ("interval: 3s", no_facts(), "None"),
    ] {
        let derived = derived(&format!("services: {{web: {{build: ., healthcheck: {{{check}}}}}}}"), &facts);
        let gate = derived.services["web"].gate.as_ref().unwrap();
        assert_eq!(format!("{:?}", gate.check), shown, "{check}");
        assert_eq!((gate.page.value.as_str(), gate.timeout.value.to_string().as_str()), ("/", "2m0s"));
    }
    let text = "services: {web: {build: ., x-turnout: {health: {path: /up, timeout: 5s}}}}";
    let gate = |switch| derived_as(text, &no_facts(), &switch).services["web"].gate.clone().unwrap();
    assert_eq!(gate(json!("auto")).page.value, "/up");
    let said = gate(json!({"health": "/ok"}));
    assert_eq!((said.page.value.as_str(), said.timeout.value.to_string().as_str()), ("/ok", "5s"));
}

#[test]
fn order_is_composes() {
    use Order::{StartFirst, StopFirst};
    let web = "build: ., ports: ['80:8000']";
    let with = |order: &str| format!("deploy: {{update_config: {{order: {order}}}}}");
    for (service, order, why) in [
        (format!("web: {{{web}}}"), StartFirst, "default"),
        (format!("web: {{{web}, {}}}", with("stop-first")), StopFirst, "deploy.update_config.order"),
        ("web: {build: .}".to_owned(), StopFirst, "workers do not overlap"),
        (format!("web: {{build: ., {}}}", with("start-first")), StartFirst, "deploy.update_config.order"),
        (format!("web: {{{web}, volumes: ['./d:/d'], {}}}", with("start-first")), StopFirst, "one writer"),
        (format!("beat: {{build: ., {}}}", with("start-first")), StopFirst, "a scheduler"),
        ("beat: {build: ., x-turnout: {order: start-first}}".to_owned(), StartFirst, "said in x-turnout"),
    ] {
        let derived = derived(&format!("services: {{{service}}}"), &no_facts());
        let got = derived.services.values().next().unwrap().order.unwrap();
        assert_eq!((got.0, got.1.to_string().as_str()), (order, why), "{service}");
    }
    // An order for all is not meant for a scheduler.
    let derived = derived_as("services: {beat: {build: .}}", &no_facts(), &json!({"order": "start-first"}));
    assert_eq!(derived.services["beat"].order.unwrap().0, StopFirst);
}

#[test]
fn bake_and_failure_are_composes() {
    let text = "
services:
  web: {build: ., ports: ['80:8000'], deploy: {replicas: 3, update_config: {monitor: 90s, failure_action: pause}}}
  api: {build: ., ports: ['81:8000'], deploy: {update_config: {monitor: 20s, failure_action: rollback}}}
  old: {build: ., ports: ['82:8000'], deploy: {update_config: {failure_action: continue}}}
  db: {image: postgres, deploy: {update_config: {monitor: 1h}}}
";
    let derived = derived(text, &no_facts());
    assert_eq!(
        (derived.bake.value.to_string(), derived.bake.from.to_string()),
        ("1m30s".into(), "deploy.update_config.monitor of web".into())
    );
    assert_eq!(
        format!("{:?} {}", derived.on_failure.value, derived.on_failure.from),
        "Pause deploy.update_config.failure_action of web"
    );
    assert_eq!(derived.services["web"].replicas, 3);
    assert!(derived.notes.iter().any(|note| note.to_string().contains("failure_action: continue of old")));
    let said = derived_as(text, &no_facts(), &json!({"bake": "5s", "on_failure": "rollback", "keep": "1h"}));
    assert_eq!((said.bake.value.to_string(), said.keep.value.to_string()), ("5s".into(), "1h0m0s".into()));
    assert_eq!(format!("{:?} {}", said.on_failure.value, said.on_failure.from), "Rollback said in repos.yaml");
}

#[test]
fn requests_go_to_the_next_colour_at_once_unless_it_is_said_otherwise() {
    let text = "services: {web: {build: ., ports: ['80:8000']}}";
    for (switch, who, deadline) in [
        (json!({}), None, None),
        (json!({"promote": "auto"}), None, None),
        (json!({"promote": "manual"}), Some("it waits for `turnout promote`"), Some("24h")),
        (json!({"promote": "manual", "promote_deadline": "2h"}), Some("it waits for `turnout promote`"), Some("2h")),
        (json!({"promote": "after 10m"}), Some("10m after it is ready, or by `turnout promote`"), None),
    ] {
        let shown = turnout_switch::explain(&derived_as(text, &no_facts(), &switch));
        let of = |what: &str| {
            let line = shown.lines().find(|line| line.trim_start().starts_with(what))?;
            Some(line.trim_start().trim_start_matches(what).trim().to_owned())
        };
        let begins = |found: &Option<String>, with: Option<&str>| match (found, with) {
            (None, None) => true,
            (Some(found), Some(with)) => found.starts_with(with),
            _ => false,
        };
        assert!(begins(&of("requests go to the next colour"), who), "{switch}: {shown}");
        assert!(begins(&of("a promotion is waited for"), deadline), "{switch}: {shown}");
    }
}

#[test]
fn links_beside_the_networks_of_what_stays() {
    let text = "
services:
  web: {build: ., ports: ['80:8000'], networks: [front, back]}
  db: {image: postgres, container_name: shopdb, networks: {back: {aliases: [database]}}}
  cache: {image: redis, networks: [edge]}
  api: {build: ., ports: ['81:8000'], networks: [edge, named]}
networks: {front: {}, back: {}, edge: {external: true}, named: {name: other}}
";
    let derived = derived(text, &no_facts());
    assert_eq!(derived.links.len(), 1);
    let link = &derived.links[0];
    assert_eq!((link.network.as_str(), link.moving.as_slice()), ("back", &["web".to_owned()][..]));
    assert_eq!(link.staying["db"], ["db", "shopdb", "database"]);
    assert_eq!(derived.outside, ["edge", "named"]);
}

#[test]
fn colours() {
    let text = "services: {web: {build: ., ports: ['80:8000']}}";
    for (colour, switch, named, partner) in [
        (None, json!("auto"), "red", "blue"),
        (Some("blue"), json!("auto"), "blue", "red"),
        (Some("green"), json!("auto"), "green", "blue"),
        (Some("green"), json!({"colors": ["green", "black"]}), "green", "black"),
    ] {
        let facts = Facts { colour: colour.map(str::to_owned), ..Facts::default() };
        let colours = derived_as(text, &facts, &switch).colours;
        assert_eq!((colours.named.as_str(), colours.partner.as_str()), (named, partner));
    }
}
