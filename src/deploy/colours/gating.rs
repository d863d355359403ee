//! The gate: whether the containers of a new colour are ready, asked on the very path on which requests will reach them.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    super::{Failure, Recorder, called_off},
    checks::Checks,
    gate_waits::GateWaits,
    made::{MadeRoute, Speaks},
};
use crate::{
    compose::model::Project,
    engine::{ContainerRef, Engine, Settle, SettleError},
    gate::{Ask, Protocol, Spoken, ready_within},
    report::{Event, Reporter as _, Silent},
};

/// What the gate asks as a rule, in words.
pub(super) const NEW_COLOUR: &str = "the new colour";
/// How long a container that nobody can ask must stay up before requests move.
const STAYS: Duration = Duration::from_secs(1);
/// The same where the colours bake afterwards: what falls over later takes the switch back.
const STAYS_BEFORE_A_BAKE: Duration = Duration::from_millis(500);
/// A bake that looks at least twice ([`super::bake`]) after the longer of the two.
const A_BAKE: Duration = Duration::from_secs(10);
/// How long the live colour may take to answer what the new one is compared with.
const LIVE: Duration = Duration::from_secs(2);
/// What is done meanwhile, for who calls it off.
pub(super) const ASKING: &str = "asking the new colour whether it is ready";

/// What has to be ready.
pub(super) struct Gate<'a> {
    /// Whose containers, in words.
    pub whose: &'a str,
    pub engine: &'a Engine,
    pub project: &'a Project,
    /// Who was started.
    pub started: &'a [ContainerRef],
    /// When the last of them was, where that is known: from then on it has to stay up.
    pub since: Option<Instant>,
    /// Where requests will go.
    pub routes: &'a mut [MadeRoute],
    /// What the live colour has, to compare with.
    pub live: &'a [MadeRoute],
    /// Health checks that turnout runs itself, for they are waited for.
    pub checks: &'a Checks,
    /// How long a health check may take, where `checks` say nothing.
    pub health: Duration,
    /// How long both colours run after the switch; zero where there is none to go back to.
    pub bake: Duration,
    pub recorder: &'a Recorder,
    pub cancel: &'a CancellationToken,
}

impl Gate<'_> {
    /// Waits until all is ready; learns what is spoken on routes of which that is not known.
    ///
    /// # Errors
    /// A container ended or turned unhealthy, or did not become ready in time.
    pub(super) async fn pass(self) -> Result<(), Failure> {
        let Gate { whose, engine, project, started, since, routes, live, checks, health, bake, recorder, cancel } =
            self;
        let stays = if bake < A_BAKE { STAYS } else { STAYS_BEFORE_A_BAKE };
        let stays = stays.saturating_sub(since.map(|since| since.elapsed()).unwrap_or_default());
        let asked: Vec<&str> = routes.iter().map(|route| route.service.as_str()).collect();
        let silent: Vec<ContainerRef> =
            started.iter().filter(|one| !asked.contains(&one.service.as_str())).cloned().collect();
        let quick: Vec<ContainerRef> =
            started.iter().filter(|one| asked.contains(&one.service.as_str())).cloned().collect();
        let patience = routes.iter().map(|route| route.patience).max().unwrap_or_default();
        let longest = Duration::from_millis(patience).max(checks.longest()) + health;
        let watch = |started, settle, probing| {
            let watch = Settle { project, started, settle, health_timeout: health, probing, reporter: &Silent, cancel };
            async move { engine.settle(&watch).await }
        };
        let settle = |started, settle| watch(started, settle, Some(checks.probing(recorder)));
        // What answers needs no time to prove that it stays up: it is watched as long as it bakes.
        let well = async { tokio::try_join!(settle(&quick, Duration::ZERO), settle(&silent, stays)) };
        let waits = GateWaits::begin();
        let ready = try_join_all(routes.iter_mut().map(|route| ready(whose, route, live, (recorder, &waits))));
        let all = async {
            let well = async { well.await.map(drop).map_err(|error| unsettled(whose, error, recorder)) };
            tokio::try_join!(well, async { ready.await.map(drop) }).map(drop)
        };
        // Whoever ends meanwhile ends the wait for its answer.
        let ends = async {
            match watch(started, longest, None).await {
                Err(error) => Err(unsettled(whose, error, recorder)),
                Ok(_) => std::future::pending().await,
            }
        };
        let decided = async {
            tokio::select! {
                passed = all => passed,
                failed = ends, if !started.is_empty() => failed,
                never = waits.tell(whose, (engine, project), started, recorder) => match never {},
            }
        };
        called_off::at_once(decided, ASKING, cancel).await?
    }
}

fn unsettled(whose: &str, error: SettleError, recorder: &Recorder) -> Failure {
    match error {
        SettleError::Cancelled => called_off::failure(ASKING),
        SettleError::Failed(containers) => {
            let mut said = Vec::new();
            for one in &containers {
                for line in &one.log {
                    recorder.report(Event::Output { source: one.container.name.clone(), line: line.clone() });
                }
                said.push(format!("{} {}", one.container.name, one.reason));
            }
            Failure::new(format!("{whose} is not ready: {}", said.join("; "))).hint("what was live before stays live")
        }
        SettleError::Engine(error) => Failure::from(error),
    }
}

/// Asks each container of a route.
async fn ready(
    whose: &str,
    route: &mut MadeRoute,
    live: &[MadeRoute],
    (recorder, waits): (&Recorder, &GateWaits),
) -> Result<(), Failure> {
    let spoken = match (route.speaks, route.http) {
        (Speaks::H2c, _) => Spoken::H2c,
        (_, Some(true)) => Spoken::Http { page: route.page.clone() },
        (_, Some(false)) => Spoken::Tcp,
        (_, None) => Spoken::Unknown { page: route.page.clone() },
    };
    let limit = Duration::from_millis(route.patience);
    let name = format!("{}:{}", route.service, route.port);
    waits.asks(&name, limit);
    let preamble = route.preamble();
    let asks = route.targets.iter().map(|target| {
        let ask = Ask { preamble, ..Ask::new(*target, spoken.clone()) };
        let name = &name;
        async move {
            ready_within(&ask, limit, |said| {
                if waits.came(name, said) {
                    recorder.report(Event::Progress { subject: name.clone(), text: said.to_owned() });
                }
            })
            .await
        }
    });
    let answers = try_join_all(asks).await.map_err(|not| {
        Failure::new(format!("{name} of {whose} is not ready: {not}")).hint("what was live before stays live")
    })?;
    waits.ready(&name);
    let first = answers.first();
    if let Some(status @ 400..500) = first.and_then(|answer| answer.status)
        && let Some(was) = live.iter().find(|one| (&one.service, one.port) == (&route.service, route.port))
        && let Some(target) = was.targets.first()
    {
        let ask = Ask { successes: 1, preamble: was.preamble(), ..Ask::new(*target, spoken.clone()) };
        let before = ready_within(&ask, LIVE, |_| ()).await.ok().and_then(|answer| answer.status);
        if let Some(before @ 200..400) = before {
            return Err(Failure::new(format!(
                "{name} of {whose} answers {status} for GET {}, where the live one answers {before}",
                route.page
            ))
            .hint("what was live before stays live; `health: PATH` names another page"));
        }
    }
    let spoken = first.map_or(Protocol::Tcp, |answer| answer.protocol);
    let status = first.and_then(|answer| answer.status).map(|status| format!(", status {status}")).unwrap_or_default();
    recorder.info(format!("{name} of {whose} is ready ({spoken}{status})"));
    route.http = Some(spoken == Protocol::Http);
    if spoken == Protocol::Tls && !route.hosts.is_empty() {
        route.speaks = Speaks::NamedTls;
    }
    Ok(())
}
