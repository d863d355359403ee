//! The JSON Schema that editors get against the reader that decides: it refuses nothing that the reader takes, and finds what
//! can be found without this machine's files and other entries.

use std::{collections::BTreeSet, fs, path::Path};

use jsonschema::Validator;
use serde_json::Value;
use turnout::config::{
    PathState, Repos, reference,
    repos::{
        self,
        keys::{Example, KEYS},
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
