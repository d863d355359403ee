//! Who leads requests to the colours of a repository: turnout-proxy, or a proxy that the user has already (`adapter`).
//!
//! What the deployer wants of it is the same for both: tell who is live, have all routes lead to another colour, hold requests
//! meanwhile. What a proxy of others cannot do is left out here, and said in the plan ([`Lead::costs`]).

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    super::{Deployer, Failure},
    made::Made,
    mistaken,
    share::Share,
    stands::Routed,
};
use crate::{
    config::Repo,
    fronts::{Caddy, Drain, Front, FrontError, Haproxy, Nginx, Open, Place, Stands, Traefik, Wanted},
    rollout::Generation,
    steer::{Steer, SteerError},
    store::ColourRecord,
    switch::said::{Adapter, Program},
    traffic::{Colour, Repository, bounds},
};

/// Time between two looks at what is open to a colour.
const LOOK: Duration = Duration::from_millis(200);

/// What leads requests to a colour: turnout-proxy, or a proxy of the user's own.
#[derive(Debug, Clone)]
pub enum Lead {
    /// turnout-proxy, over its control socket.
    Own(Steer),
    /// A proxy of the user's own.
    Other(Other),
}

/// A proxy of the user's own, for one repository.
#[derive(Debug, Clone)]
pub struct Other {
    adapter: Adapter,
    front: Arc<dyn Front>,
}

/// Where all routes of a repository are to lead.
pub enum Goal {
    /// In the words of turnout-proxy.
    Own(Repository),
    /// In those of a proxy of others.
    Other(Wanted),
}

/// How it stands, as the one who leads says.
pub struct Seen {
    /// The routes; `None`: it knows nothing of the repository. Where it leads elsewhere than it was told, no colour is in them.
    pub routed: Option<Routed>,
    /// Why that is not what it was told.
    pub otherwise: Option<String>,
    /// Requests are answered by a page of its own: turnout-proxy alone has one.
    pub maintained: bool,
    /// Who else gets requests, beside the live colour. A proxy of others is told of no shares.
    pub shares: Vec<Share>,
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
        match other(repo)? {
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

/// The proxy of others that leads requests to a repository; `None`: turnout-proxy does.
///
/// # Errors
/// What stands under `adapter` is not right.
pub fn other(repo: &Repo) -> Result<Option<Other>, Failure> {
    let read = Adapter::alone(repo.switch.as_ref());
    let adapter = read.map_err(|mistakes| mistaken::not_said(repo, &mistakes))?;
    Ok(adapter.map(|adapter| Other { front: front(&adapter, &repo.name), adapter }))
}

fn front(adapter: &Adapter, repo: &str) -> Arc<dyn Front> {
    let (repository, places) = (repo.to_owned(), adapter.places());
    match &adapter.program {
        Program::Haproxy { socket, table, state } => Arc::new(Haproxy {
            socket: socket.into(),
            repository,
            backends: places,
            table: table.clone(),
            state: state.as_ref().map(PathBuf::from),
        }),
        Program::Nginx { file, pid, answers } => {
            let (file, pid) = (file.into(), pid.as_ref().map(PathBuf::from));
            Arc::new(Nginx { file, pid, answers: *answers, repository, patience: Nginx::PATIENCE })
        }
        Program::Caddy { admin } => Arc::new(match admin.parse() {
            Ok(address) => Caddy::on_port(address, repository, places),
            Err(_) => Caddy::on_socket(admin.into(), repository, places),
        }),
        Program::Traefik { file } => Arc::new(Traefik { file: file.into(), repository }),
    }
}

/// How the one who leads is kept with what a colour was made as; `None`: turnout-proxy.
pub fn word(adapter: &Adapter) -> String {
    format!("{} {}", adapter.program.key(), adapter.program.at())
}

impl Other {
    /// Why the live colour cannot be left to it: another one leads there.
    fn is_another(&self, made: &Made) -> bool {
        made.led_by.as_deref() != Some(word(&self.adapter).as_str())
    }

    fn goal(&self, made: &Made, (generation, revision): (u64, u64), colour: &str, of: u64) -> Result<Wanted, Failure> {
        let all: BTreeSet<String> = self.adapter.places().into_iter().collect();
        let targets = |place: &str| {
            let leads_there = |service: &str, port| self.adapter.place(service, port) == Some(place);
            let own = made.routes.iter().filter(|route| leads_there(&route.service, route.port));
            own.flat_map(|route| route.targets.clone()).collect::<Vec<_>>()
        };
        let mut places = Vec::new();
        for name in all {
            let targets = targets(&name);
            if targets.is_empty() {
                return Err(Failure::new(format!(
                    "{colour} has nothing that {} {name} of {} could lead to",
                    self.adapter.program.place_key(),
                    self.front.name()
                ))
                .hint("`adapter` in repos.yaml names another service or port than that colour was made with"));
            }
            let colour = Colour { name: colour.to_owned(), generation: of, weight: bounds::WEIGHTS, targets };
            places.push(Place { name, colours: vec![colour] });
        }
        Ok(Wanted { generation, revision, places })
    }

    /// See [`Lead::seen`].
    async fn seen(&self) -> Result<Seen, FrontError> {
        let number = |number: u64| Generation::try_from(number).unwrap_or(Generation::MAX);
        Ok(match self.front.stands().await? {
            Stands::Unknown => Seen { routed: None, otherwise: None, maintained: false, shares: Vec::new() },
            Stands::Otherwise { why, at } => {
                let routed = Routed { generation: number(at.0), revision: number(at.1), colour: None };
                Seen { routed: Some(routed), otherwise: Some(why), maintained: false, shares: Vec::new() }
            }
            Stands::Leads(led) => {
                let served = led.colours.into_iter().filter(|colour| colour.weight > 0);
                let colour =
                    served.map(|colour| (colour.name, number(colour.generation))).max_by_key(|(_, made)| *made);
                let routed = Routed { generation: number(led.generation), revision: number(led.revision), colour };
                Seen { routed: Some(routed), otherwise: None, maintained: false, shares: Vec::new() }
            }
        })
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
                let maintained = status.maintained.iter().any(|name| name == repo);
                let shares = Share::of(&status, repo);
                Ok(Seen { routed: Routed::of(&status, repo), otherwise: None, maintained, shares })
            }
            Lead::Other(other) => Ok(other.seen().await?),
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

    /// Finds what a proxy of others lacks, before anything is made for it.
    ///
    /// # Errors
    /// It lacks something: what to write there.
    pub async fn check(&self, made: &Made, colour: &str) -> Result<(), Failure> {
        let Lead::Other(other) = self else { return Ok(()) };
        let wanted = other.goal(made, (0, 0), colour, 0)?;
        other
            .front
            .check(&wanted)
            .await
            .map_err(|error| Failure::new(error.to_string()).hint("nothing was changed; what is live stays live"))
    }

    /// Who leads now, against who led when the live colour was made.
    ///
    /// # Errors
    /// They differ: requests would go on elsewhere.
    pub fn still_leads(&self, live: &ColourRecord, made: &Made) -> Result<(), Failure> {
        let (differs, now) = match self {
            Lead::Own(_) => (made.led_by.is_some(), "turnout-proxy".to_owned()),
            Lead::Other(other) => (other.is_another(made), word(&other.adapter)),
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
            "nothing was changed; put `adapter` back as it was, or take the live colour down (docker compose -p {project} down: \
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
            (Lead::Other(other), Goal::Other(wanted)) => Ok(other.front.apply(wanted).await.map(drop)?),
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

    /// Has requests wait; where it cannot, nothing is done.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn hold(&self, repo: &str) -> Result<(), LeadError> {
        match self {
            Lead::Own(steer) => Ok(steer.hold(repo).await.map(drop)?),
            Lead::Other(_) => Ok(()),
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

    /// What is lost beside turnout-proxy, a line each; nothing where that leads.
    pub fn costs(&self) -> Vec<String> {
        match self {
            Lead::Own(_) => Vec::new(),
            Lead::Other(other) => other.costs(),
        }
    }
}

impl Other {
    /// See [`Lead::costs`].
    pub fn costs(&self) -> Vec<String> {
        self.front.means().lost()
    }

    /// What it is called, for messages.
    pub fn name(&self) -> String {
        self.front.name()
    }
}
