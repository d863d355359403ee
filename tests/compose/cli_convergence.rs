//! What an `up` makes of a world that others have left: killed runs, interrupted ones, and the real `docker compose` at
//! work on the same project in turn.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::{common, compose_cli_support};
use common::{PATIENCE, wait_until};
use compose_cli_support::{Ran, Site, compose_is_installed};

/// Three services in a row, whose definition changes with `mode`.
fn row(mode: u32) -> String {
    format!(
        "services:
  web: {{image: 'IMAGE', QUICK, depends_on: {{api: {{condition: service_started, restart: true}}}}, networks: [default, back]}}
  api: {{image: 'IMAGE', QUICK, depends_on: [db], environment: {{MODE: 'm{mode}'}}, scale: {}}}
  db: {{image: 'IMAGE', QUICK, environment: {{MODE: 'm{}'}}, volumes: ['data:/d', /scratch]}}
  side: {{image: 'IMAGE', QUICK, network_mode: 'service:db'}}
networks: {{back: , default: {{labels: {{turn: '{}'}}}}}}
volumes: {{data: }}
",
        1 + mode % 3,
        mode / 2,
        mode / 7,
    )
}

/// Names of containers, temporary ones too, of the whole project; and that all run, on the networks they should.
#[track_caller]
fn settled(site: &Site, mode: u32) {
    let replicas = 1 + mode % 3;
    let ids = site.ids();
    let api: Vec<&String> = ids.keys().filter(|name| name.starts_with("api-")).collect();
    assert_eq!(api.len(), replicas as usize, "{ids:?}");
    let others: Vec<&str> = ids.keys().filter(|name| !name.starts_with("api-")).map(String::as_str).collect();
    assert_eq!(others, ["db-1", "side-1", "web-1"]);
    for name in ids.keys() {
        let state = site.inspect(name).state.unwrap();
        assert_eq!(state.running, Some(true), "{name}: {state:?}");
    }
    let networks = site.inspect("web-1").network_settings.unwrap().networks.unwrap();
    assert_eq!(networks.len(), 2, "{networks:?}");
    let plan = site.ours(&["up", "-d", "--dry-run"]).ok().out;
    assert!(!plan.contains("create") && !plan.contains("start"), "{plan}");
}

/// Ends runs of our own after ever longer spans, until one is through before; whatever is left, the next run repairs.
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
fn ended_at_many_instants(signal: rustix::process::Signal, instants: u32) {
    let site = Site::new(&row(0));
    let began = Instant::now();
    site.ours(&["up", "-d"]).ok();
    // The last instants fall after the end.
    let whole = began.elapsed().max(Duration::from_millis(600));
    for instant in 0..instants {
        let mode = instant + 1;
        site.write("compose.yaml", &row(mode));
        let mut up = site.ours_with(&["up", "-d"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Not to synchronise: the instant itself is what differs from round to round.
        std::thread::sleep(whole * instant / instants);
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&up), signal);
        up.wait().unwrap();
        let mut looks = 0;
        loop {
            let ran = site.ours(&["up", "-d"]);
            if ran.code == 0 {
                break;
            }
            // The daemon may still be at what the killed run had asked for, while the first look is taken.
            looks += 1;
            assert!(looks < 3, "round {instant}: {ran:?}");
        }
        settled(&site, mode);
    }
}

#[test]
fn checklist_44_a_run_killed_at_any_of_twenty_instants_is_completed_by_the_next() {
    ended_at_many_instants(rustix::process::Signal::KILL, 20);
}

#[test]
fn a_run_interrupted_at_any_of_ten_instants_is_completed_by_the_next() {
    ended_at_many_instants(rustix::process::Signal::INT, 10);
}

/// Numbers without a pattern, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A project that is edited at random.
#[derive(Default)]
struct Edited {
    mode: u64,
    scale: u64,
    label: u64,
    network: u64,
    guest: bool,
    job: bool,
    extra: bool,
    alias: bool,
    file: u64,
}

impl Edited {
    fn edit(&mut self, dice: &mut Dice) -> &'static str {
        match dice.roll(9) {
            0 => {
                self.mode += 1;
                "environment of db"
            }
            1 => {
                self.scale = dice.roll(3);
                "scale of web"
            }
            2 => {
                self.label += 1;
                "label of web"
            }
            3 => {
                self.network += 1;
                "label of the network"
            }
            4 => {
                self.guest = !self.guest;
                "a sharer of namespaces comes or goes"
            }
            5 => {
                self.job = !self.job;
                "a job comes or goes"
            }
            6 => {
                self.extra = !self.extra;
                "a second network comes or goes"
            }
            7 => {
                self.alias = !self.alias;
                "an alias comes or goes"
            }
            _ => {
                self.file += 1;
                "the env file"
            }
        }
    }

    fn yaml(&self) -> String {
        let mut text = format!(
            "services:
  db: {{image: 'IMAGE', QUICK, environment: {{MODE: 'm{}'}}, volumes: ['data:/d', /scratch]}}
  web:
    image: 'IMAGE'
    stop_grace_period: 0s
    scale: {}
    labels: {{turn: '{}'}}
    env_file: [web.env]
    depends_on: {{db: {{condition: service_started, restart: true}}}}
    networks: {{default: {}{}}}
",
            self.mode,
            self.scale + 1,
            self.label,
            if self.alias { "{aliases: [shop]}" } else { "" },
            if self.extra { ", back: " } else { "" },
        );
        if self.guest {
            text.push_str("  guest: {image: 'IMAGE', QUICK, network_mode: 'service:db', volumes_from: [db]}\n");
        }
        if self.job {
            text.push_str("  job: {image: 'IMAGE', QUICK, command: 'true', depends_on: [db]}\n");
        }
        writeln!(text, "networks: {{default: {{labels: {{turn: '{}'}}}}, back: }}\nvolumes: {{data: }}", self.network)
            .unwrap();
        text
    }
}

/// What of the world both tools must agree on: per container its hash, image, labels, networks and aliases.
fn world(site: &Site) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for name in site.ids().into_keys() {
        let found = site.inspect(&name);
        let mut facts = BTreeMap::new();
        for (label, value) in found.config.unwrap().labels.unwrap() {
            // In any order; and only there when it was made anew, by whichever tool.
            if label.ends_with(".depends_on") || label.ends_with(".replace") || label.starts_with("dev.turnout.") {
                continue;
            }
            // The ID of the container whose namespaces it shares is part of the hash: compared below by its effect.
            if label.ends_with(".config-hash") && name.starts_with("guest") {
                continue;
            }
            facts.insert(label, value);
        }
        let networks = found.network_settings.unwrap().networks.unwrap_or_default();
        for (network, endpoint) in networks {
            let mut aliases = endpoint.aliases.unwrap_or_default();
            // The engine adds the short ID.
            aliases.retain(|alias| alias.len() != 12 || !alias.chars().all(|c| c.is_ascii_hexdigit()));
            aliases.sort();
            aliases.dedup();
            facts.insert(format!("network {network}"), aliases.join(","));
        }
        facts.insert("state".to_owned(), found.state.unwrap().status.unwrap().to_string());
        all.insert(name, facts);
    }
    all
}

/// IDs of what keeps running: jobs are run again by every `up`, by either tool.
fn started(site: &Site) -> BTreeMap<String, (String, String)> {
    let keeps = site.ids().into_iter().filter(|(name, _)| !name.starts_with("job"));
    keeps
        .map(|(name, id)| {
            let at = site.inspect(&name).state.unwrap().started_at.unwrap().to_string();
            (name, (id, at))
        })
        .collect()
}

/// Edits and commands at random, both tools in turn on one project. After each step the other tool has nothing to do;
/// and a second project, on which the real one alone does the same, looks the same.
fn tug_of_war(seed: u64, steps: u32) {
    if !compose_is_installed() {
        return;
    }
    let (both, alone) = (Site::new("services: {}\n"), Site::new("services: {}\n"));
    let mut dice = Dice(seed);
    let mut edited = Edited::default();
    let mut told = Vec::new();
    for step in 0..steps {
        let mut line = format!("{step}: ");
        if step > 0 {
            for _ in 0..=dice.roll(2) {
                write!(line, "{}, ", edited.edit(&mut dice)).unwrap();
            }
        }
        for site in [&both, &alone] {
            site.write("compose.yaml", &edited.yaml());
            site.write("web.env", &format!("FROM_FILE=f{}\n", edited.file));
        }
        let commands: &[&[&str]] = match dice.roll(7) {
            0 => &[&["up", "-d", "--remove-orphans", "--force-recreate"]],
            1 => &[&["stop", "db"], &["up", "-d", "--remove-orphans"]],
            2 => &[&["rm", "-fs", "web"], &["up", "-d", "--remove-orphans"]],
            3 => {
                &[&["up", "-d", "--remove-orphans", "--always-recreate-deps", "web"], &["up", "-d", "--remove-orphans"]]
            }
            4 => &[&["restart"], &["up", "-d", "--remove-orphans"]],
            5 => &[&["create", "--remove-orphans"], &["start"]],
            _ => &[&["up", "-d", "--remove-orphans"]],
        };
        let ours = dice.roll(3) > 0;
        write!(line, "{} {commands:?}", if ours { "ours" } else { "theirs" }).unwrap();
        told.push(line);
        let script = || format!("seed {seed}\n{}\n{}", told.join("\n"), edited.yaml());
        for command in commands {
            let ran = if ours { both.ours(command) } else { both.theirs(command) };
            assert_eq!(ran.code, 0, "{ran:?}\n{}", script());
            let ran = alone.theirs(command);
            assert_eq!(ran.code, 0, "the real one: {ran:?}\n{}", script());
        }
        // A job may be on its way yet.
        let ended = |site: &Site| {
            common::wait_until("the job's end", common::PATIENCE, || {
                let rows = site.ours(&["ps", "-a", "--format", "{{.Service}} {{.State}}"]).ok().out;
                if rows.lines().any(|row| row == "job running") { Err(rows) } else { Ok(()) }
            });
        };
        ended(&both);
        ended(&alone);
        let rename = |world: BTreeMap<String, BTreeMap<String, String>>, site: &Site| {
            let directory = site.path().canonicalize().unwrap().to_string_lossy().into_owned();
            format!("{world:#?}").replace(&site.project, "PROJECT").replace(&directory, "DIR")
        };
        let without_hash = |mut world: BTreeMap<String, BTreeMap<String, String>>| {
            // The name of the project is part of the networks' names, not of the hash; labels of paths are.
            world.values_mut().for_each(|facts| drop(facts.remove("com.docker.compose.image")));
            world
        };
        let (mixed, pure) = (rename(without_hash(world(&both)), &both), rename(without_hash(world(&alone)), &alone));
        assert_eq!(mixed, pure, "{}", script());
        // Whoever comes second changes nothing.
        let before = started(&both);
        let again: &[&str] = &["up", "-d", "--remove-orphans"];
        let ran = if ours { both.theirs(again) } else { both.ours(again) }.ok();
        assert_eq!(started(&both), before, "the other one: {ran:?}\n{}", script());
        // The real one alone goes through the same.
        alone.theirs(again).ok();
        ended(&both);
        ended(&alone);
    }
}

/// Steps of a war, each a few seconds; `TURNOUT_TUG_STEPS` for a longer one.
fn steps() -> u32 {
    std::env::var("TURNOUT_TUG_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

#[test]
fn both_tools_in_turn_make_the_world_that_the_real_one_makes_alone() {
    tug_of_war(0x5eed_0001, steps());
}

#[test]
fn both_tools_in_turn_agree_on_other_ways_as_well() {
    let seed = std::env::var("TURNOUT_TUG_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x00c0_ffee);
    tug_of_war(seed, steps());
}

/// Another run, or a person, takes a container away that this one is about to start.
#[test]
fn what_vanishes_under_an_up_is_made_again() {
    let site = Site::new(
        "services:
  web: {image: 'IMAGE', QUICK, depends_on: {db: {condition: service_healthy}}}
  db: {image: 'IMAGE', QUICK, healthcheck: {test: [CMD, test, -e, /tmp/ready], interval: 200ms, retries: 1000}}
",
    );
    let docker = |args: &[&str]| {
        let output = std::process::Command::new("docker").args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    let mut up = site.ours_with(&["up", "-d"]);
    let up = up.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let name = |service: &str| format!("{}-{service}-1", site.project);
    wait_until("db, for which web waits", PATIENCE, || {
        let all = common::docker::containers(&site.project);
        let runs = |c: &bollard::models::ContainerSummary| {
            c.state.as_ref().is_some_and(|state| state.to_string() == "running")
                && c.names.iter().flatten().any(|own| own.trim_start_matches('/') == name("db"))
        };
        if all.iter().any(runs) { Ok(()) } else { Err(all.len()) }
    });
    let web = site.ids()["web-1"].clone();
    docker(&["rm", "-f", &web]);
    docker(&["exec", &name("db"), "touch", "/tmp/ready"]);
    let ran = Ran::of(up.wait_with_output().unwrap()).ok();
    assert!(ran.err.contains("planning anew"), "{ran:?}");
    assert_ne!(site.ids()["web-1"], web);
    site.ours(&["up", "-d"]).ok();
    let state = common::docker::containers(&site.project);
    assert!(state.iter().all(|c| c.state.as_ref().is_some_and(|state| state.to_string() == "running")), "{state:?}");
}

/// What the engine tells of a project's containers since a moment: what happened to which.
fn told_since(site: &Site, since: &str) -> Vec<String> {
    let until = format!("{}", std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64());
    let format = "{{.Action}} {{.Actor.Attributes.name}}";
    let label = format!("label=com.docker.compose.project={}", site.project);
    let args = [
        "events",
        "--filter",
        "type=container",
        "--filter",
        &label,
        "--since",
        since,
        "--until",
        &until,
        "--format",
        format,
    ];
    let output = std::process::Command::new("docker").args(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let short = |line: &str| {
        let line = line.replace(&format!("{}-", site.project), "");
        // A container that is replaced has twelve digits of its ID before its name.
        match line.split_once('_') {
            Some((before, after)) if before.len() > 12 => format!("{}ID_{after}", &before[..before.len() - 12]),
            _ => line,
        }
    };
    // How many signals a stop takes depends on the grace period alone.
    text.lines().map(short).filter(|line| !line.starts_with("kill ")).collect()
}

/// The new one is made under a temporary name, dependents stop, the old one goes, the name is passed on, all start. But for
/// the first: the real one makes it when the dependents have stopped already.
#[test]
fn a_replacement_takes_the_steps_of_the_real_one() {
    if !compose_is_installed() {
        return;
    }
    let yaml = |mode: &str| {
        format!(
            "services:
  web: {{image: 'IMAGE', QUICK, depends_on: {{db: {{condition: service_started, restart: true}}}}}}
  db: {{image: 'IMAGE', QUICK, environment: {{MODE: {mode}}}}}
"
        )
    };
    let steps = |theirs: bool, change: &dyn Fn(&Site), args: &[&str]| {
        let site = Site::new(&yaml("a"));
        site.theirs(&["up", "-d"]).ok();
        change(&site);
        let since = format!("{}", std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64());
        if theirs {
            site.theirs(args).ok()
        } else {
            site.ours(args).ok()
        };
        told_since(&site, &since)
    };
    let edited: &dyn Fn(&Site) = &|site| site.write("compose.yaml", &yaml("b"));
    let none: &dyn Fn(&Site) = &|_| ();
    type Change<'a> = &'a dyn Fn(&Site);
    let cases: [(Change<'_>, &[&str]); 8] = [
        (edited, &["up", "-d"]),
        (none, &["up", "-d", "--force-recreate", "web"]),
        (none, &["up", "-d", "--scale", "web=0"]),
        (none, &["stop"]),
        (none, &["restart", "db"]),
        (none, &["restart", "--no-deps", "db"]),
        (none, &["down"]),
        (none, &["rm", "-fs", "web"]),
    ];
    for (change, args) in cases {
        let (theirs, mut ours) = (steps(true, change, args), steps(false, change, args));
        let mut whole: Vec<&str> = theirs.iter().map(String::as_str).collect();
        // The engine tells the end of a process before or after the request that brought it about.
        ours.retain(|line| !line.starts_with("die "));
        whole.retain(|line| !line.starts_with("die "));
        whole.sort_by_key(|line| !line.starts_with("create "));
        assert_eq!(ours, whole, "{args:?}");
    }
}
