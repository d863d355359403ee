//! What can be said, who wins, and what is a mistake.

use serde_json::json;
use turnout_switch::{Class, Said, analysis_not_kept, explain, measures_not_kept, said::Rules};

use crate::support::{check, derived_as, mistakes, no_facts, project};

const TEXT: &str = "services: {web: {build: ., ports: ['80:8000']}, db: {image: postgres}}";

#[test]
fn every_mistake_has_its_path() {
    for (switch, expected) in [
        (json!("yes"), "switch: is `yes`; `auto`, or a mapping is wanted"),
        (json!(3), "switch: is the number 3; a mapping is wanted"),
        (json!({"servces": {}}), "switch.servces: unknown key; did you mean `services`?"),
        (
            json!({"zzzzzzzz": {}}),
            "switch.zzzzzzzz: unknown key; known here: by, colors, routes, trusted, protocol, health, services, order, bake, on_failure, analysis, promote, promote_deadline, drain, keep, fallback, preview, mirror, pins, steps, sticky, adapter",
        ),
        (json!({"memory": "1g"}), "switch.memory: is not there yet; take it out"),
        (json!({"steps": []}), "switch.steps: is a list of 0; from 1 to 16 steps may be"),
        (json!({"steps": [{"for": "1m"}]}), "switch.steps[0].weight: is missing"),
        (
            json!({"steps": [{"weight": 100}]}),
            "switch.steps[0].weight: is the number 100; a share from 1 to 99, of 100 clients (all of them is the switch itself), is wanted",
        ),
        (
            json!({"steps": [{"weight": "5%"}]}),
            "switch.steps[0].weight: is `5%`; a share from 1 to 99, of 100 clients (all of them is the switch itself), is wanted",
        ),
        (
            json!({"steps": [{"weight": 5, "for": "0s"}]}),
            "switch.steps[0].for: is `0s`; a duration longer than nothing, such as 2m, is wanted",
        ),
        (
            json!({"steps": [{"weight": 25, "for": "1m"}, {"weight": 25, "for": "1m"}]}),
            "switch.steps[1].weight: is not more than that of the step before it",
        ),
        (json!({"sticky": "ip"}), "switch.sticky: is `ip`; one of cookie, address is wanted"),
        (json!({"by": "commit"}), "switch.by: is `commit`; one of deploy, color is wanted"),
        (json!({"services": {"wbe": "shared"}}), "switch.services.wbe: no service has this name; there are db, web"),
        (
            json!({"services": {"web": "blue"}}),
            "switch.services.web: is `blue`; one of routed, held, internal, worker, job, shared, single is wanted",
        ),
        (json!({"services": {"web": {"clas": 1}}}), "switch.services.web.clas: unknown key; did you mean `class`?"),
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
        (
            json!({"routes": [{"listen": 80, "to": "web:8000", "redirect": "http", "hsts": "3y"}]}),
            "switch.routes[0].redirect: is `http`; one of https is wanted; switch.routes[0].hsts: is `3y`; a time of two years at \
             most such as 1y, 180d or 24h is wanted",
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
        (json!({"analysis": 5}), "switch.analysis: is the number 5; one of on, off, or a mapping is wanted"),
        (json!({"analysis": {"error": 5}}), "switch.analysis.error: unknown key; did you mean `errors`?"),
        (
            json!({"analysis": {"errors": 5}}),
            "switch.analysis.errors: is the number 5; a share from 0% to 100%, such as `errors: 5%` or `errors: 0.25%`, is wanted",
        ),
        (
            json!({"analysis": {"errors": "101%", "looks": 0}}),
            "switch.analysis.looks: is the number 0; a number from 1 to 60 is wanted; switch.analysis.errors: is `101%`; a share \
             from 0% to 100%, such as `errors: 5%` or `errors: 0.25%`, is wanted",
        ),
        (
            json!({"analysis": {"p99": "3s"}}),
            "switch.analysis.p99: is `3s`; one of the times up to which answers are counted (1ms, 2ms, 5ms, 10ms, 20ms, 50ms, \
             100ms, 200ms, 500ms, 1s, 2s, 5s, 10s, 30s) is wanted",
        ),
        (
            json!({"analysis": {"p50": "2s", "p99": "1s"}}),
            "switch.analysis.p50: is longer than p99: half of the requests take no longer than 99 of a hundred do",
        ),
        (
            json!({"analysis": {"page": "deep"}}),
            "switch.analysis.page: is `deep`; a path such as /healthz/deep is wanted",
        ),
        (
            json!({"analysis": {"command": {"run": ["check"]}}}),
            "switch.analysis.command.run: is a program by its whole path, with its arguments, as a list: run: [/usr/local/bin/check, \
             --fast]; no shell reads it",
        ),
        (json!({"analysis": {"command": [{}]}}), "switch.analysis.command[0].run: is missing"),
        (
            json!({"analysis": {"prometheus": {"url": "http://me:secret@a", "query": "x", "fail_above": 1}}}),
            "switch.analysis.prometheus.url: names a user: a Prometheus that asks for one is not there yet; take it out",
        ),
        (
            json!({"analysis": {"prometheus": {"url": "a:9090", "query": "x{a=\"{color}\"} or {service}", "fail_above": "1"}}}),
            "switch.analysis.prometheus.url: is `a:9090`; an address such as http://127.0.0.1:9090 is wanted; \
             switch.analysis.prometheus.query: has {color}, {service}; filled in are {colour}, {project}, {commit}, {repository}, \
             {other_colour}, {other_project}; switch.analysis.prometheus.fail_above: is `1`; a number such as 0.05 is wanted",
        ),
        (
            json!({"analysis": {"prometheus": {"url": "http://a", "query": "x"}}}),
            "switch.analysis.prometheus: needs `fail_above`, or `fail_below`, or both: the numbers beyond which it does badly",
        ),
        (
            json!({"analysis": {"page": {"path": "/a", "every": "10ms"}}}),
            "switch.analysis.page.every: is 10ms; from 1s to 86400s may be",
        ),
        (
            json!({"analysis": {"on_unknown": "fail"}}),
            "switch.analysis.on_unknown: is about `prometheus`, `command` and `page`, and none of them is there",
        ),
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
        "x-turnout.bak: unknown key; did you mean `bake`?; services.web.x-turnout.class: is `rooted`; one of routed, held, internal, worker, \
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

#[test]
fn answers_are_judged_unless_it_is_said_or_nobody_counts_them() {
    let text = "services: {web: {build: ., ports: ['80:8000']}}";
    let bytes = "services: {web: {build: ., ports: [{target: 8000, published: '80', app_protocol: tcp}]}}";
    let usual = Rules::default();
    let derived = |text: &str, switch| derived_as(text, &no_facts(), &switch);
    for (text, switch, expected, row) in [
        (
            text,
            json!("auto"),
            Some(usual),
            "answers are a failure, too          over 5 % 5xx, 3 times before   default",
        ),
        (text, json!({"analysis": "off"}), None, "not looked at "),
        (text, json!({"analysis": false}), None, "not looked at "),
        (text, json!({"analysis": "on"}), Some(usual), "said in repos.yaml"),
        (
            text,
            json!({"analysis": {"errors": "0.25%", "times_before": 1, "p50": "50ms", "p99": "2s", "min_requests": 500, "looks": 5}}),
            Some(Rules { min_requests: 500, errors: 25, times_before: 1, p50: Some(50), p99: Some(2_000), looks: 5 }),
            "over 0.25 % 5xx or p50 over 50ms or p99 over 2s, more than before; from 500 requests on; 5 looks",
        ),
        (bytes, json!("auto"), None, "not looked at: no route speaks HTTP"),
    ] {
        let derived = derived(text, switch);
        assert_eq!(derived.analysis.value, expected);
        let said = explain(&derived);
        assert!(said.contains(row), "{said}");
        assert_eq!(analysis_not_kept(&derived), None);
    }
    let refused = analysis_not_kept(&derived(bytes, json!({"analysis": "on"})));
    assert!(refused.unwrap().contains("needs a route whose requests are understood"));
    let led = json!({"adapter": {"haproxy": {"socket": "/run/h", "backend": "shop"}}, "analysis": "on"});
    let led = derived(text, led);
    assert!(analysis_not_kept(&led).unwrap().contains("haproxy leads requests; take it out"));
    let text = "x-turnout: {analysis: {errors: 1%}}\nservices: {web: {build: ., ports: ['80:8000']}}";
    assert_eq!(derived(text, json!("auto")).analysis.value.map(|rules| rules.errors), Some(100));
}

#[test]
fn others_are_asked_where_that_is_said_and_a_commit_does_not_choose_whom() {
    let text = "services: {web: {build: ., ports: ['80:8000']}}";
    let query =
        json!({"url": "http://127.0.0.1:9090/prom/", "query": "sum(x{colour=\"{colour}\"})", "fail_above": 0.5});
    let all = json!({"analysis": {
        "prometheus": query, "page": "/deep", "command": [{"run": ["/bin/a"], "every": "1m"}, {"run": ["/bin/b", "-c"], "timeout": "1s"}],
        "looks": 1, "unknowns": 5, "on_unknown": "fail",
    }});
    let derived = derived_as(text, &no_facts(), &all);
    assert_eq!(measures_not_kept(&derived), Vec::<String>::new());
    // That they are asked takes nothing from what is counted, and how often in a row counts for both.
    assert_eq!(derived.analysis.value, Some(Rules { looks: 1, ..Rules::default() }));
    let measures = derived.measures.as_ref().unwrap();
    assert_eq!((measures.value.all.len(), measures.value.looks, measures.value.unknowns), (4, 1, 5));
    let shown = explain(&derived);
    for line in [
        "a number of Prometheus is, too      above 0.5 of sum(x{colour=\"{colour}\"}) at http://127.0.0.1:9090/prom; every 15s, within 5s",
        "a command's exit code is, too       other than 0 of /bin/a; every 60s, within 10s",
        "a command's exit code is, too       other than 0 of /bin/b -c; every 30s, within 1s",
        "a page of its own is, too           /deep not 2xx or 3xx; every 5s, within 5s",
        "where nothing is known of that      that is a failure as well, 5 times in a row",
    ] {
        assert!(shown.contains(line), "no {line:?} in\n{shown}");
    }
    // Also where another one leads requests, and nobody counts them.
    let led = json!({"adapter": {"haproxy": {"socket": "/run/h", "backend": "shop"}}, "analysis": {"page": "/deep"}});
    let led = derived_as(text, &no_facts(), &led);
    assert_eq!((analysis_not_kept(&led), led.analysis.value, led.measures.is_some()), (None, None, true));

    let own = "x-turnout: {analysis: {page: /deep}}\nservices: {web: {build: ., ports: ['80:8000']}}";
    assert!(derived_as(own, &no_facts(), &json!("auto")).measures.is_some());
    for key in ["command: {run: [/bin/sh]}", "prometheus: {url: 'http://a', query: x, fail_above: 1}"] {
        let text = format!("x-turnout: {{analysis: {{{key}}}}}\nservices: {{web: {{build: .}}}}");
        let found = Said::read(None, &project(&text)).unwrap_err().to_string();
        assert!(found.contains("is no business of a commit; write it under `switch:` in repos.yaml"), "{key}: {found}");
    }

    let two = "services: {web: {build: ., ports: ['80:8000']}, api: {build: ., ports: ['81:8001']}}";
    for (text, said, expected) in [
        (two, json!({"page": "/deep"}), Some("could be asked of api:8001 and of web:8000")),
        (two, json!({"page": {"path": "/deep", "to": "api:8001"}}), None),
        (text, json!({"page": {"path": "/deep", "to": "web:9"}}), Some("no route that speaks HTTP leads to web:9")),
        (
            text,
            json!({"command": {"run": ["/bin/a"], "every": "2m"}}),
            Some("is asked every 120s, and 2 looks that it does badly takes"),
        ),
        (text, json!({"command": {"run": ["/bin/a"], "every": "2m"}, "looks": 1}), None),
        (
            text,
            json!({"prometheus": {"url": "http://a", "query": "x", "fail_below": 1, "every": "1m"}, "looks": 1}),
            Some("prometheus is asked every 60s"),
        ),
    ] {
        let found = measures_not_kept(&derived_as(text, &no_facts(), &json!({"analysis": said})));
        assert_eq!(found.len(), usize::from(expected.is_some()), "{said}: {found:?}");
        assert!(found.iter().zip(expected).all(|(found, expected)| found.contains(expected)), "{said}: {found:?}");
    }
}

#[test]
fn steps_of_a_canary_are_said_in_words_and_what_of_them_cannot_be() {
    let text = "services: {web: {build: ., ports: ['80:8000']}}";
    let derived =
        derived_as(text, &no_facts(), &json!({"steps": [{"weight": 5, "for": "2m"}, {"weight": 25, "for": "5m"}]}));
    assert_eq!(turnout_switch::not_kept(&derived), Vec::<String>::new());
    let shown = turnout_switch::explain(&derived);
    let by_hand = json!({"promote": "manual", "sticky": "address", "steps": [{"weight": 50}], "pins": [{"header": "X-Next", "value": "1"}]});
    let by_hand = turnout_switch::explain(&derived_as(text, &no_facts(), &by_hand));
    for (shown, line) in [
        (&shown, "step 1 of 2 before it gets all requests    5 % of the clients for 2m, or until `turnout promote`"),
        (&shown, "step 2 of 2 before it gets all requests    25 % of the clients for 5m, or until `turnout promote`"),
        (&shown, "by a cookie; one that keeps none is drawn anew with each request"),
        (&by_hand, "50 % of the clients until `turnout promote`, 24h at most"),
        (&by_hand, "by its address"),
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    // Another one draws by request, and says itself whether a client stays.
    let adapter =
        json!({"adapter": {"haproxy": {"socket": "/run/h", "backend": "shop"}}, "steps": [{"weight": 5, "for": "2m"}]});
    let others = derived_as(text, &no_facts(), &adapter);
    assert_eq!(turnout_switch::not_kept(&others), Vec::<String>::new());
    let others = turnout_switch::explain(&others);
    assert!(others.contains("5 % of the requests for 2m") && !others.contains("stays with its colour"), "{others}");
    let none = "services: {web: {build: .}}";
    let endless = "step 2 has no `for`, and no person is waited for: write how long it lasts, or `promote: manual`";
    for (text, said, expected) in [
        (text, json!({"steps": [{"weight": 5, "for": "2m"}, {"weight": 25}]}), vec![endless]),
        (text, json!({"promote": "after 1m", "steps": [{"weight": 5, "for": "2m"}, {"weight": 25}]}), vec![endless]),
        (text, json!({"promote": "manual", "steps": [{"weight": 25}]}), vec![]),
        // Whoever wants it is led there while it is tried.
        (text, json!({"steps": [{"weight": 5, "for": "2m"}], "preview": "cookie", "mirror": "10%"}), vec![]),
        (text, json!({"sticky": "address"}), vec!["sticky says how a client stays while requests are shared"]),
        (
            none,
            json!({"steps": [{"weight": 5, "for": "2m"}]}),
            vec!["steps share the requests of routes, and there is none"],
        ),
    ] {
        let found = turnout_switch::not_kept(&derived_as(text, &no_facts(), &said));
        assert_eq!(found.len(), expected.len(), "{said}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{said}: {found}");
        }
    }
}
