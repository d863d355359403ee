//! The colours of a repository, in the lines of `turnout status`.

use std::io;

use super::{
    certificate_lines,
    when::{ago, when},
};
use crate::{
    git::short,
    report::redact::escape_controls,
    server::wire::{ColourStatus, ColoursStatus},
};

/// The colours of a repository, for `turnout status`.
pub(super) fn print(out: &mut impl io::Write, repo: &str, status: &ColoursStatus) -> io::Result<()> {
    let ColoursStatus {
        live,
        next,
        previous,
        failed,
        removed,
        kept_until,
        bakes_until,
        failed_for,
        analysis,
        next_waits,
        maintained,
        not_served,
        certificates,
    } = status;
    let gets = match maintained {
        true => format!("IS MAINTAINED: requests get a page; `turnout maintain {repo} off` ends that"),
        false => "gets the requests".to_owned(),
    };
    let mut line = |one: &Option<ColourStatus>, said: &str| match one {
        Some(one) => {
            let commit = one.commit.as_deref().map_or("commit not known", short);
            writeln!(out, "  {:<9} {} at {commit}, {said}, {}", one.state, one.project, ago(one.since))
        }
        None => Ok(()),
    };
    match not_served {
        None => line(live, &gets)?,
        Some(why) => line(live, &format!("GETS NO REQUESTS: {}", escape_controls(why)))?,
    }
    let waits = format!("waits to be promoted; `turnout preview {repo}` says where it is reached");
    line(next, if *next_waits { &waits } else { "is being made" })?;
    let goes_back = match kept_until {
        Some(until) => format!("`turnout rollback {repo}` brings it back until {}", when(*until)),
        None => format!("`turnout rollback {repo}` brings it back"),
    };
    line(previous, &goes_back)?;
    line(removed, "was kept as long as `keep` says: there is nothing to go back to")?;
    let failed_for = failed_for.as_deref().map(|why| format!(", taken back: {}", escape_controls(why)));
    let left = format!("stopped and left to be looked at{}", failed_for.unwrap_or_default());
    line(failed, &left)?;
    if let Some(said) = analysis {
        writeln!(out, "  answers: {}", escape_controls(said))?;
    }
    for status in certificates {
        writeln!(out, "  {}", certificate_lines::line(status, crate::deploy::now_ms().div_euclid(1_000)))?;
    }
    match bakes_until {
        Some(until) => {
            writeln!(out, "  both colours run until {}; `turnout promote {repo}` ends that as good", when(*until))
        }
        None => Ok(()),
    }
}
