//! What runs, what is wanted, and what is between.

use serde::{Deserialize, Serialize};

use super::colours::ColoursStatus;
use crate::store::{Deployment, Hold, Pile, State, WantedCommit};

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
    /// The daemon has not got it in its database: another turnout on the machine may look after it.
    #[serde(default)]
    pub unrecorded: bool,
    /// Those that are left of it, whether or not they run.
    pub containers: Vec<ContainerStatus>,
    /// Names of the volumes that carry its labels; external ones do not.
    pub volumes: Vec<String>,
    /// The command that removes its containers and networks; `-v` after it removes its volumes, too.
    pub remove: String,
    /// What to write in repos.yaml to go on with it.
    pub adopt: String,
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
    /// That one was taken back: it is deployed again only where somebody asks for it by name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub behind_taken_back: bool,
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
    /// turnout has stopped it, with the colour that it is of: how it ended is no fault of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped_by_turnout: bool,
}

/// Whether something works.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Health {
    /// Whether it works; `text` tells what does not.
    pub ok: bool,
    /// Its version, or what is wrong.
    pub text: String,
}
