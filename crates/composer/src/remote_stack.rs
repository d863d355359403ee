//! What is asked before a project that lies elsewhere is brought up: whether its files from further places are trusted,
//! and which of the user's variables it reads.

use std::io::{self, Write as _};

use super::{
    files::Files,
    progress::Mode,
    prompt::confirm,
    session::Session,
    variables::{Variable, variables},
};
use anyhow::bail;
use turnout_compose::{
    load::load_model,
    model::Project,
    remote::{self, RemoteFile},
};
use turnout_report::table::table;

/// Asks where the first file named with `-f` is remote; `yes` answers all. Whoever cannot answer has said no.
///
/// # Errors
/// When the answer is no.
pub(super) fn consent(session: &Session, project: &Project, yes: bool) -> anyhow::Result<()> {
    let named = &session.global.files;
    let Some(first) = named.first().filter(|file| remote::parse(file).is_some()) else { return Ok(()) };
    let mut request = session.request()?;
    request.options.interpolate = false;
    let files = Files::new(&session.environment);
    let document = if yes { None } else { Some(load_model(&request, &files)?.root) };
    let remote: Vec<(&String, RemoteFile)> =
        named.iter().filter_map(|file| Some((file, remote::parse(file)?))).collect();
    let mut out = io::stdout().lock();
    let further = files.asked().iter().any(|asked| remote.iter().all(|(_, file)| file != asked));
    if further {
        writeln!(out, "\nWarning: This Compose project includes files from remote sources:")?;
        for (file, _) in &remote {
            writeln!(out, "  - {file}")?;
        }
        writeln!(out, "\nRemote includes could potentially be malicious. Make sure you trust the source.")?;
        agreed(confirm("Do you want to continue? [y/N]: ", false)?)?;
    }
    if !matches!(session.mode(), Mode::Quiet | Mode::Json) {
        writeln!(out, "Your compose stack {first:?} is stored in {:?}", project.working_dir)?;
    }
    let read = document.map(|root| variables(&root)).unwrap_or_default();
    if read.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nFound the following variables in configuration:")?;
    let header = ["VARIABLE", "VALUE", "SOURCE", "REQUIRED", "DEFAULT"];
    let rows: Vec<Vec<String>> = read.iter().map(|(name, variable)| row(name, variable)).collect();
    out.write_all(table(&header, &rows, 0, 3).as_bytes())?;
    agreed(confirm("\nDo you want to proceed with these variables? [Y/n]: ", true)?)
}

fn agreed(yes: bool) -> anyhow::Result<()> {
    if !yes {
        bail!("operation cancelled by user (answer y, or say --yes to `up`)");
    }
    Ok(())
}

fn row(name: &str, variable: &Variable) -> Vec<String> {
    let (value, source) = match (std::env::var(name), &variable.default) {
        (Ok(value), _) => (value, "environment"),
        (Err(_), default) if !default.is_empty() => (default.clone(), "compose file"),
        _ => ("<unset>".to_owned(), "none"),
    };
    let required = if variable.required { "yes" } else { "no" };
    vec![name.to_owned(), value, source.to_owned(), required.to_owned(), variable.default.clone()]
}
