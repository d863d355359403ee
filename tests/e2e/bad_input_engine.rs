//! An engine that is down, dies in the middle, or has something in the way; builds that fail or hang.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use crate::{bad_input_support, common};
use bad_input_support::{QUICK, Site, assert_says, inspect, is_root, private_engine::PrivateEngine, web, web_with};
use bollard::{
    models::{ContainerCreateBody, HostConfig, NetworkCreateRequest, VolumeCreateRequest},
    query_parameters as q,
};
use common::{
    daemon::Daemon,
    docker::{self, base_image, block_on},
    http, unique, wait_until,
};

#[test]
fn an_engine_that_is_down_fails_the_deployment_and_not_the_daemon() {
    let site = Site::web();
    let daemon = site.daemon();
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();
    drop(daemon);

    let nowhere = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}/docker.sock", nowhere.path().display());
    let daemon =
        Daemon::start_with(&site.short(), QUICK, &[("TURNOUT_DOCKER_HOST", &socket), ("TURNOUT_ENGINE_WAIT", "1s")]);
    site.remote.write("compose.yaml", &web("version 2")).commit_and_push("Second");
    assert_says(
        &site.fail(&daemon),
        &["cannot reach the Docker daemon", &socket, "systemctl start docker", "turnout deploy"],
    );
    // A socket that nobody listens on is no better.
    drop(std::os::unix::net::UnixListener::bind(nowhere.path().join("docker.sock")).unwrap());
    assert_says(&site.fail(&daemon), &["cannot reach the Docker daemon", &socket, "nothing listens"]);
    assert_eq!(http::get(daemon.listen(), "/healthz").unwrap().status, 200);
    let status = daemon.turnout(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout) + String::from_utf8_lossy(&status.stderr);
    assert!(text.contains(&site.name), "`status` needs no engine: {text}");
    daemon.says("does not answer yet");
    site.assert_untouched(&before, "version 1");
}

/// A stack for an engine without networks.
fn lonely(version: &str, more: &str) -> String {
    format!(
        "services:\n  web:\n    image: {}\n    network_mode: none\n    command: [sh, -c, 'echo {version}; exec sleep 3600']\n    \
         stop_grace_period: 0s\n{more}",
        base_image()
    )
}

#[test]
fn an_engine_that_dies_in_the_middle() {
    if !is_root("a Docker engine of the test's own, to be killed,") {
        return;
    }
    let mut engine = PrivateEngine::new();
    // Once before, for the image: later the deployment would not wait for it.
    engine.start();
    engine.kill();
    let site = Site::with_files(&[("compose.yaml", &lonely("one", ""))]);
    let daemon = Daemon::start_with(
        &site.short(),
        &[QUICK, &["--engine-wait", "40s", "--docker-host", &engine.url()]].concat(),
        &[],
    );
    // Pushed before the engine is there: the deployment waits for it.
    let first = daemon.deploy_by_push(&site.push());
    let told = || if daemon.output().contains("for the engine") { Ok(()) } else { Err(()) };
    wait_until("the deployment to wait for the engine", Duration::from_secs(20), told);
    engine.start();
    daemon.expect_success(first);
    let running = engine.running();
    assert_eq!(running.len(), 1);
    let before = block_on(async { inspect(&engine.connect(), &running).await });

    // It dies during a build: the deployment waits for it, and goes on when it is back.
    let dockerfile = format!("FROM {}\nRUN echo begun && sleep 8\n", base_image());
    let built = lonely(
        "two",
        "  extra:\n    build: {context: ., network: none}\n    network_mode: none\n    command: [sleep, '3600']\n",
    );
    site.remote.write("Dockerfile", &dockerfile).write("compose.yaml", &built).commit_and_push("Build");
    let second = daemon.deploy_by_push(&site.push());
    let log = |id: i64| {
        let log = daemon.turnout(&["logs", "--deployment", &id.to_string(), "--tail", "1000"]);
        String::from_utf8_lossy(&log.stdout).into_owned()
    };
    wait_until("the build to run", Duration::from_secs(60), || {
        let text = log(second);
        if text.lines().any(|line| line.contains("begun") && !line.contains("echo")) { Ok(()) } else { Err(text) }
    });
    engine.kill();
    let gone = |id: i64| {
        wait_until("the deployment to wait for the engine", Duration::from_secs(20), || {
            let text = log(id);
            if text.contains("the engine went away") && text.contains("waiting up to") { Ok(()) } else { Err(text) }
        });
    };
    gone(second);
    assert_eq!(http::get(daemon.listen(), "/healthz").unwrap().status, 200);
    engine.start();
    daemon.expect_success(second);
    assert!(log(second).contains("the engine is back"));
    assert_eq!(engine.running().len(), 2);

    // It dies while a container is waited for, and takes the containers with it.
    let late = lonely(
        "three",
        "    healthcheck: {test: [CMD, 'true'], interval: 6s}\n  after:\n    extends: web\n    depends_on: {web: {condition: service_healthy}}\n",
    );
    let late = late.replace(
        "    extends: web\n",
        &format!("    image: {}\n    network_mode: none\n    command: [sleep, '3600']\n", base_image()),
    );
    site.remote.write("compose.yaml", &late).commit_and_push("Wait");
    let third = daemon.deploy_by_push(&site.push());
    wait_until("the new container", Duration::from_secs(60), || {
        let text = log(third);
        let now = engine.running();
        if text.contains("== apply") && now.len() == 1 && now != running { Ok(()) } else { Err((now, text)) }
    });
    engine.kill();
    gone(third);
    engine.start();
    daemon.expect_success(third);
    assert_eq!(engine.running().len(), 2);

    // It dies and does not come back.
    site.remote.write("compose.yaml", &late.replace("echo three", "echo four")).commit_and_push("Wait again");
    let fourth = daemon.deploy_by_push(&site.push());
    wait_until("the containers to be replaced", Duration::from_secs(60), || {
        let text = log(fourth);
        if text.contains("done: recreated") { Ok(()) } else { Err(text) }
    });
    engine.kill();
    let ended = daemon.expect_failure(fourth);
    let error = ended["error"].as_str().unwrap();
    eprintln!("error: {error}");
    assert_says(error, &["the engine did not come back within 40s", "is not known", "again"]);

    // The next deployment converges from whatever is left.
    engine.start();
    site.remote.write("compose.yaml", &lonely("four", "")).commit_and_push("Mended");
    site.deploy(&daemon);
    let running = engine.running();
    assert_eq!(running.len(), 1, "{running:?}");
    let now = block_on(async { inspect(&engine.connect(), &running).await });
    assert_eq!(now.containers[0].0, before.containers[0].0, "the name is another");
    assert_ne!(now, before);
}

#[test]
fn a_build_that_fails_or_hangs_leaves_the_old_containers_serving() {
    let base = base_image();
    let compose = web_with("version 1", "    build: .\n").replace(&format!("image: {base}"), "init: false");
    let good = format!("FROM {base}\nCOPY content /content\nRUN cat /content\n");
    let site = Site::with_files(&[("compose.yaml", &compose), ("Dockerfile", &good), ("content", "one\n")]);
    let daemon = Daemon::start_with(&site.long(&["timeouts: {build: 6s}"]), QUICK, &[]);
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();

    let failing =
        format!("FROM {base}\nCOPY content /content\nRUN echo this was tried && echo that went wrong >&2 && exit 7\n");
    site.remote.write("Dockerfile", &failing).commit_and_push("Fails");
    let error = site.fail(&daemon);
    assert_says(
        &error,
        &["build of web failed", "no container was touched", "RUN echo this was tried", "that went wrong", "7"],
    );
    site.assert_untouched(&before, "version 1");

    site.remote.write("Dockerfile", "FROM nobody.invalid/has/this:image\n").commit_and_push("No base");
    assert_says(&site.fail(&daemon), &["no container was touched", "nobody.invalid/has/this", "web"]);
    site.assert_untouched(&before, "version 1");

    site.remote.write("Dockerfile", &format!("FROM {base}\nCOPY not-there /x\n")).commit_and_push("No file");
    assert_says(&site.fail(&daemon), &["no container was touched", "not-there", "web"]);
    site.remote.write("Dockerfile", "FORM typo\n").commit_and_push("No Dockerfile");
    assert_says(&site.fail(&daemon), &["no container was touched", "FORM", "web"]);
    site.remote.remove("Dockerfile").commit_and_push("No Dockerfile at all");
    assert_says(&site.fail(&daemon), &["no container was touched", "Dockerfile", "web"]);
    site.assert_untouched(&before, "version 1");

    let mark = unique("hang");
    let hanging = format!("FROM {base}\nRUN echo {mark} && sleep 600\n");
    site.remote.write("Dockerfile", &hanging).commit_and_push("Hangs");
    let ended = daemon.expect_failure(daemon.deploy_by_push(&site.push()));
    let error = ended["error"].as_str().unwrap();
    eprintln!("error: {error}");
    assert_says(error, &["longer than 6 s", "web", "no container was touched"]);
    let took = ended["ended_at"].as_i64().unwrap() - ended["started_at"].as_i64().unwrap();
    assert!(took < 30_000, "{took} ms");
    site.assert_untouched(&before, "version 1");
    wait_until("the end of the build in the engine", Duration::from_secs(30), || {
        let left = processes_with(&mark);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });

    site.remote.write("Dockerfile", &good).write("content", "two\n").commit_and_push("Mended");
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    assert_ne!(site.running(), before);
}

/// Processes of the machine with a word in their command line, this one aside. Builds run on this machine's kernel.
fn processes_with(word: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter(|e| e.file_name().to_string_lossy() != std::process::id().to_string());
    let lines = lines.filter_map(|e| std::fs::read_to_string(e.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(word)).map(|line| line.replace('\0', " ")).collect()
}

#[test]
fn a_port_that_another_process_holds() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    let site = Site::web();
    let daemon = site.daemon();
    let wanted = web("version 2").replace("127.0.0.1::8080", &format!("127.0.0.1:{port}:8080"));
    site.deploy(&daemon);
    site.remote.write("compose.yaml", &wanted).commit_and_push("A port of its own");
    let error = site.fail(&daemon);
    assert_says(&error, &["address already in use", &port.to_string(), "free the port", "web"]);
    drop(held);
    assert!(daemon.turnout(&["deploy", &site.name]).status.success());
    site.wait_for_page("version 2");
    assert_eq!(site.address().port(), port);
}

#[test]
fn names_that_belong_to_somebody_else() {
    let name = unique("taken");
    let named = |more: &str, top: &str| web_with("version 2", more) + top;
    let site = Site::web();
    let daemon = site.daemon();
    site.deploy(&daemon);
    site.wait_for_page("version 1");
    let before = site.running();
    let foreign = Foreign::new(&name);

    let cases = [
        (named(&format!("    container_name: {name}\n"), ""), vec![name.as_str(), "container", "somebody-else"]),
        (
            named("    networks: [own]\n", &format!("networks:\n  own: {{name: {name}}}\n")),
            vec![name.as_str(), "network"],
        ),
        (
            named("    volumes: ['own:/own']\n", &format!("volumes:\n  own: {{name: {name}}}\n")),
            vec![name.as_str(), "volume"],
        ),
    ];
    for (compose, said) in cases {
        site.remote.write("compose.yaml", &compose).commit_and_push("A name");
        let id = daemon.deploy_by_push(&site.push());
        let ended = daemon.wait_for_deployment(id);
        let log = daemon.turnout(&["logs", "--deployment", &id.to_string()]);
        let text = format!("{}{}", ended["error"].as_str().unwrap_or_default(), String::from_utf8_lossy(&log.stdout));
        eprintln!("{} {text}", ended["state"]);
        for word in &said {
            assert!(text.contains(word), "{word} is not said: {text}");
        }
        foreign.assert_untouched();
        if ended["state"] == "failed" {
            site.assert_untouched(&before, "version 1");
        }
    }
    site.remote.write("compose.yaml", &web("version 3")).commit_and_push("Mended");
    site.deploy(&daemon);
    site.wait_for_page("version 3");
    foreign.assert_untouched();
}

/// A container, a network and a volume that are not turnout's.
struct Foreign {
    name: String,
    ids: (String, String),
}

impl Foreign {
    fn new(name: &str) -> Self {
        // First the guard, so that what was made is removed even when the rest cannot be.
        let mut foreign = Self { name: name.to_owned(), ids: Default::default() };
        foreign.ids = block_on(async {
            let engine = docker::connect().await;
            let body = ContainerCreateBody {
                image: Some(base_image()),
                cmd: Some(vec!["sleep".to_owned(), "600".to_owned()]),
                labels: Some(HashMap::from([(docker::PROJECT.to_owned(), "somebody-else".to_owned())])),
                host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..Default::default() }),
                ..Default::default()
            };
            let options = q::CreateContainerOptionsBuilder::new().name(name).build();
            let container = engine.create_container(Some(options), body).await.unwrap().id;
            engine.start_container(&container, None).await.unwrap();
            let request = NetworkCreateRequest { name: name.to_owned(), ..Default::default() };
            let network = engine.create_network(request).await.unwrap().id;
            let request = VolumeCreateRequest { name: Some(name.to_owned()), ..Default::default() };
            engine.create_volume(request).await.unwrap();
            (container, network)
        });
        foreign
    }

    #[track_caller]
    fn assert_untouched(&self) {
        block_on(async {
            let engine = docker::connect().await;
            let container = engine.inspect_container(&self.ids.0, None).await.expect("the foreign container is gone");
            assert_eq!(container.state.and_then(|s| s.running), Some(true), "the foreign container was stopped");
            assert_eq!(container.name, Some(format!("/{}", self.name)));
            let network = engine.inspect_network(&self.name, None).await.expect("the foreign network is gone");
            assert_eq!(network.id.as_ref(), Some(&self.ids.1), "the foreign network was replaced");
            let volume = engine.inspect_volume(&self.name).await.expect("the foreign volume is gone");
            assert!(volume.labels.is_empty(), "the foreign volume was replaced");
        });
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        block_on(async {
            let engine = docker::connect().await;
            let options = q::RemoveContainerOptionsBuilder::new().force(true).build();
            engine.remove_container(&self.name, Some(options)).await.ok();
            engine.remove_network(&self.name).await.ok();
            engine.remove_volume(&self.name, None::<q::RemoveVolumeOptions>).await.ok();
        });
    }
}
