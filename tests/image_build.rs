//! Builds against the real engine, with both builders.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod image_support;

use std::time::Duration;

use image_support::{Bench, engine, files_of, remove};
use turnout::engine::image::{BuilderChoice, ImageError};

const BOTH: [BuilderChoice; 2] = [BuilderChoice::Classic, BuilderChoice::BuildKit];

#[tokio::test]
async fn a_service_is_built_with_target_args_labels_and_tags_and_again_with_the_same_id() {
    let Some(daemon) = engine().await else { return };
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
        remove(&daemon, &extra).await;
        remove(&daemon, &bench.image()).await;
    }
}

#[tokio::test]
async fn a_failing_step_is_named_with_its_last_lines_and_secrets_stay_hidden() {
    let Some(daemon) = engine().await else { return };
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
    let Some(daemon) = engine().await else { return };
    for builder in BOTH {
        for (dockerfile, expected) in [("FROM scratch\nFROBNICATE x\n", "FROBNICATE"), ("FROM scratch\nCOPY absent /\n", "absent")] {
            let mut bench = Bench::new("bad", dockerfile);
            bench.builder = builder;
            let error = bench.run(&daemon).await.unwrap_err().to_string();
            assert!(error.to_lowercase().contains(&expected.to_lowercase()), "{builder:?}: {error}");
        }
    }
}

#[tokio::test]
async fn ignored_files_do_not_reach_the_image() {
    let Some(daemon) = engine().await else { return };
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
        remove(&daemon, &bench.image()).await;
    }
}

#[tokio::test]
async fn inline_and_outside_dockerfiles_build_and_leave_no_trace() {
    let Some(daemon) = engine().await else { return };
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
            remove(&daemon, &bench.image()).await;
        }
    }
}

#[tokio::test]
async fn cancelling_stops_the_build_on_the_engine() {
    let Some(daemon) = engine().await else { return };
    for builder in BOTH {
        let marker = image_support::unique("cancelled");
        let dockerfile = format!("FROM scratch\nCOPY sh /bin/sh\nRUN echo {marker} running-now; exec -a x /bin/sh -c 'while :; do :; done'\n");
        let dockerfile = dockerfile.replace("exec -a x /bin/sh -c 'while :; do :; done'", "while :; do read -t 1 x < /dev/zero; done");
        let mut bench = Bench::new("cancel", &dockerfile);
        bench.builder = builder;
        bench.reporter.trip = Some((" running-now".into(), bench.cancel.clone()));
        // The step's own output, not its announcement, which also holds the text: both mean that it is under way.
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
    let Some(daemon) = engine().await else { return };
    let mut bench = Bench::new("slow", "FROM scratch\nCOPY sh /bin/sh\nRUN while :; do read -t 1 x < /dev/zero; done\n");
    bench.timeout = Duration::from_secs(3);
    let error = bench.run(&daemon).await.unwrap_err();
    assert!(matches!(error, ImageError::TooSlow { .. }), "{error}");
}

#[tokio::test]
async fn an_unreadable_file_breaks_the_build_off_instead_of_truncating_the_context() {
    let Some(daemon) = engine().await else { return };
    for builder in BOTH {
        let mut bench = Bench::new("broken", "FROM scratch\nCOPY a /\n");
        bench.builder = builder;
        bench.write("a", "a");
        // A name the stream cannot carry, after a megabyte that it can.
        bench.write("m", vec![1u8; 1 << 20]);
        use std::os::unix::ffi::OsStrExt;
        std::fs::write(bench.dir.path().join(std::ffi::OsStr::from_bytes(b"z\xff")), "x").unwrap();
        let error = bench.run(&daemon).await.unwrap_err();
        assert!(matches!(error, ImageError::Context { .. }), "{builder:?}: {error}");
        assert!(daemon.docker().inspect_image(&bench.image()).await.is_err());
    }
}
