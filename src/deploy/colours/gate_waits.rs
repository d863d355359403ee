//! What a gate waits for, said now and then: whoever looks on is not left to guess what takes so long.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::super::Recorder;
use crate::{
    compose::model::Project,
    engine::{ContainerRef, Engine},
    report::Reporter as _,
};

/// A wait that is shorter is not spoken of.
const SILENT: Duration = Duration::from_secs(5);
/// Time between two lines.
const AGAIN: Duration = Duration::from_secs(30);
/// Before anything came.
const NOTHING: &str = "nothing yet";

/// What a gate waits for.
pub(super) struct GateWaits {
    began: Instant,
    /// Routes by name, with how long each is waited for and what came last.
    routes: Mutex<BTreeMap<String, (Duration, String)>>,
}

impl GateWaits {
    /// Nothing yet.
    pub(super) fn begin() -> GateWaits {
        GateWaits { began: Instant::now(), routes: Mutex::default() }
    }

    /// A route is asked from now on, for so long at most.
    pub(super) fn asks(&self, route: &str, limit: Duration) {
        self.lock().insert(route.to_owned(), (limit, NOTHING.to_owned()));
    }

    /// This came last. Answers whether it is something else than before.
    pub(super) fn came(&self, route: &str, said: &str) -> bool {
        let mut routes = self.lock();
        let Some((_, last)) = routes.get_mut(route).filter(|(_, last)| last != said) else { return false };
        said.clone_into(last);
        true
    }

    /// It is ready.
    pub(super) fn ready(&self, route: &str) {
        self.lock().remove(route);
    }

    /// Has the log say what is waited for, for ever.
    pub(super) async fn tell(
        &self,
        whose: &str,
        (engine, project): (&Engine, &Project),
        started: &[ContainerRef],
        recorder: &Recorder,
    ) -> Infallible {
        sleep(SILENT).await;
        loop {
            let mut lines = self.lines(whose);
            for (container, said) in unhealthy(engine, project, started).await {
                lines.push(of_check(&container, self.began.elapsed(), said.as_deref()));
            }
            lines.into_iter().for_each(|line| recorder.info(line));
            sleep(AGAIN).await;
        }
    }

    fn lines(&self, whose: &str) -> Vec<String> {
        let waited = self.began.elapsed().as_secs();
        let line = |(route, (limit, last)): (&String, &(Duration, String))| {
            format!(
                "waiting for {route} of {whose}, for {waited} s so far and {} s at most; what came last: {last}",
                limit.as_secs()
            )
        };
        self.lock().iter().map(line).collect()
    }

    /// Only whole values are written under this lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Duration, String)>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_check(container: &str, waited: Duration, said: Option<&str>) -> String {
    format!(
        "waiting for the health check of {container}, for {} s so far; what it said last: {}",
        waited.as_secs(),
        said.unwrap_or(NOTHING)
    )
}

/// Containers whose health check has not said that they are well, with what it said last. Where the engine does not answer, whoever
/// waits for them says so.
async fn unhealthy(engine: &Engine, project: &Project, started: &[ContainerRef]) -> Vec<(String, Option<String>)> {
    let listed = engine.containers(&project.name, false).await.unwrap_or_default();
    let is_open = |health: Option<&str>| health.is_some_and(|health| health != "healthy");
    let mut all = Vec::new();
    for one in listed.into_iter().filter(|one| is_open(one.health.as_deref())) {
        if started.iter().any(|started| started.id == one.id) {
            let said = engine.check_said(&one.id).await;
            all.push((one.name, said));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_is_said_with_what_came_last() {
        let waits = GateWaits::begin();
        waits.asks("web:8000", Duration::from_secs(120));
        waits.asks("api:80", Duration::from_secs(60));
        tokio::time::advance(SILENT).await;
        assert!(waits.came("web:8000", "HTTP 503 for GET /"));
        assert!(!waits.came("web:8000", "HTTP 503 for GET /"));
        assert_eq!(
            waits.lines("the new colour"),
            [
                "waiting for api:80 of the new colour, for 5 s so far and 60 s at most; what came last: nothing yet",
                "waiting for web:8000 of the new colour, for 5 s so far and 120 s at most; what came last: HTTP 503 for GET /",
            ]
        );
        waits.ready("api:80");
        assert!(!waits.came("api:80", "connection refused"));
        assert_eq!(waits.lines("the new colour").len(), 1);
        assert_eq!(
            of_check("blueshop-db-1", Duration::from_secs(35), None),
            "waiting for the health check of blueshop-db-1, for 35 s so far; what it said last: nothing yet"
        );
    }
}
