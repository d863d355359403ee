//! Which texts of a project are secret: what its `.env`, Compose files, secret files and registry logins hold under a
//! name that looks secret, and passwords in addresses. Registered before anything of the project is told.
//!
//! Not every value is one: `production`, `true` or a port would blot out ordinary words. See [`is_secret_name`] and
//! [`worth_hiding`].

use std::{collections::BTreeMap, io::Read as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    compose::model::Project,
    files::Reach,
    report::{is_secret_name, redact::MOST_OF_PROJECT},
};

/// Of a file with a secret in it, as much is looked at.
const MAX_FILE: u64 = MOST_OF_PROJECT as u64;
/// Of all such files of a project, as much is looked at.
const MAX_FILES: u64 = 8 << 20;
/// Where that is used up, as much is still looked at of each file.
const MAX_LATER_FILE: u64 = 16 << 10;
/// How deep JSON in a value is followed.
const DEEPEST: usize = 8;

/// Values that are words of the trade; hiding them would make every line unreadable.
const ORDINARY: &[&str] = &[
    "true",
    "false",
    "none",
    "null",
    "yes",
    "off",
    "auto",
    "default",
    "disabled",
    "enabled",
    "required",
    "optional",
    "production",
    "prod",
    "development",
    "staging",
    "test",
    "testing",
    "local",
    "localhost",
    "debug",
    "info",
    "warning",
    "error",
    "root",
    "admin",
    "user",
    "guest",
    "postgres",
    "mysql",
    "redis",
    "mongo",
    "password",
    "secret",
    "token",
    "basic",
    "bearer",
    "trust",
    "md5",
    "scram-sha-256",
    "sha256",
    "hs256",
    "rs256",
];

/// Whether a text is rare enough to be hidden wherever it occurs: six bytes or more, or four with both a letter and
/// something else; no word of the trade, no small number. What begins like a path may be base64, so it is taken for none: the
/// name says that it is a secret.
pub fn worth_hiding(text: &str) -> bool {
    let text = text.trim();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let mixed = text.chars().any(char::is_alphabetic) && !text.chars().all(char::is_alphabetic);
    let long = if digits { text.len() >= 6 } else { text.len() >= 6 || text.len() >= 4 && mixed };
    long && !ORDINARY.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// What was found, the most important first: what has a name of its own, then whole texts of several lines, then their
/// lines, the short ones first. There are thousands of lines in a bundle of certificates, and not one may cost a password.
#[derive(Default)]
struct Found {
    named: Vec<String>,
    whole: Vec<String>,
    lines: Vec<String>,
    bytes: usize,
}

impl Found {
    fn named(&mut self, text: impl Into<String>) {
        let text = self.seen(text.into());
        self.named.extend(text);
    }

    /// All of a secret, its lines, and where those are assignments, their values.
    fn secret(&mut self, text: String) {
        let mut assigned = Found::default();
        lines(&text, &|_| true, &mut assigned);
        if text.trim().lines().count() <= 1 {
            assigned.named.into_iter().for_each(|value| self.named(value));
            return self.named(text);
        }
        for line in assigned.named.into_iter().chain(text.lines().map(str::to_owned)) {
            let line = self.seen(line);
            self.lines.extend(line);
        }
        let text = self.seen(text);
        self.whole.extend(text);
    }

    /// A text that is kept, if it is worth that.
    fn seen(&mut self, text: String) -> Option<String> {
        let text = Some(text).filter(|text| worth_hiding(text))?;
        self.keep(&text);
        Some(text)
    }

    /// Makes room now and then: a project has as many texts as somebody wrote.
    fn keep(&mut self, next: &str) {
        self.bytes += next.len();
        if self.bytes > 8 * MOST_OF_PROJECT {
            self.bytes = 0;
            for texts in [&mut self.named, &mut self.whole, &mut self.lines] {
                within(texts, MOST_OF_PROJECT);
                self.bytes += texts.iter().map(String::len).sum::<usize>();
            }
        }
    }

    fn finish(self) -> Vec<String> {
        let mut all = Vec::new();
        let mut room = MOST_OF_PROJECT;
        for mut texts in [self.named, self.whole, self.lines] {
            room -= within(&mut texts, room);
            all.append(&mut texts);
        }
        all
    }
}

/// Leaves the short ones, as many as have room, each once. How many bytes they are.
fn within(texts: &mut Vec<String>, room: usize) -> usize {
    texts.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    texts.dedup();
    let mut bytes = 0;
    texts.retain(|text| {
        let fits = bytes + text.len() <= room;
        bytes += if fits { text.len() } else { 0 };
        fits
    });
    bytes
}

/// The secrets among named values, the most important first.
pub fn of_values<'a>(values: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut found = Found::default();
    for (name, value) in values {
        of_value(name, value, DEEPEST, &mut found);
    }
    found.finish()
}

/// The secrets among lines that assign, such as those of a `.env` that cannot be read as a whole.
pub fn of_lines(text: &str) -> Vec<String> {
    let mut found = Found::default();
    lines(text, &is_secret_name, &mut found);
    found.finish()
}

/// The secrets of a loaded project, its secret files and contents included. Blocking.
pub fn of_project(project: &Project) -> Vec<String> {
    let mut found = Found::default();
    for (name, value) in &project.environment {
        of_value(name, value, DEEPEST, &mut found);
    }
    for service in project.services.values().chain(project.disabled_services.values()) {
        let build = service.build.as_ref().map(|build| build.args.iter()).into_iter().flatten();
        for (name, value) in service.environment.iter().chain(build) {
            of_value(name, value.as_deref().unwrap_or_default(), DEEPEST, &mut found);
        }
    }
    let looking = project.reach.looking();
    let mut left = MAX_FILES;
    for secret in project.secrets.values() {
        let variable = project.environment.get(&secret.environment).cloned().unwrap_or_default();
        for text in [read(&looking, &secret.file, &mut left), secret.content.clone(), variable] {
            found.secret(text);
        }
    }
    for config in project.configs.values() {
        for text in [read(&looking, &config.file, &mut left), config.content.clone()] {
            lines(&text, &is_secret_name, &mut found);
        }
    }
    found.finish()
}

/// The secrets among the logins that Docker's client keeps in this directory. Blocking.
pub fn of_logins(directory: &Path) -> Vec<String> {
    let text = read(&Reach::Anywhere, &directory.join("config.json").to_string_lossy(), &mut { MAX_FILES });
    let settings: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let mut found = Found::default();
    for login in settings.get("auths").and_then(|auths| auths.as_object()).into_iter().flat_map(|auths| auths.values())
    {
        for key in ["auth", "password", "identitytoken", "registrytoken"] {
            let Some(text) = login.get(key).and_then(|text| text.as_str()) else { continue };
            found.named(text.to_owned());
            if key == "auth"
                && let Ok(bytes) = STANDARD.decode(text)
                && let Some((_, password)) = String::from_utf8_lossy(&bytes).split_once(':')
            {
                found.named(password.trim_end_matches('\0').to_owned());
            }
        }
    }
    found.finish()
}

fn of_value(name: &str, value: &str, deep: usize, found: &mut Found) {
    if value.trim().is_empty() {
        return;
    }
    if is_secret_name(name) {
        found.named(value.to_owned());
    }
    in_addresses(value, found);
    pairs(value, found);
    if deep > 0
        && value.trim_start().starts_with(['{', '['])
        && let Ok(json) = serde_json::from_str::<serde_json::Value>(value)
    {
        of_json(name, &json, deep - 1, found);
    }
}

fn of_json(name: &str, json: &serde_json::Value, deep: usize, found: &mut Found) {
    match json {
        serde_json::Value::String(text) => of_value(name, text, deep, found),
        serde_json::Value::Array(items) if deep > 0 => {
            items.iter().for_each(|item| of_json(name, item, deep - 1, found));
        }
        serde_json::Value::Object(map) if deep > 0 => {
            map.iter().for_each(|(key, item)| of_json(key, item, deep - 1, found));
        }
        _ => {}
    }
}

/// Passwords of `scheme://user:password@host`, as written and decoded.
fn in_addresses(text: &str, found: &mut Found) {
    for rest in text.split("://").skip(1) {
        let end = rest.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).unwrap_or(rest.len());
        let Some((user, _)) = rest.get(..end).and_then(|authority| authority.rsplit_once('@')) else { continue };
        let password = user.split_once(':').map_or(user, |(_, password)| password);
        // A name alone may be a token (`https://TOKEN@host`), if it is long.
        if user.contains(':') || user.len() >= 16 {
            found.named(percent_decoded(password));
            found.named(password.to_owned());
        }
    }
}

/// `host=db password=x`, `Server=db;Password=x`, `?password=x&…`.
fn pairs(text: &str, found: &mut Found) {
    for part in text.split([' ', ';', '&', '?', ',']).filter(|_| text.contains('=')) {
        if let Some((name, value)) = part.split_once('=')
            && is_secret_name(name.trim())
        {
            found.named(value.trim().trim_matches(['"', '\'']).to_owned());
        }
    }
}

/// Lines that assign: `name=value`, `name: value`.
fn lines(text: &str, wanted: &dyn Fn(&str) -> bool, found: &mut Found) {
    // Of a value between quotes that goes on in the next lines: the quote that ends it.
    let mut open: Option<char> = None;
    for line in text.lines() {
        in_addresses(line, found);
        if let Some(quote) = open {
            found.named(line.trim().trim_end_matches(quote).to_owned());
            open = open.filter(|quote| !line.contains(*quote));
            continue;
        }
        // A line that lacks its sign is what an error quotes.
        let Some((name, value)) = line.split_once(['=', ':']).or_else(|| line.trim().rsplit_once(' ')) else {
            continue;
        };
        // `environment: { API_KEY: x, MODE: y }`.
        for (name, value) in line.split(['{', '}', ',']).skip(1).filter_map(|part| part.split_once([':', '='])) {
            if wanted(name.trim().trim_matches(['"', '\''])) {
                found.named(value.trim().trim_matches(['"', '\'']).to_owned());
            }
        }
        let first = value.trim().chars().next().filter(|first| ['"', '\''].contains(first));
        open = first.filter(|quote| wanted(name.trim()) && value.matches(*quote).count() == 1);
        let value = value.trim().trim_end_matches([',', ';']).trim_matches(['"', '\'']);
        if wanted(name.trim().trim_matches(['"', '\''])) {
            found.named(value.to_owned());
        }
    }
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A file's text as far as it is some; what cannot be read is told where it is used.
fn read(reach: &Reach, path: &str, left: &mut u64) -> String {
    let mut bytes = Vec::new();
    let most = MAX_FILE.min((*left).max(MAX_LATER_FILE));
    let _ = reach.open(Path::new(path)).and_then(|file| file.take(most).read_to_end(&mut bytes));
    *left = left.saturating_sub(bytes.len() as u64);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As pairs, for [`of_values`].
pub fn pairs_of(values: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_secrets_apart() {
        for name in [
            "DB_PASSWORD",
            "POSTGRES_PASSWORD",
            "db.pass",
            "API_KEY",
            "apiKey",
            "STRIPE_SECRET",
            "GH_TOKEN",
            "SENTRY_DSN",
            "AWS_SECRET_ACCESS_KEY",
            "BASIC_AUTH",
            "private-key",
            "SECRET",
            "ACCESSKEY",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["MODE", "DB_HOST", "COMPASS", "POSTGRES_PASSWORD_FILE", "AUTHOR", "TOKEN_TTL", "MONKEY", "PORT"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn common_and_short_values_stay_readable() {
        for text in ["true", "production", "8080", "65535", "postgres", "Password", "abc", "abcd", ""] {
            assert!(!worth_hiding(text), "{text}");
        }
        for text in ["hunter2", "a1b2", "p-w!", "123456", "correct horse", "/9j4AAQSkZJRg==", ".hidden-x"] {
            assert!(worth_hiding(text), "{text}");
        }
    }

    #[test]
    fn secrets_are_found_where_they_stand() {
        let table: &[(&str, &str, &[&str])] = &[
            ("DB_PASSWORD", "hunter2-x", &["hunter2-x"]),
            ("MODE", "hunter2-x", &[]),
            ("API_KEY", "/9j4AAQ+SkZJRg==", &["/9j4AAQ+SkZJRg=="]),
            ("CONN", "host=db password=../x9", &["../x9"]),
            ("DATABASE_URL", "postgres://app:p%40ss-word@db/x", &["p@ss-word", "p%40ss-word"]),
            ("MIRROR", "https://0123456789abcdef0@h/x", &["0123456789abcdef0"]),
            ("CONN", "host=db user=app password=hunter2-x", &["hunter2-x"]),
            ("CONN", "Server=db;Password='hunter2-x';Port=1", &["hunter2-x"]),
            ("SETTINGS", r#"{"db":{"password":"hunter2-x","host":"dbserver"}}"#, &["hunter2-x"]),
            ("CACHE", "redis://:hunter2-x@cache:6379/0", &["hunter2-x"]),
        ];
        for (name, value, expected) in table {
            assert_eq!(of_values([(*name, *value)].into_iter()), *expected, "{name}={value}");
        }
    }

    #[test]
    fn lines_that_cannot_be_read_as_a_whole_still_give_their_secrets() {
        let table: &[(&str, &[&str])] = &[
            ("DB_PASSWORD=hunter2-x", &["hunter2-x"]),
            ("  - API_KEY=hunter2-x", &["hunter2-x"]),
            ("API_KEY: \"hunter2-x\"", &["hunter2-x"]),
            ("DB_PASSWORD 'hunter2-x", &["hunter2-x"]),
            (
                "PRIVATE_KEY=\"first-part\nsecond-part\nthird-part\"\nMODE=other-text",
                &["first-part", "third-part", "second-part"],
            ),
            ("  environment: { MODE: other-text, API_KEY: 'hunter2-x' }", &["hunter2-x"]),
            ("MODE=other-text", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(of_lines(text), *expected, "{text}");
        }
    }

    #[test]
    fn a_large_secret_file_costs_no_other_secret() {
        let bundle: String = (0..2_600).map(|line| format!("!{line:063}\n")).collect();
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("ca.pem", bundle.as_str()), ("db", "zz-of-the-database\n"), ("key", "/9j4AAQ+SkZJRg==")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let secret = |name: &str| crate::compose::model::FileObject {
            file: dir.path().join(name).to_string_lossy().into_owned(),
            ..Default::default()
        };
        let project = Project {
            environment: [("API_TOKEN".to_owned(), "zz-of-the-api".to_owned())].into(),
            secrets: ["ca.pem", "db", "key"].map(|name| (name.to_owned(), secret(name))).into(),
            ..Default::default()
        };
        let redactor = crate::report::redact::Redactor::new().of("shop");
        redactor.add_all(&of_project(&project));
        let said = "zz-of-the-database zz-of-the-api /9j4AAQ+SkZJRg==";
        assert_eq!(redactor.redact(said), "[redacted] [redacted] [redacted]");
        for line in bundle.lines().chain([bundle.as_str()]) {
            assert!(!redactor.redact(line).contains("0000"), "{line}");
        }
    }

    #[test]
    fn bytes_and_not_numbers_are_the_bound() {
        let many: Vec<(String, String)> = (0..30_000).map(|n| (format!("KEY_{n}"), format!("hunter-{n:05}"))).collect();
        let found = of_values(many.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        assert_eq!(found.len(), 30_000);
        let long: Vec<(String, String)> =
            (0..900).map(|n| (format!("KEY_{n}"), format!("{n:05}").repeat(2_000))).collect();
        let last = ("TOKEN", "zz-short");
        let found = of_values(long.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([last]));
        assert_eq!((found.len(), found[0].as_str()), (1 + MOST_OF_PROJECT / 10_000, "zz-short"));
    }

    #[test]
    fn logins_are_read_from_the_clients_settings() {
        let dir = tempfile::tempdir().unwrap();
        let auth = STANDARD.encode("bob:hunter2-x");
        std::fs::write(dir.path().join("config.json"), format!(r#"{{"auths":{{"r":{{"auth":"{auth}"}}}}}}"#)).unwrap();
        assert_eq!(of_logins(dir.path()), ["hunter2-x", auth.as_str()]);
        assert!(of_logins(&dir.path().join("none")).is_empty());
    }
}
