//! The phases of a deployment under way, in one list.

use std::fmt;

/// Where a deployment stands. `Display` is the word that history, log and `status` have for it, and that is kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// The work tree is brought to the commit.
    Fetching,
    /// Files and containers are looked at; a plan is made.
    Planning,
    /// The plan is carried out.
    Applying,
    /// What was started is watched until it is judged.
    Settling,
    /// The engine is not there, and is waited for, with the lane free.
    EngineAway,
    /// The deployment before this one is not over yet: both its colours run. Waited for with the lane free.
    BakeAwaited,
    /// The next colour is made, and asked whether it is ready. Requests go to the live one.
    Warming,
    /// The routes are set for what the next colour waits for: a preview, or its share of the requests.
    Stepping,
    /// The next colour is ready, or is in a step of a canary, and somebody has to promote it. Waited for with the lane free.
    Offered,
    /// The next colour is ready, and gets the requests when its time has come. Waited for with the lane free.
    Counting,
    /// The next colour gets a share of the requests, until the time of its step is over. Waited for with the lane free.
    Trying,
    /// As one of these three, but nothing goes on until somebody says so.
    Paused,
    /// Services that must not run twice change over: the old ones end, the new ones start.
    ChangingOver,
    /// The routes move to the next colour.
    Switching,
}

impl Phase {
    /// All of them, in the order in which they come.
    pub const ALL: [Phase; 14] = [
        Phase::Fetching,
        Phase::BakeAwaited,
        Phase::Planning,
        Phase::Applying,
        Phase::Settling,
        Phase::Warming,
        Phase::Stepping,
        Phase::Offered,
        Phase::Counting,
        Phase::Trying,
        Phase::Paused,
        Phase::ChangingOver,
        Phase::Switching,
        Phase::EngineAway,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Fetching => "fetch",
            Phase::Planning => "plan",
            Phase::Applying => "apply",
            Phase::Settling => "settle",
            Phase::EngineAway => "wait for the engine",
            Phase::BakeAwaited => "wait for the bake",
            Phase::Warming => "warm",
            Phase::Stepping => "step",
            Phase::Offered => "wait for promotion",
            Phase::Counting => "wait before promotion",
            Phase::Trying => "canary",
            Phase::Paused => "paused",
            Phase::ChangingOver => "change over",
            Phase::Switching => "switch",
        }
    }

    /// Whether nobody works on it: its row is all that there is of it, and a fact from outside is waited for.
    pub const fn waits(self) -> bool {
        matches!(self, Phase::EngineAway | Phase::BakeAwaited) || self.attends()
    }

    /// Whether it waits with its next colour running beside the live one: somebody looks after both meanwhile.
    pub const fn attends(self) -> bool {
        matches!(self, Phase::Offered | Phase::Counting | Phase::Trying | Phase::Paused)
    }

    /// The fact that is waited for, where one is: it ends "it waits for".
    pub const fn awaited(self) -> Option<&'static str> {
        match self {
            Phase::EngineAway => Some("the engine to come back"),
            Phase::BakeAwaited => Some("the deployment before it to be over"),
            Phase::Offered => Some("its promotion"),
            Phase::Counting => Some("the time of its promotion"),
            Phase::Trying => Some("the end of a step"),
            Phase::Paused => Some("somebody who has it go on"),
            _ => None,
        }
    }

    /// The phase of that name. A later turnout may have kept one that this one does not know.
    pub fn named(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of these ends "it waits for", in `status` and in the log.
    #[test]
    fn whoever_waits_says_what_for() {
        let said: Vec<(Phase, &str)> =
            Phase::ALL.into_iter().filter_map(|phase| Some((phase, phase.awaited()?))).collect();
        assert_eq!(
            said,
            [
                (Phase::BakeAwaited, "the deployment before it to be over"),
                (Phase::Offered, "its promotion"),
                (Phase::Counting, "the time of its promotion"),
                (Phase::Trying, "the end of a step"),
                (Phase::Paused, "somebody who has it go on"),
                (Phase::EngineAway, "the engine to come back"),
            ]
        );
    }
}
