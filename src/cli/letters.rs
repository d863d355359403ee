//! `turnout letters`: what somebody outside was to be told, and was not.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use super::{
    args::{Again, LettersArgs},
    client::Client,
    show::{json, one_line},
    trouble::Trouble,
    when::when,
};
use crate::{
    report::{
        counted,
        table::{shortened, table},
    },
    server::wire::AgainRequest,
    store::Letter,
};

const HEADER: [&str; 6] = ["ID", "DESTINATION", "EVENT", "WRITTEN", "ATTEMPTS", "WHY NOT"];
/// Characters of a reason in a table; `--json` has the whole.
const WHY: usize = 120;
/// Blanks between two columns.
const GAP: usize = 2;

/// Lists dead letters, or has them sent again.
pub(super) async fn letters(client: &Client, args: &LettersArgs) -> Result<ExitCode, Trouble> {
    let mut out = io::stdout().lock();
    if let Some(again) = args.again {
        let letter = match again {
            Again::All => None,
            Again::One(letter) => Some(letter),
        };
        let sent: Vec<i64> = client.post("/v1/letters/again", &AgainRequest { letter }).await?;
        if sent.is_empty() && !args.json {
            let text = "no letter will be sent again: there is none of it, or its destination is not configured";
            writeln!(io::stderr(), "{text}")?;
            return Ok(if letter.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        match args.json {
            true => writeln!(out, "{}", json(&sent))?,
            false => writeln!(out, "{} will be sent again", counted(sent.len(), "letter"))?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let dead: Vec<Letter> = client.get("/v1/letters").await?;
    if args.json {
        writeln!(out, "{}", json(&dead))?;
        return Ok(ExitCode::SUCCESS);
    }
    if dead.is_empty() {
        // Not among what a script reads.
        writeln!(io::stderr(), "no letter was given up")?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |letter: &Letter| {
        vec![
            letter.id.to_string(),
            one_line(&letter.destination),
            letter.event.map_or_else(|| "-".to_owned(), |event| event.to_string()),
            when(letter.written_at),
            letter.attempts.to_string(),
            shortened(&one_line(letter.last_error.as_deref().unwrap_or_default()), WHY),
        ]
    };
    let rows: Vec<Vec<String>> = dead.iter().map(row).collect();
    out.write_all(table(&HEADER, &rows, 0, GAP).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
