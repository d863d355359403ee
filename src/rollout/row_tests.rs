//! Rows of the table one by one: what the exploration of all roads does not ask, since each of its roads ends well either way.

use super::{Action, Ending, Fact, LOSSES, Next, PLANS, Phase, Rollout, UnderWay, Watch, Why, next};

fn under_way(phase: Phase) -> UnderWay {
    UnderWay { phase, ..UnderWay::first() }
}

fn at(phase: Phase) -> Rollout {
    Rollout { generation: 4, under_way: Some(under_way(phase)), watch: None, bake: None }
}

#[test]
fn each_stale_plan_counts_until_it_is_one_too_many() {
    let mut rollout = at(Phase::Applying);
    for plans in 2..=PLANS {
        let Next { rollout: again, actions } = next(&rollout, Fact::Stale, 0);
        assert_eq!(again.under_way, Some(UnderWay { plans, ..under_way(Phase::Planning) }));
        assert_eq!(actions, [Action::Plan]);
        rollout = next(&again, Fact::Planned, 0).rollout;
        assert_eq!(rollout.under_way.map(|under_way| under_way.plans), Some(plans), "kept on the way");
    }
    assert_eq!(next(&rollout, Fact::Stale, 0).actions, [Action::Record(Ending::Failed(Why::Unsteady)), Action::Mend]);
}

#[test]
fn each_loss_of_the_engine_counts_and_plans_count_anew_after_it() {
    let mut rollout = at(Phase::Settling);
    rollout.under_way = Some(UnderWay { plans: PLANS, ..under_way(Phase::Settling) });
    for losses in 1..=LOSSES {
        let Next { rollout: away, actions } = next(&rollout, Fact::EngineGone { patience: 50 }, 1_000);
        let waits = UnderWay {
            losses,
            due_at: Some(1_050),
            plans: away.under_way.map_or(0, |one| one.plans),
            ..under_way(Phase::EngineAway)
        };
        assert_eq!((away.under_way, actions), (Some(waits), vec![Action::Wait]));
        let Next { rollout: back, actions } = next(&away, Fact::EngineBack, 1_020);
        assert_eq!(back.under_way, Some(UnderWay { losses, ..under_way(Phase::Planning) }), "the first plan since");
        assert_eq!(actions, [Action::Plan]);
        rollout = back;
    }
    let gone = next(&rollout, Fact::EngineGone { patience: 50 }, 2_000);
    assert_eq!(gone.actions, [Action::Record(Ending::Failed(Why::LostTooOften)), Action::Mend]);
}

#[test]
fn a_wait_ends_at_its_time_and_not_before() {
    let mut away = at(Phase::EngineAway);
    away.under_way = Some(UnderWay { due_at: Some(1_000), ..under_way(Phase::EngineAway) });
    let early = next(&away, Fact::Due, 999);
    assert_eq!(early, Next { rollout: away.clone(), actions: Vec::new() });
    assert_eq!(next(&away, Fact::Due, 1_000).actions, [Action::Record(Ending::Failed(Why::NotBack)), Action::Mend]);
}

#[test]
fn what_waits_is_left_as_it_is_by_an_end_and_a_start_of_the_daemon() {
    let watch = Watch { generation: 3, until: 9_000 };
    for (watch, taken_up) in
        [(None, vec![Action::Wait, Action::Mend]), (Some(watch), vec![Action::Wait, Action::Mend, Action::Watch])]
    {
        let away = Rollout { watch, ..at(Phase::EngineAway) };
        assert_eq!(next(&away, Fact::Stopped, 0), Next { rollout: away.clone(), actions: Vec::new() });
        // However often the daemon died: it does nothing that could end it.
        assert_eq!(next(&away, Fact::Started { attempt: 99 }, 0), Next { rollout: away.clone(), actions: taken_up });
    }
}

#[test]
fn what_is_worked_on_is_interrupted_by_an_end_of_the_daemon_and_queued_again() {
    for phase in [Phase::Fetching, Phase::Planning, Phase::Applying, Phase::Settling] {
        let Next { rollout, actions } = next(&at(phase), Fact::Stopped, 0);
        assert_eq!((rollout.under_way, rollout.generation), (None, 4), "{phase:?}");
        assert_eq!(actions, [Action::Record(Ending::Interrupted), Action::Again], "{phase:?}");
    }
}

#[test]
fn what_a_phase_does_not_take_leaves_it_as_it_is() {
    let waits = [Phase::EngineAway, Phase::BakeAwaited, Phase::Offered, Phase::Counting, Phase::Trying, Phase::Paused];
    for phase in Phase::ALL {
        let stays = |fact| next(&at(phase), fact, 0) == Next { rollout: at(phase), actions: Vec::new() };
        let (attends, idle) = (phase.attends(), waits.contains(&phase) || phase == Phase::Fetching);
        assert_eq!(stays(Fact::Promoted), !attends, "{phase:?}");
        assert_eq!(stays(Fact::Stale), idle, "{phase:?}");
        assert_eq!(stays(Fact::EngineGone { patience: 50 }), idle, "{phase:?}");
        // Who works on something has the newer one wait for its turn.
        assert_eq!(stays(Fact::Newer), !waits.contains(&phase), "{phase:?}");
    }
}

#[test]
fn a_success_is_watched_as_long_as_is_said_and_no_former_watch_goes_on() {
    let earlier = Rollout { watch: Some(Watch { generation: 3, until: 50 }), ..at(Phase::Settling) };
    let watched = |until| next(&earlier, Fact::Settled { watch: until }, 0).rollout.watch;
    assert_eq!(watched(Some(90)), Some(Watch { generation: 4, until: 90 }));
    assert_eq!(watched(None), None);
}

#[test]
fn what_is_planned_anew_is_at_none_of_its_former_steps() {
    let mut rollout = at(Phase::Stepping);
    rollout.under_way = Some(UnderWay { step: 2, steps: 3, ..under_way(Phase::Stepping) });
    for fact in [Fact::Stale, Fact::EngineGone { patience: 50 }] {
        let then = next(&rollout, fact, 0).rollout.under_way.unwrap();
        assert_eq!((then.step, then.steps), (0, 0), "{fact:?}");
    }
}

#[test]
fn each_phase_has_one_word_and_is_found_by_it() {
    let words = [
        "fetch",
        "wait for the bake",
        "plan",
        "apply",
        "settle",
        "warm",
        "step",
        "wait for promotion",
        "wait before promotion",
        "canary",
        "paused",
        "change over",
        "switch",
        "wait for the engine",
    ];
    for (phase, word) in Phase::ALL.into_iter().zip(words) {
        assert_eq!((phase.name(), phase.to_string().as_str()), (word, word));
        assert_eq!(Phase::named(word), Some(phase));
    }
    assert_eq!(Phase::named("a word of a later turnout"), None);
}

#[test]
fn something_is_due_at_the_earlier_of_a_wait_and_a_watch() {
    let wait = |due_at| Some(UnderWay { due_at, ..under_way(Phase::EngineAway) });
    let watch = |until| Some(Watch { generation: 3, until });
    for (under_way, watch, due) in [
        (None, None, None),
        (wait(Some(5)), None, Some(5)),
        (None, watch(7), Some(7)),
        (wait(Some(5)), watch(7), Some(5)),
        (wait(Some(9)), watch(7), Some(7)),
        (wait(None), watch(7), Some(7)),
    ] {
        assert_eq!(Rollout { generation: 4, under_way, watch, bake: None }.due_at(), due);
    }
}

#[test]
fn one_that_an_earlier_turnout_began_is_under_way_from_its_beginning() {
    let idle = Rollout { generation: 4, under_way: None, watch: Some(Watch { generation: 3, until: 9 }), bake: None };
    let begun = Rollout { under_way: Some(under_way(Phase::Fetching)), ..idle.clone() };
    assert_eq!(idle.surely_under_way(), begun);
    assert_eq!(at(Phase::Settling).surely_under_way(), at(Phase::Settling));
}
