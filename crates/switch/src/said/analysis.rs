//! `analysis`: when a new colour counts as worse than the one before it, by the answers to its requests.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    fields::{Reading, below, shown_time},
    keys::{ANALYSIS_KEYS, MOST_LOOKS, MOST_REQUESTS, MOST_TIMES, names},
    measure::{Measure, OnUnknown, Target, measures},
};

/// Keys that are about answers alone.
const OF_ANSWERS: [&str; 5] = ["min_requests", "errors", "times_before", "p50", "p99"];

/// Times up to which answers are told apart, in milliseconds: the classes in which turnout-proxy counts them.
pub const TIMES: [u64; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000];

/// What one place says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnalysisSaid {
    /// Nothing is looked at.
    Off,
    /// They are judged, by these rules.
    On(Analysis),
}

/// By what a new colour is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// By its answers, as turnout-proxy counts them; `None`: nothing is said of that.
    pub rules: Option<Rules>,
    /// By what is asked besides.
    pub measures: Vec<Measure>,
    /// Looks in a row that must say the same, of measures.
    pub looks: u64,
    /// How often in a row a measure may say nothing.
    pub unknowns: u64,
    /// What follows then.
    pub on_unknown: OnUnknown,
}

/// From when on a colour counts as worse by its answers. Each of `errors`, `p50` and `p99` is a reason by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Fewer requests than these say nothing, of either colour.
    pub min_requests: u64,
    /// A share of failed requests that is let pass, in hundredths of a percent.
    pub errors: u64,
    /// What is so many times the share of the colour before is let pass as well.
    pub times_before: u64,
    /// Half of the requests are to be answered within this time, in milliseconds; one of [`TIMES`].
    pub p50: Option<u64>,
    /// The same of 99 requests of a hundred.
    pub p99: Option<u64>,
    /// Looks in a row that must say the same.
    pub looks: u64,
}

/// Measurements in a row that may say nothing, unless it is said.
const UNKNOWNS: u64 = 3;

impl Default for Rules {
    /// From 50 requests on: more than 5 % failed, and more than three times as many as before, twice in a row. Not by their time: what
    /// is slow for one service is quick for another.
    fn default() -> Rules {
        Rules { min_requests: 50, errors: 500, times_before: 3, p50: None, p99: None, looks: 2 }
    }
}

impl Analysis {
    /// By answers alone.
    fn usual() -> Analysis {
        let rules = Rules::default();
        Analysis {
            rules: Some(rules),
            measures: Vec::new(),
            looks: rules.looks,
            unknowns: UNKNOWNS,
            on_unknown: OnUnknown::default(),
        }
    }
}

/// `on`, `off`, or a mapping of what is to be otherwise. `in_commit`: it stands in the Compose file.
pub(super) fn analysis(
    reading: &mut Reading,
    path: &str,
    value: &Value,
    in_commit: bool,
    target: Target<'_>,
) -> Option<AnalysisSaid> {
    match value {
        Value::String(word) if word == "on" => return Some(AnalysisSaid::On(Analysis::usual())),
        Value::String(word) if word == "off" => return Some(AnalysisSaid::Off),
        // Some write YAML in which these words are none.
        Value::Bool(true) => return Some(AnalysisSaid::On(Analysis::usual())),
        Value::Bool(false) => return Some(AnalysisSaid::Off),
        Value::Object(_) => {}
        other => {
            reading.wrong(path, other, "one of on, off, or a mapping");
            return None;
        }
    }
    let mut fields = reading.fields(path, value, &names(ANALYSIS_KEYS), &[])?;
    let before = reading.mistakes.0.len();
    if in_commit {
        reading.of_the_host(&mut fields, ANALYSIS_KEYS);
    }
    let usual = Rules::default();
    let mut number = |key: &str, most: u64, usual: u64| match fields.get(key) {
        None => usual,
        Some((at, value)) => {
            let read = value.as_u64().filter(|number| (1..=most).contains(number));
            if read.is_none() {
                reading.wrong(&at, value, &format!("a number from 1 to {most}"));
            }
            read.unwrap_or(usual)
        }
    };
    let min_requests = number("min_requests", MOST_REQUESTS, usual.min_requests);
    let times_before = number("times_before", MOST_TIMES, usual.times_before);
    let looks = number("looks", MOST_LOOKS, usual.looks);
    let unknowns = number("unknowns", MOST_LOOKS, UNKNOWNS);
    let errors = fields.get("errors").map_or(Some(usual.errors), |(at, value)| share(reading, &at, value));
    let mut time = |key: &str| fields.get(key).and_then(|(at, value)| time(reading, &at, value));
    let (p50, p99) = (time("p50"), time("p99"));
    if let (Some(half), Some(most)) = (p50, p99)
        && half > most
    {
        reading
            .mistakes
            .add(below(path, "p50"), "is longer than p99: half of the requests take no longer than 99 of a hundred do");
    }
    let on_unknown = fields.get("on_unknown").map(|(at, value)| {
        let words = [("pause", OnUnknown::Pause), ("fail", OnUnknown::Fail), ("go_on", OnUnknown::GoOn)];
        reading.word(&at, value, &words).unwrap_or_default()
    });
    let measures = measures(reading, &fields, target);
    let sound = reading.mistakes.0.len() == before;
    if sound
        && measures.is_empty()
        && let Some(key) = ["unknowns", "on_unknown"].iter().find(|key| fields.get(key).is_some())
    {
        reading
            .mistakes
            .add(below(path, key), "is about `prometheus`, `command` and `page`, and none of them is there");
        return None;
    }
    // Who says what else is to be asked has not said that answers are counted.
    let of_answers = measures.is_empty() || OF_ANSWERS.iter().any(|key| fields.get(key).is_some());
    let rules = Rules { min_requests, errors: errors?, times_before, p50, p99, looks };
    let rules = of_answers.then_some(rules);
    sound.then_some(AnalysisSaid::On(Analysis {
        rules,
        measures,
        looks,
        unknowns,
        on_unknown: on_unknown.unwrap_or_default(),
    }))
}

/// `5%`, `0.25%`: in hundredths of a percent.
fn share(reading: &mut Reading, path: &str, value: &Value) -> Option<u64> {
    let read = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|number| {
        let (whole, part) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || part.len() > 2 || !digits(whole) || !digits(part) {
            return None;
        }
        // `5`, `5.2` and `5.25` are 500, 520 and 525.
        format!("{whole}{part:0<2}").parse::<u64>().ok().filter(|share| *share <= 10_000)
    });
    if read.is_none() {
        reading.wrong(path, value, "a share from 0% to 100%, such as `errors: 5%` or `errors: 0.25%`,");
    }
    read
}

/// One of the times up to which answers are told apart.
fn time(reading: &mut Reading, path: &str, value: &Value) -> Option<u64> {
    let text = value.as_str().unwrap_or_default();
    let read = turnout_compose::model::Duration::parse(text).ok();
    let found = read.and_then(|read| TIMES.into_iter().find(|millis| i64::try_from(*millis * 1_000_000) == Ok(read.0)));
    if found.is_none() {
        let known: Vec<String> = TIMES.iter().map(|millis| shown_time(*millis)).collect();
        reading.wrong(path, value, &format!("one of the times up to which answers are counted ({})", known.join(", ")));
    }
    found
}
