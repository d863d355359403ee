//! `turnout history`: past deployments, one line each under a header.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use super::{
    args::HistoryArgs,
    client::{Client, encode},
    show::{json, length, one_line, said},
    since::aftermath,
    trouble::Trouble,
    when::when,
};
use crate::{
    git::short,
    report::table::{shortened, table},
    store::{Deployment, State},
};

const HEADER: [&str; 10] =
    ["ID", "REQUESTED", "STATE", "REPOSITORY", "PROJECT", "COMMIT", "TOOK", "CAUSE", "BY", "RESULT"];
/// Blanks between two columns.
const GAP: usize = 2;
/// Characters of a name (one that is cut could not be typed, so hardly any is), of a person's, of a cause, and of a result
/// that goes to no terminal. Whole texts are in `--json`.
const NAME: usize = 64;
const PERSON: usize = 24;
const CAUSE: usize = 40;
const RESULT: usize = 120;

/// Prints past deployments.
pub(super) async fn history(client: &Client, args: &HistoryArgs) -> Result<ExitCode, Trouble> {
    let repo = args.repo.as_deref().map(|repo| format!("&repo={}", encode(repo))).unwrap_or_default();
    let deployments: Vec<Deployment> = client.get(&format!("/v1/deployments?limit={}{repo}", args.limit)).await?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&deployments))?;
        return Ok(ExitCode::SUCCESS);
    }
    if deployments.is_empty() {
        // Not among what a script reads.
        writeln!(
            io::stderr(),
            "nothing was deployed yet{}",
            args.repo.iter().map(|repo| format!(" of `{repo}`")).collect::<String>()
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let columns = io::stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stdout()).ok());
    let columns = columns.flatten().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    out.write_all(lines(&deployments, columns).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The table. `columns`: the width of the terminal, where there is one; what is left of it has the result.
fn lines(deployments: &[Deployment], columns: Option<usize>) -> String {
    let row = |d: &Deployment| {
        let name = |text: &str| shortened(&one_line(text), NAME);
        let dash = |text: Option<&str>| text.filter(|text| !text.is_empty()).map_or_else(|| "-".to_owned(), name);
        let who = d.who.as_deref();
        // The cause of a push names who pushed.
        let by = who.map(|who| format!(" by {who}")).unwrap_or_default();
        let cause = d.cause.strip_suffix(&by).unwrap_or(&d.cause);
        // Of what waits, this is the cause.
        let later = aftermath(d);
        let result = match d.state {
            State::Queued => String::new(),
            // A line has room for what became of it later.
            _ if !later.is_empty() => one_line(&later.join("; ")),
            _ => one_line(&said(d)),
        };
        vec![
            d.id.to_string(),
            when(d.created_at),
            d.state.to_string(),
            dash(Some(&d.repo)),
            dash(d.project.as_deref()),
            dash(d.commit_after.as_deref().or(d.wanted_commit.as_deref()).map(short)),
            dash(Some(&length(d))),
            shortened(&one_line(cause), CAUSE),
            shortened(&dash(who), PERSON),
            shortened(&result, RESULT),
        ]
    };
    let rows: Vec<Vec<String>> = deployments.iter().map(row).collect();
    let text = table(&HEADER, &rows, 0, GAP);
    let cut = |line: &str| match columns {
        // The line of a narrow terminal would break anyway.
        Some(columns) => shortened(line.trim_end(), columns),
        None => line.trim_end().to_owned(),
    };
    text.lines().map(|line| cut(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::GivenUp;

    fn deployment(id: i64, state: State) -> Deployment {
        Deployment {
            project: Some("redshop".to_owned()),
            wanted_commit: Some("1a2b3c4d".repeat(5)),
            cause: "push of 1a2b3c4 to main by ann".to_owned(),
            who: Some("ann".to_owned()),
            decision: Some("redshop at 1a2b3c4: 1 built, 1 recreated".to_owned()),
            error: Some(format!("service web: the build failed\nand more{}", "x".repeat(500))),
            superseded_by: Some(id + 1),
            started_at: Some(1_000),
            ended_at: Some(4_400),
            ..Deployment::bare(id, "shop", state)
        }
    }

    #[test]
    fn each_deployment_has_one_bounded_line_below_the_header() {
        let mut waits = deployment(14, State::Queued);
        (waits.project, waits.started_at, waits.ended_at) = (None, None, None);
        let by_hand = Deployment {
            cause: format!("asked for: {}", "v".repeat(100)),
            repo: "n".repeat(100),
            who: None,
            error: Some("x".repeat(500)),
            ..deployment(9, State::Failed)
        };
        let all = [waits, deployment(13, State::Succeeded), deployment(12, State::Failed), by_hand];
        let text = lines(&all, None);
        let told: Vec<&str> = text.lines().collect();
        assert_eq!(told.len(), 5, "{text}");
        let words = |line: &str| {
            line.split("  ").filter(|word| !word.is_empty()).map(str::trim).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(words(told[0]), HEADER);
        assert_eq!(words(told[1])[2..], ["queued", "shop", "-", "1a2b3c4", "-", "push of 1a2b3c4 to main", "ann"]);
        assert_eq!(
            words(told[2])[6..],
            ["3.4 s", "push of 1a2b3c4 to main", "ann", "redshop at 1a2b3c4: 1 built, 1 recreated"]
        );
        assert!(told[3].ends_with("service web: the build failed \u{2026}"), "{text}");
        assert!(told[4].contains("nn\u{2026}") && told[4].contains("vv\u{2026}"), "{text}");
        // What is not live any more is no plain success.
        let given_up = Some(GivenUp { at: 0, why: "rolled back by ann".to_owned() });
        let given_up = Deployment { taken_back: given_up, ..deployment(8, State::Succeeded) };
        let text_of_it = lines(std::slice::from_ref(&given_up), None);
        assert!(text_of_it.contains("TAKEN BACK 1") && text_of_it.contains(": rolled back by ann"), "{text_of_it}");
        // Every column begins where its title does.
        for title in HEADER {
            let at = told[0].find(title).unwrap();
            for line in &told[2..] {
                let chars: Vec<char> = line.chars().collect();
                assert!(chars[at] != ' ' && (at == 0 || chars[at - 1] == ' '), "{title}: {text}");
            }
        }
        assert!(text.lines().all(|line| line.chars().count() < 400), "{text}");
        assert!(lines(&all, Some(100)).lines().all(|line| line.chars().count() <= 100));
    }
}
