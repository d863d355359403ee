//! What goes into an image in ways that a Dockerfile does not show at first sight: seen after a push, in the container.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use crate::{common, e2e_support};
use bollard::{
    models::ContainerConfig,
    query_parameters::{CommitContainerOptionsBuilder, InspectContainerOptions},
};
use common::{daemon::Daemon, docker};
use e2e_support::{Site, deploy, file_in, log};

const SLEEP: &str = "    command: [sleep, \"1000\"]\n    init: true\n    stop_grace_period: 1s\n";

/// The file that every image here is told apart by.
fn in_container(site: &Site, service: &str) -> String {
    file_in(&site.container(&site.red(), service), "/v").trim().to_owned()
}

/// Pushes another content of one file; returns the deployment's log.
fn push(site: &Site, daemon: &Daemon, file: &str, text: &str) -> String {
    site.write(file, text);
    let id = site.push_to(daemon, &format!("{file}: {}", text.trim()));
    daemon.expect_success(id);
    log(daemon, id)
}

/// A site of `app`, built in `app` with this Dockerfile, and of `base`, built in `base` under this name and with these
/// tags; `BASE` in either is the name.
fn upon_base(dockerfile: &str, image: &str, tags: &str) -> Site {
    let name = common::unique("inputs-base");
    let fill = |text: &str| text.replace("NAME", &name);
    Site::new(&[
        (
            "compose.yaml",
            &format!(
                "services:\n  app:\n    build: {{ context: app, network: none }}\n{SLEEP}  base:\n    image: {}\n    build: \
                 {{ context: base, network: none, tags: [{}] }}\n{SLEEP}",
                fill(image),
                fill(tags)
            ),
        ),
        ("base/Dockerfile", "FROM @BASE\nCOPY v /v\n"),
        ("base/v", "1\n"),
        ("app/Dockerfile", &fill(dockerfile)),
    ])
}

#[test]
fn a_base_of_the_project_is_known_however_it_is_named() {
    for (dockerfile, image, tags) in [
        // What only the builder knows.
        ("FROM NAME-${TARGETARCH}\n", "NAME-amd64", ""),
        ("FROM --platform=$BUILDPLATFORM NAME:$TARGETOS\n", "NAME:linux", ""),
        // A further name.
        ("FROM NAME-more:1\n", "NAME", "\"NAME-more:1\""),
        // Behind what looks like a here-document, and in quotes.
        ("FROM @BASE\nRUN echo \"usage: cat <<EOF\" > /x\nCOPY --from=\"NAME\" /v /v\n", "NAME", ""),
        ("FROM @BASE\nRUN --mount=type=bind,from=\"NAME\",target=/b cp /b/v /v\n", "NAME", ""),
    ] {
        let site = upon_base(dockerfile, image, tags);
        let daemon = site.serve(&[]);
        daemon.expect_success(daemon.deploy_by_push(&site.push()));
        assert_eq!(in_container(&site, "app"), "1", "{dockerfile}");
        let said = push(&site, &daemon, "base/v", "2\n");
        assert_eq!(in_container(&site, "app"), "2", "{dockerfile}:\n{said}");
        assert!(said.contains("service base, whose image its build uses, is built anew"), "{said}");
        let said = deploy(&daemon, &[&site.name], 0);
        assert!(said.contains("everything runs as configured"), "{said}");
    }
}

/// A file at an address, as a build fetches it.
fn serve(content: &Arc<Mutex<String>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let content = Arc::clone(content);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).unwrap();
            let text = content.lock().unwrap().clone();
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
        }
    });
    port
}

#[test]
fn what_a_build_fetches_is_fetched_at_each_deployment() {
    let content = Arc::new(Mutex::new("1\n".to_owned()));
    let port = serve(&content);
    let site = Site::new(&[
        ("compose.yaml", &format!("services:\n  app:\n    build: app\n{SLEEP}")),
        ("app/Dockerfile", &format!("FROM @BASE\nADD http://127.0.0.1:{port}/v /v\n")),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let first = site.container(&site.red(), "app");
    "2\n".clone_into(&mut content.lock().unwrap());
    let said = push(&site, &daemon, "README", "other words\n");
    assert_eq!(in_container(&site, "app"), "2", "{said}");
    assert!(said.contains("is fetched by the build, so changes there are not seen"), "{said}");
    let second = site.container(&site.red(), "app");
    assert_ne!(first, second);
    // The same again is the same image, for which nothing is replaced.
    push(&site, &daemon, "README", "more words\n");
    assert_eq!(site.container(&site.red(), "app"), second);
}

#[test]
fn a_tag_that_is_added_is_made() {
    let name = common::unique("inputs-tag");
    let file = |tags: &str| {
        format!("services:\n  app:\n    build: {{ context: app, network: none, tags: [{tags}] }}\n{SLEEP}")
    };
    let site = Site::new(&[
        ("compose.yaml", &file(&format!("\"{name}:1\""))),
        ("app/Dockerfile", "FROM @BASE\nRUN echo 1 > /v\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let before = site.container(&site.red(), "app");
    let said = push(&site, &daemon, "compose.yaml", &file(&format!("\"{name}:1\", \"{name}:2\"")));
    let image = |tag: &str| {
        let name = format!("{name}:{tag}");
        docker::block_on(async move { docker::connect().await.inspect_image(&name).await.unwrap().id.unwrap() })
    };
    assert_eq!(image("1"), image("2"), "{said}");
    assert_eq!(site.container(&site.red(), "app"), before, "{said}");
    docker::block_on(async {
        for tag in ["1", "2"] {
            docker::remove_image(&format!("{name}:{tag}")).await;
        }
    });
}

/// Only where the Dockerfile reads it: the commit changes at every push.
#[test]
fn a_build_that_reads_the_repository_follows_its_commit() {
    let service = |name: &str, file: &str| {
        format!("  {name}:\n    build: {{ context: ., dockerfile: {file}, network: none }}\n{SLEEP}")
    };
    let site = Site::new(&[
        ("compose.yaml", &format!("services:\n{}{}", service("reads", "R"), service("plain", "P"))),
        ("R", "FROM @BASE\nCOPY . /src\nRUN cat /src/.git/refs/heads/main > /v\n"),
        ("P", "FROM @BASE\nCOPY code /v\n"),
        ("code", "1\n"),
        (".dockerignore", "README\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let plain = site.container(&site.red(), "plain");
    let said = push(&site, &daemon, "README", "other words\n");
    assert_eq!(in_container(&site, "reads"), site.remote.head(), "{said}");
    assert!(said.contains("rebuild reads: the commit in .git, which the Dockerfile reads,"), "{said}");
    assert_eq!(site.container(&site.red(), "plain"), plain);
}

#[test]
fn an_image_that_was_put_under_the_name_of_one_of_ours_is_built_anew() {
    let site = Site::new(&[
        ("compose.yaml", &format!("services:\n  app:\n    build: {{ context: app, network: none }}\n{SLEEP}")),
        ("app/Dockerfile", "FROM @BASE\nRUN echo 1 > /v\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let (id, project) = (site.container(&site.red(), "app"), site.red());
    // It inherits the labels, the mark of the build among them.
    docker::block_on(async {
        let engine = docker::connect().await;
        let found = engine.inspect_container(&id, None::<InspectContainerOptions>).await.unwrap();
        let image = format!("{project}-app");
        let options = CommitContainerOptionsBuilder::default().container(&id).repo(&image).tag("latest").build();
        let config = ContainerConfig { labels: found.config.unwrap().labels, ..Default::default() };
        engine.commit_container(options, config).await.unwrap();
    });
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("bears the mark of turnout's build, but is another one than turnout built"), "{said}");
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");
}

#[test]
fn one_image_under_several_spellings_is_one_image() {
    let name = common::unique("inputs-spelt");
    let site = Site::new(&[
        (
            "compose.yaml",
            &format!(
                "services:\n  web:\n    image: {name}\n    build: {{ context: app, network: none }}\n{SLEEP}  worker:\n    \
                 image: {name}:latest\n    pull_policy: never\n{SLEEP}  other:\n    image: docker.io/library/{name}\n    \
                 pull_policy: never\n{SLEEP}"
            ),
        ),
        ("app/Dockerfile", "FROM @BASE\nCOPY v /v\n"),
        ("app/v", "1\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let said = push(&site, &daemon, "app/v", "2\n");
    for service in ["web", "worker", "other"] {
        assert_eq!(in_container(&site, service), "2", "{service}:\n{said}");
    }
}

/// A mode that does not look at what goes into an image does not claim that it is there.
#[test]
fn what_the_mode_triggers_leaves_is_named() {
    let site = Site::new(&[
        ("compose.yaml", &format!("services:\n  app:\n    build: {{ context: app, network: none }}\n{SLEEP}")),
        ("app/Dockerfile", "FROM @BASE\nCOPY v /v\n"),
        ("app/v", "1\n"),
    ]);
    let daemon = site.serve(&["rebuild: triggers"]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let said = push(&site, &daemon, "app/v", "2\n");
    assert_eq!(in_container(&site, "app"), "1");
    let words = "the image of app is not what is there now (app/v differs from what the image was built from)";
    assert!(said.contains(words) && !said.contains("everything runs as configured"), "{said}");
}

/// What no file names any more is not handed on, also where the image declares a volume at its place.
#[test]
fn mounts_that_are_taken_out_are_gone() {
    let file = |mounts: &str| {
        format!(
            "services:\n  app:\n    build: {{ context: app, network: none }}\n{SLEEP}{mounts}volumes: {{ data: {{}} }}\n"
        )
    };
    let site = Site::new(&[
        ("compose.yaml", &file("    volumes: [\"./conf:/conf\", \"data:/data\"]\n")),
        ("app/Dockerfile", "FROM @BASE\nRUN mkdir /conf /data; echo image > /conf/v\nVOLUME /conf /data /own\n"),
        ("conf/v", "mounted\n"),
    ]);
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let read = || file_in(&site.container(&site.red(), "app"), "/conf/v").trim().to_owned();
    assert_eq!(read(), "mounted");
    let said = push(&site, &daemon, "compose.yaml", &file(""));
    assert_eq!(read(), "image", "{said}");
    assert!(said.contains("what its anonymous volumes hold goes on: /own"), "{said}");
}
