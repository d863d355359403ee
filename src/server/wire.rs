//! What travels over the control socket. Both ends are this program; fields are only ever added.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    report::Event,
    rollout::analysis::Counts,
    store::{Deployment, Hold, LogLine, Pile, State, WantedCommit},
    traffic::control::CertificateStatus,
};

/// What a delivery said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The JSON as the forge sent it, with secrets blotted out.
    pub json: String,
}

/// An error answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorReply {
    /// What happened, in a sentence for whoever asked; secrets are blotted out.
    pub error: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What `POST /v1/deployments` takes: a deployment is queued as if somebody had pushed, or another commit is brought.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployRequest {
    /// The repository's name in repos.yaml.
    pub repo: String,
    /// Rebuild every image that the repository builds.
    #[serde(default)]
    pub rebuild: bool,
    /// Who asks, for the record.
    #[serde(default)]
    pub who: Option<String>,
    /// This commit, tag or branch in place of the followed branch.
    #[serde(default)]
    pub commit: Option<String>,
    /// The commit of the last success before the current deployment.
    #[serde(default)]
    pub previous: bool,
    /// Pushes wait from now on.
    #[serde(default)]
    pub hold: bool,
    /// Pushes are deployed again.
    #[serde(default)]
    pub release: bool,
    /// Also where that makes a second stack beside a former one of the same repository.
    #[serde(default)]
    pub new_stack: bool,
}

/// What `POST /v1/hold` takes: pushes are remembered and not deployed, until a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoldRequest {
    /// The repository's name in repos.yaml.
    pub repo: String,
    /// Who asks, for the record.
    #[serde(default)]
    pub who: Option<String>,
}

/// The answer to `POST /v1/hold`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HoldReply {
    /// What is to be said.
    pub notes: Vec<String>,
    /// The hold that is in force.
    pub hold: Hold,
}

/// The answer to `POST /v1/deployments`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployReply {
    /// The deployment queued.
    pub deployment: i64,
    /// A queued one that it replaced.
    #[serde(default)]
    pub superseded: Option<i64>,
    /// What is to be said before its log.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// `POST /v1/repositories/{name}/rollback`, `promote` and `abort`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AskRequest {
    /// Who asks, for the record.
    #[serde(default)]
    pub who: Option<String>,
    /// Of `promote`: a bake is meant, and no next colour that waits.
    #[serde(default)]
    pub bake_only: bool,
}

/// What `POST /v1/repositories/{name}/maintain` takes: the proxy itself answers all requests, or stops doing so.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MaintainRequest {
    /// Whether from now on, or no longer.
    pub on: bool,
    /// The page, in HTML; without one a line of text is answered.
    #[serde(default)]
    pub page: Option<String>,
}

/// `GET /v1/repositories/{name}/preview`: where a next colour is reached that gets no requests yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewReply {
    /// Its Compose project.
    pub project: String,
    /// The commit that the colour was made of; none where it is not recorded.
    pub commit: Option<String>,
    /// What it can be asked at.
    pub places: Vec<PreviewPlace>,
    /// Addresses by which the proxy leads there, as long as it waits.
    #[serde(default)]
    pub reached: Vec<String>,
    /// A cookie that leads there from the usual addresses: its name, `=`, and its secret.
    #[serde(default)]
    pub cookie: Option<String>,
}

/// A container port of a next colour, as the host reaches it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewPlace {
    /// The service's name in the Compose file.
    pub service: String,
    /// The port in its container.
    pub port: u16,
    /// Its address on this machine.
    pub address: String,
    /// Whether it speaks HTTP.
    pub http: bool,
}

/// The answer to `rollback`, `promote` and `abort`: one of the two is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskedReply {
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The deployment that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<i64>,
}

/// The colours of a repository that is deployed blue/green.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColoursStatus {
    /// The one that gets the requests.
    pub live: Option<ColourStatus>,
    /// The one that is being made.
    pub next: Option<ColourStatus>,
    /// The one to go back to.
    pub previous: Option<ColourStatus>,
    /// The one that did not get through its gate, or was taken back.
    #[serde(default)]
    pub failed: Option<ColourStatus>,
    /// The one that was kept to go back to, and is removed.
    #[serde(default)]
    pub removed: Option<ColourStatus>,
    /// Why that one failed, where it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_for: Option<String>,
    /// How the answers of the colour do that is judged just now, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<String>,
    /// Until when a kept one is there to go back to, in milliseconds since 1970. None: until it is made anew.
    #[serde(default)]
    pub kept_until: Option<i64>,
    /// Both run until then, in milliseconds since 1970.
    #[serde(default)]
    pub bakes_until: Option<i64>,
    /// The next one is ready, and waits to be promoted.
    #[serde(default)]
    pub next_waits: bool,
    /// Requests are answered by a page of the proxy's own.
    #[serde(default)]
    pub maintained: bool,
    /// Why the live one gets no requests, as the proxy has just said, or by its silence.
    #[serde(default)]
    pub not_served: Option<String>,
    /// Certificates that the proxy obtains for its hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
}

/// `GET /v1/repositories/{name}/rollout`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutReply {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The repository.
    pub repo: String,
    /// `live`, `bake`, or the phase of the deployment under way.
    pub state: String,
    /// The deployment under way.
    pub deployment: Option<i64>,
    /// Of a canary: the step that it is at, from 1.
    pub step: Option<u32>,
    /// How many there are.
    pub steps: Option<u32>,
    /// What is waited for.
    pub waits: Option<RolloutWait>,
    /// The live one first.
    pub colours: Vec<RolloutColour>,
    /// How the answers of the colour do that is judged just now.
    pub analysis: Option<String>,
    /// Which process of turnout-proxy has counted: when it began. Counts of two are not compared.
    pub counted_by: Option<u64>,
    /// Why nothing is counted.
    pub uncounted: Option<String>,
}

/// What a rollout waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutWait {
    /// As it goes on from "waits for".
    pub what: String,
    /// When something follows, whatever comes, in milliseconds since 1970.
    pub until: Option<i64>,
    /// How long yet, in milliseconds.
    pub left: Option<i64>,
}

/// A colour of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutColour {
    /// `red`.
    pub colour: String,
    /// The Compose project.
    pub project: String,
    /// As in [`ColourStatus::state`].
    pub state: String,
    /// Its commit.
    pub commit: Option<String>,
    /// The deployment that made it.
    pub deployment: Option<i64>,
    /// Since when it stands so, in milliseconds since 1970.
    pub since: i64,
    /// Its share of the clients, in percent; `None`: it is in no route whose requests are counted.
    pub clients: Option<u64>,
    /// Requests in flight, and tunnels.
    pub open: Option<u64>,
    /// What came of its requests since that process counts it.
    pub counts: Option<Counts>,
}

/// A colour: whose it is, where it stands, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColourStatus {
    /// The colour's name, as `red`; only names of the repository's pair occur.
    pub colour: String,
    /// The Compose project.
    pub project: String,
    /// `live`, `next`, `previous` (runs), `kept` (stopped), `failed` or `removed`.
    pub state: String,
    /// The number of the rollout that made it.
    pub generation: i64,
    /// The deployment that made it.
    pub deployment: Option<i64>,
    /// The commit that it was made of; none where it is not recorded.
    pub commit: Option<String>,
    /// Since when it stands so, in milliseconds since 1970.
    pub since: i64,
}

/// What `POST /v1/plan` takes; nothing is changed by it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanRequest {
    /// The repository's name in repos.yaml.
    pub repo: String,
    /// As if `deploy --rebuild`.
    #[serde(default)]
    pub rebuild: bool,
    /// For the tip of the branch, fetched for it, in place of what is checked out.
    #[serde(default)]
    pub fetch: bool,
    /// The answer is to be a stream of [`Planned`], so that nobody waits silently.
    #[serde(default)]
    pub told: bool,
}

/// One item of the making of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Planned {
    /// What is waited for now.
    Waiting(Waiting),
    /// The plan; the last item.
    Done(Box<PlanReply>),
    /// Why there is none; the last item.
    Refused(ErrorReply),
}

/// The plan of a repository as it would be deployed now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanReply {
    /// What is to be said before the plan.
    pub notes: Vec<String>,
    /// The plan for people.
    pub text: String,
    /// The plan itself.
    pub plan: serde_json::Value,
}

/// One item of a followed log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Followed {
    /// A line that is kept.
    Line {
        /// The number of the deployment whose line it is.
        deployment: i64,
        /// The name of its repository, since one log may tell of many.
        repo: String,
        /// The line as it lies in the database, with its number.
        line: LogLine,
    },
    /// Something that only matters while one watches.
    Live {
        /// The number of the deployment that it happened in.
        deployment: i64,
        /// What happened, such as how far a pull is; it is kept nowhere.
        event: Event,
    },
    /// A deployment began, in the log of many. Only for those who ask for their position.
    Begun(Box<Deployment>),
    /// A deployment came to its verdict, in the log of many; lines of its watch may follow. Only for those who ask for their
    /// position, who may be told it again after a connection was cut off.
    Verdict(Box<Deployment>),
    /// The deployment ended; the last item when one deployment is followed.
    Ended(Box<Deployment>),
    /// What the log waits for. Only for those who ask for it.
    Waiting(Waiting),
    /// Something was forgotten before it could be shown, because the reader is too slow; in words.
    Missed(String),
    /// Where the log of many deployments stands, before its first line. Only for those who ask for it.
    Position(Position),
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What for, as it goes on from "waiting for".
    pub what: String,
    /// How long at most, in words, where there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
}

/// How far a reader is in the log of many deployments: `7,5:120,6:0` is one that began when 7 was the newest, 5 and 6 had
/// not ended, and of these lines up to 120 and none were shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The newest deployment when the reader came. Later ones are shown from their beginning.
    pub newest: i64,
    /// Last lines that the reader has, by deployment. Of others up to `newest` nothing is wanted.
    pub seen: BTreeMap<i64, i64>,
}

/// Deployments of a position, at most: the newest. What is longer than a request may be is not sent.
const MOST_SEEN: usize = 200;
/// The line of a deployment of which no more is wanted.
pub(super) const ALL: i64 = i64::MAX;

impl Position {
    /// A line was shown.
    pub fn reached(&mut self, deployment: i64, line: i64) {
        self.seen.insert(deployment, line);
        while self.seen.len() > MOST_SEEN {
            self.seen.pop_first();
        }
    }

    /// The end of a deployment was shown.
    pub fn ended(&mut self, deployment: i64) {
        self.reached(deployment, ALL);
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.newest)?;
        self.seen.iter().try_for_each(|(deployment, line)| write!(f, ",{deployment}:{line}"))
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(',').take(MOST_SEEN + 1);
        let newest = parts.next().and_then(|newest| newest.parse().ok()).ok_or(())?;
        let pair = |part: &str| {
            let (deployment, line) = part.split_once(':')?;
            Some((deployment.parse().ok()?, line.parse().ok()?))
        };
        let seen = parts.map(|part| pair(part).ok_or(())).collect::<Result<_, _>>()?;
        Ok(Position { newest, seen })
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("no position in a log"))
    }
}

/// The answer to `GET /v1/status`, for one repository or all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusReply {
    /// Version of the daemon.
    pub version: String,
    /// Milliseconds since the Unix epoch.
    pub started_at: i64,
    /// The engine, or why there is none.
    pub engine: Health,
    /// Where what is said of containers comes from.
    #[serde(default)]
    pub runs: Option<RunsKnown>,
    /// Mistakes in repos.yaml; empty = none.
    pub config_mistakes: Vec<String>,
    /// What counts while it has mistakes, in words.
    #[serde(default)]
    pub config_consequence: Option<String>,
    /// What a push that comes now would wait for, as `/readyz` has it.
    #[serde(default)]
    pub waiting_for: Vec<String>,
    /// Every configured repository, in the order of repos.yaml.
    pub repos: Vec<RepoStatus>,
    /// Destinations with letters that wait or are dead.
    #[serde(default)]
    pub outbox: Vec<Pile>,
    /// Stacks that were deployed for repositories which are not configured any more. `None`: not known, since the engine
    /// does not answer.
    #[serde(default)]
    pub strays: Option<Vec<StrayStatus>>,
}

/// Where what is said of containers comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsKnown {
    /// From when it is: milliseconds since the Unix epoch.
    pub as_of: i64,
    /// `events`: known from the engine's events; `asked`: the engine was asked for this answer; `before`: the engine does not
    /// answer, and it is what was known last.
    pub from: String,
    /// Why it is not known from events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A stack that no configured repository goes on with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StrayStatus {
    /// Its Compose project.
    pub project: String,
    /// The repository for which it was deployed.
    pub repository: String,
    /// Where that lay, where known.
    pub path: Option<String>,
    /// Those that are left of it, whether or not they run.
    pub containers: Vec<ContainerStatus>,
    /// Names of the volumes that carry its labels; external ones do not.
    pub volumes: Vec<String>,
    /// The command that removes its containers and networks; `-v` after it removes its volumes, too.
    pub remove: String,
    /// What to write in repos.yaml to go on with it.
    pub adopt: String,
}

/// What `POST /v1/letters/again` takes: letters that nobody could be brought are tried anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgainRequest {
    /// Which dead letter is to be sent again; none: all of them.
    #[serde(default)]
    pub letter: Option<i64>,
}

/// Whether something works.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Health {
    /// Whether it works; `text` tells what does not.
    pub ok: bool,
    /// Its version, or what is wrong.
    pub text: String,
}

/// A configured repository: what it follows, what runs of it and what is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RepoStatus {
    /// Its name in repos.yaml.
    pub name: String,
    /// The work tree on this machine.
    pub path: String,
    /// Compose project and files, or why they are not known.
    pub project: Health,
    /// Its colours, where it is deployed blue/green.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub colours: Option<ColoursStatus>,
    /// Commit checked out.
    pub commit: Option<String>,
    /// Pushes wait: since when, at which commit, and what waits.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// The newest commit that was pushed and that no deployment has brought yet.
    #[serde(default)]
    pub behind: Option<WantedCommit>,
    /// What runs was asked for by name, and is not what the branch has.
    #[serde(default)]
    pub by_hand: Option<ByHand>,
    /// What the newest deployment that changed something has left, where it did not succeed.
    #[serde(default)]
    pub left: Option<Left>,
    /// Deployment under way or queued.
    pub active: Option<Deployment>,
    /// For what the deployment under way waits, with its lane free.
    #[serde(default)]
    pub waits: Option<WaitStatus>,
    /// Newest deployment that ended.
    pub last: Option<Deployment>,
    /// Newest one that succeeded.
    #[serde(default)]
    pub deployed: Option<Deployment>,
    /// What was deployed last is watched on after its verdict, until then or as long as something that fell may yet stand
    /// again.
    #[serde(default)]
    pub watched_until: Option<i64>,
    /// Containers of the project, in all colours.
    pub containers: Vec<ContainerStatus>,
    /// Why it is not known what runs; `containers` is empty then, which says nothing.
    #[serde(default)]
    pub runs_unknown: Option<String>,
    /// What ran when that was known last (`runs.as_of`), where it is not known now.
    #[serde(default)]
    pub ran: Vec<ContainerStatus>,
}

/// For what a deployment waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitStatus {
    /// The number of the deployment that waits.
    pub deployment: i64,
    /// What stands in its way, as a sentence with secrets blotted out.
    pub why: String,
    /// Until when: milliseconds since the Unix epoch.
    pub until: i64,
}

/// What a deployment that did not succeed has left running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The commit that it was about, in full.
    pub commit: String,
    /// The number of that deployment.
    pub deployment: i64,
    /// How it ended.
    pub state: State,
    /// All of its steps were done.
    pub whole: bool,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { commit, deployment, state, whole } = self;
        let commit = crate::git::short(commit);
        let ended = match state {
            State::Failed => state.to_string(),
            _ => format!("was {state}"),
        };
        match whole {
            true => write!(f, "what runs is {commit}, whose deployment {deployment} {ended}"),
            false => write!(
                f,
                "deployment {deployment} of {commit} {ended} while it changed what runs, which may be of several commits"
            ),
        }
    }
}

/// A commit that was asked for by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ByHand {
    /// The commit that was deployed, in full.
    pub commit: String,
    /// What was asked for: digits, a tag, a branch.
    pub asked: Option<String>,
    /// The number of the deployment that brought it.
    pub deployment: i64,
    /// The followed branch, where known.
    pub branch: Option<String>,
    /// Where that was at the last fetch.
    pub branch_commit: Option<String>,
}

/// A container of a project, as the engine lists it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// The service whose container it is, by its label.
    pub service: String,
    /// Its name at the engine, as `shop-web-1`.
    pub name: String,
    /// State and health in the engine's words, for instance `Up 3 minutes (healthy)`.
    pub status: String,
    /// The image as the container was made from it: a reference, or an id where its tag has moved on.
    pub image: String,
    /// Published ports in words.
    pub ports: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_goes_there_and_back() {
        let mut position: Position = "7,5:120,6:0".parse().unwrap();
        assert_eq!((position.newest, position.seen[&5], position.seen[&6]), (7, 120, 0));
        assert_eq!(position.to_string(), "7,5:120,6:0");
        position.ended(6);
        position.reached(9, 3);
        let again: Position = serde_json::from_str(&serde_json::to_string(&position).unwrap()).unwrap();
        assert_eq!(again, position);
        for wrong in ["", "x", "7,", "7,5", "7,5:x", "7;5:1"] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
        (0..1_000).for_each(|id| position.reached(id, 1));
        assert!(position.to_string().len() < 8_000 && position.seen.contains_key(&999), "not bounded");
    }
}
