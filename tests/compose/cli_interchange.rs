//! `turnout compose` and the real `docker compose` on the same project, in turn.

use crate::{common, compose_cli_support};
use compose_cli_support::{Site, compose_is_installed};

const TWO: &str = "services:
  web: {image: 'IMAGE', QUICK, depends_on: [db], env_file: [web.env], command: [sh, -c, 'echo hello; sleep 1000']}
  db: {image: 'IMAGE', QUICK}
";

fn two() -> Site {
    let site = Site::new(TWO);
    site.write("web.env", "FROM_FILE=1\n");
    site
}

#[test]
fn checklist_04_the_real_one_manages_our_project_without_its_files() {
    if !compose_is_installed() {
        return;
    }
    let site = two();
    site.ours(&["up", "-d"]).ok();
    let project = site.project.clone();
    let by_name = |args: &[&str]| {
        let args: Vec<&str> = ["-p", &project].into_iter().chain(args.iter().copied()).collect();
        site.theirs(&args).ok()
    };
    std::fs::rename(site.path().join("compose.yaml"), site.path().join("away.yaml")).unwrap();
    assert!(by_name(&["ps"]).out.contains("web-1"));
    assert!(by_name(&["logs"]).out.contains("hello"));
    by_name(&["stop"]);
    assert_eq!(site.inspect("web-1").state.unwrap().running, Some(false));
    by_name(&["start"]);
    assert_eq!(site.inspect("web-1").state.unwrap().running, Some(true));
    by_name(&["down"]);
    assert!(site.ids().is_empty());
}

#[test]
fn checklist_05_the_real_one_lists_our_project_with_its_files() {
    if !compose_is_installed() {
        return;
    }
    let site = two();
    site.ours(&["up", "-d"]).ok();
    let listed = site.theirs(&["ls", "--format", "json", "--filter", &format!("name={}", site.project)]).ok();
    let file = site.path().canonicalize().unwrap().join("compose.yaml");
    assert!(listed.out.contains(&file.to_string_lossy().into_owned()), "{listed:?}");
    assert_eq!(listed.err, "");
}

#[test]
fn checklist_07_and_08_hash_labels_are_equal_with_env_files_and_shared_namespaces() {
    if !compose_is_installed() {
        return;
    }
    let site = two();
    site.write(
        "compose.yaml",
        &format!("{TWO}  sharer: {{image: 'IMAGE', QUICK, network_mode: 'service:web', volumes_from: [db]}}\n"),
    );
    site.ours(&["up", "-d"]).ok();
    let before = site.ids();
    let theirs = site.theirs(&["up", "-d"]).ok();
    assert_eq!(site.ids(), before, "{theirs:?}");
    let ours: Vec<String> = ["web-1", "sharer-1"].iter().map(|name| site.label(name, "config-hash")).collect();
    site.ours(&["rm", "-fs", "sharer"]).ok();
    site.theirs(&["up", "-d"]).ok();
    assert_eq!(site.label("sharer-1", "config-hash"), ours[1]);
    site.theirs(&["up", "-d", "--force-recreate"]).ok();
    assert_eq!(site.label("web-1", "config-hash"), ours[0]);
    let recreated = site.ids();
    site.ours(&["up", "-d"]).ok();
    assert_eq!(site.ids(), recreated, "and ours finds nothing to change after theirs");
}

#[test]
fn both_print_the_same_tables_and_aspects() {
    if !compose_is_installed() {
        return;
    }
    let site = two();
    site.ours(&["up", "-d"]).ok();
    let yaml = |text: &str| serde_yaml::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(yaml(&site.ours(&["config"]).ok().out), yaml(&site.theirs(&["config"]).ok().out));
    // How old, and (`top`: user, two process numbers, share) how busy.
    let age = regex::Regex::new(r"[0-9]+ seconds? ago|(?:root +[0-9]+ +[0-9]+ +)[0-9]+").unwrap();
    for args in [
        &["config", "--services"][..],
        &["config", "--images"],
        &["config", "--networks"],
        &["config", "--hash", "db"],
        &["images"],
        &["logs", "--no-color"],
        &["top", "db"],
        &["ps", "-q"],
    ] {
        let sorted = |text: String| {
            // One of the two is asked later.
            let mut lines: Vec<String> = text.lines().map(|l| age.replace(l, "AGO").trim_end().to_owned()).collect();
            lines.sort();
            lines
        };
        // They end `top` and `logs` with an empty line, and have no fixed order of services.
        let theirs: Vec<_> = sorted(site.theirs(args).ok().out).into_iter().filter(|l| !l.is_empty()).collect();
        let ours: Vec<_> = sorted(site.ours(args).ok().out).into_iter().filter(|l| !l.is_empty()).collect();
        assert_eq!(ours, theirs, "{args:?}");
    }
}

#[test]
fn one_offs_carry_the_labels_of_the_real_ones() {
    if !compose_is_installed() {
        return;
    }
    let site = two();
    let labels = |site: &Site| {
        let (name, id) = site.ids().into_iter().find(|(name, _)| name.starts_with("web-run-")).unwrap();
        let mut labels = site.inspect(&name).config.unwrap().labels.unwrap();
        for changing in ["slug", "config-hash"] {
            assert_eq!(labels.remove(&format!("com.docker.compose.{changing}")).map(|v| v.len()), Some(64));
        }
        common::docker::block_on(async {
            let force = bollard::query_parameters::RemoveContainerOptions { force: true, v: true, link: false };
            common::docker::connect().await.remove_container(&id, Some(force)).await.unwrap();
        });
        labels
    };
    site.theirs(&["run", "-d", "web", "sleep", "1000"]).ok();
    let theirs = labels(&site);
    site.ours(&["run", "-d", "web", "sleep", "1000"]).ok();
    assert_eq!(labels(&site), theirs);
}
