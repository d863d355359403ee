//! What containers read from the checkout is part of their state: files, folders, secrets and configs that change.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    process::Command,
};

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, docker, wait_until};
use e2e_support::{Site, all_of, deploy, file_in, idle, log};

/// Container and start of each service.
type State = BTreeMap<String, (String, String)>;

fn state(site: &Site, services: &[&str]) -> State {
    let one = |service: &&str| {
        let id = site.container(&site.red(), service);
        let started = docker::block_on(async {
            let found = docker::connect().await.inspect_container(&id, None).await.unwrap();
            found.state.unwrap().started_at.unwrap()
        });
        ((*service).to_owned(), (id, started))
    };
    services.iter().map(one).collect()
}

/// What became of each service between two looks: `replaced`, `restarted`; those left alone are not named.
fn fates(before: &State, after: &State) -> BTreeMap<String, &'static str> {
    let fate = |service: &String| {
        let ((old_id, old_start), (id, start)) = (&before[service], &after[service]);
        match (id == old_id, start == old_start) {
            (false, _) => Some("replaced"),
            (true, false) => Some("restarted"),
            (true, true) => None,
        }
    };
    before.keys().filter_map(|service| Some((service.clone(), fate(service)?))).collect()
}

fn expected(fates: &[(&str, &'static str)]) -> BTreeMap<String, &'static str> {
    fates.iter().map(|(service, fate)| ((*service).to_owned(), *fate)).collect()
}

const SERVICES: &[&str] = &["data", "file", "folder", "fresh", "hup", "job", "still", "text", "token"];

fn many() -> Site {
    let idle = idle();
    let hup = "    image: \"@BASE\"\n    stop_grace_period: 0s\n    command: [sh, -c, \"trap 'cat /site/page > /seen' \
               HUP; while :; do sleep 1 & wait; done\"]\n";
    let site = Site::new(&[
        (
            "docker-compose.prod.yml",
            &format!(
                "services:\n  file:\n{idle}    volumes: [\"./app.conf:/etc/app.conf\"]\n  \
                 folder:\n{idle}    volumes: [\"./site:/site:ro\"]\n  \
                 fresh:\n{idle}    volumes: [\"./site:/site:ro\"]\n    x-turnout: {{ on_mounted_change: recreate }}\n  \
                 hup:\n{hup}    volumes: [\"./site:/site\"]\n    x-turnout: {{ on_mounted_change: recreate }}\n  \
                 still:\n{idle}    volumes: [\"./site:/site\"]\n  \
                 token:\n{idle}    secrets: [tok]\n  \
                 text:\n{idle}    configs: [note]\n  \
                 job:\n    image: \"@BASE\"\n    restart: \"no\"\n    command: [cat, /site/page]\n    volumes: \
                 [\"./site:/site\"]\n  \
                 data:\n    image: \"@BASE\"\n    init: true\n    stop_grace_period: 1s\n    command: [sh, -c, \"echo > \
                 /data/own; exec sleep 1000\"]\n    volumes: [\"./data:/data\"]\n\
                 secrets:\n  tok: {{ file: ./tok.txt }}\nconfigs:\n  note: {{ content: \"one\\n\" }}\n"
            ),
        ),
        ("app.conf", "1\n"),
        ("site/page", "1\n"),
        ("data/.gitkeep", ""),
    ]);
    fs::write(site.path.join("tok.txt"), "1\n").unwrap();
    site
}

#[test]
fn each_change_has_its_consequence_and_only_once() {
    let site = many();
    // repos.yaml wins over the Compose file.
    let daemon = site.serve(&["on_mounted_change: { hup: signal HUP, still: ignore }"]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let mut before = state(&site, SERVICES);
    let mut next = |what: &str, wanted: &[(&str, &'static str)], said: &str| {
        let after = state(&site, SERVICES);
        assert_eq!(fates(&before, &after), expected(wanted), "{what}:\n{said}");
        before = after;
    };
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");
    next("nothing", &[], &said);

    site.write("site/page", "2\n");
    let id = site.push_to(&daemon, "Another page");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    next("a folder", &[("folder", "restarted"), ("fresh", "replaced"), ("job", "replaced")], &said);
    assert!(said.contains("site/page in ./site, mounted at /site, changed"), "{said}");
    assert!(said.contains("(on_mounted_change is ignore)"), "{said}");
    let hup = site.container(&site.red(), "hup");
    wait_until("the signal to be heard", PATIENCE, || match std::panic::catch_unwind(|| file_in(&hup, "/seen")) {
        Ok(text) if text == "2\n" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let said = deploy(&daemon, &[&site.name], 0);
    next("a folder, once more", &[], &said);
    assert!(said.contains("still: site/page") && !said.contains("everything runs as configured"), "{said}");

    site.write("app.conf", "2\n");
    let id = site.push_to(&daemon, "Another file");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    next("a file", &[("file", "replaced")], &said);
    assert!(said.contains("./app.conf, mounted at /etc/app.conf, changed"), "{said}");
    assert_eq!(file_in(&site.container(&site.red(), "file"), "/etc/app.conf"), "2\n");

    fs::write(site.path.join("tok.txt"), "2\n").unwrap();
    let plan = all_of(&daemon.turnout(&["plan", &site.name]));
    assert!(plan.contains("./tok.txt, mounted at /run/secrets/tok, changed"), "{plan}");
    let said = deploy(&daemon, &[&site.name], 0);
    next("a secret, on the server", &[("token", "replaced")], &said);

    site.remote.replace("docker-compose.prod.yml", "one\\n", "two\\n");
    let id = site.push_to(&daemon, "Another text");
    daemon.expect_success(id);
    next("a text", &[("text", "replaced")], &log(&daemon, id));
    assert_eq!(file_in(&site.container(&site.red(), "text"), "/note"), "two\n");
}

#[test]
fn what_is_replaced_is_seen_by_a_new_container() {
    let site = Site::new(&[
        (
            "docker-compose.prod.yml",
            &format!(
                "services:\n  web:\n{}    volumes: [\"./current:/site\", \"./single:/single\", \"./conf:/conf\"]\n",
                idle()
            ),
        ),
        ("v1/page", "1\n"),
        ("v2/page", "2\n"),
        ("single", "1\n"),
        ("conf/one", "1\n"),
    ]);
    symlink("v1", site.remote.work_dir().join("current")).unwrap();
    site.remote.commit_and_push("A link");
    site.check_out();
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let mut web = site.container(&site.red(), "web");
    let mut replaced = |said: &str, wanted: &str| {
        assert!(said.contains(wanted), "{wanted}:\n{said}");
        let now = site.container(&site.red(), "web");
        assert_ne!(now, web, "{wanted}:\n{said}");
        web = now;
    };

    let link = site.remote.work_dir().join("current");
    fs::remove_file(&link).unwrap();
    symlink("v2", &link).unwrap();
    let id = site.push_to(&daemon, "The link turned");
    daemon.expect_success(id);
    replaced(&log(&daemon, id), "./current, mounted at /site, was replaced (another folder of that name)");
    assert_eq!(file_in(&site.container(&site.red(), "web"), "/site/page"), "2\n");

    site.remote.remove("conf/one");
    site.write("conf/two", "2\n");
    let id = site.push_to(&daemon, "All files of a folder are others");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    assert!(said.contains("./conf, mounted at /conf,"), "{said}");
    assert_eq!(file_in(&site.container(&site.red(), "web"), "/conf/two"), "2\n");
    let web = site.container(&site.red(), "web");

    // The same text under another inode: the container would never see a later edit.
    let single = site.path.join("single");
    fs::copy(&single, site.path.join("beside")).unwrap();
    fs::rename(site.path.join("beside"), &single).unwrap();
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("./single, mounted at /single, was replaced (another file of that name)"), "{said}");
    assert_ne!(site.container(&site.red(), "web"), web);
}

#[test]
fn while_debug_is_true_servers_reload_by_themselves_and_that_is_said() {
    let site = Site::new(&[
        (
            "docker-compose.dev.yml",
            &format!(
                "services:\n  web:\n{}    volumes: [\"./code:/code\"]\n  job:\n    image: \"@BASE\"\n    restart: \
                 \"no\"\n    command: [cat, /code/main]\n    volumes: [\"./code:/code\"]\n",
                idle()
            ),
        ),
        ("code/main", "1\n"),
    ]);
    site.env("DEBUG=true\n");
    let daemon = site.serve(&[]);
    daemon.expect_success(daemon.deploy_by_push(&site.push()));
    let before = state(&site, &["web", "job"]);
    site.write("code/main", "2\n");
    let id = site.push_to(&daemon, "Other code");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    assert_eq!(fates(&before, &state(&site, &["web", "job"])), expected(&[("job", "replaced")]), "{said}");
    assert!(said.contains("web: code/main in ./code, mounted at /code, changed; it is not restarted"), "{said}");
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("DEBUG is true") && !said.contains("everything runs as configured"), "{said}");

    let text = format!("services:\n  web:\n{}    x-turnout:\n      on_mounted_change: reload\n", idle());
    site.write("docker-compose.dev.yml", &text);
    let failed = daemon.expect_failure(site.push_to(&daemon, "A word that is not known"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("docker-compose.dev.yml:8:26: services.web.x-turnout: on_mounted_change"), "{error}");
    assert!(error.contains("one of: recreate, restart, signal SIGHUP"), "{error}");
}

/// Brings the site up with the command that keeps no record, as somebody would before turnout came.
fn bring_up_by_hand(daemon: &Daemon, site: &Site) {
    let file = site.path.join("docker-compose.prod.yml");
    let up = daemon.turnout(&["compose", "-p", &site.red(), "-f", file.to_str().unwrap(), "up", "-d"]);
    assert!(up.status.success(), "{}", all_of(&up));
}

#[test]
fn containers_of_others_are_judged_by_times_until_they_are_known() {
    let of = || {
        let volumes = "    volumes: [\"./site:/site:ro\"]\n";
        let text = format!("services:\n  web:\n{}{volumes}", idle());
        Site::new(&[("docker-compose.prod.yml", &text), ("site/page", "1\n")])
    };
    let (same, changed) = (of(), of());
    let yaml = [same.entry(&[]), changed.entry(&[])].concat();
    let daemon = Daemon::start_with(&yaml, e2e_support::QUICK, &[]);
    for site in [&same, &changed] {
        bring_up_by_hand(&daemon, site);
    }
    let before = [&same, &changed].map(|site| state(site, &["web"]));
    let said = deploy(&daemon, &[&same.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");
    assert_eq!(before[0], state(&same, &["web"]));
    changed.write("site/page", "2\n");
    let id = changed.push_to(&daemon, "Another page");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    assert!(said.contains("files in ./site, mounted at /site, may have changed since"), "{said}");
    assert_eq!(fates(&before[1], &state(&changed, &["web"])), expected(&[("web", "restarted")]), "{said}");

    // Taken over: from here on there is a record.
    same.write("site/page", "2\n");
    let id = same.push_to(&daemon, "Another page");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    assert!(said.contains("site/page in ./site, mounted at /site, changed"), "{said}");
    assert_eq!(fates(&before[0], &state(&same, &["web"])), expected(&[("web", "restarted")]), "{said}");
}

/// A volume of another service, a volume that stands for a folder, a pipe that nobody writes to, a folder that only its
/// owner may enter.
#[test]
fn what_is_mounted_in_roundabout_ways_counts_too() {
    let idle = idle();
    let site = Site::new(&[
        ("docker-compose.prod.yml", "services: {}\n"),
        ("site/page", "1\n"),
        ("shared/page", "1\n"),
        ("private/page", "1\n"),
    ]);
    let shared = site.path.join("shared");
    let text = format!(
        "services:\n  owner:\n{idle}    volumes: [\"./site:/site:ro\"]\n  \
         heir:\n{idle}    volumes_from: [\"owner:ro\"]\n  \
         volume:\n{idle}    volumes: [\"stands:/shared:ro\"]\n  \
         private:\n{idle}    volumes: [\"./private:/private:ro\"]\n\
         volumes:\n  stands: {{ driver: local, driver_opts: {{ type: none, o: bind, device: \"{}\" }} }}\n",
        shared.display()
    );
    site.write("docker-compose.prod.yml", &text);
    let daemon = site.serve(&[]);
    let pipe = site.path.join("site/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::set_permissions(site.path.join("private"), fs::Permissions::from_mode(0o700)).unwrap();
    daemon.expect_success(site.push_to(&daemon, "The services"));
    let services = &["owner", "heir", "volume", "private"];
    let mut before = state(&site, services);
    let mut next = |file: &str, wanted: &[&str]| {
        site.write(file, "2\n");
        let id = site.push_to(&daemon, file);
        daemon.expect_success(id);
        let (after, said) = (state(&site, services), log(&daemon, id));
        let wanted: Vec<_> = wanted.iter().map(|service| (*service, "restarted")).collect();
        assert_eq!(fates(&before, &after), expected(&wanted), "{file}:\n{said}");
        before = after;
    };
    next("site/page", &["owner", "heir"]);
    next("shared/page", &["volume"]);
    next("private/page", &["private"]);
}

/// A push renames a mounted file; somebody deletes a tracked one, a secret, a folder of data, the folder of a volume. Each
/// time the containers stay as they are, and nothing claims that all is well.
#[test]
fn a_source_that_is_gone_fails_the_deployment_and_stops_nothing() {
    let idle = idle();
    let site = Site::new(&[("docker-compose.prod.yml", "services: {}\n"), ("c/f", "1\n"), ("kept/page", "1\n")]);
    let text = format!(
        "services:\n  web:\n{idle}    volumes: [\"./c/f:/etc/f\", \"./kept:/kept\", \"./made:/made\"]\n  \
         heir:\n{idle}    volumes_from: [web]\n  \
         token:\n{idle}    secrets: [tok]\n  \
         volume:\n{idle}    volumes: [\"stands:/stands\"]\n\
         secrets:\n  tok: {{ file: ./tok.txt }}\n\
         volumes:\n  stands: {{ driver: local, driver_opts: {{ type: none, o: bind, device: \"{}\" }} }}\n",
        site.path.join("stands").display()
    );
    site.write("docker-compose.prod.yml", &text);
    fs::write(site.path.join("tok.txt"), "1\n").unwrap();
    fs::create_dir(site.path.join("stands")).unwrap();
    let daemon = site.serve(&[]);
    let id = site.push_to(&daemon, "The services");
    daemon.expect_success(id);
    let said = log(&daemon, id);
    let new = "web: ./made, to be mounted at /made, does not exist; the engine makes an empty folder of that name";
    assert!(said.contains(new), "{said}");
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("everything runs as configured"), "{said}");

    let services = &["web", "heir", "token", "volume"];
    let before = state(&site, services);
    let untouched = |said: &str, wanted: &[&str]| {
        for words in wanted {
            assert!(said.contains(words), "{words}:\n{said}");
        }
        assert!(!said.contains("runs as configured"), "{said}");
        assert_eq!(fates(&before, &state(&site, services)), expected(&[]), "{said}");
    };
    let gone = &[
        "web: ./c/f, mounted at /etc/f, is gone",
        "heir: ./c/f, mounted at /etc/f, is gone",
        "a new one would get an empty folder",
        "nothing was stopped",
    ];
    site.remote.remove("c/f");
    site.write("c/g", "1\n");
    let id = site.push_to(&daemon, "Renamed");
    daemon.expect_failure(id);
    untouched(&log(&daemon, id), gone);
    untouched(&deploy(&daemon, &[&site.name], 1), gone);
    untouched(&all_of(&daemon.turnout(&["plan", &site.name])), gone);
    assert!(!site.path.join("c/f").exists());

    // Deleted by hand: git keeps that as a change of ours, and no push brings it back.
    fs::remove_dir_all(site.path.join("kept")).unwrap();
    site.write("c/f", "1\n");
    let id = site.push_to(&daemon, "Back again");
    daemon.expect_failure(id);
    untouched(&log(&daemon, id), &["web: ./kept, mounted at /kept, is gone", "`git status` names what was deleted"]);
    fs::create_dir(site.path.join("kept")).unwrap();
    fs::write(site.path.join("kept/page"), "1\n").unwrap();

    for (path, wanted) in [
        (
            "tok.txt",
            "token: ./tok.txt, mounted at /run/secrets/tok, is gone; the container still has what was there, the \
                     engine would refuse a new one",
        ),
        ("made", "web: ./made, mounted at /made, is gone"),
        ("stands", "volume: ./stands, mounted at /stands, is gone"),
        ("c/f", "web: ./c/f, mounted at /etc/f, is gone"),
    ] {
        let aside = site.path.join("aside");
        fs::rename(site.path.join(path), &aside).unwrap();
        untouched(&deploy(&daemon, &[&site.name], 1), &[wanted]);
        // Somebody's helpful folder in place of a file that git tracks is no better.
        if path == "c/f" {
            fs::create_dir(site.path.join(path)).unwrap();
            untouched(&deploy(&daemon, &[&site.name], 1), &[wanted]);
            fs::remove_dir(site.path.join(path)).unwrap();
        }
        fs::rename(&aside, site.path.join(path)).unwrap();
    }
    // All is back; what was replaced meanwhile is seen by new containers.
    let said = deploy(&daemon, &[&site.name], 0);
    assert!(said.contains("./c/f, mounted at /etc/f, was replaced"), "{said}");
    assert_eq!(
        fates(&before, &state(&site, services)),
        expected(&[("web", "replaced"), ("heir", "replaced")]),
        "{said}"
    );
}
