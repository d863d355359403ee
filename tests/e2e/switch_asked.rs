//! Who asks for something at the command line: in the log of the daemon, in its journal, in the log of the deployment that goes on for it,
//! and in the history.

use std::process::Command;

use crate::{
    common::daemon::Daemon,
    e2e_support::{all_of, log, switched::Switched, waits},
};

/// What somebody asks who is root by `sudo`.
fn ann(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.command(arguments).env("SUDO_USER", "ann").output().unwrap();
    let said = all_of(&output);
    assert!(output.status.success(), "turnout {arguments:?}: {said}");
    said
}

/// Whom the kernel names at the other end of the control socket.
fn this_user() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned()
}

/// What the journal has of what was asked.
fn asked(daemon: &Daemon) -> Vec<(String, String)> {
    let database = rusqlite::Connection::open(daemon.state_dir().join("turnout.db")).unwrap();
    let mut rows = database.prepare("SELECT repo, body FROM journal WHERE kind = 'person_asked' ORDER BY id").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn who_asks_is_in_the_log_in_the_journal_and_in_the_history() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1h, promote: manual }", &[]);
    let name = shop.site.name.as_str();
    // The name of this user is believed of itself, another one of root alone.
    let who = if this_user() == "root" { "ann".to_owned() } else { this_user() };
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    ann(&daemon, &["maintain", name, "on"]);
    ann(&daemon, &["maintain", name, "off"]);
    let id = shop.push(&daemon, "two");
    waits(&daemon, id, "wait for promotion");
    ann(&daemon, &["pause", name]);
    waits(&daemon, id, "paused");
    ann(&daemon, &["resume", name]);
    waits(&daemon, id, "wait for promotion");
    ann(&daemon, &["promote", name]);
    daemon.expect_success(id);
    let log = log(&daemon, id);
    for what in ["pause", "resume", "promote"] {
        assert!(log.contains(&format!("asked for by {who}: {what}\n")), "{log}");
    }
    // It bakes, and that is taken for good; then back, by a deployment of its own.
    ann(&daemon, &["promote", name]);
    ann(&daemon, &["rollback", name]);
    assert_eq!(daemon.history()[0]["who"], who.as_str());
    let refused = daemon.command(&["pause", name]).env("SUDO_USER", "ann").output().unwrap();
    assert!(!refused.status.success());

    let wanted = ["maintain on", "maintain off", "pause", "resume", "promote", "promote", "rollback", "pause"];
    let output = daemon.says(&format!("pause of {name} was refused: no next colour of {name} waits"));
    for what in wanted {
        assert!(output.contains(&format!("{who} asks for {name}: {what}")), "{what}: {output}");
    }
    assert!(output.contains(&format!("maintain on of {name}: requests to {name} are answered with 503")), "{output}");
    let asked = asked(&daemon);
    let expected = wanted.map(|what| (name.to_owned(), format!(r#"{{"who":"{who}","what":"{what}"}}"#)));
    assert_eq!(asked, expected);

    // Also of one whose environment says nothing.
    let mut deploy = daemon.command(&["deploy", name, "--detach"]);
    let output = deploy.env_remove("SUDO_USER").env_remove("USER").output().unwrap();
    assert!(output.status.success(), "{}", all_of(&output));
    assert_eq!(daemon.history()[0]["who"], this_user().as_str());
}
