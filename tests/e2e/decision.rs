//! What is rebuilt, and why: decided from real commits, seen in the plan, held against the containers.

use crate::{common, e2e_support};
use common::{daemon::Daemon, docker};
use e2e_support::{QUICK, Site, all_of, built, deploy, file_in, log, plan_of, untouched};

/// Two services that are built, one of which ignores some of its files and mounts others.
fn two_services() -> Site {
    let web = format!("{}    volumes: [\"./web/static:/static\"]\n", built("web"));
    Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  api:\n{}  web:\n{web}", built("api"))),
        ("api/Dockerfile", "FROM @BASE\nCOPY . /app\n"),
        ("api/code", "1\n"),
        ("web/Dockerfile", "FROM @BASE\nCOPY . /app\n"),
        ("web/.dockerignore", "docs\n"),
        ("web/docs/manual", "1\n"),
        ("web/static/style.css", "1\n"),
        ("web/code", "1\n"),
    ])
}

/// The services that a plan builds: from lines such as `  1. build redshop-web for web: …`.
fn builds(plan: &str) -> Vec<&str> {
    let is_build =
        |line: &&str| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(". build ");
    plan.lines().filter(is_build).filter_map(|line| line.split(" for ").nth(1)?.split(':').next()).collect()
}

#[test]
fn each_change_rebuilds_what_it_goes_into() {
    let (auto, triggers) = (two_services(), two_services());
    let globs = "triggers: [\"locks/**\", \"*.toml\"]";
    let yaml = [auto.entry(&[globs]), triggers.entry(&[globs, "rebuild: triggers"])].concat();
    let daemon = Daemon::start_with(&yaml, QUICK, &[]);
    let ids = [&auto, &triggers].map(|site| daemon.deploy_by_push(&site.push()));
    for id in ids {
        daemon.expect_success(id);
    }
    let first = [&auto, &triggers].map(|site| site.remote.head());
    let (none, both, api, web) = (&[][..], &["api", "web"][..], &["api"][..], &["web"][..]);
    for (file, in_auto, in_triggers) in [
        ("README", none, none),
        ("api/code", api, none),
        ("web/code", web, none),
        ("web/new/file", web, none),
        ("web/docs/manual", none, none),
        ("web/static/style.css", web, none),
        ("api/Dockerfile", api, none),
        ("requirements.txt", both, both),
        ("Dockerfile", both, both),
        ("Dockerfile.dev", both, both),
        ("Dockerfile.prod", both, both),
        (".dockerignore", both, both),
        (".env", both, both),
        ("locks/deep/one", both, both),
        ("pyproject.toml", both, both),
        ("sub/pyproject.toml", none, none),
    ] {
        for (site, first, wanted) in [(&auto, &first[0], in_auto), (&triggers, &first[1], in_triggers)] {
            site.remote.reset_to(first);
            // What the base image is called makes no difference to the decision.
            site.write(file, if file.ends_with("ockerfile") { "FROM @BASE\nCOPY . /other\n" } else { "#2\n" });
            // A later commit must not hide the one that matters.
            site.remote.commit("The change");
            site.write("CHANGES", "Something else\n");
            site.remote.commit_and_push("Another");
            site.check_out();
            let plan = all_of(&daemon.turnout(&["plan", &site.name]));
            assert_eq!(builds(&plan), wanted, "{file}:\n{plan}");
            if !wanted.is_empty() {
                let since = if in_triggers.is_empty() { "" } else { "deployed last" };
                assert!(plan.contains(&format!("{file} ")) && plan.contains(since), "{file}:\n{plan}");
            }
        }
    }
    assert_eq!(daemon.history().len(), 2);
}

#[test]
fn what_an_image_is_built_upon_counts_too() {
    let below = ", additional_contexts: { below: 'service:base' } }";
    let web = built("web").replacen(" }", below, 1);
    let services = format!("  base:\n{}  other:\n{}  web:\n{web}", built("base"), built("other"));
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n{services}")),
        ("base/Dockerfile", "FROM @BASE\nCOPY . /app\n"),
        ("base/code", "1\n"),
        ("other/Dockerfile", "FROM @BASE\n"),
        ("web/Dockerfile", "FROM below\nCOPY . /web\n"),
    ]);
    let daemon = site.serve(&[]);
    // The Dockerfile frontend of engines before 23 knows no contexts by name.
    if docker::api() < 42 {
        return;
    }
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    site.write("base/code", "2\n");
    site.remote.commit_and_push("What is below");
    site.check_out();
    let plan = all_of(&daemon.turnout(&["plan", &site.name]));
    assert_eq!(builds(&plan), ["base", "web"], "{plan}");
    let why = "service base, whose image its build uses, is built anew: base/code differs";
    assert!(plan.contains(why), "{plan}");
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert_eq!(file_in(&site.container(&site.red(), "web"), "/app/code"), "2\n");
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("nothing to do"), "{said}");
}

#[test]
fn an_image_named_in_from_is_built_before() {
    let web = built("web").replacen(" }", ", args: { UPON: '${COMPOSE_PROJECT_NAME}-base' } }", 1);
    // By name `base` comes after `above`, and `above` is built upon it.
    let above = built("above").replacen(" }", ", args: { UPON: '${COMPOSE_PROJECT_NAME}-web' } }", 1);
    let services = format!("  above:\n{above}  base:\n{}  web:\n{web}", built("base"));
    let from = "ARG UPON=nothing\nFROM $UPON\nCOPY . /upon\n";
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n{services}")),
        ("base/Dockerfile", "FROM @BASE\nCOPY . /app\n"),
        ("base/code", "1\n"),
        ("web/Dockerfile", from),
        ("above/Dockerfile", from),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    site.write("base/code", "2\n");
    let id = site.push_to(&daemon, "What is below");
    let done = daemon.expect_success(id);
    assert_eq!(builds(plan_of(&done)), ["base", "web", "above"], "{}", plan_of(&done));
    for service in ["web", "above"] {
        assert_eq!(file_in(&site.container(&site.red(), service), "/app/code"), "2\n", "{service}");
    }
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("nothing to do"), "{said}");
}

#[test]
fn whatever_goes_into_an_image_is_seen_and_nothing_else() {
    let build = "build: { context: ./linked, network: none, args: { VERSION: '${VERSION:-7}' } }";
    let far = built("far").replacen(" }", ", dockerfile: ../docker/far.Dockerfile }", 1);
    let included = built(".").replacen(" }", ", target: one }", 1);
    let services = format!("  app:\n    {build}\n    command: [sleep, '1000']\n    init: true\n  far:\n{far}");
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("include: [sub/more.yml]\nservices:\n{services}")),
        ("src/app/Dockerfile", "FROM @BASE\nARG VERSION\nENV VERSION=$VERSION\nCOPY . /app\n"),
        ("src/app/page", "1\n"),
        ("src/app/same", "1\n"),
        ("src/app/.dockerignore", "docs\n"),
        ("docker/far.Dockerfile", "FROM @BASE\nCOPY . /app\n"),
        ("far/code", "1\n"),
        ("sub/more.yml", &format!("services:\n  inc:\n{included}")),
        ("sub/Dockerfile", "FROM @BASE AS one\nENV STAGE=one\nFROM @BASE AS two\nENV STAGE=two\n"),
    ]);
    std::os::unix::fs::symlink("src/app", site.path.join("linked")).unwrap();
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("nothing to do"), "{said}");
    // Changes by hand, unknown to git: each is seen for itself, and then taken back.
    let put = |file: &str, text: &str| {
        let file = site.path.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    let dockerfile = std::fs::read_to_string(site.path.join("docker/far.Dockerfile")).unwrap();
    let more = std::fs::read_to_string(site.path.join("sub/more.yml")).unwrap();
    let other = more.replace("target: one", "target: two");
    let table: &[(&str, &str, &str, &[&str], &str)] = &[
        ("src/app/page", "2\n", "1\n", &["app"], "linked/page differs from what the image was built from"),
        ("docker/far.Dockerfile", "FROM scratch\n", &dockerfile, &["far"], "docker/far.Dockerfile differs"),
        ("sub/more.yml", &other, &more, &["inc"], "target is two, was one"),
        (".env", "VERSION=8\n", "", &["app"], "build argument VERSION is 8, was 7"),
        ("src/app/docs/manual", "2\n", "", &[], ""),
        ("src/app/page", "1\n", "1\n", &[], ""),
    ];
    for (file, now, before, wanted, why) in table {
        put(file, now);
        let plan = all_of(&daemon.turnout(&["plan", &site.name]));
        assert_eq!(builds(&plan), *wanted, "{file}:\n{plan}");
        assert!(plan.contains(why), "{file}:\n{plan}");
        put(file, before);
    }
    // Another content with the size and the modification time that were there.
    let same = site.path.join("src/app/same");
    let modified = std::fs::metadata(&same).unwrap().modified().unwrap();
    std::fs::write(&same, "2\n").unwrap();
    std::fs::File::options().write(true).open(&same).unwrap().set_modified(modified).unwrap();
    let plan = all_of(&daemon.turnout(&["plan", &site.name]));
    assert!(plan.contains("linked/same differs") && builds(&plan) == ["app"], "{plan}");
}

#[test]
fn the_image_of_another_stage_does_not_serve() {
    let of = |target: &str| {
        format!("services:\n  web:\n{}", built(".").replacen(" }", &format!(", target: {target} }}"), 1))
    };
    let site = Site::new(&[
        ("docker-compose.prod.yml", &of("prod")),
        ("docker-compose.dev.yml", &of("dev")),
        ("Dockerfile", "FROM @BASE AS dev\nCOPY dev /stage\nFROM @BASE AS prod\nCOPY prod /stage\n"),
        ("dev", "dev\n"),
        ("prod", "prod\n"),
    ]);
    site.env("DEBUG=true\n");
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert_eq!(file_in(&site.container(&site.red(), "web"), "/stage"), "dev\n");
    site.env("");
    deploy(&daemon, &[&site.name], 0);
    assert_eq!(file_in(&site.container(&site.red(), "web"), "/stage"), "prod\n");
    let history = daemon.history();
    assert!(plan_of(&history[0]).contains("target is prod, was dev"), "{}", plan_of(&history[0]));
}

#[test]
fn a_service_that_was_away_comes_back_as_it_is_now() {
    let (web, api) = (built("web"), built("api"));
    let both = format!("services:\n  api:\n{api}  web:\n{web}");
    let site = Site::new(&[
        ("docker-compose.prod.yml", &both),
        ("api/Dockerfile", "FROM @BASE\nCOPY . /app\n"),
        ("web/Dockerfile", "FROM @BASE\nCOPY . /app\n"),
        ("web/code", "1\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    site.write("docker-compose.prod.yml", &format!("services:\n  api:\n{api}"));
    site.write("web/code", "2\n");
    daemon.expect_success(site.push_to(&daemon, "Without web"));
    site.write("docker-compose.prod.yml", &both);
    daemon.expect_success(site.push_to(&daemon, "With web"));
    assert_eq!(file_in(&site.container(&site.red(), "web"), "/app/code"), "2\n");
}

#[test]
fn a_build_that_gives_the_same_image_replaces_no_container() {
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{}", built("."))),
        ("Dockerfile", "FROM @BASE\nCOPY page /page\n"),
        ("page", "1\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let before = untouched(&site.red());
    site.write("README", "What nothing copies\n");
    let id = site.push_to(&daemon, "Words");
    let done = daemon.expect_success(id);
    assert!(plan_of(&done).contains("README is new"), "{}", plan_of(&done));
    assert!(log(&daemon, id).contains("the same image as before"), "{}", log(&daemon, id));
    assert_eq!(untouched(&site.red()), before, "{}", log(&daemon, id));
    // That is remembered: nothing is built for it again, also not by a daemon that forgot how to read it in words.
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("nothing to do"), "{said}");
    std::fs::remove_dir_all(daemon.state_dir().join("inputs")).unwrap();
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("the same image as before"), "{said}");
    assert_eq!(untouched(&site.red()), before, "{said}");
    assert!(deploy(&daemon, &[&site.name], 0).contains("nothing to do"));
}

#[test]
fn an_image_that_turnout_did_not_build_is_built() {
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{}", built("."))),
        ("Dockerfile", "FROM @BASE\nCOPY page /page\n"),
        ("page", "1\n"),
    ]);
    let daemon = site.serve(&[]);
    let by_hand = ["compose", "-p", &site.red(), "-f", "docker-compose.prod.yml", "up", "-d", "--build"];
    let up = daemon.command(&by_hand).current_dir(&site.path).output().unwrap();
    assert!(up.status.success(), "{}", all_of(&up));
    // Two commits at once: the first matters, and no record tells of any before.
    site.write("page", "2\n");
    site.remote.commit("Feature");
    site.write("README", "Words\n");
    site.remote.commit_and_push("Words");
    let id = daemon.deploy_by_push(&site.push());
    let done = daemon.expect_success(id);
    assert!(plan_of(&done).contains("was not built by turnout"), "{}", plan_of(&done));
    assert_eq!(file_in(&site.container(&site.red(), "web"), "/page"), "2\n", "{}", log(&daemon, id));
}

#[test]
fn the_trigger_file_is_kept_until_a_build_has_succeeded() {
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{}", built("."))),
        ("Dockerfile", "FROM @BASE\nCOPY page /page\n"),
        ("page", "1\n"),
    ]);
    let daemon = site.serve(&["rebuild: triggers"]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let trigger = site.path.join("REBUILD_TRIGGER");
    std::fs::write(&trigger, "").unwrap();

    site.write("Dockerfile", "FROM @BASE\nCOPY nothing /page\n");
    daemon.expect_failure(site.push_to(&daemon, "Break"));
    assert!(trigger.exists(), "lost by a build that failed");

    site.write("Dockerfile", "FROM @BASE\nCOPY page /page\n");
    let id = site.push_to(&daemon, "Repair");
    let repaired = daemon.expect_success(id);
    assert!(plan_of(&repaired).contains("REBUILD_TRIGGER"), "{}", plan_of(&repaired));
    assert!(!trigger.exists(), "{}", log(&daemon, id));

    // One that belongs to the tree is not turnout's to delete, and counts as a trigger when it changes.
    site.write("REBUILD_TRIGGER", "1\n");
    let tracked = daemon.expect_success(site.push_to(&daemon, "Trigger"));
    assert_eq!(builds(plan_of(&tracked)), ["web"], "{}", plan_of(&tracked));
    assert!(trigger.exists());
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("nothing to do"), "{said}");
    let clean = git2::Repository::open(&site.path).unwrap().statuses(None).unwrap().is_empty();
    assert!(clean && trigger.exists());
}

#[test]
fn what_a_failed_push_changed_is_not_forgotten() {
    let site = two_services();
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    // Web changes; api does not build, so neither is deployed.
    site.write("web/code", "2\n").write("api/Dockerfile", "FROM @BASE\nCOPY missing /app\n");
    daemon.expect_failure(site.push_to(&daemon, "Break api"));
    site.write("api/Dockerfile", "FROM @BASE\nCOPY . /app\n");
    daemon.expect_success(site.push_to(&daemon, "Repair api"));
    assert_eq!(file_in(&site.container(&site.red(), "web"), "/app/code"), "2\n");
}

#[test]
fn taking_a_failed_push_back_takes_its_image_back() {
    let run = "    build: .\n    command: [sh, /run]\n    init: true\n    stop_grace_period: 1s\n";
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{run}")),
        ("Dockerfile", "FROM @BASE\nCOPY run /run\n"),
        ("run", "sleep 1000\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    site.write("run", "echo broken; exit 1\n");
    daemon.expect_failure(site.push_to(&daemon, "Break"));
    // As deployed last, so nothing changed since; but the image is that of the broken commit.
    site.write("run", "sleep 1000\n");
    let id = site.push_to(&daemon, "Revert");
    daemon.expect_success(id);
    assert_eq!(file_in(&site.container(&site.red(), "web"), "/run"), "sleep 1000\n", "{}", log(&daemon, id));
}

#[test]
fn a_missing_image_is_built() {
    let site = two_services();
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let image = format!("{}-web", site.red());
    docker::block_on(async {
        let options = bollard::query_parameters::RemoveImageOptionsBuilder::new().force(true).build();
        docker::connect().await.remove_image(&image, Some(options), None).await.unwrap();
    });
    let plan = all_of(&daemon.turnout(&["plan", &site.name]));
    assert_eq!(builds(&plan), ["web"], "{plan}");
    assert!(plan.contains("does not exist"), "{plan}");
    deploy(&daemon, &[&site.name], 0);
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("nothing to do"), "{said}");
}

#[test]
fn the_printed_plan_is_the_one_carried_out_with_and_without_a_daemon() {
    let site = two_services();
    let mut daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let history = daemon.history();
    let first = plan_of(&history[0]);
    for service in ["api", "web"] {
        let step = format!("build {}-{service} for {service}: its image does not exist\n", site.red());
        assert!(first.contains(&step), "{first}");
    }
    site.write("web/code", "2\n");
    site.remote.commit_and_push("Second");
    site.check_out();
    let ask = |daemon: &Daemon, arguments: &[&str]| {
        let output = daemon.turnout(arguments);
        assert!(output.status.success(), "{}", all_of(&output));
        all_of(&output)
    };
    let steps = |text: &str| {
        let from = text.find(&format!("{}: ", site.red())).unwrap_or_else(|| panic!("no plan in {text}"));
        text[from..].to_owned()
    };
    let asked = ask(&daemon, &["plan", &site.name]);
    assert_eq!(builds(&asked), ["web"], "{asked}");

    assert!(daemon.terminate().success());
    let (repos, state) = (daemon.repos_yaml(), daemon.state_dir());
    let settings = ["--repos", repos.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    let alone = ask(&daemon, &[&["plan", &site.name][..], &settings].concat());
    assert_eq!(steps(&alone), steps(&asked));
    let checked = daemon.command(&[&["check"][..], &settings].concat()).env("WEBHOOK_SECRET", "x").output().unwrap();
    let said = all_of(&checked);
    assert!(checked.status.success() && said.contains("all is well") && said.contains(&site.red()), "{said}");

    daemon.restart();
    let rebuilt = ask(&daemon, &["plan", &site.name, "--rebuild"]);
    assert_eq!(builds(&rebuilt), ["api", "web"], "{rebuilt}");
    deploy(&daemon, &[&site.name], 0);
    assert_eq!(plan_of(&daemon.history()[0]).trim(), steps(&asked).trim());
}

#[test]
fn the_repository_itself_and_the_trigger_file_are_no_inputs() {
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{}", built("."))),
        ("Dockerfile", "FROM @BASE\nCOPY . /app\n"),
        (".dockerignore", "docs\n"),
    ]);
    std::fs::write(site.path.join("REBUILD_TRIGGER"), "").unwrap();
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert!(!site.path.join("REBUILD_TRIGGER").exists());
    let before = untouched(&site.red());
    site.write("docs/manual", "Words\n");
    let id = site.push_to(&daemon, "Words");
    let done = daemon.expect_success(id);
    assert_eq!(builds(plan_of(&done)), [""; 0], "{}", plan_of(&done));
    assert_eq!(untouched(&site.red()), before);
}
