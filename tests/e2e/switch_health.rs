//! Health checks that the engine would run half a minute after the start: while colours change turnout runs them itself, so that
//! nobody waits for longer than the app takes, and nobody who is held gets 504.

use std::{fs, net::SocketAddr, time::Duration};

use crate::e2e_support;
use e2e_support::{all_of, load::Load, log, switched::Switched};

/// Clients that ask all the while.
const CLIENTS: usize = 8;
/// Less than the engine's first check takes, and than a request is held.
const SOON: Duration = Duration::from_secs(25);

const DOCKERFILE: &str = "FROM @BASE\nCOPY page app.sh check.sh /app/\nCMD [\"sh\", \"/app/app.sh\"]\n";
const APP: &str = "mkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n";
const CHECK: &str = "wget -q -O /dev/null http://127.0.0.1:8000/\n";
/// As Docker has it unless somebody says otherwise.
const USUAL: &str = "interval: 30s, timeout: 30s, retries: 3";

/// A web service that needs a database. `check`: both have a health check, and the one waits for the other's.
fn compose(web: SocketAddr, check: bool) -> String {
    let health = |test: &str| match check {
        true => format!("    healthcheck: {{ test: {test}, {USUAL} }}\n"),
        false => String::new(),
    };
    let condition = if check { "service_healthy" } else { "service_started" };
    format!(
        "services:
  web:
    build: {{ context: ., network: none }}
    ports: [\"{web}:8000\"]
    depends_on: {{ db: {{ condition: {condition} }} }}
    restart: unless-stopped
    init: true
    stop_grace_period: 1s
{}  db:
    image: \"@BASE\"
    command: [sleep, \"1000\"]
    init: true
    stop_grace_period: 1s
    volumes: [\"data:/data\"]
{}volumes:
  data:
",
        health("[CMD-SHELL, \"sh /app/check.sh\"]"),
        health("[CMD, test, -d, /data]"),
    )
}

fn shop(check: bool) -> Switched {
    let files = [("Dockerfile", DOCKERFILE), ("app.sh", APP), ("check.sh", CHECK), ("page", "one")];
    Switched::of(|web| compose(web, check), &files)
}

#[test]
fn a_check_that_the_engine_runs_late_holds_nobody_up_and_one_that_fails_ends_with_the_gate() {
    let shop = shop(false);
    let switch = "{ bake: 1s, health: { path: /, timeout: 4s }, services: { web: { order: stop-first } } }";
    let (_proxy, daemon) = shop.serve(switch, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 50);

    // What stays is made anew, for it has a check now, and the app ends before its successor starts: all of it is held.
    shop.site.write("docker-compose.prod.yml", &compose(shop.web, true));
    let id = shop.push(&daemon, "two");
    daemon.expect_success(id);
    load.wait_for("two", 50);
    let longest = load.came().longest;
    assert!(longest < SOON, "{longest:?}");
    let said = log(&daemon, id);
    for name in ["web", "db"] {
        let passes = |line: &&str| line.contains(&format!("{name}-1: its health check passes, run by turnout "));
        let told: Vec<&str> = said.lines().filter(passes).collect();
        assert!(!told.is_empty() && told.iter().all(|line| line.ends_with("the engine runs it every 30 s")), "{said}");
    }
    let plan = all_of(&daemon.turnout(&["plan", &shop.site.name]));
    assert!(plan.contains("healthcheck, run by turnout, GET / on 8000 below 500"), "{plan}");

    // It answers, and its check does not pass.
    shop.site.write("check.sh", "echo no queue; exit 4\n");
    let failed = daemon.expect_failure(shop.push(&daemon, "three"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("is not healthy after "), "{error}");
    assert!(
        error.contains(" s: its health check, run by turnout, ends with exit code 4, and says \"no queue\""),
        "{error}"
    );
    load.wait_for("two", 50);
    let came = load.end();
    println!("{:?}, the longest after {:?}", came.good, came.longest);
    assert_eq!(came.bad, Vec::<String>::new());
}

#[test]
fn an_adoption_is_not_held_up_by_checks_that_the_engine_runs_late() {
    let shop = shop(false);
    let (_proxy, daemon) = shop.serve_as(&shop.site.entry(&[]), &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 50);

    fs::write(daemon.repos_yaml(), shop.entry("{ bake: 1s }")).unwrap();
    shop.site.write("docker-compose.prod.yml", &compose(shop.web, true));
    let id = shop.push(&daemon, "two");
    daemon.expect_success(id);
    load.wait_for("two", 50);
    let came = load.end();
    println!("{:?}, the longest after {:?}", came.good, came.longest);
    e2e_support::kernel::none_failed(&daemon, &came, "cannot be led to turnout-proxy");
    assert!(came.longest < SOON, "{:?}\n{}", came.longest, log(&daemon, id));
}
