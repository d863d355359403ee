//! Whether two of a service may run at a time where a stack is deployed in place: what forbids it, and what does not.

use turnout_switch::{Facts, in_place};

use crate::support::{images, no_facts, project, tracked};

/// Services as text, of which `worker` asks for it; what forbids it.
fn bar(services: &str, facts: &Facts) -> Option<String> {
    let project = project(&format!("services:\n{services}volumes: {{data: {{}}}}\n"));
    assert!(in_place::any_asks(&project));
    let mut asked = in_place::start_first(&project, facts);
    let worker = asked.remove("worker").unwrap();
    assert!(asked.is_empty(), "nobody else asks");
    worker.err().map(|bar| bar.to_string())
}

/// A worker with these attributes.
fn worker(more: &str) -> String {
    format!("  worker: {{build: ., deploy: {{update_config: {{order: start-first}}}}{more}}}\n")
}

#[test]
fn what_forbids_two_at_a_time() {
    let port = "it publishes 8080, and a port of the host is one container's";
    let of_image = images(&[("shop-worker", &["/var/lib/data"], &[])]);
    let other = "  other: {image: tool, volumes: ['data:/d']}\n";
    let waits = "  web: {image: tool, depends_on: {worker: {condition: service_completed_successfully}}}\n";
    let writes =
        "it writes the volume shop_data, as nobody else does: mount that read-only (`:ro`) where it is only read";
    let table: &[(String, Facts, Option<&str>)] = &[
        (worker(""), no_facts(), None),
        (worker(", ports: ['8080:80']"), no_facts(), Some(port)),
        // The engine finds one for each.
        (worker(", ports: ['80']"), no_facts(), None),
        (
            worker(", container_name: one"),
            no_facts(),
            Some("its container_name is one, which one container can have: leave container_name out"),
        ),
        (worker(", network_mode: host"), no_facts(), Some("it is on the host's network")),
        (worker(", devices: ['/dev/ttyUSB0']"), no_facts(), Some("it has the device /dev/ttyUSB0")),
        (
            worker(", networks: {default: {ipv4_address: 172.30.0.9}}"),
            no_facts(),
            Some("it has the fixed address 172.30.0.9"),
        ),
        (worker(", volumes: ['data:/d']"), no_facts(), Some(writes)),
        (worker(", volumes: ['data:/d:ro']"), no_facts(), None),
        // Its authors have two write it at a time already.
        (format!("{}{other}", worker(", volumes: ['data:/d']")), no_facts(), None),
        (worker(", scale: 2, volumes: ['data:/d']"), no_facts(), None),
        (worker(", volumes: ['./conf:/conf']"), tracked(&[("/srv/shop/conf", "a")]), None),
        (worker(", volumes: ['/run/x.sock:/run/x.sock']"), no_facts(), None),
        (
            worker(""),
            of_image,
            Some(
                "it writes /var/lib/data, a volume that its image declares, as nobody else does: mount that read-only (`:ro`) \
                 where it is only read",
            ),
        ),
        (
            worker(", command: [celery, beat]"),
            no_facts(),
            Some("it is a scheduler, by the word beat: never runs twice"),
        ),
        (format!("{}{waits}", worker("")), no_facts(), Some("it is a job: web waits for its end")),
    ];
    for (services, facts, expected) in table {
        assert_eq!(bar(services, facts).as_deref(), *expected, "{services}");
    }
}

#[test]
fn nobody_is_asked_for_without_the_word() {
    let stop = "services:\n  worker: {build: ., deploy: {update_config: {order: stop-first}}}\n";
    for text in ["services:\n  worker: {build: .}\n", stop] {
        assert!(!in_place::any_asks(&project(text)));
        assert!(in_place::start_first(&project(text), &no_facts()).is_empty());
    }
}
