//! What turnout leaves on the disk: earlier images, and what `turnout prune` finds.

use crate::{common, e2e_support};
use bollard::query_parameters as q;
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{Site, all_of, built, deploy, idle, kneading, log, untouched, wait_for_log};

/// A site whose one service is built of a file that every commit changes.
fn site(builder: &str) -> Site {
    let site = Site::new(&[
        ("docker-compose.prod.yml", &format!("services:\n  web:\n{}", built("web"))),
        ("web/Dockerfile", "FROM @BASE\nCOPY code /code\nENV A=1\n"),
        ("web/code", "0\n"),
    ]);
    site.write("builder", builder);
    site
}

/// Pushes another content of the image's file; the ID of the image that came of it, and the log.
fn push(site: &Site, daemon: &Daemon, code: &str) -> (String, String) {
    site.write("web/code", &format!("{code}\n"));
    let id = site.push_to(daemon, code);
    daemon.expect_success(id);
    (image(&format!("{}-web", site.red())).expect("it was built"), log(daemon, id))
}

/// The ID of an image by any of its names.
fn image(name: &str) -> Option<String> {
    docker::block_on(async { docker::connect().await.inspect_image(name).await.ok().and_then(|found| found.id) })
}

/// Whether the engine keeps an image that lost its name; containerd's store drops it.
fn keeps_nameless() -> bool {
    let info = docker::block_on(async { docker::connect().await.info().await.unwrap() });
    !info.driver_status.iter().flatten().flatten().any(|word| word == "io.containerd.snapshotter.v1")
}

fn short(id: &str) -> String {
    id.chars().take("sha256:".len() + 12).collect()
}

fn tag(image: &str, name: &str, tag: &str) {
    docker::block_on(async {
        let options = q::TagImageOptionsBuilder::default().repo(name).tag(tag).build();
        docker::connect().await.tag_image(image, Some(options)).await.unwrap();
    });
}

fn remove_image(name: &str) {
    docker::block_on(docker::remove_image(name));
}

/// The number of images without a name that came of a build here, steps of the classic builder too.
fn nameless(text: &str) -> usize {
    docker::block_on(async {
        let engine = docker::connect().await;
        let options = q::ListImagesOptionsBuilder::default().all(true).build();
        let mut found = 0;
        for image in engine.list_images(Some(options)).await.unwrap() {
            // Others remove theirs meanwhile.
            let Ok(history) = engine.image_history(&image.id).await else { continue };
            found += usize::from(image.repo_tags.is_empty() && history.iter().any(|h| h.created_by.contains(text)));
        }
        found
    })
}

#[test]
fn earlier_images_are_kept_to_a_number() {
    if !keeps_nameless() {
        return;
    }
    for builder in ["classic", "buildkit"] {
        let site = site(builder);
        let daemon = site.serve(&["keep_images: 1", &format!("builder: {builder}")]);
        let (one, _) = push(&site, &daemon, "one");
        let (two, said) = push(&site, &daemon, "two");
        assert!(image(&one).is_some() && !said.contains("removed image"), "{said}");
        let (three, said) = push(&site, &daemon, "three");
        let line =
            format!("removed image {} of {}-web, 2 builds ago; 1 is kept (keep_images)", short(&one), site.red());
        assert!(said.contains(&line), "{builder}: {line}\n{said}");
        assert_eq!((image(&one), image(&two)), (None, Some(two.clone())), "{builder}");

        // One that was made a name is somebody's, and stays; so does the one that a container uses.
        let backup = format!("{}-backup", site.red());
        tag(&two, &backup, "1");
        let labels = Some([(docker::PROJECT.to_owned(), site.red())].into());
        let body = bollard::models::ContainerCreateBody { image: Some(three.clone()), labels, ..Default::default() };
        let other = docker::block_on(async {
            docker::connect().await.create_container(None::<q::CreateContainerOptions>, body).await.unwrap().id
        });
        std::fs::write(daemon.repos_yaml(), site.entry(&["keep_images: 0", &format!("builder: {builder}")])).unwrap();
        let (four, _) = push(&site, &daemon, "four");
        assert!([&two, &three, &four].iter().all(|id| image(id).is_some()), "{builder}");
        remove_image(&backup);
        docker::block_on(async {
            docker::connect().await.remove_container(&other, None::<q::RemoveContainerOptions>).await.unwrap();
        });
        let (_, said) = push(&site, &daemon, "five");
        assert!([&three, &four].iter().all(|id| image(id).is_none()), "{builder}: {said}");
    }
}

#[test]
fn the_order_is_that_of_deployments_and_steps_of_the_classic_builder_go_too() {
    if !keeps_nameless() {
        return;
    }
    let site = site("classic");
    let mark = format!("ENV MARK={}", site.name);
    site.write("web/Dockerfile", &format!("FROM @BASE\n{mark}\nCOPY code /code\nENV A=1\n"));
    let daemon = site.serve(&["keep_images: 1", "builder: classic"]);
    let (one, _) = push(&site, &daemon, "one");
    let (two, _) = push(&site, &daemon, "two");
    // Taken back: the cache gives the first image again, which is older than the second.
    let (back, _) = push(&site, &daemon, "one");
    assert_eq!(back, one);
    let steps = nameless(&site.name);
    let (_, said) = push(&site, &daemon, "three");
    assert_eq!((image(&one), image(&two)), (Some(one), None), "the one that ran last stays: {said}");
    // What the build of `three` brought is what the removal of `two` took: no steps are left behind.
    assert_eq!(nameless(&site.name), steps, "{said}");
}

/// Runs `turnout prune` on the state of a daemon, which need not run.
fn prune(daemon: &Daemon, arguments: &[&str], code: i32) -> String {
    let (ended, text) = prune_now(daemon, arguments);
    assert_eq!(ended, Some(code), "turnout prune {arguments:?}:\n{text}");
    text
}

/// The same, however it ends.
fn prune_now(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String) {
    let (repos, state) = (daemon.repos_yaml(), daemon.state_dir());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_turnout"));
    command.arg("prune").arg("--repos").arg(repos).arg("--state-dir").arg(state).args(arguments);
    let output = command.output().unwrap();
    (output.status.code(), all_of(&output))
}

#[test]
fn prune_says_what_it_would_remove_and_removes_it_without_a_daemon() {
    if !keeps_nameless() {
        return;
    }
    let (site, other) = (site("auto"), Site::sleeping());
    let list = |keep: &str| format!("{}{}", site.entry(&[keep]), other.entry(&[]));
    let mut daemon = Daemon::start_with(&list("keep_images: 10"), e2e_support::QUICK, &[]);
    let [(one, _), (two, _), (three, said)] = ["one", "two", "three"].map(|code| push(&site, &daemon, code));
    assert!(!said.contains("removed image"), "{said}");
    assert!(prune(&daemon, &[], 0).contains("nothing to remove"));

    std::fs::write(daemon.repos_yaml(), list("keep_images: 1")).unwrap();
    let line = format!("image {} of {}-web, 2 builds ago; 1 is kept (keep_images)", short(&one), site.red());
    let said = prune(&daemon, &["--dry-run"], 0);
    assert!(said.contains(&format!("would remove {line}: up to ")), "{line}\n{said}");
    assert!(said.contains("would remove 1 thing, up to"), "{said}");
    assert!(prune(&daemon, &[&other.name], 0).contains("nothing to remove"), "only the other one was asked for");
    assert!(prune(&daemon, &["nobody"], 1).contains("no repository `nobody`"));
    assert!(image(&one).is_some());

    daemon.terminate();
    let said = prune(&daemon, &[&site.name], 0);
    assert!(said.contains(&format!("removed {line}: up to ")), "{line}\n{said}");
    assert_eq!([&one, &two, &three].map(|id| image(id).is_some()), [false, true, true]);

    // What is remembered of the image goes too, and what a clone and a removed repository left.
    let state = daemon.state_dir().join("inputs");
    let remembered = |id: &str| state.join("images").join(format!("{}.json", id.trim_start_matches("sha256:")));
    let digests = state.join(format!("{}.digests", hex::encode("gone")));
    std::fs::write(&digests, "").unwrap();
    let clone = site.path.with_file_name(format!(".{}.clone-1-0", site.path.file_name().unwrap().to_string_lossy()));
    std::fs::create_dir_all(clone.join(".git")).unwrap();
    std::fs::write(clone.join(".git/config"), "12345").unwrap();
    let said = prune(&daemon, &["--dry-run"], 0);
    for file in [&remembered(&one), &digests, &clone] {
        assert!(said.contains(&format!("would remove {}, ", file.display())) && file.exists(), "{said}");
    }
    assert!(said.contains("a clone that was broken off: 5 B"), "{said}");
    prune(&daemon, &[], 0);
    assert!(![&remembered(&one), &digests, &clone].iter().any(|file| file.exists()));
    assert!(remembered(&two).exists() && remembered(&three).exists());
    assert!(prune(&daemon, &[], 0).contains("nothing to remove"));
}

#[test]
fn images_of_a_repository_that_is_gone_go_when_nobody_uses_them() {
    if !keeps_nameless() {
        return;
    }
    let site = site("auto");
    let daemon = site.serve(&[]);
    let (one, _) = push(&site, &daemon, "one");
    let (two, _) = push(&site, &daemon, "two");
    let backup = format!("{}-backup", site.red());
    tag(&one, &backup, "1");
    std::fs::write(daemon.repos_yaml(), "{}\n").unwrap();
    let said = prune(&daemon, &[], 0);
    assert!(said.contains(&format!("it is named {backup}:1, which turnout did not give")), "{said}");
    assert!(said.contains(&format!("the container {}-web-1 uses it", site.red())), "{said}");
    assert!([&one, &two].iter().all(|id| image(id).is_some()), "{said}");

    // Another turnout on the same engine knows nothing of them.
    let elsewhere = Site::sleeping();
    let stranger = elsewhere.serve(&[]);
    remove_image(&format!("{backup}:1"));
    for id in docker::ids(&site.red(), "web") {
        let options = q::RemoveContainerOptionsBuilder::new().force(true).build();
        docker::block_on(async { docker::connect().await.remove_container(&id, Some(options)).await.unwrap() });
    }
    assert!(prune(&stranger, &[], 0).contains("nothing to remove"));
    let said = prune(&daemon, &[&site.name], 0);
    assert!(said.contains(&format!("the repository `{}` is not in the list any more", site.name)), "{said}");
    assert!([&one, &two].iter().all(|id| image(id).is_none()), "{said}");
}

#[test]
fn prune_keeps_out_of_a_deployment_under_way() {
    let site = site("classic");
    let daemon = site.serve(&["keep_images: 0", "builder: classic"]);
    push(&site, &daemon, "one");
    // It builds until it is called off, however long the command takes on a busy machine.
    site.write("web/Dockerfile", &kneading(600));
    let id = site.push_to(&daemon, "Slow");
    wait_for_log(&daemon, id, "kneading");
    let said = prune(&daemon, &[], 1);
    assert!(said.contains("a deployment is under way"), "{said}");
    daemon.turnout(&["cancel", &id.to_string()]);
    assert_eq!(daemon.wait_for_deployment(id)["state"], "cancelled");
    // What is left in part is looked after beside it, and has the repository meanwhile.
    wait_until("prune to have the repository", PATIENCE, || match prune_now(&daemon, &[]) {
        (Some(0), said) => Ok(said),
        other => Err(other),
    });
}

#[test]
fn a_full_disk_is_seen_before_the_build() {
    let (site, still) = (site("auto"), Site::sleeping());
    let daemon = site.serve(&["min_free_disk: 0"]);
    push(&site, &daemon, "one");
    let before = untouched(&site.red());
    let list = |least: &str| format!("{}{}", site.entry(&[least]), still.entry(&[least]));
    std::fs::write(daemon.repos_yaml(), list("min_free_disk: 1000000g")).unwrap();
    site.write("web/code", "two\n");
    let failed = daemon.expect_failure(site.push_to(&daemon, "Two"));
    let error = failed["error"].as_str().unwrap_or_default();
    assert!(error.contains("there is too little room to build or pull: "), "{error}");
    assert!(error.contains("(the engine's data)") && error.contains("turnout prune"), "{error}");
    assert_eq!(untouched(&site.red()), before);
    // Nothing is built here, so nothing needs room.
    daemon.expect_success(daemon.deploy_by_push(&still.push()));
    std::fs::write(daemon.repos_yaml(), list("min_free_disk: 1MiB")).unwrap();
    push(&site, &daemon, "three");
}

/// The names of a project's networks.
fn networks(project: &str) -> Vec<String> {
    let filters =
        std::collections::HashMap::from([("label".to_owned(), vec![format!("{}={project}", docker::PROJECT)])]);
    let mut names: Vec<String> = docker::block_on(async {
        let options = q::ListNetworksOptionsBuilder::default().filters(&filters).build();
        let found = docker::connect().await.list_networks(Some(options)).await.unwrap();
        found.into_iter().filter_map(|network| network.name).collect()
    });
    names.sort();
    names
}

#[test]
fn networks_that_no_file_names_go_with_the_services_that_used_them() {
    let web = format!("  web:\n{}    networks: [front]\n", idle());
    let db = format!("  db:\n{}    networks: [front, back]\n", idle());
    let whole = format!("services:\n{web}{db}networks: {{ front: , back:  }}\n");
    let less = format!("services:\n{web}networks: {{ front:  }}\n");
    let site = Site::new(&[("docker-compose.prod.yml", &whole)]);
    let daemon = site.serve(&[]);
    let (front, back) = (format!("{}_front", site.red()), format!("{}_back", site.red()));
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    assert_eq!(networks(&site.red()), [back.clone(), front.clone()]);

    // Somebody else is in it: it stays, and that is told.
    let body = bollard::models::ContainerCreateBody {
        image: Some(docker::base_image()),
        cmd: Some(vec!["sleep".to_owned(), "1000".to_owned()]),
        host_config: Some(bollard::models::HostConfig { network_mode: Some(back.clone()), ..Default::default() }),
        ..Default::default()
    };
    let stranger = docker::block_on(async {
        let engine = docker::connect().await;
        let made = engine.create_container(None::<q::CreateContainerOptions>, body).await.unwrap().id;
        engine.start_container(&made, None::<q::StartContainerOptions>).await.unwrap();
        made
    });
    site.write("docker-compose.prod.yml", &less);
    let id = site.push_to(&daemon, "Less");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    assert!(said.contains(&format!("network {back} is still in use and was kept")), "{said}");
    docker::block_on(async {
        let options = q::RemoveContainerOptionsBuilder::new().force(true).build();
        docker::connect().await.remove_container(&stranger, Some(options)).await.unwrap();
    });
    let web = site.container(&site.red(), "web");
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains(&format!("removed network {back}")), "{said}");
    assert_eq!((networks(&site.red()), site.container(&site.red(), "web")), (vec![front], web));
}

/// A way to the engine that notes what is asked for.
struct Relay {
    socket: std::path::PathBuf,
    asked: std::sync::Arc<std::sync::Mutex<String>>,
    _folder: tempfile::TempDir,
}

impl Relay {
    fn new() -> Self {
        use std::os::unix::net::{UnixListener, UnixStream};
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let note = std::sync::Arc::clone(&asked);
        let engine = std::env::var("DOCKER_HOST").unwrap_or_default();
        let engine = engine.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&engine) else { return };
                let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut answers, &mut back);
                    let _ = back.shutdown(std::net::Shutdown::Both);
                });
                let (note, mut client, mut server) = (note.clone(), client, server);
                std::thread::spawn(move || {
                    let mut part = [0; 4096];
                    while let Ok(length @ 1..) = std::io::Read::read(&mut client, &mut part) {
                        note.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..length]));
                        if std::io::Write::write_all(&mut server, &part[..length]).is_err() {
                            break;
                        }
                    }
                    let _ = server.shutdown(std::net::Shutdown::Write);
                });
            }
        });
        Self { socket, asked, _folder: folder }
    }

    /// How often a list of images was asked for since the last call.
    fn lists(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap()).matches("/images/json?").count()
    }
}

/// On a host with hundreds of images it takes longer than all the rest.
#[test]
fn where_nothing_was_built_or_replaced_images_are_listed_once() {
    let site = site("auto");
    let relay = Relay::new();
    let host = format!("unix://{}", relay.socket.display());
    let arguments = [e2e_support::QUICK, &["--docker-host", &host]].concat();
    let mut daemon = Daemon::start_with(&site.entry(&["keep_images: 1"]), &arguments, &[]);
    deploy(&daemon, &[&site.name], 0);
    relay.lists();
    let nothing = |daemon: &Daemon| {
        let said = deploy(daemon, &[&site.name], 0);
        assert!(said.contains("nothing to do"), "{said}");
        relay.lists()
    };
    assert_eq!(nothing(&daemon), 0);
    // Another number is kept, something is built, or it is not known what an earlier daemon left.
    std::fs::write(daemon.repos_yaml(), site.entry(&["keep_images: 0"])).unwrap();
    assert_eq!((nothing(&daemon), nothing(&daemon)), (1, 0));
    push(&site, &daemon, "two");
    assert!(relay.lists() > 0);
    assert_eq!(nothing(&daemon), 0);
    daemon.terminate();
    daemon.restart();
    assert_eq!((nothing(&daemon), nothing(&daemon)), (1, 0));
}
