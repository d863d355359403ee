//! What the server's files say: `.env` of a repository, and `repos.yaml` edited while the daemon runs.

use crate::{common, e2e_support};
use common::{daemon::Daemon, docker};
use e2e_support::{QUICK, Site, all_of, deploy, sleeper, untouched};

fn version(project: &str) -> String {
    docker::containers(project).remove(0).labels.unwrap().remove("version").unwrap()
}

#[test]
fn debug_and_color_choose_files_and_project() {
    let site = Site::new(&[
        ("docker-compose.dev.yml", &sleeper("dev")),
        ("docker-compose.prod.yml", &sleeper("prod")),
        (".gitignore", ".env\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert_eq!(version(&site.red()), "prod");
    site.env("DEBUG=True\n");
    deploy(&daemon, &[&site.name], 0);
    assert_eq!(version(&site.red()), "dev");

    let red = untouched(&site.red());
    site.env("DEBUG=false\nCOLOR=blue\n");
    let said = deploy(&daemon, &[&site.name], 0);
    assert_eq!(version(&site.blue()), "prod");
    assert_eq!(untouched(&site.red()), red, "the other colour was touched");
    assert!(said.contains(&site.red()) && said.contains("left as it is"), "{said}");

    // And back: now it is the blue one that is left.
    site.env("COLOR=red\n");
    let said = deploy(&daemon, &[&site.name], 0);
    assert_eq!((version(&site.red()), version(&site.blue())), ("prod".to_owned(), "prod".to_owned()));
    assert!(said.contains(&site.blue()) && said.contains("left as it is"), "{said}");

    site.env("COLOR=Blue\n");
    let said = deploy(&daemon, &[&site.name], 1);
    assert!(said.contains("COLOR is `Blue`") && said.contains("lower case"), "{said}");
    site.env("DEBUG=\"true\n");
    let said = deploy(&daemon, &[&site.name], 1);
    assert!(said.contains(".env"), "{said}");
}

#[test]
fn other_file_names_and_none() {
    let site = Site::new(&[
        ("docker-compose.yml", &sleeper("standard")),
        ("docker-compose.override.yml", "services: { web: { labels: { version: overridden } } }\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert_eq!(version(&site.red()), "overridden");

    site.remote.remove("docker-compose.override.yml").remove("docker-compose.yml");
    site.write("docker-compose.dev.yml", &sleeper("dev"));
    let failed = daemon.expect_failure(site.push_to(&daemon, "Only dev"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("only has docker-compose.dev.yml") && error.contains("DEBUG=true"), "{error}");

    site.remote.remove("docker-compose.dev.yml");
    site.write("README", "empty\n");
    let failed = daemon.expect_failure(site.push_to(&daemon, "Nothing"));
    let error = failed["error"].as_str().unwrap();
    for name in ["docker-compose.prod.yml", "compose.yaml", "docker-compose.yml", "compose_files"] {
        assert!(error.contains(name), "{name}: {error}");
    }
    assert_eq!(version(&site.red()), "overridden", "what ran was touched");
}

#[test]
fn the_list_is_edited_while_the_daemon_runs() {
    let (one, two) = (Site::sleeping(), Site::sleeping());
    let daemon = one.serve(&[]);
    assert_eq!(daemon.push(&two.push()).json()["status"], "unknown");
    std::fs::write(daemon.repos_yaml(), [one.entry(&[]), two.entry(&[])].concat()).unwrap();
    let push = common::push::Push { delivery: common::unique("delivery-"), ..two.push() };
    daemon.expect_success(daemon.deploy_by_push(&push));
    assert_eq!(docker::containers(&two.red()).len(), 1);

    // A broken edit keeps what was, for pushes and for commands, and every mistake is said.
    std::fs::write(daemon.repos_yaml(), "one:\n  path: relative\n  colour: red\ntwo: [\n").unwrap();
    deploy(&daemon, &[&two.name], 0);
    let status = daemon.turnout_json(&["status", "--json"]);
    assert_eq!(status["repos"].as_array().unwrap().len(), 2, "{status:#}");
    assert!(!status["config_mistakes"].as_array().unwrap().is_empty(), "{status:#}");
    let shown = all_of(&daemon.turnout(&["status"]));
    assert!(shown.contains("repos.yaml has mistakes"), "{shown}");

    std::fs::write(daemon.repos_yaml(), "one:\n  path: relative\n  colour: red\n").unwrap();
    let shown = all_of(&daemon.turnout(&["status"]));
    assert!(shown.contains("relative") && shown.contains("colour"), "both mistakes: {shown}");

    // A repository that leaves the list is deployed no more; what runs of it is left alone.
    std::fs::write(daemon.repos_yaml(), one.entry(&[])).unwrap();
    assert_eq!(daemon.push(&two.push()).json()["status"], "unknown");
    deploy(&daemon, &[&two.name], 1);
    assert_eq!(docker::containers(&two.red()).len(), 1);
    let status = daemon.turnout_json(&["status", "--json"]);
    assert_eq!(status["config_mistakes"].as_array().unwrap().len(), 0, "{status:#}");
}

#[test]
fn a_mistake_in_the_list_costs_neither_the_start_nor_the_other_repositories() {
    let (one, two) = (Site::sleeping(), Site::sleeping());
    let all = [one.entry(&[]), two.entry(&[])].concat();
    let mut daemon = Daemon::start_with(&all, QUICK, &[]);
    for site in [&one, &two] {
        daemon.expect_success(daemon.deploy_by_push(&site.push()));
    }
    daemon.terminate();
    // It cannot be read at all: what was good last counts.
    std::fs::write(daemon.repos_yaml(), format!("{all}three: [\n")).unwrap();
    daemon.restart();
    let health = common::http::get(daemon.listen(), "/healthz").unwrap();
    assert_eq!((health.status, &health.json()["config"]), (200, &"broken".into()), "{}", health.body);
    let status = all_of(&daemon.turnout(&["status"]));
    assert!(status.contains("repos.yaml has mistakes: the last good list counts"), "{status}");
    let output = daemon.says("has a mistake");
    assert!(output.contains("ERROR"), "{output}");
    for site in [&one, &two] {
        deploy(&daemon, &[&site.name], 0);
    }
    daemon.terminate();
    // One entry is wrong. It stays as it was, the other one is as it is written now, and a third is only written wrongly.
    let wrong = format!("{}{}three: relative\n", one.entry(&["branch: main"]), two.entry(&["brunch: main"]));
    std::fs::write(daemon.repos_yaml(), wrong).unwrap();
    daemon.restart();
    for site in [&one, &two] {
        deploy(&daemon, &[&site.name], 0);
    }
    let status = all_of(&daemon.turnout(&["status"]));
    let said = format!("`{}` counts as it was before the mistake, `three` is left out until it is corrected", two.name);
    assert!(status.contains(&said) && status.contains("did you mean `branch`?"), "{status}");
    // A push that may be of an entry that does not count is not answered as one that concerns nobody.
    let push = common::push::Push::new("acme/three", &"1".repeat(40), &"2".repeat(40));
    let answer = daemon.push(&push);
    assert!(answer.status == 503 && answer.body.contains("turnout check"), "{} {}", answer.status, answer.body);
    // `check` is as strict as ever, and a repaired list counts at once.
    std::fs::write(daemon.repos_yaml(), one.entry(&[])).unwrap();
    assert_eq!(daemon.push(&push).json()["status"], "unknown");
    let status = daemon.turnout_json(&["status", "--json"]);
    assert!(status["config_consequence"].is_null() && status["repos"].as_array().unwrap().len() == 1, "{status:#}");
}

#[test]
fn the_very_first_list_may_be_wrong_from_end_to_end() {
    let site = Site::sleeping();
    let wrong = format!("{}three: relative\n", site.entry(&["brunch: main"]));
    for wrong in [wrong.as_str(), "shop: [\n"] {
        let daemon = Daemon::start_with(wrong, QUICK, &[]);
        let output = daemon.says("has a mistake; nothing is deployed until it is repaired");
        assert!(output.contains("ERROR"), "{output}");
        let health = common::http::get(daemon.listen(), "/healthz").unwrap();
        assert_eq!((health.status, &health.json()["config"]), (200, &"broken".into()), "{}", health.body);
        let ready = common::http::get(daemon.listen(), "/readyz").unwrap();
        assert!(ready.status == 503 && ready.body.contains("repos.yaml"), "{} {}", ready.status, ready.body);
        let status = all_of(&daemon.turnout(&["status"]));
        assert!(status.contains("repos.yaml has mistakes: nothing is deployed until it is repaired"), "{status}");
        let said = deploy(&daemon, &[&site.name], 1);
        assert!(said.contains("has a mistake") && said.contains("turnout check"), "{said}");
        let answer = daemon.push(&site.push());
        assert_eq!(answer.status, 503, "a push is not taken for one that concerns nobody: {}", answer.body);
        // It counts as soon as it is right, without a restart.
        std::fs::write(daemon.repos_yaml(), site.entry(&[])).unwrap();
        daemon.expect_success(daemon.deploy_by_push(&site.push()));
        let ready = common::http::get(daemon.listen(), "/readyz").unwrap();
        assert_eq!(ready.status, 200, "{}", ready.body);
    }
}

#[test]
fn secrets_and_tokens_in_files_count_as_they_are_now() {
    let site = Site::sleeping();
    let home = tempfile::tempdir().unwrap();
    let [own, hook] = ["daemon", "repo"].map(|name| home.path().join(name));
    std::fs::write(&own, "the daemon's first").unwrap();
    let file = own.to_str().unwrap();
    let daemon = Daemon::start_with(&site.entry(&[]), &[QUICK, &["--webhook-secret-file", file]].concat(), &[]);
    let status = |secret: &str| {
        let push = common::push::Push { delivery: common::unique("delivery-"), ..site.push() };
        match push.send(daemon.listen(), secret) {
            answer if matches!(answer.status, 200 | 202) => 202,
            answer => answer.status,
        }
    };
    assert_eq!(status("the daemon's first"), 202);
    std::fs::write(&own, "the daemon's other\n").unwrap();
    assert_eq!([status("the daemon's first"), status("the daemon's other")], [401, 202]);
    // A secret that is gone makes no delivery one that needs none.
    std::fs::remove_file(&own).unwrap();
    assert_eq!([status("the daemon's other"), status("")], [401, 401]);
    let unsigned =
        site.push().send_raw(daemon.listen(), "application/json", site.push().body().to_string().as_bytes(), None);
    assert_eq!(unsigned.status, 401, "{}", unsigned.body);
    std::fs::write(&own, "the daemon's third").unwrap();
    assert_eq!(status("the daemon's third"), 202);
    // A repository's own takes the daemon's place.
    std::fs::write(&hook, "the repository's first").unwrap();
    let entry = site.entry(&[&format!("secret_file: {}", hook.display())]);
    std::fs::write(daemon.repos_yaml(), entry).unwrap();
    assert_eq!([status("the daemon's third"), status("the repository's first")], [401, 202]);
    std::fs::write(&hook, "the repository's other").unwrap();
    assert_eq!([status("the repository's first"), status("the repository's other")], [401, 202]);
}

#[test]
fn a_work_tree_that_vanishes_fails_one_repository_only() {
    let (gone, stays) = (Site::sleeping(), Site::sleeping());
    let daemon = Daemon::start_with(&[gone.entry(&[]), stays.entry(&[])].concat(), QUICK, &[]);
    let ids = [&gone, &stays].map(|site| daemon.deploy_by_push(&site.push()));
    for id in ids {
        daemon.expect_success(id);
    }
    std::fs::remove_dir_all(&gone.path).unwrap();
    let said = deploy(&daemon, &[&gone.name], 1);
    assert!(said.contains(gone.path.to_str().unwrap()), "{said}");
    deploy(&daemon, &[&stays.name], 0);
    let status = daemon.turnout_json(&["status", "--json"]);
    let repo = status["repos"].as_array().unwrap().iter().find(|repo| repo["name"] == gone.name.as_str()).unwrap();
    assert_eq!(repo["project"]["ok"], false, "{repo:#}");
    assert_eq!(docker::containers(&gone.red()).len(), 1);
}

#[test]
fn what_would_be_unsafe_does_not_start() {
    let daemon = Daemon::start("{}\n");
    let home = tempfile::tempdir().unwrap();
    let serve = |arguments: &[&str], secret: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_turnout"));
        command.arg("serve").args(["--listen", &common::daemon::free_address().to_string(), "--log-dir", "log"]);
        command.arg("--repos").arg(daemon.repos_yaml()).args(arguments).current_dir(&home);
        command.env_remove("TURNOUT_WEBHOOK_SECRET").env("WEBHOOK_SECRET", secret);
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        all_of(&output)
    };
    let said = serve(&["--state-dir", "state", "--socket", "s"], "");
    assert!(said.contains("WEBHOOK_SECRET"), "{said}");
    // Two daemons over one socket, or one database, would deploy twice.
    let said = serve(&["--state-dir", "state", "--socket", daemon.socket().to_str().unwrap()], "x");
    assert!(said.contains("another turnout"), "{said}");
    let said = serve(&["--socket", "s", "--state-dir", daemon.state_dir().to_str().unwrap()], "x");
    assert!(said.contains("another turnout"), "{said}");
    assert!(daemon.turnout(&["status"]).status.success());
}
