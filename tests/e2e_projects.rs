//! Two repositories that come to mean the same Compose project, by names that only meet once COLOR is put before them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure is the report")]

mod common;
mod e2e_support;

use common::daemon::Daemon;
use e2e_support::{QUICK, Site, all_of, deploy, sleeper, untouched};

#[test]
fn a_project_that_runs_from_another_repository_is_left_alone() {
    let (one, two) = (Site::sleeping(), Site::sleeping());
    one.env("COLOR=red\n");
    two.env("COLOR=re\n").write("docker-compose.prod.yml", &sleeper("other"));
    two.remote.commit_and_push("Other");
    let project = one.red();
    let list = format!("{}{}", one.entry(&[]), two.entry(&[&format!("project: d{}", one.name)]));
    let daemon = Daemon::start_with(&list, QUICK, &[]);
    deploy(&daemon, &[&one.name], 0);
    let before = untouched(&project);
    let said = deploy(&daemon, &[&two.name], 1);
    assert!(said.contains(&format!("project {project} belongs to repository `{}`", one.name)), "{said}");
    assert!(said.contains("another COLOR"), "{said}");
    assert_eq!(untouched(&project), before);
    let list = daemon.repos_yaml();
    let check = ["check", "--repos", list.to_str().unwrap()];
    let said = all_of(&daemon.command(&check).env("WEBHOOK_SECRET", "x").output().unwrap());
    assert!(said.contains(&format!("means the same project {project} as ")), "{said}");

    // Its own deployments go on, and the other one is free once it means another project.
    deploy(&daemon, &[&one.name], 0);
    two.env("COLOR=blue\n");
    let _guard = common::docker::ProjectGuard::new(format!("blued{}", one.name));
    deploy(&daemon, &[&two.name], 0);
    assert_eq!(untouched(&project), before);
}
