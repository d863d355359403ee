//! Behaviours of the Compose engine, one test each: those that compare with the real `docker compose`, or look at the
//! engine from outside.

use std::{process::Command, time::SystemTime};

use crate::compose_cli_support;
use compose_cli_support::{Ran, Site, compose_is_installed};
use serde_json::Value;

/// Seconds since 1970, with a fraction, as the engine takes them.
fn now() -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

/// What the engine did between two moments to objects of a project, in its own words.
fn done_between(site: &Site, since: &str, until: &str) -> Vec<String> {
    let since = since.parse::<f64>().unwrap();
    let format = "{{.TimeNano}} {{.Type}} {{.Action}} {{json .Actor.Attributes}}";
    let args = ["events", "--since", &since.to_string(), "--until", until, "--format", format];
    let output = Command::new("docker").args(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.contains(&site.project)).map(str::to_owned).collect()
}

#[test]
fn checklist_01_a_second_up_changes_nothing_at_all() {
    let site = Site::new(
        "services:
  web: {image: 'IMAGE', QUICK, depends_on: [db], volumes: ['data:/d', '/scratch'], scale: 2}
  db: {image: 'IMAGE', QUICK, networks: [back, default]}
networks: {back: }
volumes: {data: }
",
    );
    site.ours(&["up", "-d"]).ok();
    let (before, since) = (site.ids(), now());
    site.ours(&["up", "-d"]).ok();
    let until = now();
    assert_eq!(site.ids(), before);
    assert_eq!(done_between(&site, &since, &until), Vec::<String>::new());
}

#[test]
fn checklist_13_recreation_keeps_number_and_name() {
    let yaml =
        |mode: &str| format!("services: {{web: {{image: 'IMAGE', QUICK, scale: 3, environment: {{M: {mode}}}}}}}\n");
    let site = Site::new(&yaml("a"));
    site.ours(&["up", "-d"]).ok();
    site.ours(&["up", "-d", "--scale", "web=3"]).ok();
    let before = site.ids();
    site.write("compose.yaml", &yaml("b"));
    site.ours(&["up", "-d"]).ok();
    let after = site.ids();
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, id) in &after {
        assert_ne!(before[name], *id);
        assert_eq!(format!("web-{}", site.label(name, "container-number")), *name);
        assert_eq!(site.label(name, "replace"), *name);
    }
}

/// What `config --format json` makes of these files, without what differs by nature.
fn rendered(site: &Site, theirs: bool, args: &[&str]) -> (bool, Value, Ran) {
    let args: Vec<&str> = args.iter().copied().chain(["config", "--format", "json"]).collect();
    let ran = if theirs { site.theirs(&args) } else { site.ours(&args) };
    (ran.code == 0, serde_json::from_str(&ran.out).unwrap_or(Value::Null), ran)
}

#[track_caller]
fn alike(site: &Site, args: &[&str]) -> (Ran, Ran) {
    let (theirs, ours) = (rendered(site, true, args), rendered(site, false, args));
    assert_eq!((ours.0, &ours.1), (theirs.0, &theirs.1), "{args:?}: ours {:?}, theirs {:?}", ours.2, theirs.2);
    (ours.2, theirs.2)
}

#[test]
fn checklist_31_interpolation_and_its_errors_are_those_of_the_real_one() {
    if !compose_is_installed() {
        return;
    }
    let site = Site::new("services: {}\n");
    site.write(".env", "SET=value\nEMPTY=\n");
    let names = ["SET", "EMPTY", "UNSET"];
    let forms = ["${V}", "$V", "${V:-d}", "${V-d}", "${V:+r}", "${V+r}"];
    let mut all: Vec<String> = names.iter().flat_map(|name| forms.iter().map(|form| form.replace('V', name))).collect();
    for text in
        ["$$SET", "$1", "5$", "${UNSET:-a:-b}", "${UNSET:-${SET}}", "${UNSET:-{\"a\": \"b\"}}", "$SET$SET", "$é"]
    {
        all.push(text.to_owned());
    }
    let values: Vec<String> = all.iter().enumerate().map(|(n, text)| format!("      V{n}: '{text}'\n")).collect();
    site.write("compose.yaml", &format!("services:\n  web:\n    image: x\n    environment:\n{}", values.concat()));
    alike(&site, &[]);
    for text in [
        "${}",
        "${1A}",
        "${ SET}",
        "${SET!}",
        "${SET:x}",
        "${SET",
        "${UNSET:?gone}",
        "${UNSET?gone}",
        "${EMPTY:?gone}",
        "${SET:-${UNSET:?gone}}",
    ] {
        site.write("compose.yaml", &format!("services: {{web: {{image: x, command: '{text}'}}}}\n"));
        let (ours, theirs) = alike(&site, &[]);
        assert!(theirs.code != 0, "{text}");
        let told = if text.contains('?') { "gone" } else { "invalid interpolation format" };
        assert!(ours.err.contains(told) && theirs.err.contains(told), "{text}: {ours:?} {theirs:?}");
        assert!(ours.err.contains("services.web.command"), "{text}: {ours:?}");
    }
    site.write("compose.yaml", "services: {web: {image: x, command: '${EMPTY?gone}'}}\n");
    alike(&site, &[]);
    site.write("compose.yaml", "services: {web: {image: x, privileged: '${SET}'}}\n");
    alike(&site, &[]);
}

#[test]
fn checklist_34_two_files_merge_as_the_real_one_merges_them() {
    if !compose_is_installed() {
        return;
    }
    let site = Site::new("services: {}\n");
    let all = [
        ("command", "[a, b]", "[c]"),
        ("command", "[a, b]", "null"),
        ("entrypoint", "[a]", "b c"),
        ("healthcheck", "{test: [CMD, a], interval: 3s}", "{test: b}"),
        ("environment", "{A: '1', B: '2'}", "[B=3, C]"),
        ("labels", "[a=1]", "{a: '2', b: '3'}"),
        ("sysctls", "{a.b: '1'}", "[a.b=2]"),
        ("build", "{context: ., args: {A: '1'}, labels: [l=1]}", "{args: [A=2, B=3], labels: {l: '2'}}"),
        ("build", ".", "{target: t}"),
        ("build", "{context: ., additional_contexts: {a: ./x}}", "{additional_contexts: [b=./y]}"),
        ("ports", "['8000:80']", "['8001:80', '8000:80']"),
        ("volumes", "['./a:/x', 'v:/y']", "['./b:/x']"),
        ("devices", "['/dev/null:/dev/a']", "['/dev/zero:/dev/a']"),
        ("expose", "['80']", "['80', '81']"),
        ("cap_add", "[A]", "[A, B]"),
        ("dns", "1.1.1.1", "[1.1.1.1, 2.2.2.2]"),
        ("tmpfs", "/a", "[/a, /b]"),
        ("extra_hosts", "['h:1.1.1.1']", "['h:2.2.2.2']"),
        ("env_file", "[a.env]", "[a.env, b.env]"),
        ("secrets", "[s]", "[{source: s, target: t}]"),
        ("configs", "[c]", "[{source: c, target: /t}]"),
        ("depends_on", "[other]", "{other: {condition: service_healthy}}"),
        ("networks", "[n]", "{n: {aliases: [a]}}"),
        ("logging", "{driver: json-file, options: {a: '1'}}", "{options: {b: '2'}}"),
        ("logging", "{driver: json-file, options: {a: '1'}}", "{driver: syslog, options: {b: '2'}}"),
        ("ulimits", "{nofile: 5}", "{nofile: {soft: 1, hard: 2}, nproc: 3}"),
        (
            "deploy",
            "{labels: {a: '1'}, resources: {limits: {cpus: '1'}}}",
            "{labels: [a=2], resources: {limits: {memory: 5m}}}",
        ),
        ("post_start", "[{command: a}]", "[{command: b}]"),
        ("security_opt", "[a]", "[b]"),
        ("group_add", "['1']", "['2']"),
        ("volumes_from", "[other]", "[other:ro]"),
        ("external_links", "[a]", "[b]"),
        ("profiles", "[]", "[]"),
        ("user", "a", "b"),
        ("annotations", "{a: '1'}", "[a=2]"),
        ("links", "[other]", "['other:x']"),
    ];
    // A service each, so that each program has to start but once.
    let file = |above_it: bool| {
        let mut text = String::from("services:\n  other: {image: x, healthcheck: {test: a}}\n");
        for (number, (attribute, below, above)) in all.iter().enumerate() {
            let value = if above_it { above } else { below };
            text.push_str(&format!("  s{number}: {{image: x, {attribute}: {value}}}\n"));
        }
        let net = if above_it { 2 } else { 1 };
        text.push_str(&format!(
            "networks: {{n: {{ipam: {{config: [{{subnet: 10.{net}.0.0/16}}]}}}}, default: }}
volumes: {{v: }}
secrets: {{s: {{file: ./s}}}}
configs: {{c: {{file: ./c}}}}
"
        ));
        text
    };
    site.write("a.yaml", &file(false));
    site.write("b.yaml", &file(true));
    site.write("a.env", "FROM=a\n");
    site.write("b.env", "FROM=b\n");
    let (ours, _) = alike(&site, &["-f", "a.yaml", "-f", "b.yaml"]);
    ours.ok();
    // What has to be unique is refused when both have it.
    site.write("a.yaml", "services: {web: {image: x, security_opt: [a]}}\n");
    let (ours, _) = alike(&site, &["-f", "a.yaml", "-f", "a.yaml"]);
    ours.fails("security_opt");
}

#[test]
fn checklist_35_reset_and_override_are_those_of_the_real_one() {
    if !compose_is_installed() {
        return;
    }
    let site = Site::new("services: {}\n");
    site.write(
        "a.yaml",
        "services: {web: {image: x, ports: ['1:1'], command: [a], environment: {A: '1', B: '2'}, labels: {l: '1'}, user: u, volumes: ['./v:/v']}}\n",
    );
    for change in [
        "ports: !reset []",
        "ports: !override ['2:2']",
        "ports: !reset null",
        "command: !reset null",
        "environment: {A: !reset null}",
        "environment: !override {C: '3'}",
        "labels: !reset {}",
        "user: !reset ''",
        "volumes: !override ['./w:/w']",
        "nothing: !reset null",
        "environment: !override [D=4]",
    ] {
        site.write("b.yaml", &format!("services: {{web: {{{change}}}}}\n"));
        alike(&site, &["-f", "a.yaml", "-f", "b.yaml"]);
    }
    site.write(
        "compose.yaml",
        "services: {web: {extends: {file: a.yaml, service: web}, ports: !reset [], environment: !override {Z: '1'}}}\n",
    );
    alike(&site, &[]);
}

#[test]
fn checklist_36_included_and_extended_paths_are_relative_to_their_own_files() {
    if !compose_is_installed() {
        return;
    }
    let site = Site::new(
        "include: [sub/inner.yaml, {path: [deep/one.yaml, deep/two.yaml], project_directory: deep/own, env_file: deep/e.env}]
services:
  web: {extends: {file: base/base.yaml, service: base}}
",
    );
    for directory in ["sub", "base", "deep", "deep/own"] {
        std::fs::create_dir_all(site.path().join(directory)).unwrap();
    }
    site.write(
        "sub/inner.yaml",
        "services: {inner: {build: ./ctx, env_file: own.env, volumes: ['./data:/d'], environment: {V: '${V}'}}}\n",
    );
    site.write("sub/own.env", "OWN=1\n");
    site.write("sub/.env", "V=of-sub\n");
    site.write(".env", "W=of-main\n");
    site.write("base/base.yaml", "services: {base: {build: {context: ., dockerfile: D}, env_file: [b.env], volumes: ['../up:/u'], label_file: l}}\n");
    site.write("base/b.env", "B=1\n");
    site.write("base/l", "x=y\n");
    site.write("deep/one.yaml", "services: {one: {build: ., environment: {E: '${E}', W: '${W}'}}}\n");
    site.write("deep/two.yaml", "services: {one: {volumes: ['./x:/x']}}\n");
    site.write("deep/e.env", "E=of-deep\nW=not-this\n");
    let (ours, _) = alike(&site, &[]);
    assert!(
        ours.out.contains("/sub/ctx") && ours.out.contains("/deep/own/x") && ours.out.contains("of-deep"),
        "{ours:?}"
    );
}
