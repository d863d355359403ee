//! What is known of the colours, made to agree with the routes; and what a start of the daemon does about them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::{
    super::{Deployer, Failure, mends::When, now_ms},
    lead::Lead,
    made::Made,
    share::Seen,
    stands::{Agreement, Routed, Stands},
};
use crate::{
    config::Repo,
    report::{Event, Reporter},
    rollout::Bake,
    steer::Steer,
    store::{ColourRecord, ColourStanding},
    traffic::Repository,
};

/// How long a start waits for whoever leads requests. systemd waits for the start, and a proxy that answers does so at once.
const FIRST: Duration = Duration::from_secs(10);

impl Deployer {
    /// How the colours of a repository stand, as the routes have it: a switch that nobody lived to record is recorded now, and
    /// routes that the proxy has lost are given to it again.
    ///
    /// # Errors
    /// When store or proxy do not answer.
    pub(super) async fn stands(&self, repo: &str, steer: &Lead, reporter: &dyn Reporter) -> Result<Stands, Failure> {
        let stands = self.recorded(repo).await?;
        if stands.leaving().is_some() {
            // What the routes say then is of the way back, and is looked at there.
            return Ok(stands);
        }
        if let Some(live) = stands.live() {
            let made = Made::read(&live.made).map_err(Failure::new)?;
            if let Err(failure) = steer.still_leads(live, &made) {
                self.another_leads(&stands, live, &made, failure).await?;
            }
        }
        let Seen { routed, otherwise, .. } = match steer.settled(repo).await {
            // It ended after it had been looked for: another is started, or somebody else starts it.
            Err(error) if error.is_absent() => self.lead_of(repo).await?.settled(repo).await?,
            seen => seen?,
        };
        if let Some(why) = &otherwise {
            reporter.warn(format!("{} leads elsewhere than it was told: {why}", steer.name()));
        }
        let agreement = match otherwise {
            Some(_) => Agreement::RoutesAreLost,
            None => stands.agree(routed.as_ref()),
        };
        match agreement {
            Agreement::Agree => {
                let age = routed.map(|routed| (routed.generation, routed.revision));
                let confirmed = stands.switch.as_ref().map(|switch| (switch.generation, switch.revision));
                match age.filter(|age| confirmed.is_some_and(|confirmed| *age > confirmed)) {
                    Some(age) => self.store.routes_confirmed(repo, age).await.map_err(Failure::from)?,
                    None => return Ok(stands),
                }
            }
            Agreement::RoutesAreAhead(colour) => {
                reporter.warn(format!(
                    "requests go to {colour}, which nobody lived to record: it is the live colour from now on"
                ));
                let routed = routed.unwrap_or(Routed { generation: 0, revision: 0, colour: None });
                let bake = self.bake_of(&stands, &colour, routed.generation);
                let age = (routed.generation, routed.revision);
                let before = stands.of(&colour).map(|one| one.standing);
                if before == Some(ColourStanding::Previous) {
                    let why = "requests had gone back already, and nobody lived to record it";
                    self.store.reverted(repo, age, why).await.map_err(Failure::from)?;
                    return self.recorded(repo).await;
                }
                self.store.switched(repo, &colour, age, bake, None).await.map_err(Failure::from)?;
            }
            Agreement::RoutesAreLost => {
                let Some(live) = stands.live() else { return Ok(stands) };
                reporter.warn(format!(
                    "{} does not know that {} is live: it is told again",
                    steer.name(),
                    live.project
                ));
                self.route_again(repo, steer, &stands, live, routed.as_ref()).await?;
            }
        }
        self.recorded(repo).await
    }

    /// Another one is to lead from now on than the one that leads to the live colour. Where somebody took that colour down, he
    /// may: what turnout-proxy had of it is let go.
    async fn another_leads(
        &self,
        stands: &Stands,
        live: &ColourRecord,
        made: &Made,
        failure: Failure,
    ) -> Result<(), Failure> {
        let engine = self.planner.engine().await?;
        if !engine.containers(&live.project, true).await?.is_empty() {
            return Err(failure);
        }
        if made.led_by.is_none() {
            let number = |number: i64| u64::try_from(number).unwrap_or_default();
            let (generation, revision) = stands.next_revision();
            let none = Repository { generation: number(generation), revision: number(revision), routes: Vec::new() };
            let own = Steer::new(self.planner.settings.proxy_socket.clone());
            match own.apply(&live.repo, &none).await {
                Err(error) if !error.is_absent() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The bake that a switch begins which is recorded only now.
    fn bake_of(&self, stands: &Stands, colour: &str, generation: i64) -> Option<Bake> {
        stands.live()?;
        let made = stands.of(colour).and_then(|one| Made::read(&one.made).ok())?;
        Some(Bake { generation, until: now_ms().saturating_add(made.bake) })
    }

    async fn route_again(
        &self,
        repo: &str,
        steer: &Lead,
        stands: &Stands,
        live: &ColourRecord,
        routed: Option<&Routed>,
    ) -> Result<(), Failure> {
        let made = Made::read(&live.made).map_err(Failure::new)?;
        let mut age = stands.next_revision();
        if let Some(routed) = routed {
            age = age.max((routed.generation, routed.revision + 1));
        }
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let mut wanted = steer.goal(&made, (number(age.0), number(age.1)), &live.colour, number(live.generation))?;
        self.joined(steer, &mut wanted, stands, &self.store.rollout(repo).await.map_err(Failure::from)?)?;
        steer.apply(repo, &wanted).await?;
        self.store.routes_confirmed(repo, age).await.map_err(Failure::from)
    }

    /// How the colours of a repository stand, as it is recorded.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn recorded(&self, repo: &str) -> Result<Stands, Failure> {
        let all = self.store.colours(Some(repo)).await.map_err(Failure::from)?;
        let switch = self.store.switch(repo).await.map_err(Failure::from)?;
        Ok(Stands { all, switch })
    }

    /// At a start of the daemon: what the routes say is recorded. Whatever may take longer goes on beside everything else: live colours
    /// are made whole and requests that a former daemon held are let through, others are stopped, bakes go on. Where proxy or engine
    /// do not answer, that is tried again, and the next deployment does it.
    pub async fn resume_colours(self: &Arc<Self>) {
        let all = self.store.colours(None).await.unwrap_or_default();
        let list = self.planner.repos.current();
        let known = list.repos.repos.iter().filter(|repo| all.iter().any(|one| one.repo == repo.name));
        let known: Vec<&Repo> = known.collect();
        let forgotten = async {
            if !all.is_empty() && timeout(FIRST, self.forget_leads()).await.is_err() {
                tracing::warn!(
                    "whether rules of the kernel are left over is not known: there was no answer in {FIRST:?}"
                );
            }
        };
        let led = join_all(known.iter().map(|repo| self.lead_again(repo)));
        futures_util::join!(forgotten, led);
        for repo in known {
            self.needs_mending(&repo.name, "a daemon before may have been broken off");
            self.mend_on(&repo.name, When::Starts);
        }
        for repo in &list.repos.repos {
            self.bake_on(&repo.name).await;
            self.attend_on(&repo.name).await;
            self.build_meanwhile(&repo.name).await;
        }
        // What was taken out of the list is not mended; what was begun is brought to its end.
        for gone in self.not_configured().await {
            tracing::warn!(
                repo = gone,
                "{gone} is live behind turnout-proxy and is in the list no more: requests go on, and nothing is deployed"
            );
            self.needs_mending(&gone, "turnout has started, and it is in the list no more");
            self.bake_on(&gone).await;
        }
    }

    /// Who is live is known before anybody asks; what they need is started, and whoever is held let through, beside the start. Bounded:
    /// the daemon does not begin before.
    async fn lead_again(&self, repo: &Repo) {
        let led = async {
            let steer = self.lead(repo).await?;
            self.stands(&repo.name, &steer, &Log(&repo.name)).await.map(drop)
        };
        let failure = match timeout(FIRST, led).await {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure,
            Err(_) => Failure::new(format!("whoever leads its requests has not answered in {FIRST:?}")),
        };
        tracing::warn!(repo = repo.name, "the colours of {} are not looked after yet: {failure}", repo.name);
    }

    /// Repositories with a live colour that are in no list any more.
    async fn not_configured(&self) -> BTreeSet<String> {
        let list = self.planner.repos.current();
        let all = self.store.colours(None).await.unwrap_or_default();
        let live = all.into_iter().filter(|one| one.standing == ColourStanding::Live).map(|one| one.repo);
        live.filter(|repo| list.repos.by_name(repo).is_none()).collect()
    }
}

/// What is said where no deployment is under way goes to the daemon's log.
pub(super) struct Log<'r>(pub(super) &'r str);

impl Reporter for Log<'_> {
    fn report(&self, event: Event) {
        match event {
            Event::Warning { text } => tracing::warn!(repo = self.0, "{text}"),
            Event::Info { text } => tracing::info!(repo = self.0, "{text}"),
            _ => {}
        }
    }
}
