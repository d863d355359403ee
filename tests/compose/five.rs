//! What docker/compose's end-to-end tests of the 5.x series assert beyond those of 2.40 and no other test of ours holds.
//! See docs/compose-commands.md.

use crate::{common, compose_cli_support};
use common::{
    docker::{self, block_on},
    engine,
};
use compose_cli_support::Site;

#[test]
fn images_are_listed_when_the_name_of_one_is_gone() {
    let site = Site::new("services: {}\n");
    let (image, name) = (engine::image(), format!("{}-gone:v1", site.project));
    let tag = |from: &str, to: &str| {
        let (repository, tag) = to.rsplit_once(':').unwrap();
        let options =
            bollard::query_parameters::TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        block_on(async { docker::connect().await.tag_image(from, Some(options)).await.unwrap() });
    };
    tag(&image, &name);
    site.write("compose.yaml", &format!("services: {{app: {{image: '{name}', command: [sleep, '1000'], QUICK}}}}\n"));
    site.ours(&["up", "-d"]).ok();
    block_on(async {
        docker::connect().await.remove_image(&name, None::<bollard::query_parameters::RemoveImageOptions>, None).await
    })
    .unwrap();
    let listed = site.ours(&["images"]).ok();
    assert!(listed.out.contains(&format!("{}-app-1", site.project)), "{listed:?}");
}

#[test]
fn a_dry_run_does_not_ask_for_an_image_that_is_not_here() {
    let site = Site::new(
        "services: {app: {image: 'turnout-test-never-there:1', pre_start: [{image: 'turnout-test-neither:1'}]}}\n",
    );
    let ran = site.ours(&["--dry-run", "up", "-d"]).ok();
    for image in ["turnout-test-never-there:1", "turnout-test-neither:1"] {
        assert!(ran.out.contains(&format!("pull {image}: image {image} is not there yet")), "{ran:?}");
    }
    assert_eq!(site.ids().len(), 0);
}

#[test]
fn a_range_of_ports_is_exposed() {
    let site = Site::new("services: {app: {image: 'IMAGE', command: ['true'], expose: ['9091-9092']}}\n");
    site.ours(&["up"]).ok();
    let exposed = site.inspect("app-1").config.unwrap().exposed_ports.unwrap_or_default();
    let mut exposed: Vec<String> = exposed.into_iter().collect();
    exposed.sort();
    assert_eq!(exposed, ["9091/tcp", "9092/tcp"]);
    site.ours(&["down"]).ok();
}
