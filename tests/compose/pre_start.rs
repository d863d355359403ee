//! `pre_start`: containers that run before a service starts, as docker/compose 5's own end-to-end tests have them.

use crate::{common, compose_cli_support};
use common::docker::{self, block_on};
use compose_cli_support::{Ran, Site};

/// One service that keeps running; its steps write into a volume.
fn sample(steps: &str) -> Site {
    Site::new(&format!(
        "services:
  sample:
    image: 'IMAGE'
    command: [sh, -c, 'cat /data/log; sleep 1000']
    QUICK
    scale: ${{SCALE:-1}}
    volumes: ['data:/data', /anonymous]
    pre_start:
{steps}
volumes: {{data: }}
"
    ))
}

const ONE_LINE: &str = "      - {command: [sh, -c, 'echo ${TOKEN:-ran} >> /data/log']}";

/// What the steps of [`sample`] wrote, by a container of our own: the service may not run.
fn log(site: &Site) -> String {
    site.ours(&["run", "--rm", "-T", "--no-deps", "sample", "sh", "-c", "cat /data/log || true"]).ok().out
}

fn up(site: &Site, variables: &[(&str, &str)], more: &[&str]) -> Ran {
    let mut command = site.ours_with(&[&["up", "-d"], more].concat());
    Ran::of(command.envs(variables.iter().copied()).output().unwrap())
}

/// The container of a step that is there, or none.
fn kept(site: &Site, index: usize) -> Option<bollard::models::ContainerInspectResponse> {
    let name = format!("{}-sample-pre_start-{index}", site.project);
    block_on(async { docker::connect().await.inspect_container(&name, None).await.ok() })
}

fn state(site: &Site, name: &str) -> String {
    site.inspect(name).state.unwrap().status.unwrap().to_string()
}

#[test]
fn steps_run_in_order_before_the_service_and_leave_nothing() {
    let site = sample(
        "      - {command: [sh, -c, 'echo A >> /data/log; touch /anonymous/seen']}
      - {command: [sh, -c, 'test -e /anonymous/seen && echo B >> /data/log']}",
    );
    up(&site, &[], &["--wait"]).ok();
    assert!(site.ours(&["logs", "--no-log-prefix", "sample"]).ok().out.contains("A\nB\n"));
    // The mounts of the service's container, its anonymous volume among them, are those of the steps.
    assert_eq!(site.exec("sample", "ls /anonymous"), "seen\n");
    assert!(kept(&site, 0).is_none() && kept(&site, 1).is_none());
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["sample-1"]);
}

#[test]
fn a_failed_step_gates_the_start_and_its_container_is_kept_until_the_next_turn() {
    let site = sample(
        "      - {command: [sh, -c, 'echo ran-0 >> /data/log']}
      - {command: [sh, -c, 'echo said; echo why >&2; exit ${CODE:-0}']}",
    );
    let failed = up(&site, &[("CODE", "17")], &[]).fails("service \"sample\" pre_start[1] exited with code 17: why");
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.err.contains("retained for inspection"), "{failed:?}");
    assert_eq!(state(&site, "sample-1"), "created");
    let container = kept(&site, 1).unwrap();
    assert_eq!(container.state.unwrap().exit_code, Some(17));
    let labels = container.config.unwrap().labels.unwrap();
    let label = |name: &str| labels.get(&format!("com.docker.compose.{name}")).map(String::as_str);
    assert_eq!((label("hook"), label("hook-index")), (Some("pre_start"), Some("1")));
    assert_eq!((label("service"), label("config-hash"), label("container-number")), (Some("sample"), None, None));
    // No container of the service: nothing that looks at those sees it.
    assert!(!site.ours(&["ps", "-a"]).ok().out.contains("pre_start"));
    assert!(!site.ours(&["logs"]).ok().out.contains("why"));
    assert_eq!(log(&site), "ran-0\n");

    up(&site, &[], &["--wait"]).ok();
    assert_eq!(state(&site, "sample-1"), "running");
    assert!(kept(&site, 1).is_none());
    assert_eq!(log(&site), "ran-0\nran-0\n");

    up(&site, &[("CODE", "3")], &[]).fails("exited with code 3");
    site.ours(&["down", "-v"]).ok();
    assert!(kept(&site, 1).is_none());
}

#[test]
fn steps_run_once_a_service_and_again_for_what_is_made_anew() {
    let site = sample(ONE_LINE);
    up(&site, &[("SCALE", "2")], &["--wait"]).ok();
    assert_eq!(log(&site), "ran\n", "once for two");
    up(&site, &[("SCALE", "3")], &["--wait"]).ok();
    assert_eq!(log(&site), "ran\n", "not for what is added");
    up(&site, &[("SCALE", "3")], &["--force-recreate"]).ok();
    assert_eq!(log(&site), "ran\nran\n");
    let changed = up(&site, &[("TOKEN", "anew")], &[]).ok();
    assert!(changed.err.contains("Recreate"), "{changed:?}");
    assert_eq!(log(&site), "ran\nran\nanew\n");
    site.ours(&["restart"]).ok();
    assert_eq!(log(&site), "ran\nran\nanew\n", "a restart in place is no start");
}

#[test]
fn a_start_runs_them_and_a_creation_does_not() {
    let site = Site::new(
        "services:
  sample:
    image: 'IMAGE'
    command: [sleep, '1000']
    QUICK
    env_file: [own.env]
    volumes: ['data:/data']
    pre_start: [{command: [sh, -c, 'echo $$OWN >> /data/log']}]
volumes: {data: }
",
    );
    site.write("own.env", "OWN=from-file\n");
    site.ours(&["create"]).ok();
    assert_eq!(state(&site, "sample-1"), "created");
    assert_eq!(log(&site), "");
    site.ours(&["start"]).ok();
    assert_eq!(log(&site), "from-file\n");
    site.ours(&["stop"]).ok();
    site.ours(&["start"]).ok();
    assert_eq!(log(&site), "from-file\nfrom-file\n");
}

#[test]
fn a_step_has_what_its_service_has_and_its_own_besides() {
    let site = Site::new(
        "services:
  data: {image: 'IMAGE', command: [sleep, '1000'], QUICK, volumes: [/shared]}
  sample:
    build: {context: ., dockerfile_inline: \"FROM IMAGE\\nRUN echo built > /built\"}
    command: [sleep, '1000']
    QUICK
    environment: {A: service, B: service}
    env_file: [own.env]
    extra_hosts: ['one:192.0.2.1']
    secrets: [key]
    volumes: ['ro:/ro:ro', './file:/file']
    volumes_from: [data]
    pre_start:
      - command:
          - sh
          - -ec
          - |
            test \"$$A $$B $$OWN\" = 'service service file'
            grep 192.0.2.1 /etc/hosts
            test `cat /run/secrets/key` = hidden
            test `cat /built` = built
            test `cat /file` = mounted
            touch /shared/marker
            ! touch /ro/x
      - image: 'IMAGE'
        environment: {B: step}
        env_file: [more.env]
        extra_hosts: ['two:192.0.2.2']
        volumes: ['ro:/ro', 'only:/only']
        user: '7'
        command:
          - sh
          - -ec
          - |
            test \"$$A $$B $$OWN $$MORE\" = 'service step file more'
            grep 192.0.2.1 /etc/hosts
            grep 192.0.2.2 /etc/hosts
            test `id -u` = 7
            test -d /only
            test ! -e /built
      - {command: [sh, -c, 'echo init > /ro/init'], volumes: ['ro:/ro']}
volumes: {ro: , only: }
secrets: {key: {environment: KEY}}
",
    );
    site.write("own.env", "OWN=file\n");
    site.write("more.env", "MORE=more\n");
    site.write("file", "mounted\n");
    up(&site, &[("KEY", "hidden")], &[]).ok();
    assert_eq!(site.exec("sample", "cat /ro/init; touch /ro/x || echo kept; ls /shared"), "init\nkept\nmarker\n");
    site.ours(&["down", "-v", "--rmi", "local"]).ok();
}

#[test]
fn a_foreground_up_shows_what_steps_say_by_their_place() {
    let site = Site::new(
        "services:
  sample: {image: 'IMAGE', command: [echo, done], pre_start: [{command: [sh, -c, 'echo prepared; echo no-end-']}]}
",
    );
    let ran = site.ours(&["up"]).ok();
    assert!(ran.out.contains("sample pre_start[0] ->  | prepared\n"), "{ran:?}");
    assert!(ran.out.contains("sample pre_start[0] ->  | no-end-\n"), "{ran:?}");
    assert_eq!(ran.out.matches("| prepared").count(), 1, "{ran:?}");
    assert!(ran.out.contains("sample-1                | done\n"), "{ran:?}");
}

#[test]
fn an_optional_service_whose_step_fails_is_gone_without_and_a_required_one_not() {
    let file = |required: bool| {
        format!(
            "services:
  db: {{image: 'IMAGE', command: [sleep, '1000'], QUICK, pre_start: [{{command: ['false']}}]}}
  web: {{image: 'IMAGE', command: [sleep, '1000'], QUICK, depends_on: {{db: {{condition: service_started, required: {required}}}}}}}
"
        )
    };
    let site = Site::new(&file(true));
    site.ours(&["up", "-d"]).fails("service \"db\" pre_start[0] exited with code 1");
    assert_eq!(state(&site, "web-1"), "created");
    site.write("compose.yaml", &file(false));
    let without = site.ours(&["up", "-d"]).ok();
    assert!(without.err.contains("optional dependency"), "{without:?}");
    assert_eq!((state(&site, "db-1").as_str(), state(&site, "web-1").as_str()), ("created", "running"));
    site.ours(&["down"]).ok();
}

#[test]
fn steps_that_cannot_run_are_named_before_anything_is_made() {
    let refused = |steps: &str, expected: &str| {
        let site = Site::new(&format!("services: {{sample: {{image: 'IMAGE', pre_start: [{steps}]}}}}\n"));
        site.ours(&["up", "-d"]).fails(expected);
        assert_eq!(site.ids().len(), 0, "{steps}");
    };
    refused("{per_replica: true}", "services.sample.pre_start[0].per_replica");
    refused("{}, {isolation: hyperv, runtime: x, cgroup: other}", "services.sample.pre_start[1].cgroup");
    let absent = "{image: 'turnout-no-such-image:x', pull_policy: never}";
    refused(absent, "turnout-no-such-image:x");
}

#[test]
fn images_of_steps_are_listed() {
    let site = Site::new("services: {a: {image: one, pre_start: [{image: two}, {command: x}]}}\n");
    assert_eq!(site.ours(&["config", "--images"]).ok().out, "one\ntwo\n");
}
