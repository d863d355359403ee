//! Repositories that are renamed in, or taken out of, the list while their stacks run; and what `status` says of those,
//! of the other colour, and of an engine that does not answer.

use std::process::Command;

use crate::{common, e2e_support};
use common::{daemon::Daemon, docker};
use e2e_support::{QUICK, Site, all_of, deploy, idle, untouched};

/// One service that sleeps, with a volume.
fn with_volume() -> String {
    format!("services:\n  web:\n{}    volumes: [\"data:/data\"]\nvolumes: {{ data: {{}} }}\n", idle())
}

fn site() -> Site {
    Site::new(&[("compose.yaml", &with_volume())])
}

/// The same work tree under another name in the list.
fn renamed(site: &Site, name: &str, more: &str) -> String {
    format!("{name}:\n  path: {}\n  full_name: acme/{}\n{more}", site.path.display(), site.name)
}

fn check(daemon: &Daemon) -> String {
    let (list, state) = (daemon.repos_yaml(), daemon.state_dir());
    let check = ["check", "--repos", list.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    all_of(&daemon.command(&check).env("WEBHOOK_SECRET", "x").output().unwrap())
}

fn plan(daemon: &Daemon, name: &str) -> String {
    all_of(&daemon.turnout(&["plan", name]))
}

/// Runs a command that a hint names, with this build's program.
fn run(hint: &str) -> String {
    let words: Vec<&str> = hint.split(' ').skip(1).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_turnout")).args(&words).output().unwrap();
    assert!(output.status.success(), "{hint}: {}", all_of(&output));
    all_of(&output)
}

fn volume_is_there(project: &str) -> bool {
    docker::block_on(async { docker::connect().await.inspect_volume(&format!("{project}_data")).await.is_ok() })
}

#[test]
fn a_renamed_key_starts_no_second_stack_and_the_line_that_is_told_goes_on_with_the_first() {
    let site = site();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let before = untouched(&site.red());
    let new = format!("{}-new", site.name);
    let (former, second) = (site.red(), format!("red{new}"));
    let _guard = docker::ProjectGuard::new(second.clone());
    std::fs::write(daemon.repos_yaml(), renamed(&site, &new, "")).unwrap();

    let line = format!("`project: {}` among the keys of `{new}`", site.name);
    let answer = daemon.deploy_by_push(&site.push());
    let failed = daemon.expect_failure(answer);
    let error = failed["error"].as_str().unwrap();
    for part in [&former, &second, &format!("{former}_data"), &line, &format!("turnout deploy {new} --new-stack")] {
        assert!(error.contains(part), "{part}: {error}");
    }
    for said in [check(&daemon), plan(&daemon, &new)] {
        assert!(said.contains(&line), "{said}");
    }
    assert!(docker::containers(&second).is_empty() && !volume_is_there(&second));
    let said = all_of(&daemon.turnout(&["status"]));
    assert!(said.contains(&format!("NOT CONFIGURED  {former}  deployed for `{}`", site.name)), "{said}");
    assert!(said.contains(&line) && said.contains(&format!("{former}-web-1")), "{said}");

    std::fs::write(daemon.repos_yaml(), renamed(&site, &new, &format!("  project: {}\n", site.name))).unwrap();
    assert!(!check(&daemon).contains("second stack"));
    deploy(&daemon, &[&new], 0);
    assert_eq!(untouched(&former), before);
    let said = all_of(&daemon.turnout(&["status", &new]));
    assert!(!said.contains("NOT CONFIGURED") && said.contains(&format!("{former}-web-1")), "{said}");
}

#[test]
fn a_hold_outlives_the_name_of_its_repository() {
    let site = site();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let before = untouched(&site.red());
    deploy(&daemon, &[&site.name, "--hold"], 0);
    let new = format!("{}-new", site.name);
    std::fs::write(daemon.repos_yaml(), renamed(&site, &new, &format!("  project: {}\n", site.name))).unwrap();
    site.write("compose.yaml", &with_volume().replace("1000", "1001"));
    let failed = daemon.expect_failure(site.push_to(&daemon, "Longer"));
    assert!(failed["error"].as_str().unwrap().contains("is held at"), "{failed:#}");
    assert_eq!(untouched(&site.red()), before);
    // From now on under its present name.
    let hold = &daemon.turnout_json(&["status", "--json"])["repos"][0]["hold"];
    assert_eq!(hold["newest"], site.remote.head());
    site.remote.commit_and_push("Again");
    assert_eq!(daemon.push(&site.push()).json()["status"], "held");
    assert_eq!(all_of(&daemon.turnout(&["release", &new])).matches("recreated").count().min(1), 1);
    assert_ne!(untouched(&site.red()), before);
}

#[test]
fn a_second_stack_is_started_where_it_is_asked_for_and_the_first_can_be_removed_as_told() {
    let site = site();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let new = format!("{}-new", site.name);
    let (former, second) = (site.red(), format!("red{new}"));
    let _guard = docker::ProjectGuard::new(second.clone());
    std::fs::write(daemon.repos_yaml(), renamed(&site, &new, "")).unwrap();
    let said = deploy(&daemon, &[&new, "--new-stack"], 0);
    assert!(said.contains(&format!("{former} (1 container,")) && said.contains("as was asked for"), "{said}");
    assert_eq!((docker::containers(&former).len(), docker::containers(&second).len()), (1, 1));
    // It is there now: further deployments need not be told again.
    deploy(&daemon, &[&new], 0);

    let stray = || daemon.turnout_json(&["status", &site.name, "--json"])["strays"][0].clone();
    assert_eq!((stray()["project"].as_str(), stray()["containers"].as_array().unwrap().len()), (Some(&*former), 1));
    let remove = stray()["remove"].as_str().unwrap().to_owned();
    run(&remove);
    assert!(docker::containers(&former).is_empty() && volume_is_there(&former));
    // Its volumes are still shown, until they are removed as told.
    assert_eq!(stray()["volumes"][0], format!("{former}_data"));
    run(&format!("{remove} -v"));
    assert!(!volume_is_there(&former));
    let said = all_of(&daemon.turnout(&["status", &site.name]));
    assert!(said.contains("no repository"), "{said}");
    assert_eq!(docker::containers(&second).len(), 1);
}

#[test]
fn what_is_left_of_a_stack_are_its_volumes_and_they_count() {
    let site = site();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    run(&format!("turnout compose -p {} down", site.red()));
    assert!(docker::containers(&site.red()).is_empty() && volume_is_there(&site.red()));
    let new = format!("{}-new", site.name);
    let _guard = docker::ProjectGuard::new(format!("red{new}"));
    std::fs::write(daemon.repos_yaml(), renamed(&site, &new, "")).unwrap();
    let said = deploy(&daemon, &[&new], 1);
    assert!(said.contains(&format!("(volumes {}_data)", site.red())), "{said}");
    // A changed `project` of the same entry is the same.
    std::fs::write(daemon.repos_yaml(), site.entry(&[&format!("project: {new}")])).unwrap();
    assert!(deploy(&daemon, &[&site.name], 1).contains("would start a second stack"));
    // Another colour is not.
    std::fs::write(daemon.repos_yaml(), site.entry(&[])).unwrap();
    site.env("COLOR=blue\n");
    deploy(&daemon, &[&site.name], 0);
}

#[test]
fn status_shows_both_colours_also_where_the_file_is_broken_and_the_database_was_lost() {
    let site = site();
    let mut daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    site.env("COLOR=blue\n");
    deploy(&daemon, &[&site.name], 0);
    daemon.terminate();
    std::fs::remove_dir_all(daemon.state_dir()).unwrap();
    daemon.restart();
    std::fs::write(site.path.join("compose.yaml"), "services: [\n").unwrap();
    let said = all_of(&daemon.turnout(&["status", &site.name]));
    for project in [site.red(), site.blue()] {
        assert!(said.contains(&format!("{project}-web-1")), "{said}");
    }
    assert!(said.contains("PROBLEM") && !said.contains("NOT CONFIGURED"), "{said}");
    // Taken out of the list: shown as what it is.
    std::fs::write(daemon.repos_yaml(), concat!("other: ", env!("CARGO_MANIFEST_DIR"), "\n")).unwrap();
    let said = all_of(&daemon.turnout(&["status", &site.name]));
    assert!(said.contains(&format!("NOT CONFIGURED  {}", site.blue())), "{said}");
    assert!(said.contains(&format!("`{}: {{ path: {}, project: {0} }}`", site.name, site.path.display())), "{said}");
}

#[test]
fn an_engine_that_does_not_answer_is_never_shown_as_no_containers() {
    let site = Site::sleeping();
    let nobody = [("DOCKER_HOST", "unix:///nonexistent/docker.sock")];
    let daemon = Daemon::start_with(&site.entry(&[]), QUICK, &nobody);
    let said = all_of(&daemon.turnout(&["status"]));
    assert!(said.contains("ENGINE DOWN") && said.contains("what runs is not known"), "{said}");
    assert!(!said.contains("no containers") && said.contains("any more: not known"), "{said}");
    let json = daemon.turnout_json(&["status", "--json"]);
    assert!(json["strays"].is_null() && json["repos"][0]["runs_unknown"].is_string(), "{json:#}");

    // With an engine, and nothing there, it is said.
    let daemon = site.serve(&[]);
    let said = all_of(&daemon.turnout(&["status", &site.name]));
    assert!(said.contains("no containers") && !said.contains("not known"), "{said}");
}
