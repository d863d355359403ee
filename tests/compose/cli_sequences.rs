//! Lines in turn on one project, each as the real `docker compose` does it.

use crate::{common, compose_cli_support};
use common::docker::block_on;
use compose_cli_support::{Site, compose_is_installed};

const CHAIN: &str = "services:
  db: {image: 'IMAGE', QUICK}
  web: {image: 'IMAGE', QUICK, depends_on: [db]}
  job: {image: 'IMAGE', command: ['true']}
";

fn live(site: &Site) -> Vec<String> {
    let listed = site.ours_by_file(&["ps", "--format", "{{.Service}}"]).ok().out;
    listed.lines().map(str::to_owned).collect()
}

/// The project's name stands in its file, so that neither tool overlooks what is wrong with a line.
fn named(yaml: &str) -> Site {
    let site = Site::new("services: {}\n");
    site.write("compose.yaml", &format!("name: {}\n{yaml}", site.project));
    site
}

#[test]
fn start_brings_up_what_is_needed_and_down_leaves_what_depends() {
    let site = named(CHAIN);
    site.ours_by_file(&["up", "-d"]).ok();
    site.ours_by_file(&["stop"]).ok();
    site.ours_by_file(&["start", "web"]).ok();
    assert_eq!(live(&site), ["db", "web"]);
    site.ours_by_file(&["down", "db"]).ok();
    assert_eq!(live(&site), ["web"]);
    site.ours_by_file(&["start", "web"]).fails("\"db\" has no container to start");
    site.ours_by_file(&["up", "-d"]).ok();
    // Without the file only the labels tell, and then both go.
    site.ours(&["-p", &site.project, "down", "db"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["job-1"]);
}

#[test]
fn unknown_services_are_failures_where_the_file_is_known() {
    let site = named(CHAIN);
    site.ours_by_file(&["up", "-d"]).ok();
    let before = site.ids();
    for line in [&["logs", "nope"][..], &["down", "nope"], &["down", "web", "nope"], &["stop", "nope"]] {
        site.ours_by_file(line).fails("no such service: nope");
        if compose_is_installed() {
            site.theirs_by_file(line).fails("no such service: nope");
        }
    }
    assert_eq!(site.ids(), before);
    site.ours_by_file(&["stop"]).ok();
    let removed = site.ours_by_file(&["rm", "-f", "web"]).ok();
    assert_eq!(removed.out, format!("Going to remove {}-web-1\n", site.project));
    // A script's empty variable is no name.
    let listed = site.ours_by_file(&["-p", "", "ps", "-a", "--services"]).ok();
    assert_eq!(listed.out, "db\njob\n");
}

#[test]
fn switches_are_read_as_the_real_one_reads_them() {
    let site = named(CHAIN);
    site.ours_by_file(&["up", "-d=true", "--build=false", "-d", "--remove-orphans=1", "job"]).ok();
    assert_eq!(site.ids().keys().collect::<Vec<_>>(), ["job-1"]);
    let told = site.ours_by_file(&["up", "--menu=false", "--no-color=true", "job"]).ok();
    assert!(told.out.contains("job-1 exited with code 0"), "{told:?}");
    site.ours_by_file(&["up", "--menu=true"]).fails("up --menu is not supported");
    site.ours_by_file(&["up", "-d=perhaps"]).fails("write true or false");
}

#[test]
fn listings_take_templates_of_go() {
    let site = named(
        "services: {web: {image: 'IMAGE', QUICK, labels: {team: 'a,b'}, ports: ['127.0.0.1::80']}, db: {image: 'IMAGE', QUICK}}\n",
    );
    site.ours_by_file(&["up", "-d"]).ok();
    for template in [
        "{{.Name}} {{.Label \"team\"}}",
        "{{.Publishers}}",
        "{{json .Publishers}}",
        "{{if eq .Service \"web\"}}{{upper .Name}}{{else if .Ports}}{{.Ports}}{{end}}",
        "{{range $i, $p := .Publishers}}{{$i}}={{$p.PublishedPort}} {{end}}",
        "{{printf \"%-40s|\" .Name}}{{join (split .Image \":\") \"+\"}}{{slice .ID 0 4}}",
        "table {{.Service}}\\t{{.Name}}",
    ] {
        let ours = site.ours_by_file(&["ps", "--format", template]).ok().out;
        if compose_is_installed() {
            assert_eq!(ours, site.theirs_by_file(&["ps", "--format", template]).ok().out, "{template}");
        }
        assert!(!ours.is_empty());
    }
    let pattern = format!("name=^{}$", site.project);
    assert_eq!(site.ours_by_file(&["ls", "-q", "--filter", &pattern]).ok().out, format!("{}\n", site.project));
}

#[test]
fn an_up_in_the_foreground_shows_its_own_lines_and_all_ends() {
    let site = named(
        "services:
  job: {image: 'IMAGE', command: [sh, -c, 'echo said; sleep 0.5; exit 4'], depends_on: [deaf]}
  deaf: {image: 'IMAGE', command: [sh, -c, 'trap : TERM; while :; do sleep 0.1; done'], scale: 6, stop_grace_period: 1s}
",
    );
    for round in 0..3 {
        let up = site.ours_by_file(&["up", "--abort-on-container-exit"]);
        assert_eq!(up.code, 4, "{up:?}");
        assert_eq!(up.out.matches("| said").count(), 1, "round {round}: {up:?}");
        assert_eq!(up.out.matches("exited with code 137").count(), 6, "round {round}: {up:?}");
    }
}

#[test]
fn waiting_is_told_by_container() {
    let site = named(
        "services:
  db: {image: 'IMAGE', QUICK, healthcheck: {test: 'true', interval: 200ms}}
  web: {image: 'IMAGE', QUICK, depends_on: {db: {condition: service_healthy}}}
",
    );
    let told = |line: &[&str]| {
        let up = site.ours_by_file(line).ok();
        let db = up.err.lines().filter_map(|line| line.trim().strip_prefix("Container ")?.split_once("-db-1  "));
        db.map(|(_, what)| what.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(&["up", "-d"]), ["Creating", "Created", "Starting", "Started", "Waiting", "Healthy"]);
    assert_eq!(told(&["up", "-d", "--wait", "db"]), ["Running", "Waiting", "Healthy"]);
}

#[test]
fn runs_at_once_leave_one_network_of_a_name() {
    let keys: Vec<String> = (0..4).map(|n| format!("n{n}")).collect();
    let networks: String = keys.iter().map(|key| format!("  {key}:\n")).collect();
    let site = named(&format!(
        "services:\n  web: {{image: 'IMAGE', QUICK, networks: [{}]}}\nnetworks:\n{networks}",
        keys.join(", ")
    ));
    let runs: Vec<_> = (0..3)
        .map(|_| {
            let mut run = site.ours_with(&["up", "--no-start"]);
            run.stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    // Which of them ends well is not told here: what counts is that the next one does.
    for mut run in runs {
        run.wait().unwrap();
    }
    site.ours(&["up", "-d"]).ok();
    assert_eq!(live(&site), ["web"]);
}

#[test]
fn a_second_network_of_a_name_does_not_stand_in_the_way() {
    let site = named("services: {web: {image: 'IMAGE', QUICK}}\n");
    site.ours_by_file(&["create"]).ok();
    let name = format!("{}_default", site.project);
    let ids = || {
        let listed = block_on(async {
            common::docker::connect().await.list_networks(None::<bollard::query_parameters::ListNetworksOptions>).await
        });
        listed
            .unwrap()
            .into_iter()
            .filter(|n| n.name.as_deref() == Some(&name))
            .filter_map(|n| n.id)
            .collect::<Vec<_>>()
    };
    let first = ids();
    let twin = block_on(async {
        let docker = common::docker::connect().await;
        let found =
            docker.inspect_network(&name, None::<bollard::query_parameters::InspectNetworkOptions>).await.unwrap();
        let request =
            bollard::models::NetworkCreateRequest { name: name.clone(), labels: found.labels, ..Default::default() };
        docker.create_network(request).await
    });
    if let Err(error) = twin {
        // Later engines never make one.
        assert!(common::docker::api() >= 44 && error.to_string().contains("already exists"), "{error}");
        return;
    }
    assert_eq!(ids().len(), 2);
    site.ours_by_file(&["up", "-d"]).ok();
    assert_eq!((live(&site), ids()), (vec!["web".to_owned()], first));
}

#[test]
fn one_offs_mount_volumes_by_name() {
    let site = named("services: {web: {image: 'IMAGE', QUICK, volumes: ['own:/own']}}\nvolumes: {own: }\n");
    site.ours_by_file(&["run", "--rm", "-T", "-v", "own:/here", "web", "sh", "-c", "echo kept > /here/file"]).ok();
    let read = site.ours_by_file(&["run", "--rm", "-T", "web", "cat", "/own/file"]).ok();
    assert_eq!(read.out, "kept\n");
    let foreign = format!("{}-foreign", site.project);
    let mount = format!("{foreign}:/f");
    let put = ["run", "--rm", "-T", "-v", &mount, "web", "sh", "-c", "echo put > /f/file"];
    site.ours_by_file(&put).ok();
    let got = site.ours_by_file(&["run", "--rm", "-T", "-v", &mount, "web", "cat", "/f/file"]).ok();
    assert_eq!(got.out, "put\n");
    block_on(async {
        common::docker::connect()
            .await
            .remove_volume(&foreign, None::<bollard::query_parameters::RemoveVolumeOptions>)
            .await
            .unwrap();
    });
    site.ours_by_file(&["run", "--rm", "-l", "novalue", "web", "true"]).fails("KEY=VALUE");
}

#[test]
fn a_mistake_is_told_once() {
    let site = named("services: {web: {image: 'IMAGE', QUICK}}\n");
    let other =
        named(&format!("services: {{web: {{image: 'IMAGE', QUICK, container_name: {}-web-1}}}}\n", site.project));
    other.ours_by_file(&["up", "-d"]).ok();
    let told = site.ours_by_file(&["up", "-d"]).fails("is in use");
    assert_eq!(told.err.matches("is in use").count(), 1, "{told:?}");
}

#[test]
fn of_outdated_containers_that_are_too_many_both_leave_the_same() {
    if !compose_is_installed() {
        return;
    }
    let names = |ours: bool| {
        let site = named("services: {web: {image: 'IMAGE', QUICK}}\n");
        let run = |line: &[&str]| match ours {
            true => site.ours_by_file(line).ok(),
            false => site.theirs_by_file(line).ok(),
        };
        // One after the other: which of them is the newest is no accident then.
        for count in ["web=1", "web=2", "web=3"] {
            run(&["up", "-d", "--scale", count]);
        }
        let changed = "services: {web: {image: 'IMAGE', QUICK, scale: 2, environment: {A: b}}}\n";
        site.write("compose.yaml", &format!("name: {}\n{changed}", site.project));
        run(&["up", "-d"]);
        site.ids().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names(true), ["web-2", "web-3"]);
    assert_eq!(names(false), ["web-2", "web-3"]);
}
