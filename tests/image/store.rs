//! What depends on how an engine keeps images: identities, names that stand for several platforms, digests.
//!
//! With containerd's image store the ID of an image is the digest of its manifest or index; with the older store that of
//! its configuration. The tests say which they saw.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may panic, and say why it does not run"
)]

use crate::image_support;
use image_support::{
    Bench,
    common::{docker, engine::Stack},
    engine,
    registry::Registry,
    remove, unique,
};
use serde_json::{Value, json};
use turnout::{
    buildkit::solve::Abilities,
    engine::{
        ApiVersion, Engine,
        image::{pull, turned},
    },
    plan::Intent,
};

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];
const IDLE: [&str; 3] = ["/bin/sh", "-c", "while :; do read -t 100 x < /dev/zero; done"];

async fn containerd_store(daemon: &Engine) -> bool {
    let channel = turned::channel(daemon, "asking what the engine can do").await.unwrap();
    Abilities::of(&channel).await.unwrap().containerd_store
}

/// An image in a registry, gone from the engine: of both platforms where the engine can build both, each with its own
/// name of the architecture in `ARCH`.
async fn published(daemon: &Engine, registry: &Registry, all: bool) -> (String, Bench) {
    let dockerfile = "FROM scratch\nCOPY sh /bin/sh\nARG TARGETARCH\nENV ARCH=$TARGETARCH\n";
    let mut bench = Bench::new("published", dockerfile);
    let image = format!("{}/{}:v1", registry.host, unique("image"));
    bench.project.services.get_mut("web").unwrap().image = image.clone();
    bench.options.push = true;
    if all {
        bench.options.all_platforms = true;
        bench.build(|build| build.platforms = PLATFORMS.iter().map(|p| (*p).to_owned()).collect());
    }
    bench.run(daemon).await.unwrap_or_else(|error| panic!("{error}\n{}", bench.reporter.text()));
    remove(&image).await;
    (image, bench)
}

fn idle(image: &str, platform: &str) -> Value {
    json!({"image": image, "platform": platform, "network_mode": "none", "command": IDLE})
}

/// The architecture that the container of a service was made for.
async fn architecture(stack: &Stack, service: &str) -> String {
    let id = stack.one(service).await.id;
    let inspected = docker::connect().await.inspect_container(&id, None).await.unwrap();
    let environment = inspected.config.unwrap().env.unwrap();
    environment.iter().find_map(|line| line.strip_prefix("ARCH=")).unwrap().to_owned()
}

#[tokio::test]
async fn services_of_several_platforms_share_a_name() {
    let daemon = engine().await;
    if !containerd_store(&daemon).await || daemon.version() < ApiVersion::v1(49) {
        println!(
            "not run: only the containerd image store of Docker 28 or later keeps several platforms under one name"
        );
        return;
    }
    let Some(registry) = Registry::start(false) else { return };
    let (image, bench) = published(&daemon, &registry, true).await;
    let [here, there] = PLATFORMS;
    let stack = Stack::new(json!({"here": idle(&image, here), "there": idle(&image, there)})).await;
    stack.up().await.unwrap();
    assert_eq!(
        (architecture(&stack, "here").await, architecture(&stack, "there").await),
        ("amd64".into(), "arm64".into())
    );
    // The name's identity is that of the index, for both.
    let index = daemon.docker().inspect_image(&image).await.unwrap();
    for service in ["here", "there"] {
        assert_eq!(Some(stack.one(service).await.image_label), index.id, "{service}");
    }
    // Both are there now, although the plain inspection tells of one only.
    let again = stack.plan(&Intent::default()).await;
    assert!(again.steps.is_empty(), "{again:?}");
    for platform in PLATFORMS {
        let image = bench.project.services["web"].image.clone();
        let mut request = pull::PullRequest::of(&bench.project, "web", &image).unwrap();
        request.platform = platform.to_owned();
        assert!(pull::local(&daemon, &request).await.unwrap().is_some(), "{platform}");
    }
    drop(stack);
    remove(&image).await;
}

#[tokio::test]
async fn an_image_by_digest_is_pulled_once_and_nothing_changes_after() {
    let daemon = engine().await;
    let Some(registry) = Registry::start(false) else { return };
    let all = containerd_store(&daemon).await;
    let (image, bench) = published(&daemon, &registry, all).await;
    // The digest of what was pushed; of an index where there are several platforms.
    bench.pull(&daemon).await.unwrap();
    let known = daemon.docker().inspect_image(&image).await.unwrap().repo_digests.unwrap();
    remove(&image).await;
    let by_digest = known.first().unwrap().clone();
    let (name, digest) = by_digest.split_once('@').unwrap();
    for written in [by_digest.clone(), format!("{name}:v1@{digest}")] {
        let stack = Stack::new(json!({"web": {"image": written, "network_mode": "none", "command": IDLE}})).await;
        stack.up().await.unwrap();
        let again = stack.plan(&Intent::default()).await;
        assert!(again.steps.is_empty(), "{written}: {again:?}");
        drop(stack);
        remove(&written).await;
    }
}

/// A scanner by BuildKit's protocol: a program that leaves in-toto statements where it is told to.
#[tokio::test]
async fn a_scanner_of_ones_own_makes_the_bill_of_materials() {
    let daemon = engine().await;
    if !containerd_store(&daemon).await {
        // That it is refused by name there, tests/image/attributes.rs shows.
        println!("not run: only the containerd image store holds attestations");
        return;
    }
    let Some(registry) = Registry::start(false) else { return };
    let mut scanner =
        Bench::new("scanner", "FROM scratch\nCOPY sh /bin/sh\nCOPY scan /\nENTRYPOINT [\"sh\", \"/scan\"]\n");
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://spdx.dev/Document",
        "predicate": {"SPDXID": "SPDXRef-DOCUMENT", "spdxVersion": "SPDX-2.3", "name": "seen FOUND"},
    });
    // It names a file of the scanned image, so that it is seen to have looked there.
    let scan = format!(
        "found=$(ls $BUILDKIT_SCAN_SOURCE)\ncat > $BUILDKIT_SCAN_DESTINATION/own.spdx.json <<EOF\n{}\nEOF\n",
        statement.to_string().replace("FOUND", "$found")
    );
    scanner.write("scan", scan);
    let generator = format!("{}/{}:v1", registry.host, unique("scanner"));
    scanner.project.services.get_mut("web").unwrap().image = generator.clone();
    scanner.options.push = true;
    scanner.run(&daemon).await.unwrap_or_else(|error| panic!("{error}\n{}", scanner.reporter.text()));
    remove(&generator).await;

    let mut bench = Bench::new("scanned", "FROM scratch\nCOPY sh /to-be-found\n");
    bench.build(|build| build.sbom = format!("generator={generator}"));
    bench.run(&daemon).await.unwrap_or_else(|error| panic!("{error}\n{}", bench.reporter.text()));
    let saved = image_support::saved(&daemon, &bench.image()).await;
    let attested =
        saved.values().map(|blob| String::from_utf8_lossy(blob)).find(|blob| blob.contains("SPDXRef-DOCUMENT"));
    let attested = attested.unwrap_or_else(|| panic!("no statement in {:?}", saved.keys()));
    assert!(attested.contains("seen to-be-found") && attested.contains("\"subject\""), "{attested}");
    remove(&bench.image()).await;
}
