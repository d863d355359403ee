//! Services that a program outside of Compose provides: `provider:` (docs/extension.md of docker/compose).
//!
//! The program is a CLI plugin `docker-TYPE`, else `TYPE` of the search path. It is called as `PROGRAM compose
//! --project-name=NAME up|down --OPTION=VALUE… SERVICE` and answers with lines of JSON, `{"type": …, "message": …}`:
//! `info`, `debug`, `error`, and `setenv` with `KEY=VALUE`, which services depending on it receive as `SERVICE_KEY`,
//! or, since Compose 5.2, `rawsetenv`, received as `KEY`. What it says of itself to `compose metadata` tells which
//! options it takes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::Command,
};

use super::{progress::Progress, session::Session};
use turnout_compose::model::{Project, Provider};
use turnout_registry::docker_config_directory;

/// Longest answer of a program that is read, in bytes.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;
/// Where the Docker command line looks for plugins, after the user's own directory.
const PLUGIN_DIRECTORIES: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// Brings all provided services up, dependencies first, and gives their variables to the services that need them.
///
/// # Errors
/// A program that is missing or that fails.
pub(super) async fn up(session: &Session, project: &mut Project, progress: &Progress) -> anyhow::Result<()> {
    for name in provided(project) {
        session.look_anew();
        let variables = call(session, project, &name, "up", progress).await?;
        for service in project.services.values_mut().filter(|service| service.depends_on.contains_key(&name)) {
            let set = variables.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
            service.environment.extend(set);
        }
    }
    Ok(())
}

/// Takes provided services down, dependents first. `named`: only these, all if empty.
///
/// # Errors
/// A program that is missing or that fails.
pub(super) async fn down(
    session: &Session,
    project: &Project,
    named: &[String],
    progress: &Progress,
) -> anyhow::Result<()> {
    for name in provided(project).into_iter().rev().filter(|name| named.is_empty() || named.contains(name)) {
        call(session, project, &name, "down", progress).await?;
    }
    Ok(())
}

fn provided(project: &Project) -> Vec<String> {
    let order = project.dependency_order().unwrap_or_else(|_| project.services.keys().map(String::as_str).collect());
    let is_provided = |name: &&str| project.services.get(*name).is_some_and(|service| service.provider.is_some());
    order.into_iter().filter(is_provided).map(str::to_owned).collect()
}

#[derive(Deserialize)]
struct Message {
    r#type: String,
    #[serde(default)]
    message: String,
}

/// What a program says of itself.
#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    description: String,
    #[serde(default)]
    up: Option<Parameters>,
    #[serde(default)]
    down: Option<Parameters>,
}

#[derive(Deserialize, Default)]
struct Parameters {
    #[serde(default)]
    parameters: Option<Vec<Parameter>>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    #[serde(default)]
    required: bool,
}

async fn call(
    session: &Session,
    project: &Project,
    name: &str,
    command: &str,
    progress: &Progress,
) -> anyhow::Result<BTreeMap<String, String>> {
    let provider = project.services.get(name).and_then(|service| service.provider.as_ref());
    let Some(provider) = provider else { return Ok(BTreeMap::new()) };
    let program = find(session, name, &provider.r#type)?;
    let metadata = metadata(project, &program).await;
    let arguments = arguments(name, provider, &metadata, command)?;
    let (doing, done) = if command == "up" { ("Creating", "Created") } else { ("Removing", "Removed") };
    progress.is(name, doing);
    let mut child = Command::new(&program)
        .arg("compose")
        .arg(format!("--project-name={}", project.name))
        .arg(command)
        .args(arguments)
        .arg(name)
        .env_clear()
        .envs(&project.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("services.{name}.provider: cannot start {}", program.display()))?;
    let variables = match child.stdout.take() {
        Some(answer) => listen(name, answer, progress).await?,
        None => BTreeMap::new(),
    };
    let ended = child.wait().await.with_context(|| format!("services.{name}.provider"))?;
    if !ended.success() {
        let what = if command == "up" { "create" } else { "remove" };
        bail!("services.{name}.provider: failed to {what} service provider: {}: {ended}", program.display());
    }
    progress.is(name, done);
    Ok(variables)
}

/// Reads what a program says until it has ended: the variables that it sets, by their full names.
async fn listen(
    name: &str,
    answer: impl AsyncRead + Unpin,
    progress: &Progress,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    let mut lines = BufReader::new(answer.take(MAX_ANSWER)).lines();
    while let Some(line) = lines.next_line().await? {
        if line.trim().is_empty() {
            continue;
        }
        // The answer may hold secrets: it is not quoted.
        let Ok(Message { r#type: kind, message }) = serde_json::from_str(&line) else {
            bail!("services.{name}.provider: the program's answer is not a line of JSON with type and message");
        };
        match kind.as_str() {
            "info" => progress.is(name, &message),
            "debug" => {}
            "error" => bail!("services.{name}.provider: {message}"),
            "setenv" | "rawsetenv" => match message.split_once('=') {
                Some((key, value)) => {
                    let prefix = if kind == "setenv" { format!("{}_", name.to_uppercase()) } else { String::new() };
                    variables.insert(prefix + key, value.to_owned());
                }
                None => bail!("services.{name}.provider: the program's `{kind}` is not KEY=VALUE"),
            },
            other => bail!("services.{name}.provider: the program's answer has an unknown type {other:?}"),
        }
    }
    Ok(variables)
}

/// The options as the program wants them. One that says nothing of itself gets all of them.
fn arguments(name: &str, provider: &Provider, metadata: &Metadata, command: &str) -> anyhow::Result<Vec<String>> {
    let own = if command == "up" { &metadata.up } else { &metadata.down };
    let listed = |m: &Option<Parameters>| m.as_ref().is_some_and(|p| p.parameters.is_some());
    let silent = metadata.description.is_empty() && !listed(&metadata.up) && !listed(&metadata.down);
    let known: &[Parameter] = own.as_ref().and_then(|p| p.parameters.as_deref()).unwrap_or_default();
    if let Some(missing) = known.iter().find(|p| p.required && !provider.options.contains_key(&p.name)) {
        bail!(
            "services.{name}.provider.options.{}: required by the provider {:?}; add it",
            missing.name,
            provider.r#type
        );
    }
    let taken = provider.options.iter().filter(|(key, _)| silent || known.iter().any(|p| p.name == **key));
    Ok(taken.flat_map(|(key, values)| values.iter().map(move |value| format!("--{key}={value}"))).collect())
}

async fn metadata(project: &Project, program: &Path) -> Metadata {
    let asked = Command::new(program)
        .args(["compose", "metadata"])
        .env_clear()
        .envs(&project.environment)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    // Saying nothing of itself is allowed.
    let answer = asked.ok().filter(|answer| answer.status.success());
    answer.and_then(|answer| serde_json::from_slice(&answer.stdout).ok()).unwrap_or_default()
}

fn find(session: &Session, name: &str, kind: &str) -> anyhow::Result<PathBuf> {
    if kind == "compose" {
        bail!("services.{name}.provider.type: 'compose' is not a valid provider type");
    }
    if kind.is_empty() || kind.contains('/') {
        bail!("services.{name}.provider.type: {kind:?} is not the name of a program");
    }
    let plugin = format!("docker-{kind}");
    let own = docker_config_directory(&session.environment).map(|directory| directory.join("cli-plugins"));
    let plugins = own.into_iter().chain(PLUGIN_DIRECTORIES.map(PathBuf::from)).map(|place| place.join(&plugin));
    let path = session.variable("PATH").unwrap_or_default();
    let programs = programs(path, kind);
    let found = plugins.chain(programs).find(|path| is_program(path));
    found.with_context(|| {
        format!(
            "services.{name}.provider.type: there is no Docker CLI plugin {plugin} and no program {kind}; install one \
             of them, or remove the service"
        )
    })
}

/// Where a program of the search path may be. An empty or relative part of it means the directory one is in, whose programs
/// are the project's own.
fn programs(path: &str, name: &str) -> Vec<PathBuf> {
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join(name)).collect()
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_project_are_not_on_the_search_path() {
        assert_eq!(programs(":/usr/bin:.:bin:/bin", "x"), [PathBuf::from("/usr/bin/x"), PathBuf::from("/bin/x")]);
    }
}
