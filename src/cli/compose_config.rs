//! `turnout compose config`: the loaded project, as Compose prints it.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use crate::compose::{
    load::{LoadOptions, LoadRequest, load},
    render::{Format, render},
    source::DiskFiles,
};

/// What the command line asks for.
#[derive(Debug)]
struct Invocation {
    request: LoadRequest,
    format: Format,
    quiet: bool,
}

/// Runs `[global flags] config [flags] [service...]`; `args` begin after `compose`. Warnings and errors go to standard
/// error.
pub fn run(args: &[String]) -> ExitCode {
    match config(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

fn config(args: &[String]) -> Result<(), String> {
    let mut invocation = parse(args)?;
    let request = &mut invocation.request;
    let interpolate = request.options.interpolate;
    request.working_dir = std::env::current_dir().map_err(|e| format!("the current directory is not readable: {e}"))?;
    request.process_env = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect::<BTreeMap<_, _>>();
    if request.files.iter().any(|file| file == "-") {
        let mut text = String::new();
        let most = request.options.limits.max_bytes as u64;
        std::io::stdin()
            .take(most.saturating_add(1))
            .read_to_string(&mut text)
            .map_err(|e| format!("standard input is not readable: {e}"))?;
        request.stdin = Some(text);
    }
    let loaded = load(request, &DiskFiles::default()).map_err(|error| error.to_string())?;
    for warning in &loaded.warnings {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    if invocation.quiet {
        return Ok(());
    }
    let text = render(&loaded.project, invocation.format, interpolate).map_err(|error| error.to_string())?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|e| format!("cannot write: {e}"))
}

fn parse(args: &[String]) -> Result<Invocation, String> {
    let mut request = LoadRequest { options: LoadOptions::default(), ..LoadRequest::default() };
    let (mut format, mut quiet, mut command) = (Format::Yaml, false, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (flag, inline) = match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
            _ => (arg.as_str(), None),
        };
        let mut value =
            || inline.clone().or_else(|| args.next().cloned()).ok_or_else(|| format!("{flag} needs a value"));
        match flag {
            "-p" | "--project-name" => request.project_name = Some(value()?),
            "--project-directory" => request.project_directory = Some(PathBuf::from(value()?)),
            "--env-file" => request.env_files.push(value()?),
            "--profile" => request.profiles.push(value()?),
            "-f" | "--file" => request.files.push(value()?),
            "--format" => {
                format = match value()?.as_str() {
                    "json" => Format::Json,
                    "yaml" => Format::Yaml,
                    other => return Err(format!("unsupported format {other:?}: json or yaml")),
                }
            }
            "-q" | "--quiet" => quiet = true,
            "--no-interpolate" => request.options.interpolate = false,
            "--no-env-resolution" => request.options.resolve_env_files = false,
            _ if flag.starts_with('-') => return Err(format!("unknown flag {flag}")),
            _ if command.is_none() => command = Some(arg.clone()),
            _ => request.services.push(arg.clone()),
        }
    }
    match command.as_deref() {
        Some("config" | "convert") => Ok(Invocation { request, format, quiet }),
        Some(other) => Err(format!("unknown command {other:?}: only `config` is known here")),
        None => Err("name a command: config".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_before_and_behind_the_command() {
        let args: Vec<String> =
            ["-p", "n", "-f", "a", "--file=b", "--profile", "x", "config", "--format", "json", "web"]
                .map(String::from)
                .into();
        let got = parse(&args).unwrap();
        assert_eq!((got.request.project_name.as_deref(), got.format), (Some("n"), Format::Json));
        assert_eq!((got.request.files, got.request.services), (vec!["a".into(), "b".into()], vec!["web".into()]));
        for wrong in [vec!["up"], vec![], vec!["config", "--nope"], vec!["config", "--format"]] {
            assert!(parse(&wrong.into_iter().map(String::from).collect::<Vec<_>>()).is_err());
        }
    }
}
