//! Stacks as people write them.

use turnout_switch::explain;

use crate::support::{classes, derived, images, no_facts, refused, tracked};

const SHOP: &str = "
services:
  web:
    build: .
    ports: ['80:8000']
    environment: {DATABASE_URL: 'postgres://db/shop', CACHE: 'redis://cache', API_URL: 'http://api:9000'}
    healthcheck: {test: [CMD, curl, -f, 'http://localhost:8000/up']}
    depends_on: {db: {condition: service_healthy}, migrate: {condition: service_completed_successfully}}
  api: {build: ./api}
  worker: {build: ., command: celery -A shop worker}
  beat: {build: ., command: celery -A shop beat}
  migrate: {build: ., command: ./manage.py migrate, depends_on: [db]}
  db: {image: 'postgres:16', volumes: ['data:/var/lib/postgresql/data'], healthcheck: {test: pg_isready}}
  cache: {image: redis}
volumes: {data: {}}
";

/// What is printed, against a file beside this one.
fn snapshot(derived: &turnout_switch::Derived, expected: &str) {
    let got = explain(derived);
    assert!(got == expected, "printed now:\n{got}");
}

#[test]
fn a_shop_explained() {
    snapshot(&derived(SHOP, &no_facts()), include_str!("shop.txt"));
}

#[test]
fn stacks_of_the_design() {
    for (name, text, expected) in [
        ("a web that is built", "services: {web: {build: ., ports: ['80:8000']}}", "web: routed"),
        (
            "a worker that is built, PostgreSQL, Redis without a volume",
            "services: {web: {build: ., ports: ['80:8000']}, worker: {build: .}, db: {image: postgres, volumes: ['data:/d']}, \
             redis: {image: redis}}\nvolumes: {data: {}}",
            "db: shared, redis: shared, web: routed, worker: worker",
        ),
        (
            "nginx before an app",
            "services: {front: {image: nginx, ports: ['80:80'], depends_on: [app]}, app: {build: .}}",
            "app: internal, front: routed",
        ),
        (
            "Traefik by labels",
            "services: {traefik: {image: 'traefik:3', ports: ['80:80'], volumes: \
             ['/var/run/docker.sock:/var/run/docker.sock:ro']}, app: {build: ., labels: {traefik.http.routers.a.rule: x}}}",
            "app: worker, traefik: single",
        ),
        (
            "SQLite in a folder",
            "services: {app: {build: ., ports: ['80:8000'], volumes: ['./data:/data']}}",
            "app: held",
        ),
        (
            "two on one volume of uploads",
            "services: {web: {build: ., ports: ['80:8000'], volumes: ['uploads:/u']}, worker: {build: ., volumes: ['uploads:/u']}}\n\
             volumes: {uploads: {}}",
            "web: routed, worker: worker",
        ),
        (
            "Nextcloud",
            "services: {db: {image: mariadb, volumes: ['data:/d']}, nc: {image: nextcloud, ports: ['80:80'], volumes: \
             ['html:/var/www/html']}}\nvolumes: {data: {}, html: {}}",
            "db: shared, nc: held",
        ),
    ] {
        assert_eq!(classes(&derived(text, &no_facts())), expected, "{name}");
    }
}

#[test]
fn caddy_with_data_stays() {
    let text = "
services:
  caddy: {image: 'caddy:2', ports: ['80:80', '443:443'], volumes: ['./Caddyfile:/etc/caddy/Caddyfile:ro', 'data:/data']}
  app: {build: ., expose: ['8000']}
  db: {image: postgres}
volumes: {data: {}}
";
    let facts = tracked(&[("/srv/shop/Caddyfile", "example.org\nreverse_proxy app:8000\n")]);
    snapshot(&derived(text, &facts), include_str!("caddy.txt"));
}

#[test]
fn traefik_by_labels_is_refused() {
    let text = "
services:
  traefik: {image: 'traefik:3', ports: ['80:80'], volumes: ['/var/run/docker.sock:/var/run/docker.sock:ro']}
  app: {build: ., labels: {traefik.enable: 'true', 'traefik.http.routers.app.rule': 'Host(`a`)'}}
";
    assert_eq!(refused(&derived(text, &no_facts())).len(), 1);
    assert!(explain(&derived(text, &no_facts())).contains("in repos.yaml: switch: {adapter: {traefik: {"));
}

#[test]
fn a_front_that_is_built_is_seen_by_its_command() {
    let text = "services: {proxy: {build: proxy, ports: ['80:80'], depends_on: [backend]}, backend: {build: backend}}";
    let mut facts = images(&[("shop-proxy", &[], &[80])]);
    facts.images.get_mut("shop-proxy").unwrap().command = ["nginx", "-g", "daemon off;"].map(str::to_owned).to_vec();
    assert_eq!(classes(&derived(text, &facts)), "backend: internal, proxy: routed");
}
