//! The same ignore files through Docker's own client and through ours: the images must hold the same files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may panic, and say why it does not run"
)]

use crate::image_support;
use bollard::models::ImageInspect;
use futures_util::StreamExt;
use image_support::{Bench, engine, files_of, remove, unique};
use tokio::process::Command;
use turnout::engine::{Engine, image::BuilderChoice};

const FILES: &[&str] = &[
    "a.log",
    "b.txt",
    "README.md",
    "a/x.log",
    "a/b/y.log",
    "a/b/c/z.txt",
    "ab/x.txt",
    "dir/keep",
    "dir/drop",
    "dir/sub/keep",
    "node_modules/m.js",
    "a/node_modules/m.js",
    "temp1",
    "tempa/t",
    "a/temp2",
    "src/main.rs",
    "src/gen/out.tmp",
    "src/gen/out.rs",
    ".hidden",
    ".git/config",
    "a+(b)",
    "x[1]",
    "secret/public",
    "secret/deep/public",
    "secret/private",
];

const CASES: &[&str] = &[
    "",
    "*.log",
    "**/*.log",
    "/a.log\n./b.txt\na//b/\n",
    "\u{feff}*.log\n# a comment\n #not a comment\n\n  temp?  \n",
    "*\n!src\nsrc/**/*.tmp",
    "*\n!dir/keep",
    "dir\n!dir/keep\n!dir/sub",
    "**/node_modules\n.git",
    "**\n!a/b",
    "a/**",
    "a/**/z.txt\n**/temp*",
    "*/temp*\n*/*/y.log",
    "*.md\n!README.md\nREADME*",
    "!README.md\n*.md",
    "a+(b)\nx\\[1\\]\n[a-b].*",
    "dir/keep\n!dir",
    "**keep",
    "a**",
    "[^a]*",
    "Dockerfile\n.dockerignore\n*.txt",
    ".*",
    "secret/*\n!secret/deep",
    "../x\n..\n.",
    "src/../dir",
    "secret\n!**/public",
    "secret\n!*/public",
];

/// Builds side by side.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn ignore_files_mean_the_same_to_dockers_client() {
    let engine = engine().await;
    if !std::process::Command::new("docker").arg("version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("not run: the docker client is not installed");
        return;
    }
    let all = CASES.iter().flat_map(|case| [(*case, BuilderChoice::Classic), (*case, BuilderChoice::BuildKit)]);
    let different: Vec<_> = futures_util::stream::iter(all)
        .map(|(case, builder)| compare(&engine, case, builder))
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What differs, if anything.
async fn compare(engine: &Engine, case: &str, builder: BuilderChoice) -> Option<String> {
    let mut bench = Bench::new("same", "FROM scratch\nCOPY . /ctx/\n");
    std::fs::remove_file(bench.dir.path().join("sh")).unwrap();
    bench.builder = builder;
    for file in FILES {
        bench.write(file, *file);
    }
    bench.write(".dockerignore", case);
    let theirs = unique("theirs");
    let mut build = Command::new("docker");
    build.args(["build", "-q", "-t", &theirs]).arg(bench.dir.path());
    build.env("DOCKER_BUILDKIT", if builder == BuilderChoice::Classic { "0" } else { "1" });
    let mut output = build.output().await.unwrap();
    for _ in 0..5 {
        // The classic builder does not hold what it has made so far; whoever tidies the machine up takes it away.
        if !String::from_utf8_lossy(&output.stderr).contains("unable to find image \"sha256:") {
            break;
        }
        output = build.output().await.unwrap();
    }
    let ours = bench.run(engine).await;
    let different = match (output.status.success(), &ours) {
        (true, Ok(_)) => {
            let their_files: Vec<_> = files_of(engine, &theirs).await.into_keys().collect();
            let our_files: Vec<_> = files_of(engine, &bench.image()).await.into_keys().collect();
            let missing: Vec<_> = their_files.iter().filter(|file| !our_files.contains(file)).collect();
            let extra: Vec<_> = our_files.iter().filter(|file| !their_files.contains(file)).collect();
            (their_files != our_files).then(|| format!("{case:?} {builder:?}: missing {missing:?}, extra {extra:?}"))
        }
        (false, Err(_)) => None,
        (_, ours) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Some(format!("{case:?} {builder:?}: theirs {} ({said}), ours {ours:?}", output.status))
        }
    };
    remove(&theirs).await;
    remove(&bench.image()).await;
    different
}

#[tokio::test]
async fn a_build_after_the_clients_gives_the_very_image() {
    let engine = engine().await;
    if !std::process::Command::new("docker").args(["compose", "version"]).output().is_ok_and(|o| o.status.success()) {
        eprintln!("not run: docker compose is not installed");
        return;
    }
    let mut bench = Bench::new("compose", "FROM scratch\nCOPY sh /bin/sh\nARG WHAT\nRUN echo $WHAT > /what\n");
    bench.builder = BuilderChoice::BuildKit;
    bench.build(|build| {
        build.args.insert("WHAT".into(), Some("this".into()));
        build.labels.insert("mine".into(), "yes".into());
    });
    bench.write(".dockerignore", "compose.yaml\n");
    let text =
        "services:\n  web:\n    build:\n      context: .\n      args: {WHAT: this}\n      labels: {mine: \"yes\"}\n";
    bench.write("compose.yaml", text);
    // Where the store holds attestations, the client adds one with the time of the build unless it is told not to: the
    // image is another one then each time, for itself too. What is attested is the same.
    for attested in [true, false] {
        let mut command = Command::new("docker");
        command.args(["compose", "-p", &bench.project.name, "build", "-q"]).current_dir(bench.dir.path());
        if !attested {
            command.env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1");
        }
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let theirs = engine.docker().inspect_image(&bench.image()).await.unwrap();
        let ours = bench.run(&engine).await.unwrap();
        let built = engine.docker().inspect_image(&bench.image()).await.unwrap();
        let content = |image: &ImageInspect| (image.config.clone(), image.root_fs.clone(), image.created.clone());
        assert_eq!(content(&theirs), content(&built));
        let index =
            theirs.descriptor.as_ref().and_then(|d| d.media_type.as_deref()).is_some_and(|t| t.contains("index"));
        if !(attested && index) {
            assert_eq!(Some(&ours.0), theirs.id.as_ref(), "theirs {theirs:?}\nours {built:?}");
        }
    }
    remove(&bench.image()).await;
}
