//! What has to end while requests are held ends side by side, and nobody waits for what need not end.

use std::{fs, net::SocketAddr, time::Duration};

use crate::e2e_support;
use e2e_support::{all_of, kernel, load::Load, switched::Switched};

/// Clients that ask all the while.
const CLIENTS: usize = 4;
/// How long the web service takes to end: longer than requests are held.
const DEAF: u64 = 35;

fn compose(web: SocketAddr) -> String {
    format!(
        "services:
  web:
    build: {{ context: ., network: none }}
    ports: [\"{web}:8000\"]
    stop_grace_period: {DEAF}s
  db:
    image: \"@BASE\"
    command: [sleep, \"1000\"]
    init: true
    stop_grace_period: 1s
    volumes: [\"data:/data\"]
volumes:
  data:
"
    )
}

/// It hears no signal: neither does its shell, nor what that becomes.
const DEAF_APP: &str = "trap '' TERM\nmkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n";

#[test]
fn a_web_service_that_is_long_in_ending_and_that_nothing_waits_for_keeps_no_request_waiting() {
    if !kernel::leads() {
        return;
    }
    let dockerfile = "FROM @BASE\nCOPY page app.sh /app/\nCMD [\"sh\", \"/app/app.sh\"]\n";
    let shop = Switched::of(compose, &[("Dockerfile", dockerfile), ("app.sh", DEAF_APP), ("page", "one")]);
    let (_proxy, daemon) = shop.serve_as(&shop.site.entry(&[]), &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 20);

    fs::write(daemon.repos_yaml(), shop.entry("{ bake: 1s }")).unwrap();
    let said = all_of(&daemon.turnout(&["plan", &shop.site.name]));
    assert!(said.contains(&format!("the end of web may take {DEAF}s of that")), "{said}");
    let id = shop.push(&daemon, "two");
    load.wait_for("two", 20);
    // Its former web service has not ended yet.
    assert_eq!(shop.running(&shop.site.red(), "web"), 1, "{}", daemon.output());
    let came = load.end();
    println!("{:?}, the longest after {:?}", came.good, came.longest);
    assert!(came.longest < Duration::from_secs(DEAF - 10), "{:?}", came.longest);
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}\n{}", came.good, daemon.output());
    daemon.expect_success(id);
    let log = e2e_support::log(&daemon, id);
    assert!(log.contains(&format!("of {} ends once requests have gone over: web", shop.site.red())), "{log}");
}
