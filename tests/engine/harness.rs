//! The harness itself: a wrong signature, a lost commit or a guard that removes nothing would make every other test
//! lie.

use crate::common;
use bollard::{models::ContainerCreateBody, query_parameters as q};
use common::{docker, push, repo::GitRemote, unique};

#[test]
fn signature_is_githubs() {
    // The vector that GitHub publishes in its webhook documentation.
    assert_eq!(
        push::sign("It's a Secret to Everybody", b"Hello, World!"),
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
}

#[test]
fn a_push_arrives_in_a_clone() {
    let remote = GitRemote::from_example("web-single");
    let clone = tempfile::tempdir().unwrap();
    let path = clone.path().join("shop");
    let second = remote.replace("site/index.html", "version 1", "version 2").commit_and_push("Second");
    remote.clone_to(&path);
    let cloned = git2::Repository::open(&path).unwrap();
    assert_eq!(cloned.head().unwrap().peel_to_commit().unwrap().id().to_string(), second);
    assert!(std::fs::read_to_string(path.join("site/index.html")).unwrap().contains("version 2"));
}

#[test]
fn offline_env_takes_the_local_base() {
    let remote = GitRemote::from_example("web-worker-db");
    common::repo::offline_env(&remote.work_dir(), "local:1", &[("WEB_PORT", "0"), ("COLOR", "blue")]);
    let text = std::fs::read_to_string(remote.work_dir().join(".env")).unwrap();
    let has = |line: &str| text.lines().filter(|l| *l == line).count() == 1;
    assert!(
        has("BASE_IMAGE=local:1") && has("DB_BASE_IMAGE=local:1") && has("WEB_PORT=0") && has("COLOR=blue"),
        "{text}"
    );
    assert!(!text.contains("COLOR=red"), "{text}");
}

#[test]
fn guard_removes_what_carries_the_project() {
    let (mine, other) = (unique("mine"), unique("other"));
    let image = docker::base_image();
    let _other_guard = docker::ProjectGuard::new(&other);
    {
        let _guard = docker::ProjectGuard::new(&mine);
        for project in [&mine, &other] {
            docker::block_on(async {
                let body = ContainerCreateBody {
                    image: Some(image.clone()),
                    labels: Some([(docker::PROJECT.to_owned(), project.clone())].into()),
                    ..Default::default()
                };
                let options = q::CreateContainerOptionsBuilder::new().name(&format!("{project}-web-1")).build();
                docker::connect().await.create_container(Some(options), body).await.unwrap();
            });
        }
        assert_eq!(docker::containers(&mine).len(), 1);
    }
    assert_eq!(docker::containers(&mine).len(), 0, "the guard left its project's container");
    assert_eq!(docker::containers(&other).len(), 1, "the guard removed another project's container");
}
