//! Runs in which something of the project is on its way out while the rest is made. Compared with the real
//! `docker compose`, where it is installed, in the comments: it does these things one after the other.

use crate::compose_cli_support;
use compose_cli_support::{Ran, Site};

/// A command that takes two seconds to stop.
const SLOW: &str =
    "command: [sh, -c, 'trap \"sleep 2; exit 0\" TERM; while :; do sleep 0.1; done'], stop_grace_period: 9s";

#[test]
fn nobody_is_linked_to_a_container_that_is_scaled_away() {
    let yaml = |scale: u32, mode: &str| {
        format!(
            "services:
  db: {{image: 'IMAGE', {SLOW}, scale: {scale}}}
  web: {{image: 'IMAGE', QUICK, links: [db], environment: {{MODE: {mode}}}}}
"
        )
    };
    let site = Site::new(&yaml(2, "a"));
    site.ours(&["up", "-d"]).ok();
    site.write("compose.yaml", &yaml(1, "b"));
    site.ours(&["up", "-d"]).ok();
    assert_eq!(site.ids().into_keys().collect::<Vec<_>>(), ["db-1", "web-1"]);
    let networks = site.inspect("web-1").network_settings.unwrap().networks.unwrap();
    let links = networks.into_values().next().unwrap().links.unwrap();
    assert!(links.iter().all(|link| !link.contains("db-2:")), "{links:?}");
    assert_eq!(links.len(), 3, "{links:?}");
}

#[test]
fn two_runs_that_replace_the_same_container_agree_on_one() {
    let yaml = |mode: &str| format!("services:\n  web: {{image: 'IMAGE', {SLOW}, environment: {{MODE: {mode}}}}}\n");
    let site = Site::new(&yaml("a"));
    site.ours(&["up", "-d"]).ok();
    site.write("compose.yaml", &yaml("b"));
    // Both make, stop, remove and rename; whoever comes second finds it done.
    let runs = [(); 2].map(|()| {
        let piped = std::process::Stdio::piped;
        site.ours_with(&["up", "-d"]).stdout(piped()).stderr(piped()).spawn().unwrap()
    });
    for run in runs {
        let ran = Ran::of(run.wait_with_output().unwrap());
        // One that begins only after the other's container is there says so; it never fails over a name.
        assert!(ran.code == 0 || ran.err.contains("the same command again plans anew"), "{ran:?}");
    }
    assert_eq!(site.ids().into_keys().collect::<Vec<_>>(), ["web-1"]);
    assert_eq!(site.inspect("web-1").state.unwrap().running, Some(true));
    let again = site.ours(&["up", "-d", "--dry-run"]).ok();
    assert!(!again.out.contains("reate"), "{again:?}");
}

/// What is seen of containers that nobody may have touched: name, ID, start.
fn lives(site: &Site) -> Vec<(String, String, String)> {
    let all = site.ids().into_iter().map(|(name, id)| {
        let state = site.inspect(&name).state.unwrap();
        assert_eq!(state.running, Some(true), "{name}: {state:?}");
        (name, id, state.started_at.unwrap_or_default())
    });
    all.collect()
}

#[test]
fn a_network_or_volume_that_cannot_be_made_leaves_everything_running() {
    let yaml = |mode: &str, bad: &str, top: &str| {
        format!(
            "services:
  db: {{image: 'IMAGE', QUICK, environment: {{MODE: {mode}}}}}
  web: {{image: 'IMAGE', QUICK, depends_on: {{db: {{condition: service_started, restart: true}}}}}}
  more: {{image: 'IMAGE', QUICK, scale: {}{bad}}}
{top}
",
            if mode == "a" { 2 } else { 1 }
        )
    };
    let site = Site::new(&yaml("a", "", ""));
    site.ours(&["up", "-d"]).ok();
    let before = lives(&site);
    for (bad, top) in [
        (", networks: [bad]", "networks: {bad: {driver: nosuch}}"),
        (", volumes: ['data:/data']", "volumes: {data: {driver: nosuch}}"),
        // The network that all are in: it could only be replaced once all have stopped.
        ("", "networks: {default: {driver: nosuch}}"),
        ("", "networks: {default: {ipam: {config: [{subnet: 10.213.7.0/24, gateway: 10.1.1.1}]}}}"),
    ] {
        site.write("compose.yaml", &yaml("b", bad, top));
        let ran = site.ours(&["up", "-d"]);
        assert_ne!(ran.code, 0, "{top}: {ran:?}");
        assert_eq!(lives(&site), before, "{top}: {ran:?}");
    }
    // And one that can be made is.
    site.write("compose.yaml", &yaml("b", "", "networks: {default: {labels: {turn: '2'}}}"));
    site.ours(&["up", "-d"]).ok();
    assert_eq!(lives(&site).len(), 3);
}
