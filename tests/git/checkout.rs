//! The check-out itself: what survives a kill, what is refused before anything is done, what is never written.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::git_support;
use git_support::{World, git, update};
use turnout::git::{Divergence, GitError, Remote};

const SITE: &str = "TURNOUT_TEST_SITE";
const URL: &str = "TURNOUT_TEST_URL";
const NOTE: &str = ".git/turnout-checkout";

/// Not a test of its own: the process that others kill, or run as somebody else.
#[tokio::test]
async fn child() {
    let (Ok(site), Ok(url)) = (std::env::var(SITE), std::env::var(URL)) else { return };
    let mut remote = Remote::new(site);
    remote.url = Some(url);
    match update(&remote).await {
        Ok(_) => println!("updated"),
        Err(error) => println!("refused: {error}"),
    }
}

fn in_a_child(world: &World) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "checkout::child", "--nocapture", "--test-threads=1"]);
    command.env(SITE, world.site()).env(URL, world.origin()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Feeds commits to the origin: `main` is the last one.
fn import(world: &World, stream: &str) {
    let mut import = Command::new("git")
        .current_dir(world.origin())
        .args(["fast-import", "--quiet", "--force"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
}

fn commit(out: &mut String, mark: usize, files: impl Iterator<Item = (String, Option<String>)>) {
    let _ = write!(out, "commit refs/heads/main\nmark :{mark}\ncommitter A <a@x> 1700000000 +0000\ndata 1\nm\n");
    if mark > 1 {
        let _ = writeln!(out, "from :{}", mark - 1);
    }
    for (name, text) in files {
        let _ = match text {
            Some(text) if text.starts_with("-> ") => {
                writeln!(out, "M 120000 inline {name}\ndata {}\n{}", text.len() - 3, &text[3..])
            }
            Some(text) => writeln!(out, "M 100644 inline {name}\ndata {}\n{text}", text.len()),
            None => writeln!(out, "D {name}"),
        };
    }
    out.push('\n');
}

/// Three states of many files: changed, removed, come, files that become folders and links, and back.
fn three_states(world: &World) -> [String; 3] {
    let mut out = String::new();
    for state in 0..3_usize {
        let files = (0..300).map(move |i| {
            let folder = format!("d{}/e{}", i % 7, i % 3);
            match i % 6 {
                0 => (format!("{folder}/f{i}"), Some(format!("{state} {i}\n"))),
                1 => (format!("{folder}/f{i}"), (state != 1).then(|| format!("same {i}\n"))),
                2 => (format!("{folder}/f{i}"), (state == 1).then(|| format!("new {i}\n"))),
                3 if state == 1 => (format!("{folder}/f{i}/in"), Some(format!("inner {i}\n"))),
                3 => (format!("{folder}/f{i}"), Some(format!("outer {i}\n"))),
                4 if state == 1 => (format!("{folder}/f{i}"), Some(format!("-> to{i}"))),
                4 => (format!("{folder}/f{i}"), Some(format!("file {state} {i}\n"))),
                _ => (format!("{folder}/f{i}"), Some(format!("always {i}\n"))),
            }
        });
        commit(&mut out, state + 1, files);
    }
    import(world, &out);
    [2, 1, 0].map(|back| git(&world.origin(), &["rev-parse", &format!("main~{back}")]))
}

fn at(world: &World, tip: &str) {
    git(&world.origin(), &["update-ref", "refs/heads/main", tip]);
}

fn assert_is(site: &Path, tip: &str) {
    assert_eq!(git(site, &["rev-parse", "HEAD"]), tip);
    // Each file is read anew, whatever the index believes.
    git(site, &["update-index", "-q", "--really-refresh"]);
    assert_eq!(git(site, &["status", "--porcelain", "--ignored"]), "");
    assert_eq!(git(site, &["write-tree"]), git(site, &["rev-parse", "HEAD^{tree}"]));
    for left in [NOTE, ".git/index.lock", ".git/turnout-index.lock", ".git/turnout-index.new"] {
        assert!(!site.join(left).exists(), "{left} is left");
    }
}

/// Kills a process some time after it has begun to change things. Says whether it was caught at that.
fn kill_in_the_middle(mut child: Child, site: &Path, after: Duration) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !site.join(NOTE).exists() && child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::hint::spin_loop();
    }
    let begun = Instant::now();
    while begun.elapsed() < after {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    site.join(NOTE).exists()
}

#[tokio::test]
async fn a_killed_check_out_is_gone_on_with() {
    let world = World::empty();
    let [first, second, third] = three_states(&world);
    at(&world, &first);
    let remote = Remote { on_divergence: Divergence::Refuse, ..world.remote() };
    update(&remote).await.unwrap();
    let site = world.site();
    // How long it takes undisturbed, from the note on.
    let reset = || {
        git(&site, &["reset", "-q", "--hard", &first]);
        git(&site, &["clean", "-qffdx"]);
        git(&site, &["update-ref", "refs/remotes/origin/main", &first]);
    };
    at(&world, &second);
    let mut whole = in_a_child(&world).spawn().unwrap();
    while !site.join(NOTE).exists() && whole.try_wait().unwrap().is_none() {}
    let begun = Instant::now();
    while site.join(NOTE).exists() {}
    let span = begun.elapsed();
    assert!(whole.wait().unwrap().success());
    assert_is(&site, &second);

    let (mut caught, rounds) = (0, 24_u32);
    for round in 0..rounds {
        reset();
        at(&world, &second);
        let child = in_a_child(&world).spawn().unwrap();
        caught += u32::from(kill_in_the_middle(child, &site, span * round / rounds));
        // A second one may be killed, too.
        if round % 4 == 3 {
            at(&world, &third);
            let child = in_a_child(&world).spawn().unwrap();
            caught += u32::from(kill_in_the_middle(child, &site, span * (rounds - round) / rounds));
        }
        let (tip, way) = match round % 3 {
            0 if round % 4 != 3 => (&second, Divergence::Refuse),
            0 => (&third, Divergence::Refuse),
            1 => (&third, Divergence::Refuse),
            // Taken back meanwhile, so that HEAD has nowhere to go.
            _ => (&first, Divergence::Reset),
        };
        at(&world, tip);
        update(&Remote { on_divergence: way, ..remote.clone() })
            .await
            .unwrap_or_else(|error| panic!("{round}: {error}"));
        assert_is(&site, tip);
    }
    assert!(caught > rounds / 4, "only {caught} of {rounds} were caught in the middle");
}

#[tokio::test]
async fn after_a_kill_changes_by_hand_are_still_seen() {
    let world = World::empty();
    let [first, second, _] = three_states(&world);
    at(&world, &first);
    update(&world.remote()).await.unwrap();
    // As a kill leaves it: the note, some of the files, some half written beside, the lock.
    let site = world.site();
    fs::write(site.join(NOTE), format!("note\n{first}\n{second}\n")).unwrap();
    git(&site, &["fetch", "-q", "origin"]);
    at(&world, &second);
    fs::write(site.join("d0/e0/f0"), "1 0\n").unwrap();
    fs::write(site.join("d0/e0/.turnout-new.7"), "half").unwrap();
    fs::write(site.join("d6/e0/f6"), "by hand\n").unwrap();
    let error = update(&world.remote()).await.unwrap_err();
    let GitError::LocalChanges { files, .. } = &error else { panic!("{error}") };
    assert_eq!(files, &["d6/e0/f6"]);
    assert_eq!(world.site_file("d6/e0/f6"), "by hand\n");
    git(&site, &["checkout", "-q", "--", "d6/e0/f6"]);
    update(&world.remote()).await.unwrap();
    assert_is(&site, &second);
    assert!(!site.join("d0/e0/.turnout-new.7").exists());
}

#[tokio::test]
async fn a_lock_of_the_index_is_respected_unless_it_is_a_dead_one_of_ours() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    world.commit("app.txt", "two\n");
    world.push();
    let lock = world.site().join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let error = update(&world.remote()).await.unwrap_err();
    assert!(matches!(error, GitError::Busy { .. }) && error.to_string().contains("index.lock"), "{error}");
    assert!(lock.exists());
    assert_eq!(world.site_file("app.txt"), "one\n");
    fs::write(&lock, "turnout checks out a commit. If it does not run, its next update removes this file.\n").unwrap();
    update(&world.remote()).await.unwrap();
    assert_eq!(world.site_file("app.txt"), "two\n");
    assert!(!lock.exists());
}

#[tokio::test]
async fn nothing_is_written_behind_a_link() {
    let world = World::new();
    world.commit("d/x", "one\n");
    world.push();
    update(&world.remote()).await.unwrap();
    let (site, outside) = (world.site(), world.path().join("outside"));
    fs::rename(site.join("d"), &outside).unwrap();
    symlink(&outside, site.join("d")).unwrap();
    world.commit("d/x", "two\n");
    world.commit("d/y", "new\n");
    world.push();
    let error = update(&world.remote()).await.unwrap_err();
    assert!(matches!(error, GitError::LocalChanges { .. }), "{error}");
    update(&Remote { on_divergence: Divergence::Reset, ..world.remote() }).await.unwrap();
    assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), "one\n");
    assert!(!outside.join("y").exists());
    assert_eq!(world.site_file("d/x"), "two\n");
    assert!(!fs::symlink_metadata(site.join("d")).unwrap().is_symlink());
}

/// What it leads to would count as chosen by the server's user, were it to stay when git tracks it no more.
#[tokio::test]
async fn a_link_that_came_with_a_commit_goes_with_one_also_in_the_place_of_the_servers_own() {
    let world = World::new();
    let remote = Remote { own_files: vec![".env".into()], ..world.remote() };
    update(&remote).await.unwrap();
    symlink("/etc/hostname", world.dev().join(".env")).unwrap();
    git(&world.dev(), &["add", ".env"]);
    git(&world.dev(), &["commit", "-q", "-m", "link"]);
    world.push();
    update(&remote).await.unwrap();
    assert!(world.site().join(".env").is_symlink());
    git(&world.dev(), &["rm", "-q", ".env"]);
    git(&world.dev(), &["commit", "-q", "-m", "gone"]);
    world.push();
    update(&remote).await.unwrap();
    assert!(!world.site().join(".env").is_symlink());
}

/// A `.env` that a push brought is the server's own only once something lives on it.
#[tokio::test]
async fn what_a_commit_brought_in_the_place_of_the_servers_own_can_be_put_right_by_a_push() {
    let world = World::new();
    let remote = |deployed: Option<String>| Remote { own_files: vec![".env".into()], deployed, ..world.remote() };
    let take_out = || {
        git(&world.dev(), &["rm", "-q", "--cached", ".env"]);
        git(&world.dev(), &["commit", "-q", "-m", "gone"]);
        world.push();
    };
    let bring = |text: &str| {
        world.commit(".env", text);
        world.push();
    };
    let first = update(&remote(None)).await.unwrap().new;
    bring("COLOR=squat\n");
    update(&remote(Some(first.clone()))).await.unwrap();
    take_out();
    update(&remote(Some(first.clone()))).await.unwrap();
    assert!(!world.site().join(".env").exists(), "nothing was deployed with it");
    // With one that was deployed the server goes on, also where the last one was not.
    bring("COLOR=red\n");
    let deployed = update(&remote(Some(first))).await.unwrap().new;
    bring("COLOR=squat\n");
    update(&remote(Some(deployed.clone()))).await.unwrap();
    take_out();
    update(&remote(Some(deployed.clone()))).await.unwrap();
    assert_eq!(world.site_file(".env"), "COLOR=squat\n");
    // That is of a commit, so another one may replace it.
    bring("COLOR=blue\n");
    update(&remote(Some(deployed.clone()))).await.unwrap();
    assert_eq!(world.site_file(".env"), "COLOR=blue\n");
    take_out();
    fs::write(world.site().join(".env"), "COLOR=mine\n").unwrap();
    update(&remote(None)).await.unwrap();
    assert_eq!(world.site_file(".env"), "COLOR=mine\n", "written here");
    bring("COLOR=green\n");
    let refused = update(&remote(None)).await.unwrap_err();
    assert!(matches!(refused, GitError::ServerFile { .. }), "{refused}");
    assert_eq!(world.site_file(".env"), "COLOR=mine\n");
}

/// Whoever pushes may know or guess what the server's user wrote: what commits hold makes it no commit's.
#[tokio::test]
async fn a_file_of_the_servers_own_is_not_taken_by_guessing_its_content() {
    let world = World::new();
    let remote = || Remote { own_files: vec![".env".into()], ..world.remote() };
    let bring = |text: &str| {
        world.commit(".env", text);
        world.push();
    };
    let take_out = || {
        git(&world.dev(), &["rm", "-q", "--cached", ".env"]);
        git(&world.dev(), &["commit", "-q", "-m", "gone"]);
    };
    update(&remote()).await.unwrap();
    let file = world.site().join(".env");
    fs::write(&file, "COLOR=blue\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    // The very same comes from a commit, and is taken out again.
    bring("COLOR=blue\n");
    update(&remote()).await.unwrap();
    take_out();
    world.push();
    update(&remote()).await.unwrap();
    assert_eq!(world.site_file(".env"), "COLOR=blue\n");
    // The past holds it, and the next commit would bring another.
    bring("COLOR=green\n");
    let refused = update(&remote()).await.unwrap_err();
    assert!(matches!(refused, GitError::ServerFile { .. }), "{refused}");
    assert_eq!(world.site_file(".env"), "COLOR=blue\n");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    // What turnout wrote, and the server's user gave other rights, is the user's.
    fs::remove_file(&file).unwrap();
    update(&remote()).await.unwrap();
    assert_eq!(world.site_file(".env"), "COLOR=green\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    take_out();
    world.push();
    update(&remote()).await.unwrap();
    assert_eq!(world.site_file(".env"), "COLOR=green\n");
}

#[tokio::test]
async fn names_that_lead_into_the_repository_are_refused() {
    let world = World::new();
    let first = update(&world.remote()).await.unwrap();
    for name in [".git", ".GIT", "git~1", ".git ", ".git::$INDEX_ALLOCATION"] {
        let dev = world.dev();
        let blob = git(&dev, &["hash-object", "-w", "Dockerfile"]);
        let tree = piped(&dev, &["mktree"], &format!("100755 blob {blob}\tpost-checkout\n"));
        let top = piped(&dev, &["mktree"], &format!("100644 blob {blob}\tapp.txt\n040000 tree {tree}\t{name}\n"));
        let commit = git(&dev, &["commit-tree", "-p", "HEAD", "-m", "evil", &top]);
        git(&dev, &["push", "-q", "-f", "origin", &format!("{commit}:refs/heads/main")]);
        let error = update(&world.remote()).await.unwrap_err().to_string();
        assert!(error.contains(".git name may never be used"), "{name}: {error}");
        assert_eq!(git(&world.site(), &["rev-parse", "HEAD"]), first.new);
        assert_eq!(git(&world.site(), &["status", "--porcelain"]), "");
    }
}

fn piped(folder: &Path, args: &[&str], input: &str) -> String {
    let mut command = Command::new("git");
    let mut child =
        command.current_dir(folder).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_folder_that_keeps_files_stays_the_same_folder() {
    let world = World::new();
    world.commit("conf/old.conf", "one\n");
    world.push();
    update(&world.remote()).await.unwrap();
    let before = fs::metadata(world.site().join("conf")).unwrap().ino();
    git(&world.dev(), &["mv", "conf/old.conf", "conf/new.conf"]);
    world.commit("conf/new.conf", "two\n");
    world.push();
    update(&world.remote()).await.unwrap();
    assert_eq!(world.site_file("conf/new.conf"), "two\n");
    assert!(!world.site().join("conf/old.conf").exists());
    assert_eq!(fs::metadata(world.site().join("conf")).unwrap().ino(), before);
}

#[tokio::test]
async fn a_sparse_set_is_kept_wherever_it_is_configured() {
    for worktree in [true, false] {
        let world = World::new();
        world.commit("docs/page", "one\n");
        world.push();
        update(&world.remote()).await.unwrap();
        let site = world.site();
        git(&site, &["sparse-checkout", "set", "--no-cone", "/*", "!/docs/"]);
        assert!(!site.join("docs").exists());
        if !worktree {
            // As older gits wrote it.
            fs::remove_file(site.join(".git/config.worktree")).unwrap();
            git(&site, &["config", "--unset", "extensions.worktreeConfig"]);
            git(&site, &["config", "core.sparseCheckout", "true"]);
        }
        world.commit("docs/page", "two\n");
        world.commit("docs/other", "new\n");
        let tip = world.commit("app.txt", "two\n");
        world.push();
        update(&world.remote()).await.unwrap();
        assert!(!site.join("docs").exists(), "docs was written out");
        assert_eq!(world.site_file("app.txt"), "two\n");
        assert_is(&site, &tip);
        git(&site, &["sparse-checkout", "disable"]);
        assert_eq!(world.site_file("docs/page"), "two\n");
    }
}

#[tokio::test]
async fn forms_of_the_index_that_cannot_be_read_are_named() {
    let world = World::new();
    world.commit("docs/page", "one\n");
    world.push();
    update(&world.remote()).await.unwrap();
    let site = world.site();
    git(&site, &["sparse-checkout", "set", "--cone", "--sparse-index", "src"]);
    world.commit("app.txt", "two\n");
    world.push();
    let error = update(&world.remote()).await.unwrap_err().to_string();
    assert!(error.contains("sparse index") && error.contains("reapply --no-sparse-index"), "{error}");
    // The command it names, as it is named.
    let command = error.split("run ").nth(1).unwrap().split(", then").next().unwrap().to_owned();
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
    update(&world.remote()).await.unwrap();
    git(&site, &["update-index", "--split-index"]);
    world.commit("app.txt", "three\n");
    world.push();
    let error = update(&world.remote()).await.unwrap_err().to_string();
    assert!(error.contains("split index") && error.contains("--no-split-index"), "{error}");
    let command = error.split("run ").nth(1).unwrap().split(", then").next().unwrap().to_owned();
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
    update(&world.remote()).await.unwrap();
    assert_eq!(world.site_file("app.txt"), "three\n");
}

#[tokio::test]
async fn settings_about_modes_and_links_are_followed() {
    let world = World::new();
    update(&world.remote()).await.unwrap();
    let site = world.site();
    git(&site, &["config", "core.fileMode", "false"]);
    git(&site, &["config", "core.symlinks", "false"]);
    git(&site, &["config", "core.sharedRepository", "0660"]);
    git(&site, &["update-index", "--index-version", "4"]);
    fs::set_permissions(site.join("app.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("app.txt", world.dev().join("link")).unwrap();
    git(&world.dev(), &["add", "link"]);
    let tip = world.commit("app.txt", "two\n");
    world.push();
    update(&world.remote()).await.unwrap();
    assert_eq!(world.site_file("link"), "app.txt");
    assert!(!fs::symlink_metadata(site.join("link")).unwrap().is_symlink());
    assert_eq!(fs::metadata(site.join(".git/index")).unwrap().permissions().mode() & 0o777, 0o660);
    let index = fs::read(site.join(".git/index")).unwrap();
    assert_eq!(index[4..8], [0, 0, 0, 4], "the index is in another version than before");
    assert_is(&site, &tip);
}

/// Without rights of root: what git can do with them, and what neither can.
#[tokio::test]
async fn files_of_others_are_replaced_where_their_folder_allows_it() {
    const SOMEBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        println!("not run: needs root, to make files of another user");
        return;
    }
    let world = World::new();
    world.commit("open/x", "one\n");
    world.commit("closed/x", "one\n");
    world.push();
    update(&world.remote()).await.unwrap();
    let give = |path: &Path| {
        let status = Command::new("chown").args(["-R", &format!("{SOMEBODY}:{SOMEBODY}")]).arg(path).status().unwrap();
        assert!(status.success());
    };
    give(&world.site());
    give(&world.origin());
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let site = world.site();
    for own in ["open/x", "closed", "closed/x"] {
        std::os::unix::fs::chown(site.join(own), Some(0), Some(0)).unwrap();
    }
    fs::set_permissions(site.join("open/x"), fs::Permissions::from_mode(0o444)).unwrap();
    let publish = || {
        std::os::unix::fs::chown(world.origin(), Some(0), Some(0)).unwrap();
        world.push();
        give(&world.origin());
    };
    world.commit("open/x", "two\n");
    publish();
    let run = || {
        let out = in_a_child(&world).uid(SOMEBODY).gid(SOMEBODY).env("HOME", world.path()).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let said = run();
    assert!(said.contains("updated"), "{said}");
    assert_eq!(world.site_file("open/x"), "two\n");

    world.commit("app.txt", "two\n");
    world.commit("closed/x", "two\n");
    publish();
    let said = run();
    let folder = format!("cannot read or change {}:", site.join("closed").display());
    assert!(said.contains(&folder) && said.contains("it belongs to user 0, and turnout runs as user 65534"), "{said}");
    assert_eq!(world.site_file("app.txt"), "one\n", "something was done before the refusal");
    assert!(!site.join(NOTE).exists());
    // What cannot be looked at cannot be known to be unchanged.
    std::os::unix::fs::chown(site.join("closed"), Some(SOMEBODY), None).unwrap();
    fs::set_permissions(site.join("closed/x"), fs::Permissions::from_mode(0o600)).unwrap();
    let said = run();
    let file = format!("cannot read or change {}:", site.join("closed/x").display());
    assert!(said.contains(&file), "{said}");
    give(&site);
    let said = run();
    assert!(said.contains("updated"), "{said}");
    assert_eq!(world.site_file("closed/x"), "two\n");
}
