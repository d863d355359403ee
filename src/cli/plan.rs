//! `turnout plan`: asks the daemon, or plans by itself where none answers.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{
    args::PlanArgs,
    check::daemons_user,
    client::{Client, ClientError, DAEMON},
    show::json,
    trouble::Trouble,
    waiting::Waiting,
};
use crate::{
    config::{self, LiveRepos},
    deploy::{Failure, Planner, Wanted, colours},
    files,
    report::{Event, Notes, Reporter, redact::escape_lines},
    server::wire::{PlanReply, PlanRequest, Planned},
    store, switch,
};

/// Prints the plan.
pub(super) async fn plan(client: &Client, args: &PlanArgs) -> Result<ExitCode, Trouble> {
    let request = PlanRequest { repo: args.repo.clone(), rebuild: args.rebuild, fetch: args.fetch, told: true };
    let waiting = Waiting::for_(DAEMON, None);
    let reply = match of_daemon(client, &request, &waiting).await {
        // One whose disk is full has not begun to work; a plan needs none.
        Err(Trouble::Client(ClientError::Unreachable { .. } | ClientError::Refused { status: 507, .. })) => {
            waiting.over();
            waiting.told(alone(args, &waiting)).await?
        }
        answered => answered?,
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&reply.plan))?;
        return Ok(ExitCode::SUCCESS);
    }
    for note in &reply.notes {
        writeln!(out, "{}", escape_lines(note))?;
    }
    write!(out, "{}{}", escape_lines(&reply.text), if reply.text.ends_with('\n') { "" } else { "\n" })?;
    Ok(ExitCode::SUCCESS)
}

/// Has the daemon make it, and says what that waits for.
async fn of_daemon(client: &Client, request: &PlanRequest, waiting: &Waiting) -> Result<PlanReply, Trouble> {
    let mut items = waiting.told(client.post_lines::<_, Planned>("/v1/plan", request)).await?;
    while let Some(item) = waiting.told(items.next()).await {
        match item? {
            Planned::Waiting(wait) => waiting.now(wait.what, wait.at_most.as_deref()),
            Planned::Done(reply) => return Ok(*reply),
            Planned::Refused(reply) => {
                return Err(ClientError::Refused { status: 422, message: reply.error, hint: reply.hint }.into());
            }
        }
    }
    Err(ClientError::Cut("the daemon ended before the plan was made; ask again".to_owned()).into())
}

async fn alone(args: &PlanArgs, waiting: &Waiting) -> Result<PlanReply, Trouble> {
    let settings = config::gather(&args.settings)?;
    let repos = LiveRepos::open(&settings.repos, settings.variables())?;
    let telling = Telling { notes: Notes::default(), waiting };
    let database = settings.database();
    let planner = Planner::new(Arc::new(settings), Arc::new(repos)).map_err(|e| anyhow::anyhow!("{e}"))?;
    let repo = planner.find(&args.repo)?;
    let cancel = CancellationToken::new();
    let looked = planner.look(&repo, args.fetch, None, &telling, &cancel).await;
    let seen = looked.map_err(|failure| not_as_root(failure, &database, args))?;
    let redactor = planner.redactor.of(&repo.name);
    if repo.switch.is_some() {
        let failed = |failure: Failure| seen.failure(failure).redacted(&redactor);
        let engine = planner.engine().await.map_err(|error| failed(error.into()))?;
        let named = planner.read_through(&repo, seen.view.clone(), &telling).await.map_err(failed)?;
        let unread = |error: store::StoreError| failed(Failure::new(error.to_string()));
        let staying = store::peek_staying(&database).map_err(unread)?;
        let colour = &named.stack.color;
        let both = (colour.as_str(), staying.get(&repo.name).unwrap_or(colour).as_str());
        let derived = colours::derive(&planner, &repo, &seen.view, both, &engine).await;
        let (_, derived) = derived.map_err(failed)?;
        let known = store::peek_colours(&database).map_err(unread)?;
        let third = colours::third(&repo.name, &known, &derived.colours, &repo.env_file);
        let third = third.map(|said| format!("\n{said}\n")).unwrap_or_default();
        let text = format!(
            "{}{third}\nno daemon answers: which colour is next, and the steps, the daemon plans\n",
            switch::explain(&derived)
        );
        let clean = |text: String| redactor.redact(&seen.view.named(&text)).into_owned();
        return Ok(PlanReply {
            notes: telling.notes.into_texts().into_iter().map(clean).collect(),
            text: clean(text),
            plan: serde_json::Value::Null,
        });
    }
    let planned = async {
        let loaded = planner.read_through(&repo, seen.view.clone(), &telling).await?;
        let unread = |error: store::StoreError| Failure::new(error.to_string());
        let before = store::peek_deployed_before(&database, &repo.name, &loaded.stack.project).map_err(unread)?;
        let reads = store::peek_reads(&database, &loaded.stack.project).map_err(unread)?;
        let places = store::peek_places(&database).map_err(unread)?;
        if let Some(live) = store::live_of(&store::peek_colours(&database).map_err(unread)?, &repo.name) {
            let live = &live.project;
            telling.warn(format!(
                "{live} is live, and `switch` was taken out: {} comes back in place with the next deployment; no daemon answers, \
                 and what that takes the daemon plans",
                loaded.stack.project
            ));
        }
        let (commit, digests) = (seen.commit.clone(), seen.digests.clone());
        let wanted = Wanted { commit, digests, before, reads, rebuild: args.rebuild, places, ..Wanted::default() };
        planner.prepare(&repo, loaded, wanted, &telling, &cancel).await
    };
    let prepared = planned.await.map_err(|failure| seen.failure(failure).redacted(&redactor))?;
    let clean = |text: String| redactor.redact(&seen.view.named(&text)).into_owned();
    Ok(PlanReply {
        notes: telling.notes.into_texts().into_iter().map(clean).collect(),
        text: clean(prepared.text.clone()),
        plan: redactor.redact_json(serde_json::to_value(&prepared.plan).unwrap_or_default()),
    })
}

/// A fetch of root's goes with root's own keys and known hosts, of which the daemon has none.
fn not_as_root(failure: Failure, database: &Path, args: &PlanArgs) -> Failure {
    let Some(user) = daemons_user(database).filter(|_| args.fetch && files::this_user() == "root") else {
        return failure;
    };
    if failure.hint.is_some() {
        return failure;
    }
    let name = &args.repo;
    failure.hint(format!(
        "asked as root, whose keys and known hosts count here; with those of the daemon: `sudo -u {user} turnout plan {name} \
         --fetch`"
    ))
}

/// Keeps what is said before the plan, and notes what is waited for.
struct Telling<'w> {
    notes: Notes,
    waiting: &'w Waiting,
}

impl Reporter for Telling<'_> {
    fn report(&self, event: Event) {
        match event {
            Event::Progress { subject, text } => self.waiting.now(subject, Some(&text)),
            event => self.notes.report(event),
        }
    }
}
