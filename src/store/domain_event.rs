//! What the journal tells: one enum, stored as a word, a version of it, and a small JSON.
//!
//! Fields are only ever added, with a default; what changes its meaning gets a new version in [`KINDS`]. A word or a version
//! that is not known here was written by a later turnout, and is skipped by its name.
#![allow(missing_docs, reason = "a field is what its name says of its event; where it is more, that is said")]

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Cause, ColourStanding, DeploymentId, Fall, Hold, Millis, State, WantedCommit};
use crate::{report::Outcome, rollout::Generation};

/// Identifies an event; grows, and is never used twice.
pub type EventId = i64;

/// Words of events, and the newest version of each that is understood here.
const KINDS: &[(&str, i64)] = &[
    ("daemon_began", 1),
    ("daemon_ends", 1),
    ("config_reloaded", 1),
    ("config_broken", 1),
    ("delivery_accepted", 1),
    ("hook_wanted", 1),
    (DEPLOYMENT_QUEUED, 1),
    ("rebuild_inherited", 1),
    ("deployment_began", 1),
    ("phase_began", 1),
    ("deployment_learned", 1),
    ("rollout_moved", 1),
    ("colour_moved", 1),
    ("commit_reverted", 1),
    ("step_began", 1),
    ("step_ended", 1),
    (LOG_WRITTEN, 1),
    ("deployment_ended", 1),
    ("end_explained", 1),
    ("commit_wanted", 1),
    ("commit_reached", 1),
    ("repository_held", 1),
    ("repository_released", 1),
    ("project_placed", 1),
    ("watch_began", 1),
    ("watch_moved", 1),
    ("watch_ended", 1),
    ("container_fell", 1),
    ("letter_died", 1),
    ("letters_sent_again", 1),
    ("person_asked", 1),
];
/// The one of which only the newest of a deployment is kept.
pub(super) const LOG_WRITTEN: &str = "log_written";
/// The word of a queued deployment.
pub(super) const DEPLOYMENT_QUEUED: &str = "deployment_queued";
/// Bytes of a text in an event. The whole texts stand in the other tables; this bounds what many readers are sent.
const MOST_TEXT: usize = 1024;

/// Something that happened. Of which repository and deployment stands beside it ([`Journaled`]). All texts are redacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum DomainEvent {
    /// The daemon has opened its store and found what was under way.
    DaemonBegan {
        /// The version of turnout that began, as `turnout --version` has it.
        version: String,
    },
    /// The daemon ends in an orderly way.
    DaemonEnds {},
    /// `repos.yaml` was read anew, and has no mistake.
    ConfigReloaded {
        /// Repositories that count now.
        repositories: usize,
    },
    /// `repos.yaml` has mistakes since it was read last.
    ConfigBroken {
        /// What counts instead, in words.
        consequence: String,
        /// The first mistakes.
        mistakes: Vec<String>,
    },
    /// A delivery was recorded.
    DeliveryAccepted {
        /// The delivery's record.
        delivery: i64,
        /// The forge's name: `github`.
        forge: String,
        /// The forge's name of what happened.
        event: String,
        /// The repository as the forge names it.
        full_name: Option<String>,
        /// The commit that it names.
        commit: Option<String>,
        /// What came of it, as one word.
        effect: String,
        /// The same in a sentence.
        reason: String,
        /// The deployment that was queued for it.
        queued: Option<DeploymentId>,
        /// The deployment that it led to when it came before.
        duplicate_of: Option<DeploymentId>,
    },
    /// A delivery asks for a hook of the repository. Whoever runs hooks reads it here.
    HookWanted {
        /// The delivery's record.
        delivery: i64,
        /// The hook's name.
        name: String,
        cause: String,
    },
    /// A deployment waits for its lane.
    DeploymentQueued {
        /// What kind of thing asked.
        cause_kind: Cause,
        cause: String,
        /// The commit that was asked for.
        commit: Option<String>,
        /// The branch, where known.
        branch: Option<String>,
        /// Who, where known.
        who: Option<String>,
        /// The commit itself is to be deployed.
        pinned: bool,
        /// Everything is to be rebuilt.
        force_rebuild: bool,
        /// The interrupted one that it repeats.
        retry_of: Option<DeploymentId>,
        /// 1, and one more for every crash.
        attempt: u32,
    },
    /// One that waits is to rebuild everything, as the one that it stands for was.
    RebuildInherited {},
    /// A lane has taken it.
    DeploymentBegan {},
    /// A phase of it began; the one before has ended.
    PhaseBegan {
        /// The phase's name, as the history shows it.
        phase: String,
    },
    /// Something became known about it. What is `None` stays as it was.
    DeploymentLearned {
        /// The Compose project, colour included.
        project: Option<String>,
        branch: Option<String>,
        /// The commit before the fetch.
        commit_before: Option<String>,
        /// The commit deployed.
        commit_after: Option<String>,
        /// The commit that the decision compared with.
        commit_base: Option<String>,
        /// The decision in words.
        decision: Option<String>,
    },
    /// Where the rollout of the repository stands now.
    RolloutMoved {
        /// The rollout's number; grows with every deployment of the repository.
        generation: Generation,
        /// What is under way, by name; `None`: nothing.
        phase: Option<String>,
        /// Plans that were made.
        plans: u32,
        /// How often the engine was lost.
        losses: u32,
        /// When something must have happened, where a fact from outside is waited for.
        due_at: Option<Millis>,
        /// The generation whose success was watched last.
        watched: Option<Generation>,
        /// Both colours run until then.
        #[serde(default)]
        bakes_until: Option<Millis>,
    },
    /// A colour of the repository stands elsewhere.
    ColourMoved {
        /// The colour's word: `red`.
        colour: String,
        /// The Compose project.
        project: String,
        /// Where it stands now.
        standing: ColourStanding,
        /// Of the deployment that made it.
        generation: Generation,
        /// The commit that it runs, where that is known.
        commit: Option<String>,
    },
    /// A way back took a commit away: it is not deployed again unless somebody asks for it.
    CommitReverted { commit: String, why: String },
    /// A step of the plan began.
    StepBegan {
        /// Its number in the plan.
        step: usize,
        /// What it does.
        text: String,
    },
    /// A step of the plan ended.
    StepEnded {
        /// Its number in the plan.
        step: usize,
        outcome: Outcome,
        /// What it did, or why not.
        text: String,
        /// Milliseconds that it took.
        took: u64,
    },
    /// The log of the deployment is written up to this line.
    LogWritten {
        /// The number of the last line.
        last: i64,
    },
    /// The deployment has its outcome.
    DeploymentEnded {
        /// How: the outcome.
        outcome: State,
        /// Why, where it was no success.
        why: Option<String>,
        /// The Compose project of a success.
        project: Option<String>,
        /// The commit of a success.
        commit: Option<String>,
        /// The one that took its place.
        superseded_by: Option<DeploymentId>,
    },
    /// More became known about the end of an interrupted one.
    EndExplained {
        /// What became known.
        more: String,
    },
    /// A push wants a commit that nothing has brought yet; or what is wanted is told anew.
    CommitWanted(WantedCommit),
    /// What was wanted was brought, or is not wanted any more: somebody went back to what was before it.
    CommitReached {
        /// The commit that was wanted.
        commit: String,
    },
    /// Pushes to the repository wait; or what is held, or waits, has changed.
    RepositoryHeld(Hold),
    /// Pushes are deployed again.
    RepositoryReleased {},
    /// A project is brought up from this place.
    ProjectPlaced {
        /// The Compose project.
        project: String,
        /// The work tree.
        path: Option<String>,
        /// The remote's address without credentials.
        remote: Option<String>,
    },
    /// What was deployed is watched on after its verdict.
    WatchBegan {
        /// The Compose project.
        project: String,
        /// From when on, by the engine's clock.
        since: Millis,
        /// Until when, by ours.
        until: Millis,
    },
    /// The watch ends at another time.
    WatchMoved {
        /// Until when, by our clock.
        until: Millis,
    },
    /// It is not watched any more.
    WatchEnded {},
    /// A container fell over after the verdict, or something has become of one that did.
    ContainerFell(Fall),
    /// A letter to a destination is not tried any more.
    LetterDied {
        /// The letter's number.
        letter: i64,
        /// For whom it was.
        destination: String,
        why: String,
    },
    /// Somebody had dead letters sent again.
    LettersSentAgain { letters: usize },
    /// A person asked for something at the command line: `rollback`, `maintain on`. What comes of it is told by what changes.
    PersonAsked {
        /// Who, where known.
        who: Option<String>,
        what: String,
    },
}

impl DomainEvent {
    /// Whether it tells of letters, of which no letter must tell.
    pub fn is_of_letters(&self) -> bool {
        matches!(self, DomainEvent::LetterDied { .. } | DomainEvent::LettersSentAgain { .. })
    }
}

/// An event as a row has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Journaled {
    /// The event's number; readers ask for what comes after one.
    pub id: EventId,
    /// When its transaction was written.
    pub at: Millis,
    /// Of which repository, where it is of one.
    pub repo: Option<String>,
    /// Of which deployment, where it is of one.
    pub deployment: Option<DeploymentId>,
    /// The event itself.
    #[serde(flatten)]
    pub what: Read,
}

/// What a row tells a reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Read {
    /// Something that is known here.
    Known(DomainEvent),
    /// Something that a later turnout has written, or that cannot be read: to be skipped, by name.
    Unknown(UnknownEvent),
}

/// An event that is not understood here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownEvent {
    /// The word under which it is stored.
    pub kind: String,
    /// Why it is not understood.
    pub unknown: String,
}

impl Read {
    /// The event, where it is known.
    pub fn known(&self) -> Option<&DomainEvent> {
        match self {
            Read::Known(event) => Some(event),
            Read::Unknown(_) => None,
        }
    }
}

/// What is written of an event.
pub(super) struct Row {
    pub(super) kind: &'static str,
    pub(super) version: i64,
    pub(super) body: String,
}

/// An event as a row is to have it. `None` for one whose word is in no list, which a test excludes.
pub(super) fn to_row(event: &DomainEvent) -> Option<Row> {
    // `{"kind":"…","body":…}`: what serde makes of the enumeration's attributes.
    let text = serde_json::to_string(event).ok()?;
    let (word, rest) = text.strip_prefix(r#"{"kind":""#)?.split_once('"')?;
    let body = rest.strip_prefix(r#","body":"#)?.strip_suffix('}')?;
    let (kind, version) = KINDS.iter().find(|(kind, _)| *kind == word)?;
    let body = match body.len() <= MOST_TEXT {
        true => body.to_owned(),
        false => shortened(serde_json::from_str(body).ok()?).to_string(),
    };
    Some(Row { kind, version: *version, body })
}

/// Whether events of this word and version are understood here.
pub(super) fn is_known(kind: &str, version: i64) -> bool {
    KINDS.iter().any(|(known, newest)| *known == kind && version <= *newest)
}

/// An event from what a row has.
pub(super) fn from_row(kind: &str, version: i64, body: &str) -> Read {
    let unknown = |why: String| Read::Unknown(UnknownEvent { kind: kind.to_owned(), unknown: why });
    match KINDS.iter().find(|(known, _)| *known == kind) {
        None => return unknown("this turnout knows no such event".to_owned()),
        Some((_, newest)) if version > *newest => {
            return unknown(format!("it has version {version}, and this turnout knows up to {newest}"));
        }
        Some(_) => {}
    }
    match serde_json::from_str(&format!(r#"{{"kind":"{kind}","body":{body}}}"#)) {
        Ok(event) => Read::Known(event),
        Err(error) => unknown(format!("it cannot be read: {error}")),
    }
}

/// With every text cut to what is kept.
fn shortened(value: Value) -> Value {
    match value {
        Value::String(mut text) => {
            if text.len() > MOST_TEXT {
                text.truncate(text.floor_char_boundary(MOST_TEXT));
                text.push('…');
            }
            Value::String(text)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(shortened).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (key, shortened(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn samples() -> Vec<DomainEvent> {
        use DomainEvent::*;
        let text = || "said".to_owned();
        let wanted = WantedCommit { commit: text(), branch: None, cause: text(), since: 1, before: 2 };
        let fall = Fall { container: text(), after: 1, said: text(), times: 2, mended: Some(3), seen: 0 };
        vec![
            DaemonBegan { version: text() },
            DaemonEnds {},
            ConfigReloaded { repositories: 2 },
            ConfigBroken { consequence: text(), mistakes: vec![text()] },
            DeliveryAccepted {
                delivery: 1,
                forge: text(),
                event: text(),
                full_name: None,
                commit: None,
                effect: text(),
                reason: text(),
                queued: Some(3),
                duplicate_of: None,
            },
            HookWanted { delivery: 1, name: text(), cause: text() },
            DeploymentQueued {
                cause_kind: Cause::Push,
                cause: text(),
                commit: None,
                branch: None,
                who: None,
                pinned: false,
                force_rebuild: true,
                retry_of: None,
                attempt: 1,
            },
            RebuildInherited {},
            DeploymentBegan {},
            PhaseBegan { phase: text() },
            DeploymentLearned {
                project: Some(text()),
                branch: None,
                commit_before: None,
                commit_after: None,
                commit_base: None,
                decision: None,
            },
            RolloutMoved {
                generation: 4,
                phase: None,
                plans: 0,
                losses: 0,
                due_at: None,
                watched: None,
                bakes_until: None,
            },
            ColourMoved {
                colour: text(),
                project: text(),
                standing: ColourStanding::Kept,
                generation: 4,
                commit: None,
            },
            CommitReverted { commit: text(), why: text() },
            StepBegan { step: 1, text: text() },
            StepEnded { step: 1, outcome: Outcome::Failed, text: text(), took: 7 },
            LogWritten { last: 9 },
            DeploymentEnded {
                outcome: State::Superseded,
                why: None,
                project: None,
                commit: None,
                superseded_by: Some(8),
            },
            EndExplained { more: text() },
            CommitWanted(wanted),
            CommitReached { commit: text() },
            RepositoryHeld(Hold::default()),
            RepositoryReleased {},
            ProjectPlaced { project: text(), path: None, remote: None },
            WatchBegan { project: text(), since: 1, until: 2 },
            WatchMoved { until: 3 },
            WatchEnded {},
            ContainerFell(fall),
            LetterDied { letter: 1, destination: text(), why: text() },
            LettersSentAgain { letters: 2 },
            PersonAsked { who: None, what: text() },
        ]
    }

    #[test]
    fn every_event_has_its_word_and_comes_back() {
        let mut kinds = BTreeSet::new();
        for event in samples() {
            let row = to_row(&event).unwrap_or_else(|| panic!("{event:?} is in no list"));
            assert_eq!(from_row(row.kind, row.version, &row.body), Read::Known(event), "{}", row.body);
            kinds.insert(row.kind);
        }
        assert_eq!(
            kinds,
            KINDS.iter().map(|(kind, _)| *kind).collect(),
            "a word without a sample, or without an event"
        );
    }

    #[test]
    fn what_a_later_turnout_wrote_is_named_and_what_an_earlier_one_wrote_is_read() {
        let unknown = |kind: &str, version: i64, body: &str| match from_row(kind, version, body) {
            Read::Unknown(unknown) => (unknown.kind, unknown.unknown),
            Read::Known(event) => panic!("{event:?}"),
        };
        assert_eq!(unknown("canary_opened", 1, "{}").0, "canary_opened");
        assert!(unknown("phase_began", 2, r#"{"phase":"x"}"#).1.contains("version 2"));
        assert!(unknown("phase_began", 1, "[").1.contains("cannot be read"));
        // Fields of a later turnout are no obstacle, and what may be missing is.
        let read = from_row("phase_began", 1, r#"{"phase":"plan","weight":5}"#);
        assert_eq!(read.known(), Some(&DomainEvent::PhaseBegan { phase: "plan".to_owned() }));
        assert!(from_row("deployment_ended", 1, r#"{"outcome":"failed"}"#).known().is_some());
    }

    #[test]
    fn texts_are_bounded_wherever_they_stand() {
        let long = "ü".repeat(2_000);
        let event = DomainEvent::ConfigBroken { consequence: long.clone(), mistakes: vec![long] };
        let row = to_row(&event).unwrap();
        assert!(row.body.len() < 2 * MOST_TEXT + 100 && row.body.contains('…'), "{}", row.body.len());
    }
}
