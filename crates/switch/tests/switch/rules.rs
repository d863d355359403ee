//! Each rule, in the order of the rules: what fits it, and what nearly does.

use turnout_switch::{Class, Facts, FileFacts, FileKind, ImageFacts};

use crate::support::{check, classes, derived, derived_as, images, no_facts, project, tracked, why};

/// Services as text below `services:`, and the class and reason of the first one.
fn table(cases: &[(&str, Facts, &str, Class, &str)]) {
    for (services, facts, service, class, reason) in cases {
        let derived = derived(&format!("services:\n{services}"), facts);
        let fate = &derived.services[*service];
        assert_eq!((fate.class, fate.reason.to_string().as_str()), (*class, *reason), "{services}");
    }
}

#[test]
fn rule_1_jobs_are_waited_for() {
    let text = "
services:
  migrate: {build: ., command: migrate}
  schema: {image: tool}
  web: {build: ., ports: ['80:8000'], depends_on: {migrate: {condition: service_completed_successfully}}}
  db: {image: postgres, depends_on: {schema: {condition: service_completed_successfully}}}
";
    let derived = derived(text, &no_facts());
    check(&derived, "migrate", Class::Job, "web waits for its end");
    check(&derived, "schema", Class::Job, "db waits for its end");
    let jobs: Vec<_> = derived.jobs.iter().map(|job| (job.service.as_str(), job.stays)).collect();
    assert_eq!(jobs, [("schema", true), ("migrate", false)]);
}

#[test]
fn jobs_of_jobs_belong_to_whom_they_serve_and_run_in_order() {
    let text = "
services:
  web: {build: ., ports: ['80:8000'], depends_on: {b: {condition: service_completed_successfully}}}
  b: {image: tool, depends_on: {c: {condition: service_completed_successfully}}}
  c: {image: tool}
  db: {image: postgres, depends_on: {y: {condition: service_completed_successfully}}}
  y: {image: tool, depends_on: {z: {condition: service_completed_successfully}}}
  z: {image: tool}
";
    let derived = derived(text, &no_facts());
    let jobs: Vec<_> = derived.jobs.iter().map(|job| (job.service.as_str(), job.stays)).collect();
    assert_eq!(jobs, [("z", true), ("y", true), ("c", false), ("b", false)]);
}

#[test]
fn rule_2_what_is_the_hosts_is_single() {
    let single = Class::Single;
    let cases = [
        ("network_mode: host", "is on the host's network"),
        ("pid: host", "sees the host's processes"),
        ("devices: ['/dev/ttyUSB0:/dev/ttyUSB0']", "has the device /dev/ttyUSB0"),
        ("gpus: all", "has the device of its GPU request"),
        ("ports: ['53:53/udp', '80:80']", "publishes 53/udp, which no proxy holds"),
        ("ports: ['9000-9005:80']", "publishes one of the host's ports 9000-9005"),
        ("networks: {default: {ipv4_address: 172.30.0.9}}", "has the fixed address 172.30.0.9"),
    ];
    for (attribute, reason) in cases {
        let networks = "networks: {default: {ipam: {config: [{subnet: 172.30.0.0/16}]}}}";
        let text = format!("services: {{web: {{build: ., {attribute}}}}}\n{networks}\n");
        check(&derived(&text, &no_facts()), "web", single, reason);
    }
    // Ranges of the same length are so many single ports.
    let many = derived("services: {web: {build: ., ports: ['9000-9001:9000-9001']}}", &no_facts());
    check(&many, "web", Class::Routed, "publishes 9000");
    assert_eq!(many.routes.len(), 2);
}

#[test]
fn rule_3_the_engines_socket() {
    let socket = "volumes: ['/var/run/docker.sock:/var/run/docker.sock']";
    table(&[
        (
            &format!("  ui: {{build: ., ports: ['80:80'], {socket}}}"),
            no_facts(),
            "ui",
            Class::Single,
            "publishes ports and has the engine's socket",
        ),
        // Without a port, a socket is no storage: a worker.
        (
            &format!("  ui: {{build: ., {socket}}}"),
            no_facts(),
            "ui",
            Class::Worker,
            "nobody calls it, and it publishes nothing",
        ),
    ]);
}

#[test]
fn rule_4_engines_are_shared() {
    let built = ImageFacts { ports: [5432].into(), ..ImageFacts::default() };
    let built = Facts { images: [("shop-store".to_owned(), built)].into(), ..Facts::default() };
    table(&[
        ("  db: {image: 'postgres:16'}", no_facts(), "db", Class::Shared, "is PostgreSQL, by its image postgres:16"),
        ("  cache: {image: redis}", no_facts(), "cache", Class::Shared, "is Redis, by its image redis"),
        ("  store: {build: .}", built, "store", Class::Shared, "is PostgreSQL, by its port 5432"),
        ("  store: {build: ., expose: ['6379']}", no_facts(), "store", Class::Shared, "is Redis, by its port 6379"),
        (
            "  db: {build: ., image: 'me/mysql', ports: ['80:80']}",
            no_facts(),
            "db",
            Class::Shared,
            "is MySQL, by its image me/mysql",
        ),
        // A proxy before an engine is none.
        ("  lb: {image: haproxy, ports: ['5432:5432']}", no_facts(), "lb", Class::Shared, "is not built here"),
    ]);
}

#[test]
fn rule_5_one_writer() {
    let held = Class::Held;
    let ours = "build: ., ports: ['80:8000']";
    table(&[
        (
            &format!("  web: {{{ours}, volumes: ['./data:/data']}}"),
            no_facts(),
            "web",
            held,
            "writes /srv/shop/data, as nobody else does",
        ),
        (
            &format!("  web: {{{ours}, volumes: [/data]}}"),
            no_facts(),
            "web",
            held,
            "writes a volume without a name at /data, as nobody else does",
        ),
        (
            &format!("  web: {{{ours}}}"),
            images(&[("shop-web", &["/data"], &[])]),
            "web",
            held,
            "writes /data, a volume that its image declares, as nobody else does",
        ),
        // Covered by a mount that holds nothing.
        (
            &format!("  web: {{{ours}, tmpfs: ['/data:size=1m']}}"),
            images(&[("shop-web", &["/data/"], &[])]),
            "web",
            Class::Routed,
            "publishes 80",
        ),
        (
            &format!(
                "  web: {{{ours}, volumes: ['./conf:/conf', './ro:/ro:ro', '/etc/localtime:/etc/localtime', '/dev/shm:/x', '/run/a.sock:/a']}}"
            ),
            tracked(&[("/srv/shop/conf", "")]),
            "web",
            Class::Routed,
            "publishes 80",
        ),
        (
            "  job: {build: ., volumes: ['./data:/data']}",
            no_facts(),
            "job",
            Class::Shared,
            "writes /srv/shop/data, as nobody else does",
        ),
        // Not HTTP.
        (
            "  game: {build: ., ports: ['25565:25565'], volumes: ['./data:/data']}",
            no_facts(),
            "game",
            Class::Shared,
            "writes /srv/shop/data, as nobody else does",
        ),
    ]);
    let socket = FileFacts { kind: FileKind::Socket, ..FileFacts::default() };
    let facts = Facts { files: [("/srv/shop/bus".to_owned(), socket)].into(), ..Facts::default() };
    let text = format!("  web: {{{ours}, volumes: ['./bus:/bus']}}");
    table(&[(&text, facts, "web", Class::Routed, "publishes 80")]);
}

#[test]
fn common_storage_holds_nobody() {
    let two = "
services:
  web: {build: ., ports: ['80:8000'], volumes: ['uploads:/u']}
  worker: {build: ., volumes: ['uploads:/u']}
volumes: {uploads: {}}
";
    assert_eq!(classes(&derived(two, &no_facts())), "web: routed, worker: worker");
    let replicas = "services: {web: {build: ., ports: ['80:8000'], volumes: ['./u:/u'], scale: 2}}";
    assert_eq!(classes(&derived(replicas, &no_facts())), "web: routed");
    // Volumes without a name are one for each container, however many there are.
    let nameless = "services: {web: {build: ., ports: ['80:8000'], volumes: [/u], scale: 2}}";
    assert_eq!(classes(&derived(nameless, &no_facts())), "web: held");
    // A job does not run beside it.
    let job = "
services:
  web:
    build: .
    ports: ['80:8000']
    volumes: ['./u:/u']
    depends_on: {migrate: {condition: service_completed_successfully}}
  migrate: {build: ., volumes: ['./u:/u']}
";
    assert_eq!(classes(&derived(job, &no_facts())), "migrate: job, web: held");
    // Two parts of a volume are two places.
    let parts = "
services:
  web: {build: ., ports: ['80:8000'], volumes: [{type: volume, source: d, target: /u, volume: {subpath: a}}]}
  api: {build: ., ports: ['81:8000'], volumes: [{type: volume, source: d, target: /u, volume: {subpath: b}}]}
volumes: {d: {}}
";
    assert_eq!(classes(&derived(parts, &no_facts())), "api: held, web: held");
    // Who reads only is no writer.
    let reader = "
services:
  web: {build: ., ports: ['80:8000'], volumes: ['./u:/u']}
  worker: {build: ., volumes: ['./u:/u:ro']}
";
    assert_eq!(classes(&derived(reader, &no_facts())), "web: held, worker: worker");
}

#[test]
fn rule_6_others_are_shared_but_for_fronts() {
    let text = "
services:
  app: {build: .}
  worker: {build: .}
  front: {image: nginx, ports: ['80:80'], depends_on: [app]}
  admin: {image: dpage/pgadmin4, ports: ['81:80'], depends_on: [db]}
  agent: {image: agent}
  db: {image: postgres}
";
    let derived = derived(text, &no_facts());
    check(&derived, "front", Class::Routed, "stands before app");
    check(&derived, "app", Class::Internal, "stands behind front");
    check(&derived, "admin", Class::Shared, "is not built here");
    check(&derived, "agent", Class::Shared, "is not built here");
    check(&derived, "worker", Class::Worker, "nobody calls it, and it publishes nothing");
}

#[test]
fn where_nothing_is_built_what_publishes_http_is_ours() {
    let text = "
services:
  app: {image: 'me/app:3', ports: ['80:8000']}
  worker: {image: 'me/app:3', command: work}
  other: {image: other}
  db: {image: postgres, ports: ['5432:5432']}
";
    assert_eq!(classes(&derived(text, &no_facts())), "app: routed, db: shared, other: shared, worker: worker");
    // A database that is built does not make an app of somebody else's a stranger.
    let text = text.replace("{image: postgres,", "{build: ., image: postgres,");
    assert_eq!(classes(&derived(&text, &no_facts())), "app: routed, db: shared, other: shared, worker: worker");
}

#[test]
fn rule_8_who_is_called_lives_as_long_as_its_colour() {
    let web = "  web: {build: ., ports: ['80:8000'], depends_on: [api], environment: {API: 'http://api:9000'}}\n";
    table(&[
        (&format!("{web}  api: {{build: ./api}}"), no_facts(), "api", Class::Internal, "web calls it, by API"),
        (
            "  web: {build: ., ports: ['80:8000'], command: [serve, --upstream, api]}\n  api: {build: ./api}",
            no_facts(),
            "api",
            Class::Internal,
            "web calls it, by its command",
        ),
        (
            "  web: {build: ., ports: ['80:8000'], links: [api]}\n  api: {build: ./api}",
            no_facts(),
            "api",
            Class::Internal,
            "web calls it, by its links",
        ),
        (
            "  web: {build: ., ports: ['80:8000'], volumes: ['./n.conf:/n.conf']}\n  api: {build: ./api}",
            tracked(&[("/srv/shop/n.conf", "location / { proxy_pass http://api:9000; }")]),
            "api",
            Class::Internal,
            "web calls it, by /srv/shop/n.conf",
        ),
        ("  api: {build: ./api, expose: ['9000']}", no_facts(), "api", Class::Internal, "listens, as it exposes 9000"),
        (
            "  api: {build: ./api}",
            images(&[("shop-api", &[], &[9000])]),
            "api",
            Class::Internal,
            "listens, as its image exposes 9000",
        ),
        (
            "  api: {build: ./api, healthcheck: {test: curl -f http://localhost:9000}}",
            no_facts(),
            "api",
            Class::Internal,
            "listens, as its health check asks itself",
        ),
        // depends_on alone is no proof.
        (
            "  web: {build: ., ports: ['80:8000'], depends_on: [api]}\n  api: {build: ./api}",
            no_facts(),
            "api",
            Class::Worker,
            "nobody calls it, and it publishes nothing",
        ),
        // A worker of the web's image has the web's EXPOSE.
        (
            "  web: {build: ., image: me/app, ports: ['80:8000']}\n  jobs: {image: me/app, command: work}",
            images(&[("me/app", &[], &[8000])]),
            "jobs",
            Class::Worker,
            "nobody calls it, and it publishes nothing",
        ),
        // A word that is a name is no host.
        (
            "  web: {build: ., ports: ['80:8000'], environment: {QUEUE: jobs}}\n  jobs: {build: .}",
            no_facts(),
            "jobs",
            Class::Worker,
            "nobody calls it, and it publishes nothing",
        ),
    ]);
}

#[test]
fn rule_9_schedulers_never_run_twice() {
    for (service, how) in [
        ("beat: {build: .}", "beat"),
        ("jobs: {build: ., command: celery -A shop beat}", "beat"),
        ("clock: {build: ., expose: ['9000']}", "clock"),
    ] {
        let derived = derived(&format!("services: {{{service}}}"), &no_facts());
        let (name, fate) = derived.services.iter().next().unwrap();
        check(&derived, name, Class::Worker, &format!("is a scheduler, by the word {how}: never runs twice"));
        let order = fate.order.map(|(order, why)| (order, why.to_string()));
        assert_eq!(order, Some((turnout_switch::said::Order::StopFirst, "a scheduler".to_owned())));
    }
}

#[test]
fn units_get_the_most_careful_class() {
    for (joined, what) in [
        ("network_mode: 'service:app'", "network"),
        ("ipc: 'service:app'", "ipc"),
        ("pid: 'service:app'", "pid"),
        ("volumes_from: [app]", "volumes"),
    ] {
        let ipc = if what == "ipc" { "ipc: shareable, " } else { "" };
        let text = format!(
            "services: {{app: {{build: ., {ipc}ports: ['80:8000']}}, side: {{build: ., {joined}, devices: [/dev/kvm]}}}}"
        );
        let derived = derived(&text, &no_facts());
        assert_eq!(classes(&derived), "app: single, side: single", "{what}");
        assert_eq!(why(&derived, "app"), "is joined with side");
        assert_eq!(derived.services["app"].joined, ["side"]);
    }
    // Coloured ones: routed comes before worker.
    let text = "services: {app: {build: ., ports: ['80:8000']}, side: {build: ., network_mode: 'service:app'}}";
    assert_eq!(classes(&derived(text, &no_facts())), "app: routed, side: routed");
    // Not joined with who only stands beside it, nor through a job.
    let text = "
services:
  app: {build: ., ports: ['80:8000'], depends_on: {seed: {condition: service_completed_successfully}}}
  seed: {build: ., volumes_from: [db]}
  db: {image: postgres, volumes: ['data:/var/lib/postgresql/data']}
volumes: {data: {}}
";
    assert_eq!(classes(&derived(text, &no_facts())), "app: routed, db: shared, seed: job");
    // The volumes of another are written by both: their authors share them.
    let text =
        "services: {app: {build: ., ports: ['80:8000'], volumes: ['./d:/d']}, side: {build: ., volumes_from: [app]}}";
    assert_eq!(classes(&derived(text, &no_facts())), "app: routed, side: routed");
    let read_only = text.replace("[app]", "['app:ro']");
    assert_eq!(classes(&derived(&read_only, &no_facts())), "app: held, side: held");
}

#[test]
fn the_empty_project_is_derived_too() {
    assert!(project("services: {}").services.is_empty());
    assert!(derived("services: {}", &no_facts()).services.is_empty());
}

#[test]
fn an_engine_whose_data_lies_in_its_container_is_known_unless_that_may_be_lost() {
    let web = "web: {build: ., ports: ['80:8000']}";
    let unkept = |service: &str, facts: &Facts, switch: serde_json::Value| {
        derived_as(&format!("services: {{{web}, queue: {service}}}"), facts, &switch).services["queue"].unkept
    };
    let auto = || serde_json::json!("auto");
    assert_eq!(unkept("{image: redis}", &no_facts(), auto()), Some("Redis"));
    // Built here, and seen by its port.
    assert_eq!(unkept("{build: q, expose: ['5432']}", &no_facts(), auto()), Some("PostgreSQL"));
    for kept in ["{image: redis, volumes: ['/data']}", "{image: redis, volumes: ['./r:/data']}", "{image: memcached}"] {
        assert_eq!(unkept(kept, &no_facts(), auto()), None, "{kept}");
    }
    assert_eq!(unkept("{image: redis}", &images(&[("redis", &["/data"], &[])]), auto()), None);
    let said = |word: bool| serde_json::json!({"services": {"queue": {"expendable": word}}});
    assert_eq!(unkept("{image: redis}", &no_facts(), said(true)), None);
    assert_eq!(unkept("{image: redis}", &no_facts(), said(false)), Some("Redis"));
}

#[test]
fn ends_that_take_most_of_the_time_for_which_requests_wait_are_said() {
    let notes_of = |text: &str| -> Vec<String> {
        let notes = derived(text, &no_facts()).notes;
        notes.iter().map(ToString::to_string).filter(|note| note.contains("504")).collect()
    };
    let stack = |web: &str, db: &str| {
        format!(
            "
services:
  web: {{build: ., ports: ['80:8000']{web}}}
  worker: {{build: ., command: work, stop_grace_period: 10m, depends_on: [db]}}
  db: {{image: 'postgres:16', volumes: ['data:/var/lib/postgresql/data']{db}}}
volumes: {{data: {{}}}}
"
        )
    };
    let needs = ", depends_on: [db]";
    let notes = |web: &str, db: &str, order: &str| notes_of(&stack(&format!("{needs}{web}{order}"), db));
    let (long, longer) = (", stop_grace_period: 40s", ", stop_grace_period: 1m");
    let stops_first = ", deploy: {update_config: {order: stop-first}}";
    assert_eq!(notes("", "", ""), Vec::<String>::new(), "a worker ends before anybody waits");
    assert_eq!(notes("", "", stops_first), Vec::<String>::new());
    let said = notes("", longer, "");
    assert!(said.len() == 2 && said[0].starts_with("where a deployment replaces db, requests wait 30 s"), "{said:?}");
    assert!(said[1].starts_with("at the first switch, and on the way back in place, requests wait"), "{said:?}");
    assert!(said[1].contains("the ends of web (10s), then db (1m), one after the other, may use that up"), "{said:?}");
    let said = notes(long, "", "");
    assert!(said.len() == 1 && said[0].contains("web (40s), then db (10s)"), "{said:?}");
    // What depends on nothing that ends runs on beside the first colour, and side by side none takes more than 20 s.
    let said = notes_of(&stack(long, ""));
    assert!(said.len() == 1 && said[0].starts_with("on the way back in place, requests wait 30 s at most"), "{said:?}");
    assert!(said[0].contains("the end of web may take 40s of that"), "{said:?}");
    assert_eq!(notes_of(&stack(", stop_grace_period: 15s", ", stop_grace_period: 15s")), Vec::<String>::new());
    // Over a service that has ended by then, too.
    let over = stack(", stop_grace_period: 15s, depends_on: [worker]", "");
    let said = notes_of(&over);
    assert!(said.len() == 1 && said[0].contains("web (15s), then db (10s)"), "{said:?}");
    let said = notes(long, "", stops_first);
    assert!(said.len() == 2 && said[0].contains("while web changes over"), "{said:?}");
    assert!(said[0].contains("the end of web may take 40s of that"), "{said:?}");
    let both = "services: {web: {build: ., ports: ['80:8000'], depends_on: [api], stop_grace_period: 15s, deploy: &d \
                {update_config: {order: stop-first}}}, api: {build: ., expose: ['9000'], stop_grace_period: 15s, deploy: *d}}";
    let said = notes_of(both);
    assert!(said.len() == 1 && said[0].contains("while web and api change over, and by their"), "{said:?}");
}

#[test]
fn a_volume_has_the_name_under_which_its_data_lies_whatever_the_colour() {
    let text = "services: {web: {build: ., ports: ['80:8000'], volumes: ['uploads:/up']}}\nvolumes: {uploads: {}}";
    let held = |facts: &Facts| derived(text, facts).services["web"].reason.to_string();
    assert_eq!(held(&no_facts()), format!("writes the volume {}_uploads, as nobody else does", project(text).name));
    let volumes = [("uploads".to_owned(), "redshop_uploads".to_owned())].into();
    let known = Facts { volumes, ..no_facts() };
    assert_eq!(held(&known), "writes the volume redshop_uploads, as nobody else does");
}
