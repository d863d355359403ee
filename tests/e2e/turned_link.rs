//! A work tree whose path is a link that is turned to another folder (`current -> releases/2`).

use std::os::unix::fs::symlink;

use crate::{common, e2e_support};
use common::docker;
use e2e_support::{Site, all_of, deploy, file_in, idle};

#[test]
fn a_turned_link_counts_from_the_next_deployment_on() {
    let compose = format!("services:\n  web:\n{}    volumes: [\"./conf:/conf:ro\"]\n", idle());
    let site = Site::not_cloned(&[("compose.yaml", &compose), ("conf/name", "one\n")]);
    let top = site.path.parent().unwrap().canonicalize().unwrap();
    let (first, second) = (top.join("1"), top.join("2"));
    let turn = |to: &std::path::Path| {
        let beside = top.join("beside");
        symlink(to, &beside).unwrap();
        std::fs::rename(&beside, &site.path).unwrap();
    };
    site.remote.clone_to(&first);
    site.remote.clone_to(&second);
    turn(&first);
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    let made_from = || {
        let containers = docker::containers(&site.red());
        let [container] = containers.as_slice() else { panic!("{containers:?}") };
        let label = |name: &str| container.labels.as_ref().unwrap()[&format!("com.docker.compose.{name}")].clone();
        assert_eq!(label("project.config_files"), format!("{}/compose.yaml", label("project.working_dir")));
        let mounts = container.mounts.as_ref().unwrap();
        assert_eq!(mounts[0].source.as_deref(), Some(&*format!("{}/conf", label("project.working_dir"))));
        label("project.working_dir")
    };
    assert_eq!(made_from(), first.display().to_string());

    turn(&second);
    site.write("conf/name", "two\n");
    let id = site.push_to(&daemon, "Second");
    daemon.expect_success(id);
    // All of it is of the folder to which the link leads now: git, the project, what is mounted.
    assert_eq!(made_from(), second.display().to_string());
    assert_eq!(file_in(&site.container(&site.red(), "web"), "/conf/name"), "two\n");
    assert_eq!(std::fs::read_to_string(first.join("conf/name")).unwrap(), "one\n");
    let said = all_of(&daemon.turnout(&["plan", &site.name]));
    assert!(!said.contains("recreate"), "{said}");
    assert!(site.path.is_symlink());
}
