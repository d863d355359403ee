//! The state of a repository's rollout.

use super::Phase;

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

/// Counts the deployments of a repository that began.
pub type Generation = i64;

/// Where a repository stands. One a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Rollout {
    /// Counts the deployments that began. It only rises: what an earlier one says late is recognized by it.
    pub generation: Generation,
    /// The deployment under way; none where the repository is live as it is.
    pub under_way: Option<UnderWay>,
    /// What is watched of the last success, until the next one changes it.
    pub watch: Option<Watch>,
    /// Of the last switch: both colours run, and until this is over no deployment touches either.
    pub bake: Option<Bake>,
}

/// A deployment under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnderWay {
    /// Where it stands.
    pub phase: Phase,
    /// How often it planned since it began or since the engine came back, from 1.
    pub plans: u32,
    /// How often the engine went away under it.
    pub losses: u32,
    /// When something must have happened, where a fact from outside is waited for.
    pub due_at: Option<Millis>,
    /// Of a canary: the step that it is at, from 1. 0: none was begun. As long as it is waited in a step, the next colour has
    /// that step's share of the requests.
    pub step: u32,
    /// How many steps it has; 0: none, requests move all at once.
    pub steps: u32,
}

impl UnderWay {
    /// One that begins.
    pub(super) fn first() -> UnderWay {
        UnderWay { phase: Phase::Fetching, plans: 1, losses: 0, due_at: None, step: 0, steps: 0 }
    }
}

/// The time after a switch in which the previous colour runs on, so that the way back is one move of the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bake {
    /// Of which deployment.
    pub generation: Generation,
    /// When it ends by itself.
    pub until: Millis,
}

/// A watch after a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Watch {
    /// Of which deployment's success.
    pub generation: Generation,
    /// When it ends.
    pub until: Millis,
}

impl Rollout {
    /// Until when it waits for a fact from outside; nobody works on it then.
    pub fn waits(&self) -> Option<Millis> {
        let waits = self.under_way.filter(|under_way| under_way.phase.waits())?;
        // One without a time is due.
        Some(waits.due_at.unwrap_or_default())
    }

    /// Whether the next colour runs beside the live one, and waits for a time or for a person.
    pub fn attends(&self) -> bool {
        self.under_way.is_some_and(|under_way| under_way.phase.attends())
    }

    /// Whether a deployment waits for the end of the bake before it.
    pub fn awaits_bake(&self) -> bool {
        self.under_way.is_some_and(|under_way| under_way.phase == Phase::BakeAwaited)
    }

    /// When something is due, whatever else happens: the end of a wait, of a watch or of a bake.
    pub fn due_at(&self) -> Option<Millis> {
        let waits = self.under_way.and_then(|under_way| under_way.due_at);
        let watch = self.watch.map(|watch| watch.until);
        let bake = self.bake.map(|bake| bake.until);
        waits.into_iter().chain(watch).chain(bake).min()
    }

    /// The same, where it is known from elsewhere that a deployment is under way: one that an earlier turnout began has left
    /// no state.
    #[must_use]
    pub fn surely_under_way(&self) -> Rollout {
        self.with(self.under_way.unwrap_or(UnderWay::first()))
    }

    /// The next deployment begins.
    pub(super) fn begun(&self) -> Rollout {
        Rollout { generation: self.generation + 1, ..self.with(UnderWay::first()) }
    }

    /// The same, with this under way.
    pub(super) fn with(&self, under_way: UnderWay) -> Rollout {
        Rollout { under_way: Some(under_way), ..self.clone() }
    }

    /// Nothing is under way any more.
    pub(super) fn ended(&self) -> Rollout {
        Rollout { under_way: None, ..self.clone() }
    }
}
