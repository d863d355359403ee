//! A context of 2 GB, measured. Not part of a usual run: `cargo test --test image large:: -- --ignored --nocapture`.
//! Needs about 10 GB of disk where the engine keeps its data. One test, because it measures its own process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may panic, and say why it does not run"
)]

use std::{fs, time::Duration};

use crate::image_support;
use image_support::{Bench, engine, remove};
use turnout::engine::image::BuilderChoice;

const SIZE: u64 = 2 << 30;
/// What the whole process may grow by.
const ALLOWED: u64 = 48 << 20;

fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
#[ignore = "sends 2 GB to the engine twice"]
async fn checklist_41_two_gigabytes_are_sent_in_little_memory() {
    let engine = engine().await;
    for builder in [BuilderChoice::Classic, BuilderChoice::BuildKit] {
        // The whole context goes to the classic builder; BuildKit asks only for what is copied.
        let dockerfile = match builder {
            BuilderChoice::Classic => "FROM scratch\nCOPY sh /sh\n",
            _ => "FROM scratch AS all\nCOPY . /\nFROM scratch\nCOPY --from=all /sh /sh\n",
        };
        let mut bench = Bench::new("large", dockerfile);
        bench.builder = builder;
        bench.timeout = Duration::from_secs(900);
        fs::File::create(bench.dir.path().join("large")).unwrap().set_len(SIZE).unwrap();
        fs::File::create(bench.dir.path().join("ignored")).unwrap().set_len(SIZE).unwrap();
        bench.write(".dockerignore", "ignored\n");
        let before = peak();
        let begun = std::time::Instant::now();
        bench.run(&engine).await.unwrap_or_else(|error| panic!("{builder:?}: {error}"));
        let grown = peak().saturating_sub(before);
        println!("{builder:?}: {:.1} s, peak memory grew by {} KiB", begun.elapsed().as_secs_f64(), grown >> 10);
        assert!(grown < ALLOWED, "{builder:?}: {} MiB", grown >> 20);
        remove(&bench.image()).await;
    }
}
