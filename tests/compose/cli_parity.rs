//! `turnout compose` beside the real `docker compose`: the same flags, the same outputs, the same exit codes.

use std::process::Command;

use crate::{common, compose_cli_support};
use compose_cli_support::{Ran, Site, compose_is_installed, json_lines};

/// Commands of the real one, from its own help.
fn their_commands() -> Vec<String> {
    let output = Command::new("docker").args(["compose", "--help"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut listing = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.ends_with("ommands:") {
            listing = true;
        } else if let Some(name) = line.strip_prefix("  ").filter(|_| listing) {
            found.extend(name.split_whitespace().next().map(str::to_owned));
        }
    }
    found
}

/// Long and short names of the flags in a help text, and whether they take a value.
fn flags(help: &str) -> Vec<(String, Option<String>, bool)> {
    let mut found = Vec::new();
    // Text that is wrapped stands further to the right.
    let indent = |line: &str| line.len() - line.trim_start().len();
    for line in help.lines().filter(|line| indent(line) <= 6).map(str::trim).filter(|line| line.starts_with('-')) {
        let (short, rest) = match line.split_once(", --") {
            Some((short, rest)) if short.len() == 2 => (Some(short.to_owned()), rest),
            _ => (None, line.trim_start_matches("--")),
        };
        let mut words = rest.split_whitespace();
        let name = words.next().unwrap().to_owned();
        let two_spaces = rest.get(name.len()..).is_some_and(|rest| rest.starts_with("  ") || rest.is_empty());
        found.push((format!("--{name}"), short, !two_spaces));
    }
    found
}

/// Every flag is either carried out or refused by name: never called a spelling mistake.
#[test]
fn every_flag_of_the_real_one_is_known() {
    if !compose_is_installed() {
        return;
    }
    let commands = their_commands();
    assert!(commands.len() > 30 && commands.contains(&"up".to_owned()), "{commands:?}");
    let empty = tempfile::tempdir().unwrap();
    let ours = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnout"));
        // Where there is neither a project nor an engine: nothing is carried out, whatever is understood.
        command.arg("compose").args(args).current_dir(empty.path()).env_clear();
        command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let mut unknown = Vec::new();
    for command in std::iter::once("").chain(commands.iter().map(String::as_str)) {
        let mut help = Command::new("docker");
        let help = help.arg("compose").args((!command.is_empty()).then_some(command)).arg("--help").output().unwrap();
        let flags = flags(&String::from_utf8(help.stdout).unwrap());
        assert!(!flags.is_empty(), "{command}");
        for (long, short, valued) in flags {
            for flag in std::iter::once(&long).chain(&short) {
                let mut args = vec![command];
                args.retain(|arg| !arg.is_empty());
                args.push(flag);
                if valued {
                    args.push("1");
                }
                if command.is_empty() {
                    args.push("version");
                }
                let said = ours(&args);
                if said.contains("unexpected argument") || said.contains("unrecognized subcommand") {
                    unknown.push(args.join(" "));
                }
                let takes = said.contains("a value is required");
                assert!(!takes, "{args:?} takes a value in ours only: {said}");
            }
        }
    }
    assert!(unknown.is_empty(), "not known:\n{}", unknown.join("\n"));
}

const PROJECT: &str = "name: PROJECT
services:
  web:
    image: 'IMAGE'
    stop_grace_period: 0s
    ports: ['127.0.0.1::80', '127.0.0.1::53/udp']
    volumes: ['data:/d']
    scale: 2
    command: [sh, -c, 'echo hello from $$HOSTNAME; exec sleep 1000']
  db:
    image: 'IMAGE'
    stop_grace_period: 0s
    healthcheck: {test: [CMD, 'true'], interval: 1s}
  job: {image: 'IMAGE', command: [sh, -c, 'exit 3']}
volumes: {data: {labels: {a: b}}}
";

/// Lines without what differs by nature: their order, blanks, empty lines, and ages, for one is asked later.
fn lines(ran: &Ran) -> Vec<String> {
    let age = regex::Regex::new(r"([0-9]+|About a) (second|minute)s? ago").unwrap();
    let plain = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        age.replace_all(&words.join(" "), "AGO").into_owned()
    };
    let mut all: Vec<String> = ran.out.lines().map(plain).filter(|line| !line.is_empty()).collect();
    all.sort();
    all
}

#[test]
fn both_print_the_same_of_a_running_project() {
    if !compose_is_installed() {
        return;
    }
    let site = Site::new("services: {}\n");
    site.write("compose.yaml", &PROJECT.replace("PROJECT", &site.project));
    site.ours(&["up", "-d"]).ok();
    common::wait_until("the job's end and health", common::PATIENCE, || {
        let rows = site.ours(&["ps", "-a", "--format", "{{.State}} {{.Health}}"]).ok().out;
        if rows.contains("exited") && rows.contains("running healthy") { Ok(()) } else { Err(rows) }
    });
    let filter = format!("name={}", site.project);
    for args in [
        &["ps", "-q"][..],
        &["ps", "-aq"],
        &["ps", "--services"],
        &["ps", "-a", "--services", "--status", "exited"],
        &["ps", "-a", "--services", "--filter", "status=running"],
        &["ps", "--filter", "name=x"],
        &["ps", "--filter", "x"],
        &["ps", "nope"],
        &["ps", "--orphans=false", "-q"],
        &["ps", "-a", "--format", "{{.Name}} {{.Service}} {{.State}} {{.Health}} {{.ExitCode}} {{.Image}} {{.Ports}}"],
        &["ps", "-a", "--format", "{{json .Name}} {{upper .State}} {{.Project}} {{.Command}}"],
        &["ps", "-a", "--format", "table {{.Service}}\t{{.State}}\t{{.ID}}"],
        &["ps", "-a", "--no-trunc", "--format", "{{.Command}} {{.ID}}"],
        &["ls", "--format", "json", "--filter", &filter],
        &["ls", "-a", "-q", "--filter", &filter],
        &["ls", "--filter", &filter],
        &["ls", "--filter", "x=y"],
        &["images"],
        &["images", "-q"],
        &["images", "web"],
        &["port", "web", "80"],
        &["port", "--index", "2", "web", "80"],
        &["port", "--protocol", "udp", "web", "53"],
        &["port", "web", "81"],
        &["port", "nope", "80"],
        &["port", "web", "x"],
        &["top", "db"],
        &["logs", "--no-color"],
        &["logs", "--no-color", "--no-log-prefix", "web"],
        &["logs", "--no-color", "--tail", "1", "--index", "2", "web"],
        &["logs", "--until", "1h", "web"],
        &["volumes"],
        &["volumes", "-q", "web"],
        &["volumes", "-q", "db"],
        &["volumes", "--format", "{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Availability}} {{.Label \"a\"}}"],
        &["volumes", "nope"],
        &["exec", "-T", "web", "sh", "-c", "exit 7"],
        &["exec", "-T", "--index", "2", "web", "sh", "-c", "echo $HOSTNAME"],
        &["exec", "-T", "--index", "9", "web", "true"],
        &["exec", "-T", "nope", "true"],
        &["exec", "-T", "web", "nosuchprogram"],
        &[
            "exec",
            "-T",
            "-u",
            "1:2",
            "-e",
            "A=b",
            "-w",
            "/tmp",
            "web",
            "sh",
            "-c",
            "echo $A $PWD; stat -c %u /proc/self",
        ],
        &["kill", "nope"],
        &["stop", "nope"],
        &["start", "nope"],
        &["restart", "nope"],
        &["rm", "-f", "nope"],
        &["pause", "nope"],
        &["wait", "nope"],
        &["cp", "web:/nope", "."],
        &["cp", "web:/a", "db:/a"],
        &["cp", "a", "b"],
        &["scale", "web"],
        &["up", "-d", "--wait", "--attach", "web"],
        &["up", "--abort-on-container-exit", "--abort-on-container-failure"],
        &["up", "--attach", "nope"],
        &["up", "-d", "--build", "--no-build"],
        &["up", "-d", "--force-recreate", "--no-recreate"],
        &["up", "-d", "-V", "--no-recreate"],
        &["up", "-d", "nope"],
        &["-f", "nope.yaml", "ps"],
        &["-p", "Bad_Name", "config"],
    ] {
        let (theirs, ours) = (site.theirs_by_file(args), site.ours_by_file(args));
        // Usage errors have exit codes of their own in ours; failure is what counts.
        assert_eq!(ours.code == 0, theirs.code == 0, "{args:?}\nours: {ours:?}\ntheirs: {theirs:?}");
        if args[0] == "exec" {
            assert_eq!(ours.code, theirs.code, "{args:?}\nours: {ours:?}\ntheirs: {theirs:?}");
        }
        assert_eq!(lines(&ours), lines(&theirs), "{args:?}\nours: {ours:?}\ntheirs: {theirs:?}");
    }
    let keys = |ran: Ran| -> Vec<serde_json::Value> {
        let mut rows = json_lines(&ran.ok().out);
        rows.sort_by_key(|row| row["Name"].to_string());
        for row in &mut rows {
            let row = row.as_object_mut().unwrap();
            // Words for times change from second to second; labels and mounts come in any order.
            for name in ["RunningFor", "Status", "CreatedAt"] {
                assert!(row.remove(name).is_some(), "{name}");
            }
            for name in ["Labels", "Mounts"] {
                let mut all: Vec<String> = row[name].as_str().unwrap().split(',').map(str::to_owned).collect();
                all.sort();
                row.insert(name.to_owned(), all.into());
            }
        }
        rows
    };
    assert_eq!(
        keys(site.ours(&["ps", "-a", "--format", "json"])),
        keys(site.theirs(&["ps", "-a", "--format", "json"]))
    );
    let shape = |ran: Ran| ran.out.split_whitespace().take(13).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(shape(site.ours(&["stats", "--no-stream"]).ok()), shape(site.theirs(&["stats", "--no-stream"]).ok()));
}

/// Our own label, which ours leaves out as it does those of Compose.
fn own_label() -> regex::Regex {
    regex::Regex::new(r#""dev\.turnout\.attributes":"(\\.|[^"\\])*","#).unwrap()
}

#[test]
fn both_end_alike_where_nothing_is_there() {
    if !compose_is_installed() {
        return;
    }
    let site = Site::new("services: {web: {image: 'IMAGE'}}\n");
    for command in [
        &["restart"][..],
        &["stop"],
        &["start"],
        &["kill"],
        &["rm", "-f"],
        &["pause"],
        &["unpause"],
        &["top"],
        &["ps"],
        &["logs"],
        &["images"],
        &["volumes"],
        &["down"],
        &["wait", "web"],
        &["port", "web", "1"],
        &["exec", "web", "x"],
    ] {
        for named in [&[][..], &["-p", "turnout-test-nothing"]] {
            let args: Vec<&str> = named.iter().chain(command).copied().collect();
            let (theirs, ours) = (site.theirs(&args), site.ours(&args));
            assert_eq!(
                (ours.code == 0, lines(&ours)),
                (theirs.code == 0, lines(&theirs)),
                "{args:?} {ours:?} {theirs:?}"
            );
        }
    }
}

#[test]
fn both_tell_the_same_events() {
    if !compose_is_installed() {
        return;
    }
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().to_string();
    site.ours(&["up", "-d"]).ok();
    site.ours(&["restart"]).ok();
    let until = (std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 1).to_string();
    for form in [&["--json"][..], &[]] {
        let args: Vec<&str> =
            ["events", "--since", &since, "--until", &until].into_iter().chain(form.iter().copied()).collect();
        // Theirs ends with a complaint about the end of the stream.
        let (mut theirs, ours) = (site.theirs(&args), site.ours(&args).ok());
        assert!(theirs.err.trim().is_empty() || theirs.err.trim() == "EOF", "{theirs:?}");
        theirs.out = own_label().replace_all(&theirs.out, "").into_owned();
        if form.is_empty() {
            let words =
                |ran: &Ran| ran.out.lines().map(|l| l.split(" (").next().unwrap().to_owned()).collect::<Vec<_>>();
            assert_eq!(words(&ours), words(&theirs));
        } else {
            let time = |row: &mut serde_json::Value| row.as_object_mut().unwrap().remove("time").unwrap();
            let (mut a, mut b) = (json_lines(&ours.out), json_lines(&theirs.out));
            a.iter_mut().chain(&mut b).for_each(|row| drop(time(row)));
            assert_eq!(a, b);
        }
    }
}

#[test]
fn foreground_ups_end_alike() {
    if !compose_is_installed() {
        return;
    }
    let site = Site::new(
        "services:
  web: {image: 'IMAGE', QUICK, command: [sh, -c, 'echo hello; sleep 1; exit 4']}
  db: {image: 'IMAGE', QUICK, command: [sh, -c, 'echo ready; sleep 1000']}
  job: {image: 'IMAGE', QUICK, command: [sh, -c, 'echo done; sleep 1'], profiles: [job]}
",
    );
    for args in [
        &["up", "--abort-on-container-exit"][..],
        &["up", "--abort-on-container-failure"],
        &["up", "--exit-code-from", "web"],
        &["up", "--exit-code-from", "db"],
        &["up", "--abort-on-container-failure", "--no-attach", "db"],
        &["up", "--abort-on-container-exit", "--no-log-prefix"],
        &["up", "--abort-on-container-exit", "--attach", "web"],
        &["up", "web"],
        &["up", "job"],
        &["up", "--abort-on-container-failure", "job"],
        &["up", "--abort-on-container-exit", "job"],
    ] {
        let run = |theirs: bool| {
            site.ours(&["--profile", "job", "down", "-t", "0"]).ok();
            let ran = if theirs { site.theirs(args) } else { site.ours(args) };
            let out = ran.out.replace("\r\u{1b}[K", "");
            // Names stand in a column that is wider in theirs once it has learnt of longer ones. Whether the end of what
            // was killed at the end is still told depends on the moment, in both.
            let mut said = lines(&Ran { out, ..ran });
            said.retain(|line| !line.ends_with("exited with code 137"));
            (ran.code, said)
        };
        let (theirs, ours) = (run(true), run(false));
        assert_eq!(ours, theirs, "{args:?}");
    }
}
