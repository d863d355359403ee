//! The packs that many fetches leave are joined, and nothing is lost by it.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::git_support;
use git_support::{Heard, World, git, update};
use tokio_util::sync::CancellationToken;

/// A world whose site follows, with the packs of these many fetches.
async fn fetched(times: usize, settings: &[(&str, &str)]) -> World {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    for (key, value) in settings {
        git(&world.site(), &["config", key, value]);
    }
    for number in 0..times {
        push(&world, number);
        update(&world.remote()).await.unwrap();
    }
    world
}

/// A push that changes a long file a little, so that its packs hold differences.
fn push(world: &World, number: usize) {
    let lines: Vec<String> =
        (0..400).map(|line| format!("line {line} {}", if line == number { "changed" } else { "" })).collect();
    world.commit("long.txt", &lines.join("\n"));
    world.commit(&format!("folder{}/file", number % 7), &format!("{number}\n"));
    world.push();
}

fn packs(site: &Path) -> Vec<String> {
    let entries = fs::read_dir(site.join(".git/objects/pack")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut packs: Vec<_> = names.filter(|name| name.ends_with(".pack")).collect();
    packs.sort();
    packs
}

fn objects(site: &Path) -> String {
    git(site, &["cat-file", "--batch-all-objects", "--batch-check"])
}

#[tokio::test]
async fn a_year_of_pushes_leaves_few_packs_and_loses_nothing() {
    let world = fetched(48, &[]).await;
    let site = world.site();
    let rewritten = git(&site, &["rev-parse", "HEAD"]);
    // A commit that nothing names any more: the log of no branch, as libgit2 keeps none of what was fetched.
    git(&world.dev(), &["reset", "-q", "--hard", "HEAD~1"]);
    world.commit("other.txt", "x\n");
    world.push();
    let reset = turnout::git::Remote { on_divergence: turnout::git::Divergence::Reset, ..world.remote() };
    update(&reset).await.unwrap();
    fs::remove_dir_all(site.join(".git/logs")).unwrap();
    let kept = packs(&site).pop().unwrap();
    fs::write(site.join(".git/objects/pack").join(kept.replace(".pack", ".keep")), "").unwrap();
    git(&site, &["multi-pack-index", "write"]);
    assert!(packs(&site).len() >= 50, "{}", packs(&site).len());
    let before = objects(&site);

    // Somebody reads all the while.
    let (stop, place) = (Arc::new(AtomicBool::new(false)), site.clone());
    let stopped = Arc::clone(&stop);
    let reader = std::thread::spawn(move || {
        let mut times = 0;
        while !stopped.load(Ordering::Relaxed) {
            git(&place, &["log", "--stat", "--format=%H"]);
            times += 1;
        }
        times
    });
    let heard = Heard::default();
    for number in 100..103 {
        push(&world, number);
        turnout::git::update(&reset, &heard, CancellationToken::new()).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reader.join().unwrap() > 0);

    assert!(heard.all().contains("packs into one"), "{}", heard.all());
    let after = packs(&site);
    assert!(after.len() <= 5 && after.contains(&kept), "{after:?}");
    let (known, after) = (objects(&site), before);
    let missing: Vec<_> = after.lines().filter(|line| !known.contains(*line)).collect();
    assert!(missing.is_empty(), "lost: {missing:?}");
    assert_eq!(git(&site, &["cat-file", "-t", &rewritten]), "commit");
    let said = git(&site, &["fsck", "--full", "--strict", "--no-dangling"]);
    assert_eq!(said, "");
    git(&site, &["gc", "-q"]);
    let litter = [".git/gc.pid", ".git/gc.pid.lock", ".git/objects/turnout-repack"];
    assert!(litter.iter().all(|name| !site.join(name).exists()));
}

#[tokio::test]
async fn settings_of_git_and_another_gc_are_honoured() {
    let world = fetched(5, &[("gc.auto", "0"), ("gc.autoPackLimit", "2")]).await;
    let site = world.site();
    assert_eq!(packs(&site).len(), 6);
    git(&site, &["config", "--unset", "gc.auto"]);

    // A process that lives holds it: this one.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let hold = site.join(".git/gc.pid");
    fs::write(&hold, format!("{} {}", std::process::id(), host.trim())).unwrap();
    update(&world.remote()).await.unwrap();
    assert_eq!(packs(&site).len(), 6);
    assert!(hold.exists());
    // A dead one's, and what it left.
    fs::write(&hold, format!("{} {}", i32::MAX, host.trim())).unwrap();
    fs::create_dir(site.join(".git/objects/turnout-repack")).unwrap();
    fs::write(site.join(".git/objects/turnout-repack/half"), "").unwrap();
    update(&world.remote()).await.unwrap();
    assert_eq!(packs(&site).len(), 1);
    assert_eq!(git(&site, &["fsck", "--full", "--strict", "--no-dangling"]), "");
}

#[tokio::test]
async fn a_damaged_pack_stays_with_all_others_and_does_not_stop_the_update() {
    let world = fetched(4, &[("gc.autoPackLimit", "50")]).await;
    let site = world.site();
    git(&site, &["config", "gc.autoPackLimit", "2"]);
    let folder = site.join(".git/objects/pack");
    let before = packs(&site);
    let largest = before.iter().max_by_key(|name| fs::metadata(folder.join(name)).unwrap().len()).unwrap();
    let file = folder.join(largest);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    let heard = Heard::default();
    turnout::git::update(&world.remote(), &heard, CancellationToken::new()).await.unwrap();
    assert_eq!(packs(&site), before);
    assert!(heard.all().contains("were not repacked") && heard.all().contains("gc does it by hand"), "{}", heard.all());
    assert!(!site.join(".git/objects/turnout-repack").exists());
}

#[tokio::test]
async fn loose_objects_are_packed_and_none_is_lost() {
    let world = fetched(1, &[("gc.auto", "200")]).await;
    let site = world.site();
    let folder = world.path().join("many");
    fs::create_dir(&folder).unwrap();
    let names: Vec<String> = (0..1200).map(|number| folder.join(number.to_string()).display().to_string()).collect();
    for name in &names {
        fs::write(name, name).unwrap();
    }
    let mut args = vec!["hash-object", "-w"];
    args.extend(names.iter().map(String::as_str));
    git(&site, &args);
    let before = objects(&site);
    update(&world.remote()).await.unwrap();
    assert_eq!(objects(&site), before);
    let count = git(&site, &["count-objects"]);
    assert!(count.starts_with("0 objects"), "{count}");
    assert_eq!(git(&site, &["fsck", "--full", "--strict", "--no-dangling"]), "");
}
