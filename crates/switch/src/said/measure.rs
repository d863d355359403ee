//! What is asked of a new colour beside the answers that turnout-proxy counts: a query of Prometheus, a command, a page of its own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    fields::{Fields, Reading, below, shown_time},
    parts::{self, MOST_MEASURES, Part},
};

/// Longest query, in bytes.
const LONGEST_QUERY: usize = 4_000;
/// Most words of a command, and longest of them, in bytes.
const WORDS: (usize, usize) = (64, 4_000);
/// Between these, in milliseconds, lies how often something is asked.
const EVERY: (u64, u64) = (1_000, 24 * 3_600 * 1_000);
/// The longest that an answer may take, in milliseconds.
const LONGEST: u64 = 10 * 60 * 1_000;

/// Words in braces of a query that are filled in.
pub const PLACEHOLDERS: [&str; 6] = ["colour", "project", "commit", "repository", "other_colour", "other_project"];

/// Something that is measured of a new colour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Who is asked, and what is a good answer.
    pub asks: Asks,
    /// How often, in milliseconds.
    pub every: u64,
    /// How long the answer may take, in milliseconds.
    pub timeout: u64,
}

/// Who is asked how a colour does, and what is a good answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// A Prometheus, for one number.
    Prometheus {
        /// Its address, without `/api`.
        url: String,
        /// The query, with [`PLACEHOLDERS`] in braces.
        query: String,
        /// What that number is let be.
        within: Within,
    },
    /// A command: 0 is good.
    Command {
        /// The program, with its path, and its arguments.
        run: Vec<String>,
    },
    /// A page of the colour's own: 2xx and 3xx are good.
    Page {
        /// The path, with its query; it begins with `/`.
        path: String,
        /// The service and the port in its containers; nothing: the only one that speaks HTTP.
        to: Option<(String, u16)>,
    },
}

/// A number that is let pass: one of both at least is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// No more than this.
    pub most: Option<Bound>,
    /// No less than this.
    pub least: Option<Bound>,
}

/// A number that is one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bound(f64);

// What was read is finite.
impl Eq for Bound {}

impl Bound {
    /// As it was read; finite.
    pub fn number(self) -> f64 {
        self.0
    }
}

impl Within {
    /// Why a number is not let pass, if it is not: as it goes on from the number.
    pub fn refuses(&self, number: f64) -> Option<String> {
        let above = self.most.filter(|most| number > most.0).map(|most| format!("above {}", most.0));
        above.or_else(|| self.least.filter(|least| number < least.0).map(|least| format!("below {}", least.0)))
    }
}

/// What follows where it is not known how a colour does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// One that waits stays as it is, until a person has it go on; a bake goes on. Both are told.
    #[default]
    Pause,
    /// As if it did badly.
    Fail,
    /// It is told.
    GoOn,
}

impl Asks {
    /// As it is called in what people read: the key that says it.
    pub fn name(&self) -> &'static str {
        match self {
            Asks::Prometheus { .. } => "prometheus",
            Asks::Command { .. } => "command",
            Asks::Page { .. } => "page",
        }
    }
}

/// Reads a service and its port.
pub(super) type Target<'r> = &'r dyn Fn(&mut Reading, &str, &Value) -> Option<(String, u16)>;

/// The keys of measures, each with its usual times in milliseconds: how often it is asked, and how long its answer may take.
pub(super) struct Kind {
    key: &'static str,
    parts: &'static [Part],
    every: u64,
    timeout: u64,
}

pub(super) const KINDS: [Kind; 3] = [
    Kind { key: "prometheus", parts: parts::PROMETHEUS, every: 15_000, timeout: 5_000 },
    Kind { key: "command", parts: parts::COMMAND, every: 30_000, timeout: 10_000 },
    Kind { key: "page", parts: parts::ASKED_PAGE, every: 5_000, timeout: 5_000 },
];

/// Reads `prometheus`, `command` and `page` where they stand: each a mapping, or a list of them.
pub(super) fn measures(reading: &mut Reading, fields: &Fields<'_>, target: Target<'_>) -> Vec<Measure> {
    let mut all = Vec::new();
    for kind in &KINDS {
        let Some((at, value)) = fields.get(kind.key) else { continue };
        match value {
            Value::Array(items) if items.len() > MOST_MEASURES => {
                reading.mistakes.add(&at, format!("is a list of {}; {MOST_MEASURES} may be", items.len()));
            }
            Value::Array(items) => {
                let each = items.iter().enumerate();
                all.extend(
                    each.filter_map(|(number, item)| measure(reading, kind, &format!("{at}[{number}]"), item, target)),
                );
            }
            one => all.extend(measure(reading, kind, &at, one, target)),
        }
    }
    all
}

fn measure(reading: &mut Reading, kind: &Kind, path: &str, value: &Value, target: Target<'_>) -> Option<Measure> {
    if let ("page", Value::String(_)) = (kind.key, value) {
        let path = page(reading, path, value)?;
        return Some(Measure { asks: Asks::Page { path, to: None }, every: kind.every, timeout: kind.timeout });
    }
    let fields = reading.fields(path, value, &parts::names(&[kind.parts, parts::MEASURED].concat()), &[])?;
    let before = reading.mistakes.0.len();
    let mut time = |key: &str, usual: u64, (least, most): (u64, u64)| {
        let Some((at, value)) = fields.get(key) else { return usual };
        let Some(read) = reading.duration(&at, value) else { return usual };
        let millis = u64::try_from(read.as_std().as_millis()).unwrap_or(u64::MAX);
        if !(least..=most).contains(&millis) {
            let (least, most) = (shown_time(least), shown_time(most));
            reading.mistakes.add(&at, format!("is {read}; from {least} to {most} may be"));
        }
        millis
    };
    let every = time("every", kind.every, EVERY);
    let timeout = time("timeout", kind.timeout, (1, LONGEST));
    let asks = match kind.key {
        "prometheus" => prometheus(reading, path, &fields),
        "command" => command(reading, path, &fields),
        _ => {
            let to = fields.get("to").map(|(at, value)| target(reading, &at, value));
            let path = match fields.get("path") {
                Some((at, value)) => page(reading, &at, value),
                None => missing(reading, path, "path"),
            };
            path.map(|path| Asks::Page { path, to: to.flatten() })
        }
    };
    let sound = reading.mistakes.0.len() == before;
    asks.filter(|_| sound).map(|asks| Measure { asks, every, timeout })
}

fn missing<T>(reading: &mut Reading, path: &str, key: &str) -> Option<T> {
    reading.mistakes.add(below(path, key), "is missing");
    None
}

fn page(reading: &mut Reading, path: &str, value: &Value) -> Option<String> {
    let fits =
        |text: &str| text.starts_with('/') && text.len() <= 1_000 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let read = value.as_str().filter(|text| fits(text));
    if read.is_none() {
        reading.wrong(path, value, "a path such as /healthz/deep");
    }
    read.map(str::to_owned)
}

fn command(reading: &mut Reading, path: &str, fields: &Fields<'_>) -> Option<Asks> {
    let Some((at, value)) = fields.get("run") else { return missing(reading, path, "run") };
    let (most, longest) = WORDS;
    let fits = |run: &[String]| {
        (1..=most).contains(&run.len())
            && run.iter().all(|word| word.len() <= longest && !word.contains('\0'))
            && run.first().is_some_and(|program| program.starts_with('/'))
    };
    let run = reading.texts(&at, value)?;
    if !fits(&run) {
        reading.mistakes.add(
            &at,
            "is a program by its whole path, with its arguments, as a list: run: [/usr/local/bin/check, --fast]; no shell reads it",
        );
        return None;
    }
    Some(Asks::Command { run })
}

fn prometheus(reading: &mut Reading, path: &str, fields: &Fields<'_>) -> Option<Asks> {
    let url = match fields.get("url") {
        Some((at, value)) => address(reading, &at, value),
        None => missing(reading, path, "url"),
    };
    let query = match fields.get("query") {
        Some((at, value)) => query(reading, &at, value),
        None => missing(reading, path, "query"),
    };
    let mut bound = |key: &str| {
        let (at, value) = fields.get(key)?;
        let read = value.as_f64().filter(|number| number.is_finite());
        if read.is_none() {
            reading.wrong(&at, value, "a number such as 0.05");
        }
        read.map(Bound)
    };
    let within = Within { most: bound("fail_above"), least: bound("fail_below") };
    if within == Within::default() && fields.get("fail_above").is_none() && fields.get("fail_below").is_none() {
        reading
            .mistakes
            .add(path, "needs `fail_above`, or `fail_below`, or both: the numbers beyond which it does badly");
    }
    Some(Asks::Prometheus { url: url?, query: query?, within })
}

/// `http://127.0.0.1:9090`, with a path where it is served below one.
fn address(reading: &mut Reading, path: &str, value: &Value) -> Option<String> {
    let text = reading.text(path, value)?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    if host.is_some_and(|host| host.contains('@')) {
        // It would be shown, and is a secret.
        reading.mistakes.add(path, "names a user: a Prometheus that asks for one is not there yet; take it out");
        return None;
    }
    let plain =
        |text: &str| text.len() <= 500 && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte));
    if host.is_none_or(str::is_empty) || !plain(text) {
        reading.wrong(path, value, "an address such as http://127.0.0.1:9090");
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn query(reading: &mut Reading, path: &str, value: &Value) -> Option<String> {
    let text = reading.text(path, value)?;
    if text.trim().is_empty() || text.len() > LONGEST_QUERY {
        reading.mistakes.add(path, format!("has {} bytes; a query of 1 to {LONGEST_QUERY} is wanted", text.len()));
        return None;
    }
    let unknown: BTreeSet<&str> = words(text).filter(|word| !PLACEHOLDERS.contains(word)).collect();
    if !unknown.is_empty() {
        let unknown: Vec<String> = unknown.into_iter().map(|word| format!("{{{word}}}")).collect();
        let known: Vec<String> = PLACEHOLDERS.iter().map(|word| format!("{{{word}}}")).collect();
        reading.mistakes.add(path, format!("has {}; filled in are {}", unknown.join(", "), known.join(", ")));
        return None;
    }
    Some(text.to_owned())
}

/// Single words in braces: in PromQL they are nothing else, for a selector has `=`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let word = rest.split_once('}')?.0;
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_word.then_some(word)
    })
}
