//! What is refused, and that the line to write lifts it.

use serde_json::{Value, json};
use turnout_switch::{Class, Derived, clashes, derive, refusal::Line};

use crate::support::{classes, derived, derived_as, no_facts, project, refused, tracked};

/// Puts what a line says into what was said before.
fn merge(into: &mut Value, line: &Value) {
    match (into, line) {
        (Value::Object(into), Value::Object(line)) => {
            for (key, value) in line {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, line) => *into = line.clone(),
    }
}

/// Whether all that is refused can be written away line by line, within a few rounds.
fn lifted(text: &str, facts: &turnout_switch::Facts, derived: Derived) -> Derived {
    let mut switch = json!({});
    let mut now = derived;
    for _ in 0..5 {
        let Some(first) = now.refusals.first().cloned() else { return now };
        let Line::Repos(value) = &first.line else { panic!("{} is for the Compose file", first.line) };
        merge(&mut switch, value);
        now = derived_as(text, facts, &switch);
        assert!(
            now.refusals.iter().all(|it| it.cause != first.cause),
            "{} is not lifted by {}",
            first.cause,
            first.line
        );
    }
    panic!("{:?}", refused(&now));
}

#[test]
fn what_stays_needs_what_moves() {
    for (services, expected) in [
        (
            "mon: {image: prom/mon, depends_on: [web]}",
            &["mon is shared and depends on web, which changes colour <- switch: {services: {mon: worker}}"][..],
        ),
        (
            "mon: {image: prom/mon, environment: {TARGET_URL: 'http://web:8000'}}",
            &["mon is shared and calls web by TARGET_URL, which changes colour <- switch: {services: {mon: worker}}"],
        ),
        (
            "mon: {image: prom/mon, volumes: ['mon:/m'], depends_on: [web]}",
            &["mon is shared and depends on web, which changes colour <- switch: {services: {web: shared}}"],
        ),
        (
            "vpn: {build: ., devices: [/dev/net/tun], depends_on: [web]}",
            &["vpn is single and depends on web, which changes colour <- switch: {services: {web: shared}}"],
        ),
        ("db: {image: postgres}", &[]),
    ] {
        let text = format!("services: {{web: {{build: ., ports: ['80:8000']}}, {services}}}\nvolumes: {{mon: {{}}}}");
        let found = derived(&text, &no_facts());
        assert_eq!(refused(&found), expected, "{services}");
        lifted(&text, &no_facts(), found);
    }
}

#[test]
fn fronts_by_labels() {
    for (found_by, cause) in [
        (
            "labels: ['traefik.http.routers.web.rule=Host(`a`)', 'traefik.http.services.w.loadbalancer.server.port=80']",
            "web is found by the label traefik.http.routers.web.rule: it would get requests before its gate <- switch: \
             {adapter: {traefik: {file: /etc/traefik/dynamic/turnout.yml, service: {\"web:80\": web}}}}",
        ),
        (
            "labels: {caddy: a.example.org}, expose: ['9000']",
            "web is found by the label caddy: it would get requests before its gate <- switch: {adapter: {caddy: {id: {\"web:9000\": web}}}}",
        ),
        (
            "environment: {VIRTUAL_HOST: a.example.org}",
            "web is found by VIRTUAL_HOST: it would get requests before its gate <- switch: {adapter: {nginx: {answers: \
             \"127.0.0.1:8099\", file: /etc/nginx/turnout/shop.conf, upstream: {\"web:8000\": web}}}}",
        ),
    ] {
        let text = format!("services: {{web: {{build: ., {found_by}}}}}");
        let found = derived(&text, &no_facts());
        assert_eq!(refused(&found), [cause]);
        lifted(&text, &no_facts(), found);
    }
    for harmless in [
        "labels: {traefik.enable: 'false', traefik.http.x: y}",
        "labels: {com.example: traefik}",
        "environment: {VIRTUAL_HOST: ''}",
    ] {
        let text = format!("services: {{web: {{build: ., {harmless}}}}}");
        assert!(derived(&text, &no_facts()).refusals.is_empty(), "{harmless}");
    }
    // What stays is found as before.
    let text = "services: {web: {build: .}, ui: {image: adminer, labels: {traefik.http.x: y}}}";
    assert!(derived(text, &no_facts()).refusals.is_empty());
}

#[test]
fn two_engines_on_one_volume_whatever_is_said() {
    let text = "services: {db: {image: postgres, volumes: ['data:/d']}, web: {build: ., ports: ['80:8000']}}\nvolumes: {data: {}}";
    for class in Class::ALL.into_iter().filter(|class| class.is_coloured()) {
        let found = derived_as(text, &no_facts(), &json!({"services": {"db": class.word()}}));
        assert_eq!(
            refused(&found),
            [
                "db is an engine: two of it on the volume shop_data destroy it, whatever is said <- switch: {services: {db: shared}}"
            ]
        );
        lifted(text, &no_facts(), found);
    }
    // One that another service writes as well is still one place.
    let two = "services: {db: {image: postgres, volumes: ['data:/d']}, b: {image: postgres, volumes: ['data:/d']}}\nvolumes: {data: {}}";
    assert_eq!(refused(&derived_as(two, &no_facts(), &json!({"services": {"db": "worker", "b": "worker"}}))).len(), 2);
    // A cache that keeps nothing in one place may be coloured on the user's word.
    let cache = "services: {cache: {image: redis}}";
    assert!(derived_as(cache, &no_facts(), &json!({"services": {"cache": "internal"}})).refusals.is_empty());
}

#[test]
fn other_words_that_would_do_harm() {
    let text =
        "services: {web: {build: ., ports: ['80:8000'], volumes: ['./d:/d']}, ui: {image: adminer, ports: ['81:80']}}";
    for (switch, cause) in [
        (
            json!({"services": {"web": {"order": "start-first"}}}),
            "web is said to start first, and writes /srv/shop/d, as nobody else does <- switch: {services: {web: {order: \
             stop-first}}}",
        ),
        (
            json!({"routes": [{"listen": 82, "to": "ui:80"}]}),
            "a route leads to ui, which is shared and keeps its own ports <- switch: {services: {ui: routed}}",
        ),
        (
            json!({"colors": ["green", "blue"]}),
            "COLOR is red, which is none of green and blue <- switch: {colors: [red, green]}",
        ),
    ] {
        assert_eq!(refused(&derived_as(text, &no_facts(), &switch)), [cause]);
    }
    // On the user's word, two may write where it is no engine.
    let said = derived_as(text, &no_facts(), &json!({"services": {"web": "routed"}}));
    assert!(said.refusals.is_empty());
    assert!(said.notes.iter().any(|note| note.to_string().contains("two of it may write /srv/shop/d")));
}

#[test]
fn two_repositories_on_one_listener() {
    let of = |ports: &str, switch: Value| {
        derived_as(&format!("services: {{web: {{build: ., ports: ['{ports}']}}}}"), &no_facts(), &switch)
    };
    let hosts = |name: &str| json!({"routes": [{"listen": 80, "to": "web:8000", "hosts": [name]}]});
    for (one, two, clash) in [
        (of("80:8000", json!("auto")), of("80:8000", json!("auto")), true),
        (of("80:8000", json!("auto")), of("81:8000", json!("auto")), false),
        (of("127.0.0.1:80:8000", json!("auto")), of("80:8000", json!("auto")), true),
        (of("127.0.0.1:80:8000", json!("auto")), of("127.0.0.2:80:8000", json!("auto")), false),
        (of("127.0.0.1:80:8000", json!("auto")), of("[::]:80:8000", json!("auto")), false),
        (of("8000", json!("auto")), of("8000", json!("auto")), false),
        (of("80:8000", hosts("a")), of("80:8000", hosts("b")), false),
        (of("80:8000", hosts("a")), of("80:8000", hosts("a")), true),
        (of("80:8000", hosts("a")), of("80:8000", json!("auto")), false),
        (of("80:8000", hosts("a")), of("80:8000", json!({"protocol": "tcp"})), true),
    ] {
        let found = clashes(&[("shop", &one), ("blog", &two)]);
        assert_eq!(found.len(), usize::from(clash), "{:?} {:?}", one.routes, two.routes);
    }
    let found = clashes(&[("shop", &of("80:8000", json!("auto"))), ("blog", &of("80:8000", json!("auto")))]);
    assert_eq!(
        format!("{} <- {}", found[0].cause, found[0].line),
        "web of shop and web of blog both want 0.0.0.0:80 and [::]:80, and not by different host names <- switch: {routes: \
         [{hosts: [blog.example.org], listen: 80, to: \"web:8000\"}]}"
    );
    let Line::Repos(line) = &found[0].line else { panic!() };
    assert!(clashes(&[("shop", &of("80:8000", json!("auto"))), ("blog", &of("80:8000", line.clone()))]).is_empty());
    // In one file, too.
    let text = "services: {a: {build: ., ports: ['80:1']}, b: {build: ., ports: ['80:1']}}";
    assert_eq!(derived(text, &no_facts()).refusals.len(), 1);
}

#[test]
fn a_front_that_stays_is_led_to_the_proxy() {
    let text = "
services:
  caddy: {image: caddy, ports: ['80:80', '443:443'], volumes: ['./Caddyfile:/etc/caddy/Caddyfile', 'data:/data']}
  app: {build: .}
volumes: {data: {}}
";
    let facts = tracked(&[("/srv/shop/Caddyfile", "shop.example.org {\n  reverse_proxy app:8000\n}\n")]);
    let derived = derived(text, &facts);
    assert_eq!(classes(&derived), "app: routed, caddy: single");
    assert_eq!(derived.routes.len(), 1);
    assert_eq!(derived.routes[0].listen.to_string(), "gateway of default:8000");
    assert!(derived.refusals.is_empty(), "{:?}", refused(&derived));

    // Where the port is not to be seen, the file is to say it.
    let blind = text
        .replace("  app: {build: .}", "  app: {build: .}\n")
        .replace("volumes: ['./Caddyfile:/etc/caddy/Caddyfile', ", "depends_on: [app], volumes: [");
    let blind = crate::support::derived(&blind, &no_facts());
    assert_eq!(
        refused(&blind),
        [
            "caddy stays and reaches app, and by which port (8000 is an example) or network is not to be seen <- services: {app: \
          {expose: [\"8000\"]}}"
        ]
    );
}

#[test]
fn jobs_in_the_namespaces_of_the_other_project() {
    let text = "
services:
  web: {build: ., ports: ['80:8000'], depends_on: {seed: {condition: service_completed_successfully}}}
  seed: {build: ., volumes_from: [db]}
  db: {image: postgres}
";
    let found = derived(text, &no_facts());
    let cause = "the job seed shares namespaces or volumes with db, and would be in another project";
    assert_eq!(refused(&found), [format!("{cause} <- switch: {{services: {{seed: shared}}}}")]);
    lifted(text, &no_facts(), found);
}

#[test]
fn derive_is_a_function() {
    let project = project("services: {web: {build: ., ports: ['80:8000']}}");
    let said = turnout_switch::Said::default();
    assert_eq!(derive(&project, &no_facts(), &said), derive(&project, &no_facts(), &said));
}
