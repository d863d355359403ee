//! The real programs of Debian, switched back and forth under load. No request may fail while the colour before is stopped as the
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
mod upstream;

use turnout_fronts::{Front, Place, Wanted};
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

fn swaps() -> u64 {
    std::env::var("TURNOUT_SWAPS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Switches under load, each time stopping the colour before once it is drained. `drained` waits for that. Answers what became of
/// the load's requests.
async fn switch_under_load(
    front: &dyn Front,
    place: &str,
    at: std::net::SocketAddr,
    mut drained: impl AsyncFnMut(&str, &Upstream),
) -> load::Came {
    let mut live = ("red", Upstream::start("red").await);
    assert!(front.apply(&only(1, place, live.0, &live.1)).await.unwrap());
    let load = Load::start(at);
    load.runs().await;
    for generation in 2..2 + swaps() {
        let colour = if live.0 == "red" { "blue" } else { "red" };
        let next = (colour, Upstream::start(colour).await);
        let wanted = only(generation, place, next.0, &next.1);
        front.check(&wanted).await.unwrap();
        assert!(front.apply(&wanted).await.unwrap());
        assert!(!front.apply(&wanted).await.unwrap(), "the same again changes nothing");
        assert_eq!(load::ask(at).await, next.0, "who asks after the switch gets the new colour");
        let turnout_fronts::Stands::Leads(led) = front.stands().await.unwrap() else { panic!("it leads") };
        assert_eq!(led, wanted.led());
        let before = std::mem::replace(&mut live, next);
        drained(before.0, &before.1).await;
        before.1.stop().await;
        load.runs().await;
    }
    let came = load.stop().await;
    println!("{}: {} switches, {came}", front.name(), swaps());
    assert_eq!(came.failed, Vec::<String>::new());
    came
}
