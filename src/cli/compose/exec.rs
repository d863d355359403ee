//! `exec`: a command in a running container.

use anyhow::bail;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};

use super::{
    args::ExecArgs,
    session::Session,
    terminal::{self, Raw},
};
use crate::engine::EngineError;

/// `exec`; the exit code is the command's.
pub(super) async fn exec(session: &Session, args: &ExecArgs) -> anyhow::Result<u8> {
    let project = session.project_name()?;
    let engine = session.engine().await?;
    let running = engine.containers(&project, false).await?;
    let of_service = |c: &&crate::engine::ContainerStatus| c.service == args.service && !c.oneoff;
    let wanted = running.iter().filter(of_service).find(|c| args.index.is_none_or(|index| c.number == Some(index)));
    let Some(container) = wanted else {
        match args.index {
            Some(index) => bail!("service {:?} is not running container #{index}", args.service),
            None => bail!("service {:?} is not running", args.service),
        }
    };
    let tty = !args.no_tty && !args.detach && terminal::is_interactive();
    let docker = engine.docker();
    let what = format!("exec in {}", container.name);
    let api = |error| EngineError::api(what.clone(), error);
    let created = docker.create_exec(
        &container.id,
        CreateExecOptions {
            attach_stdin: Some(!args.detach),
            attach_stdout: Some(!args.detach),
            attach_stderr: Some(!args.detach),
            tty: Some(tty),
            env: Some(args.env.clone()),
            cmd: Some(args.command.clone()),
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
    if let (true, Some((height, width))) = (tty, terminal::size()) {
        // A wrong size is a blemish, not a failure.
        let _ = docker.resize_exec(&id, ResizeExecOptions { height, width }).await;
    }
    terminal::pump(output, Some(input)).await?;
    drop(raw);
    let code = docker.inspect_exec(&id).await.map_err(api)?.exit_code.unwrap_or_default();
    Ok(u8::try_from(code.rem_euclid(256)).unwrap_or(1))
}
