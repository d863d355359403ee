//! `turnout deliveries`: what the forge sent and what was made of it; with a number, the payload.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use super::{
    args::DeliveriesArgs,
    client::Client,
    show::{json, one_line},
    trouble::Trouble,
    when::when,
};
use crate::{
    report::{
        redact::escape_json,
        table::{shortened, table},
    },
    server::wire::Payload,
    store::Delivery,
};

const HEADER: [&str; 7] = ["ID", "RECEIVED", "EVENT", "REPOSITORY", "EFFECT", "PAYLOAD", "REASON"];
/// Blanks between two columns.
const GAP: usize = 2;
/// Characters of a name. Whole texts are in `--json`.
const NAME: usize = 64;

/// Prints deliveries, or the payload of one.
pub(super) async fn deliveries(client: &Client, args: &DeliveriesArgs) -> Result<ExitCode, Trouble> {
    if let Some(id) = args.delivery {
        let Payload { json: payload } = client.get(&format!("/v1/deliveries/{id}/payload")).await?;
        writeln!(io::stdout(), "{}", escape_json(&payload))?;
        return Ok(ExitCode::SUCCESS);
    }
    let found: Vec<Delivery> = client.get(&format!("/v1/deliveries?limit={}", args.limit)).await?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&found))?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        // Not among what a script reads.
        writeln!(io::stderr(), "no delivery is remembered")?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    let text = table(&HEADER, &rows, 0, GAP);
    text.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}

fn row(delivery: &Delivery) -> Vec<String> {
    let Delivery { id, event, repo, received_at, effect, reason, deployment, payload, .. } = delivery;
    let name = |text: &str| shortened(&one_line(text), NAME);
    let effect = match deployment {
        Some(deployment) => format!("{effect} {deployment}"),
        None => effect.clone(),
    };
    let kept = if *payload { "kept" } else { "-" };
    vec![
        id.to_string(),
        when(*received_at),
        name(event),
        repo.as_deref().map_or_else(|| "-".to_owned(), name),
        effect,
        kept.to_owned(),
        one_line(reason),
    ]
}
