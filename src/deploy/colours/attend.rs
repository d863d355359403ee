//! A next colour that is ready and waits to be promoted runs beside the live one. It is looked at beside the lane, and one that
//! falls is given up: requests never went there.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    super::{Deployer, Failure, guard, of::Of},
    lead::Lead,
    made::Made,
    other,
    shared::tried_with,
    way::{How, Way},
};
use crate::{
    config::Repo,
    rollout::{Millis, Phase, Rollout},
    steer::Steer,
    store::{ColourRecord, ColourStanding, DeploymentId, Wish},
};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long a pause lasts that nobody ends: two colours run meanwhile.
const PAUSE: Millis = 24 * 3_600 * 1_000;

/// A next colour that is ready and waits.
pub struct Ready {
    /// What is known of it.
    pub record: ColourRecord,
    /// What it was made as.
    pub made: Made,
}

impl Deployer {
    /// Keeps what the gate has learned of the next colour.
    pub(in crate::deploy) async fn keep_ready(&self, of: Of<'_>, way: &Way) -> Result<(), Failure> {
        self.store.note_made(&of.repo.name, &way.colour, &way.made.to_text()).await.map_err(Failure::from)
    }

    /// The way of a deployment whose next colour has waited, from what is kept of it.
    ///
    /// # Errors
    /// When the store does not answer, or has no such colour.
    pub(in crate::deploy) async fn way_again(&self, of: Of<'_>) -> Result<Way, Failure> {
        let stands = self.recorded(&of.repo.name).await?;
        let next = stands.at(ColourStanding::Next).filter(|next| next.deployment == Some(of.job.id)).cloned();
        let Some(ColourRecord { colour, project, made, .. }) = next else {
            return Err(guard::fault("what waits has no next colour"));
        };
        let read = |live: ColourRecord| Made::read(&live.made).map(|made| (live, made)).map_err(Failure::new);
        let live = stands.live().cloned().map(read).transpose()?;
        let staying = stands.switch.clone().unwrap_or_default().staying;
        Ok(Way {
            // Whether it answers is asked when something is to be moved.
            steer: match other::of(of.repo)? {
                Some(other) => Lead::Other(other),
                None => Lead::Own(Steer::new(self.planner.settings.proxy_socket.clone())),
            },
            // What the routes have is asked before they change.
            revision: 0,
            made: Made::read(&made).map_err(Failure::new)?,
            how: How::Ready,
            adopts: None,
            held: false,
            goes_back: false,
            down: None,
            stands,
            live,
            colour,
            project,
            staying,
        })
    }

    /// The next colour of a repository, where it is ready and waits.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn ready(&self, repo: &str) -> Result<Option<Ready>, Failure> {
        Ok(self.waits_beside(repo).await?.map(|(ready, _)| ready))
    }

    /// The same, with where its rollout stands.
    async fn waits_beside(&self, repo: &str) -> Result<Option<(Ready, Rollout)>, Failure> {
        let rollout = self.store.rollout(repo).await.map_err(Failure::from)?;
        if !rollout.attends() {
            return Ok(None);
        }
        let stands = self.recorded(repo).await?;
        let Some(record) = stands.at(ColourStanding::Next).cloned() else { return Ok(None) };
        let made = Made::read(&record.made).map_err(Failure::new)?;
        Ok(Some((Ready { record, made }, rollout)))
    }

    async fn attends(&self, repo: &str) -> Result<bool, Failure> {
        Ok(self.store.rollout(repo).await.map_err(Failure::from)?.attends())
    }

    /// Looks after a next colour that waits, if there is one that nobody looks after.
    pub async fn attend_on(self: &Arc<Self>, repo: &str) {
        let waits = self.attends(repo).await.unwrap_or(false);
        if !waits || self.bakes.stop.is_cancelled() || !self.bakes.attended().insert(repo.to_owned()) {
            return;
        }
        let (deployer, repo) = (Arc::clone(self), repo.to_owned());
        self.bakes.tasks.spawn(async move {
            let stop = deployer.bakes.stop.clone();
            tokio::select! {
                () = deployer.attend(&repo) => {}
                () = stop.cancelled() => {
                    deployer.bakes.attended().remove(&repo);
                }
            }
        });
    }

    async fn attend(&self, repo: &str) {
        loop {
            self.look_after_next(repo).await;
            self.bakes.attended().remove(repo);
            // It may have begun to wait again before that.
            let again = self.attends(repo).await.unwrap_or(false);
            if !again || !self.bakes.attended().insert(repo.to_owned()) {
                return;
            }
        }
    }

    /// Until it does not wait any more.
    async fn look_after_next(&self, repo: &str) {
        let mut before = None;
        let (mut newest, mut known) = (self.store.newest_event(), None);
        loop {
            sleep(LOOK).await;
            // The containers are looked at each time, the store only where something was written since.
            if known.is_none() || newest.has_changed().unwrap_or(true) {
                newest.mark_unchanged();
                known = match self.waits_beside(repo).await {
                    Ok(Some(known)) => Some(known),
                    Ok(None) if self.attends(repo).await.is_ok_and(|attends| !attends) => return,
                    Ok(None) | Err(_) => None,
                };
            }
            let Some((Ready { record, made }, rollout)) = &known else { continue };
            let alone: BTreeSet<String> = made.alone().into_iter().collect();
            // What changes over is made, and does not run yet.
            let seen = self.fault_of(record, made, |service| !alone.contains(service)).await;
            let Ok(seen) = seen else { continue };
            // Clients meet one that has a share: it is not looked at twice.
            let share = tried_with(rollout, made);
            let certain = seen.is_some() && (share.is_some() || seen == before);
            before.clone_from(&seen);
            let project = &record.project;
            let why = match seen {
                Some(seen) if certain => {
                    let meanwhile = share.map_or("waited to be promoted".to_owned(), |percent| {
                        format!("had {percent} % of the clients")
                    });
                    format!("{seen} while {project} {meanwhile} (turnout compose -p {project} logs)")
                }
                Some(_) => continue,
                // That looks are to say the same is the analysis's own.
                None => match self.worse_beside(repo, record, made).await {
                    Some(figures) => {
                        let why = format!("answers of {project} are worse: {figures}");
                        self.note_turned_down(repo, record, &why).await;
                        why
                    }
                    None => match self.measured_beside((repo, record, made), share.is_some(), PAUSE).await {
                        Some(why) => why,
                        None => continue,
                    },
                },
            };
            if share.is_some() {
                self.take_back(repo).await;
            }
            match self.store.wish(repo, Wish::TurnDown { why: why.clone() }).await {
                Ok(Some(_)) => {
                    tracing::error!(repo, "{why}: it is given up");
                    self.waits.one_more();
                }
                Ok(None) => {}
                Err(error) => tracing::error!(repo, "{why}, and that could not be recorded: {error}"),
            }
        }
    }

    /// Notes what somebody asks of a next colour that waits. Answers which deployment does it; `None` where none waits so.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn wish(
        &self,
        repo: &str,
        wish: Wish,
        who: Option<String>,
    ) -> Result<Option<DeploymentId>, Failure> {
        let noted = self.store.wish_of(repo, wish, who).await.map_err(Failure::from)?;
        if noted.is_some() {
            self.waits.one_more();
        }
        Ok(noted)
    }

    /// Has a next colour that waits stay as it is.
    ///
    /// # Errors
    /// None waits, or it is paused already.
    pub async fn pause(&self, repo: &Repo, who: Option<String>) -> Result<String, Failure> {
        let until = super::super::now_ms().saturating_add(PAUSE);
        match self.wish(&repo.name, Wish::Pause { until }, who).await? {
            Some(id) => Ok(format!(
                "deployment {id} is paused, for {} h at most: `turnout resume {}` has it go on",
                PAUSE / 3_600_000,
                repo.name
            )),
            None => Err(self.nothing_waits(repo, "to be paused").await),
        }
    }

    /// Has one go on that is paused.
    ///
    /// # Errors
    /// Nothing is paused, or the wish cannot be kept.
    pub async fn resume(&self, repo: &Repo, who: Option<String>) -> Result<String, Failure> {
        match self.wish(&repo.name, Wish::Resume, who).await? {
            Some(id) => Ok(format!("deployment {id} goes on")),
            None => Err(self.nothing_waits(repo, "to go on").await),
        }
    }

    /// That a repository has no next colour of which this could be asked, and what it has.
    pub async fn nothing_waits(&self, repo: &Repo, for_what: &str) -> Failure {
        let under_way = self.store.rollout(&repo.name).await.ok().and_then(|rollout| rollout.under_way);
        let stands = match under_way.map(|under_way| under_way.phase) {
            Some(Phase::Paused) => "it is paused".to_owned(),
            Some(phase) if phase.attends() => "its next colour waits, and is not paused".to_owned(),
            Some(phase) => format!("what is under way is at: {phase}"),
            None => "nothing is under way".to_owned(),
        };
        Failure::new(format!("no next colour of {} waits {for_what}: {stands}", repo.name))
            .hint(format!("`turnout status {}` shows its colours", repo.name))
    }
}
