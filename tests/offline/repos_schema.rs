//! The JSON Schema that editors get against the reader that decides: it refuses nothing that the reader takes, and finds what
//! can be found without this machine's files and other entries.

use std::{collections::BTreeSet, fs, path::Path};

use jsonschema::Validator;
use serde_json::Value;
use turnout::{
    compose::{
        load::{LoadRequest, load},
        model::Project,
        source::MapFiles,
    },
    config::{
        PathState, Repos, reference,
        repos::{
            self,
            keys::{Example, KEYS},
        },
    },
    switch::{
        Said,
        said::keys::{self as switch, ANALYSIS_KEYS, Form, ROUTE_KEYS, SERVICE_KEYS},
    },
};

fn validator() -> Validator {
    let schema = reference::repos_schema();
    assert!(jsonschema::meta::is_valid(&schema), "no schema of draft 2020-12");
    jsonschema::draft202012::new(&schema).unwrap()
}

fn read(text: &str) -> Result<Repos, String> {
    let look_at = |path: &Path| PathState::Directory(path.to_path_buf());
    repos::parse(text, "repos.yaml", &look_at).map_err(|mistakes| mistakes.to_string())
}

/// Why the schema refuses a text. One that is no YAML an editor refuses by itself.
fn refusals(validator: &Validator, text: &str) -> Vec<String> {
    let json: Value = match serde_yaml::from_str(text) {
        Ok(json) => json,
        Err(error) => return vec![error.to_string()],
    };
    validator.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn example() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("repos.yaml.example");
    fs::read_to_string(file).unwrap()
}

#[test]
fn the_example_passes_with_and_without_its_comments() {
    let validator = validator();
    assert_eq!(refusals(&validator, &example()), Vec::<String>::new());
    // Every key that is a comment, taken in; of two ways to say one thing, the first.
    let mut whole = "shop:\n".to_owned();
    for key in KEYS.iter().filter(|key| key.or.is_none()) {
        let value = match key.example {
            Example::Used(value) | Example::Commented(value) => value.to_owned(),
            Example::AsByDefault => key.default.value().unwrap(),
        };
        let line = format!("  {}: {value}\n", key.name);
        assert!(example().contains(line.trim()), "{line} is not in the example");
        whole.push_str(&line);
    }
    read(&whole).unwrap();
    assert_eq!(refusals(&validator, &whole), Vec::<String>::new());
}

#[test]
fn what_is_declared_as_default_is_what_holds() {
    let mut explicit = "shop:\n  path: /srv/shop\n".to_owned();
    let defaults = KEYS.iter().filter_map(|key| Some((key.name, key.default.value()?)));
    defaults.for_each(|(name, value)| explicit.push_str(&format!("  {name}: {value}\n")));
    assert!(explicit.lines().count() > 10, "{explicit}");
    assert_eq!(read(&explicit), read("shop: /srv/shop\n"));
}

#[test]
fn good_lists_pass() {
    let validator = validator();
    for text in [
        "",
        "{}",
        "repos:\n",
        "repos: {}\n",
        "shop: /srv/shop\nBlog: { path: /srv/blog }\n",
        "self: ops/deployer\nrepos:\n  self: /srv/self\n  repos: /srv/repos\n",
        "self: []\ndefaults: { branch: main, timeouts: { settle: 0 } }\nshop: /srv/shop\n",
        "defaults: { token_env: T }\nshop: { path: /srv/shop, token_file: /etc/t }\n",
        "shop: { path: /srv/shop, on_mounted_change: restart, max_fetch: 0, keep_images: 0 }\n",
    ] {
        read(text).unwrap();
        assert_eq!(refusals(&validator, text), Vec::<String>::new(), "{text}");
    }
}

/// What takes more than one entry, or the disk, to be found. (A name that stands there twice, word for word, is one to this
/// test's reader; editors refuse it as YAML.)
const BEYOND: [&str; 9] = [
    "duplicate-full-name",
    "duplicate-name-other-case",
    "duplicate-name-same-case",
    "path-does-not-exist",
    "path-is-a-file",
    "path-nested",
    "path-shared",
    "path-unreadable",
    "trigger-glob-invalid",
];

#[test]
fn broken_lists_are_refused() {
    let validator = validator();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid-repos");
    let mut passed = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if refusals(&validator, &fs::read_to_string(&file).unwrap()).is_empty() {
            passed.insert(file.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    let beyond = BEYOND.iter().map(|name| (*name).to_owned());
    assert_eq!(passed, beyond.collect());
}

/// Values of every kind, good for some keys and bad for others.
const VALUES: &[&str] = &[
    "/srv/x",
    "/srv/../x",
    "/..",
    "/a..b",
    "~/x",
    "x",
    "x/y",
    "../x",
    "x/../y",
    "a..b",
    "''",
    "' '",
    "main",
    "feature/a-b",
    "refs/heads/main",
    "-x",
    "a b",
    "ünïcode",
    "Main",
    "x.lock",
    "acme/shop",
    "acme/tools/shop",
    "Acme/.x",
    "https://github.com/a/b.git",
    "https://me:token@h/a",
    "https://me@h/a",
    "ssh://git@h:22/a",
    "git@github.com:a/b.git",
    "h:p",
    "ext::sh -c x",
    "file:///a",
    "[]",
    "[x]",
    "[x, y/z]",
    "[/x]",
    "[1]",
    "'*'",
    "'**/*.proto'",
    "'[a'",
    "github.com",
    "true",
    "false",
    "'true'",
    "0",
    "'0'",
    "3",
    "1000",
    "1001",
    "-1",
    "1.5",
    "4GiB",
    "500MB",
    "1g",
    "1 kb",
    "10TB",
    "auto",
    "triggers",
    "refuse",
    "reset",
    "run",
    "allow",
    "classic",
    "remove",
    "keep",
    "restart",
    "signal HUP",
    "signal  SIGUSR1",
    "signal KILL",
    "{ web: restart }",
    "{ web: nothing }",
    "{ build: 30m }",
    "{ build: 0 }",
    "{ settle: 0 }",
    "{ settle: 10 }",
    "{ build: 1h30m, watch: 90s }",
    "{ pull: 1h }",
    "{}",
    "TOKEN",
    "_T0",
    "0T",
    "a-b",
    "null",
    "2026-01-01",
];

#[test]
fn the_schema_refuses_nothing_that_the_reader_takes() {
    let validator = validator();
    for key in KEYS.iter().filter(|key| key.name != "path") {
        let (mut taken, mut refused) = (0, 0);
        for value in VALUES {
            let text = format!("shop:\n  path: /srv/shop\n  {}: {value}\n", key.name);
            let (reader, schema) = (read(&text), refusals(&validator, &text));
            assert!(reader.is_err() || schema.is_empty(), "{text}{schema:?}");
            taken += usize::from(reader.is_ok());
            refused += usize::from(!schema.is_empty());
        }
        assert!(taken > 0, "no value is good for {}", key.name);
        assert!(refused > 0, "no value is bad for {} in the schema's eyes", key.name);
    }
}

#[test]
fn where_a_key_may_stand_is_known_to_both() {
    let validator = validator();
    for key in KEYS {
        let value = match key.example {
            Example::Used(value) | Example::Commented(value) => value.to_owned(),
            Example::AsByDefault => key.default.value().unwrap(),
        };
        let text = format!("defaults:\n  {}: {value}\n", key.name);
        assert_eq!(read(&text).is_ok(), key.is_shared(), "{text}");
        assert_eq!(refusals(&validator, &text).is_empty(), key.is_shared(), "{text}");
        let Some(other) = key.or else { continue };
        let both = format!("shop:\n  path: /srv/shop\n  {}: {value}\n  {other}: NAME\n", key.name);
        assert!(read(&both).is_err() && !refusals(&validator, &both).is_empty(), "{both}");
    }
}

/// The services that docs/switch.md names where it says something under `switch:`.
fn shop() -> Project {
    let text = "services: {web: {build: ., ports: ['80:8000']}, worker: {build: .}, db: {image: postgres}, queue: {image: redis}, \
                api: {build: ., expose: ['50051']}, mail: {image: mail, expose: ['443']}, front: {image: caddy}}";
    let request = LoadRequest {
        working_dir: "/srv/shop".into(),
        files: vec!["compose.yaml".into()],
        project_name: Some("shop".into()),
        ..LoadRequest::default()
    };
    load(&request, &MapFiles::new([("/srv/shop/compose.yaml", text)])).unwrap().project
}

/// Whether the reader takes a value of `switch`, in YAML, and the schema; where the reader takes what the schema refuses, the test
/// fails.
fn switch_taken(validator: &Validator, project: &Project, value: &str) -> (bool, bool) {
    let text = format!("shop:\n  path: /srv/shop\n  switch: {value}\n");
    let switch = read(&text).map(|list| list.repos.into_iter().next().and_then(|repo| repo.switch));
    let reader =
        switch.and_then(|switch| Said::read(switch.as_ref(), project).map_err(|mistakes| mistakes.to_string()));
    let schema = refusals(validator, &text);
    assert!(reader.is_err() || schema.is_empty(), "the reader takes what the schema refuses: {text}{schema:?}");
    (reader.is_ok(), schema.is_empty())
}

/// Every declared key under `switch`, with the way to it: `services: {web: {class: X}}`.
fn switch_keys() -> Vec<(&'static switch::Key, &'static str)> {
    let tables = [
        (switch::KEYS, "{KEY: X}"),
        (SERVICE_KEYS, "{services: {web: {KEY: X}}}"),
        (ROUTE_KEYS, "{routes: [{listen: 80, to: web, KEY: X}]}"),
        (ANALYSIS_KEYS, "{analysis: {page: /, KEY: X}}"),
    ];
    tables.into_iter().flat_map(|(keys, way)| keys.iter().map(move |key| (key, way))).collect()
}

/// A value at a key. A key that stands in the way already is taken out there.
fn at_key(way: &str, key: &str, value: &str) -> String {
    let without =
        ["listen: 80, ", "to: web, ", "page: /, "].into_iter().filter(|other| other.starts_with(&format!("{key}:")));
    without.fold(way.to_owned(), |way, other| way.replace(other, "")).replace("KEY", key).replace('X', value)
}

#[test]
fn every_key_under_switch_is_known_to_reader_and_schema_with_its_example() {
    let (validator, project) = (validator(), shop());
    for (key, way) in switch_keys() {
        for value in [key.example, "null"] {
            let needed = key.default == "must be given" && value == "null";
            let taken = switch_taken(&validator, &project, &at_key(way, key.name, value));
            assert_eq!(taken, (!needed, !needed), "{}: {value}", key.name);
        }
        if let Form::Word(words) = key.form {
            for word in words {
                assert!(switch_taken(&validator, &project, &at_key(way, key.name, word)).0, "{}: {word}", key.name);
            }
        }
    }
}

#[test]
fn a_commit_says_what_it_may_and_no_more() {
    for (key, way) in switch_keys() {
        let way = at_key(way, key.name, key.example);
        let mut project = shop();
        project.extensions.insert("x-turnout".to_owned(), serde_yaml::from_str(&way).unwrap());
        let said = Said::read(None, &project).map_err(|mistakes| mistakes.to_string());
        let refused = said.as_ref().is_err_and(|mistakes| mistakes.contains("is no business of a commit"));
        assert_eq!((said.is_ok(), refused), (key.by_commit, !key.by_commit), "{}: {said:?}", key.name);
    }
}

/// Values of every kind for keys under `switch`, and for their parts.
const SWITCH_VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "on",
    "off",
    "auto",
    "manual",
    "after 10m",
    "after 1.5h",
    "after  +2m ",
    "after x",
    "0",
    "'0'",
    "1",
    "3",
    "99",
    "100000000",
    "-1",
    "1.5",
    "90s",
    "1.5h",
    "1w",
    "500us",
    "1µs",
    ".5s",
    "5.m",
    "+1m",
    "-1m",
    "-0",
    "1h0.25s",
    "200ms",
    "5",
    "'5'",
    "1x",
    "5%",
    "0.25%",
    "100%",
    "100.0%",
    "101%",
    "' 5 %'",
    "5.%",
    "005%",
    "10%",
    "0%",
    "+7%",
    "/",
    "/healthz",
    "/a b",
    "a",
    "[]",
    "[/a]",
    "[a]",
    "[red, green]",
    "[red]",
    "[red, red]",
    "[Red, x]",
    "80",
    "'80'",
    "'127.0.0.1:80'",
    "'[::]:80'",
    "70000",
    "web",
    "'web:8000'",
    "'web:0'",
    "nobody",
    "acme",
    "{certificate: /a, key: /b}",
    "{certificate: /a}",
    "{certificate: /a, key: null}",
    "http",
    "ws",
    "tls",
    "smtp",
    "{web: http}",
    "{'web:8000': grpc}",
    "{8000: h2c}",
    "{8000: null}",
    "{path: /x}",
    "{timeout: 1w}",
    "{path: null, timeout: 500us}",
    "{path: x}",
    "{web: shared}",
    "{web: {expendable: true}}",
    "{web: null}",
    "{web: {}}",
    "{web: {class: null, order: start-first}}",
    "{nobody: shared}",
    "[{listen: 80, to: web}]",
    "[{listen: null, to: web}]",
    "[{listen: 80, to: web, path: null, tls: null}]",
    "[{listen: 80, to: web, hosts: x}]",
    "[{listen: 80, to: web, hosts: [x], strip_path: true}]",
    "next.example.org",
    "cookie",
    "a/b",
    "{host: a.b}",
    "{host: null, cookie: true}",
    "{listen: 9000, to: 'web:8000'}",
    "{cookie: false}",
    "{}",
    "[{header: X-Next, value: '1'}]",
    "[{header: null, cookie: c, value: y}]",
    "[{header: a, cookie: b, value: c}]",
    "[{header: X, value: null}]",
    "[{header: 'a b', value: x}]",
    "[{weight: 5}]",
    "[{weight: 5, for: 1.5h}]",
    "[{weight: 5, for: null}]",
    "[{weight: 5, for: 0}]",
    "[{weight: 0}]",
    "{haproxy: {backend: shop, socket: /s}}",
    "{haproxy: {backend: {web: a}, socket: /s, table: null}, nginx: null}",
    "{haproxy: {backend: a}}",
    "{nginx: {upstream: a, file: /f, answers: '127.0.0.1:80', pid: null}}",
    "{caddy: {id: /config/a/0}}",
    "{caddy: {id: a, admin: /s}}",
    "{traefik: {service: a, file: /f}}",
    "{traefik: {service: a, file: /../f}}",
    "{errors: 1%, page: [/a, {path: /b, to: web}]}",
    "{errors: null, p50: 500us}",
    "{p99: 2000ms}",
    "{url: 'http://h', query: q, fail_above: 1}",
    "{url: 'http://h/a@b', query: q, fail_below: 1.5}",
    "{url: 'http://a@b', query: q, fail_above: 1}",
    "[{url: 'https://h:1/x', query: q, fail_above: -1, fail_below: null, every: 1.5m}]",
    "{url: 'http://h', query: q}",
    "{run: [/bin/true]}",
    "{run: [/bin/true, x], every: 1.5m, timeout: null}",
    "{run: [true]}",
    "{run: []}",
    "[{run: [/bin/true]}]",
    "{path: /x, to: web, every: 90s}",
    "[/a, /b]",
    "[{path: /x}]",
    "v1",
    "start-first",
    "pause",
    "go_on",
];

#[test]
fn the_schema_refuses_nothing_under_switch_that_the_reader_takes() {
    let (validator, project) = (validator(), shop());
    for (key, way) in switch_keys() {
        let taken: Vec<_> = SWITCH_VALUES
            .iter()
            .map(|value| switch_taken(&validator, &project, &at_key(way, key.name, value)))
            .collect();
        assert!(taken.iter().any(|(reader, _)| *reader), "no value is good for {}", key.name);
        assert!(taken.iter().any(|(_, schema)| !schema), "no value is bad for {} in the schema's eyes", key.name);
    }
}

#[test]
fn what_the_page_of_the_switch_shows_passes() {
    let (validator, project) = (validator(), shop());
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/switch.md")).unwrap();
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut shown = 0;
    for block in blocks {
        let Ok(Value::Object(map)) = serde_yaml::from_str(block) else { continue };
        let own = map.get("shop").and_then(|shop| shop.get("switch"));
        let Some(switch) = map.get("switch").or(own) else { continue };
        let taken = switch_taken(&validator, &project, &switch.to_string());
        assert_eq!(taken, (true, true), "{block}");
        shown += 1;
    }
    assert!(shown > 10, "{shown} blocks with `switch` are in docs/switch.md");
}
