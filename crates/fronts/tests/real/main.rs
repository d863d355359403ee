//! The real programs, of Debian and Traefik's own, switched back and forth under load. No request may fail while the colour before is stopped as the
//! deployer stops it: when nothing is open to it any more, or the time for that is over.
//!
//! `TURNOUT_SWAPS=50` has them switched oftener, for figures; they are printed with `--nocapture`.
#![allow(
    clippy::disallowed_methods,
    reason = "tests go by the clock of the machine; sleeps are looked for in architecture.rs"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test code: a failure is the report"
)]

mod caddy;
mod haproxy;
mod load;
mod nginx;
mod program;
mod traefik;
mod upstream;

use turnout_fronts::{Front, Place, Stands, Wanted};
use turnout_traffic::{Colour, bounds::WEIGHTS};

use crate::{load::Load, upstream::Upstream};

/// What is wanted, with one colour alone.
fn only(generation: u64, place: &str, colour: &str, upstream: &Upstream) -> Wanted {
    shared(generation, place, &[(colour, WEIGHTS, upstream)])
}

/// The same with several.
fn shared(generation: u64, place: &str, colours: &[(&str, u64, &Upstream)]) -> Wanted {
    let colour = |(name, weight, upstream): &(&str, u64, &Upstream)| Colour {
        name: (*name).to_owned(),
        generation,
        weight: *weight,
        targets: vec![upstream.address],
    };
    let place = Place { name: place.to_owned(), colours: colours.iter().map(colour).collect() };
    Wanted { generation, revision: 0, places: vec![place] }
}

/// How often it is switched. `usual`: where nobody says it.
fn swaps(usual: u64) -> u64 {
    std::env::var("TURNOUT_SWAPS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Switches under load, each time stopping the colour before once it is drained. `drained` waits for that. Answers what became of
/// the load's requests.
async fn switch_under_load(
    front: &dyn Front,
    place: &str,
    at: std::net::SocketAddr,
    swaps: u64,
    mut drained: impl AsyncFnMut(&str, &Upstream),
) -> load::Came {
    let mut live = ("red", Upstream::start("red").await);
    assert!(front.apply(&only(1, place, live.0, &live.1)).await.unwrap());
    let load = Load::start(at);
    load.runs().await;
    for generation in 2..2 + swaps {
        let colour = if live.0 == "red" { "blue" } else { "red" };
        let next = (colour, Upstream::start(colour).await);
        let wanted = only(generation, place, next.0, &next.1);
        front.check(&wanted).await.unwrap();
        assert!(front.apply(&wanted).await.unwrap());
        assert!(!front.apply(&wanted).await.unwrap(), "the same again changes nothing");
        assert_eq!(load::ask(at).await, next.0, "who asks after the switch gets the new colour");
        assert_eq!(front.stands().await.unwrap(), Stands::Leads(wanted.led()));
        let before = std::mem::replace(&mut live, next);
        drained(before.0, &before.1).await;
        before.1.stop().await;
        load.runs().await;
    }
    let came = load.stop().await;
    println!("{}: {swaps} switches, {came}", front.name());
    assert_eq!(came.failed, Vec::<String>::new());
    came
}

/// Requests by which a share is measured, and how far in hundredths it may lie from what was said. Chance alone is within 2 of 20
/// nineteen times of twenty.
const MEASURED: u64 = 2_000;
const TOLERANCE: u64 = 5;

/// Two colours share the requests under load, in two steps; that is taken back, and the next time the share becomes all of them. Each
/// colour that has no share any more is stopped once it is drained. Answers what became of the load's requests.
async fn share_under_load(
    front: &dyn Front,
    place: &str,
    at: std::net::SocketAddr,
    mut drained: impl AsyncFnMut(&str, &Upstream),
) -> load::Came {
    let (red, blue) = (Upstream::start("red").await, Upstream::start("blue").await);
    front.apply(&only(1, place, "red", &red)).await.unwrap();
    front.could_share().await.unwrap();
    let load = Load::start(at);
    load.runs().await;
    for (revision, percent) in [(0, 20), (1, 50)] {
        let wanted = step(2, revision, place, (&red, 1), (&blue, percent));
        front.check(&wanted).await.unwrap();
        assert!(front.apply(&wanted).await.unwrap());
        assert!(!front.apply(&wanted).await.unwrap(), "the same again changes nothing");
        assert_eq!(front.stands().await.unwrap(), Stands::Leads(wanted.led()), "what it has is read back");
        load.runs().await;
        let answered = load::count(at, MEASURED).await;
        let found = answered.get("blue").copied().unwrap_or_default() * 100 / MEASURED;
        println!("{}: {found} % of {MEASURED}, where {percent} % were said", front.name());
        assert!(found.abs_diff(percent) <= TOLERANCE, "{found} %, not about {percent} %: {answered:?}");
    }
    // Given up.
    let back = Wanted { revision: 2, ..step(2, 2, place, (&red, 1), (&blue, 0)) };
    assert!(front.apply(&back).await.unwrap());
    assert_eq!(front.stands().await.unwrap(), Stands::Leads(back.led()));
    drained("blue", &blue).await;
    blue.stop().await;
    load.runs().await;
    assert_eq!(load::count(at, 50).await.keys().collect::<Vec<_>>(), ["red"]);
    // The next one is promoted.
    let blue = Upstream::start("blue").await;
    assert!(front.apply(&step(3, 0, place, (&red, 1), (&blue, 20))).await.unwrap());
    load.runs().await;
    let all = Wanted { revision: 1, ..only(3, place, "blue", &blue) };
    assert!(front.apply(&all).await.unwrap());
    assert_eq!(front.stands().await.unwrap(), Stands::Leads(all.led()));
    drained("red", &red).await;
    red.stop().await;
    load.runs().await;
    let came = load.stop().await;
    println!("{}: shares, {came}", front.name());
    assert_eq!(came.failed, Vec::<String>::new());
    came
}

/// The live colour, and a next one that has so many of a hundred requests.
fn step(generation: u64, revision: u64, place: &str, live: (&Upstream, u64), next: (&Upstream, u64)) -> Wanted {
    let mut wanted = shared(generation, place, &[("red", WEIGHTS - next.1, live.0), ("blue", next.1, next.0)]);
    wanted.places[0].colours[0].generation = live.1;
    Wanted { revision, ..wanted }
}
