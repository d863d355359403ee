//! A gate that waits says for what, and what came last.

use crate::e2e_support::{log, switched::Switched};

/// It is asked by a health check besides, which says yes only when the page is there.
const CHECKED: &str = "    stop_grace_period: 1s
    healthcheck:
      test: [CMD-SHELL, \"test -e /www/index.html || { echo there is no page; exit 1; }\"]
      interval: 1s
      retries: 60
";
/// Slow to begin, as an app is that fills its caches first.
const SLOW: &str = "sleep 8\nmkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n";

#[test]
fn what_a_gate_waits_for_is_in_the_log_with_what_came_last() {
    let shop = Switched::alone("one", SLOW, CHECKED, &[]);
    let (_proxy, daemon) = shop.serve("{ health: { path: /, timeout: 50s } }", &[]);
    let id = daemon.deploy_by_push(&shop.site.push());
    daemon.expect_success(id);
    let log = log(&daemon, id);
    let waits: Vec<&str> =
        log.lines().filter_map(|line| Some(&line[line.find("waiting for ")?..])).map(str::trim).collect();
    let [route, check] = waits[..] else { panic!("{log}") };
    let (begins, project) =
        ("waiting for web:8000 of the new colour, for 5 s so far and 50 s at most; what came last: ", shop.site.red());
    assert!(route.starts_with(begins) && route.contains("connection"), "{route}");
    let of_check =
        format!("waiting for the health check of {project}-web-1, for 5 s so far; what it said last: there is no page");
    assert_eq!(check, of_check, "{log}");
}
