//! Further back than to the colour that was live before: to a commit that somebody names. It waits for nobody, no request fails, what is
//! newer is not deployed again by itself, and a daemon that dies meanwhile changes nothing of that.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, wait_until};
use e2e_support::{all_of, deploy, load::Load, switched::Switched, waits};

/// As it is said which commits are not wanted any more: of a way back to what is live already nothing else is done.
const TAKEN_BACK: [&str; 2] = ["before recording what was taken back", "after recording what was taken back"];

/// Clients that ask all the while.
const CLIENTS: usize = 4;

#[test]
fn a_commit_that_is_named_comes_back_without_waiting_and_what_is_newer_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let point = folder.path().join("point");
    let shop = Switched::new("one");
    let variables = [("TURNOUT_TEST_DIES_AT", point.to_str().unwrap())];
    let (_proxy, mut daemon) = shop.serve("{ bake: 1h, promote: manual }", &variables);
    let name = shop.site.name.clone();
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let one = shop.site.remote.head();
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);
    let brought = promoted(&shop, &daemon, "two");
    promoted(&shop, &daemon, "three");
    let three = shop.site.remote.head();
    load.wait_for("three", 20);

    // What is no way back is said, and nothing moves.
    let aside = aside(&shop);
    for (to, said) in [
        ("main", "is neither a deployment's number nor"),
        ("999999", "has no deployment 999999"),
        ("0000000", "begins with 0000000"),
        (&aside, "is not in the history of"),
        (&three[..9], "is live already"),
    ] {
        let output = daemon.turnout(&["rollback", &name, "--to", to]);
        let found = all_of(&output);
        assert!(found.contains(said), "{to}: {found}");
        assert_eq!(output.status.code() == Some(0), to == &three[..9], "{to}: {found}");
    }

    // The bake is over and its colour before kept: neither is what is wanted.
    let said = back(&daemon, &name, &one[..8], 0);
    for part in [
        &format!("back to {} of deployment ", &one[..7])[..],
        "it is made as the colour that is not live",
        "taken back with that: 2 commits after it",
        "which is kept and was built from the same: no build",
        "was made again and is live",
    ] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    load.wait_for("one", 50);

    good(&daemon, &name);

    // Neither a person without its name, nor the same push once more, nor a start of the daemon brings what is newer.
    let refused = deploy(&daemon, &[&name], 1);
    assert!(
        refused.contains("was taken back") && refused.contains(&format!("went back to {}", &one[..7])),
        "{refused}"
    );
    let again = daemon.push(&shop.site.push());
    assert!(again.status == 200 && again.body.contains("duplicate"), "{}", again.body);
    let before = daemon.history().len();
    daemon.kill();
    daemon.restart();

    // What is newer still is deployed. While it bakes both colours are taken: requests go back at once, and then further. The daemon
    // dies when the routes have moved.
    let id = shop.push(&daemon, "four");
    waits(&daemon, id, "wait for promotion");
    all_of(&daemon.turnout(&["promote", &name]));
    daemon.expect_success(id);
    assert_eq!(daemon.history().len(), before + 1, "{:#?}", daemon.history());
    load.wait_for("four", 20);
    let four = shop.site.remote.head();
    for dies_at in TAKEN_BACK {
        fs::write(&point, dies_at).unwrap();
        let asks = daemon.turnout(&["rollback", &name, "--to", &four]);
        assert_eq!(daemon.ended().signal(), Some(9), "{dies_at}: {}", daemon.output());
        fs::remove_file(&point).unwrap();
        daemon.restart();
        assert!(!asks.status.success(), "{dies_at}: {asks:?}");
        load.wait_for("four", 20);
    }
    fs::write(&point, "before recording the switch").unwrap();
    // It follows the deployment, also into the next life of the daemon.
    let follows = daemon.command(&["rollback", &name, "--to", &brought.to_string()]);
    let follows = piped(follows).spawn().unwrap();
    assert_eq!(daemon.ended().signal(), Some(9), "{}", daemon.output());
    fs::remove_file(&point).unwrap();
    daemon.restart();
    load.wait_for("two", 50);
    all_of(&daemon.turnout(&["promote", &name]));
    let said = all_of(&follows.wait_with_output().unwrap());
    assert!(said.contains("is live again after") && said.contains("back to "), "{said}");
    shop.expect_whole(&daemon, "after the death");
    let refused = deploy(&daemon, &[&name], 1);
    assert!(refused.contains("was taken back"), "{refused}");

    // To the colour that stands by it is one start, or one move.
    let said = back(&daemon, &name, &one, 0);
    assert!(said.contains("its colour is kept") && said.contains("was brought back and is live"), "{said}");
    load.wait_for("one", 20);
    let said = back(&daemon, &name, &brought.to_string(), 0);
    assert!(said.contains("is live again after"), "{said}");
    load.wait_for("two", 20);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    assert_eq!(shop.workers(), 1);
}

/// Pushes a version, promotes it, and takes it for good. Answers the deployment.
fn promoted(shop: &Switched, daemon: &Daemon, version: &str) -> i64 {
    let id = shop.push(daemon, version);
    waits(daemon, id, "wait for promotion");
    all_of(&daemon.turnout(&["promote", &shop.site.name]));
    daemon.expect_success(id);
    good(daemon, &shop.site.name);
    id
}

/// Ends the bake as good.
fn good(daemon: &Daemon, name: &str) {
    all_of(&daemon.turnout(&["promote", name]));
    wait_until("the bake to be over", PATIENCE, || {
        let status = daemon.turnout_json(&["status", "--json"]);
        if status["repos"][0]["bakes_until"].is_null() { Ok(()) } else { Err(status) }
    });
}

/// What it says is kept.
fn piped(mut command: Command) -> Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `turnout rollback --to`, and answers what it says.
fn back(daemon: &Daemon, name: &str, to: &str, code: i32) -> String {
    let output = daemon.turnout(&["rollback", name, "--to", to]);
    let said = all_of(&output);
    assert_eq!(output.status.code(), Some(code), "{said}\n{}", daemon.output());
    said
}

/// A commit of the server's clone that no branch of the remote ever had.
fn aside(shop: &Switched) -> String {
    let server = git2::Repository::open(&shop.site.path).unwrap();
    let who = git2::Signature::now("Ann", "ann@example.org").unwrap();
    let tree = server.head().unwrap().peel_to_tree().unwrap();
    server.commit(Some("refs/heads/aside"), &who, &who, "Aside", &tree, &[]).unwrap().to_string()
}
