//! The colours of a repository, in the lines of `turnout status`.

use std::io;

use super::{
    certificate_lines,
    when::{ago, when},
};
use crate::{
    git::short,
    report::redact::escape_controls,
    server::wire::{ColourStatus, ColoursStatus, MeasureStatus, ShareStatus, StepStatus},
};

/// The colours of a repository, for `turnout status`.
pub(super) fn print(out: &mut impl io::Write, repo: &str, status: &ColoursStatus) -> io::Result<()> {
    let ColoursStatus {
        live,
        next,
        previous,
        failed,
        in_place,
        leaving,
        removed,
        others,
        bakes_until,
        failed_for,
        analysis,
        measures,
        next_waits: _,
        next_share: _,
        step: _,
        maintained,
        held,
        not_served,
        still,
        still_staying,
        certificates,
    } = status;
    const WAIT: &str = "REQUESTS WAIT at turnout-proxy, each for 30 s at most, while a service changes over";
    let gets = match (maintained, held) {
        (true, _) => format!("IS MAINTAINED: requests get a page; `turnout maintain {repo} off` ends that"),
        (false, true) => WAIT.to_owned(),
        (false, false) => "gets the requests".to_owned(),
    };
    let mut line = |one: &Option<ColourStatus>, said: &str| match one {
        Some(one) => {
            let commit = one.commit.as_deref().map_or("commit not known", short);
            writeln!(
                out,
                "  {:<9} {} at {commit}, {said}, {}",
                one.state.replace('_', " "),
                one.project,
                ago(one.since)
            )
        }
        None => Ok(()),
    };
    let stands_still = |what: &[String]| {
        let what = what.join(", ");
        format!("STANDS STILL IN PART: {}; `turnout deploy {repo}` has it run again", escape_controls(&what))
    };
    match not_served {
        None if !still.is_empty() => line(live, &stands_still(still))?,
        None => line(live, &gets)?,
        Some(why) => line(live, &format!("GETS NO REQUESTS: {}", escape_controls(why)))?,
    }
    match still.as_slice() {
        down if live.is_none() && !down.is_empty() => {
            let what = down.join(", ");
            let what = escape_controls(&what);
            let said = format!("STANDS STILL IN PART: {what}; `turnout compose --repo {repo} up -d` starts it");
            line(in_place, &said)?;
        }
        _ if *held && live.is_none() => line(in_place, WAIT)?,
        _ => line(in_place, "runs in place, and hands over to the next colour")?,
    }
    line(leaving, "is to run in place again: `switch` was taken out, and the colours hand over to it")?;
    line(next, &next_said(repo, status))?;
    let kept_until = previous.as_ref().and_then(|previous| previous.kept_until);
    let goes_back = match kept_until {
        Some(until) => format!("`turnout rollback {repo}` brings it back until {}", when(until)),
        None => format!("`turnout rollback {repo}` brings it back"),
    };
    line(previous, &goes_back)?;
    for other in others {
        let stands = match other.kept_until {
            Some(until) => {
                format!("stopped, a third colour, to which no rollback leads now; is removed at {}", when(until))
            }
            None => format!(
                "stopped, a third colour, to which no rollback leads; `turnout compose -p {} down` removes it",
                other.project
            ),
        };
        line(&Some(other.clone()), &stands)?;
    }
    line(removed, "was kept as long as `keep` says: there is nothing to go back to")?;
    let failed_for = failed_for.as_deref().map(|why| format!(", taken back: {}", escape_controls(why)));
    // Where requests have gone back already, the bake is over when that one has been stopped.
    let bakes = bakes_until.filter(|_| previous.as_ref().is_some_and(|one| one.state == "previous"));
    let stopped = if bakes_until.is_some() && bakes.is_none() { "is being stopped" } else { "stopped" };
    let left = format!("{stopped} and left to be looked at{}", failed_for.unwrap_or_default());
    line(failed, &left)?;
    if !still_staying.is_empty() {
        writeln!(out, "  what stays beside the colours {}", stands_still(still_staying))?;
    }
    if let Some(said) = analysis {
        writeln!(out, "  answers: {}", escape_controls(said))?;
    }
    for measure in measures {
        writeln!(out, "  {}", measured(measure, true))?;
    }
    for status in certificates {
        writeln!(out, "  {}", certificate_lines::line(status, crate::deploy::now_ms().div_euclid(1_000)))?;
    }
    match bakes {
        Some(until) => {
            writeln!(out, "  both colours run until {}; `turnout promote {repo}` ends that as good", when(until))
        }
        None => Ok(()),
    }
}

/// What somebody says of a colour; `since`: with when that was.
pub(super) fn measured(measure: &MeasureStatus, since: bool) -> String {
    let MeasureStatus { name, state, said, at, asked, good, not_known } = measure;
    let Some(state) = state else { return format!("{name}: not asked yet") };
    let said = said.as_deref().map(|said| format!(", {}", escape_controls(said))).unwrap_or_default();
    let unknown = if *not_known > 0 { format!(", not known {not_known} times") } else { String::new() };
    let ago = at.filter(|_| since).map(|at| format!(", {}", ago(at))).unwrap_or_default();
    format!("{name}: {}{said} (good {good} of {asked} times{unknown}){ago}", escape_controls(state))
}

/// How the next colour stands.
fn next_said(repo: &str, status: &ColoursStatus) -> String {
    let ColoursStatus { next_waits, next_share, step, not_served, .. } = status;
    let share = next_share.as_ref().map(|ShareStatus { percent, in_part }| {
        let part = if *in_part { ", on some of its routes only" } else { "" };
        format!("gets {percent} % of the clients{part}")
    });
    let Some(StepStatus { number, of, until, by_itself, paused }) = step else {
        let waits = format!("waits to be promoted; `turnout preview {repo}` says where it is reached");
        return share.unwrap_or(if *next_waits { waits } else { "is being made".to_owned() });
    };
    let share = share.unwrap_or_else(|| match not_served {
        None if until.is_none() => "is about to get its share of the requests".to_owned(),
        // Whoever would say it has not answered.
        Some(_) => "its share of the requests is not known".to_owned(),
        None => "GETS NO SHARE of the requests now".to_owned(),
    });
    let step = format!("{share}, step {number} of {of}");
    match until {
        Some(until) if *by_itself => format!("{step} until {}; `turnout promote {repo}` goes on at once", when(*until)),
        Some(until) if *paused => {
            format!("{step}; is paused until {}; `turnout resume {repo}` ends that", when(*until))
        }
        Some(until) => format!("{step}; waits for `turnout promote {repo}`, until {}", when(*until)),
        None => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(project: &str, state: &str, kept_until: Option<i64>) -> ColourStatus {
        ColourStatus {
            colour: String::new(),
            project: project.to_owned(),
            state: state.to_owned(),
            generation: 1,
            deployment: None,
            commit: None,
            since: 0,
            kept_until,
        }
    }

    /// The lines that name this.
    fn lines(status: &ColoursStatus, with: &str) -> String {
        let mut out = Vec::new();
        print(&mut out, "shop", status).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().filter(|line| line.contains(with)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_time_is_told_of_the_colour_whose_it_is() {
        let (baked, kept) = (86_400_000, 2 * 86_400_000);
        let live = Some(colour("greenshop", "live", None));
        let baking = ColoursStatus {
            live: live.clone(),
            previous: Some(colour("redshop", "previous", None)),
            others: vec![colour("blueshop", "kept", Some(kept))],
            bakes_until: Some(baked),
            ..ColoursStatus::default()
        };
        assert!(lines(&baking, "redshop").contains("`turnout rollback shop` brings it back, "));
        assert!(lines(&baking, "blueshop").contains(&format!("is removed at {}", when(kept))));
        assert!(lines(&baking, "both colours").contains(&when(baked)));
        let over = ColoursStatus {
            previous: Some(colour("redshop", "kept", Some(kept))),
            others: vec![colour("blueshop", "failed", None)],
            bakes_until: None,
            ..baking.clone()
        };
        assert!(lines(&over, "redshop").contains(&format!("brings it back until {}", when(kept))));
        assert!(lines(&over, "blueshop").contains("`turnout compose -p blueshop down` removes it"));
        assert_eq!(lines(&over, "both colours"), "");
        // Requests have gone back, and what was live still has its time to end.
        let back = ColoursStatus {
            live,
            failed: Some(colour("redshop", "failed", None)),
            bakes_until: Some(baked),
            ..ColoursStatus::default()
        };
        assert!(lines(&back, "redshop").contains("is being stopped and left to be looked at"));
        assert_eq!(lines(&back, "both colours"), "");
    }
}
