//! Pulls from a real registry on the loopback interface, with and without a password.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may panic, and say why it does not run"
)]

use std::time::Duration;

use crate::image_support;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use image_support::{
    Bench, engine,
    registry::{PASSWORD, Registry, USER},
    remove, unique,
};
use turnout::{
    engine::{
        Engine,
        image::{BuilderChoice, ImageError, Unfetched, operation::for_engine, pull},
    },
    registry::{Credentials, RegistryAuth},
    report::Event,
};

/// Builds a little image, pushes it, removes it locally; returns its reference and the bench that can pull it.
async fn published(engine: &Engine, registry: &Registry, stem: &str, auth: Option<RegistryAuth>) -> (String, Bench) {
    use futures_util::StreamExt;
    let mut bench = Bench::new(stem, "FROM scratch\nCOPY id /id\n");
    bench.write("id", unique("content"));
    let image = format!("{}/{}:v1", registry.host, unique(stem));
    bench.project.services.get_mut("web").unwrap().image = image.clone();
    bench.builder = BuilderChoice::Classic;
    bench.run(engine).await.unwrap();
    let options = bollard::query_parameters::PushImageOptions { tag: Some("v1".into()), ..Default::default() };
    let name = image.rsplit_once(':').unwrap().0;
    let mut pushing = std::pin::pin!(engine.docker().push_image(name, Some(options), auth.map(for_engine)));
    while let Some(message) = pushing.next().await {
        message.unwrap();
    }
    remove(&image).await;
    (image, bench)
}

#[tokio::test]
async fn an_image_is_pulled_with_few_lines_of_progress() {
    let engine = engine().await;
    let Some(registry) = Registry::start(false) else { return };
    let (image, bench) = published(&engine, &registry, "open", None).await;
    let request = pull::PullRequest::of(&bench.project, "web", &image).unwrap();
    assert_eq!(pull::local(&engine, &request).await.unwrap(), None);
    let id = bench.pull(&engine).await.unwrap();
    assert_eq!(pull::local(&engine, &request).await.unwrap(), Some(id.clone()));
    assert_eq!(engine.docker().inspect_image(&image).await.unwrap().id.unwrap(), id.0);
    let lines =
        bench.reporter.events.lock().unwrap().iter().filter(|event| matches!(event, Event::Progress { .. })).count();
    assert!((1..10).contains(&lines), "{lines} lines of progress");

    // There, but for another machine: as good as absent.
    let mut other = request.clone();
    other.platform = "linux/s390x".into();
    assert_eq!(pull::local(&engine, &other).await.unwrap(), None);
    remove(&image).await;
}

#[tokio::test]
async fn a_missing_tag_fails_at_once_and_says_what_to_check() {
    let engine = engine().await;
    let Some(registry) = Registry::start(false) else { return };
    let mut bench = Bench::new("absent", "FROM scratch\n");
    bench.project.services.get_mut("web").unwrap().image = format!("{}/nothing:here", registry.host);
    let error = bench.pull(&engine).await.unwrap_err();
    let ImageError::Pull { image, why, .. } = &error else { panic!("{error}") };
    assert!(image.ends_with("/nothing:here") && *why == Unfetched::Unknown, "{error}");
    assert!(!bench.reporter.text().contains("trying again"));
}

#[tokio::test]
async fn a_registry_that_comes_back_is_waited_for() {
    let engine = engine().await;
    let Some(registry) = Registry::start(false) else { return };
    let mut bench = Bench::new("down", "FROM scratch\n");
    let host = registry.host.clone();
    drop(registry);
    bench.project.services.get_mut("web").unwrap().image = format!("{host}/x:y");
    bench.timeout = Duration::from_secs(4);
    let error = bench.pull(&engine).await.unwrap_err();
    assert!(matches!(error, ImageError::TooSlow { .. } | ImageError::Pull { .. }), "{error}");
    assert!(bench.reporter.text().contains("trying again in 1 s"), "{}", bench.reporter.text());
}

#[tokio::test]
async fn checklist_43_a_password_with_awkward_base64_authenticates_everywhere() {
    let engine = engine().await;
    let Some(registry) = Registry::start(true) else { return };
    let encoded = STANDARD.encode(serde_json::to_vec(&for_engine(registry.auth())).unwrap());
    assert!(encoded.contains('+') || encoded.contains('/'), "the password does not show the problem: {encoded}");
    let (image, mut bench) = published(&engine, &registry, "auth", Some(registry.auth())).await;

    let error = bench.pull(&engine).await.unwrap_err();
    let ImageError::Pull { why, .. } = &error else { panic!("{error}") };
    assert!(*why == Unfetched::Denied, "{error}");

    let settings = registry.settings();
    bench.credentials = Credentials::in_directory(Some(settings.path().to_owned()));
    bench.pull(&engine).await.unwrap();
    remove(&image).await;

    // The same registry as the base of a build, by way of the header and of the session.
    bench.project.services.get_mut("web").unwrap().image = String::new();
    for builder in [BuilderChoice::Classic, BuilderChoice::BuildKit] {
        bench.builder = builder;
        let marker = unique("derived");
        bench.write("Dockerfile", format!("FROM {image}\nLABEL marker={marker}\nCOPY id /id-{marker}\n"));
        bench.build(|build| build.pull = true);
        bench.run(&engine).await.unwrap_or_else(|e| panic!("{builder:?}: {e}\n{}", bench.reporter.text()));
        assert!(!bench.reporter.text().contains(PASSWORD));
        remove(&bench.image()).await;
        remove(&image).await;
    }

    bench.credentials = Credentials::default();
    for builder in [BuilderChoice::Classic, BuilderChoice::BuildKit] {
        bench.builder = builder;
        let error = bench.run(&engine).await.unwrap_err();
        assert!(matches!(error, ImageError::Build { .. }), "{builder:?}: {error}");
    }
}

#[tokio::test]
async fn a_credential_helper_is_asked() {
    let engine = engine().await;
    let Some(registry) = Registry::start(true) else { return };
    let (image, mut bench) = published(&engine, &registry, "helper", Some(registry.auth())).await;
    // The helper must be found by name, and a test must not change its process's PATH: the first writable directory
    // of PATH takes it.
    let name = unique("helper");
    let answer = serde_json::json!({"ServerURL": registry.host, "Username": USER, "Secret": PASSWORD});
    let script = format!("#!/bin/sh\nread host\n[ \"$1 $host\" = \"get {}\" ] && echo '{answer}'\n", registry.host);
    let Some(path) = std::env::var("PATH").unwrap().split(':').find_map(|dir| {
        let path = std::path::Path::new(dir).join(format!("docker-credential-{name}"));
        std::fs::write(&path, &script).ok().map(|()| path)
    }) else {
        eprintln!("not run: no directory of PATH is writable");
        return;
    };
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let settings = tempfile::tempdir().unwrap();
    let json = serde_json::json!({"credHelpers": {&registry.host: &name}, "credsStore": "never-asked"});
    std::fs::write(settings.path().join("config.json"), json.to_string()).unwrap();
    bench.credentials = Credentials::in_directory(Some(settings.path().to_owned()));
    let pulled = bench.pull(&engine).await;
    std::fs::remove_file(&path).unwrap();
    pulled.unwrap();
    remove(&image).await;
}
