//! Two repositories that come to mean the same Compose project, by names that only meet once COLOR is put before them.

use crate::{common, e2e_support};
use common::{daemon::Daemon, docker};
use e2e_support::{QUICK, Site, all_of, deploy, idle, sleeper, untouched};

#[test]
fn a_project_that_runs_from_another_repository_is_left_alone() {
    let (one, two) = (Site::sleeping(), Site::sleeping());
    one.env("COLOR=re\n");
    two.env("COLOR=r\n").write("docker-compose.prod.yml", &sleeper("other"));
    two.remote.commit_and_push("Other");
    let project = one.red();
    let key = |key: &str| format!("project: {key}{}", one.name);
    let list = format!("{}{}", one.entry(&[&key("d")]), two.entry(&[&key("ed")]));
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
    let _guard = docker::ProjectGuard::new(format!("blueed{}", one.name));
    deploy(&daemon, &[&two.name], 0);
    assert_eq!(untouched(&project), before);
}

#[test]
fn a_service_that_a_commit_takes_out_goes_before_its_port_is_needed() {
    let port = common::daemon::free_address().port();
    let file = |services: &[&str]| {
        let one = |(number, name): (usize, &&str)| {
            let ports = if number == 0 { format!("    ports: [\"127.0.0.1:{port}:80\"]\n") } else { String::new() };
            format!("  {name}:\n{}{ports}", idle())
        };
        format!("services:\n{}", services.iter().enumerate().map(one).collect::<String>())
    };
    let site = Site::new(&[("compose.yaml", &file(&["web", "worker"]))]);
    let daemon = site.serve(&[]);
    let project = site.red();
    deploy(&daemon, &[&site.name], 0);
    assert_eq!(docker::ids(&project, "worker").len(), 1);
    // Renamed: the new service needs the port of the old one. The other is taken out.
    site.write("compose.yaml", &file(&["site"])).remote.commit_and_push("Rename");
    deploy(&daemon, &[&site.name], 0);
    assert_eq!((docker::ids(&project, "web").len(), docker::ids(&project, "worker").len()), (0, 0));
    site.container(&project, "site");

    // Somebody's own choice: left, and told with a way to remove it.
    std::fs::write(daemon.repos_yaml(), site.entry(&["orphans: keep"])).unwrap();
    site.write("compose.yaml", &file(&["site", "more"])).remote.commit_and_push("More");
    deploy(&daemon, &[&site.name], 0);
    site.write("compose.yaml", &file(&["site"])).remote.commit_and_push("Less");
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("orphans: keep") && said.contains("docker rm -f"), "{said}");
    site.container(&project, "more");
}

#[test]
fn paths_count_from_the_folder_of_the_compose_file() {
    let compose = format!("services:\n  web:\n{}    volumes: [\"./conf:/conf:ro\"]\n", idle());
    let site =
        Site::new(&[("deploy/compose.yaml", &compose), ("deploy/conf/word", "beside\n"), ("conf/word", "above\n")]);
    site.env("WORD=unused\n");
    let daemon = site.serve(&["compose_files: [deploy/compose.yaml]"]);
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("deploy/.env"), "{said}");
    let container = site.container(&site.red(), "web");
    assert_eq!(e2e_support::file_in(&container, "/conf/word").trim(), "beside");
}

#[test]
fn a_base_file_that_is_left_out_is_told_with_the_line_to_write() {
    let base = format!("services:\n  web:\n{0}  db:\n{0}", idle());
    let over = "services:\n  web: { environment: { MODE: prod } }\n";
    let site = Site::new(&[("docker-compose.yml", &base), ("docker-compose.prod.yml", over)]);
    let daemon = site.serve(&[]);
    let line = "compose_files: [docker-compose.yml, docker-compose.prod.yml]";
    assert!(deploy(&daemon, &[&site.name], 1).contains(line));
    site.write("docker-compose.prod.yml", &sleeper("alone")).remote.commit_and_push("Complete");
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("services db are not deployed") && said.contains(line), "{said}");
    std::fs::write(daemon.repos_yaml(), site.entry(&[line])).unwrap();
    deploy(&daemon, &[&site.name], 0);
    site.container(&site.red(), "db");
}

#[test]
fn a_projects_own_password_is_told_nowhere() {
    let compose = "services:\n  web:\n    image: \"@BASE\"\n    environment: { DB_URL: \"${DB_URL}\" }\n    \
                   command: [sh, -c, \"echo no way in with $${DB_URL#*app:}; exit 1\"]\n";
    let site = Site::new(&[("compose.yaml", compose)]);
    site.env("DB_URL=postgres://app:Tr0ub4dor-3@db/shop\n");
    let mut daemon = site.serve(&[]);
    let said = deploy(&daemon, &[&site.name], 1);
    assert!(said.contains("no way in") && !said.contains("Tr0ub4dor"), "{said}");
    assert!(!all_of(&daemon.turnout(&["history", "--json"])).contains("Tr0ub4dor"));
    daemon.terminate();
    assert!(!daemon.output().contains("Tr0ub4dor"));
    for place in [daemon.state_dir(), daemon.log_dir()] {
        assert!(e2e_support::files_with(&place, "Tr0ub4dor").is_empty(), "{}", place.display());
    }
}

#[test]
fn status_shows_what_runs_where_the_compose_file_is_broken() {
    let site = Site::sleeping();
    let daemon = site.serve(&[]);
    deploy(&daemon, &[&site.name], 0);
    std::fs::write(site.path.join("docker-compose.prod.yml"), "services: [\n").unwrap();
    let said = all_of(&daemon.turnout(&["status"]));
    assert!(said.contains(&format!("{}-web-1", site.red())), "{said}");
}
