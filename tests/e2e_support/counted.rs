//! How many containers of a service ran at a time, from what the engine tells of starts and ends while it is counted.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use bollard::{models::EventMessage, query_parameters::EventsOptionsBuilder};
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::common::{PATIENCE, docker, wait_until};

/// A service in some projects, from a moment on. The engine remembers few events, so they are taken as they come.
pub struct Counted {
    projects: Vec<String>,
    service: String,
    /// How many ran then.
    first: i64,
    /// Time, and what it made of their number.
    events: Arc<Mutex<Vec<(i64, i64)>>>,
    over: CancellationToken,
    listener: Option<JoinHandle<()>>,
}

/// How many ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    pub least: i64,
    pub most: i64,
    pub now: i64,
}

impl Counted {
    /// Counts from now on, when nothing is under way.
    pub fn of(projects: &[&str], service: &str) -> Counted {
        let projects: Vec<String> = projects.iter().map(|project| (*project).to_owned()).collect();
        let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos();
        let since = format!("{}.{:09}", now / 1_000_000_000, now % 1_000_000_000);
        let label = format!("{}={service}", docker::SERVICE);
        let filters: HashMap<&str, Vec<&str>> =
            [("type", vec!["container"]), ("event", vec!["start", "die"]), ("label", vec![&label])].into();
        let options = EventsOptionsBuilder::new().since(&since).filters(&filters).build();
        let (events, over) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (own, taken, end) = (projects.clone(), Arc::clone(&events), over.clone());
        let listener = std::thread::spawn(move || {
            docker::block_on(async move {
                let events = docker::connect().await.events(Some(options));
                let mut stream = std::pin::pin!(events.take_until(end.cancelled_owned()));
                while let Some(event) = stream.next().await {
                    taken.lock().unwrap().extend(step(&event.unwrap(), &own));
                }
            });
        });
        let first = running(&projects, service);
        Counted { projects, service: service.to_owned(), first, events, over, listener: Some(listener) }
    }

    /// What came of it until now, when nothing is under way.
    pub fn ran(&self) -> Ran {
        wait_until("the engine's events to add up", PATIENCE, || {
            let mut events = self.events.lock().unwrap().clone();
            events.sort_unstable();
            let mut ran = Ran { least: self.first, most: self.first, now: self.first };
            for (_, by) in &events {
                ran.now += by;
                ran.least = ran.least.min(ran.now);
                ran.most = ran.most.max(ran.now);
            }
            let running = running(&self.projects, &self.service);
            if ran.now == running { Ok(ran) } else { Err((ran, running, events)) }
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.over.cancel();
        let _ = self.listener.take().map(JoinHandle::join);
    }
}

/// What an event makes of the number of those that run.
fn step(event: &EventMessage, projects: &[String]) -> Option<(i64, i64)> {
    let labels = event.actor.as_ref()?.attributes.as_ref()?;
    labels.get(docker::PROJECT).filter(|project| projects.contains(project))?;
    Some((event.time_nano?, if event.action.as_deref() == Some("start") { 1 } else { -1 }))
}

fn running(projects: &[String], service: &str) -> i64 {
    let projects: Vec<&str> = projects.iter().map(String::as_str).collect();
    i64::try_from(docker::running(&projects, service)).unwrap()
}
