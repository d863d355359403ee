//! `turnout backup` and `turnout restore`: the daemon's database as a copy, and back.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use super::{
    args::{BackupArgs, RestoreArgs},
    trouble::Trouble,
};
use crate::{config, report::counted, store};

/// Copies the database. The daemon may run: SQLite gives each its turn.
pub(super) fn backup(args: &BackupArgs) -> Result<ExitCode, Trouble> {
    let database = config::gather(&args.settings)?.database();
    if database.try_exists().is_ok_and(|there| !there) {
        return Err(Trouble::Other(anyhow::anyhow!(
            "{} is not there, so there is nothing to copy; is it the daemon's state directory (--state-dir)?",
            database.display()
        )));
    }
    let deployments = store::back_up(&database, &args.file).map_err(|error| Trouble::Other(error.into()))?;
    writeln!(io::stdout(), "{}: a copy with {}, checked", args.file.display(), counted(deployments, "deployment"))?;
    Ok(ExitCode::SUCCESS)
}

/// Puts a copy in the place of the database.
pub(super) fn restore(args: &RestoreArgs) -> Result<ExitCode, Trouble> {
    let database = config::gather(&args.settings)?.database();
    let restored = store::restore(&database, args.file.as_deref()).map_err(|error| Trouble::Other(error.into()))?;
    let store::Restored { deployments, unfinished, former } = restored;
    let mut out = io::stdout().lock();
    match &args.file {
        Some(file) => writeln!(out, "restored {} with {}", file.display(), counted(deployments, "deployment"))?,
        None => writeln!(out, "{} is a new one, without a history", database.display())?,
    }
    if unfinished > 0 {
        writeln!(
            out,
            "{unfinished} of them had not ended when the copy was made, and nothing repeats that: `turnout status` shows what \
             is wanted, once the daemon runs"
        )?;
    }
    if let Some(former) = former {
        writeln!(out, "the former database is kept as {}", former.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
