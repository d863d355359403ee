//! Who leads requests to the colours of a repository: turnout-proxy, or a proxy that the user has already (`adapter`).
//!
//! What the deployer wants of it is the same for both: tell who is live, have all routes lead to another colour, hold requests
//! meanwhile. What a proxy of others cannot do is left out here, and said in the plan ([`Other::costs`]).

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    super::{Deployer, Failure},
    beside::Second,
    canary::Step,
    made::Made,
    other::{self, Other},
    share::{self, Seen, Set, Share},
    stands::Routed,
};
use crate::{
    config::Repo,
    fronts::{Drain, FrontError, Open, Wanted},
    rollout::Generation,
    steer::{Steer, SteerError},
    store::ColourRecord,
    traffic::Repository,
};

/// Time between two looks at what is open to a colour.
const LOOK: Duration = Duration::from_millis(200);

/// How long requests under way are waited for while others are held: those may wait no longer than 30 seconds in all.
const IN_FLIGHT: Duration = Duration::from_secs(8);
/// The same for connections of bytes.
const BYTES_IN_FLIGHT: Duration = Duration::from_secs(2);
/// Time between two looks at what is under way while others wait.
const SOON: Duration = Duration::from_millis(20);

/// What leads requests to a colour: turnout-proxy, or a proxy of the user's own.
#[derive(Debug, Clone)]
pub enum Lead {
    /// turnout-proxy, over its control socket.
    Own(Steer),
    /// A proxy of the user's own.
    Other(Other),
}

/// Where all routes of a repository are to lead.
pub enum Goal {
    /// In the words of turnout-proxy.
    Own(Repository),
    /// In those of a proxy of others.
    Other(Wanted),
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// turnout-proxy refused, or could not be reached.
    #[error(transparent)]
    Own(#[from] SteerError),
    /// With a proxy of others.
    #[error(transparent)]
    Other(#[from] FrontError),
}

impl LeadError {
    /// Whether nobody is there: it may come back by itself.
    pub fn is_absent(&self) -> bool {
        match self {
            LeadError::Own(error) => error.is_absent(),
            LeadError::Other(error) => error.is_absent(),
        }
    }

    /// Whether what was asked for may have been done all the same.
    pub fn unknown(&self) -> bool {
        match self {
            LeadError::Own(error) => error.unknown(),
            LeadError::Other(error) => error.unknown(),
        }
    }
}

impl From<LeadError> for Failure {
    fn from(error: LeadError) -> Self {
        Failure::new(error.to_string())
    }
}

impl Deployer {
    /// Who leads requests to a repository. turnout-proxy is started where it is needed and no service manager does that.
    ///
    /// # Errors
    /// What stands under `adapter` is not right, or turnout-proxy is not there and cannot be started.
    pub async fn lead(&self, repo: &Repo) -> Result<Lead, Failure> {
        match other::of(repo)? {
            Some(other) => Ok(Lead::Other(other)),
            None => self.proxy().await.map(Lead::Own),
        }
    }
}

impl Deployer {
    /// As [`Deployer::lead`], also of a repository that was taken out of repos.yaml.
    ///
    /// # Errors
    /// Its requests were led by a proxy of others, and nothing says any more where that is.
    pub(super) async fn lead_of(&self, repo: &str) -> Result<Lead, Failure> {
        if let Ok(repo) = self.planner.find(repo) {
            return self.lead(&repo).await;
        }
        let stands = self.recorded(repo).await?;
        let led_by = stands.live().and_then(|live| Made::read(&live.made).ok()?.led_by);
        match led_by {
            None => self.proxy().await.map(Lead::Own),
            Some(word) => Err(Failure::new(format!(
                "requests to {repo} are led by {word}, and {repo} is not in repos.yaml any more"
            ))
            .hint(format!("put {repo} back into repos.yaml until its bake is over"))),
        }
    }
}

impl Lead {
    /// What it is called, for messages.
    pub fn name(&self) -> String {
        match self {
            Lead::Own(_) => "turnout-proxy".to_owned(),
            Lead::Other(other) => other.front.name(),
        }
    }

    /// turnout-proxy, where that leads.
    pub fn own(&self) -> Option<&Steer> {
        match self {
            Lead::Own(steer) => Some(steer),
            Lead::Other(_) => None,
        }
    }

    /// How the routes of a repository stand.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn seen(&self, repo: &str) -> Result<Seen, LeadError> {
        match self {
            Lead::Own(steer) => {
                let status = steer.status().await?;
                let [maintained, held] =
                    [&status.maintained, &status.held].map(|of| of.iter().any(|name| name == repo));
                let shares = Share::of(&status, repo);
                Ok(Seen { routed: Routed::of(&status, repo), otherwise: None, maintained, held, shares })
            }
            Lead::Other(other) => Ok(other.seen().await?),
        }
    }

    /// The same, when nobody is about to change them: for whoever would change them himself if they are not as they should be.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn settled(&self, repo: &str) -> Result<Seen, LeadError> {
        match self {
            // All of its routes change at once.
            Lead::Own(_) => self.seen(repo).await,
            Lead::Other(other) => Ok(other.settled().await?),
        }
    }

    /// At which generation and revision the routes have another colour beside the live one; `None`: they have none, or lead elsewhere.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn beside(&self, repo: &str, live: &str) -> Result<Option<(Generation, Generation)>, LeadError> {
        let whole = |number: u64| Generation::try_from(number).unwrap_or(Generation::MAX);
        match self {
            Lead::Own(steer) => {
                let status = steer.status().await?;
                let colours = || {
                    let routes = status.routes.iter().filter(|route| route.repository == repo);
                    routes.flat_map(|route| &route.colours)
                };
                let others = colours().any(|colour| colour.name != live);
                let leads = colours().any(|one| one.name == live && one.weight > 0);
                let age = status.repositories.get(repo).map(|at| (whole(at.generation), whole(at.revision)));
                Ok(Some(age.unwrap_or_default()).filter(|_| others && leads))
            }
            Lead::Other(other) => {
                let Seen { routed, shares, .. } = other.seen().await?;
                let leads = |routed: &Routed| routed.colour.as_ref().is_some_and(|(colour, _)| colour == live);
                let beside = routed.filter(|routed| leads(routed) && !shares.is_empty());
                Ok(beside.map(|routed| (routed.generation, routed.revision)))
            }
        }
    }

    /// Where all routes lead when a colour is the only one. `of`: the deployment that made its containers.
    ///
    /// # Errors
    /// The colour lacks what a proxy of others is to lead to.
    pub fn goal(&self, made: &Made, age: (u64, u64), colour: &str, of: u64) -> Result<Goal, Failure> {
        match self {
            Lead::Own(_) => Ok(Goal::Own(made.repository(age, colour, of))),
            Lead::Other(other) => other.goal(made, age, colour, of).map(Goal::Other),
        }
    }

    /// Gives the next colour its share of each route that both have in one place. What of it changes over later does not run yet,
    /// and gets none.
    pub fn shares(&self, goal: &mut Goal, next: &Second<'_>, step: Step) -> Set {
        match (self, goal) {
            (_, Goal::Own(wanted)) => share::shares(wanted, next, step),
            (Lead::Other(other), Goal::Other(wanted)) => other.shares(wanted, next, step),
            // Told apart when it is applied.
            (Lead::Own(_), Goal::Other(_)) => Set::default(),
        }
    }

    /// Finds what a proxy of others lacks, before anything is made for it. `shares`: requests are to be shared.
    ///
    /// # Errors
    /// It lacks something: what to write there.
    pub async fn check(&self, made: &Made, colour: &str, shares: bool) -> Result<(), Failure> {
        let Lead::Other(other) = self else { return Ok(()) };
        let wanted = other.goal(made, (0, 0), colour, 0)?;
        let mut checked = other.front.check(&wanted).await;
        if checked.is_ok() && shares {
            checked = other.front.could_share().await;
        }
        checked.map_err(|error| Failure::new(error.to_string()).hint("nothing was changed; what is live stays live"))
    }

    /// Who leads now, against who led when the live colour was made.
    ///
    /// # Errors
    /// They differ: requests would go on elsewhere.
    pub fn still_leads(&self, live: &ColourRecord, made: &Made) -> Result<(), Failure> {
        let (differs, now) = match self {
            Lead::Own(_) => (made.led_by.is_some(), "turnout-proxy".to_owned()),
            Lead::Other(other) => (other.is_another(made), other::word(&other.adapter)),
        };
        if !differs {
            return Ok(());
        }
        let before = made.led_by.as_deref().unwrap_or("turnout-proxy");
        let project = &live.project;
        Err(Failure::new(format!(
            "requests to {project} are led by {before}, and repos.yaml names {now}: to change over from one to the other while a \
             colour is live is not there yet"
        ))
        .hint(format!(
            "nothing was changed; put `adapter` back as it was, or take the live colour down (turnout compose -p {project} down: \
             requests fail from then on, volumes stay) and deploy {}",
            live.repo
        )))
    }

    /// Has all routes lead there. May be done again.
    ///
    /// # Errors
    /// It does not, or that is not known.
    pub async fn apply(&self, repo: &str, goal: &Goal) -> Result<(), LeadError> {
        match (self, goal) {
            (Lead::Own(steer), Goal::Own(repository)) => Ok(steer.apply(repo, repository).await.map(drop)?),
            (Lead::Other(other), Goal::Other(wanted)) => Ok(other.apply(wanted).await?),
            // A goal is made by the one who is told of it, and who leads is looked up once.
            (Lead::Own(_), Goal::Other(_)) | (Lead::Other(_), Goal::Own(_)) => {
                Err(LeadError::Other(FrontError::Lacks {
                    front: self.name(),
                    what: "was told in the words of another proxy".to_owned(),
                    remedy: "that is a fault of turnout; deploy again".to_owned(),
                }))
            }
        }
    }

    /// Whether it can hold requests.
    pub fn can_hold(&self) -> bool {
        match self {
            Lead::Own(_) => true,
            Lead::Other(other) => other.front.means().holds,
        }
    }

    /// Has requests wait, and sees those under way end ([`hold_requests`]); where it cannot, nothing is done.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn hold(&self, repo: &str) -> Result<(), LeadError> {
        match self {
            Lead::Own(steer) => Ok(hold_requests(steer, repo).await?),
            Lead::Other(_) => Ok(()),
        }
    }

    /// Whether requests are held.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn holds(&self, repo: &str) -> Result<bool, LeadError> {
        match self {
            Lead::Own(steer) => Ok(steer.status().await?.held.iter().any(|name| name == repo)),
            Lead::Other(_) => Ok(false),
        }
    }

    /// Lets requests through. Answers whether they were held.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn resume(&self, repo: &str) -> Result<bool, LeadError> {
        match self {
            Lead::Own(steer) => Ok(steer.resume(repo).await?),
            Lead::Other(_) => Ok(false),
        }
    }

    /// Waits until nothing is open to a colour that has left the routes so long ago, for `longest` at most. turnout-proxy cuts
    /// by itself what lasts longer, and what it has is not waited for here. Answers what is still open, in words.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn drained(&self, colour: &str, ago: Duration, longest: Duration) -> Result<Option<String>, LeadError> {
        let Lead::Other(other) = self else { return Ok(None) };
        if other.front.means().drain == Drain::Waited {
            sleep(longest.saturating_sub(ago)).await;
            return Ok(None);
        }
        let began = Instant::now();
        loop {
            let left = match other.front.open(colour).await? {
                Open::Counted(0) => return Ok(None),
                Open::Counted(count) => count.to_string(),
                Open::Unseen => "nobody knows how many".to_owned(),
            };
            if began.elapsed() >= longest {
                let what = match other.front.means().drain {
                    Drain::Processes => "processes of before the switch",
                    Drain::Counted | Drain::Waited => "connections",
                };
                return Ok(Some(format!(
                    "{left} {what} of {} lasted longer than {} s",
                    self.name(),
                    longest.as_secs()
                )));
            }
            sleep(LOOK).await;
        }
    }
}

/// Has requests wait from now on, and waits for those that are under way already, for a bounded time: whoever ends a container next
/// cuts what it still answers.
///
/// # Errors
/// turnout-proxy does not answer, or refuses.
pub(super) async fn hold_requests(steer: &Steer, repo: &str) -> Result<(), SteerError> {
    steer.hold(repo).await?;
    await_in_flight(steer, repo).await;
    Ok(())
}

/// Waits for what is under way at a repository's colours, once nothing new comes: requests, and for a shorter time connections of
/// bytes, many of which last.
async fn await_in_flight(steer: &Steer, repo: &str) {
    let began = Instant::now();
    while began.elapsed() < IN_FLIGHT {
        let Ok(status) = steer.status().await else { return };
        let open = |bytes: bool| {
            let own = status.routes.iter().filter(|route| route.repository == repo && (route.requests == 0) == bytes);
            let open = own.flat_map(|route| &route.colours).map(|colour| colour.open.saturating_sub(colour.tunnels));
            open.sum::<u64>() > 0
        };
        if !open(false) && (!open(true) || began.elapsed() >= BYTES_IN_FLIGHT) {
            return;
        }
        sleep(SOON).await;
    }
}
