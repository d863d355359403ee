//! Builds against the real engine, with both builders.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may panic, and say why it does not run"
)]

use std::time::Duration;

use crate::image_support;
use image_support::{Bench, engine, files_of, remove};
use turnout::{
    buildkit::OfferError,
    compose::model::{Bytes, FileObject, SshKey, Ulimit},
    engine::image::{BuilderChoice, ImageError},
};

const BOTH: [BuilderChoice; 2] = [BuilderChoice::Classic, BuilderChoice::BuildKit];

#[tokio::test]
async fn a_service_is_built_with_target_args_labels_and_tags_and_again_with_the_same_id() {
    let daemon = engine().await;
    for builder in BOTH {
        let mut bench = Bench::new(
            "full",
            "FROM scratch AS one\nCOPY sh /bin/sh\nARG WHAT\nRUN echo $WHAT > /what\nFROM scratch AS two\nCOPY nothing /x\n",
        );
        bench.builder = builder;
        let extra = format!("{}-extra:1", bench.project.name);
        bench.project.environment.insert("WHAT".into(), "from-environment".into());
        bench.build(|build| {
            build.target = "one".into();
            build.args.insert("WHAT".into(), None);
            build.labels.insert("mine".into(), "yes".into());
            build.tags = vec![extra.clone()];
        });
        let first = bench.run(&daemon).await.unwrap_or_else(|e| panic!("{builder:?}: {e}\n{}", bench.reporter.text()));
        let inspected = daemon.docker().inspect_image(&bench.image()).await.unwrap();
        assert_eq!(inspected.id.as_deref(), Some(first.0.as_str()), "{builder:?}");
        assert_eq!(daemon.docker().inspect_image(&extra).await.unwrap().id.as_deref(), Some(first.0.as_str()));
        let labels = inspected.config.unwrap().labels.unwrap();
        assert_eq!(labels["mine"], "yes");
        match builder {
            BuilderChoice::Classic => assert_eq!(labels["com.docker.compose.image.builder"], "classic"),
            _ => assert_eq!(labels["com.docker.compose.service"], "web"),
        }
        assert_eq!(files_of(&daemon, &bench.image()).await["what"], b"from-environment\n");
        let second = bench.run(&daemon).await.unwrap();
        assert_eq!(first, second, "{builder:?}: nothing changed, so the image must be the same");
        bench.build(|build| {
            build.args.insert("WHAT".into(), Some("changed".into()));
        });
        assert_ne!(bench.run(&daemon).await.unwrap(), second);
        remove(&extra).await;
        remove(&bench.image()).await;
        remove(&second.0).await;
    }
}

#[tokio::test]
async fn a_failing_step_is_named_with_its_last_lines_and_secrets_stay_hidden() {
    let daemon = engine().await;
    for builder in BOTH {
        let mut bench = Bench::new(
            "fail",
            "FROM scratch\nCOPY sh /bin/sh\nARG API_TOKEN\nRUN echo about to break $API_TOKEN; exit 7\nRUN echo never\n",
        );
        bench.builder = builder;
        bench.build(|build| {
            build.args.insert("API_TOKEN".into(), Some("hunter22".into()));
        });
        let error = bench.run(&daemon).await.unwrap_err();
        let ImageError::Build { step, tail, service, .. } = &error else { panic!("{builder:?}: {error}") };
        assert_eq!(service, "web");
        assert!(step.as_ref().unwrap().contains("RUN echo about to break"), "{builder:?}: {step:?}");
        assert!(tail.iter().any(|line| line.contains("about to break ***")), "{builder:?}: {tail:?}");
        assert!(error.to_string().contains('7'), "{error}");
        assert!(!bench.reporter.text().contains("hunter22"), "{}", bench.reporter.text());
        assert!(!error.to_string().contains("hunter22"), "{error}");
    }
}

#[tokio::test]
async fn a_syntax_error_and_a_missing_file_are_told() {
    let daemon = engine().await;
    for builder in BOTH {
        for (dockerfile, expected) in
            [("FROM scratch\nFROBNICATE x\n", "FROBNICATE"), ("FROM scratch\nCOPY absent /\n", "absent")]
        {
            let mut bench = Bench::new("bad", dockerfile);
            bench.builder = builder;
            let error = bench.run(&daemon).await.unwrap_err().to_string();
            assert!(error.to_lowercase().contains(&expected.to_lowercase()), "{builder:?}: {error}");
        }
    }
}

#[tokio::test]
async fn ignored_files_do_not_reach_the_image() {
    let daemon = engine().await;
    for builder in BOTH {
        let mut bench = Bench::new("ignore", "FROM scratch\nCOPY . /ctx\n");
        bench.builder = builder;
        bench.write(".dockerignore", "*\n!keep\nkeep/*.tmp\nsh\n");
        bench.write("secret.txt", "x");
        bench.write("keep/a.txt", "a");
        bench.write("keep/b.tmp", "b");
        bench.run(&daemon).await.unwrap_or_else(|e| panic!("{builder:?}: {e}"));
        let files: Vec<_> = files_of(&daemon, &bench.image()).await.into_keys().collect();
        assert_eq!(files, ["ctx", "ctx/keep", "ctx/keep/a.txt"], "{builder:?}");
        remove(&bench.image()).await;
    }
}

/// BuildKit asks for thousands of files before it takes the first one.
#[tokio::test]
async fn a_context_may_have_many_small_files() {
    let daemon = engine().await;
    let bench = Bench::new("many", "FROM scratch\nCOPY many /many\n");
    for number in 0..20_000 {
        bench.write(&format!("many/{}/{number}", number % 100), "x");
    }
    bench.run(&daemon).await.unwrap_or_else(|error| panic!("{error}\n{}", bench.reporter.text()));
    assert!(files_of(&daemon, &bench.image()).await.contains_key("many/99/19999"));
}

#[tokio::test]
async fn an_ignore_file_may_have_many_patterns() {
    let daemon = engine().await;
    for builder in BOTH {
        let mut bench = Bench::new("patterns", "FROM scratch\nCOPY . /ctx\n");
        bench.builder = builder;
        let many: String = (0..1500).map(|number| format!("some/folder/with/a/long/name/{number}\n")).collect();
        bench.write(".dockerignore", format!("{many}sh\nDockerfile\n.dockerignore\n"));
        bench.write("a.txt", "a");
        bench.write("some/folder/with/a/long/name/1499", "x");
        bench.run(&daemon).await.unwrap_or_else(|e| panic!("{builder:?}: {e}"));
        let files = files_of(&daemon, &bench.image()).await;
        assert!(files.contains_key("ctx/a.txt") && !files.contains_key("ctx/some/folder/with/a/long/name/1499"));
        remove(&bench.image()).await;
    }
}

#[tokio::test]
async fn inline_and_outside_dockerfiles_build_and_leave_no_trace() {
    let daemon = engine().await;
    for builder in BOTH {
        for inline in [true, false] {
            let mut bench = Bench::new("inline", "FROM nowhere.invalid/never-used\n");
            bench.builder = builder;
            bench.write("ctx/file", "content");
            let context = bench.dir.path().join("ctx").to_string_lossy().into_owned();
            let dockerfile = "FROM scratch\nCOPY . /ctx\n";
            let outside = bench.write("elsewhere/Dockerfile.x", dockerfile);
            bench.build(|build| {
                build.context = context;
                match inline {
                    true => build.dockerfile_inline = dockerfile.into(),
                    false => build.dockerfile = outside.to_string_lossy().into_owned(),
                }
            });
            let first = bench.run(&daemon).await.unwrap_or_else(|e| panic!("{builder:?} {inline}: {e}"));
            let files: Vec<_> = files_of(&daemon, &bench.image()).await.into_keys().collect();
            assert_eq!(files, ["ctx", "ctx/file"], "{builder:?} {inline}");
            assert_eq!(bench.run(&daemon).await.unwrap(), first);
            remove(&bench.image()).await;
        }
    }
}

#[tokio::test]
async fn cancelling_stops_the_build_on_the_engine() {
    let daemon = engine().await;
    for builder in BOTH {
        let marker = image_support::unique("cancelled");
        let dockerfile = format!(
            "FROM scratch\nCOPY sh /bin/sh\nRUN echo {marker} running-now; while :; do read -t 1 x < /dev/zero; done\n"
        );
        let mut bench = Bench::new("cancel", &dockerfile);
        bench.builder = builder;
        bench.reporter.trip = Some((" running-now".into(), bench.cancel.clone()));
        let error = bench.run(&daemon).await.unwrap_err();
        assert!(matches!(error, ImageError::Cancelled { .. }), "{builder:?}: {error}");
        let mut left = true;
        for _ in 0..100 {
            left = processes_with(&marker);
            if !left {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!left, "{builder:?}: the build's process is still there");
    }
}

/// Whether a process of this host has the text in its command line. The engine runs on the same host in tests.
fn processes_with(text: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
    })
}

#[tokio::test]
async fn a_build_that_takes_too_long_is_stopped() {
    let daemon = engine().await;
    let mut bench =
        Bench::new("slow", "FROM scratch\nCOPY sh /bin/sh\nRUN while :; do read -t 1 x < /dev/zero; done\n");
    bench.timeout = Duration::from_secs(3);
    let error = bench.run(&daemon).await.unwrap_err();
    assert!(matches!(error, ImageError::TooSlow { .. }), "{error}");
}

#[tokio::test]
async fn an_unreadable_file_breaks_the_build_off_instead_of_truncating_the_context() {
    let daemon = engine().await;
    for builder in BOTH {
        let mut bench = Bench::new("broken", "FROM scratch\nCOPY a /\n");
        bench.builder = builder;
        bench.write("a", "a");
        // A name the stream cannot carry, after a megabyte that it can.
        bench.write("m", vec![1u8; 1 << 20]);
        use std::os::unix::ffi::OsStrExt;
        std::fs::write(bench.dir.path().join(std::ffi::OsStr::from_bytes(b"z\xff")), "x").unwrap();
        let error = bench.run(&daemon).await.unwrap_err();
        assert!(matches!(error, ImageError::Offer(OfferError::Context { .. })), "{builder:?}: {error}");
        assert!(daemon.docker().inspect_image(&bench.image()).await.is_err());
    }
}

#[tokio::test]
async fn modes_links_and_long_names_arrive() {
    let daemon = engine().await;
    for builder in BOTH {
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(150));
        let dockerfile = "FROM scratch\nCOPY sh /bin/sh\nCOPY . /ctx\nRUN cd /ctx && stat -c '%a %u:%g %F' run dir private > /out \
             && readlink link >> /out && stat -c %h one two >> /out && readlink far >> /out && stat -c %s empty d*/f* >> /out\n";
        let mut bench = Bench::new("modes", dockerfile);
        bench.builder = builder;
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = bench.dir.path();
        for (name, mode) in [("run", 0o4755), ("private", 0o600)] {
            let path = bench.write(name, "x");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(dir.join("dir")).unwrap();
        std::fs::set_permissions(dir.join("dir"), std::fs::Permissions::from_mode(0o1777)).unwrap();
        symlink("run", dir.join("link")).unwrap();
        symlink("/".to_owned() + &"t".repeat(140), dir.join("far")).unwrap();
        bench.write("one", "linked");
        std::fs::hard_link(dir.join("one"), dir.join("two")).unwrap();
        bench.write("empty", "");
        bench.write(&long, "long");
        let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
        std::os::unix::fs::chown(dir.join("private"), Some(1234), Some(1234)).ok();
        bench.run(&daemon).await.unwrap_or_else(|e| panic!("{builder:?}: {e}\n{}", bench.reporter.text()));
        let out = String::from_utf8(files_of(&daemon, &bench.image()).await.remove("out").unwrap()).unwrap();
        // The classic builder changes the owner after the mode, which drops set-user-ID; so it does for every client.
        let run = if builder == BuilderChoice::Classic { "755" } else { "4755" };
        let expected = format!(
            "{run} 0:0 regular file\n1777 0:0 directory\n600 0:0 regular file\nrun\n2\n2\n/{}\n0\n4\n",
            "t".repeat(140)
        );
        assert_eq!(out, expected, "{builder:?}");
        assert!(bench.reporter.text().contains("socket: a socket, not sent"), "{}", bench.reporter.text());
        remove(&bench.image()).await;
    }
}

#[tokio::test]
async fn a_changed_file_is_sent_again_and_an_unchanged_one_is_not() {
    let daemon = engine().await;
    let mut bench = Bench::new("again", "FROM scratch\nCOPY data.txt /\n");
    bench.builder = BuilderChoice::BuildKit;
    bench.write("data.txt", "one");
    let first = bench.run(&daemon).await.unwrap();
    bench.write("data.txt", "two");
    let second = bench.run(&daemon).await.unwrap();
    assert_ne!(first, second);
    remove(&first.0).await;
    assert_eq!(files_of(&daemon, &bench.image()).await["data.txt"], b"two");
    // The Dockerfile changes without changing its size.
    bench.write("data.abc", "three");
    bench.write("Dockerfile", "FROM scratch\nCOPY data.abc /\n");
    bench.run(&daemon).await.unwrap();
    remove(&second.0).await;
    assert_eq!(files_of(&daemon, &bench.image()).await["data.abc"], b"three");
    remove(&bench.image()).await;
}

#[tokio::test]
async fn the_ignore_file_beside_the_dockerfile_wins_with_buildkit_only() {
    let daemon = engine().await;
    for (builder, expected) in [(BuilderChoice::BuildKit, "for-root"), (BuilderChoice::Classic, "for-special")] {
        let mut bench = Bench::new("beside", "FROM scratch\n");
        bench.builder = builder;
        bench.write("docker/Dockerfile.special", "FROM scratch\nCOPY for-* /\n");
        bench.write("docker/Dockerfile.special.dockerignore", "for-special\n");
        bench.write(".dockerignore", "for-root\n");
        bench.write("for-root", "");
        bench.write("for-special", "");
        bench.build(|build| build.dockerfile = "docker/Dockerfile.special".into());
        bench.run(&daemon).await.unwrap();
        let files: Vec<_> = files_of(&daemon, &bench.image()).await.into_keys().collect();
        assert_eq!(files, [expected], "{builder:?}");
        remove(&bench.image()).await;
    }
}

#[tokio::test]
async fn secrets_reach_run_and_nothing_else() {
    let daemon = engine().await;
    let mut bench = Bench::new(
        "secret",
        "FROM scratch\nCOPY sh /bin/sh\nRUN --mount=type=secret,id=from_file --mount=type=secret,id=from_env \
         cat /run/secrets/from_file /run/secrets/from_env | md5sum > /digest\n",
    );
    let file = bench.write("secret.txt", "file-secret-content");
    bench.write(".dockerignore", "secret.txt\n");
    bench.project.environment.insert("THE_SECRET".into(), "env-secret-content".into());
    bench.secret("from_file", FileObject { file: file.to_string_lossy().into_owned(), ..Default::default() });
    bench.secret("from_env", FileObject { environment: "THE_SECRET".into(), ..Default::default() });
    bench.run(&daemon).await.unwrap_or_else(|e| panic!("{e}\n{}", bench.reporter.text()));
    let files = files_of(&daemon, &bench.image()).await;
    // printf 'file-secret-contentenv-secret-content' | md5sum
    assert_eq!(
        String::from_utf8_lossy(&files["digest"]).split(' ').next().unwrap(),
        "4383409632fd9e7eedd782b2626cee5e"
    );
    for (name, content) in &files {
        assert!(!String::from_utf8_lossy(content).contains("secret-content"), "{name}");
    }
    let history = format!("{:?}", daemon.docker().image_history(&bench.image()).await.unwrap());
    assert!(!history.contains("secret-content"), "{history}");
    remove(&bench.image()).await;

    bench.builder = BuilderChoice::Classic;
    let error = bench.run(&daemon).await.unwrap_err().to_string();
    assert!(error.contains("build.secrets") && error.contains("classic"), "{error}");
}

#[tokio::test]
async fn an_ssh_agent_is_forwarded() {
    let daemon = engine().await;
    let Ok(libraries) = std::process::Command::new("ldd").arg("/usr/bin/ssh-add").output() else {
        eprintln!("not run: there is no ldd to find what ssh-add needs");
        return;
    };
    let mut bench = Bench::new(
        "ssh",
        "FROM scratch\nCOPY sh /bin/sh\nCOPY root /\nRUN --mount=type=ssh /usr/bin/ssh-add -l > /answer; true\n",
    );
    // An SSH client with its libraries: busybox has nothing that speaks to a Unix socket.
    let listed = String::from_utf8_lossy(&libraries.stdout).into_owned();
    for path in listed.split_whitespace().filter(|word| word.starts_with('/')).chain(["/usr/bin/ssh-add"]) {
        let Ok(content) = std::fs::read(path) else {
            eprintln!("not run: {path} is missing");
            return;
        };
        let copy = bench.write(&format!("root{path}"), content);
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench.write("root/etc/passwd", "root:x:0:0::/:/bin/sh\n");
    let socket = bench.dir.path().join("agent.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let agent = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut length = [0; 4];
            while stream.read_exact(&mut length).await.is_ok() {
                let mut asked = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut asked).await.unwrap();
                // SSH_AGENT_IDENTITIES_ANSWER with no identity, or SSH_AGENT_FAILURE.
                let answer: &[u8] = if asked[0] == 11 { &[0, 0, 0, 5, 12, 0, 0, 0, 0] } else { &[0, 0, 0, 1, 5] };
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    bench.project.environment.insert("SSH_AUTH_SOCK".into(), socket.to_string_lossy().into_owned());
    bench.build(|build| build.ssh = vec![SshKey { id: "default".into(), path: String::new() }]);
    let built = bench.run(&daemon).await;
    agent.abort();
    built.unwrap_or_else(|e| panic!("{e}\n{}", bench.reporter.text()));
    let answer = files_of(&daemon, &bench.image()).await.remove("answer").unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "The agent has no identities.\n", "{}", bench.reporter.text());
    remove(&bench.image()).await;
}

#[tokio::test]
async fn builds_can_run_on_any_thread() {
    fn sendable<T: Send>(_: &T) {}
    let daemon = engine().await;
    let bench = Bench::new("send", "FROM scratch\n");
    sendable(&bench.run(&daemon));
    sendable(&bench.pull(&daemon));
}

/// Serves one body to every request, until the test's runtime ends.
fn serve(body: Vec<u8>, content_type: &'static str) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/context", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    address
}

#[tokio::test]
async fn a_remote_context_is_fetched_by_the_engine() {
    let daemon = engine().await;
    for builder in BOTH {
        let mut bench = Bench::new("remote", "never read");
        bench.builder = builder;
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text) in [("sub/Dockerfile.x", "FROM scratch\nCOPY file /\n"), ("file", "remote")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        let address = serve(tar.into_inner().unwrap(), "application/x-tar");
        bench.build(|build| {
            build.context = address;
            build.dockerfile = "sub/Dockerfile.x".into();
        });
        bench.run(&daemon).await.unwrap_or_else(|e| panic!("{builder:?}: {e}\n{}", bench.reporter.text()));
        assert_eq!(files_of(&daemon, &bench.image()).await["file"], b"remote");
        remove(&bench.image()).await;
    }
}

#[tokio::test]
async fn limits_of_run_are_carried_out_by_a_builder_that_knows_them() {
    let daemon = engine().await;
    let mut bench = Bench::new(
        "limits",
        "FROM scratch\nCOPY sh /bin/sh\nRUN ulimit -n > /out && cat /etc/hosts >> /out && df -k /dev/shm | tail -1 >> /out\n",
    );
    bench.build(|build| {
        build.ulimits.insert("nofile".into(), Ulimit { single: 777, ..Default::default() });
        build.shm_size = Bytes(8 << 20);
        build.extra_hosts.0.insert("elsewhere".into(), vec!["10.9.8.7".into()]);
    });
    bench.run(&daemon).await.unwrap_or_else(|e| panic!("{e}\n{}", bench.reporter.text()));
    let out = String::from_utf8(files_of(&daemon, &bench.image()).await.remove("out").unwrap()).unwrap();
    assert!(out.starts_with("777\n") && out.contains("10.9.8.7\telsewhere") && out.contains(" 8192 "), "{out}");
    remove(&bench.image()).await;
}
