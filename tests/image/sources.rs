//! Where a build takes things from and leaves them: contexts by name, caches, SSH keys, registries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may panic, and say why it does not run"
)]

use std::{collections::BTreeMap, path::Path, process::Command};

use crate::{git_support, image_support};
use git_support::{HttpGit, World, commit_in};
use image_support::{
    Bench, engine, files_of,
    registry::{PASSWORD, Registry},
    remove, saved, unique,
};
use turnout::{
    buildkit::solve::Abilities,
    compose::model::{Build, FileObject, Service, SshKey},
    engine::{
        ApiVersion, Engine,
        image::{BuilderChoice, ImageError, turned},
    },
    registry::Credentials,
};

/// Whether images are kept in containerd's store, and whether the Dockerfile frontend knows contexts by name.
async fn abilities(daemon: &Engine) -> (bool, bool) {
    let channel = turned::channel(daemon, "asking what the engine can do").await.unwrap();
    let abilities = Abilities::of(&channel).await.unwrap();
    (abilities.containerd_store, daemon.version() >= ApiVersion::v1(42))
}

/// Builds, or checks that the engine's lack is named.
async fn built_or_refused(daemon: &Engine, bench: &Bench, able: bool, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
    let built = bench.run(daemon).await;
    if !able {
        let error = built.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ImageError::Unsupported { .. }), "{text}");
        assert!(text.contains(name) && text.contains("service web"), "{text}");
        return None;
    }
    built.unwrap_or_else(|error| panic!("{error}\n{}", bench.reporter.text()));
    let files = files_of(daemon, &bench.image()).await;
    remove(&bench.image()).await;
    Some(files)
}

fn text(files: &BTreeMap<String, Vec<u8>>, path: &str) -> String {
    String::from_utf8_lossy(files.get(path).unwrap_or_else(|| panic!("no {path}: {:?}", files.keys()))).into_owned()
}

#[tokio::test]
async fn a_directory_by_name_is_sent_by_its_own_ignore_file_and_again_when_it_changes() {
    let daemon = engine().await;
    let (_, able) = abilities(&daemon).await;
    let mut bench = Bench::new("named-dir", "FROM scratch\nCOPY --from=more . /more\nCOPY --from=dockerfile x /x\n");
    bench.write("more/.dockerignore", "private\n");
    bench.write("more/private", "not sent");
    bench.write("more/file", "one");
    // A name that the build uses itself.
    bench.write("other/x", "x");
    let path = |name: &str| bench.dir.path().join(name).to_string_lossy().into_owned();
    let (more, other) = (path("more"), path("other"));
    bench.build(|build| {
        build.additional_contexts.insert("more".into(), more.clone());
        build.additional_contexts.insert("dockerfile".into(), other.clone());
    });
    let Some(files) = built_or_refused(&daemon, &bench, able, "build.additional_contexts").await else { return };
    assert_eq!((text(&files, "more/file"), text(&files, "x")), ("one".into(), "x".into()));
    assert!(!files.contains_key("more/private"), "{:?}", files.keys());
    bench.write("more/file", "two");
    let files = built_or_refused(&daemon, &bench, able, "").await.unwrap();
    assert_eq!(text(&files, "more/file"), "two");
}

#[tokio::test]
async fn an_absent_directory_by_name_is_told() {
    let daemon = engine().await;
    let mut bench = Bench::new("named-gone", "FROM scratch\nCOPY --from=more . /\n");
    bench.build(|build| drop(build.additional_contexts.insert("more".into(), "/no/such/directory".into())));
    let error = bench.run(&daemon).await.unwrap_err().to_string();
    assert!(error.contains("/no/such/directory") && error.contains("build.additional_contexts.more"), "{error}");
}

#[tokio::test]
async fn the_image_of_another_service_and_any_image_are_contexts() {
    let daemon = engine().await;
    let (_, able) = abilities(&daemon).await;
    let mut bench = Bench::new("named-image", "FROM base\nCOPY --from=also made /copied\n");
    bench.write("base/Dockerfile", "FROM scratch\nCOPY made /made\n");
    bench.write("base/made", "by base");
    let base = Build { context: bench.dir.path().join("base").to_string_lossy().into_owned(), ..Build::default() };
    bench.project.services.insert("base".into(), Service { build: Some(base), ..Service::default() });
    let image = format!("{}-base", bench.project.name);
    let cx = bench.cx(&bench.project.environment);
    turnout::engine::image::build_service(&daemon, &bench.project, "base", &cx).await.unwrap();
    let also = format!("docker-image://{image}");
    bench.build(|build| {
        build.additional_contexts.insert("base".into(), "service:base".into());
        build.additional_contexts.insert("also".into(), also.clone());
    });
    if let Some(files) = built_or_refused(&daemon, &bench, able, "build.additional_contexts").await {
        assert_eq!((text(&files, "made"), text(&files, "copied")), ("by base".into(), "by base".into()));
    }
    remove(&image).await;
}

#[tokio::test]
async fn repositories_are_contexts_main_and_by_name_with_branch_and_directory() {
    let daemon = engine().await;
    let (_, able) = abilities(&daemon).await;
    let world = World::new();
    commit_in(&world.dev(), "sub/Dockerfile", "FROM scratch\nCOPY file /from-git\n");
    commit_in(&world.dev(), "sub/file", "in git");
    world.push();
    let server = HttpGit::start(world.path(), None);
    let address = format!("http://127.0.0.1:{}/origin.git#main:sub", server.port);

    let mut bench = Bench::new("git-main", "never read");
    bench.build(|build| build.context = address.clone());
    let files = built_or_refused(&daemon, &bench, true, "").await.unwrap();
    assert_eq!(text(&files, "from-git"), "in git");

    // With a Dockerfile that is not in the repository.
    let mut bench = Bench::new("git-inline", "never read");
    bench.build(|build| {
        build.context = address.clone();
        build.dockerfile_inline = "FROM scratch\nCOPY file /inline\n".into();
    });
    // The BuildKit of old engines takes no directory of a repository, their classic builder no other Dockerfile.
    if let Some(files) = built_or_refused(&daemon, &bench, able, "a Dockerfile beside a remote context").await {
        assert_eq!(text(&files, "inline"), "in git");
        assert!(bench.reporter.text().contains("BuildKit through its own API"), "{}", bench.reporter.text());
    }

    // A whole repository, on every engine.
    let whole = address.split(':').take(3).collect::<Vec<_>>().join(":");
    let mut bench = Bench::new("git-whole", "never read");
    bench.build(|build| {
        build.context = whole.clone();
        build.dockerfile_inline = "FROM scratch\nCOPY sub/file /inline\n".into();
    });
    let files = built_or_refused(&daemon, &bench, true, "").await.unwrap();
    assert_eq!(text(&files, "inline"), "in git");

    let mut bench = Bench::new("git-named", "FROM scratch\nCOPY --from=repo file /named\n");
    bench.build(|build| drop(build.additional_contexts.insert("repo".into(), address.clone())));
    if let Some(files) = built_or_refused(&daemon, &bench, able, "build.additional_contexts").await {
        assert_eq!(text(&files, "named"), "in git");
    }
}

#[tokio::test]
async fn an_image_layout_is_a_context_where_the_engine_can_read_one() {
    let daemon = engine().await;
    let (able, _) = abilities(&daemon).await;
    let bench = Bench::new("layout-made", "FROM scratch\nCOPY Dockerfile /from-layout\n");
    bench.run(&daemon).await.unwrap();
    let mut other = Bench::new("layout-used", "FROM scratch\nCOPY --from=lay from-layout /copied\n");
    for (path, content) in saved(&daemon, &bench.image()).await {
        if !content.is_empty() {
            other.write(&format!("lay/{path}"), content);
        }
    }
    let lay = format!("oci-layout://{}", other.dir.path().join("lay").display());
    other.build(|build| drop(build.additional_contexts.insert("lay".into(), lay)));
    if let Some(files) = built_or_refused(&daemon, &other, able, "build.additional_contexts.lay").await {
        assert!(text(&files, "copied").contains("COPY Dockerfile"));
    }
    remove(&bench.image()).await;
}

#[tokio::test]
async fn a_cache_in_a_directory_is_written_and_read_where_the_engine_can() {
    let daemon = engine().await;
    let (able, _) = abilities(&daemon).await;
    let cache = tempfile::tempdir().unwrap();
    let place = cache.path().join("cache").display().to_string();
    let dockerfile = "FROM scratch\nCOPY sh /bin/sh\nRUN head -c 16 /dev/urandom | md5sum > /random\n";
    let mut bench = Bench::new("cache-local", dockerfile);
    bench.build(|build| {
        build.cache_to = vec![format!("type=local,dest={place},mode=max")];
        build.cache_from = vec![format!("type=local,src={place}")];
    });
    let Some(files) = built_or_refused(&daemon, &bench, able, "build.cache_to type=local").await else {
        assert!(!Path::new(&place).exists());
        return;
    };
    assert!(bench.reporter.text().contains("holds no cache latest yet"), "{}", bench.reporter.text());
    assert!(Path::new(&place).join("index.json").is_file() && Path::new(&place).join("oci-layout").is_file());
    assert_eq!(std::fs::read_dir(Path::new(&place).join("ingest")).unwrap().count(), 0);
    // The real client reads what was written.
    let output = Command::new("docker")
        .args(["buildx", "build", "--progress=plain", "--cache-from", &format!("type=local,src={place}"), "."])
        .current_dir(bench.dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("importing cache manifest from local"), "{said}");
    let again = built_or_refused(&daemon, &bench, able, "").await.unwrap();
    assert_eq!(text(&files, "random"), text(&again, "random"));
    assert!(bench.reporter.text().contains("importing cache manifest from local"), "{}", bench.reporter.text());
}

#[tokio::test]
async fn a_cache_directory_that_is_only_read_needs_nothing_of_the_engine() {
    let daemon = engine().await;
    let mut bench = Bench::new("cache-empty", "FROM scratch\nCOPY sh /x\n");
    bench.build(|build| build.cache_from = vec!["type=local,src=/no/such/cache".into(), "type=s3,bucket=b".into()]);
    bench.run(&daemon).await.unwrap();
    let text = bench.reporter.text();
    assert!(text.contains("/no/such/cache holds no cache") && text.contains("build.cache_from type=s3"), "{text}");
    remove(&bench.image()).await;
}

#[tokio::test]
async fn a_registry_keeps_the_cache_inline_or_apart() {
    let daemon = engine().await;
    let (able, _) = abilities(&daemon).await;
    let Some(registry) = Registry::start(true) else { return };
    let settings = registry.settings();
    let dockerfile = "FROM scratch\nCOPY sh /bin/sh\nRUN head -c 16 /dev/urandom | md5sum > /random\n";
    let mut bench = Bench::new("cache-inline", dockerfile);
    bench.credentials = Credentials::in_directory(Some(settings.path().to_owned()));
    bench.options.push = true;
    let image = format!("{}/{}:v1", registry.host, unique("cached"));
    bench.project.services.get_mut("web").unwrap().image = image.clone();
    bench.build(|build| {
        build.cache_to = vec!["type=inline".into()];
        build.cache_from = vec![image.clone()];
    });
    bench.run(&daemon).await.unwrap_or_else(|error| panic!("{error}\n{}", bench.reporter.text()));
    let said = bench.reporter.text();
    // The first time there is nothing to read, which is told and no failure.
    assert!(said.contains(&format!("pushed {image}")) && said.contains("build.cache_from: importing cache"), "{said}");
    assert!(!said.contains(PASSWORD));
    let written = saved(&daemon, &image).await;
    assert!(written.values().any(|c| String::from_utf8_lossy(c).contains("moby.buildkit.cache.v0")));
    remove(&image).await;

    let mut apart = Bench::new("cache-apart", dockerfile);
    apart.credentials = Credentials::in_directory(Some(settings.path().to_owned()));
    let reference = format!("{}/{}:cache", registry.host, unique("apart"));
    apart.build(|build| build.cache_to = vec![format!("type=registry,ref={reference},mode=max")]);
    let Some(first) = built_or_refused(&daemon, &apart, able, "build.cache_to type=registry").await else { return };
    let (cache_from, nothing) = (vec![format!("type=registry,ref={reference}")], Vec::new());
    apart.build(|build| (build.cache_from, build.cache_to) = (cache_from.clone(), nothing.clone()));
    let again = built_or_refused(&daemon, &apart, able, "").await.unwrap();
    assert_eq!(text(&first, "random"), text(&again, "random"));
}

#[tokio::test]
async fn several_platforms_are_built_where_the_engine_can_keep_them() {
    let daemon = engine().await;
    let (able, _) = abilities(&daemon).await;
    let mut bench = Bench::new("platforms", "FROM scratch\nCOPY sh /x\n");
    bench.build(|build| build.platforms = vec!["linux/amd64".into(), "linux/arm64".into()]);
    // `up` builds the one that runs here, on every engine.
    bench.run(&daemon).await.unwrap();
    remove(&bench.image()).await;
    bench.options.all_platforms = true;
    if built_or_refused(&daemon, &bench, able, "build.platforms").await.is_some() {
        assert!(bench.reporter.text().contains("exporting manifest list"), "{}", bench.reporter.text());
    }
}

/// A context that holds an SSH client with its libraries; `None`, said aloud, where they are not to be had.
fn with_ssh_add(bench: &Bench) -> Option<()> {
    let listed = Command::new("ldd").arg("/usr/bin/ssh-add").output().ok()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for path in listed.split_whitespace().filter(|word| word.starts_with('/')).chain(["/usr/bin/ssh-add"]) {
        let copy = bench.write(&format!("root{path}"), std::fs::read(path).ok()?);
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench.write("root/etc/passwd", "root:x:0:0::/:/bin/sh\n");
    Some(())
}

#[tokio::test]
async fn a_key_file_answers_as_an_agent_and_leaves_no_trace() {
    let daemon = engine().await;
    // Keys are no part of the cache's key either.
    let step = unique("step");
    let dockerfile = format!(
        "FROM scratch\nCOPY sh /bin/sh\nCOPY root /\nRUN --mount=type=ssh,id=deploy echo {step}; \
         /usr/bin/ssh-add -L > /listed && /usr/bin/ssh-add -T /listed && echo signed > /signed\n"
    );
    let mut bench = Bench::new("ssh-key", &dockerfile);
    let key = bench.dir.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(&key).status();
    if !made.is_ok_and(|made| made.success()) || with_ssh_add(&bench).is_none() {
        eprintln!("not run: there is no OpenSSH client here");
        return;
    }
    bench.write(".dockerignore", "key*\n");
    bench.build(|build| build.ssh = vec![SshKey { id: "deploy".into(), path: key.to_string_lossy().into_owned() }]);
    let files = built_or_refused(&daemon, &bench, true, "").await.unwrap();
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    assert!(public.contains(text(&files, "listed").split(' ').nth(1).unwrap()));
    assert_eq!(text(&files, "signed"), "signed\n");
    let private = std::fs::read_to_string(&key).unwrap();
    let line = private.lines().nth(1).unwrap();
    assert!(!bench.reporter.text().contains(line));

    std::fs::remove_file(&key).unwrap();
    Command::new("ssh-keygen").args(["-q", "-N", "a passphrase", "-t", "ed25519", "-f"]).arg(&key).status().unwrap();
    let error = bench.run(&daemon).await.unwrap_err().to_string();
    assert!(error.contains("build.ssh deploy") && error.contains("passphrase"), "{error}");
}

/// Checklist 42 of the reference: both ways to BuildKit, and no secret anywhere but where RUN asked for it.
#[tokio::test]
async fn checklist_42_both_ways_to_buildkit_work_and_a_secret_never_shows() {
    let daemon = engine().await;
    for solve in [false, true] {
        // A secret is no part of the cache's key, so that the step must differ from that of every build before.
        let step = unique("step");
        let dockerfile = format!(
            "FROM scratch\nCOPY sh /bin/sh\nRUN --mount=type=secret,id=file --mount=type=secret,id=variable \
             echo {step}; cat /run/secrets/file /run/secrets/variable && md5sum /run/secrets/file > /digest\n"
        );
        let mut bench = Bench::new("secret-hidden", &dockerfile);
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(outside.path(), "file-hunter2\nsecond-hunter2\n").unwrap();
        bench.project.environment.insert("V".into(), "variable-hunter2".into());
        let file = outside.path().to_string_lossy().into_owned();
        bench.secret("file", FileObject { file, ..Default::default() });
        bench.secret("variable", FileObject { environment: "V".into(), ..Default::default() });
        if solve {
            bench.build(|build| build.cache_to = vec!["type=inline".into()]);
        }
        bench.run(&daemon).await.unwrap_or_else(|error| panic!("{error}\n{}", bench.reporter.text()));
        assert_eq!(bench.reporter.text().contains("BuildKit through its own API"), solve);
        assert!(!bench.reporter.text().contains("hunter2"), "{}", bench.reporter.text());
        assert!(bench.reporter.text().contains("***"), "RUN's output was shown, without the secret");
        let history = format!("{:?}", daemon.docker().image_history(&bench.image()).await.unwrap());
        assert!(!history.contains("hunter2"), "{history}");
        for (path, content) in
            saved(&daemon, &bench.image()).await.into_iter().chain(files_of(&daemon, &bench.image()).await)
        {
            assert!(!String::from_utf8_lossy(&content).contains("hunter2"), "{path}");
        }
        remove(&bench.image()).await;

        // Neither in the error of a build that fails while it prints them.
        let dockerfile = "FROM scratch\nCOPY sh /bin/sh\nRUN --mount=type=secret,id=file --mount=type=secret,id=variable \
                          cat /run/secrets/file /run/secrets/variable; exit 3\n";
        bench.write("Dockerfile", dockerfile);
        let error = bench.run(&daemon).await.unwrap_err().to_string();
        assert!(error.contains("***") && !error.contains("hunter2"), "{error}");
        assert!(!bench.reporter.text().contains("hunter2"));
    }
}

/// Credentials of a cache are neither shown nor left behind.
#[tokio::test]
async fn credentials_of_a_cache_are_not_shown() {
    let daemon = engine().await;
    let mut bench = Bench::new("cache-token", "FROM scratch\nCOPY sh /x\n");
    bench.build(|build| {
        build.cache_to = vec!["type=gha,url=http://127.0.0.1:1/,token=hunter2-token,scope=x".into()];
        build.cache_from = vec!["type=gha,url=http://127.0.0.1:1/,token=hunter2-token,scope=x".into()];
    });
    let error = bench.run(&daemon).await.unwrap_err().to_string();
    assert!(!error.contains("hunter2") && !bench.reporter.text().contains("hunter2"), "{error}");
}

/// Cancelling hangs up, which stops a build through BuildKit's own API as well.
#[tokio::test]
async fn cancelling_stops_a_build_through_the_api() {
    let daemon = engine().await;
    let marker = unique("solve-cancelled");
    let dockerfile = format!(
        "FROM scratch\nCOPY sh /bin/sh\nRUN echo {marker} running-now; while :; do read -t 1 x < /dev/zero; done\n"
    );
    let mut bench = Bench::new("solve-cancel", &dockerfile);
    bench.builder = BuilderChoice::BuildKit;
    bench.build(|build| build.cache_to = vec!["type=inline".into()]);
    bench.reporter.trip = Some((" running-now".into(), bench.cancel.clone()));
    let error = bench.run(&daemon).await.unwrap_err();
    assert!(matches!(error, ImageError::Cancelled { .. }), "{error}");
    // On a thread of its own: the connection is closed by the tasks of this one.
    let gone = move || {
        let left = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            std::fs::read(entry.path().join("cmdline")).is_ok_and(|l| String::from_utf8_lossy(&l).contains(&marker))
        });
        if left { Err("still there") } else { Ok(()) }
    };
    let limit = std::time::Duration::from_secs(20);
    let wait = move || image_support::common::wait_until("the end of the build's process", limit, gone);
    tokio::task::spawn_blocking(wait).await.unwrap();
}

#[tokio::test]
async fn pull_asks_the_registry_even_for_an_image_that_is_here() {
    let daemon = engine().await;
    for solve in [false, true] {
        let base = Bench::new("pull-base", "FROM scratch\nCOPY sh /x\n");
        base.run(&daemon).await.unwrap();
        // A registry that nobody runs.
        let name = format!("127.0.0.1:1/{}", base.project.name);
        let tag = bollard::query_parameters::TagImageOptions { repo: Some(name.clone()), tag: Some("v1".into()) };
        daemon.docker().tag_image(&base.image(), Some(tag)).await.unwrap();
        let mut bench = Bench::new("pull", &format!("FROM {name}:v1\nCOPY sh /y\n"));
        if solve {
            bench.build(|build| build.cache_to = vec!["type=inline".into()]);
        }
        let files = built_or_refused(&daemon, &bench, true, "").await.unwrap();
        assert!(files.contains_key("x") && files.contains_key("y"));
        bench.build(|build| build.pull = true);
        let error = bench.run(&daemon).await.unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:1"), "{error}");
        remove(&format!("{name}:v1")).await;
        remove(&base.image()).await;
    }
}
