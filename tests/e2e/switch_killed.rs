//! Daemon and proxy are killed at random instants of blue/green deployments, under load. A daemon's death loses no request, at
//! whatever instant; a proxy's loses those that come until it is there again, and none afterwards; every push comes to an end,
//! one colour is live and whole, and two workers never run.
//!
//! Some ends in every run; `TURNOUT_KILLS=200 cargo test --test e2e switch_killed:: -- --nocapture` for the long one.
//! `TURNOUT_SEED` repeats a run's choices.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, wait_until};
use e2e_support::{
    dice::{Dice, number},
    load::Load,
    switched::Switched,
};

/// Clients that ask all the while.
const CLIENTS: usize = 4;
/// What a push takes when nothing disturbs it, with its bake, in milliseconds, roughly: instants are chosen within it.
const LONGEST: u64 = 5_000;
/// Good answers of a client after which none that it asked before is open: the first may be one of the proxy that was killed.
const THROUGH: u64 = 2;
/// The state of all is looked at after so many ends.
const ROUND: usize = 5;

/// Which processes are ended, by SIGKILL unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Daemon,
    DaemonInOrder,
    Proxy,
    Both,
}

fn good(load: &Load) -> u64 {
    load.came().good.values().sum()
}

/// Waits until requests come through again; answers after how long.
fn through(load: &Load, since: Instant, daemon: &Daemon) -> Duration {
    let first = good(load);
    wait_until("an answer", PATIENCE, || if good(load) > first { Ok(()) } else { Err(daemon.output()) });
    let took = since.elapsed();
    load.wait_for_each(THROUGH);
    took
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
fn whatever_is_killed_whenever_only_a_proxys_own_death_is_felt() {
    let kills = number("TURNOUT_KILLS", 8);
    let mut dice = Dice::new();
    let shop = Switched::new("v0");
    let (proxy, mut daemon) = shop.serve("{ bake: 1s }", &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("v0", 20);
    let (mut pushes, mut lost, mut ends, mut away) = (0, 0, BTreeMap::<End, usize>::new(), Vec::new());
    for kill in 1..=kills {
        if dice.below(4) > 0 {
            pushes += 1;
            shop.push(&daemon, &format!("v{pushes}"));
        }
        // The instant is what is tried here.
        thread::sleep(Duration::from_millis(dice.below(LONGEST)));
        let end = [End::Daemon, End::DaemonInOrder, End::Proxy, End::Both][dice.below(4) as usize];
        *ends.entry(end).or_default() += 1;
        assert!(shop.workers() <= 1, "before {end:?}: two workers");
        assert_eq!(load.came().bad.len(), lost, "before {end:?}: {:?}", &load.came().bad[lost..]);
        let since = Instant::now();
        match end {
            End::Daemon => daemon.kill(),
            End::DaemonInOrder => assert_eq!(daemon.terminate().code(), Some(0), "{}", daemon.output()),
            End::Proxy => proxy.kill(),
            End::Both => {
                daemon.kill();
                proxy.kill();
            }
        }
        if end != End::Proxy {
            daemon.restart();
        }
        if matches!(end, End::Proxy | End::Both) {
            away.push(through(&load, since, &daemon));
            lost = load.came().bad.len();
        }
        if kill % ROUND == 0 || kill == kills {
            pushes += 1;
            let version = format!("v{pushes}");
            daemon.expect_success(shop.push(&daemon, &version));
            load.wait_for(&version, 20);
            shop.expect_whole(&daemon, "after the ends");
            assert_eq!(load.came().bad.len(), lost, "{:?}", &load.came().bad[lost..]);
            println!(
                "after {kill} ends: {pushes} pushes, {ends:?}, {} answers, {lost} lost with the proxy",
                good(&load)
            );
        }
    }
    let came = load.end();
    assert_eq!(came.bad.len(), lost, "{:?}", &came.bad[lost..]);
    let states: Vec<String> =
        daemon.history().iter().filter_map(|one| one["state"].as_str().map(str::to_owned)).collect();
    let known = ["succeeded", "superseded", "interrupted"];
    assert!(states.iter().all(|state| known.contains(&state.as_str())), "{:#?}", daemon.history());
    away.sort();
    println!(
        "{} answers, the longest after {:?}; without a proxy for {:?} at most",
        came.good.values().sum::<u64>(),
        came.longest,
        away.last()
    );
}
