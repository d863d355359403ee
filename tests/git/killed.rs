//! Updates that were killed at any instant: the next one goes on, and leaves what is somebody else's alone.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::git_support;
use git_support::{Heard, World, git, update};
use tokio_util::sync::CancellationToken;
use turnout::git::{self as product, GitError, Remote};

const SITE: &str = "TURNOUT_TEST_SITE";
const URL: &str = "TURNOUT_TEST_URL";
/// What the product leaves in `.git` while it works.
const NOTE: &str = "turnout-update";
const FILES: usize = 3000;

/// Not a test of its own: the process that is killed.
#[tokio::test]
async fn child() {
    let (Ok(site), Ok(url)) = (std::env::var(SITE), std::env::var(URL)) else { return };
    let mut remote = Remote::new(site);
    remote.url = Some(url);
    update(&remote).await.unwrap();
}

fn in_a_child(world: &World) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "killed::child", "--test-threads=1"]);
    command.env(SITE, world.site()).env(URL, world.origin()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A site at the first commit, of which `git` has a second one to fetch.
async fn behind() -> World {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    world.commit("app.txt", "two\n");
    world.push();
    world
}

async fn heard(world: &World) -> (Result<product::Updated, GitError>, String) {
    let heard = Heard::default();
    let updated = product::update(&world.remote(), &heard, CancellationToken::new()).await;
    (updated, heard.all())
}

/// Files below a folder whose names tell that they are locks or half done.
fn litter(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            found.extend(litter(&entry.path()));
        } else if name.ends_with(".lock")
            || name.contains("_git2_")
            || name.starts_with("turnout-")
            || name.starts_with(".turnout-")
        {
            found.push(entry.path());
        }
    }
    found
}

#[tokio::test]
async fn locks_and_half_packs_of_a_killed_update_go() {
    let world = behind().await;
    let dir = world.site().join(".git");
    // As a kill leaves it.
    fs::write(dir.join(NOTE), "note").unwrap();
    fs::create_dir_all(dir.join("modules/lib/refs/heads")).unwrap();
    fs::create_dir_all(dir.join("lfs/tmp")).unwrap();
    let left = [
        "HEAD.lock",
        "index.lock",
        "packed-refs.lock",
        "config.lock",
        "refs/heads/main.lock",
        "refs/remotes/origin/main.lock",
        "refs/turnout/fetched/main.lock",
        "modules/lib/refs/heads/main.lock",
        "objects/pack/pack_git2_56fd5f1a0c",
        "objects/tmp_object_git2_1234",
        "lfs/tmp/turnout-0123",
    ];
    for name in left {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), "").unwrap();
    }
    let (updated, told) = heard(&world).await;
    assert!(updated.is_ok(), "{updated:?}");
    assert_eq!(world.site_file("app.txt"), "two\n");
    assert_eq!(litter(&dir), Vec::<PathBuf>::new());
    assert!(told.contains("removed what a killed update of turnout had left") && told.contains("6 more"), "{told}");
    let (_, told) = heard(&world).await;
    assert!(!told.contains("removed"), "{told}");
}

#[tokio::test]
async fn a_lock_that_is_not_of_the_killed_update_stays() {
    let world = behind().await;
    let dir = world.site().join(".git");
    let lock = dir.join("refs/remotes/origin/main.lock");
    let refused = async |why: &str| {
        let (updated, told) = heard(&world).await;
        assert!(matches!(updated, Err(GitError::Busy { .. })), "{why}: {updated:?}");
        assert!(lock.exists() && !told.contains("removed"), "{why}: {told}");
        assert!(!dir.join(NOTE).exists(), "{why}: the note stays");
    };
    fs::write(&lock, "").unwrap();
    refused("no update was killed").await;
    // Later than the lock, as its time tells.
    while fs::metadata(&lock).unwrap().modified().unwrap() >= touched(&dir.join(NOTE)) {}
    refused("it is older than the update that was killed").await;
    fs::remove_file(&lock).unwrap();

    fs::write(dir.join(NOTE), "").unwrap();
    let held = fs::File::create(&lock).unwrap();
    refused("a process has it open").await;
    drop(held);
    fs::remove_file(&lock).unwrap();
    let (updated, _) = heard(&world).await;
    assert!(updated.is_ok(), "{updated:?}");
}

fn touched(file: &Path) -> std::time::SystemTime {
    let _ = fs::remove_file(file);
    fs::write(file, "").unwrap();
    fs::metadata(file).unwrap().modified().unwrap()
}

/// A `git commit` that waits for its editor has closed the lock and still needs it.
#[tokio::test]
async fn a_git_that_works_there_is_not_disturbed() {
    let world = behind().await;
    let (site, dir) = (world.site(), world.site().join(".git"));
    let gate = world.path().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    fs::write(site.join("Dockerfile"), "FROM scratch\n# by hand\n").unwrap();
    fs::write(dir.join(NOTE), "").unwrap();
    let mut commit = Command::new("git")
        .current_dir(&site)
        .args(["-c", "user.name=Ann", "-c", "user.email=a@x", "commit", "-q", "-a"])
        .env("GIT_EDITOR", format!("cat {} >", gate.display()))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // Opens only when the editor has begun.
    let mut pen = fs::OpenOptions::new().write(true).open(&gate).unwrap();
    let lock = dir.join("index.lock");
    assert!(lock.exists(), "git commit holds no lock of the index");
    let (updated, told) = heard(&world).await;
    assert!(matches!(updated, Err(GitError::Busy { .. })), "{updated:?}");
    assert!(lock.exists() && !told.contains("removed"), "{told}");
    pen.write_all(b"by hand\n").unwrap();
    drop(pen);
    assert!(commit.wait().unwrap().success());
    assert_eq!(git(&site, &["log", "-1", "--format=%s"]), "by hand");
}

/// Two states of many files, both as commits of the origin.
fn many(world: &World) -> [String; 2] {
    let mut out = String::new();
    for state in 1..=2 {
        let _ = write!(out, "commit refs/heads/main\nmark :{state}\ncommitter A <a@x> 1700000000 +0000\ndata 1\nm\n");
        for i in 0..FILES {
            let text = format!("{state} {i}\n{}", "text\n".repeat(i % 50));
            let _ = writeln!(out, "M 100644 inline d{}/f{i}\ndata {}\n{text}", i % 40, text.len());
        }
    }
    let mut import = Command::new("git")
        .current_dir(world.origin())
        .args(["fast-import", "--quiet", "--force"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(out.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
    ["main~1", "main"].map(|name| git(&world.origin(), &["rev-parse", name]))
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
async fn after_a_kill_at_any_instant_the_next_update_heals() {
    let world = World::empty();
    let tips = many(&world);
    let site = world.site();
    let to = |state: usize| {
        git(&world.origin(), &["update-ref", "refs/heads/main", &tips[state]]);
        // As if it were fetched for the first time.
        if site.exists() {
            git(&site, &["update-ref", "-d", "refs/turnout/fetched/main"]);
            git(&site, &["reflog", "expire", "--expire=all", "--all"]);
            git(&site, &["prune", "--expire=now"]);
            git(&site, &["repack", "-q", "-a", "-d"]);
        }
    };
    to(0);
    update(&world.remote()).await.unwrap();
    to(1);
    let begun = Instant::now();
    assert!(in_a_child(&world).status().unwrap().success());
    let span = begun.elapsed();

    let (rounds, mut caught) = (rounds(), 0);
    for round in 0..rounds {
        git(&site, &["reset", "-q", "--hard", &tips[0]]);
        git(&site, &["update-ref", "refs/remotes/origin/main", &tips[0]]);
        to(1);
        let begun = Instant::now();
        let mut child = in_a_child(&world).spawn().unwrap();
        let after = span * (2 * round + 1) / (2 * rounds);
        while begun.elapsed() < after {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        caught += u32::from(site.join(".git").join(NOTE).exists());
        let updated = update(&world.remote()).await;
        assert!(updated.is_ok(), "round {round}, killed after {after:?}: {updated:?}");
        assert_eq!(git(&site, &["rev-parse", "HEAD"]), tips[1]);
        git(&site, &["update-index", "-q", "--really-refresh"]);
        assert_eq!(git(&site, &["status", "--porcelain", "--ignored"]), "", "round {round}");
        assert_eq!(litter(&site), Vec::<PathBuf>::new(), "round {round}, killed after {after:?}");
    }
    git(&site, &["fsck", "--no-dangling"]);
    println!("{caught} of {rounds} were caught at work");
    assert!(caught > rounds / 4, "only {caught} of {rounds} were caught at work");
}

/// How many kills; more of them are a matter of patience.
fn rounds() -> u32 {
    std::env::var("TURNOUT_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(8)
}
