//! The command line and the logs, as a person and a script meet them.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{common, e2e_support};
use common::{daemon::Daemon, docker, unique};
use e2e_support::{QUICK, Site, all_of, built, deploy, log, sleeper};
use serde_json::Value;
use turnout::store::{Fate, NewLetter, Retention, Store};

#[test]
fn exit_codes_are_outcomes() {
    let site = Site::sleeping();
    let mut daemon = site.serve(&[]);
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(!said.contains('\u{1b}') && !said.contains('\r'), "not plain in a pipe: {said:?}");
    for line in ["== fetch", "== plan", "== apply", "== settle", " * done: started"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(said.lines().last().unwrap().contains("succeeded in"), "{said}");

    let unknown = deploy(&daemon, &["nowhere"], 1);
    assert!(unknown.contains("no repository `nowhere`") && unknown.contains(&site.name), "{unknown}");
    for arguments in [&["plan", "nowhere"][..], &["status", "nowhere"], &["logs", "nowhere"], &["cancel", "99"]] {
        let output = daemon.turnout(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", all_of(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }

    site.write("docker-compose.prod.yml", "services: { web: { imagee: x } }\n");
    site.remote.commit_and_push("Break");
    let broken = deploy(&daemon, &[&site.name], 1);
    assert!(broken.contains("docker-compose.prod.yml") && broken.contains("imagee"), "{broken}");
    assert_eq!(docker::containers(&site.red()).len(), 1);

    daemon.terminate();
    let gone = deploy(&daemon, &[&site.name], 4);
    assert!(gone.contains("does not answer") && gone.contains("hint"), "{gone}");
    for arguments in [&["status"][..], &["history"], &["logs"]] {
        assert_eq!(daemon.turnout(arguments).status.code(), Some(4), "{arguments:?}");
    }
}

#[test]
fn deliveries_are_listed_and_their_payloads_printed() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    let push = site.push();
    daemon.expect_success(daemon.deploy_by_push(&push));
    let list = daemon.turnout_json(&["deliveries", "--json"]);
    let newest = &list[0];
    assert_eq!((newest["effect"].as_str(), newest["payload"].as_bool()), (Some("deploy"), Some(true)), "{list}");
    let payload = daemon.turnout_json(&["deliveries", &newest["id"].to_string()]);
    assert_eq!(payload, push.body());
    let table = all_of(&daemon.turnout(&["deliveries"]));
    for word in ["EFFECT", "push", "deploy 1", "kept", &push.full_name] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let unknown = daemon.turnout(&["deliveries", "99"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(all_of(&unknown).contains("no payload of delivery 99 is kept"), "{}", all_of(&unknown));
    let schema = daemon.turnout_json(&["schema", "repos"]);
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

/// None is shipped yet that could fail, so the store has one from before: of a destination that is gone.
#[test]
fn letters_that_were_given_up_are_named_and_listed() {
    let site = Site::sleeping();
    let mut daemon = site.serve(&[]);
    let none = daemon.turnout(&["letters"]);
    assert!(none.status.success() && none.stdout.is_empty(), "{}", all_of(&none));
    assert!(all_of(&none).contains("no letter was given up"), "{}", all_of(&none));
    assert!(daemon.terminate().success());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&daemon.state_dir().join("turnout.db"), Retention::default()).unwrap();
        let letter = NewLetter { event: None, payload: "shop is deployed".to_owned() };
        store.post("chat", vec![letter], 0).await.unwrap();
        let letter = store.next_letter("chat").await.unwrap().unwrap();
        store.not_delivered(letter.id, "chat.example.org answered 410: gone", Fate::Dead).await.unwrap();
        store.close().await;
    });
    daemon.restart();
    let status = all_of(&daemon.turnout(&["status"]));
    assert!(status.contains("GIVEN UP (`turnout letters` lists what was)"), "{status}");
    let list = daemon.turnout_json(&["letters", "--json"]);
    assert_eq!((list[0]["destination"].as_str(), list.as_array().map(Vec::len)), (Some("chat"), Some(1)), "{list}");
    let table = all_of(&daemon.turnout(&["letters"]));
    for word in ["DESTINATION", "chat", "answered 410: gone"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    // Its destination is configured no more: it stays what it is.
    let id = list[0]["id"].to_string();
    let again = daemon.turnout(&["letters", "--again", &id]);
    assert_eq!(again.status.code(), Some(1), "{}", all_of(&again));
    assert!(all_of(&again).contains("its destination, chat, is not configured any more"), "{}", all_of(&again));
    assert_eq!(daemon.turnout_json(&["letters", "--json"]), list);
}

#[test]
fn status_and_history_tell_what_runs_and_what_was() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    let before: Value = daemon.turnout_json(&["status", "--json"]);
    assert_eq!(before["repos"][0]["last"], Value::Null);
    let said = deploy(&daemon, &[&site.name, "--detach"], 0);
    assert!(said.contains("deployment 1 is queued"), "{said}");
    daemon.expect_success(1);
    let status = daemon.turnout_json(&["status", "--json"]);
    let repo = &status["repos"][0];
    assert_eq!(status["engine"]["ok"], true);
    assert_eq!((&repo["name"], &repo["commit"]), (&site.name.clone().into(), &site.remote.head().into()));
    assert_eq!(repo["containers"][0]["service"], "web");
    assert_eq!(repo["last"]["state"], "succeeded");
    let shown = all_of(&daemon.turnout(&["status"]));
    for text in [site.red(), "Up".to_owned(), "deployment 1 succeeded".to_owned()] {
        assert!(shown.contains(&text), "{text}: {shown}");
    }
    let shown = all_of(&daemon.turnout(&["history", &site.name]));
    assert!(shown.contains("succeeded") && shown.contains(&site.remote.head()[..7]), "{shown}");
    assert!(shown.starts_with("ID  REQUESTED") && shown.lines().count() == 2, "{shown}");
    for column in [&site.name, &site.red()] {
        assert!(shown.lines().nth(1).unwrap().split_whitespace().any(|word| word == column), "{column}: {shown}");
    }
    let none = daemon.turnout(&["history", "elsewhere"]);
    assert!(none.stdout.is_empty() && all_of(&none).contains("no repository `elsewhere`"), "{none:?}");
}

#[test]
fn logs_are_of_all_of_one_and_as_they_come() {
    let (one, two) = (Site::sleeping(), Site::sleeping());
    let daemon = Daemon::start_with(&[one.entry(&[]), two.entry(&[])].concat(), QUICK, &[]);
    deploy(&daemon, &[&one.name], 0);
    let mut follower = daemon.command(&["logs", "-f", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains(&format!("{}#1", one.name)), "{first}");
    deploy(&daemon, &[&two.name], 0);
    let mut next = || lines.next().unwrap().unwrap();
    let begins = next();
    // Each with its time, as every other line: `2026-11-28 12:00:00 deployment 2 …`.
    assert!(
        begins.get(20..).is_some_and(|b| b.starts_with(&format!("deployment 2 of {} begins: ", two.name))),
        "{begins}"
    );
    let second = next();
    assert!(second.contains(&format!("{}#2 == fetch", two.name)), "{second}");
    // The verdict comes with the last line, not when it is no longer watched whether the stack stays up.
    let mut line = next();
    while line.contains("#2 ") {
        line = next();
    }
    assert!(line.get(20..).is_some_and(|line| line.starts_with("deployment 2 succeeded in ")), "{line}");
    daemon.says("deployment 2 begins: ");
    daemon.says("deployment 2 succeeded after ");
    follower.kill().unwrap();
    follower.wait().unwrap();

    let count = |arguments: &[&str]| all_of(&daemon.turnout(arguments)).lines().filter(|l| l.contains('#')).count();
    let (all, of_one) = (count(&["logs"]), count(&["logs", &one.name]));
    assert!(of_one > 5 && of_one < all, "{of_one} of {all}");
    assert_eq!(count(&["logs", "--deployment", "1"]), of_one);
    assert_eq!(count(&["logs", "-n", "3"]), 3);
    assert_eq!(count(&["logs", "--deployment", "1", "-n", "2"]), 2);
}

#[test]
fn check_says_all_that_is_wrong() {
    let site = Site::sleeping();
    let home = tempfile::tempdir().unwrap();
    let check = |yaml: &str, code: i32| {
        fs::write(home.path().join("repos.yaml"), yaml).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_turnout"));
        let output =
            command.args(["check", "--repos", "repos.yaml"]).current_dir(&home).env("WEBHOOK_SECRET", "x").output();
        let output = output.unwrap();
        let said = all_of(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    };
    let said = check(&site.entry(&[]), 0);
    for text in ["Docker engine", &site.red(), "docker-compose.prod.yml", "all is well"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    let said = check(&site.entry(&["brnch: main", "on_divergence: maybe"]), 2);
    for text in ["repos.yaml:4", "branch", "repos.yaml:5", "refuse"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    site.env("COLOR=blue\nthis is no line\n");
    let said = check(&site.entry(&[]), 1);
    assert!(said.contains("PROBLEM") && said.contains(".env"), "{said}");

    // Of keys, of a name that no push would find, of a setting that there is none of, and what is not asked.
    let top = home.path().display().to_string();
    fs::write(home.path().join("known"), "git.example.org ssh-ed25519 AAAA\n").unwrap();
    fs::write(home.path().join("key"), "-----BEGIN PRIVATE KEY-----\nMIIE\n").unwrap();
    fs::write(home.path().join("key.pub"), "ssh-ed25519 AAAA\n").unwrap();
    fs::write(home.path().join(".env"), "TURNOUT_PARALEL=2\n").unwrap();
    let entry = |name: &str, key: &str| {
        let remote = "git@git.example.org:acme/shop.git";
        format!(
            "{name}: {{ path: {top}/{name}, remote: '{remote}', ssh_key: {top}/{key}, known_hosts: {top}/known }}\n"
        )
    };
    let said = check(&[entry("shop", "key"), entry("store", "key.pub"), entry("gone", "none")].concat(), 2);
    for text in [
        "did you mean TURNOUT_PARALLEL?",
        "shop: but note: not asked: whether the remote lets turnout in",
        "store: but note: pushes of acme/shop are not deployed by it",
        "PROBLEM store: the SSH key",
        "is a public key",
        "PROBLEM gone: the SSH key",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(!said.contains("shop: but note: pushes") && !said.contains("store: but note: not asked"), "{said}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    for arguments in [&["logs"][..], &["logs", "-f"], &["history"], &["status"], &["plan", &site.name]] {
        let mut reader = daemon.command(arguments);
        let mut child = reader.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        if arguments == ["logs", "-f"] {
            // It notices at its next line.
            deploy(&daemon, &[&site.name], 0);
        }
        let status = child.wait().unwrap();
        let mut said = String::new();
        child.stderr.unwrap().read_to_string(&mut said).unwrap();
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("waiting for ")).collect();
        assert_eq!(said, [""; 0], "{arguments:?}");
        assert!(matches!(status.code(), Some(0 | 141)), "{arguments:?}: {status}");
    }
}

/// The lines of every log file, the stable link left aside.
fn log_lines(directory: &Path) -> Vec<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| !file.is_symlink());
    files.sort();
    files
        .iter()
        .flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn no_line_is_lost_under_load() {
    const LINES: usize = 15_000;
    // The classic builder passes everything on; BuildKit itself clips what comes too fast.
    let loud = format!(
        "FROM @BASE\nRUN i=0; while [ $i -lt {LINES} ]; do echo \"loaf $i.\"; i=$((i+1)); done # {}\n",
        unique("no-cache")
    );
    let compose = format!("services:\n  web:\n{}", built("."));
    let site = Site::new(&[("docker-compose.prod.yml", &compose), ("Dockerfile", &loud)]);
    let mut daemon = site.serve(&["builder: classic"]);
    let id = daemon.deploy_by_push(&site.push());
    daemon.expect_success(id);
    let shown = log(&daemon, id);
    assert!(shown.contains("loaf 0.") && shown.contains(&format!("loaf {}.", LINES - 1)));
    assert!(daemon.terminate().success());
    let loaf = |line: &String| line.split("loaf ").nth(1)?.split('.').next()?.parse::<usize>().ok();
    let seen: Vec<usize> = log_lines(&daemon.log_dir()).iter().filter_map(loaf).filter(|n| *n < LINES).collect();
    let distinct: BTreeSet<usize> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), LINES, "lines in the file: {}", seen.len());
    assert!(seen.is_sorted(), "out of order");
    let terminal = daemon.output().lines().filter_map(|line| loaf(&line.to_owned())).collect::<BTreeSet<_>>();
    assert!(terminal.is_superset(&distinct), "{} lines on the terminal", terminal.len());
}

#[test]
fn the_log_is_a_file_a_day_with_a_stable_name_in_text_or_json() {
    let site = Site::new(&[("docker-compose.prod.yml", &sleeper("v1"))]);
    for format in ["text", "json"] {
        let arguments = [QUICK, &["--log-format", format]].concat();
        let mut daemon = Daemon::start_with(&site.entry(&[]), &arguments, &[]);
        deploy(&daemon, &[&site.name], 0);
        assert!(daemon.terminate().success());
        let directory = daemon.log_dir();
        let link = directory.join("turnout.log");
        assert!(link.is_symlink());
        let through_link = fs::read_to_string(&link).unwrap();
        let lines = log_lines(&directory);
        assert_eq!(through_link.lines().collect::<Vec<_>>(), lines);
        assert!(lines.len() > 5, "{lines:?}");
        for line in &lines {
            let parsed = serde_json::from_str::<Value>(line);
            assert_eq!(parsed.is_ok_and(|value| value["level"].is_string()), format == "json", "{line}");
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
    }
}

#[test]
fn a_relative_log_directory_has_a_link_that_leads_somewhere() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("repos.yaml"), "{}\n").unwrap();
    let mut serve = std::process::Command::new(env!("CARGO_BIN_EXE_turnout"));
    let address = common::daemon::free_address().to_string();
    serve.args(["serve", "--state-dir", "state", "--log-dir", "here/log", "--socket", "s", "--listen", &address]);
    let serve = serve.current_dir(&home).env("WEBHOOK_SECRET", "x").stdout(Stdio::null()).spawn().unwrap();
    let _serve = Ended(serve);
    let read = || match fs::read_to_string(home.path().join("here/log/turnout.log")) {
        Ok(text) if !text.is_empty() => Ok(text),
        other => Err(other),
    };
    let text = common::wait_until("a line in the log", common::PATIENCE, read);
    assert!(text.contains("turnout begins"), "{text}");
}

/// Ends with the test, whichever way that goes.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
