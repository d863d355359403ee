//! What comes after a plan was carried out, and what if it was not: settling, logs, status, interruption, going away.

use std::time::Duration;

use crate::common;
use common::engine::Stack;
use futures_util::StreamExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use turnout::{
    engine::{ApplyError, ContainerRef, EngineError, LogOptions, Probing, Settle, SettleError},
    plan::{DownOptions, Intent, RunState},
    report::Event,
};

async fn settle(stack: &Stack, started: &[ContainerRef], seconds: u64) -> Result<(), SettleError> {
    watch(stack, started, seconds, None).await
}

async fn watch(
    stack: &Stack,
    started: &[ContainerRef],
    seconds: u64,
    probing: Option<Probing<'_>>,
) -> Result<(), SettleError> {
    let watch = Settle {
        project: &stack.project,
        started,
        settle: Duration::from_secs(seconds),
        health_timeout: Duration::from_secs(60),
        probing,
        reporter: &*stack.events,
        cancel: &CancellationToken::new(),
    };
    stack.engine.settle(&watch).await.map(drop)
}

#[tokio::test]
async fn a_crash_loop_does_not_settle() {
    let stack = Stack::new(json!({
        "web": { "restart": "always", "command": ["sh", "-c", "echo no database; sleep 1; exit 7"] },
        "calm": {},
    }))
    .await;
    let report = stack.up().await.unwrap();
    let error = settle(&stack, &report.started, 10).await.unwrap_err();
    let SettleError::Failed(failed) = &error else { panic!("{error}") };
    assert_eq!(failed.len(), 1, "{error}");
    assert_eq!(failed[0].container.service, "web");
    assert!(failed[0].log.iter().any(|line| line == "no database"), "{error}");
    assert!(error.to_string().contains("\n    no database"), "{error}");
}

#[tokio::test]
async fn a_container_that_turns_unhealthy_does_not_settle() {
    let check = json!({ "test": ["CMD-SHELL", "echo not today; exit 1"], "interval": "300ms", "retries": 2 });
    let stack = Stack::new(json!({ "web": { "healthcheck": check } })).await;
    let report = stack.up().await.unwrap();
    // Shorter than the check needs: a verdict is waited for all the same.
    let error = settle(&stack, &report.started, 0).await.unwrap_err().to_string();
    assert!(error.contains("is unhealthy") && error.contains("not today"), "{error}");
}

/// The engine asks after half an hour.
fn late(test: &[&str], timeout: &str) -> serde_json::Value {
    json!({ "test": test, "interval": "30m", "timeout": timeout, "retries": 1 })
}

#[tokio::test]
async fn a_health_check_is_run_by_turnout_where_that_is_wanted() {
    let begins = "sleep 1; echo in > /tmp/ready; sleep 1000";
    let stack = Stack::new(json!({
        // As its own program runs: user, folder and variables.
        "web": {
            "command": ["sh", "-c", begins], "working_dir": "/tmp", "environment": { "WHO": "me" },
            "healthcheck": late(&["CMD-SHELL", "cat ready && test $WHO = me"], "5s"),
        },
        "quick": { "healthcheck": late(&["CMD", "true"], "5s") },
    }))
    .await;
    let report = stack.up().await.unwrap();
    let (not, limits) = Default::default();
    let probing = Probing { not: &not, limits: &limits, reporter: &*stack.events };
    watch(&stack, &report.started, 0, Some(probing)).await.unwrap();
    let events = stack.events.0.lock().unwrap();
    let said = |service: &str| {
        let is = |text: &&String| text.contains(&format!("-{service}-1: its health check passes, run by turnout"));
        let texts = events.iter().filter_map(|e| if let Event::Info { text } = e { Some(text) } else { None });
        texts.filter(is).count()
    };
    assert_eq!((said("web"), said("quick")), (1, 1), "{events:?}");
}

#[tokio::test]
async fn a_check_that_does_not_pass_ends_with_its_limit_and_one_is_run_at_a_time() {
    let counts = "echo run > /proc/1/fd/1; echo not today; exit 3";
    let hangs = "echo run > /proc/1/fd/1; echo hanging; sleep 1000";
    let stack = Stack::new(json!({
        "web": { "healthcheck": late(&["CMD-SHELL", counts], "5s") },
        "hangs": { "healthcheck": late(&["CMD-SHELL", hangs], "1s") },
        "left": { "healthcheck": late(&["CMD", "true"], "5s") },
    }))
    .await;
    let report = stack.up().await.unwrap();
    let limits = ["web", "hangs", "left"].map(|name| (name.to_owned(), Duration::from_secs(4))).into();
    let not = ["left".to_owned()].into();
    let probing = Probing { not: &not, limits: &limits, reporter: &*stack.events };
    let error = watch(&stack, &report.started, 0, Some(probing)).await.unwrap_err();
    let SettleError::Failed(failed) = &error else { panic!("{error}") };
    let of = |service: &str| {
        let one = failed.iter().find(|one| one.container.service == service);
        let one = one.unwrap_or_else(|| panic!("{service}: {error}"));
        (one.reason.as_str(), one.log.iter().filter(|line| *line == "run").count())
    };
    let ((web, runs), (hangs, hung), (left, none)) = (of("web"), of("hangs"), of("left"));
    assert!(web.ends_with("its health check, run by turnout, ends with exit code 3, and says \"not today\""), "{web}");
    assert!(hangs.ends_with("does not end within 1 s, and says \"hanging\""), "{hangs}");
    assert!(left.starts_with("is not healthy after") && !left.contains("run by turnout"), "{left}");
    assert!((3..=14).contains(&runs), "{runs}");
    assert_eq!((hung, none), (1, 0), "none beside one that has not ended");
}

#[tokio::test]
async fn jobs_may_end_and_servers_settle() {
    let stack = Stack::new(json!({
        "job": { "command": ["true"] },
        "once": { "command": ["true"] },
        "web": {
            "healthcheck": { "test": ["CMD", "true"], "interval": "300ms" },
            "depends_on": { "job": { "condition": "service_completed_successfully", "required": true } },
        },
    }))
    .await;
    let report = stack.up().await.unwrap();
    settle(&stack, &report.started, 1).await.unwrap();
    let events = stack.events.0.lock().unwrap();
    let warned: Vec<&String> =
        events.iter().filter_map(|e| if let Event::Warning { text } = e { Some(text) } else { None }).collect();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("-once-1 ended with exit code 0"), "{warned:?}");
}

#[tokio::test]
async fn logs_come_in_the_order_of_time() {
    let stack = Stack::new(json!({
        "first": { "command": ["sh", "-c", "echo one; sleep 1; echo three >&2"] },
        "second": { "command": ["sh", "-c", "sleep 0.5; echo two"], "tty": true },
    }))
    .await;
    stack.up().await.unwrap();
    stack.output("first").await;
    stack.output("second").await;
    let logs = stack.engine.logs(&stack.project.name, LogOptions::default()).await.unwrap();
    let lines: Vec<_> = logs.map(Result::unwrap).collect().await;
    // A busy machine starts them when it likes; the order of their times is what counts.
    assert!(lines.is_sorted_by_key(|l| l.time.clone()), "{lines:?}");
    let mut seen: Vec<_> = lines.iter().map(|l| (l.service.as_str(), l.text.as_str(), l.stderr)).collect();
    seen.sort_unstable();
    assert_eq!(seen, [("first", "one", false), ("first", "three", true), ("second", "two\r", false)]);
    let last = LogOptions { services: vec!["first".into()], tail: Some(1), ..LogOptions::default() };
    let lines: Vec<_> = stack.engine.logs(&stack.project.name, last).await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(lines.len(), 1);
}

#[tokio::test]
async fn followed_logs_go_on_with_new_containers() {
    let services = |word: &str| json!({ "web": { "command": ["sh", "-c", format!("echo {word}; sleep 1000")] } });
    let mut stack = Stack::new(services("old")).await;
    stack.up().await.unwrap();
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let mut logs = stack.engine.logs(&stack.project.name, follow).await.unwrap();
    assert_eq!(logs.next().await.unwrap().unwrap().text, "old");
    stack.set(services("new"), json!({}));
    stack.up().await.unwrap();
    let line = tokio::time::timeout(Duration::from_secs(30), logs.next()).await.expect("a line in time");
    assert_eq!(line.unwrap().unwrap().text, "new");
}

#[tokio::test]
async fn status_says_what_runs() {
    let stack = Stack::new(json!({
        "web": { "ports": [{ "mode": "ingress", "host_ip": "127.0.0.1", "target": 80, "protocol": "tcp" }] },
        "job": { "command": ["sh", "-c", "exit 3"] },
    }))
    .await;
    stack.up().await.unwrap();
    stack.output("job").await;
    let all = stack.engine.containers(&stack.project.name, true).await.unwrap();
    let seen: Vec<_> = all.iter().map(|c| (c.service.as_str(), c.state.as_str(), c.exit_code)).collect();
    assert_eq!(seen, [("job", "exited", Some(3)), ("web", "running", None)]);
    assert!(all[1].ports[0].starts_with("127.0.0.1:") && all[1].ports[0].ends_with("->80/tcp"), "{:?}", all[1].ports);
    let projects = stack.engine.projects().await.unwrap();
    let own = projects.iter().find(|p| p.name == stack.project.name).unwrap();
    assert_eq!(own.states.clone().into_iter().collect::<Vec<_>>(), [("exited".into(), 1), ("running".into(), 1)]);
    assert_eq!(own.config_files, stack.project.config_files);
    let reached = stack.engine.kill(&stack.project.name, &[], "SIGKILL").await.unwrap();
    assert_eq!(reached.len(), 1);
}

#[tokio::test]
async fn down_takes_everything_away_with_and_without_the_project() {
    let stack = Stack::with(
        json!({
            "web": { "depends_on": { "db": { "condition": "service_started", "required": true } } },
            "db": { "volumes": [{ "type": "volume", "source": "state", "target": "/state" }] },
        }),
        json!({ "volumes": { "state": {} } }),
    )
    .await;
    for project in [Some(&stack.project), None] {
        stack.up().await.unwrap();
        let name = stack.project.name.clone();
        let observed = match project {
            Some(project) => stack.engine.observe(project).await.unwrap(),
            None => stack.engine.observe_by_name(&name).await.unwrap(),
        };
        let options = DownOptions { project: name.clone(), volumes: true, ..DownOptions::default() };
        let plan = turnout::plan::down(project, &observed, &options);
        turnout::plan::check(&plan).unwrap();
        stack.apply(&plan).await.unwrap();
        let left = stack.engine.observe_by_name(&name).await.unwrap();
        assert!(left.containers.is_empty() && left.networks.is_empty() && left.volumes.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn what_was_killed_at_any_event_converges() {
    let services = |mode: &str| {
        json!({
            "db": { "environment": { "MODE": mode } },
            "web": { "environment": { "MODE": mode }, "depends_on": { "db": { "condition": "service_started", "restart": true, "required": true } } },
        })
    };
    let mut stack = Stack::new(services("0")).await;
    stack.up().await.unwrap();
    for kill_at in 1..12 {
        stack.set(services(&kill_at.to_string()), json!({}));
        let plan = stack.plan(&Intent::default()).await;
        let before = stack.events.0.lock().unwrap().len();
        let killed = async {
            while stack.events.0.lock().unwrap().len() < before + kill_at {
                tokio::task::yield_now().await;
            }
        };
        // Dropping the future is what an end of the process is to the engine.
        tokio::select! {
            biased;
            () = killed => {}
            done = stack.apply(&plan) => { done.unwrap(); }
        }
        converge(&stack).await;
    }
}

#[tokio::test]
async fn what_was_killed_between_two_events_converges() {
    let services = |mode: &str| json!({ "db": { "environment": { "MODE": mode } } });
    let mut stack = Stack::new(services("0")).await;
    stack.up().await.unwrap();
    // From before the creation to after the rename, whatever the machine's speed.
    for attempt in 0..12_u64 {
        stack.set(services(&format!("x{attempt}")), json!({}));
        let plan = stack.plan(&Intent::default()).await;
        let _ = tokio::time::timeout(Duration::from_millis(25 * attempt), stack.apply(&plan)).await;
        converge(&stack).await;
    }
}

#[tokio::test]
async fn a_cancelled_run_finishes_what_it_began() {
    let check = json!({ "test": ["CMD", "false"], "interval": "60s" });
    let stack = Stack::new(json!({
        "db": { "healthcheck": check },
        "web": { "depends_on": { "db": { "condition": "service_healthy", "required": true } } },
    }))
    .await;
    let plan = stack.plan(&Intent::default()).await;
    let cancel = CancellationToken::new();
    let waiting = async {
        let waits = |e: &Event| matches!(e, Event::StepStarted { text, .. } if text.contains("wait"));
        while !stack.events.0.lock().unwrap().iter().any(waits) {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(stack.apply_until(&plan, &cancel), waiting);
    assert!(matches!(result, Err(ApplyError::Cancelled { .. })), "{result:?}");
    assert_eq!(stack.one("web").await.state, RunState::Created);
}

/// Brings the stack up and holds it to what an undisturbed run leaves.
async fn converge(stack: &Stack) {
    // The daemon may still be undoing a request of the killed run while the first look is taken; a plan that is outdated
    // says so, and the caller looks and plans anew, as a deployment does.
    let mut looks = 0;
    while let Err(error) = stack.up().await {
        looks += 1;
        let outdated = matches!(&error, ApplyError::Step { error: EngineError::Stale(_), .. });
        assert!(outdated && looks < 3, "{error}");
    }
    let containers = stack.containers().await;
    let names: Vec<_> = containers.keys().cloned().collect();
    let wanted: Vec<_> = stack.project.services.keys().map(|s| format!("{}-{s}-1", stack.project.name)).collect();
    assert_eq!(names, wanted);
    assert!(containers.values().all(|c| c.state == RunState::Running), "{containers:?}");
    let plan = stack.plan(&Intent::default()).await;
    assert!(plan.steps.is_empty(), "{}", turnout::plan::render(&plan));
}

#[tokio::test]
async fn a_health_check_that_has_spoken_is_not_waited_for_any_longer() {
    let check = json!({ "test": ["CMD", "true"], "interval": "300ms" });
    let stack = Stack::new(json!({ "web": { "healthcheck": check } })).await;
    let report = stack.up().await.unwrap();
    let began = std::time::Instant::now();
    settle(&stack, &report.started, 100).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
}
