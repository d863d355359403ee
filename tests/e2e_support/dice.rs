//! Choices of a test that can be repeated.

use std::time::{SystemTime, UNIX_EPOCH};

/// Choices that can be repeated (xorshift64).
pub struct Dice(u64);

impl Dice {
    /// By `TURNOUT_SEED`, where that is given; else it is printed.
    pub fn new() -> Dice {
        let given = std::env::var("TURNOUT_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed: u64 = given.unwrap_or_else(now) | 1;
        println!("TURNOUT_SEED={seed}");
        Dice(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// How many of something, by a variable.
pub fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// Those points of a list at which something dies in this run: each with the chance of a half, but one at least, or all with
/// `TURNOUT_POINTS=all`. Each takes half a minute of a busy machine, and another run has others.
pub fn some<T>(what: &str, points: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut points: Vec<T> = points.into_iter().collect();
    if std::env::var("TURNOUT_POINTS").is_ok_and(|which| which == "all") {
        return points;
    }
    let mut dice = Dice::new();
    let (all, kept) = (points.len(), dice.below(points.len() as u64) as usize);
    let mut number = 0;
    points.retain(|_| {
        number += 1;
        number - 1 == kept || dice.below(2) == 0
    });
    let left_out = all - points.len();
    if left_out > 0 {
        println!(
            "not run: {left_out} of the {all} points of {what}, others each time (TURNOUT_POINTS=all runs them all)"
        );
    }
    points
}
