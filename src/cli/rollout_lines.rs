//! What two looks at a rollout come to: requests a second, failures and times of each colour; as an object, and in lines for people.

use std::time::Duration;

use serde::Serialize;

use super::{colour_lines::measured, progress::seconds, when::when};
use crate::{
    git::short,
    report::{redact::escape_controls, table::table},
    rollout::analysis::{Counts, percent},
    server::wire::{MeasureStatus, RolloutColour, RolloutReply},
};

/// One look at a rollout, as `--json` prints it and lines are made of it. Fields are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Shown {
    /// The repository.
    repo: String,
    /// When, in milliseconds since 1970.
    at: i64,
    /// `live`, `bake`, or the phase of the deployment under way.
    state: String,
    /// The deployment under way.
    deployment: Option<i64>,
    /// Of a canary: the step, and how many there are.
    step: Option<u32>,
    steps: Option<u32>,
    /// What is waited for, until when, and how long yet in milliseconds.
    waits_for: Option<String>,
    waits_until: Option<i64>,
    waits_ms: Option<i64>,
    /// The live one first.
    colours: Vec<ShownColour>,
    /// How the colour that is judged does.
    analysis: Option<String>,
    /// What others say of it.
    measures: Vec<MeasureStatus>,
    /// Why nothing is counted.
    uncounted: Option<String>,
}

/// How a colour stands, and what the proxy counted of it since the look before.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct ShownColour {
    colour: String,
    project: String,
    state: String,
    commit: Option<String>,
    deployment: Option<i64>,
    since: i64,
    /// Its share of the clients, in percent.
    clients_percent: Option<u64>,
    /// Requests in flight, and tunnels.
    open: Option<u64>,
    /// Of the time between the two looks; `None`: not known.
    requests_per_second: Option<f64>,
    failed_per_second: Option<f64>,
    /// Of these requests, in hundredths of a percent; `None`: there were none.
    #[serde(skip)]
    failed_share: Option<u64>,
    failed_percent: Option<f64>,
    /// Upper ends of the classes of time up to which half of these answers, or 99 of a hundred, had begun.
    p50_ms: Option<u64>,
    p99_ms: Option<u64>,
    /// Since its proxy counts it.
    requests: Option<u64>,
    failed: Option<u64>,
}

/// What two looks come to. Of one alone nothing is known that is a difference.
pub(super) fn shown(now: &RolloutReply, before: Option<&RolloutReply>) -> Shown {
    // Another process of the proxy has counted since.
    let before = before.filter(|before| before.counted_by == now.counted_by && before.at < now.at);
    let span = before.map(|before| now.at.saturating_sub(before.at));
    let colours = now.colours.iter().map(|one| {
        let same = |other: &&RolloutColour| (&other.colour, other.deployment) == (&one.colour, one.deployment);
        let earlier = before.and_then(|before| before.colours.iter().find(same)).and_then(|one| one.counts);
        let came = one.counts.zip(earlier).and_then(|(now, earlier)| now.since(&earlier));
        colour(one, came.zip(span))
    });
    let waits = now.waits.as_ref();
    Shown {
        repo: now.repo.clone(),
        at: now.at,
        state: now.state.clone(),
        deployment: now.deployment,
        step: now.step,
        steps: now.steps,
        waits_for: waits.map(|waits| waits.what.clone()),
        waits_until: waits.and_then(|waits| waits.until),
        waits_ms: waits.and_then(|waits| waits.left),
        colours: colours.collect(),
        analysis: now.analysis.clone(),
        measures: now.measures.clone(),
        uncounted: now.uncounted.clone(),
    }
}

fn colour(one: &RolloutColour, came: Option<(Counts, i64)>) -> ShownColour {
    let a_second = |count: u64, millis: i64| {
        let tenths = i128::from(count) * 10_000 / i128::from(millis.max(1));
        // A tenth is as exact as it gets.
        i32::try_from(tenths).map_or(f64::INFINITY, |tenths| f64::from(tenths) / 10.0)
    };
    let share = came.and_then(|(came, _)| came.share_failed());
    ShownColour {
        colour: one.colour.clone(),
        project: one.project.clone(),
        state: one.state.clone(),
        commit: one.commit.clone(),
        deployment: one.deployment,
        since: one.since,
        clients_percent: one.clients,
        open: one.open,
        requests_per_second: came.map(|(came, span)| a_second(came.ended, span)),
        failed_per_second: came.map(|(came, span)| a_second(came.failed, span)),
        failed_share: share,
        failed_percent: share.and_then(|share| i32::try_from(share).ok()).map(|share| f64::from(share) / 100.0),
        p50_ms: came.and_then(|(came, _)| came.within(50)),
        p99_ms: came.and_then(|(came, _)| came.within(99)),
        requests: one.counts.map(|counts| counts.ended),
        failed: one.counts.map(|counts| counts.failed),
    }
}

/// In lines, for a terminal.
pub(super) fn lines(shown: &Shown) -> Vec<String> {
    let mut all = vec![format!("{}: {}", shown.repo, state(shown))];
    all.extend(waits(shown).map(|waits| format!("  waits for {waits}")));
    let rows: Vec<Vec<String>> = shown.colours.iter().map(row).collect();
    let header = ["COLOUR", "STATE", "COMMIT", "CLIENTS", "OPEN", "REQ/S", "FAILED", "P50", "P99"];
    all.extend(table(&header, &rows, 0, 2).lines().map(|line| format!("  {}", line.trim_end())));
    all.extend(shown.analysis.iter().map(|said| format!("  analysis: {}", escape_controls(said))));
    all.extend(shown.measures.iter().map(|one| format!("  {}", measured(one, true))));
    all.extend(shown.uncounted.iter().map(|why| format!("  requests are not counted: {}", escape_controls(why))));
    all
}

/// In one line, where lines are kept.
pub(super) fn line(shown: &Shown) -> String {
    let colours = shown.colours.iter().filter(|one| one.requests_per_second.is_some()).map(|one| {
        let clients = one.clients_percent.map(|share| format!(" {share} %")).unwrap_or_default();
        let [.., requests, failed, p50, p99] = figures(one);
        format!("{} {}{clients} {requests}/s failed {failed} p50 {p50} p99 {p99}", one.project, one.state)
    });
    let waits = waits(shown).map(|waits| format!("waits for {waits}"));
    let judged = shown.analysis.iter().map(|said| format!("analysis: {}", escape_controls(said)));
    let uncounted = shown.uncounted.iter().map(|why| format!("requests are not counted: {}", escape_controls(why)));
    let measures = shown.measures.iter().map(|one| measured(one, false));
    let all = [state(shown)].into_iter().chain(waits).chain(colours).chain(judged).chain(measures).chain(uncounted);
    format!("{} {}: {}", when(shown.at), shown.repo, all.collect::<Vec<_>>().join("; "))
}

fn state(shown: &Shown) -> String {
    let step = shown.step.zip(shown.steps).map(|(step, of)| format!(", step {step} of {of}")).unwrap_or_default();
    let deployment = shown.deployment.map(|id| format!(", deployment {id}")).unwrap_or_default();
    format!("{}{step}{deployment}", shown.state)
}

fn waits(shown: &Shown) -> Option<String> {
    let what = shown.waits_for.as_ref()?;
    let left = shown.waits_until.zip(shown.waits_ms).map(|(until, left)| {
        // Tenths of a second would only flicker.
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0) / 1_000);
        let left = if left.as_secs() < 60 { format!("{} s", left.as_secs()) } else { seconds(left) };
        format!(" until {}, {left} more", when(until))
    });
    Some(format!("{what}{}", left.unwrap_or_default()))
}

fn row(one: &ShownColour) -> Vec<String> {
    let commit = one.commit.as_deref().map_or("-", short).to_owned();
    let clients = one.clients_percent.map_or("-".to_owned(), |share| format!("{share} %"));
    [vec![one.project.clone(), one.state.clone(), commit, clients], figures(one).to_vec()].concat()
}

/// Open, requests a second, failed, and the two times.
fn figures(one: &ShownColour) -> [String; 5] {
    let none = || "-".to_owned();
    let time = |millis: Option<u64>| millis.map_or_else(none, |millis| format!("{millis} ms"));
    [
        one.open.map_or_else(none, |open| open.to_string()),
        one.requests_per_second.map_or_else(none, |rate| format!("{rate:.1}")),
        one.failed_share.map_or_else(none, percent),
        time(one.p50_ms),
        time(one.p99_ms),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::wire::RolloutWait;

    fn reply(at: i64, good: u64, failed: u64) -> RolloutReply {
        let counts = |ended, failed| {
            let mut counts = Counts { ended, failed, ..Counts::default() };
            counts.times[2] = ended;
            Some(counts)
        };
        let colour = |colour: &str, state: &str, clients, counts: Option<Counts>| RolloutColour {
            colour: colour.to_owned(),
            project: format!("{colour}shop"),
            state: state.to_owned(),
            commit: Some("0e068cc123".to_owned()),
            deployment: Some(1),
            since: 0,
            clients,
            open: counts.map(|_| 2),
            counts,
        };
        RolloutReply {
            at,
            repo: "shop".to_owned(),
            state: "canary".to_owned(),
            deployment: Some(12),
            step: Some(1),
            steps: Some(2),
            waits: Some(RolloutWait { what: "the end of a step".to_owned(), until: Some(at), left: Some(100_400) }),
            colours: vec![
                colour("red", "live", Some(95), counts(10_000 + good, 0)),
                colour("blue", "next", Some(5), counts(100 + failed, failed)),
                colour("green", "failed", None, None),
            ],
            analysis: Some("not judged".to_owned()),
            measures: vec![MeasureStatus {
                name: "page".to_owned(),
                state: Some("bad".to_owned()),
                said: Some("/deep answers 503".to_owned()),
                at: Some(at),
                asked: 3,
                good: 2,
                not_known: 0,
            }],
            counted_by: Some(7),
            uncounted: None,
        }
    }

    #[test]
    fn two_looks_are_requests_a_second() {
        let seen = shown(&reply(3_000, 246, 3), Some(&reply(1_000, 0, 0)));
        let [red, blue, green] = &seen.colours[..] else { panic!("{seen:?}") };
        assert_eq!((red.requests_per_second, red.failed_percent, red.p99_ms), (Some(123.0), Some(0.0), Some(5)));
        assert_eq!(
            (blue.requests_per_second, blue.failed_per_second, blue.failed_percent),
            (Some(1.5), Some(1.5), Some(100.0))
        );
        assert_eq!((green.requests_per_second, green.requests), (None, None));
        let text = lines(&seen).join("\n");
        assert!(
            text.starts_with("shop: canary, step 1 of 2, deployment 12\n  waits for the end of a step until "),
            "{text}"
        );
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(", 1 min 40 s more\n") && words.contains("blueshop next 0e068cc 5 %"), "{text}");
        let line = line(&seen);
        assert!(line.contains("redshop live 95 % 123.0/s failed 0.0 % p50 5 ms p99 5 ms; blueshop next 5 %"), "{line}");
        let page = "page: bad, /deep answers 503 (good 2 of 3 times)";
        assert!(line.contains(page) && text.contains(page), "{line}\n{text}");
        assert!(!line.contains("green") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn of_one_look_or_of_two_proxies_nothing_is_a_difference() {
        let mut before = reply(1_000, 0, 0);
        before.counted_by = Some(6);
        for before in [None, Some(&before), Some(&reply(3_000, 0, 0))] {
            let seen = shown(&reply(3_000, 246, 3), before);
            assert_eq!(seen.colours[0].requests_per_second, None);
            assert_eq!(seen.colours[0].requests, Some(10_246));
            assert!(lines(&seen).join("\n").contains("redshop"));
        }
        // Counts that fell began anew.
        let seen = shown(&reply(3_000, 0, 0), Some(&reply(1_000, 9, 0)));
        assert_eq!(seen.colours[0].requests_per_second, None);
    }
}
