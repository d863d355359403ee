//! A rollout is a state: where a repository's deployment stands, and what comes next.
//!
//! [`next`] is a pure function of a state, a fact and the time; the lane carries out what it answers, one action at a time,
//! and comes back with the next fact. What an action found out (a plan, say) is in no state: after a crash all of it is
//! found out anew, from the world as it is then.
//!
//! ```text
//!       begin            planned             applied
//! Live ───────► Preparing ──────► Applying ─────────► Settling ─────► Live, and watched until …
//!               ▲   ▲  │              │                  │   settled
//!               │   └──┴─── stale ────┴──────────────────┤   (PLANS looks at most)
//!               │                                        │
//!               └── back ── EngineAway ◄─── engine gone ─┘   (LOSSES at most, each until `due_at`)
//!                              (waits: the lane is free, and a newer deployment supersedes it)
//! ```
//!
//! A repository that is deployed blue/green goes another road from Preparing on: the idle colour is made ready beside the live
//! one, and the routes move.
//!
//! ```text
//!       colour planned         warmed              changed over            switched
//! Preparing ───────► Warming ───────► ChangingOver ───────────► Switching ────────► Live, and baking until …
//!  ▲  ▲  ▲             │                   │                       │   bake over
//!  │  │  └── stale ────┴───────────────────┴───────────────────────┤   (abort, and from ChangingOver on: go back)
//!  │  │                                                            │
//!  │  └── back ── EngineAway ◄──────────── engine gone ────────────┘   (no way out now: the next plan mends first)
//!  │
//!  └── bake over ── BakeAwaited ◄── whoever would plan while both colours run
//!                   (waits like EngineAway, until RETIRING after the bake's time at most; its images are built meanwhile)
//! ```
//!
//! Where a promotion is waited for, or requests move in steps, there is a stretch of road between Warming and ChangingOver. Its
//! phases but Stepping wait, each with the lane free and until `due_at`; the next colour runs beside the live one, and both are
//! looked after beside the lane.
//!
//! ```text
//!        ready            stands: a person has to promote it, before a step or in one
//! Warming ────► Stepping ───────► Offered ─────────── promoted ┐
//!                 ▲ ▲ │  before any step: its time opens it    │      no step is left, or promoted fully
//!                 │ │ ├─────────► Counting ── due, promoted ───┼───────────────────────────────────────► ChangingOver
//!                 │ │ │  in a step: its time opens it          │                                               ▲
//!                 │ │ └─────────► Trying ──── due, promoted ───┤                                               │
//!                 │ └──── the next step ───────────────────────┘                                               │
//!                 └─ resumed ── Paused ◄── paused ── any of the three ──── promoted: as from that one ─────────┘
//! ```
//!
//! A time that is over while nobody has promoted, or resumed, ends the deployment; so do a next colour that fails, whoever calls
//! it off, and a newer deployment. What is left to do then (routes to the live colour alone, the next one stopped) is mended.
//!
//! Before routes have moved, the way out leads back to the live colour as it was. Once they have there is none: who is live
//! is what the routes say, and where that cannot be learned nothing is stopped. The bake is looked after beside the lane; it
//! ends with one of the two colours live and the other at rest, whichever that is.
//!
//! A bad end (failed, cancelled, interrupted, superseded) leads from anywhere to Live. It may leave a colour in part, or
//! requests held: an engine that is away can neither stop nor start anything, and a daemon that died does not. So each bad end,
//! and each start, is followed by [`Action::Mend`], beside the lane, and each plan begins with the same.
//!
//! Each step of the table is a line in [`next`], and `explore` visits every state that pushes, crashes, cancellations, restarts
//! and time can lead to, in place and blue/green.

pub mod analysis;
#[cfg(test)]
mod explore;
mod phase;
#[cfg(test)]
mod row_tests;
mod state;
#[cfg(test)]
mod switched_rows;

pub use phase::Phase;
pub use state::{Bake, Generation, Millis, Rollout, UnderWay, Watch};

/// How often a deployment looks and plans while the engine's objects change under it.
pub const PLANS: u32 = 3;
/// How often the engine may go away under one deployment: one that takes it down each time must come to its end.
pub const LOSSES: u32 = 3;
/// How long the end of a bake may take beyond its time, in milliseconds: the previous colour is stopped then, and its
/// containers have their grace.
pub const RETIRING: Millis = 10 * 60 * 1_000;
/// How often a deployment is begun again after the daemon died under it: it may be what ends the daemon.
pub const ATTEMPTS: u32 = 3;

/// Something that happened, as far as a rollout is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The lane took a deployment from the queue.
    Begin,
    /// The work tree is at the commit.
    Fetched,
    /// There is a plan, and nothing stands in its way.
    Planned,
    /// Every step was carried out.
    Applied,
    /// What was started stays up. What is to be watched on ends then.
    Settled {
        /// When the watch ends; `None`: nothing is watched.
        watch: Option<Millis>,
    },
    /// There is a plan for the idle colour, and nothing stands in its way.
    ColourPlanned,
    /// The next colour is made and ready, but for what must not run twice; nothing is waited for.
    Warmed,
    /// The same, and it is to wait: for a promotion first, or in the first step of a canary at once.
    Ready {
        /// 0: for a promotion. 1: the first step begins.
        first: u32,
        /// How many steps there are.
        steps: u32,
    },
    /// The routes are as the next colour's wait has them.
    Stands {
        /// When it is over.
        until: Millis,
        /// It goes on by itself then; else somebody has to promote it until then.
        opens: bool,
    },
    /// Somebody has the next colour go on: to its next step, or, where none is left, to all requests.
    Promoted,
    /// Somebody has it get all requests, whatever steps are left.
    PromotedFully,
    /// Somebody has it stay as it is.
    Paused {
        /// How long at most.
        until: Millis,
    },
    /// Somebody has it go on.
    Resumed,
    /// The next colour is not well, or answers worse than the live one.
    TurnedDown,
    /// What must not run twice runs in the next colour, and in no other.
    ChangedOver,
    /// Requests go to the next colour.
    Switched {
        /// When the bake ends; `None`: there was no colour before it to go back to.
        bake: Option<Millis>,
        /// As in [`Fact::Settled`], where there is no bake.
        watch: Option<Millis>,
    },
    /// Whether requests go to the next colour could not be learned, or the switch panicked.
    Unknown,
    /// A switch is found that nobody lived to record: a bake is under way of which the state does not know.
    Baking {
        /// The bake as the proxy and the database have it.
        bake: Bake,
    },
    /// The bake is over: one of the two colours is retired, and the other one live.
    BakeOver,
    /// Something else changed what had been looked at.
    Stale,
    /// The engine is not there, or not any more.
    EngineGone {
        /// How long it may stay away, in milliseconds.
        patience: Millis,
    },
    /// The engine answers again.
    EngineBack,
    /// An action came to nothing, for a reason that a repetition would meet again, or panicked. Of a switch it says that requests go where
    /// they went before: where that is not certain, it is [`Fact::Unknown`].
    Failed,
    /// An action, or a wait, was called off by a person.
    Cancelled,
    /// Another deployment of the repository is queued.
    Newer,
    /// The daemon ends in an orderly way, and its successor goes on.
    Stopped,
    /// The daemon starts, and this is what its predecessor left. A deployment is under way only where that one died.
    Started {
        /// Which attempt of the deployment under way that was, from 1.
        attempt: u32,
    },
    /// What was waited for is due.
    Due,
    /// What was watched was watched long enough: later than its time where something that fell may yet stand again.
    WatchOver,
}

/// What is to be done next. Each may be done twice without harm, for a crash may come before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Bring the work tree to the commit.
    Fetch,
    /// Look at the files and at what runs, decide and plan. Colours are mended first, as [`Action::Mend`] has it.
    Plan,
    /// End the watch of an earlier deployment: from here on its containers change because this one changes them.
    EndWatch,
    /// Carry out the plan.
    Apply,
    /// See whether what was started stays up.
    Settle,
    /// Build or pull what the next colour needs, change what stays, make the next colour, and ask it whether it is ready.
    Warm,
    /// Hold requests where they must wait, end what must not run twice in the live colour, start it in the next one.
    ChangeOver,
    /// Have the routes lead to the next colour.
    Switch,
    /// Have the routes lead to the live colour alone, if another one had a share. Start again in the live colour what a
    /// change-over ended, and end it in the next one. Requests are let through.
    GoBack,
    /// Set the routes for what the next colour waits for: a preview, or its share of the requests.
    Step,
    /// Look after both colours, beside the lane, while the next one waits.
    Attend,
    /// Stop the next colour, and leave it to be looked at.
    Abort,
    /// Look after both colours, beside the lane, until the bake is over.
    Bake,
    /// Beside the lane, while a deployment waits for the bake: fetch its commit without the work tree, pull and build its images. Whatever
    /// comes of it is no fact: what is not there when the bake is over is fetched, pulled and built then.
    Meanwhile,
    /// As soon as engine and proxy answer, and while the lane is free: have what is known of the colours agree with the routes,
    /// have all of the live one run and requests be let through, and stop what is neither live nor baking. A plan that is
    /// made before begins with the same, and ends it; where nothing was ever switched there is nothing to do.
    Mend,
    /// Nothing, until a fact comes from outside or `due_at`: the lane is free for what is newer.
    Wait,
    /// Record how the deployment ended.
    Record(Ending),
    /// Queue the same again, for the next start.
    Again,
    /// Watch on, beside the lane.
    Watch,
}

/// How a deployment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// All that was wanted runs, and has stayed up.
    Succeeded,
    /// For a reason of its own.
    Failed(Why),
    /// By a person.
    Cancelled,
    /// By the end of the daemon.
    Interrupted,
    /// By a newer one, while it waited.
    Superseded,
}

/// Why a deployment failed, as far as this table decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The action says.
    Itself,
    /// The engine's objects changed under it each time.
    Unsteady,
    /// The engine went away too often.
    LostTooOften,
    /// The engine did not come back in time.
    NotBack,
    /// The daemon died under it too often.
    DiedTooOften,
    /// The bake before it came to no end.
    BakeNotOver,
    /// Whether requests go to the next colour is not known.
    NotKnown,
    /// Nobody promoted it, or had it go on, in time.
    NotPromoted,
    /// The next colour did not do well beside the live one.
    TurnedDown,
}

/// A state and what is to be done in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The state from now on.
    pub rollout: Rollout,
    /// What to do, in this order.
    pub actions: Vec<Action>,
}

/// What follows from a fact. One that says nothing in this state (an engine that is back where nobody waited for it)
/// leaves it as it is, with nothing to do.
pub fn next(rollout: &Rollout, fact: Fact, now: Millis) -> Next {
    let stay = || Next { rollout: rollout.clone(), actions: Vec::new() };
    let Some(under_way) = rollout.under_way else {
        return match fact {
            Fact::Begin => begins(rollout.begun()),
            Fact::WatchOver => unwatched(rollout),
            Fact::BakeOver => to(baked(rollout), &[]),
            Fact::Baking { bake } => to(bakes(rollout, bake), &[Action::Bake]),
            Fact::Started { .. } => to(rollout.clone(), &taken_up(rollout)),
            _ => stay(),
        };
    };
    let at = |phase: Phase| UnderWay { phase, due_at: None, ..under_way };
    match (under_way.phase, fact) {
        (Phase::Fetching, Fact::Fetched) => plans(rollout, under_way),
        (Phase::BakeAwaited, Fact::BakeOver) => {
            to(baked(rollout).with(UnderWay { phase: Phase::Fetching, due_at: None, ..under_way }), &[Action::Fetch])
        }
        (Phase::BakeAwaited, Fact::Due) if under_way.due_at.is_none_or(|due| due <= now) => {
            ends(rollout, Ending::Failed(Why::BakeNotOver))
        }
        (_, Fact::BakeOver) => to(baked(rollout), &[]),
        // Nobody lived to record the switch that it is of. What runs beside the live colour is not touched before that is over.
        (Phase::Planning | Phase::BakeAwaited, Fact::Baking { bake }) => plans(&bakes(rollout, bake), under_way),
        (Phase::Fetching | Phase::EngineAway, Fact::Baking { bake }) => to(bakes(rollout, bake), &[Action::Bake]),
        (Phase::Planning, Fact::Planned) => changes(rollout, at(Phase::Applying), Action::Apply),
        (Phase::Planning, Fact::ColourPlanned) => changes(rollout, at(Phase::Warming), Action::Warm),
        (Phase::Applying, Fact::Applied) => to(rollout.with(at(Phase::Settling)), &[Action::Settle]),
        (Phase::Settling, Fact::Settled { watch: until }) => {
            let watch = until.map(|until| Watch { generation: rollout.generation, until });
            succeeds(Rollout { watch, ..rollout.ended() })
        }
        (Phase::Warming, Fact::Warmed) => to(rollout.with(at(Phase::ChangingOver)), &[Action::ChangeOver]),
        (Phase::Warming, Fact::Ready { first, steps }) => {
            let stepping = UnderWay { step: first.min(steps), steps, ..at(Phase::Stepping) };
            to(rollout.with(stepping), &[Action::Step])
        }
        (Phase::Stepping, Fact::Stands { until, opens }) => {
            let phase = match under_way.step {
                0 if opens => Phase::Counting,
                _ if opens => Phase::Trying,
                _ => Phase::Offered,
            };
            let stands = UnderWay { phase, due_at: Some(until), ..under_way };
            to(rollout.with(stands), &[Action::Attend, Action::Wait])
        }
        (phase, Fact::Promoted) if phase.attends() => onward(rollout, under_way),
        // What is left of its steps is passed over.
        (phase, Fact::PromotedFully) if phase.attends() => {
            to(rollout.with(at(Phase::ChangingOver)), &[Action::ChangeOver])
        }
        (Phase::Counting | Phase::Trying, Fact::Due) if under_way.due_at.is_none_or(|due| due <= now) => {
            onward(rollout, under_way)
        }
        (Phase::Offered | Phase::Paused, Fact::Due) if under_way.due_at.is_none_or(|due| due <= now) => {
            ends(rollout, Ending::Failed(Why::NotPromoted))
        }
        (Phase::Offered | Phase::Counting | Phase::Trying, Fact::Paused { until }) => {
            let paused = UnderWay { due_at: Some(until), ..at(Phase::Paused) };
            to(rollout.with(paused), &[Action::Attend, Action::Wait])
        }
        // Its step, or the time before its promotion, begins anew.
        (Phase::Paused, Fact::Resumed) => to(rollout.with(at(Phase::Stepping)), &[Action::Step]),
        (phase, Fact::TurnedDown) if phase.attends() => ends(rollout, Ending::Failed(Why::TurnedDown)),
        (Phase::ChangingOver, Fact::ChangedOver) => to(rollout.with(at(Phase::Switching)), &[Action::Switch]),
        (Phase::Switching, Fact::Switched { bake, watch }) => {
            let generation = rollout.generation;
            let bake = bake.map(|until| Bake { generation, until });
            let watch = watch.filter(|_| bake.is_none()).map(|until| Watch { generation, until });
            succeeds(Rollout { watch, bake, ..rollout.ended() })
        }
        // Both colours run on as they are, for either may be the live one: whoever mends asks the routes.
        (Phase::Switching, Fact::Unknown) => ends(rollout, Ending::Failed(Why::NotKnown)),
        // A colour that was begun is not left running while there is another plan, which may come to nothing or need none.
        (phase, Fact::Stale) if works_on_containers(phase) => match under_way.plans {
            PLANS.. => after(way_out(phase), ends(rollout, Ending::Failed(Why::Unsteady))),
            plans => {
                let again = UnderWay { plans: plans + 1, step: 0, steps: 0, ..at(Phase::Planning) };
                after(way_out(phase), to(rollout.with(again), &[Action::Plan]))
            }
        },
        // There is no way out of what it breaks off, for nothing could be stopped or started now: the next plan mends first.
        (phase, Fact::EngineGone { patience }) if works_on_containers(phase) => match under_way.losses {
            LOSSES.. => ends(rollout, Ending::Failed(Why::LostTooOften)),
            losses => {
                let due_at = Some(now.saturating_add(patience));
                let away = UnderWay { losses: losses + 1, due_at, step: 0, steps: 0, ..at(Phase::EngineAway) };
                to(rollout.with(away), &[Action::Wait])
            }
        },
        // What the engine did before it went shows in the next look: half a plan is never resumed.
        (Phase::EngineAway, Fact::EngineBack) => plans(rollout, UnderWay { plans: 1, ..under_way }),
        (Phase::EngineAway, Fact::Due) if under_way.due_at.is_none_or(|due| due <= now) => {
            ends(rollout, Ending::Failed(Why::NotBack))
        }
        // Half of its plan may be carried out; the newer one sees that in its look.
        (phase, Fact::Newer) if phase.waits() => ends(rollout, Ending::Superseded),
        // Nobody works on it, so nothing is interrupted: its row is all that there is of it.
        (phase, Fact::Stopped) if phase.waits() => stay(),
        (phase, Fact::Started { .. }) if phase.waits() => {
            after(&[Action::Wait], to(rollout.clone(), &taken_up(rollout)))
        }
        (_, Fact::WatchOver) => unwatched(rollout),
        (phase, Fact::Failed) => after(way_out(phase), ends(rollout, Ending::Failed(Why::Itself))),
        (phase, Fact::Cancelled) => after(way_out(phase), ends(rollout, Ending::Cancelled)),
        (phase, Fact::Stopped) => after(way_out(phase), to(rollout.ended(), &INTERRUPTED)),
        // It is planned anew from what there is now; the watch of an earlier success goes on until that has a plan.
        (_, Fact::Started { attempt }) => {
            let recorded: &[Action] = match attempt {
                ATTEMPTS.. => &[Action::Record(Ending::Failed(Why::DiedTooOften))],
                _ => &INTERRUPTED,
            };
            after(recorded, to(rollout.ended(), &taken_up(rollout)))
        }
        _ => stay(),
    }
}

/// Recorded, and tried again at the next start.
const INTERRUPTED: [Action; 2] = [Action::Record(Ending::Interrupted), Action::Again];

/// Whether the action of this phase asks the engine.
fn works_on_containers(phase: Phase) -> bool {
    match phase {
        Phase::Planning
        | Phase::Applying
        | Phase::Settling
        | Phase::Warming
        | Phase::Stepping
        | Phase::ChangingOver
        | Phase::Switching => true,
        Phase::Fetching
        | Phase::BakeAwaited
        | Phase::EngineAway
        | Phase::Offered
        | Phase::Counting
        | Phase::Trying
        | Phase::Paused => false,
    }
}

/// What has the live colour be as it was before this phase, and the next one stand still, to be looked at.
fn way_out(phase: Phase) -> &'static [Action] {
    match phase {
        Phase::Warming => &[Action::Abort],
        Phase::Stepping | Phase::ChangingOver | Phase::Switching => &[Action::GoBack, Action::Abort],
        Phase::Fetching
        | Phase::BakeAwaited
        | Phase::Planning
        | Phase::Applying
        | Phase::Settling
        | Phase::EngineAway
        // Nobody works on these: what they leave is mended.
        | Phase::Offered
        | Phase::Counting
        | Phase::Trying
        | Phase::Paused => &[],
    }
}

/// A deployment begins, as soon as no two colours are taken: a fetch would change files that the live colour has mounted,
/// and that it may be brought back to.
fn begins(begun: Rollout) -> Next {
    match (begun.bake, begun.under_way) {
        (Some(bake), Some(under_way)) => awaits(&begun, bake, under_way),
        _ => to(begun, &[Action::Fetch]),
    }
}

/// It is planned, unless two colours are taken: a switch was found that nobody lived to record.
fn plans(rollout: &Rollout, under_way: UnderWay) -> Next {
    match rollout.bake {
        Some(bake) => awaits(rollout, bake, under_way),
        None => {
            let planning = UnderWay { phase: Phase::Planning, due_at: None, ..under_way };
            to(rollout.with(planning), &[Action::Plan])
        }
    }
}

/// What was waited for has come: the next step, or, where there is none, the change-over.
fn onward(rollout: &Rollout, under_way: UnderWay) -> Next {
    let (phase, step, action) = match under_way.step < under_way.steps {
        true => (Phase::Stepping, under_way.step + 1, Action::Step),
        false => (Phase::ChangingOver, under_way.step, Action::ChangeOver),
    };
    to(rollout.with(UnderWay { phase, step, due_at: None, ..under_way }), &[action])
}

/// Containers change from here on, so what is watched of an earlier success is so no longer.
fn changes(rollout: &Rollout, under_way: UnderWay, how: Action) -> Next {
    let then = Rollout { watch: None, ..rollout.with(under_way) };
    match rollout.watch {
        Some(_) => to(then, &[Action::EndWatch, how]),
        None => to(then, &[how]),
    }
}

fn succeeds(good: Rollout) -> Next {
    let then = beside(&good);
    after(&[Action::Record(Ending::Succeeded)], to(good, &then))
}

/// At a start of the daemon: what its predecessor may have left half done comes first.
fn taken_up(rollout: &Rollout) -> Vec<Action> {
    [&[Action::Mend][..], &beside(rollout)].concat()
}

/// Both colours are taken. Whoever waits sees to it that somebody looks after what is waited for.
fn awaits(rollout: &Rollout, bake: Bake, under_way: UnderWay) -> Next {
    let due_at = Some(bake.until.saturating_add(RETIRING));
    let awaited = UnderWay { phase: Phase::BakeAwaited, due_at, ..under_way };
    to(rollout.with(awaited), &[Action::Bake, Action::Meanwhile, Action::Wait])
}

/// What goes on beside the lane.
fn beside(rollout: &Rollout) -> Vec<Action> {
    let (watch, bake) = (rollout.watch.map(|_| Action::Watch), rollout.bake.map(|_| Action::Bake));
    let attend = rollout.attends().then_some(Action::Attend);
    let meanwhile = rollout.awaits_bake().then_some(Action::Meanwhile);
    watch.into_iter().chain(bake).chain(attend).chain(meanwhile).collect()
}

/// Two colours run.
fn bakes(rollout: &Rollout, bake: Bake) -> Rollout {
    Rollout { bake: Some(bake), ..rollout.clone() }
}

/// One of the two colours is retired.
fn baked(rollout: &Rollout) -> Rollout {
    Rollout { bake: None, ..rollout.clone() }
}

/// The same, after these actions.
fn after(first: &[Action], next: Next) -> Next {
    Next { actions: [first, &next.actions].concat(), ..next }
}

fn to(rollout: Rollout, actions: &[Action]) -> Next {
    Next { rollout, actions: actions.to_vec() }
}

/// The watch has ended by itself: there is nothing to end any more.
fn unwatched(rollout: &Rollout) -> Next {
    to(Rollout { watch: None, ..rollout.clone() }, &[])
}

/// A bad end. An action that came to nothing may have left a colour in part, and a way out come to nothing as well, where the
/// engine is away for instance; whether it did is not asked here.
fn ends(rollout: &Rollout, how: Ending) -> Next {
    to(rollout.ended(), &[Action::Record(how), Action::Mend])
}
