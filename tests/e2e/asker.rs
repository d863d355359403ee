//! Who asks: the history has the kernel's word for it, and what is another user's is not called wrong.

use std::{
    fs::{self, File},
    os::{
        fd::AsRawFd as _,
        unix::{fs::PermissionsExt as _, process::CommandExt as _},
    },
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::{common, e2e_support};
use common::daemon::Daemon;
use e2e_support::{Site, all_of, deploy};

/// The user `nobody`, as every Linux numbers it.
const NOBODY: u32 = 65534;

/// Runs this build's program as another user, who need not be able to look into the directory in which it was built.
fn as_nobody(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let program = File::open(env!("CARGO_BIN_EXE_turnout")).unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.args(arguments).stdin(Stdio::null()).current_dir("/").uid(NOBODY).gid(NOBODY);
    command.env("WEBHOOK_SECRET", "x").envs(variables.iter().copied());
    command.output().unwrap()
}

/// Lets everybody pass through a directory.
fn open(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o711)).unwrap();
}

fn by(daemon: &Daemon, arguments: &[&str], who: &str) {
    let socket = daemon.socket();
    let all = [&["--socket", socket.to_str().unwrap()], arguments].concat();
    let output = as_nobody(&all, &[("SUDO_USER", "the-chief"), ("USER", "the-chief")]);
    assert_eq!(output.status.code(), Some(0), "{}", all_of(&output));
    let newest = &daemon.history()[0];
    assert_eq!(newest["who"], who, "{newest}");
}

#[test]
fn the_history_names_the_user_whom_the_kernel_names() {
    let site = Site::sleeping();
    let daemon = Daemon::start_with(&site.entry(&[]), &["--socket-mode", "0666"], &[]);
    open(daemon.socket().parent().unwrap());
    by(&daemon, &["deploy", &site.name], "nobody");
    // root says whose `sudo` it is.
    let mut command = daemon.command(&["deploy", &site.name]);
    let output = command.env("SUDO_USER", "ann").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", all_of(&output));
    assert_eq!(daemon.history()[0]["who"], "ann");
    let hold = as_nobody(
        &["--socket", daemon.socket().to_str().unwrap(), "deploy", &site.name, "--hold"],
        &[("SUDO_USER", "the-chief")],
    );
    assert_eq!(hold.status.code(), Some(0), "{}", all_of(&hold));
    let status = daemon.turnout_json(&["status", "--json"]);
    assert_eq!(status["repos"][0]["hold"]["who"], "nobody", "{status}");
}

#[test]
fn another_user_is_told_as_whom_to_ask() {
    let site = Site::sleeping();
    site.env("COLOR=red\n");
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let home = daemon.state_dir().parent().unwrap().to_owned();
    open(&home);
    open(site.path.parent().unwrap());
    fs::set_permissions(daemon.repos_yaml(), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(site.path.join(".env"), fs::Permissions::from_mode(0o600)).unwrap();
    let (list, state) = (daemon.repos_yaml(), daemon.state_dir());
    let settings = ["--repos", list.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    let as_whom = "only root may, and this was asked as nobody: `sudo turnout \u{2026}`";

    let output = as_nobody(&[&["check"][..], &settings].concat(), &[]);
    let said = all_of(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("asked as nobody, and the daemon runs as root") && said.contains("`sudo turnout check` does"),
        "{said}"
    );
    let env = format!("UNKNOWN {}: {} may not be read: {as_whom}", site.name, site.path.join(".env").display());
    assert!(said.contains(&env) && said.contains(&format!("turnout.db may not be read: {as_whom}")), "{said}");
    assert!(!said.contains("chown"), "rights of another user were judged: {said}");
    // The same asked as the daemon's user.
    let mut command = daemon.command(&[&["check"][..], &settings].concat());
    let own = command.env("WEBHOOK_SECRET", "x").output().unwrap();
    assert!(own.status.success() && all_of(&own).contains("all is well"), "{}", all_of(&own));

    let copy = home.join("copy");
    for (arguments, part) in [
        (&["backup", copy.to_str().unwrap(), "--state-dir", settings[3]][..], "turnout.db may not be read"),
        (&[&["prune"][..], &settings].concat(), "turnout.db may not be read"),
        (&["compose", "--repo", &site.name, "ps"], ".env cannot be read"),
    ] {
        let output = as_nobody(arguments, &[("TURNOUT_REPOS", settings[1])]);
        let said = all_of(&output);
        assert_ne!(output.status.code(), Some(0), "{said}");
        assert!(said.contains(part) && said.contains(as_whom), "{arguments:?}: {said}");
    }
}

#[test]
fn what_is_not_cloned_yet_is_no_problem_and_an_unknown_name_is_one() {
    let site = Site::not_cloned(&[("compose.yaml", &format!("services:\n  web:\n{}", e2e_support::idle()))]);
    let daemon = site.serve(&[&format!("remote: {}", site.remote.url())]);
    let before = all_of(&daemon.turnout(&["status"]));
    assert!(before.contains("project: not cloned yet") && !before.contains("PROBLEM"), "{before}");
    let brings = format!("no containers; `turnout deploy {}` brings them up", site.name);
    assert!(before.contains(&brings), "{before}");
    let known = daemon.turnout(&["history", &site.name]);
    assert!(known.status.success() && all_of(&known).contains("nothing was deployed yet"), "{}", all_of(&known));
    let unknown = daemon.turnout(&["history", "nowhere"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", all_of(&unknown));
    assert!(all_of(&unknown).contains("no repository `nowhere`"), "{}", all_of(&unknown));
}
