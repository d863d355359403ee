//! Commands that run inside a container after its start or before its stop.

use std::collections::VecDeque;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::StreamExt;
use turnout_compose::model::{Hook, Service};
use turnout_report::Event;

use super::executor::Executor;
use crate::{EngineError, patience::spoken};

/// Lines of a failing hook's output that its error repeats.
const TAIL: usize = 10;

impl Executor<'_> {
    /// Runs one hook to its end; its output goes to the reporter.
    ///
    /// # Errors
    /// A non-zero exit code, or no end within the time for waits, with the last lines.
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
        let exec = self.engine.ask(docker.create_exec(id, options)).await.map_err(api)?.id;
        let deadline = tokio::time::Instant::now() + self.run.wait_timeout;
        let begin = StartExecOptions { detach: false, tty: service.tty, output_capacity: None };
        let mut tail: VecDeque<String> = VecDeque::new();
        if let StartExecResults::Attached { mut output, input: _ } =
            self.engine.ask(docker.start_exec(&exec, Some(begin))).await.map_err(api)?
        {
            loop {
                let next = tokio::select! {
                    next = output.next() => next,
                    () = self.run.cancel.cancelled() => {
                        let stands = if kind == "post_start" { "was started" } else { "runs on" };
                        return Err(EngineError::GivenUp(format!(
                            "{container} {stands}, and its {kind} hook goes on inside it"
                        )));
                    }
                    () = tokio::time::sleep_until(deadline) => {
                        let (limit, said) = (spoken(self.run.wait_timeout), last(tail));
                        return Err(EngineError::Hook(format!(
                            "{kind} hook of {container} did not end within {limit}; it may go on inside{said}"
                        )));
                    }
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
        match self.engine.ask(docker.inspect_exec(&exec)).await.map_err(api)?.exit_code {
            Some(0) => Ok(()),
            code => {
                let code = code.map_or_else(|| "unknown".to_owned(), |c| c.to_string());
                let said = last(tail);
                Err(EngineError::Hook(format!("{name} hook exited with status {code} ({kind}){said}")))
            }
        }
    }
}

/// The last lines, as an error ends with them.
fn last(tail: VecDeque<String>) -> String {
    let said = tail.into_iter().collect::<Vec<_>>().join("\n");
    if said.is_empty() { said } else { format!(": {said}") }
}
