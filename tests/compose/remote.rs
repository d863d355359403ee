//! Compose files from a git repository, fetched from a real `git daemon` into the user's cache.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::git_support;
use git_support::{HttpGit, Server, World, git};

/// `turnout compose` in a folder, with a home of its own.
fn compose(world: &World, folder: &Path, args: &[&str]) -> Output {
    let home = world.path().join("home");
    fs::create_dir_all(&home).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnout"));
    command.arg("compose").args(args).current_dir(folder).env_clear().env("HOME", home);
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn repositories_are_fetched_into_the_cache_and_followed() {
    let world = World::new();
    world.commit("compose.yaml", "services: {r: {image: 'r:$V', build: .}}\n");
    world.commit(".env", "V=remote\n");
    fs::create_dir_all(world.dev().join("sub")).unwrap();
    world.commit("sub/other.yaml", "services: {q: {image: q, volumes: ['./d:/d']}}\n");
    world.push();
    let root = world.path().to_owned();
    let server = Server::start(|port| {
        let programs = git(&root, &["--exec-path"]);
        let mut daemon = Command::new(Path::new(&programs).join("git-daemon"));
        daemon.arg("--export-all").arg("--reuseaddr").arg("--listen=127.0.0.1");
        daemon.arg(format!("--port={port}")).arg(format!("--base-path={}", root.display())).arg(&root);
        daemon
    });
    let url = format!("git://127.0.0.1:{}/origin.git", server.port);
    let folder = world.path().join("local");
    fs::create_dir_all(&folder).unwrap();
    let files = format!(
        "include: ['{url}', '{url}#main:sub/other.yaml']\nservices: {{s: {{extends: {{file: '{url}#HEAD:sub/other.yaml', service: q}}}}}}\n"
    );
    fs::write(folder.join("compose.yaml"), files).unwrap();

    let shown = text(&compose(&world, &folder, &["config"]));
    assert!(shown.contains("image: r:remote"), "the repository's own .env counts: {shown}");
    let cache = world.path().join("home/.cache/turnout/compose");
    let source = |service: &str| {
        let block = shown.split(&format!("  {service}:\n")).nth(1).unwrap();
        block.lines().find_map(|line| line.trim().strip_prefix("source: ")).unwrap().to_owned()
    };
    // Included: relative to the file. Extended: relative to the repository. Both as Compose has it.
    assert!(source("q").starts_with(&*cache.to_string_lossy()) && source("q").ends_with("/sub/d"), "{shown}");
    assert!(source("s").ends_with("/d") && !source("s").ends_with("/sub/d"), "{shown}");

    world.commit("compose.yaml", "services: {r: {image: moved}}\n");
    world.push();
    assert!(text(&compose(&world, &folder, &["config"])).contains("image: moved"));

    let named = text(&compose(&world, &folder, &["-f", &url, "config"]));
    assert!(named.starts_with("name: local\n") && named.contains("image: moved"), "{named}");

    fs::write(world.path().join("beside.yaml"), "services: {own: {image: beside}}\n").unwrap();
    std::os::unix::fs::symlink(world.path(), world.dev().join("out")).unwrap();
    git(&world.dev(), &["add", "out"]);
    world.commit("other.txt", "\n");
    world.push();
    let refusals = [
        ("#nope", "has no branch, tag or commit \"nope\"; it has main"),
        ("#main:../x", "leads out of the repository"),
        ("#main:out/beside.yaml", "a symbolic link leads out of the repository"),
    ];
    for (reference, part) in refusals {
        let refused = compose(&world, &folder, &["-f", &format!("{url}{reference}"), "config"]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(part), "{reference}: {said}");
    }
    // An address may carry a token: the message has none of it, and nobody else may look into the cache.
    let with_token = compose(&world, &folder, &["-f", "https://me:hunter2hunter2@127.0.0.1:1/x.git#a:../x", "config"]);
    let said = String::from_utf8_lossy(&with_token.stderr);
    assert!(said.contains("leads out") && !said.contains("hunter2"), "{said}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o077, 0);
}

/// The real Compose, for comparison, with the same home; `None`, and said so, where it is not installed.
fn theirs(world: &World, folder: &Path, args: &[&str]) -> Option<Output> {
    let version = Command::new("docker").args(["compose", "version"]).output();
    if !version.is_ok_and(|output| output.status.success()) {
        eprintln!("not compared: the docker compose plugin is not installed");
        return None;
    }
    let mut command = Command::new("docker");
    command.arg("compose").args(args).current_dir(folder).env("HOME", world.path().join("home"));
    for name in ["XDG_CACHE_HOME", "COMPOSE_FILE", "COMPOSE_PROJECT_NAME"] {
        command.env_remove(name);
    }
    Some(command.output().unwrap())
}

/// A document without the folder of the cache, which each tool names in its own way.
fn without_cache(text: &str, world: &World, tool: &str) -> String {
    let cache = format!("{}/", world.path().join("home/.cache").join(tool).display());
    let mut parts = text.split(&cache);
    let first = parts.next().unwrap().to_owned();
    // What comes first in the cache is named after the address or the commit.
    parts.fold(first, |all, part| all + "CACHE" + part.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
}

#[test]
fn branches_tags_and_commits_are_had_over_http() {
    let world = World::new();
    let place = |text: &str| {
        world.commit("sub/deep/compose.yaml", &format!("services: {{s: {{image: '{text}', volumes: ['./d:/d']}}}}\n"));
        world.commit("compose.yaml", &format!("services: {{top: {{image: '{text}'}}}}\n"))
    };
    let first = place("first");
    git(&world.dev(), &["tag", "light"]);
    place("second");
    git(&world.dev(), &["tag", "-a", "-m", "words", "v1.0"]);
    git(&world.dev(), &["tag", "both"]);
    place("third");
    git(&world.dev(), &["branch", "both"]);
    git(&world.dev(), &["branch", "topic/one"]);
    let request = place("asked for");
    git(&world.dev(), &["push", "-q", "origin", "HEAD:refs/pull/7/head", "light", "v1.0", "refs/tags/both"]);
    git(&world.dev(), &["reset", "-q", "--hard", "topic/one"]);
    git(&world.dev(), &["push", "-q", "origin", "main", "topic/one", "refs/heads/both"]);
    let server = HttpGit::start(world.path(), None);
    let url = format!("http://127.0.0.1:{}/origin.git", server.port);
    let local = world.path().join("local");
    fs::create_dir_all(&local).unwrap();

    for (fragment, image) in [
        ("", "third"),
        ("#main", "third"),
        ("#topic/one", "third"),
        ("#refs/heads/main", "third"),
        ("#light", "first"),
        ("#v1.0", "second"),
        ("#refs/tags/v1.0", "second"),
        // Branch before tag.
        ("#both", "third"),
        ("#refs/tags/both", "second"),
        ("#refs/pull/7/head", "asked for"),
        ("#pull/7/head", "asked for"),
        (&format!("#{first}"), "first"),
        // In no branch, but a name of the server stands for it.
        (&format!("#{request}"), "asked for"),
        ("#light:sub/deep", "first"),
        (&format!("#{first}:sub/deep/compose.yaml"), "first"),
        ("#v1.0:sub/../sub/deep", "second"),
    ] {
        let args = ["-f", &format!("{url}{fragment}"), "config"];
        let shown = text(&compose(&world, &local, &args));
        assert!(shown.contains(&format!("image: {image}\n")), "{fragment}: {shown}");
        if let Some(theirs) = theirs(&world, &local, &args) {
            let wanted = without_cache(&text(&theirs), &world, "docker-compose");
            assert_eq!(without_cache(&shown, &world, "turnout/compose"), wanted, "{fragment}");
        }
    }

    // A tag that moves is followed, with what was taken away; what a container has written stays.
    let folders = || fs::read_dir(world.path().join("home/.cache/turnout/compose")).unwrap().flatten();
    folders().for_each(|folder| fs::write(folder.path().join("written"), "by a container").unwrap());
    let count = |name: &str| folders().filter(|folder| folder.path().join(name).exists()).count();
    let (all, before) = (folders().count(), count("app.txt"));
    git(&world.dev(), &["rm", "-q", "app.txt"]);
    world.commit("other.txt", "\n");
    git(&world.dev(), &["tag", "-f", "light"]);
    git(&world.dev(), &["push", "-q", "-f", "origin", "refs/tags/light"]);
    let moved = text(&compose(&world, &local, &["-f", &format!("{url}#light"), "config"]));
    assert!(moved.contains("image: third"), "{moved}");
    assert_eq!((count("written"), count("app.txt")), (all, before - 1));
    // A commit needs nobody once it is there.
    fs::rename(world.origin(), world.path().join("gone.git")).unwrap();
    let kept = text(&compose(&world, &local, &["-f", &format!("{url}#{first}"), "config"]));
    assert!(kept.contains("image: first"), "{kept}");
    fs::rename(world.path().join("gone.git"), world.origin()).unwrap();

    for (fragment, part) in [
        ("#v2.0".to_owned(), "has no branch, tag or commit \"v2.0\"; it has "),
        (format!("#{}", "0".repeat(40)), "has no branch, tag or commit \"0000"),
        // Short commits are no names, as for the real one.
        (format!("#{}", &first[..12]), "has no branch, tag or commit"),
        ("#light:none.yaml".to_owned(), "none.yaml"),
        ("#light:../../x".to_owned(), "leads out of the repository"),
    ] {
        let args = ["-f", &format!("{url}{fragment}"), "config"];
        let refused = compose(&world, &local, &args);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(part), "{fragment}: {said}");
        assert!(theirs(&world, &local, &args).is_none_or(|theirs| !theirs.status.success()), "{fragment}");
    }
}

/// Whether it was called off, and what was printed, fed with an answer; `None` where the real one is not installed.
fn asked(world: &World, folder: &Path, ours: bool, args: &[&str], answer: &str) -> Option<(bool, String)> {
    use std::{io::Write as _, process::Stdio};
    let mut command = Command::new(if ours { env!("CARGO_BIN_EXE_turnout") } else { "docker" });
    command.arg("compose").args(args).current_dir(folder).env("HOME", world.path().join("home"));
    for name in ["XDG_CACHE_HOME", "COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "UNSET_HERE"] {
        command.env_remove(name);
    }
    if !ours {
        theirs(world, folder, &["version"])?;
    }
    command
        .env("SET_HERE", "from here")
        .env("ALSO_HERE", "again")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // What came after the questions does not matter here: there is no such image.
    let cancelled = !output.status.success() && said.contains("operation cancelled by user");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    // Each has a cache of its own.
    let stored = lines.iter_mut().find(|line| line.contains("Your compose stack "));
    stored.into_iter().for_each(|line| *line = line.split(" is stored in ").next().unwrap());
    Some((cancelled, lines.join("\n")))
}

/// Nothing is created by these: the service has no container and no network.
#[test]
fn a_remote_project_is_asked_about_before_it_comes_up() {
    let world = World::new();
    let service = "services: {r: {image: turnout-has-no-such-image, pull_policy: never, scale: 0, network_mode: none, environment: ENVIRONMENT}}\n";
    let variables =
        "{A: '${UNSET_HERE-}', B: '${SET_HERE:-other}', C: '${DEFAULTED:-the default}', D: '${ALSO_HERE:?needed}'}";
    world.commit("compose.yaml", &service.replace("ENVIRONMENT", variables));
    world.commit("plain/compose.yaml", &service.replace("ENVIRONMENT", "{}"));
    world.push();
    let server = HttpGit::start(world.path(), None);
    let url = format!("http://127.0.0.1:{}/origin.git", server.port);
    world.commit(
        "including/compose.yaml",
        &format!("include: ['{url}#main:plain']\n{}", service.replace("ENVIRONMENT", "{}").replace("{r:", "{s:")),
    );
    world.push();
    let local = world.path().join("local");
    fs::create_dir_all(&local).unwrap();
    fs::write(local.join("compose.yaml"), service.replace("ENVIRONMENT", variables)).unwrap();
    let (plain, including) = (format!("{url}#main:plain"), format!("{url}#main:including"));
    let project = format!("turnout-remote-{}", std::process::id());
    for (file, more, answer, cancelled, part) in [
        (&*url, &[][..], "", true, "UNSET_HERE   <unset>       none           no "),
        (&url, &[], "n\n", true, "ALSO_HERE    again         environment    yes"),
        (&url, &[], "y\n", false, "DEFAULTED    the default   compose file   no         the default"),
        (&url, &["-y"], "", false, "Your compose stack"),
        (&url, &["--yes"], "", false, "Your compose stack"),
        (&plain, &[], "", false, "Your compose stack"),
        (&including, &[], "", true, "Do you want to continue? [y/N]: "),
        (&including, &[], "y\n", false, "Warning: This Compose project includes files from remote sources:"),
        (&including, &["-y"], "", false, "Your compose stack"),
        ("compose.yaml", &[], "", false, ""),
    ] {
        let mut args = vec!["-p", &project, "-f", file, "up", "-d"];
        args.extend(more);
        let ours = asked(&world, &local, true, &args, answer).unwrap();
        assert!(ours.0 == cancelled && ours.1.contains(part), "{args:?} {answer:?}: {ours:?}");
        if let Some(theirs) = asked(&world, &local, false, &args, answer) {
            assert_eq!(ours, theirs, "{args:?} {answer:?}");
        }
        let quiet: Vec<&str> = ["--progress", "quiet"].into_iter().chain(args.iter().copied()).collect();
        let ours = asked(&world, &local, true, &quiet, answer).unwrap();
        if let Some(theirs) = asked(&world, &local, false, &quiet, answer) {
            assert_eq!(ours, theirs, "{quiet:?} {answer:?}");
        }
    }
}

/// A shell's `<(...)`: read for the settings, for the name and for the content, and open once.
#[test]
fn files_may_be_pipes_of_the_shell() {
    let world = World::new();
    let line = r#""$0" compose -f <(echo 'services: {s: {image: "i:$V"}}') --env-file <(echo V=3) config"#;
    let mut shell = Command::new("bash");
    shell.args(["-c", line, env!("CARGO_BIN_EXE_turnout")]).current_dir(world.path()).env_clear();
    let shown = text(&shell.env("PATH", "/usr/bin:/bin").env("HOME", world.path()).output().unwrap());
    assert!(shown.contains("image: i:3"), "{shown}");
}
