//! `turnout prune`: removes what turnout left that nobody needs, or says what it would remove.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
};

use super::{args::PruneArgs, trouble::Trouble, waiting::Waiting};
use crate::{
    config::{self, LiveRepos, units},
    deploy::{
        Planner,
        prune::{self, Deployed},
    },
    report::counted,
    store,
};

/// Looks by itself: the daemon need not run, and a deployment of the same repository is kept out by a lock.
pub(super) async fn prune(args: &PruneArgs) -> Result<ExitCode, Trouble> {
    let settings = config::gather(&args.settings)?;
    let repos = LiveRepos::open(&settings.repos, settings.variables())?;
    let deployed = store::peek_projects(&settings.database()).map_err(|error| anyhow::anyhow!("{error}"))?;
    let deployed: Vec<Deployed> = deployed.into_iter().map(|(repo, project)| Deployed { repo, project }).collect();
    let planner = Planner::new(Arc::new(settings), Arc::new(repos)).map_err(|error| anyhow::anyhow!("{error}"))?;
    let found = Waiting::for_("the Docker engine", None)
        .told(prune::prune(&planner, &deployed, &args.only, args.dry_run))
        .await?;
    let mut out = io::stdout().lock();
    for line in &found.lines {
        writeln!(out, "{line}")?;
    }
    let (count, size) = (found.removed, units::shown(found.freed));
    let things = counted(count, "thing");
    match (count, args.dry_run) {
        (0, _) => writeln!(out, "nothing to remove")?,
        (_, true) => writeln!(out, "would remove {things}, up to {size}; without --dry-run they go")?,
        (_, false) => writeln!(out, "removed {things}, up to {size}")?,
    }
    Ok(if found.incomplete { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
