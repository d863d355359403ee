//! `turnout plan`: asks the daemon, or plans by itself where none answers.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
};

use tokio_util::sync::CancellationToken;

use super::{
    args::PlanArgs,
    client::{Client, ClientError},
    command::Trouble,
};
use crate::{
    config::{self, LiveRepos},
    deploy::{Planner, Wanted},
    plan,
    report::{Notes, redact::escape_lines},
    server::wire::{PlanReply, PlanRequest},
    store,
};

/// Prints the plan.
pub(super) async fn plan(client: &Client, args: &PlanArgs) -> Result<ExitCode, Trouble> {
    let request = PlanRequest { repo: args.repo.clone(), rebuild: args.rebuild };
    let reply = match client.post::<_, PlanReply>("/v1/plan", &request).await {
        Ok(reply) => reply,
        Err(ClientError::Unreachable { .. }) => alone(args).await?,
        Err(other) => return Err(other.into()),
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&reply.plan).unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    for note in &reply.notes {
        writeln!(out, "{}", escape_lines(note))?;
    }
    write!(out, "{}{}", escape_lines(&reply.text), if reply.text.ends_with('\n') { "" } else { "\n" })?;
    Ok(ExitCode::SUCCESS)
}

async fn alone(args: &PlanArgs) -> Result<PlanReply, Trouble> {
    let settings = config::gather(&args.settings)?;
    let repos = LiveRepos::open(&settings.repos, settings.variables())?;
    let notes = Notes::default();
    let database = settings.database();
    let planner = Planner::new(Arc::new(settings), Arc::new(repos)).map_err(|e| anyhow::anyhow!("{e}"))?;
    let repo = planner.find(&args.repo)?;
    let loaded = planner.read(&repo, &notes).await?;
    let before = store::peek_deployed_before(&database, &repo.name, &loaded.stack.project)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let reads = store::peek_reads(&database, &loaded.stack.project).map_err(|error| anyhow::anyhow!("{error}"))?;
    let places = store::peek_places(&database).map_err(|error| anyhow::anyhow!("{error}"))?;
    let wanted = Wanted { before, reads, rebuild: args.rebuild, places, ..Wanted::default() };
    let redactor = planner.redactor.clone();
    let prepared = planner.prepare(&repo, loaded, wanted, &notes, &CancellationToken::new()).await;
    let prepared = prepared.map_err(|failure| failure.redacted(&redactor))?;
    let clean = |text: String| redactor.redact(&text).into_owned();
    Ok(PlanReply {
        notes: notes.into_texts().into_iter().map(clean).collect(),
        text: clean(plan::render(&prepared.plan)),
        plan: redactor.redact_json(serde_json::to_value(&prepared.plan).unwrap_or_default()),
    })
}
