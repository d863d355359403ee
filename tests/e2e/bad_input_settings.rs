//! Mistakes in settings and `repos.yaml`, told by the whole program: all at once, with place, hint and exit code.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use crate::{bad_input_support, common};
use bad_input_support::{Site, unsaid, web, web_with, write};
use common::{daemon::free_address, wait_until};

/// Runs a command of the program to its end, in a directory of its own and without settings from the environment.
fn turnout(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_turnout"))
        .args(arguments)
        .args(["--state-dir", "state", "--log-dir", "log", "--socket", "s"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(variables.iter().copied())
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A mistake that is not noticed would leave a daemon that runs for ever.
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until("the program to end", Duration::from_secs(30), || child.try_wait().unwrap().ok_or("still running"))
    }));
    if ended.is_err() {
        child.kill().ok();
    }
    let output = child.wait_with_output().unwrap();
    assert!(ended.is_ok(), "{arguments:?} did not end: {output:?}");
    output
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Arguments and variables; the exit code and what is said.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32, &'a [&'a str]);

#[test]
fn serve_refuses_what_it_cannot_serve() {
    let home = tempfile::tempdir().unwrap();
    let listen = free_address().to_string();
    write(&home.path().join("repos.yaml"), "{}\n");
    write(&home.path().join("empty"), "\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    let secret = ("WEBHOOK_SECRET", "hunter2hunter2");
    let cases: &[Case<'_>] = &[
        (&[], &[], 2, &["no webhook secret", "WEBHOOK_SECRET", "--insecure-no-secret"]),
        (&[], &[("WEBHOOK_SECRET", "   ")], 2, &["the secret is empty", "openssl rand"]),
        (&["--webhook-secret-file", "empty"], &[], 2, &["the secret is empty"]),
        (&["--webhook-secret-file", "gone"], &[], 2, &["gone", "No such file"]),
        (&["--repos", "gone.yaml"], &[secret], 2, &["gone.yaml", "cannot be read", "repos.yaml.example", "--repos"]),
        (&["--env-file", "gone.env"], &[secret], 2, &["gone.env", "cannot be read"]),
        (&["--log-level", "loud=loud=loud"], &[secret], 1, &["log level", "loud=loud=loud", "info"]),
        (&["--no-such-setting"], &[secret], 2, &["--no-such-setting", "--help"]),
        (&["--listen", &busy], &[secret], 1, &["cannot listen on", &busy, "--listen"]),
        (&["--listen", "8000", "--parallel", "0"], &[secret], 2, &["--listen: `8000`", "127.0.0.1:8000", "--parallel"]),
        (&[], &[secret, ("TURNOUT_SETTLE_TIME", "10")], 2, &["TURNOUT_SETTLE_TIME", "10s"]),
        (&[], &[secret, ("DOCKER_HOST", "npipe:////./pipe/x")], 2, &["DOCKER_HOST", "unix://"]),
    ];
    let mut faults = Vec::new();
    for (arguments, variables, code, said) in cases {
        let listen = if arguments.contains(&"--listen") { vec![] } else { vec!["--listen", &listen] };
        let output = turnout(home.path(), &[&["serve"][..], &listen, arguments].concat(), variables);
        let text = text(&output);
        let unsaid = unsaid(&text, said);
        if output.status.code() != Some(*code) || !unsaid.is_empty() {
            faults.push(format!("{arguments:?} {variables:?}: {unsaid:?}, {:?}: {text}", output.status.code()));
        }
        assert!(!text.contains("hunter2"), "a secret is shown: {text}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // A database that is none, and a directory that cannot be one.
    write(&home.path().join("state/turnout.db"), "this is no database, but long enough to be taken for one".repeat(20));
    let output = turnout(home.path(), &["serve", "--listen", &listen], &[secret]);
    assert!(output.status.code() == Some(1) && text(&output).contains("turnout.db"), "{output:?}");
    std::fs::remove_dir_all(home.path().join("state")).unwrap();
    write(&home.path().join("state"), "a file");
    let output = turnout(home.path(), &["serve", "--listen", &listen], &[secret]);
    assert!(output.status.code() == Some(1) && text(&output).contains("state directory"), "{output:?}");
}

#[test]
fn every_mistake_of_repos_yaml_is_told_at_once() {
    let home = tempfile::tempdir().unwrap();
    let site = Site::web();
    let tree = site.path().display().to_string();
    write(&home.path().join("a-file"), "");
    write(
        &home.path().join("repos.yaml"),
        format!(
            "shop: {tree}\nSHOP: {tree}\nother:\n  path: {tree}/.\n  brunch: main\ngone: /nowhere/at/all\nrelative: srv/x\n\
             file: {}\nslow: {{path: {tree}2, remote: {tree}, timeouts: {{fetch: 10}}}}\n",
            home.path().join("a-file").display()
        ),
    );
    let variables = [("WEBHOOK_SECRET", "hunter2hunter2")];
    let check = turnout(home.path(), &["check"], &variables);
    assert_eq!(check.status.code(), Some(2), "{check:?}");
    // `serve` starts all the same (tests/e2e/config.rs).
    let text = text(&check);
    for (line, said) in [
        (2, "SHOP"),
        (5, "did you mean `branch`?"),
        (6, "/nowhere/at/all"),
        (7, "not an absolute path"),
        (8, "not a directory"),
        (9, "duration"),
    ] {
        let place = format!("repos.yaml:{line}:");
        assert!(text.lines().any(|l| l.contains(&place) && l.contains(said)), "{place} {said}: {text}");
    }
}

#[test]
fn check_reports_each_repository() {
    let env_fault = Site::web();
    write(&env_fault.path().join(".env"), "A=1\nB='never closed\n");
    let unknown_key = Site::with_files(&[("compose.yaml", &web_with("x", "    imagee: y\n"))]);
    let no_file = Site::with_files(&[("README.md", "nothing to run\n")]);
    let variable = Site::with_files(&[("compose.yaml", &web_with("x", "    hostname: ${NEEDED:?say it}\n"))]);
    let good = Site::with_files(&[("compose.yaml", &web("x"))]);
    let no_git = Site::web();
    std::fs::remove_dir_all(no_git.path().join(".git")).unwrap();
    let sites = [&env_fault, &unknown_key, &no_file, &variable, &good, &no_git];
    let home = tempfile::tempdir().unwrap();
    let list: String = sites.iter().map(|site| site.short()).collect();
    write(&home.path().join("repos.yaml"), list);
    let output = turnout(home.path(), &["check", "--docker-host", "unix:///nowhere/docker.sock"], &[]);
    let text = text(&output);
    eprintln!("{text}");
    assert_eq!(output.status.code(), Some(1), "{text}");
    let problem = |words: &[&str]| {
        let found = text.lines().any(|l| l.starts_with("PROBLEM") && words.iter().all(|word| l.contains(word)));
        assert!(found, "no problem is told with {words:?}:\n{text}");
    };
    problem(&["secret", "WEBHOOK_SECRET"]);
    problem(&["unix:///nowhere/docker.sock", "Docker"]);
    problem(&[&env_fault.name, ".env", "line 2"]);
    problem(&[&unknown_key.name, "compose.yaml:7", "imagee"]);
    problem(&[&no_file.name, "no Compose file"]);
    problem(&[&variable.name, "NEEDED", "say it"]);
    problem(&[&no_git.name, "not a git work tree"]);
    assert!(text.lines().any(|l| l.starts_with("ok") && l.contains(&good.name) && l.contains("1 service")), "{text}");
    assert!(!text.lines().any(|l| l.starts_with("PROBLEM") && l.contains(&good.name)), "{text}");
    assert!(text.contains("7 problems"), "{text}");
}
