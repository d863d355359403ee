//! Somebody goes back while a deployment is on its way: that one is given up, and what is live stays live. Under load, in whatever
//! phase.

use crate::{common, e2e_support};
use common::{PATIENCE, daemon::Daemon, wait_until};
use e2e_support::{all_of, deploy, load::Load, log, switched::Switched, wait_for_log};

/// Clients that ask all the while.
const CLIENTS: usize = 4;
const DOCKERFILE: &str = "FROM @BASE\nCOPY page app.sh /app/\nCMD [\"sh\", \"/app/app.sh\"]\n";
const SERVES: &str = "mkdir -p /www\ncp /app/page /www/index.html\nexec httpd -f -p 8000 -h /www\n";

#[test]
fn a_rollback_gives_up_what_is_on_its_way_and_what_is_live_stays_live() {
    let shop = Switched::new("one");
    let (_proxy, daemon) = shop.serve("{ bake: 1s }", &[]);
    let name = shop.site.name.clone();
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let one = shop.site.remote.head();
    daemon.expect_success(shop.push(&daemon, "two"));
    let two = shop.site.remote.head();
    // The colour before is kept, so that there is something further back.
    shop.expect_whole(&daemon, "the bake");
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("two", 20);

    // While it builds nothing of the other colour has been touched.
    shop.site.write("Dockerfile", &DOCKERFILE.replace("CMD", "RUN sleep 300\nCMD"));
    let id = shop.push(&daemon, "three");
    wait_for_log(&daemon, id, "== warm");
    let said = back(&daemon, &[&name]);
    let stays = format!("is given up: {} ({}) was live all the while, and stays live", shop.site.blue(), &two[..7]);
    let once_more = format!("once more goes to {} ({})", shop.site.red(), &one[..7]);
    for part in [&stays, &once_more] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    ended(&daemon, id, "cancelled");
    let refused = deploy(&daemon, &[&name], 1);
    assert!(refused.contains("was taken back") && refused.contains("went back while it was on its way"), "{refused}");

    // While its gate waits: what was kept is gone by then.
    shop.site.write("Dockerfile", DOCKERFILE).write("app.sh", "sleep 1000\n");
    let id = shop.push(&daemon, "four");
    wait_for_log(&daemon, id, &format!("started {}-web-1", shop.site.red()));
    let said = back(&daemon, &[&name]);
    let further = format!("further back: `turnout rollback {name} --to COMMIT`");
    for part in [&stays, &further] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    ended(&daemon, id, "cancelled");
    shop.at_rest(&shop.site.red());
    assert_eq!(shop.running(&shop.site.blue(), "worker"), 1);
    assert_eq!(load.came().good.keys().collect::<Vec<_>>(), ["two"], "nobody met another one");

    // A commit that is named is gone to, once what is on its way has ended.
    let id = shop.push(&daemon, "five");
    wait_for_log(&daemon, id, &format!("started {}-web-1", shop.site.red()));
    let said = back(&daemon, &[&name, "--to", &one[..8]]);
    assert!(said.contains(&format!("deployment {id} is called off")), "{said}");
    assert!(said.contains("was made again and is live"), "{said}");
    load.wait_for("one", 20);
    ended(&daemon, id, "cancelled");

    // And a whole one goes through as ever.
    shop.site.write("app.sh", SERVES);
    shop.expect_whole(&daemon, "the way back");
    daemon.expect_success(shop.push(&daemon, "six"));
    load.wait_for("six", 20);
    let came = load.end();
    println!("{:?}, the longest after {:?}", came.good, came.longest);
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    assert_eq!(came.good.keys().collect::<Vec<_>>(), ["one", "six", "two"]);
    assert_eq!(shop.workers(), 1);
}

/// Runs `turnout rollback`, and answers what it says.
fn back(daemon: &Daemon, arguments: &[&str]) -> String {
    let all: Vec<&str> = ["rollback"].iter().chain(arguments).copied().collect();
    let output = daemon.turnout(&all);
    let said = all_of(&output);
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", daemon.output());
    said
}

fn ended(daemon: &Daemon, id: i64, state: &str) {
    wait_until(&format!("deployment {id} to be {state}"), PATIENCE, || match daemon.deployment(id) {
        Some(one) if one["state"] == state => Ok(()),
        other => Err(format!("{other:#?}\n{}", log(daemon, id))),
    });
}
