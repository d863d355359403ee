//! More of what docker/compose's own end-to-end tests assert: of the life of containers. See docs/compose-commands.md.

use std::process::Stdio;

use crate::{common, compose_cli_support};
use common::{
    docker::{self, block_on},
    engine,
};
use compose_cli_support::Site;

#[test]
fn an_image_is_taken_by_its_bare_id() {
    let site = Site::new("services: {}\n");
    let image = engine::image();
    let id = block_on(async { docker::connect().await.inspect_image(&image).await.unwrap().id.unwrap() });
    let bare = id.trim_start_matches("sha256:");
    site.write("compose.yaml", &format!("services: {{web: {{image: '{bare}', command: [echo, by-id]}}}}\n"));
    let ran = site.ours(&["up"]).ok();
    assert!(ran.out.contains("web-1  | by-id"), "{ran:?}");
}

#[test]
fn a_killed_container_decides_the_exit_code() {
    let site = Site::new(
        "services:
  # Ends by the signal that the other one's end brings.
  long: {image: 'IMAGE', command: [sleep, '1000'], init: true}
  short: {image: 'IMAGE', command: [sh, -c, 'exit 42'], depends_on: [long]}
",
    );
    assert_eq!(site.ours(&["up", "--menu=false", "--exit-code-from=long"]).code, 143);
}

#[test]
fn volumes_are_switched_and_binds_are_no_changed_volumes() {
    let site = Site::new(
        "services: {app: {image: 'IMAGE', QUICK, volumes: ['one:/data', './here:/here']}}\nvolumes: {one: {}}\n",
    );
    let source = || {
        let mounts = site.inspect("app-1").mounts.unwrap();
        mounts
            .into_iter()
            .find(|mount| mount.destination.as_deref() == Some("/data"))
            .and_then(|mount| mount.name)
            .unwrap()
    };
    site.ours(&["up", "-d"]).ok();
    assert_eq!(source(), format!("{}_one", site.project));
    let again = site.ours(&["up", "-d"]).ok();
    assert!(!again.err.contains("Recreate"), "{again:?}");
    site.write(
        "compose.yaml",
        "services: {app: {image: 'IMAGE', QUICK, volumes: ['two:/data']}}\nvolumes: {one: {}, two: {driver_opts: {type: none, o: bind, device: '/tmp'}}}\n",
    );
    let switched = site.ours(&["up", "-d"]).ok();
    assert!(switched.err.contains("Recreated"), "{switched:?}");
    assert_eq!(source(), format!("{}_two", site.project));
    site.ours(&["down", "-v"]).ok();
}

#[test]
fn replicas_share_a_range_of_ports() {
    let site = Site::new(
        "services:
  # Below what the kernel gives to connections.
  a: {image: 'IMAGE', QUICK, scale: 3, ports: ['127.0.0.1:21605-21615:80']}
  b: {image: 'IMAGE', QUICK, ports: [80]}
",
    );
    site.ours(&["up", "-d"]).ok();
    let ports: std::collections::BTreeSet<_> =
        (1..=3).map(|n| site.ours(&["port", "--index", &n.to_string(), "a", "80"]).ok().out).collect();
    assert_eq!(ports.len(), 3, "{ports:?}");
    site.ours(&["down"]).ok();
}

#[test]
fn what_is_of_a_profile_restarts_without_its_file_and_waiting_does_not_end_by_itself() {
    let site = Site::new("services: {test: {image: 'IMAGE', QUICK, profiles: [p]}}\n");
    site.ours(&["--profile", "p", "up", "-d"]).ok();
    let restarted = site.ours(&["restart", "test"]).ok();
    assert!(restarted.err.contains("test-1  Started"), "{restarted:?}");
    let mut waiting = site.ours_with(&["wait", "test"]).stdout(Stdio::piped()).spawn().unwrap();
    assert!(waiting.try_wait().unwrap().is_none(), "what it waits for runs");
    site.ours(&["kill", "test"]).ok();
    let ended = waiting.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(137), "{ended:?}");
}

#[test]
fn long_logs_arrive_whole() {
    let site = Site::new(
        "services: {test: {image: 'IMAGE', command: [sh, -c, 'i=0; while [ $$i -lt 100000 ]; do i=$$((i+1)); echo $$i; done']}}\n",
    );
    let ran = site.ours(&["up"]).ok();
    assert_eq!(ran.out.lines().filter(|line| line.starts_with("test-1  | ")).count(), 100_000);
    let logs = site.ours(&["logs", "--no-log-prefix"]).ok();
    assert_eq!(logs.out.lines().count(), 100_000);
}
