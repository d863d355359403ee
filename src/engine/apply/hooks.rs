//! Commands that run inside a container after its start or before its stop.

use std::collections::VecDeque;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::StreamExt;

use super::Executor;
use crate::{
    compose::model::{Hook, Service},
    engine::EngineError,
    report::Event,
};

/// Lines of a failing hook's output that its error repeats.
const TAIL: usize = 10;

impl Executor<'_> {
    /// Runs one hook to its end; its output goes to the reporter.
    ///
    /// # Errors
    /// A non-zero exit code, with the last lines.
    pub(super) async fn run_hook(
        &self,
        name: &str,
        service: &Service,
        id: &str,
        container: &str,
        hook: &Hook,
        kind: &str,
    ) -> Result<(), EngineError> {
        let Hook { command, user, privileged, working_dir, environment } = hook;
        let what = || format!("{kind} hook of {container}");
        let api = |e| EngineError::api(what(), e);
        let text = |t: &String| (!t.is_empty()).then(|| t.clone());
        let variables: Vec<String> =
            environment.iter().map(|(k, v)| v.as_ref().map_or_else(|| k.clone(), |v| format!("{k}={v}"))).collect();
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: command.clone(),
            env: (!variables.is_empty()).then_some(variables),
            privileged: Some(*privileged),
            user: text(user),
            working_dir: text(working_dir),
            ..Default::default()
        };
        let docker = self.engine.docker();
        let exec = docker.create_exec(id, options).await.map_err(api)?.id;
        let begin = StartExecOptions { detach: false, tty: service.tty, output_capacity: None };
        let mut tail: VecDeque<String> = VecDeque::new();
        if let StartExecResults::Attached { mut output, input: _ } =
            docker.start_exec(&exec, Some(begin)).await.map_err(api)?
        {
            loop {
                let next = tokio::select! {
                    next = output.next() => next,
                    () = self.run.cancel.cancelled() => return Err(EngineError::Cancelled),
                };
                let Some(chunk) = next else { break };
                for line in chunk.map_err(api)?.to_string().lines() {
                    let event = Event::Output { source: format!("{container} {kind}"), line: line.to_owned() };
                    self.run.reporter.report(event);
                    tail.push_back(line.to_owned());
                    if tail.len() > TAIL {
                        tail.pop_front();
                    }
                }
            }
        }
        match docker.inspect_exec(&exec).await.map_err(api)?.exit_code {
            Some(0) => Ok(()),
            code => {
                let code = code.map_or_else(|| "unknown".to_owned(), |c| c.to_string());
                let said = tail.into_iter().collect::<Vec<_>>().join("\n");
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                Err(EngineError::Hook(format!("{name} hook exited with status {code} ({kind}){said}")))
            }
        }
    }
}
