//! A proxy of the user's own in the place of turnout-proxy: what can be said of it, and what follows.

use serde_json::{Value, json};
use turnout_switch::{
    Class, Said, clashes,
    dress::{Dress, coloured},
    refusal::Line,
    said::Adapter,
};

use crate::support::{check, derived_as, mistakes, no_facts, project, refused};

const TEXT: &str = "services: {web: {build: ., ports: ['80:8000']}, db: {image: postgres}}";

fn haproxy(backend: &Value) -> Value {
    json!({"adapter": {"haproxy": {"socket": "/run/haproxy/turnout.sock", "backend": backend}}})
}

#[test]
fn every_mistake_has_its_path() {
    for (adapter, expected) in [
        (
            json!("traefik"),
            "switch.adapter: is `traefik`; a program with where it is asked, such as { haproxy: { socket: …, backend: shop } }, \
             is wanted",
        ),
        (
            json!({"envoy": {}}),
            "switch.adapter.envoy: unknown key; known here: haproxy, nginx, caddy, traefik; switch.adapter: one program is wanted: \
             haproxy, nginx, caddy, traefik",
        ),
        (
            json!({"caddy": {"id": "a"}, "traefik": {"service": "a", "file": "/f"}}),
            "switch.adapter: one program is wanted: haproxy, nginx, caddy, traefik",
        ),
        (json!({"haproxy": {"backend": "shop"}}), "switch.adapter.haproxy.socket: is missing"),
        (json!({"haproxy": {"socket": "/s"}}), "switch.adapter.haproxy.backend: is missing"),
        (
            json!({"haproxy": {"socket": "/s", "backend": "shop; shutdown"}}),
            "switch.adapter.haproxy.backend: is `shop; shutdown`; a name of letters, digits, -, _ and . is wanted",
        ),
        (
            json!({"haproxy": {"socket": "/s", "backend": {"gone:1": "shop"}}}),
            "switch.adapter.haproxy.backend.gone:1: no service has this name; there are db, web",
        ),
        (
            json!({"nginx": {"upstream": "shop", "file": "shop.conf", "answers": "127.0.0.1:8099"}}),
            "switch.adapter.nginx.file: is `shop.conf`; a path that begins with `/` is wanted",
        ),
        (
            json!({"nginx": {"upstream": "shop", "file": "/a/../b", "answers": "127.0.0.1:8099"}}),
            "switch.adapter.nginx.file: is `/a/../b`; a path that begins with `/` is wanted",
        ),
        (
            json!({"nginx": {"upstream": "shop", "file": "/f", "answers": "0.0.0.0:8099"}}),
            "switch.adapter.nginx.answers: is `0.0.0.0:8099`; an address of this machine alone, such as 127.0.0.1:8099, is wanted",
        ),
        (
            json!({"caddy": {"id": "/config/../x"}}),
            "switch.adapter.caddy.id: is `/config/../x`; an @id of letters, digits, -, _ and ., or a path that begins with \
             /config/ is wanted",
        ),
        (json!({"traefik": {"service": "shop"}}), "switch.adapter.traefik.file: is missing"),
    ] {
        let switch = json!({ "adapter": adapter });
        assert_eq!(mistakes(TEXT, switch.clone()).to_string(), expected);
        // Without the project services are not looked up; all else is found.
        let alone = Adapter::alone(Some(&switch));
        assert_eq!(alone.is_err(), !expected.contains("no service"), "{expected}");
    }
    let text = "x-turnout: {adapter: {caddy: {id: a}}}\nservices: {web: {build: ., ports: ['80:8000']}}";
    let found = Said::read(None, &project(text)).unwrap_err().to_string();
    assert_eq!(found, "x-turnout.adapter: is no business of a commit; write it under `switch:` in repos.yaml");
    assert_eq!(Adapter::alone(Some(&json!("auto"))), Ok(None));
}

#[test]
fn places_lead_to_what_is_published_or_said() {
    let one = derived_as(TEXT, &no_facts(), &haproxy(&json!("shop")));
    assert_eq!(refused(&one), [""; 0]);
    let shown: Vec<String> =
        one.routes.iter().map(|it| format!("{} -> {}:{}", it.listen, it.service, it.port)).collect();
    assert_eq!(shown, ["backend shop of haproxy -> web:8000"]);
    let alone = Adapter::alone(Some(&haproxy(&json!({"web": "shop", "api:9000": "api"})))).unwrap().unwrap();
    assert_eq!(
        (alone.place("web", 8000), alone.place("api", 9000), alone.place("api", 1)),
        (Some("shop"), Some("api"), None)
    );

    // What publishes nothing and is led to has colours of its own, with a port for it.
    let text = "services: {web: {build: .}, mail: {build: ., command: [mail]}}";
    let silent = derived_as(text, &no_facts(), &haproxy(&json!({"web:8000": "shop"})));
    check(&silent, "web", Class::Routed, "gets requests from haproxy");
    let loopback = [(("web".to_owned(), 8000), 20_000)].into();
    let dress = Dress { name: "blueshop".into(), staying: "shop".into(), loopback, ..Dress::default() };
    let dressed = coloured(&project(text), &silent, &dress).unwrap().project;
    let ports = &dressed.services["web"].ports;
    assert_eq!((ports.len(), ports[0].host_ip.as_str(), ports[0].published.as_str()), (1, "127.0.0.1", "20000"));
}

#[test]
fn what_is_missing_is_refused_with_the_line_to_write() {
    for (text, switch, expected) in [
        (
            "services: {web: {build: ., ports: ['80:8000']}, api: {build: ./api, ports: ['81:8001']}}",
            haproxy(&json!("shop")),
            "haproxy is to lead requests to api:8001 and web:8000, and each needs a backend of its own <- switch: {adapter: \
             {haproxy: {backend: {\"api:8001\": api, \"web:8000\": web}}}}",
        ),
        (
            "services: {web: {build: ., expose: ['9000']}}",
            haproxy(&json!("shop")),
            "haproxy is to lead requests, and nothing is published: which port a backend leads to is not said <- switch: {adapter: \
             {haproxy: {backend: {\"web:9000\": web}}}}",
        ),
        (
            TEXT,
            json!({"routes": [{"listen": 80, "to": "web:8000"}], "adapter": {"caddy": {"id": "shop"}}}),
            "routes are said, whose listeners, hosts and paths only turnout-proxy has; caddy has its own <- switch: {routes: null}",
        ),
        (
            TEXT,
            json!({"trusted": ["10.0.0.0/8"], "adapter": {"caddy": {"id": "shop"}}}),
            "`trusted` says whom turnout-proxy believes, and caddy leads requests, which has its own <- switch: {trusted: null}",
        ),
        (
            "services: {web: {build: ., ports: ['80:8000']}, api: {build: ./api, ports: ['81:8001']}}",
            haproxy(&json!({"web:8000": "shop", "api:8001": "shop"})),
            "api of shop and web of shop both want the backend shop of haproxy <- switch: {adapter: {haproxy: {backend: {\"web:8000\": \
             shop-web}}}}",
        ),
    ] {
        assert_eq!(refused(&derived_as(text, &no_facts(), &switch)), [expected]);
    }
    let of = |place: &str| derived_as(TEXT, &no_facts(), &haproxy(&json!(place)));
    assert!(clashes(&[("shop", &of("shop")), ("blog", &of("blog"))]).is_empty());
    let found = clashes(&[("shop", &of("web")), ("blog", &of("web"))]);
    let Line::Repos(line) = &found[0].line else { panic!() };
    assert_eq!(line, &haproxy_backend("web:8000", "blog-web"));
}

fn haproxy_backend(key: &str, place: &str) -> Value {
    json!({"adapter": {"haproxy": {"backend": {key: place}}}})
}

#[test]
fn what_would_find_it_before_its_gate_is_taken_off() {
    let text = "
services:
  web:
    build: .
    ports: ['80:8000']
    labels: {traefik.enable: 'true', traefik.http.routers.web.rule: Host(`a`), caddy: a, caddy_1.tls: b, mine: c}
    environment: {VIRTUAL_HOST: a, VIRTUAL_PORT: '8000', MODE: x}
";
    let derived = derived_as(text, &no_facts(), &haproxy(&json!("shop")));
    assert_eq!(refused(&derived), [""; 0]);
    let notes: Vec<String> = derived.notes.iter().map(ToString::to_string).collect();
    let note = notes.iter().find(|note| note.contains("taken off web")).unwrap();
    assert!(note.ends_with("who gets requests is told by the adapter alone"), "{note}");
    let loopback = [(("web".to_owned(), 8000), 20_000)].into();
    let dress = Dress { name: "blueshop".into(), staying: "shop".into(), loopback, ..Dress::default() };
    let web = &coloured(&project(text), &derived, &dress).unwrap().project.services["web"];
    let labels: Vec<String> = web.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    for gone in ["traefik.http", "caddy", "traefik.enable=true"] {
        assert!(!labels.iter().any(|label| label.starts_with(gone)), "{labels:?}");
    }
    assert!(labels.contains(&"traefik.enable=false".to_owned()) && labels.contains(&"mine=c".to_owned()), "{labels:?}");
    assert_eq!(web.environment.keys().collect::<Vec<_>>(), ["MODE"]);
}
