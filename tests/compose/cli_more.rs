//! The less common commands of `turnout compose`, terminals, and services that other programs provide.

use std::{
    io::{Read as _, Write as _},
    os::unix::fs::{PermissionsExt as _, symlink},
    process::{Command, Stdio},
};

use crate::{common, compose_cli_support};
use common::docker::block_on;
use compose_cli_support::{Ran, Site, compose_is_installed};

#[test]
fn containers_are_paused_resumed_and_waited_for() {
    let site = Site::new(
        "services: {web: {image: 'IMAGE', QUICK}, job: {image: 'IMAGE', QUICK, command: [sh, -c, 'sleep 2; exit 9']}}\n",
    );
    site.ours(&["up", "-d"]).ok();
    site.ours(&["pause", "web"]).ok();
    assert_eq!(site.inspect("web-1").state.unwrap().paused, Some(true));
    site.ours(&["unpause", "web"]).ok();
    assert_eq!(site.inspect("web-1").state.unwrap().paused, Some(false));
    let id = site.ids()["job-1"].clone();
    let waited = site.ours(&["wait", "job"]);
    assert_eq!((waited.code, waited.out), (9, format!("container \"{id}\" exited with status code 9\n")));
    site.ours(&["wait", "job"]).fails("no containers");
    site.ours(&["start", "job"]).ok();
    assert_eq!(site.ours(&["wait", "--down-project", "job"]).code, 9);
    assert!(site.ids().is_empty());
}

#[test]
fn services_are_scaled() {
    let site = Site::new(
        "services: {web: {image: 'IMAGE', QUICK, depends_on: [db]}, db: {image: 'IMAGE', QUICK}, other: {image: 'IMAGE'}}\n",
    );
    site.ours(&["scale", "web=2"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["db-1", "web-1", "web-2"]);
    site.ours(&["scale", "--no-deps", "web=1", "db=0"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["web-1"]);
    site.ours(&["scale", "web"]).fails("web");
    site.ours(&["scale", "nope=1"]).fails("no such service: nope");
}

#[test]
fn files_are_copied_into_and_out_of_containers() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK, scale: 2}}\n");
    site.ours(&["up", "-d"]).ok();
    site.write("file", "one");
    std::fs::create_dir_all(site.path().join("tree/in")).unwrap();
    site.write("tree/in/deep", "two");
    std::fs::set_permissions(site.path().join("tree/in/deep"), std::fs::Permissions::from_mode(0o751)).unwrap();
    symlink("in/deep", site.path().join("tree/link")).unwrap();
    symlink("file", site.path().join("named")).unwrap();

    site.ours(&["cp", "file", "web:/tmp"]).ok();
    site.ours(&["cp", "file", "web:/tmp/renamed"]).ok();
    site.ours(&["cp", "--index", "2", "tree", "web:/tmp"]).ok();
    site.ours(&["cp", "tree", "web:/tmp/new"]).ok();
    site.ours(&["cp", "tree/.", "web:/tmp"]).ok();
    site.ours(&["cp", "-L", "named", "web:/tmp/followed"]).ok();
    let both = |script: &str| {
        let of = |index: &str| site.ours(&["exec", "-T", "--index", index, "web", "sh", "-c", script]).ok().out;
        (of("1"), of("2"))
    };
    assert_eq!(both("cat /tmp/file /tmp/renamed /tmp/followed"), ("oneoneone".into(), "oneoneone".into()), "to all");
    assert_eq!(both("cat /tmp/tree/in/deep || echo no").1, "two");
    assert!(both("ls /tmp/tree 2>/dev/null || echo no").0.contains("no"), "only to number 2");
    assert_eq!(both("cat /tmp/new/link /tmp/in/deep; stat -c %a /tmp/new/in/deep").0, "twotwo751\n");
    site.ours(&["cp", "nope", "web:/tmp"]).fails("nope");
    site.ours(&["cp", "tree", "web:/tmp/file"]).fails("cannot copy a directory onto the file");
    site.ours(&["cp", "file", "web:/none/x"]).fails("web-1");

    site.ours(&["cp", "web:/tmp/new", "out"]).ok();
    site.ours(&["cp", "web:/tmp/new", "out"]).ok();
    site.ours(&["cp", "web:/tmp/new/.", "flat"]).ok();
    site.ours(&["cp", "web:/tmp/file", "."]).ok();
    site.ours(&["cp", "web:/tmp/file", "other"]).ok();
    let read = |name: &str| std::fs::read_to_string(site.path().join(name)).unwrap_or_else(|e| format!("{name}: {e}"));
    assert_eq!(
        (read("out/in/deep"), read("out/new/in/deep"), read("other")),
        ("two".into(), "two".into(), "one".into())
    );
    assert_eq!(read("flat/in/deep"), "two");
    assert_eq!(std::fs::read_link(site.path().join("out/link")).unwrap().to_string_lossy(), "in/deep");
    let archive = site.ours_with(&["cp", "web:/tmp/file", "-"]).output().unwrap().stdout;
    let names: Vec<_> = tar::Archive::new(archive.as_slice())
        .entries()
        .unwrap()
        .map(|e| e.unwrap().path().unwrap().into_owned())
        .collect();
    assert_eq!(names, [std::path::Path::new("file")]);
    let mut fed = site.ours_with(&["cp", "--index", "1", "-", "web:/data"]).stdin(Stdio::piped()).spawn().unwrap();
    fed.stdin.take().unwrap().write_all(&archive).unwrap();
    assert!(fed.wait().unwrap().success());
    assert_eq!(site.ours(&["exec", "-T", "web", "cat", "/data/file"]).ok().out, "one");
    site.ours(&["cp", "web:/nope", "x"]).fails("could not find");
}

#[test]
fn both_tools_copy_alike() {
    if !compose_is_installed() {
        return;
    }
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["up", "-d"]).ok();
    std::fs::create_dir_all(site.path().join("d/e")).unwrap();
    site.write("d/e/f", "x");
    site.write("g", "y");
    let tree = |theirs: bool| {
        let root = if theirs { "/tmp/t" } else { "/tmp/o" };
        let run = |args: &[&str]| if theirs { site.theirs(args).code == 0 } else { site.ours(args).code == 0 };
        site.exec("web", &format!("mkdir -p {root}/there; echo old > {root}/file; ln -s {root}/there {root}/link"));
        let to = |path: &str| format!("web:{root}{path}");
        let codes: Vec<bool> = [
            ("d", "/new"),
            ("d", "/there"),
            ("d/.", "/dots"),
            ("d/.", "/there"),
            ("g", "/file"),
            ("g", "/there"),
            ("g", "/named"),
            ("g", "/none/"),
            ("d", "/file"),
            ("g", "/link"),
            ("d", "/link"),
            ("g", "/no/such"),
        ]
        .iter()
        .map(|(from, path)| run(&["cp", from, &to(path)]))
        .collect();
        let listing = site.exec("web", &format!("cd {root}; busybox find . | busybox sort; cat file named"));
        let here = if theirs { "t-out" } else { "o-out" };
        std::fs::create_dir(site.path().join(here)).unwrap();
        let from = |path: &str| format!("web:{root}{path}");
        let back: Vec<bool> = [
            ("/there", "/new"),
            ("/there", "/new"),
            ("/there/.", "/flat"),
            ("/file", "/named"),
            ("/file", ""),
            ("/there", "/named"),
            ("/file", "/no/such"),
            ("/link", "/as-link"),
        ]
        .iter()
        .map(|(path, to)| run(&["cp", &from(path), &format!("{here}{to}")]))
        .collect();
        let find = Command::new("find").arg(".").current_dir(site.path().join(here)).output().unwrap();
        let mut found: Vec<String> = String::from_utf8(find.stdout).unwrap().lines().map(str::to_owned).collect();
        found.sort();
        (codes, listing, back, found)
    };
    let (theirs, ours) = (tree(true), tree(false));
    assert_eq!(ours, theirs);
}

#[test]
fn containers_are_exported_and_become_images() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["up", "-d"]).ok();
    site.exec("web", "echo mine > /tmp/mine");
    site.ours(&["export", "-o", "out.tar", "web"]).ok();
    let file = std::fs::File::open(site.path().join("out.tar")).unwrap();
    let has = tar::Archive::new(file).entries().unwrap().any(|e| e.unwrap().path().unwrap().ends_with("tmp/mine"));
    assert!(has);
    let image = format!("{}-made:1", site.project);
    site.ours(&["commit", "-m", "why", "-a", "who", "-c", "ENV A=b", "web", &image]).ok();
    let made = block_on(async { common::docker::connect().await.inspect_image(&image).await.unwrap() });
    block_on(async { common::docker::remove_image(&image).await });
    assert_eq!((made.author.as_deref(), made.comment.as_deref()), (Some("who"), Some("why")));
    assert!(made.config.unwrap().env.unwrap().contains(&"A=b".to_owned()));
    site.ours(&["commit", "nope"]).fails("\"nope\" is not running");
}

/// Runs a shell line in a terminal of its own, with this typed in; returns what the terminal showed.
fn in_a_terminal(site: &Site, line: &str, typed: &[(&str, &str)]) -> (String, i32) {
    let line = line.replace("OURS", &format!("{} compose", env!("CARGO_BIN_EXE_turnout")));
    let mut child = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .current_dir(site.path())
        .env("COMPOSE_PROJECT_NAME", &site.project)
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, from util-linux");
    // A terminal that waits for ever would make the test wait for ever.
    let (ended, waits) = std::sync::mpsc::channel::<()>();
    let pid = rustix::process::Pid::from_child(&child);
    let watch = std::thread::spawn(move || {
        if waits.recv_timeout(common::PATIENCE).is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    });
    let mut keys = child.stdin.take().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut shown, mut buffer) = (String::new(), [0_u8; 1024]);
    let mut typed = typed.iter();
    let mut next = typed.next();
    loop {
        // Before the first read too: who attaches to a shell sees nothing until a key is pressed.
        while let Some((wait, text)) = next {
            if !shown.contains(wait) {
                break;
            }
            keys.write_all(text.as_bytes()).unwrap();
            keys.flush().unwrap();
            next = typed.next();
        }
        let read = out.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            break;
        }
        shown.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    drop(ended);
    watch.join().unwrap();
    (shown, child.wait().unwrap().code().unwrap_or(-1))
}

#[test]
fn terminals_pass_keys_sizes_and_exit_codes() {
    let site = Site::new(
        "services: {web: {image: 'IMAGE', QUICK, tty: true, stdin_open: true, command: sh, volumes: ['./:/mnt']}}\n",
    );
    site.ours(&["up", "-d"]).ok();
    // A size comes a moment after the process; busybox calls none at all an error.
    let line = "stty rows 31 cols 97; OURS exec web sh -c 'until busybox stty size | busybox grep \"31 97\"; do sleep 0.1; done; \
                read a; echo got $a; exit 5'";
    let (shown, code) = in_a_terminal(&site, line, &[("31 97", "word\r")]);
    assert!(shown.contains("31 97") && shown.contains("got word"), "{shown:?}");
    assert_eq!(code, 5);
    // A change of the window's size arrives in the container, which tells the host when to make it.
    let line = "stty rows 31 cols 97; (while ! test -e go; do sleep 0.1; done; stty -F /dev/tty rows 41 cols 107) & \
                OURS exec web sh -c 'until busybox stty size | busybox grep \"31 97\"; do sleep 0.1; done; touch /mnt/go; until busybox stty size | busybox grep -q \"41 107\"; \
                do sleep 0.1; done; echo changed'";
    let (shown, code) = in_a_terminal(&site, line, &[]);
    assert!(shown.contains("31 97") && shown.contains("changed"), "{shown:?}");
    assert_eq!(code, 0);
    // Keys to detach leave the process alone.
    let (shown, code) = in_a_terminal(
        &site,
        "OURS attach web; echo detached $?",
        &[("", "echo hi-$((1+1))\r"), ("hi-2", "\u{10}\u{11}")],
    );
    assert!(shown.contains("hi-2") && shown.contains("detached 0"), "{shown:?}");
    assert_eq!(code, 0);
    assert_eq!(site.inspect("web-1").state.unwrap().running, Some(true));
    let (shown, code) =
        in_a_terminal(&site, "OURS run --rm web sh -c 'read a; echo got $a; exit 6'", &[("", "word\r")]);
    assert!(shown.contains("got word"), "{shown:?}");
    assert_eq!(code, 6);
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["web-1"], "the one-off is gone");
    // What ends while somebody is attached hands its code over.
    let (_, code) = in_a_terminal(&site, "OURS attach web", &[("", "exit 7\r")]);
    assert_eq!(code, 7);
    site.ours(&["attach", "web"]).fails("\"web\" is not running");
}

#[test]
fn a_diverged_volume_is_asked_about_on_a_terminal() {
    let yaml = |label: u32| {
        format!(
            "services: {{web: {{image: 'IMAGE', QUICK, volumes: ['keep:/keep']}}}}\nvolumes: {{keep: {{labels: {{l: '{label}'}}}}}}\n"
        )
    };
    let site = Site::new(&yaml(1));
    site.ours(&["up", "-d"]).ok();
    site.exec("web", "echo kept > /keep/file");
    site.write("compose.yaml", &yaml(2));
    let (shown, code) = in_a_terminal(&site, "OURS up -d", &[("Recreate (data will be lost)?", "n\r")]);
    assert_eq!((code, site.exec("web", "cat /keep/file").as_str()), (0, "kept\n"), "{shown}");
    let (shown, code) = in_a_terminal(&site, "OURS up -d", &[("Recreate (data will be lost)?", "y\r")]);
    assert_eq!((code, site.exec("web", "ls /keep").as_str()), (0, ""), "{shown}");
}

#[test]
fn one_offs_take_the_options_of_the_real_one() {
    let site = Site::new(
        "services: {web: {image: 'IMAGE', QUICK, ports: ['127.0.0.1::80'], cap_add: [SYS_TIME], entrypoint: [sh, -c], command: ['echo own']}, db: {image: 'IMAGE', QUICK}}\n",
    );
    site.write("vars", "A=file\nB=file\n");
    let out = |args: &[&str]| {
        let args: Vec<&str> = ["run", "--rm", "-T", "-q"].into_iter().chain(args.iter().copied()).collect();
        site.ours(&args).ok().out
    };
    assert_eq!(out(&["web"]), "own\n");
    assert_eq!(out(&["-e", "A=line", "--env-from-file", "vars", "web", "echo $A $B"]), "line file\n");
    assert_eq!(out(&["-u", "1:2", "-w", "/tmp", "web", "busybox id -u; pwd"]), "1\n/tmp\n");
    assert_eq!(out(&["--interactive=false", "web", "cat; echo end"]), "end\n");
    site.ours(&["run", "--service-ports", "-p", "1:1", "web"]).fails("incompatible");
    let named = format!("{}-named", site.project);
    site.ours(&[
        "run",
        "-d",
        "--name",
        &named,
        "-P",
        "--cap-drop",
        "SYS_TIME",
        "--cap-add",
        "SYS_NICE",
        "--use-aliases",
        "web",
        "sleep 1000",
    ])
    .ok();
    let found = site.inspect("named");
    let host = found.host_config.unwrap();
    assert_eq!((host.cap_add, host.cap_drop), (Some(vec!["CAP_SYS_NICE".into()]), Some(vec!["CAP_SYS_TIME".into()])));
    assert!(!host.port_bindings.unwrap().is_empty());
    let networks = found.network_settings.unwrap().networks.unwrap();
    assert!(networks.values().any(|n| n.aliases.iter().flatten().any(|a| a == "web")), "{networks:?}");
    site.ours(&["down", "--remove-orphans"]).ok();
}

#[test]
fn settings_in_the_env_file_steer_the_command_line() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK}, old: {image: 'IMAGE', QUICK}}\n");
    site.ours(&["up", "-d"]).ok();
    site.write("compose.yaml", "services: {web: {image: 'IMAGE', QUICK}}\n");
    site.write(".env", "COMPOSE_REMOVE_ORPHANS=1\n");
    site.ours(&["up", "-d"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["web-1"]);
    site.write(".env", "COMPOSE_PARALLEL_LIMIT=many\n");
    site.ours(&["up", "-d", "--force-recreate"]).fails("COMPOSE_PARALLEL_LIMIT");
}

/// A provider: answers for itself, writes down how it was called, hands variables over.
const PROVIDER: &str = r#"#!/bin/sh
echo "$@" >> calls
case "$*" in
"compose metadata") echo '{"description": "d", "up": {"parameters": [{"name": "size", "required": true}]}, "down": {"parameters": []}}' ;;
*" up "*) echo '{"type": "info", "message": "preparing"}'; echo '{"type": "debug", "message": "x"}'; echo '{"type": "setenv", "message": "URL=http://there?a=b"}' ;;
*" down "*) ;;
esac
"#;

fn provider(site: &Site, script: &str) {
    std::fs::create_dir_all(site.path().join("bin")).unwrap();
    let path = site.path().join("bin/own-provider");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn with_path(site: &Site, args: &[&str]) -> Ran {
    let path = format!("{}:{}", site.path().join("bin").display(), std::env::var("PATH").unwrap());
    let output = site.ours_with(args).env("PATH", path).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn provided_services_come_from_their_program() {
    let site = Site::new(
        "services:
  web: {image: 'IMAGE', QUICK, depends_on: [outer]}
  outer: {provider: {type: own-provider, options: {size: [1, 2], other: x}}}
",
    );
    provider(&site, PROVIDER);
    with_path(&site, &["up", "-d"]).ok();
    assert_eq!(site.exec("web", "echo $OUTER_URL"), "http://there?a=b\n");
    let before = site.ids();
    with_path(&site, &["up", "-d"]).ok();
    assert_eq!(site.ids(), before);
    if compose_is_installed() {
        let path = format!("{}:{}", site.path().join("bin").display(), std::env::var("PATH").unwrap());
        let theirs = Command::new("docker")
            .args(["compose", "up", "-d"])
            .current_dir(site.path())
            .env("PATH", path)
            .env("COMPOSE_PROJECT_NAME", &site.project)
            .output()
            .unwrap();
        assert!(theirs.status.success(), "{theirs:?}");
        assert_eq!(site.ids(), before, "the real one gives it the same variables: {theirs:?}");
    }
    with_path(&site, &["down"]).ok();
    let calls = std::fs::read_to_string(site.path().join("calls")).unwrap();
    let project = &site.project;
    assert!(calls.contains(&format!("compose --project-name={project} up --size=1 --size=2 outer\n")), "{calls}");
    assert!(calls.contains(&format!("compose --project-name={project} down outer\n")), "{calls}");

    for (script, told) in [
        (r#"echo '{"type": "error", "message": "no room"}'"#, "services.outer.provider: no room"),
        ("echo hello", "not a line of JSON"),
        ("exit 3", "failed to create service provider"),
        (r#"echo '{"type": "setenv", "message": "x"}'"#, "not KEY=VALUE"),
        (r#"echo '{"type": "rawsetenv", "message": "x"}'"#, "`rawsetenv` is not KEY=VALUE"),
    ] {
        provider(&site, &format!("#!/bin/sh\n[ \"$2\" = metadata ] && exit 1\n{script}\n"));
        with_path(&site, &["up", "-d"]).fails(told);
        assert!(site.ids().is_empty(), "{told}");
    }
    // As Compose 5.2 has it; the real 2.40 knows no such message.
    provider(
        &site,
        r#"#!/bin/sh
[ "$2" = metadata ] || echo '{"type": "rawsetenv", "message": "URL=raw"}'
"#,
    );
    with_path(&site, &["up", "-d"]).ok();
    assert_eq!(site.exec("web", "echo $URL $OUTER_URL"), "raw\n");
}

#[test]
fn the_engines_socket_is_handed_in_with_credentials() {
    let site = Site::new("services: {web: {image: 'IMAGE', QUICK, use_api_socket: true}}\n");
    std::fs::create_dir(site.path().join("docker")).unwrap();
    site.write("docker/config.json", r#"{"auths": {"r.example": {"auth": "dTpw"}}}"#);
    let up = |theirs: bool| {
        let mut command = site.ours_with(&["up", "-d"]);
        if theirs {
            command = Command::new("docker");
            command.args(["compose", "up", "-d"]).current_dir(site.path());
            command.env("COMPOSE_PROJECT_NAME", &site.project);
            // Where the plugin is found when the settings are elsewhere.
            let plugins = std::path::PathBuf::from(std::env::var("HOME").unwrap()).join(".docker/cli-plugins");
            let _ = symlink(plugins, site.path().join("docker/cli-plugins"));
        }
        command.env("DOCKER_CONFIG", site.path().join("docker")).output().unwrap()
    };
    let ran = up(false);
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(
        site.exec("web", "echo $DOCKER_CONFIG; test -S /var/run/docker.sock && echo socket"),
        "/run/secrets/docker\nsocket\n"
    );
    assert!(site.exec("web", "cat /run/secrets/docker/config.json").contains("dTpw"));
    if compose_is_installed() {
        let before = site.ids();
        let ran = up(true);
        assert!(ran.status.success(), "{ran:?}");
        assert_eq!(site.ids(), before, "{ran:?}");
    }
}

#[test]
fn attributes_that_no_linux_engine_has_are_refused_by_name() {
    for (attribute, told) in [("credential_spec: {file: x}", "credential_spec"), ("models: [m]", "models")] {
        let site =
            Site::new(&format!("services: {{web: {{image: 'IMAGE', {attribute}}}}}\nmodels: {{m: {{model: x}}}}\n"));
        site.ours(&["up", "-d"]).fails(told);
        assert!(site.ids().is_empty(), "nothing is begun");
    }
}
