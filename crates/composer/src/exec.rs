//! `exec` and `attach`: a command in a running container, and its own process.

use anyhow::bail;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};

use super::{
    args::{AttachArgs, ExecArgs},
    process::{Tie, Tied},
    session::Session,
    terminal::{self, Raw},
};
use turnout_docker::{ContainerStatus, Engine, EngineError};

/// The running container of a service: of a number, else the first; a one-off only where there is nothing else.
pub(super) async fn running(
    engine: &Engine,
    project: &str,
    service: &str,
    index: Option<u32>,
) -> anyhow::Result<ContainerStatus> {
    let mut found = engine.containers(project, false).await?;
    found.retain(|c| c.service == service);
    // The real one counts from 1, and takes 0 for no number.
    let index = index.filter(|index| *index > 0);
    let position = match index {
        Some(index) => found.iter().position(|c| !c.oneoff && c.number == Some(index)),
        None => found.iter().position(|c| !c.oneoff).or((!found.is_empty()).then_some(0)),
    };
    match (position, index) {
        (Some(position), _) => Ok(found.swap_remove(position)),
        (None, Some(index)) => bail!("service {service:?} is not running container #{index}"),
        (None, None) => bail!("service {service:?} is not running"),
    }
}

/// `exec`; the exit code is the command's.
pub(super) async fn exec(session: &Session, args: &ExecArgs) -> anyhow::Result<u8> {
    let project = session.project_name()?;
    let engine = session.engine().await?;
    let container = running(&engine, &project, args.service(), args.index).await?;
    if session.global.dry_run {
        return Ok(0);
    }
    let tty = match args.no_tty {
        // Asked for in so many words.
        Some(false) if !args.detach => {
            terminal::Wish { no_tty: args.no_tty, interactive: Some(args.interactive), ..Default::default() }
                .settle_here()?
        }
        given => given != Some(true) && !args.detach && terminal::is_interactive(),
    };
    let docker = engine.docker();
    let what = format!("exec in {}", container.name);
    let api = |error| EngineError::api(what.clone(), error);
    let created = docker.create_exec(
        &container.id,
        CreateExecOptions {
            attach_stdin: Some(!args.detach && args.interactive),
            attach_stdout: Some(!args.detach),
            attach_stderr: Some(!args.detach),
            tty: Some(tty),
            env: Some(environment(session, &args.env)),
            cmd: Some(args.command().to_vec()),
            privileged: Some(args.privileged),
            user: args.user.clone(),
            working_dir: args.workdir.clone(),
            detach_keys: None,
        },
    );
    let id = created.await.map_err(api)?.id;
    let options = StartExecOptions { detach: args.detach, tty, output_capacity: None };
    let StartExecResults::Attached { output, input } = docker.start_exec(&id, Some(options)).await.map_err(api)? else {
        return Ok(0);
    };
    let raw = if tty { Some(Raw::enter()?) } else { None };
    let pump = terminal::pump(output, args.interactive.then_some(input));
    if tty {
        let resize = |height, width| {
            let resized = docker.resize_exec(&id, ResizeExecOptions { height, width });
            async { resized.await.is_ok() }
        };
        terminal::keeping_size(pump, resize).await?;
    } else {
        pump.await?;
    }
    drop(raw);
    // Without a code it goes on without us: the keys to detach were pressed.
    let code = docker.inspect_exec(&id).await.map_err(api)?.exit_code.unwrap_or_default();
    Ok(u8::try_from(code.rem_euclid(256)).unwrap_or(1))
}

/// `KEY=VALUE` as given; `KEY` alone has our value, or is left out.
fn environment(session: &Session, given: &[String]) -> Vec<String> {
    let own = |name: &String| Some(format!("{name}={}", session.environment.get(name)?));
    given.iter().filter_map(|text| if text.contains('=') { Some(text.clone()) } else { own(text) }).collect()
}

/// `attach`; the exit code is the container's if it ends meanwhile.
pub(super) async fn attach(session: &Session, args: &AttachArgs) -> anyhow::Result<u8> {
    let project = session.project_name()?;
    let engine = session.engine().await?;
    let container = running(&engine, &project, &args.service, args.index).await?;
    if container.state == "paused" {
        bail!("you cannot attach to a paused container: `unpause {}` first", args.service);
    }
    if session.global.dry_run {
        return Ok(0);
    }
    let docker = engine.docker();
    let what = format!("attach to {}", container.name);
    let api = |error| EngineError::api(what.clone(), error);
    let config = docker.inspect_container(&container.id, None).await.map_err(api)?.config.unwrap_or_default();
    let reads = !args.no_stdin && config.open_stdin == Some(true);
    let tty = config.tty == Some(true);
    let tie = Tie {
        reads,
        tty,
        raw: tty && reads && terminal::is_interactive(),
        signals: args.sig_proxy,
        detach_keys: args.detach_keys.clone(),
    };
    if Tied::to(&engine, &container.id, &container.name, tie).await?.stay().await? {
        return Ok(130);
    }
    let state = docker.inspect_container(&container.id, None).await;
    let state = state.ok().and_then(|found| found.state).unwrap_or_default();
    let code = if state.running == Some(true) { 0 } else { state.exit_code.unwrap_or_default() };
    Ok(u8::try_from(code.rem_euclid(256)).unwrap_or(1))
}
