//! Others are asked how a new colour does: a Prometheus (the real one), a command, a page of its own. Each can have it taken back, with
//! what it said; one that says nothing takes nothing back, and keeps a colour that waits from going on by itself.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{common, e2e_support};
use common::{
    PATIENCE,
    daemon::{Daemon, free_address},
    wait_until,
};
use e2e_support::{all_of, deploy, load::Load, switched::Switched, waits};

/// Clients that ask all the while.
const CLIENTS: usize = 2;

const APP: &str = "mkdir -p /www/cgi-bin
cp /app/page /www/index.html
cp /app/metrics /app/deep /www/cgi-bin/
chmod 755 /www/cgi-bin/*
echo \"$COLOUR\" >/www/colour
exec httpd -f -p 8000 -h /www
";

/// The version `bad` says of itself that something fails.
const METRICS: &str = r##"#!/bin/sh
read page < /app/page
read colour < /www/colour
case $page in bad) fails=1 ;; *) fails=0 ;; esac
text="shop_fails{colour=\"$colour\"} $fails
"
printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "${#text}" "$text"
"##;

/// That of the version `sick` is not well.
const DEEP: &str = r#"#!/bin/sh
read page < /app/page
case $page in
sick) printf 'HTTP/1.1 503 Away\r\nContent-Length: 13\r\nConnection: close\r\n\r\nqueue is full' ;;
*) printf 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok' ;;
esac
"#;

fn shop() -> Switched {
    let more = "    environment: { COLOUR: \"${COLOR}\" }\n    restart: unless-stopped\n    stop_grace_period: 1s\n";
    Switched::alone("one\n", APP, more, &[("metrics", METRICS), ("deep", DEEP)])
}

/// A Prometheus that looks at the shop, by the way on which requests come.
struct Prometheus {
    child: Child,
    at: SocketAddr,
}

impl Prometheus {
    /// Starts it. `None`, and said: it is not installed.
    fn of(shop: SocketAddr, folder: &Path) -> Option<Prometheus> {
        let (at, config) = (free_address(), folder.join("prometheus.yml"));
        fs::write(
            &config,
            format!(
                "global: {{ scrape_interval: 1s }}\nscrape_configs: [{{ job_name: shop, metrics_path: /cgi-bin/metrics, static_configs: [{{ targets: [\"{shop}\"] }}] }}]\n"
            ),
        )
        .unwrap();
        let log = fs::File::create(folder.join("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={at}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        match child {
            Ok(child) => Some(Prometheus { child, at }),
            Err(_) => {
                println!("not run: prometheus is not installed (script/setup installs it)");
                None
            }
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_others_say_takes_a_colour_back_and_silence_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let shop = shop();
    let Some(prometheus) = Prometheus::of(shop.web, folder.path()) else { return };
    let [script, told, trouble] = ["check", "told", "trouble"].map(|name| folder.path().join(name));
    fs::write(
        &script,
        format!(
            "#!/bin/sh\nenv >{}\n[ -e {} ] || exit 0\necho the orders stand still >&2\nexit 3\n",
            told.display(),
            trouble.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let at = prometheus.at;
    let switch = format!(
        "\n    bake: 1h\n    analysis:\n      unknowns: 8\n      prometheus:\n        url: http://{at}\n        query: 'max(shop_fails{{colour=\"{{colour}}\"}})'\n        fail_above: 0.5\n        every: 1s\n      command: {{ run: [{}], every: 1s }}\n      page: {{ path: /cgi-bin/deep, every: 1s }}",
        script.display()
    );
    let (_proxy, daemon) = shop.serve(&switch, &[]);
    let name = shop.site.name.clone();
    let plan = all_of(&daemon.turnout(&["plan", &name]));
    for row in
        ["above 0.5 of max(shop_fails", "other than 0 of /", "/cgi-bin/deep not 2xx or 3xx, 2 times in a row; every 1s"]
    {
        assert!(plan.contains(row), "no {row:?} in\n{plan}");
    }
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);

    // A good one: all of them say so, and that is said.
    daemon.expect_success(shop.push(&daemon, "two\n"));
    wait_until("all to say that it does well", PATIENCE, || {
        let seen = daemon.turnout_json(&["rollout", &name, "--json"]);
        let all = seen["measures"].as_array().cloned().unwrap_or_default();
        let good = |one: &Value| one["state"] == "good" && one["good"].as_u64() >= Some(2);
        if all.len() == 3 && all.iter().all(good) { Ok(()) } else { Err(format!("{seen:#}\n{}", daemon.output())) }
    });
    let status = all_of(&daemon.turnout(&["status", &name]));
    assert!(
        status.contains("prometheus: good, 0 (good ") && status.contains("command: good, exit code 0 (good "),
        "{status}"
    );
    let environment = fs::read_to_string(&told).unwrap();
    for line in ["TURNOUT_STATE=bake", &format!("TURNOUT_REPOSITORY={name}"), "TURNOUT_ADDRESSES=web:8000=127.0.0.1:"] {
        assert!(environment.contains(line), "no {line} in {environment}");
    }
    assert!(!environment.contains("HOME="), "{environment}");
    let said = all_of(&daemon.turnout(&["promote", &name]));
    assert!(said.contains("prometheus: good in ") && said.contains("page: good in "), "{said}");

    // Each of them has one taken back that it says does badly; and that one is not tried again by itself.
    let id = shop.push(&daemon, "bad\n");
    daemon.expect_success(id);
    taken_back(&daemon, id, "does badly: prometheus: 1 is above 0.5");
    load.wait_for("two", 20);
    let said = deploy(&daemon, &[&name], 1);
    assert!(said.contains("was taken back") && said.contains("prometheus: 1 is above 0.5"), "{said}");
    let id = shop.push(&daemon, "sick\n");
    daemon.expect_success(id);
    taken_back(&daemon, id, "answers 503: queue is full");
    let id = shop.push(&daemon, "four\n");
    daemon.expect_success(id);
    fs::write(&trouble, "").unwrap();
    taken_back(&daemon, id, "command: the orders stand still (exit code 3)");
    fs::remove_file(&trouble).unwrap();
    load.wait_for("two", 20);

    // One that is gone says nothing, and takes nothing back.
    drop(prometheus);
    let id = shop.push(&daemon, "five\n");
    daemon.expect_success(id);
    daemon.says("the bake goes on, and what it comes to is not known");
    let status = all_of(&daemon.turnout(&["status", &name]));
    assert!(status.contains("prometheus: not known, ") && status.contains("does not answer"), "{status}");
    let said = all_of(&daemon.turnout(&["promote", &name]));
    assert!(said.contains("prometheus: good in 0 of ") && said.contains(", not known in "), "{said}");
    assert_eq!(daemon.deployment(id).unwrap()["falls"][0], Value::Null);

    // One that has a share of the clients goes no further by itself: it is paused, and again where a person has it go on.
    shop.says("steps: [{ weight: 50, for: 1h }]");
    let id = shop.push(&daemon, "six\n");
    waits(&daemon, id, "paused");
    all_of(&daemon.turnout(&["resume", &name]));
    waits(&daemon, id, "canary");
    waits(&daemon, id, "paused");
    all_of(&daemon.turnout(&["abort", &name]));
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
}

/// Waits until its history says that it was taken back, and that requests go to the one before.
fn taken_back(daemon: &Daemon, id: i64, why: &str) {
    wait_until(&format!("deployment {id} to be taken back"), PATIENCE, || {
        let one = daemon.deployment(id).unwrap_or_default();
        let said = one["falls"][0]["said"].as_str().unwrap_or_default();
        if said.contains(why) { Ok(()) } else { Err(format!("{one:#}\n{}", daemon.output())) }
    });
    wait_until("the bake to be over", PATIENCE, || {
        let status = daemon.turnout_json(&["status", "--json"]);
        if status["repos"][0]["bakes_until"].is_null() { Ok(()) } else { Err(status) }
    });
}
