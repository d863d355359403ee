//! What turnout leaves on the disk: earlier images, and what `turnout prune` finds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure is the report")]

mod common;
mod e2e_support;

use bollard::query_parameters as q;
use common::{daemon::Daemon, docker};
use e2e_support::{Site, built, log};

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
