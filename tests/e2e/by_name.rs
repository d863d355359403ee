//! `turnout compose --repo NAME`: the project that turnout deploys, found by the repository's name.

use std::process::{Command, Output, Stdio};

use crate::{common, e2e_support};
use common::daemon::Daemon;
use e2e_support::{Site, all_of, deploy, idle, untouched};

/// `turnout compose` as somebody types it anywhere on the server.
fn compose(daemon: &Daemon, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnout"));
    command.arg("compose").args(arguments).current_dir(&elsewhere).stdin(Stdio::null());
    command.env("TURNOUT_REPOS", daemon.repos_yaml()).envs(variables.iter().copied());
    command.output().unwrap()
}

fn expect(output: &Output, code: i32, parts: &[&str]) -> String {
    let said = all_of(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
    said
}

#[test]
fn files_project_and_environment_are_those_that_turnout_deploys() {
    let file = |word: &str| {
        format!(
            "services:\n  web:\n{}    environment: {{ SAYS: \"${{WORD:-nothing}}\" }}\n    labels: {{ version: {word} }}\n",
            idle().replace("[sleep, \"1000\"]", "[sh, -c, 'echo it says $$SAYS; exec sleep 1000']")
        )
    };
    let site = Site::new(&[
        ("docker-compose.dev.yml", &file("dev")),
        ("docker-compose.prod.yml", &file("prod")),
        (".gitignore", ".env\n"),
    ]);
    site.env("DEBUG=true\nCOLOR=blue\nWORD=of-the-server\n");
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let before = untouched(&site.blue());
    let (name, blue) = (site.name.as_str(), site.blue());
    // What the shell of whoever types says does not count, as it does not for the deployer.
    let shell = [("WORD", "of-the-shell"), ("COMPOSE_FILE", "nowhere.yaml"), ("COMPOSE_PROJECT_NAME", "another")];
    let container = format!("{blue}-web-1");
    let said = expect(&compose(&daemon, &["--repo", name, "ps"], &shell), 0, &[&container]);
    assert!(said.contains("COMPOSE_FILE in the environment is not heeded"), "{said}");
    expect(&compose(&daemon, &["--repo", &name.to_uppercase(), "logs"], &[]), 0, &["it says of-the-server"]);
    let exec = ["--repo", name, "exec", "-T", "web", "sh", "-c", "echo $SAYS"];
    expect(&compose(&daemon, &exec, &shell), 0, &["of-the-server"]);
    let config = expect(&compose(&daemon, &["--repo", name, "config"], &shell), 0, &["version: dev", "of-the-server"]);
    assert!(!config.contains("of-the-shell"), "{config}");
    // It is the very same project: nothing is made anew, neither by the one nor by the other.
    expect(&compose(&daemon, &["--repo", name, "up", "-d"], &shell), 0, &[]);
    assert_eq!(untouched(&blue), before, "`up` made something anew");
    assert!(deploy(&daemon, &[name], 0).contains("nothing to do"));
    // What needs the name alone works although the files cannot be read.
    std::fs::write(site.path.join("docker-compose.dev.yml"), "services: [\n").unwrap();
    expect(&compose(&daemon, &["--repo", name, "ps"], &[]), 0, &[&container]);
    expect(&compose(&daemon, &["--repo", name, "config"], &[]), 1, &["docker-compose.dev.yml"]);
}

#[test]
fn other_ways_to_choose_a_project_and_unknown_names_are_refused_by_name() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    for (flag, value) in [
        ("-p", "x"),
        ("-f", "x.yaml"),
        ("--project-directory", "/tmp"),
        ("--env-file", "/tmp/x"),
        ("--workdir", "/tmp"),
    ] {
        let said = expect(&compose(&daemon, &["--repo", &site.name, flag, value, "ps"], &[]), 1, &["--repo"]);
        let long = match flag {
            "-p" => "--project-name",
            "-f" => "--file",
            long => long,
        };
        assert!(said.contains(long) && said.contains("cannot be used with"), "{said}");
    }
    expect(&compose(&daemon, &["--repo", "nowhere", "ps"], &[]), 1, &["no repository `nowhere`", &site.name]);
    std::fs::write(daemon.repos_yaml(), format!("{}other: 7\n", site.entry(&[]))).unwrap();
    expect(&compose(&daemon, &["--repo", &site.name, "ps"], &[]), 0, &[]);
    expect(&compose(&daemon, &["--repo", "other", "ps"], &[]), 1, &["repos.yaml:", "other"]);
    let help = all_of(&daemon.turnout(&["logs", "--help"]));
    assert!(help.contains("turnout compose --repo"), "{help}");
}
