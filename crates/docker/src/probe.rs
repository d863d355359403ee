//! A container's own health check, run by turnout while something waits for its verdict.
//!
//! The engine runs a check for the first time when its interval is over: 30 s after the start, unless the file says
//! otherwise. Where requests or a change of colours wait for it, turnout runs the same command in the container, as the
//! engine would, again and again until it ends with 0. Failures only mean "not yet": that a container is unhealthy is the
//! engine's to say, and how long all may take the waiter's.
//!
//! In each container one check runs at a time. One that does not end in its own timeout cannot be ended from outside; none is
//! begun beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::{
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::{ContainerConfig, HealthConfig, HealthStatusEnum as HealthStatus},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, timeout};
use turnout_report::Reporter;

use super::{
    ContainerRef, Engine, EngineError,
    health::{CHECK_TIME, cut_output, positive},
    inspect::pairs,
    patience::spoken,
};

/// From the end of a check that failed to the next one, at first: what a service may lose after it has become ready.
const PAUSE: Duration = Duration::from_millis(300);
/// The same for one that takes long: a start must not be slowed by questions.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// The part of the time waited that the next pause lasts.
const PART: u32 = 10;
/// Between two looks whether a check has ended that was given up.
const LOOK: Duration = Duration::from_millis(500);
/// The exit code is there a moment after the output has ended.
const CODE: Duration = Duration::from_millis(20);
/// Bytes of a check's output that are kept, as the engine does (moby `daemon/health.go`, `maxOutputLen`).
const MOST: usize = 4096;

/// Whose health checks turnout runs itself, besides the engine.
#[derive(Clone, Copy)]
pub struct Probing<'a> {
    /// Services that are left to the engine.
    pub not: &'a BTreeSet<String>,
    /// How long a check may take to its first success, by service, in place of the check's own times.
    pub limits: &'a BTreeMap<String, Duration>,
    /// Takes what is said of it.
    pub reporter: &'a dyn Reporter,
}

/// Checks under way, of several containers.
pub(super) struct Probes<'a> {
    running: FuturesUnordered<Pin<Box<dyn Future<Output = bool> + Send + 'a>>>,
    /// What is known of them.
    pub(super) verdicts: Verdicts,
}

impl<'a> Probes<'a> {
    /// Of these containers. None is run before [`Probes::next`] is waited for, and none any more when this is dropped.
    pub(super) fn of(engine: &'a Engine, probing: Option<Probing<'a>>, containers: &[ContainerRef]) -> Probes<'a> {
        let probes = Probes { running: FuturesUnordered::new(), verdicts: Verdicts::default() };
        let Some(probing) = probing else { return probes };
        for one in containers.iter().filter(|one| !probing.not.contains(&one.service)) {
            let verdicts = probes.verdicts.clone();
            probes.running.push(Box::pin(probe(engine, probing.reporter, one.clone(), verdicts)));
        }
        probes
    }

    /// Runs them until one more has passed; never ends once nothing is left to run.
    pub(super) async fn next(&mut self) {
        while let Some(passed) = self.running.next().await {
            if passed {
                return;
            }
        }
        std::future::pending().await
    }
}

/// What the checks of containers said last, by the container's ID. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdicts(Arc<Mutex<BTreeMap<String, Result<(), String>>>>);

impl Verdicts {
    /// Whether a container's check has passed.
    pub(super) fn passed(&self, id: &str) -> bool {
        matches!(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id), Some(Ok(())))
    }

    /// How a container's check failed last, as the end of a sentence; empty where none has.
    pub(super) fn said(&self, id: &str) -> String {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            Some(Err(said)) => format!(": its health check, run by turnout, {said}"),
            Some(Ok(())) | None => String::new(),
        }
    }

    fn note(&self, id: &str, verdict: Result<(), String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), verdict);
    }
}

/// Runs the check of one container until it passes. Answers whether it did: not where there is no check to run.
async fn probe(engine: &Engine, reporter: &dyn Reporter, one: ContainerRef, verdicts: Verdicts) -> bool {
    let began = Instant::now();
    // Who waits looks too, and tells why it could not.
    let Ok(Some(found)) = engine.find_container(&one.id).await else { return false };
    let state = found.state.unwrap_or_default();
    let waits = state.health.as_ref().and_then(|health| health.status) == Some(HealthStatus::STARTING);
    let config = found.config.unwrap_or_default();
    let Some(check) = Check::of(&config).filter(|_| waits) else { return false };
    let up = engine.running_for(&state.started_at.unwrap_or_default()).await;
    reporter.variables(&pairs(config.env.as_deref().unwrap_or_default()));
    loop {
        let asked = Instant::now();
        let (verdict, hangs) = match engine.run_check(&one.id, &check).await {
            Ok(()) => (Ok(()), None),
            Err(Failed { said, hangs }) => (Err(said), hangs),
        };
        let passed = verdict.is_ok();
        verdicts.note(&one.id, verdict);
        if let Some(exec) = hangs {
            engine.exit_code_of(&exec, LOOK).await;
        }
        if passed {
            let after = up.saturating_add(began.elapsed()).as_secs_f64();
            reporter.info(format!(
                "{}: its health check passes, run by turnout {after:.1} s after the start; the engine runs it every {}",
                one.name,
                spoken(check.interval)
            ));
            return true;
        }
        sleep(pause(began.elapsed(), asked.elapsed())).await;
    }
}

/// How long to wait for the next check, after so long a wait in all and a check that took so long.
fn pause(waited: Duration, took: Duration) -> Duration {
    (waited / PART).max(took).clamp(PAUSE, LONGEST_PAUSE)
}

/// A check as the engine runs it.
#[derive(Debug, PartialEq, Eq)]
struct Check {
    command: Vec<String>,
    /// As the container's own program runs; the engine takes those for a command without them.
    user: Option<String>,
    working_dir: Option<String>,
    timeout: Duration,
    interval: Duration,
}

impl Check {
    /// That of a container; `None` where it has none.
    fn of(config: &ContainerConfig) -> Option<Check> {
        let HealthConfig { test, interval, timeout, .. } = config.healthcheck.clone()?;
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Some(Check {
            command: command(&test.unwrap_or_default(), config.shell.as_deref().unwrap_or_default())?,
            user: text(&config.user),
            working_dir: text(&config.working_dir),
            timeout: positive(timeout, CHECK_TIME),
            interval: positive(interval, CHECK_TIME),
        })
    }
}

/// The command of a check's test (moby `daemon/health.go`, `getProbe` and `getShell`); `None` where it is none.
fn command(test: &[String], shell: &[String]) -> Option<Vec<String>> {
    let (word, rest) = test.split_first()?;
    let command = match word.as_str() {
        "CMD" => rest.to_vec(),
        "CMD-SHELL" if shell.is_empty() => [&["/bin/sh".to_owned(), "-c".to_owned()], rest].concat(),
        "CMD-SHELL" => [shell, rest].concat(),
        _ => return None,
    };
    (!rest.is_empty()).then_some(command)
}

/// How a check failed.
struct Failed {
    /// As the end of a sentence.
    said: String,
    /// The command that has not ended in its time, as the engine calls it.
    hangs: Option<String>,
}

impl Engine {
    /// Runs a check once, to its end.
    async fn run_check(&self, id: &str, check: &Check) -> Result<(), Failed> {
        let failed = |said| Failed { said, hangs: None };
        let refused = |error| failed(format!("cannot be run: {}", EngineError::api("run it", error)));
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(check.command.clone()),
            user: check.user.clone(),
            working_dir: check.working_dir.clone(),
            ..Default::default()
        };
        let exec = self.ask(self.docker().create_exec(id, options)).await.map_err(refused)?.id;
        let begin = StartExecOptions { detach: false, tty: false, output_capacity: None };
        let mut said = Vec::new();
        let begun = self.ask(self.docker().start_exec(&exec, Some(begin))).await.map_err(refused)?;
        if let StartExecResults::Attached { mut output, input: _ } = begun {
            let whole = async {
                while let Some(Ok(chunk)) = output.next().await {
                    let room = MOST.saturating_sub(said.len());
                    said.extend(chunk.as_ref().iter().take(room));
                }
            };
            if timeout(check.timeout, whole).await.is_err() {
                let said = format!("does not end within {}{}", spoken(check.timeout), words(&said));
                return Err(Failed { said, hangs: Some(exec) });
            }
        }
        match self.exit_code_of(&exec, CODE).await {
            Some(0) => Ok(()),
            Some(code) => Err(failed(format!("ends with exit code {code}{}", words(&said)))),
            None => Err(failed(format!("has no exit code{}", words(&said)))),
        }
    }

    /// The exit code of a command in a container, once it has ended; `None` where it is not known any more.
    async fn exit_code_of(&self, exec: &str, look: Duration) -> Option<i64> {
        loop {
            let found = self.ask(self.docker().inspect_exec(exec)).await.ok()?;
            if found.running != Some(true) {
                return found.exit_code;
            }
            sleep(look).await;
        }
    }
}

/// What a check said, as the end of a sentence.
fn words(said: &[u8]) -> String {
    match cut_output(&String::from_utf8_lossy(said)) {
        said if said.is_empty() => said,
        said => format!(", and says {said:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_test_is_the_command_that_the_engine_runs() {
        for (test, shell, wanted) in [
            (&[][..], &[][..], None),
            (&["NONE"], &[], None),
            (&["CMD"], &[], None),
            (&["wget", "x"], &[], None),
            (&["CMD", "wget", "-q", "x"], &[], Some(&["wget", "-q", "x"][..])),
            (&["CMD-SHELL", "a || b"], &[], Some(&["/bin/sh", "-c", "a || b"])),
            (&["CMD-SHELL", "a || b"], &["/bin/bash", "-ec"], Some(&["/bin/bash", "-ec", "a || b"])),
        ] {
            assert_eq!(command(&texts(test), &texts(shell)), wanted.map(texts), "{test:?}");
        }
    }

    #[test]
    fn it_runs_as_the_container_s_own_program_and_in_its_own_time() {
        let check = HealthConfig {
            test: Some(texts(&["CMD", "ok"])),
            interval: Some(0),
            timeout: Some(2_000_000_000),
            ..HealthConfig::default()
        };
        let config = ContainerConfig {
            user: Some("app".to_owned()),
            working_dir: Some(String::new()),
            healthcheck: Some(check),
            ..ContainerConfig::default()
        };
        let wanted = Check {
            command: texts(&["ok"]),
            user: Some("app".to_owned()),
            working_dir: None,
            timeout: Duration::from_secs(2),
            interval: CHECK_TIME,
        };
        assert_eq!(Check::of(&config), Some(wanted));
        assert_eq!(Check::of(&ContainerConfig::default()), None);
    }

    #[test]
    fn pauses_grow_with_the_wait_and_leave_half_of_the_time_to_the_container() {
        let millis = Duration::from_millis;
        for (waited, took, wanted) in [
            (0, 50, 300),
            (2_000, 50, 300),
            (10_000, 50, 1_000),
            (10_000, 2_000, 2_000),
            (60_000, 50, 3_000),
            (1_000, 20_000, 3_000),
        ] {
            assert_eq!(pause(millis(waited), millis(took)), millis(wanted), "{waited} {took}");
        }
    }

    #[test]
    fn what_it_says_is_cut() {
        assert_eq!(words(b" \n"), "");
        assert_eq!(words(b"no\nway\n"), ", and says \"no\\nway\"");
        assert!(words(&[b'x'; MOST]).len() < 600);
    }
}
