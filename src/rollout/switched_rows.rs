//! Rows of a repository that is deployed blue/green, one by one: those at whose absence the exploration would not stumble,
//! since what mends puts right what they leave.

use super::{
    ATTEMPTS, Action, Bake, Ending, Fact, LOSSES, Next, PLANS, Phase, RETIRING, Rollout, UnderWay, Watch, Why, next,
};

const BAKE: Bake = Bake { generation: 3, until: 9_000 };
const GONE: Fact = Fact::EngineGone { patience: 50 };
const WORKED_ON: [Phase; 8] = [
    Phase::Fetching,
    Phase::Planning,
    Phase::Applying,
    Phase::Settling,
    Phase::Warming,
    Phase::Stepping,
    Phase::ChangingOver,
    Phase::Switching,
];

fn under_way(phase: Phase) -> UnderWay {
    UnderWay { phase, ..UnderWay::first() }
}

fn at(phase: Phase) -> Rollout {
    Rollout { generation: 4, under_way: Some(under_way(phase)), watch: None, bake: None }
}

/// Under way in this phase, while the switch before it bakes.
fn baking(phase: Phase) -> Rollout {
    Rollout { bake: Some(BAKE), ..at(phase) }
}

fn awaits() -> Rollout {
    let due_at = Some(BAKE.until + RETIRING);
    Rollout { under_way: Some(UnderWay { due_at, ..under_way(Phase::BakeAwaited) }), ..baking(Phase::BakeAwaited) }
}

/// The phase that follows, and what is done.
fn then(rollout: &Rollout, fact: Fact) -> (Option<Phase>, Vec<Action>) {
    let Next { rollout, actions } = next(rollout, fact, 0);
    (rollout.under_way.map(|one| one.phase), actions)
}

fn way_out(phase: Phase) -> Vec<Action> {
    match phase {
        Phase::Warming => vec![Action::Abort],
        Phase::Stepping | Phase::ChangingOver | Phase::Switching => vec![Action::GoBack, Action::Abort],
        _ => Vec::new(),
    }
}

#[test]
fn each_colour_comes_by_the_same_road() {
    let road = [
        (Phase::Planning, Fact::ColourPlanned, Phase::Warming, Action::Warm),
        (Phase::Warming, Fact::Warmed, Phase::ChangingOver, Action::ChangeOver),
        (Phase::ChangingOver, Fact::ChangedOver, Phase::Switching, Action::Switch),
    ];
    for (from, fact, to, action) in road {
        assert_eq!(then(&at(from), fact), (Some(to), vec![action]));
    }
    let watched = Rollout { watch: Some(Watch { generation: 3, until: 9 }), ..at(Phase::Planning) };
    let Next { rollout, actions } = next(&watched, Fact::ColourPlanned, 0);
    assert_eq!((rollout.watch, actions), (None, vec![Action::EndWatch, Action::Warm]));
}

#[test]
fn a_switch_is_followed_by_a_bake_or_by_a_watch() {
    let good = Action::Record(Ending::Succeeded);
    for (bake, watch, beside) in [
        (Some(70), None, vec![Action::Bake]),
        (Some(70), Some(80), vec![Action::Bake]),
        (None, Some(80), vec![Action::Watch]),
        (None, None, vec![]),
    ] {
        let Next { rollout, actions } = next(&at(Phase::Switching), Fact::Switched { bake, watch }, 0);
        let watch = watch.filter(|_| bake.is_none()).map(|until| Watch { generation: 4, until });
        let bake = bake.map(|until| Bake { generation: 4, until });
        assert_eq!(rollout, Rollout { generation: 4, under_way: None, watch, bake });
        assert_eq!(actions, [vec![good], beside].concat());
    }
}

#[test]
fn each_bad_end_goes_the_way_out_of_its_phase_and_is_mended() {
    for phase in WORKED_ON {
        for (fact, how) in [(Fact::Failed, Ending::Failed(Why::Itself)), (Fact::Cancelled, Ending::Cancelled)] {
            let ends = [way_out(phase), vec![Action::Record(how), Action::Mend]].concat();
            assert_eq!(then(&at(phase), fact), (None, ends), "{phase:?}, {fact:?}");
        }
        let ends = [way_out(phase), vec![Action::Record(Ending::Interrupted), Action::Again]].concat();
        assert_eq!(then(&at(phase), Fact::Stopped), (None, ends), "{phase:?}");
    }
}

#[test]
fn a_stale_round_leaves_no_colour_running() {
    for phase in WORKED_ON.into_iter().filter(|phase| *phase != Phase::Fetching) {
        let again = [way_out(phase), vec![Action::Plan]].concat();
        assert_eq!(then(&at(phase), Fact::Stale), (Some(Phase::Planning), again), "{phase:?}");
        let mut last = at(phase);
        last.under_way = Some(UnderWay { plans: PLANS, ..under_way(phase) });
        let unsteady = vec![Action::Record(Ending::Failed(Why::Unsteady)), Action::Mend];
        assert_eq!(then(&last, Fact::Stale), (None, [way_out(phase), unsteady].concat()), "{phase:?}");
    }
}

#[test]
fn an_engine_that_goes_leaves_nothing_to_be_done_and_what_it_leaves_is_mended() {
    for phase in WORKED_ON.into_iter().filter(|phase| *phase != Phase::Fetching) {
        assert_eq!(then(&at(phase), GONE), (Some(Phase::EngineAway), vec![Action::Wait]), "{phase:?}");
        let mut last = at(phase);
        last.under_way = Some(UnderWay { losses: LOSSES, ..under_way(phase) });
        let lost = vec![Action::Record(Ending::Failed(Why::LostTooOften)), Action::Mend];
        assert_eq!(then(&last, GONE), (None, lost), "{phase:?}");
    }
    for (fact, how) in [
        (Fact::Due, Ending::Failed(Why::NotBack)),
        (Fact::Cancelled, Ending::Cancelled),
        (Fact::Newer, Ending::Superseded),
    ] {
        assert_eq!(then(&at(Phase::EngineAway), fact), (None, vec![Action::Record(how), Action::Mend]));
    }
}

#[test]
fn a_switch_whose_outcome_is_not_known_stops_nothing_and_is_mended() {
    let ends = vec![Action::Record(Ending::Failed(Why::NotKnown)), Action::Mend];
    assert_eq!(then(&at(Phase::Switching), Fact::Unknown), (None, ends));
}

#[test]
fn a_start_mends_first_and_looks_after_the_bake() {
    let again = vec![Action::Record(Ending::Interrupted), Action::Again];
    let given_up = vec![Action::Record(Ending::Failed(Why::DiedTooOften))];
    for phase in WORKED_ON {
        for (attempt, recorded) in [(1, &again), (ATTEMPTS - 1, &again), (ATTEMPTS, &given_up)] {
            let started = Fact::Started { attempt };
            let mended = [&recorded[..], &[Action::Mend]].concat();
            assert_eq!(then(&at(phase), started), (None, mended.clone()), "{phase:?}");
            let bakes = [mended, vec![Action::Bake]].concat();
            assert_eq!(then(&baking(phase), started), (None, bakes), "{phase:?}");
        }
    }
    let started = Fact::Started { attempt: 1 };
    let live = Rollout { under_way: None, ..baking(Phase::Planning) };
    assert_eq!(next(&live, started, 0), Next { rollout: live, actions: vec![Action::Mend, Action::Bake] });
    let waits = vec![Action::Wait, Action::Mend, Action::Bake, Action::Meanwhile];
    assert_eq!(next(&awaits(), started, 0), Next { rollout: awaits(), actions: waits });
}

#[test]
fn what_is_to_be_planned_waits_for_a_bake() {
    let waits = Next { rollout: awaits(), actions: vec![Action::Bake, Action::Meanwhile, Action::Wait] };
    // Before anything is fetched: it would change files that the live colour has mounted.
    let live = Rollout { under_way: None, generation: 3, ..baking(Phase::Fetching) };
    assert_eq!(next(&live, Fact::Begin, 0), waits);
    assert_eq!(next(&baking(Phase::Fetching), Fact::Fetched, 0), waits);
    // It may have been found while the engine was away.
    assert_eq!(next(&baking(Phase::EngineAway), Fact::EngineBack, 0), waits);
    for phase in [Phase::Fetching, Phase::EngineAway] {
        let fact = if phase == Phase::Fetching { Fact::Fetched } else { Fact::EngineBack };
        assert_eq!(then(&at(phase), fact), (Some(Phase::Planning), vec![Action::Plan]));
    }
}

#[test]
fn a_bake_that_is_found_is_looked_after_and_no_plan_is_made_over_it() {
    let found = Fact::Baking { bake: BAKE };
    let waits = Next { rollout: awaits(), actions: vec![Action::Bake, Action::Meanwhile, Action::Wait] };
    assert_eq!(next(&at(Phase::Planning), found, 0), waits);
    assert_eq!(next(&awaits(), found, 0), waits);
    // A longer one: the wait is as long.
    let longer = Bake { until: 20_000, ..BAKE };
    let due_at = next(&awaits(), Fact::Baking { bake: longer }, 0).rollout.waits();
    assert_eq!(due_at, Some(longer.until + RETIRING));
    for phase in [Phase::Fetching, Phase::EngineAway] {
        assert_eq!(next(&at(phase), found, 0), Next { rollout: baking(phase), actions: vec![Action::Bake] });
    }
    let live = Rollout { under_way: None, ..at(Phase::Planning) };
    let bakes = Rollout { bake: Some(BAKE), ..live.clone() };
    assert_eq!(next(&live, found, 0), Next { rollout: bakes, actions: vec![Action::Bake] });
}

#[test]
fn the_end_of_a_bake_is_heard_in_each_phase_and_only_who_waits_for_it_goes_on() {
    for phase in Phase::ALL {
        let Next { rollout, actions } = next(&baking(phase), Fact::BakeOver, 0);
        let (expected, done) = match phase {
            // Files are brought to the commit only now.
            Phase::BakeAwaited => (at(Phase::Fetching), vec![Action::Fetch]),
            _ => (at(phase), vec![]),
        };
        assert_eq!((rollout, actions), (expected, done), "{phase:?}");
    }
    let live = Rollout { under_way: None, ..baking(Phase::Planning) };
    let over = Rollout { bake: None, ..live.clone() };
    assert_eq!(next(&live, Fact::BakeOver, 0), Next { rollout: over, actions: Vec::new() });
}

#[test]
fn a_wait_for_a_bake_ends_at_its_time_or_by_whoever_ends_it() {
    let due = BAKE.until + RETIRING;
    assert_eq!(next(&awaits(), Fact::Due, due - 1), Next { rollout: awaits(), actions: Vec::new() });
    assert_eq!(next(&awaits(), Fact::Stopped, 0), Next { rollout: awaits(), actions: Vec::new() });
    for (fact, how) in [
        (Fact::Due, Ending::Failed(Why::BakeNotOver)),
        (Fact::Cancelled, Ending::Cancelled),
        (Fact::Newer, Ending::Superseded),
    ] {
        let Next { rollout, actions } = next(&awaits(), fact, due);
        assert_eq!((rollout.under_way, rollout.bake), (None, Some(BAKE)), "{fact:?}");
        assert_eq!(actions, [Action::Record(how), Action::Mend], "{fact:?}");
    }
}

#[test]
fn something_is_due_when_the_bake_is() {
    let live = Rollout { under_way: None, ..baking(Phase::Planning) };
    assert_eq!((live.due_at(), live.waits()), (Some(BAKE.until), None));
    assert_eq!((awaits().due_at(), awaits().waits()), (Some(BAKE.until), Some(BAKE.until + RETIRING)));
}

/// Whatever an action can come to leads on: nobody would do anything about what it left.
#[test]
fn no_action_comes_to_what_the_table_does_not_know() {
    let bad = [Fact::Failed, Fact::Cancelled, Fact::Stopped, Fact::Started { attempt: 1 }];
    for phase in WORKED_ON {
        let asks_engine = [Fact::Stale, GONE].into_iter().filter(|_| phase != Phase::Fetching);
        for fact in bad.into_iter().chain(asks_engine) {
            assert_ne!(
                next(&at(phase), fact, 0),
                Next { rollout: at(phase), actions: Vec::new() },
                "{phase:?}, {fact:?}"
            );
        }
    }
}

/// One whose next colour waits in this phase, at this step of so many, until 50.
fn waiting(phase: Phase, step: u32, steps: u32) -> Rollout {
    Rollout { under_way: Some(UnderWay { due_at: Some(50), step, steps, ..under_way(phase) }), ..at(phase) }
}

const WAITING: [Phase; 4] = [Phase::Offered, Phase::Counting, Phase::Trying, Phase::Paused];

#[test]
fn a_colour_that_is_ready_waits_for_whoever_it_is_to_wait_for() {
    let ready = next(&at(Phase::Warming), Fact::Ready { first: 0, steps: 0 }, 0);
    assert_eq!(ready.actions, [Action::Step]);
    for (opens, phase) in [(false, Phase::Offered), (true, Phase::Counting)] {
        let stands = next(&ready.rollout, Fact::Stands { until: 50, opens }, 0);
        assert_eq!((stands.rollout, stands.actions), (waiting(phase, 0, 0), vec![Action::Attend, Action::Wait]));
    }
    // Time brings on the one, and ends the other; before its time it does neither.
    let over = vec![Action::Record(Ending::Failed(Why::NotPromoted)), Action::Mend];
    for phase in WAITING {
        assert_eq!(next(&waiting(phase, 0, 0), Fact::Due, 49).rollout, waiting(phase, 0, 0), "{phase:?}");
        let due = next(&waiting(phase, 0, 0), Fact::Due, 50);
        let goes_on = matches!(phase, Phase::Counting | Phase::Trying);
        let wanted = if goes_on { vec![Action::ChangeOver] } else { over.clone() };
        assert_eq!((due.actions, due.rollout.under_way.is_some()), (wanted, goes_on), "{phase:?}");
        let promoted = then(&waiting(phase, 0, 0), Fact::Promoted);
        assert_eq!(promoted, (Some(Phase::ChangingOver), vec![Action::ChangeOver]), "{phase:?}");
    }
}

#[test]
fn steps_follow_each_other_by_time_or_by_a_person_and_can_be_passed_over() {
    let step = |rollout: &Rollout| rollout.under_way.map(|one| (one.phase, one.step));
    let first = next(&waiting(Phase::Offered, 0, 2), Fact::Promoted, 0);
    assert_eq!((step(&first.rollout), first.actions), (Some((Phase::Stepping, 1)), vec![Action::Step]));
    let stands = next(&first.rollout, Fact::Stands { until: 50, opens: true }, 0);
    assert_eq!(stands.rollout, waiting(Phase::Trying, 1, 2));
    // One without a time is over when somebody says so, and nobody does for ever.
    let by_hand = next(&first.rollout, Fact::Stands { until: 50, opens: false }, 0);
    assert_eq!(
        (&by_hand.rollout, by_hand.actions),
        (&waiting(Phase::Offered, 1, 2), vec![Action::Attend, Action::Wait])
    );
    let over = vec![Action::Record(Ending::Failed(Why::NotPromoted)), Action::Mend];
    assert_eq!(next(&by_hand.rollout, Fact::Due, 50).actions, over);
    let second = next(&stands.rollout, Fact::Due, 50);
    assert_eq!((step(&second.rollout), second.actions), (Some((Phase::Stepping, 2)), vec![Action::Step]));
    let last = next(&waiting(Phase::Trying, 2, 2), Fact::Due, 50);
    assert_eq!((step(&last.rollout), last.actions), (Some((Phase::ChangingOver, 2)), vec![Action::ChangeOver]));
    for phase in WAITING {
        let promoted = next(&waiting(phase, 1, 2), Fact::Promoted, 0);
        assert_eq!(
            (step(&promoted.rollout), promoted.actions),
            (Some((Phase::Stepping, 2)), vec![Action::Step]),
            "{phase:?}"
        );
        let last = then(&waiting(phase, 2, 2), Fact::Promoted);
        assert_eq!(last, (Some(Phase::ChangingOver), vec![Action::ChangeOver]), "{phase:?}");
        for at in [0, 1] {
            let fully = then(&waiting(phase, at, 2), Fact::PromotedFully);
            assert_eq!(fully, (Some(Phase::ChangingOver), vec![Action::ChangeOver]), "{phase:?}");
        }
    }
    assert_eq!(then(&at(Phase::Warming), Fact::PromotedFully), (Some(Phase::Warming), vec![]));
    // Without a promotion the first step comes at once.
    assert_eq!(
        step(&next(&at(Phase::Warming), Fact::Ready { first: 1, steps: 2 }, 0).rollout),
        Some((Phase::Stepping, 1))
    );
}

#[test]
fn one_that_is_paused_stays_until_somebody_says_so_and_begins_its_step_anew() {
    for phase in [Phase::Offered, Phase::Counting, Phase::Trying] {
        let paused = next(&waiting(phase, 1, 2), Fact::Paused { until: 50 }, 0);
        assert_eq!(paused.rollout, waiting(Phase::Paused, 1, 2), "{phase:?}");
        assert_eq!(paused.actions, [Action::Attend, Action::Wait]);
        assert_eq!(then(&paused.rollout, Fact::Resumed), (Some(Phase::Stepping), vec![Action::Step]));
        assert_eq!(then(&paused.rollout, Fact::Paused { until: 70 }), (Some(Phase::Paused), vec![]));
        assert_eq!(then(&waiting(phase, 1, 2), Fact::Resumed), (Some(phase), vec![]), "{phase:?}");
    }
}

#[test]
fn a_next_colour_that_waits_ends_by_whatever_speaks_against_it_and_outlives_the_daemon() {
    for phase in WAITING {
        let stands = waiting(phase, 1, 2);
        for (fact, how) in [
            (Fact::TurnedDown, Ending::Failed(Why::TurnedDown)),
            (Fact::Cancelled, Ending::Cancelled),
            (Fact::Newer, Ending::Superseded),
        ] {
            // Nobody works on it: what it leaves is mended.
            assert_eq!(then(&stands, fact), (None, vec![Action::Record(how), Action::Mend]), "{phase:?}");
        }
        assert_eq!(next(&stands, Fact::Stopped, 0), Next { rollout: stands.clone(), actions: vec![] });
        let started = next(&stands, Fact::Started { attempt: 1 }, 0);
        assert_eq!((started.rollout, started.actions), (stands, vec![Action::Wait, Action::Mend, Action::Attend]));
    }
    assert_eq!(then(&at(Phase::Warming), Fact::TurnedDown), (Some(Phase::Warming), vec![]));
}
