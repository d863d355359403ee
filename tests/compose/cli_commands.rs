//! The other commands of `turnout compose` against the real engine.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::{common, compose_cli_support};
use compose_cli_support::{Site, compose_is_installed, json_lines};

#[test]
fn containers_are_listed_stopped_started_killed_and_removed() {
    let site =
        Site::new("services: {web: {image: 'IMAGE', QUICK, ports: ['127.0.0.1::80']}, db: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["up", "-d"]).ok();
    let rows = json_lines(&site.ours(&["ps", "--format", "json"]).ok().out);
    assert_eq!(rows.len(), 2);
    let web = rows.iter().find(|row| row["Service"] == "web").unwrap();
    assert_eq!((&web["State"], &web["Publishers"][0]["TargetPort"]), (&"running".into(), &80.into()), "{web}");
    let address = site.ours(&["port", "web", "80"]).ok().out;
    assert_eq!(address.trim(), format!("127.0.0.1:{}", web["Publishers"][0]["PublishedPort"]));
    site.ours(&["port", "web", "81"]).fails("no port 81/tcp");
    // As Compose 5 lists them all.
    assert_eq!(site.ours(&["port", "web"]).ok().out, format!("80/tcp -> {}", address));
    assert_eq!(site.ours(&["port", "--protocol", "udp", "web"]).ok().out, "");
    assert!(site.ours(&["ps"]).ok().out.starts_with("NAME "));

    let before = site.ids();
    site.ours(&["stop", "web"]).ok();
    assert_eq!(site.ours(&["ps", "--services"]).ok().out, "db\n");
    assert_eq!(site.ours(&["ps", "-a", "--status", "exited", "--services"]).ok().out, "web\n");
    site.ours(&["start"]).ok();
    assert_eq!(site.ours(&["ps", "--services"]).ok().out, "db\nweb\n");
    site.ours_by_file(&["events", "nope"]).fails("no such service: nope");
    site.ours(&["restart", "db"]).ok();
    site.ours(&["kill", "-s", "SIGKILL", "db"]).ok();
    assert_eq!(site.inspect("db-1").state.unwrap().exit_code, Some(137));
    assert_eq!(site.ids(), before);
    site.ours(&["rm", "-f"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["web-1"], "running ones stay");
    // By the variable, as in the real one, the project is known whatever else is wrong; by its file it is not.
    site.ours(&["stop", "nope"]).ok();
    site.ours_by_file(&["stop", "nope"]).fails("no such service: nope");

    let listed = site.ours(&["ls", "--format", "json", "--filter", &format!("name={}", site.project)]).ok().out;
    assert!(listed.contains("running(1)") && listed.contains("compose.yaml"), "{listed}");
    assert!(site.ours(&["images"]).ok().out.contains(common::engine::image().split(':').next().unwrap()));
    assert!(site.ours(&["top", "web"]).ok().out.contains("sleep 1000"));
    // Without any file, by name alone.
    let by_name = site.ours_with(&["-p", &site.project, "down"]).current_dir("/").output().unwrap();
    assert!(by_name.status.success(), "{by_name:?}");
    assert!(site.ids().is_empty());
    // As in the real one: where a file describes networks, there was something to look for.
    assert_eq!(site.ours(&["down"]).ok().err, "");
    assert!(site.ours(&["-p", &site.project, "down"]).ok().err.contains("no resource found"));
    // Nothing to restart is no failure, nothing to start is one; as in the real one.
    assert!(site.ours(&["restart"]).ok().err.contains("no container found"));
    site.ours(&["start"]).fails("has no container to start");
}

#[test]
fn a_long_line_reads_as_it_was_written() {
    // The engine keeps it in pieces of 16 KiB, each with a time of its own.
    let site = Site::new(
        "services:
  job: {image: 'IMAGE', QUICK, command: &long [sh, -c, 'seq -s , 1 20000; printf end']}
  terminal: {image: 'IMAGE', QUICK, tty: true, command: *long}
",
    );
    site.ours(&["up", "-d"]).ok();
    let numbers: Vec<String> = (1..=20_000).map(|number| number.to_string()).collect();
    let long = numbers.join(",");
    for (service, text) in [("job", format!("{long}\nend\n")), ("terminal", format!("{long}\r\nend\n"))] {
        common::wait_until("all that it says", common::PATIENCE, || {
            let out = site.ours(&["logs", "--no-log-prefix", service]).ok().out;
            if out.ends_with("end\n") { Ok(()) } else { Err(format!("{} bytes", out.len())) }
        });
        let ours = site.ours(&["logs", "--no-log-prefix", service]).ok().out;
        assert!(ours == text, "{service}: {} bytes instead of {}", ours.len(), text.len());
        if compose_is_installed() {
            // It drops the line that has no end.
            let theirs = site.theirs(&["logs", "--no-log-prefix", service]).ok().out;
            assert!(theirs.clone() + "end\n" == ours, "{service}: {} bytes", theirs.len());
        }
    }
}

#[test]
fn logs_are_shown_with_names_and_followed() {
    let site = Site::new(
        "services:
  web: {image: 'IMAGE', QUICK, command: [sh, -c, 'echo one; echo two >&2; sleep 1000']}
  database: {image: 'IMAGE', QUICK, command: [sh, -c, 'echo three; sleep 1000']}
  idle: {image: 'IMAGE', QUICK, profiles: [idle], command: [sh, -c, 'echo four']}
",
    );
    site.ours(&["--profile", "idle", "up", "-d"]).ok();
    common::wait_until("all lines", common::PATIENCE, || {
        let out = site.ours(&["logs"]).ok().out;
        let mut lines: Vec<&str> = out.lines().collect();
        lines.sort_unstable();
        if lines == ["database-1  | three", "web-1       | one", "web-1       | two"] { Ok(()) } else { Err(out) }
    });
    assert_eq!(site.ours(&["logs", "--no-log-prefix", "-n", "1", "web"]).ok().out.lines().count(), 1);
    assert_eq!(site.ours(&["logs", "--since", "1h", "--until", "30m"]).ok().out, "");
    let stamped = site.ours(&["logs", "-t", "web"]).ok().out;
    assert!(stamped.starts_with("web-1  | 20"), "{stamped}");

    let mut follow = site.ours_with(&["logs", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut next = |count: usize| {
        // A container that runs again by the time its end is looked at is told to be restarting, as the real one does it.
        let plain = |line: std::io::Result<String>| line.unwrap().trim_end_matches(" (restarting)").to_owned();
        let mut some: Vec<String> = lines.by_ref().take(count).map(plain).collect();
        some.sort();
        some
    };
    assert_eq!(next(3), ["database-1  | three", "web-1       | one", "web-1       | two"]);
    site.ours(&["restart", "web"]).ok();
    assert_eq!(next(3), ["web-1       | one", "web-1       | two", "web-1 exited with code 137"]);
    // What an inactive profile has left neither shows nor keeps it from its end, with the last of the others.
    site.ours(&["stop"]).ok();
    assert_eq!(next(2), ["database-1 exited with code 137", "web-1 exited with code 137"]);
    assert!(follow.wait().unwrap().success());
}

#[test]
fn commands_run_in_containers_with_their_exit_code() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["up", "-d"]).ok();
    assert_eq!(site.ours_fed(&["exec", "-T", "web", "cat"], "fed").ok().out, "fed");
    let ran =
        site.ours(&["exec", "-T", "-e", "A=b", "-w", "/tmp", "web", "sh", "-c", "echo $A $PWD; echo no >&2; exit 7"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "b /tmp\n", "no\n"));
    site.ours(&["exec", "-T", "nope", "true"]).fails("service \"nope\" is not running");
    site.ours(&["exec", "-T", "--index", "4", "web", "true"]).fails("#4");
}

#[test]
fn one_offs_bring_up_what_they_need_and_end_with_their_exit_code() {
    let site = Site::new(
        "services:
  job: {image: 'IMAGE', QUICK, ports: ['127.0.0.1::80'], restart: always, depends_on: {db: {condition: service_healthy}}}
  db: {image: 'IMAGE', QUICK, healthcheck: {test: [CMD, test, -f, /data/ready], interval: 200ms, retries: 100}, command: [sh, -c, 'sleep 1; touch /data/ready; sleep 1000']}
",
    );
    let ran = site.ours_fed(&["run", "--rm", "-T", "-e", "A=b", "job", "sh", "-c", "cat; echo $A; exit 3"], "in\n");
    assert_eq!((ran.code, ran.out.as_str()), (3, "in\nb\n"), "{ran:?}");
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["db-1"], "removed after its end");
    assert_eq!(site.inspect("db-1").state.unwrap().health.unwrap().status.unwrap().to_string(), "healthy");

    let id = site.ours(&["run", "-d", "-l", "own=1", "-v", "./:/mnt:ro", "--entrypoint", "sleep 1000", "job"]).ok().out;
    let (name, found) = site.ids().into_iter().find(|(name, _)| name.starts_with("job-run-")).unwrap();
    assert_eq!(found, id.trim());
    let inspected = site.inspect(&name);
    let config = inspected.config.unwrap();
    let labels = config.labels.unwrap();
    let label = |name: &str| labels.get(&format!("com.docker.compose.{name}")).map(String::as_str);
    assert_eq!((label("oneoff"), label("container-number"), label("service")), (Some("True"), None, Some("job")));
    assert_eq!(label("slug").map(|slug| (slug.len(), slug.get(..12))), Some((64, name.strip_prefix("job-run-"))));
    assert_eq!(labels.get("own").map(String::as_str), Some("1"));
    assert_eq!(config.entrypoint.unwrap(), ["sleep", "1000"]);
    let host = inspected.host_config.unwrap();
    assert!(host.port_bindings.unwrap_or_default().is_empty(), "ports only on request");
    // Engines from API 1.45 on say "no" where nothing was asked for.
    let restart = host.restart_policy.unwrap().name.map(|n| n.to_string()).unwrap_or_default();
    assert!(["", "no"].contains(&restart.as_str()), "{restart}");
    assert!(host.binds.unwrap()[0].ends_with(":/mnt:ro"));
    site.ours(&["down", "--remove-orphans"]).ok();
    assert!(site.ids().is_empty());
}

#[test]
fn events_are_shown_as_they_come() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["create"]).ok();
    let mut events = site.ours_with(&["events", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    // Until it listens, starts are missed: so again and again.
    let (told, started) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let line = lines.next().unwrap().unwrap();
            told.send(serde_json::from_str::<serde_json::Value>(&line).unwrap()).unwrap();
        });
        let event = common::wait_until("an event", common::PATIENCE, || {
            site.ours(&["restart"]).ok();
            started.try_recv()
        });
        assert_eq!((&event["service"], &event["type"]), (&"web".into(), &"container".into()), "{event}");
        assert_eq!(event["id"], site.ids()["web-1"]);
    });
    events.kill().unwrap();
    events.wait().unwrap();
}

#[test]
fn up_in_the_foreground_shows_logs_and_stops_at_an_interrupt() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK, command: [sh, -c, 'echo hello; sleep 1000']}}\n");
    let mut up = site.ours_with(&["up"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "Attaching to web-1");
    assert_eq!(lines.next().unwrap().unwrap(), "web-1  | hello");
    rustix::process::kill_process(rustix::process::Pid::from_child(&up), rustix::process::Signal::INT).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130));
    assert_eq!(site.inspect("web-1").state.unwrap().running, Some(false));

    site.write("compose.yaml", "services: {web: {image: 'IMAGE', command: [sh, -c, 'echo bye; exit 4']}}\n");
    let ended = site.ours(&["up"]).ok();
    assert!(ended.out.contains("web-1  | bye\n") && ended.out.contains("web-1 exited with code 4\n"), "{ended:?}");
}

#[test]
fn config_prints_single_aspects() {
    let site = Site::new(
        "services:
  web: {image: 'img:${TAG:-1}', depends_on: [db], volumes: ['data:/d'], profiles: [p]}
  db: {build: .}
volumes: {data: , unused: }
",
    );
    site.write(".env", "COMPOSE_PROFILES=p\n");
    let project = &site.project;
    for (args, expected) in [
        (vec!["--services"], "db\nweb\n".to_owned()),
        (vec!["--images"], format!("{project}-db\nimg:1\n")),
        (vec!["--volumes"], "data\n".to_owned()),
        (vec!["--networks"], "default\n".to_owned()),
        (vec!["--profiles"], "p\n".to_owned()),
        (vec!["-q"], String::new()),
        (
            vec!["--variables"],
            "NAME                REQUIRED            DEFAULT VALUE       ALTERNATE VALUE\n\
             TAG                 false               1                   \n"
                .to_owned(),
        ),
    ] {
        let args: Vec<&str> = std::iter::once("config").chain(args).collect();
        assert_eq!(site.ours(&args).ok().out, expected, "{args:?}");
    }
    assert!(site.ours(&["config", "--environment"]).ok().out.contains(&format!("COMPOSE_PROJECT_NAME={project}\n")));
    let all = site.ours(&["config", "--hash", "*"]).ok().out;
    assert_eq!(all.lines().map(|line| line.len()).collect::<Vec<_>>(), ["db ".len() + 64, "web ".len() + 64]);
    assert_eq!(site.ours(&["--all-resources", "config", "--volumes"]).ok().out, "data\nunused\n");
    site.ours(&["config", "-o", "out.yaml"]).ok();
    assert!(std::fs::read_to_string(site.path().join("out.yaml")).unwrap().contains("image: img:1"));
    assert!(site.ours(&["config", "--no-interpolate"]).ok().out.contains("img:${TAG:-1}"));
    assert!(!site.ours(&["config", "--no-normalize"]).ok().out.contains("networks:"));
    site.ours(&["-f", "none.yaml", "config"]).fails("none.yaml");
}

#[test]
fn images_are_built_and_pulls_are_told() {
    let site = Site::new(
        "services: {web: {build: {context: ., args: {A: '1'}}}, plain: {image: 'IMAGE', pull_policy: never}}\n",
    );
    site.write("Dockerfile", "FROM IMAGE\nARG A\nLABEL a=$A\n");
    site.ours(&["build", "--build-arg", "A=2"]).ok();
    let label = common::docker::block_on(async {
        let image = common::docker::connect().await.inspect_image(&format!("{}-web", site.project)).await.unwrap();
        image.config.unwrap().labels.unwrap().get("a").cloned()
    });
    assert_eq!(label.as_deref(), Some("2"));
    let pulled = site.ours(&["pull", "--ignore-buildable"]).ok();
    assert!(pulled.err.contains("web Skipped") && pulled.err.contains("plain Skipped"), "{pulled:?}");
    site.ours(&["down", "--rmi", "local"]).ok();
    let gone = common::docker::block_on(async {
        common::docker::connect().await.inspect_image(&format!("{}-web", site.project)).await.is_err()
    });
    assert!(gone);
}

#[test]
fn a_start_can_wait_for_health_and_says_whose_is_missing() {
    let site = Site::new(
        "services:
  web: {image: 'IMAGE', QUICK, depends_on: [db], healthcheck: {test: [CMD, test, -e, /well], interval: 1s, retries: 2}}
  db: {image: 'IMAGE', QUICK}
  other: {image: 'IMAGE', command: [sh, -c, 'exit 3']}
",
    );
    site.ours(&["create"]).ok();
    site.ours(&["start", "--wait", "web"]).fails("web-1 is unhealthy");
    site.ours(&["exec", "-T", "web", "sh", "-c", "echo > /well"]).ok();
    site.ours(&["stop", "web"]).ok();
    // By its containers alone too; what was not named is not waited for.
    let waited = site.ours(&["start", "--wait", "--wait-timeout", "60", "web"]).ok();
    assert!(waited.err.contains("web-1  Healthy") && waited.err.contains("db-1  Healthy"), "{waited:?}");
    assert!(!waited.err.contains("other-1"), "{waited:?}");
    site.ours(&["stop", "web"]).ok();
    std::fs::remove_file(site.path().join("compose.yaml")).unwrap();
    let waited = site.ours(&["-p", &site.project, "start", "--wait", "web"]).ok();
    assert!(waited.err.contains("web-1  Healthy"), "{waited:?}");
}
