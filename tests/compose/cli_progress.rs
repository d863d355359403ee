//! What commands tell while they change something, and what they ask: as the real `docker compose` does.

use crate::{common, compose_cli_support};
use compose_cli_support::{Ran, Site, compose_is_installed};

const CHAIN: &str = "services:
  db: {image: 'IMAGE', QUICK, healthcheck: {test: 'true', interval: 200ms}}
  api: {image: 'IMAGE', QUICK, depends_on: {db: {condition: service_healthy, restart: true}}}
  web: {image: 'IMAGE', QUICK, depends_on: [api], ports: ['127.0.0.1::80'], volumes: ['data:/own']}
volumes: {data: }
";

/// The project's name stands in its file, so that neither tool overlooks what is wrong with a line.
fn named(yaml: &str) -> Site {
    let site = Site::new("services: {}\n");
    site.write("compose.yaml", &format!("name: {}\n{yaml}", site.project));
    site
}

/// Lines of progress without the project's name; steps that run side by side end in any order.
fn told(site: &Site, ran: &Ran) -> Vec<String> {
    let mut lines: Vec<String> = ran.err.lines().map(|line| line.replace(&site.project, "P")).collect();
    lines.sort();
    lines
}

/// Both tools run these lines one after the other, on a project of the same name each.
#[track_caller]
fn both(yaml: &str, lines: &[&[&str]]) {
    if !compose_is_installed() {
        return;
    }
    let site = named(yaml);
    let run = |ours: bool| {
        let all = lines.iter().map(|line| {
            let ran = if ours { site.ours_by_file(line) } else { site.theirs_by_file(line) };
            (line.join(" "), ran.code, ran.out.replace(&site.project, "P"), told(&site, &ran))
        });
        let all: Vec<_> = all.collect();
        site.ours_by_file(&["--profile", "*", "down", "-v", "--remove-orphans"]).ok();
        all
    };
    let (theirs, ours) = (run(false), run(true));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}

#[test]
fn containers_restart_in_place_and_in_order() {
    let site = named(CHAIN);
    site.ours_by_file(&["up", "-d"]).ok();
    let starts = || {
        let started = |name: &str| site.inspect(name).state.unwrap().started_at.unwrap();
        ["db-1", "api-1", "web-1"].map(started)
    };
    let (ids, before) = (site.ids(), starts());
    let ran = site.ours_by_file(&["restart", "-t", "0", "db"]).ok();
    let line = |name: &str, what: &str| format!(" Container {}-{name}-1  {what}", site.project);
    let wanted = [
        line("db", "Restarting"),
        line("db", "Started"),
        line("db", "Waiting"),
        line("db", "Healthy"),
        line("api", "Restarting"),
        line("api", "Started"),
    ];
    assert_eq!(ran.err.lines().collect::<Vec<_>>(), wanted);
    let after = starts();
    assert_eq!(ids, site.ids());
    let changed: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before != after).collect();
    assert_eq!(changed, [true, true, false], "what depends on it with restart: true goes along");
    // Events tell a restart, not a stop and a start.
    both(
        CHAIN,
        &[
            &["up", "-d"],
            &["restart"],
            &["restart", "db"],
            &["restart", "--no-deps", "db"],
            &["restart", "--no-deps", "db", "api"],
            &["stop", "web"],
            &["restart", "-t", "0", "web"],
            &["ps", "--format", "{{.Service}} {{.State}}"],
        ],
    );
}

#[test]
fn stopping_and_removing_are_told_alike() {
    both(
        CHAIN,
        &[
            &["up", "-d"],
            &["kill", "-s", "USR1", "web"],
            &["stop"],
            &["stop"],
            &["kill"],
            &["rm", "-f", "web"],
            &["rm", "-f", "web"],
            &["rm"],
            &["start", "db"],
            &["rm", "-f", "db"],
            &["rm", "-fs", "db"],
            &["down"],
            &["down"],
            &["up", "-d"],
            &["down", "web"],
            &["up", "-d", "--scale", "web=2"],
            &["up", "-d", "--scale", "web=1"],
            &["kill"],
            &["down", "-v"],
        ],
    );
}

#[test]
fn an_up_waits_for_what_runs_already() {
    let yaml = "services:
  db: {image: 'IMAGE', QUICK, command: [sh, -c, 'touch /tmp/ok; exec sleep 1000'],
    healthcheck: {test: 'test -f /tmp/ok', interval: 200ms, retries: 1}}
  web: {image: 'IMAGE', QUICK, depends_on: {db: {condition: service_healthy}, job: {condition: service_completed_successfully}}}
  job: {image: 'IMAGE', command: [sh, -c, 'test ! -f /own/fail'], volumes: ['data:/own']}
volumes: {data: }
";
    both(yaml, &[&["up", "-d"], &["up", "-d"], &["up", "-d", "web"], &["restart", "web"]]);
    for ours in [true, false] {
        if !ours && !compose_is_installed() {
            continue;
        }
        let site = named(yaml);
        let up = || if ours { site.ours_by_file(&["up", "-d"]) } else { site.theirs_by_file(&["up", "-d"]) };
        up().ok();
        site.exec("db", "rm /tmp/ok");
        common::wait_until("the check fails", common::PATIENCE, || {
            let row = site.ours_by_file(&["ps", "--format", "{{.Health}}", "db"]).ok().out;
            if row.trim() == "unhealthy" { Ok(()) } else { Err(row) }
        });
        let before = site.ids();
        up().fails("dependency failed to start: container");
        assert_eq!(site.ids(), before);
        site.exec("db", "touch /tmp/ok");
        common::wait_until("the check succeeds", common::PATIENCE, || {
            let row = site.ours_by_file(&["ps", "--format", "{{.Health}}", "db"]).ok().out;
            if row.trim() == "healthy" { Ok(()) } else { Err(row) }
        });
        let touch = ["run", "--rm", "-T", "--no-deps", "job", "touch", "/own/fail"];
        site.ours_by_file(&touch).ok();
        up().fails("service \"job\" didn't complete successfully: exit 1");
    }
}

#[test]
fn what_does_not_run_uses_nothing() {
    both(
        "services: {web: {image: 'IMAGE', QUICK, ports: ['127.0.0.1::80']}, job: {image: 'IMAGE', command: ['true']}}\n",
        &[
            &["create"],
            &[
                "stats",
                "--all",
                "--no-stream",
                "--format",
                "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.NetIO}} {{.PIDs}}",
                "web",
            ],
            &["stats", "--no-stream", "--format", "{{.Name}}"],
            &["port", "web", "80"],
            &["cp", "web:/bin/busybox", "./copied"],
            &["cp", "copied", "web:/tmp2"],
            &["run", "--rm", "-T", "--no-deps", "job", "echo", "said"],
        ],
    );
}

#[test]
fn orphans_are_those_of_nobody() {
    if !compose_is_installed() {
        return;
    }
    let yaml = "services:
  web: {image: 'IMAGE', QUICK}
  idle: {image: 'IMAGE', QUICK, profiles: [x]}
  old: {image: 'IMAGE', QUICK}
";
    let left = |ours: bool| {
        let site = named(yaml);
        site.ours_by_file(&["--profile", "x", "up", "-d"]).ok();
        site.write(
            "compose.yaml",
            &format!("name: {}\n{}", site.project, yaml.replace("  old: {image: 'IMAGE', QUICK}\n", "")),
        );
        let line = ["down", "-t", "0", "--remove-orphans"];
        // The network of what stays cannot go, which the real one of this engine calls a failure.
        let _ = if ours { site.ours_by_file(&line) } else { site.theirs_by_file(&line) };
        site.ids().into_keys().collect::<Vec<_>>()
    };
    assert_eq!((left(true), left(false)), (vec!["idle-1".to_owned()], vec!["idle-1".to_owned()]));
}

#[test]
fn questions_are_asked_on_standard_output() {
    let site = named(CHAIN);
    for (answer, goes) in [("", false), ("n\n", false), ("y\n", true), ("true\n", true)] {
        for ours in [true, false] {
            if !ours && !compose_is_installed() {
                continue;
            }
            site.ours_by_file(&["create", "db"]).ok();
            let mut command = site.ours_with(&["rm"]);
            if !ours {
                command = std::process::Command::new("docker");
                command.args(["compose", "rm"]).current_dir(site.path());
            }
            command.env_remove("COMPOSE_PROJECT_NAME");
            let ran = Ran::fed(command, answer).ok();
            assert_eq!(ran.out, format!("Going to remove {}-db-1", site.project), "{ours} {answer:?}");
            assert_eq!(site.ids().is_empty(), goes, "{ours} {answer:?}");
        }
    }
}

#[test]
fn commands_inside_take_everything_behind_the_service() {
    let site = named("services: {web: {image: 'IMAGE', QUICK}}\n");
    site.ours_by_file(&["up", "-d"]).ok();
    for (line, code, out) in [
        (&["exec", "-T", "web", "echo", "--", "-T"][..], 0, "-- -T\n"),
        (&["exec", "-T", "--", "web", "echo", "a"], 0, "a\n"),
        (&["exec", "-T", "web", "--", "echo", "a"], 126, ""),
        (&["exec", "-T", "web", "-T", "true"], 126, ""),
        (&["exec", "-T", "web"], 1, ""),
        (&["run", "--rm", "-T", "--", "web", "echo", "a"], 0, "a\n"),
        (&["run", "--rm", "-T", "web", "--", "echo", "a"], 1, ""),
    ] {
        let ours = site.ours_by_file(line);
        // A program that is not there: 126 from Docker 20.10, 127 from 28.
        let wanted = if code == 126 { 126..=127 } else { code..=code };
        assert!(wanted.contains(&ours.code), "{line:?} {ours:?}");
        if code == 0 {
            assert_eq!(ours.out, out, "{line:?}");
        }
        if compose_is_installed() {
            let theirs = site.theirs_by_file(line);
            assert_eq!((theirs.code, &theirs.out), (ours.code, &ours.out), "{line:?} {theirs:?}");
        }
    }
}

#[test]
fn images_of_the_project_go_as_the_real_one_removes_them() {
    if !compose_is_installed() {
        return;
    }
    let yaml = |project: &str| {
        format!(
            "name: {project}
services:
  own: {{build: {{context: ., args: {{W: own}}}}, command: ['true']}}
  named: {{build: {{context: ., args: {{W: named}}}}, image: '{project}-given', command: ['true']}}
  two: {{build: {{context: ., args: {{W: two}}, tags: ['{project}-second:x']}}, image: '{project}-two:1', command: ['true']}}
  plain: {{image: '{project}-plain', command: ['true']}}
  gone: {{build: {{context: ., args: {{W: gone}}}}, profiles: [x], command: ['true']}}
"
        )
    };
    let site = named("services: {}\n");
    site.write("compose.yaml", &yaml(&site.project));
    site.write("Dockerfile", "FROM IMAGE\nARG W\nLABEL w=$W\n");
    let docker = |args: &[&str]| Ran::of(std::process::Command::new("docker").args(args).output().unwrap());
    let images = || {
        let listed = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok().out;
        let mut own: Vec<String> = listed
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{}-", site.project)).map(str::to_owned))
            .collect();
        own.sort();
        own
    };
    let plain = format!("{}-plain", site.project);
    let name = site.project.clone();
    let mut left = Vec::new();
    for ours in [false, true] {
        let mut all = Vec::new();
        for line in [
            &["down", "--rmi", "local"][..],
            &["down", "--rmi", "all"],
            &["down", "--rmi", "local", "--remove-orphans"],
            &["down", "--rmi", "local", "own"],
            &["-p", &name, "down", "--rmi", "local"],
            &["-p", &name, "down", "--rmi", "all"],
        ] {
            // The real one removes images side by side; an engine then fails now and then, or one removal
            // takes the image that another one still names.
            let lost_a_race = |ran: &Ran| {
                !ours
                    && ["unrecognized image ID", "No resource found to remove"]
                        .iter()
                        .any(|text| ran.err.contains(text))
            };
            let mut turns = 0;
            let ran = loop {
                docker(&["tag", &common::engine::image(), &plain]).ok();
                site.ours_by_file(&["--profile", "x", "build", "-q"]).ok();
                site.ours_by_file(&["--profile", "x", "create"]).ok();
                let ran = if ours { site.ours_by_file(line) } else { site.theirs_by_file(line) };
                turns += 1;
                if turns == 5 || !lost_a_race(&ran) {
                    break ran.ok();
                }
            };
            let mut told: Vec<String> =
                ran.err.lines().filter(|line| line.starts_with(" Image ")).map(str::to_owned).collect();
            told.sort();
            all.push((line.join(" "), images(), told));
            site.ours_by_file(&["--profile", "x", "down", "--remove-orphans"]).ok();
            for image in images() {
                docker(&["rmi", &format!("{name}-{image}")]).ok();
            }
        }
        left.push(all);
    }
    for (theirs, ours) in left[0].iter().zip(&left[1]) {
        assert_eq!(ours, theirs);
    }
}
