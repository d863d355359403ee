//! A proxy that the user has already shares the requests between two colours, step by step: the share is about what was said, status
//! says it as the program has it, and whatever ends it costs no request.

use crate::{common, e2e_support, switch_canary};
use common::{PATIENCE, daemon::free_address, wait_until};
use e2e_support::{
    all_of,
    fronts::{Nginx, haproxy, haproxy_adapter, not_stale, traefik, traefik_adapter},
    load::Load,
    log,
    switched::Switched,
    waits,
};
use switch_canary::{gone, share, status_says};

/// Clients that ask all the while.
const CLIENTS: usize = 4;

const STEPS: &str = "steps: [{ weight: 20, for: 1h }, { weight: 50, for: 1h }]";

#[test]
fn haproxy_shares_and_whatever_ends_it_costs_no_request() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free_address());
    let Some(program) = haproxy(folder.path(), at, &str::to_owned) else { return };
    let shop = Switched::new("one");
    let (name, red, blue) = (shop.site.name.clone(), shop.site.red(), shop.site.blue());
    let switch = format!("{{ bake: 1s, drain: 5s, {STEPS}, {} }}", haproxy_adapter(folder.path()));
    let (proxy, mut daemon) = shop.serve(&switch, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let plan = all_of(&daemon.turnout(&["plan", &name]));
    assert!(plan.contains("20 % of the requests") && plan.contains("each request is drawn anew"), "{plan}");
    let load = Load::on(at, CLIENTS);
    load.wait_for("one", 20);

    let id = shop.push(&daemon, "two");
    waits(&daemon, id, "canary");
    status_says(&daemon, &name, "gets 20 % of the clients, step 1 of 2 until");
    share(&load, "two", 20);
    let said = all_of(&daemon.turnout(&["rollout", &name]));
    assert!(said.contains("20 %") && said.contains("80 %"), "{said}");
    // The daemon dies in the middle of it.
    daemon.kill();
    share(&load, "two", 20);
    daemon.restart();
    waits(&daemon, id, "canary");
    assert!(all_of(&daemon.turnout(&["promote", &name])).contains("goes on with step 2 of 2"));
    status_says(&daemon, &name, "gets 50 % of the clients, step 2 of 2 until");
    share(&load, "two", 50);
    assert!(all_of(&daemon.turnout(&["promote", &name])).contains(&format!("{blue} is live")));
    shop.at_rest(&red);
    gone(&load, "one", "two");

    // Called off.
    let id = shop.push(&daemon, "three");
    waits(&daemon, id, "canary");
    share(&load, "three", 20);
    assert!(all_of(&daemon.turnout(&["abort", &name])).contains("is called off"));
    shop.at_rest(&red);
    gone(&load, "three", "two");
    // A push takes the place of one that has a share.
    let former = shop.push(&daemon, "four");
    waits(&daemon, former, "canary");
    let newer = shop.push(&daemon, "five");
    waits(&daemon, newer, "canary");
    gone(&load, "four", "two");
    share(&load, "five", 20);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);

    // Its service manager starts it again: it knows nothing, and is told the share as well.
    drop(program);
    let Some(program) = haproxy(folder.path(), at, &str::to_owned) else { return };
    status_says(&daemon, &name, "gets 20 % of the clients, step 1 of 2 until");
    let load = Load::on(at, CLIENTS);
    share(&load, "five", 20);
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    // It is started again while the next step is set, which waits for that.
    drop(program);
    assert!(all_of(&daemon.turnout(&["promote", &name])).contains("goes on with step 2 of 2"));
    let waits_for_it = || match log(&daemon, newer) {
        said if said.contains("is not there just now") => Ok(()),
        said => Err(said),
    };
    wait_until("the step to wait for HAProxy", PATIENCE, waits_for_it);
    let Some(program) = haproxy(folder.path(), at, &str::to_owned) else { return };
    status_says(&daemon, &name, "gets 50 % of the clients, step 2 of 2 until");
    // It is gone when all requests are to move, and does not come back: nothing moves, and neither colour is stopped until it says who
    // gets them.
    drop(program);
    daemon.turnout(&["promote", &name]);
    let failed = daemon.expect_failure(newer);
    assert!(failed["error"].as_str().unwrap().contains("does not answer"), "{failed:#?}");
    assert_eq!((shop.running(&blue, "web"), shop.running(&red, "web")), (1, 1), "neither is stopped");
    let Some(_program) = haproxy(folder.path(), at, &str::to_owned) else { return };
    shop.at_rest(&red);
    let load = Load::on(at, CLIENTS);
    load.wait_for("two", 50);
    let came = load.end();
    assert_eq!((came.bad, came.good.len()), (Vec::<String>::new(), 1));
    assert_eq!(proxy.pid(), None, "nobody needs turnout-proxy");
}

#[test]
fn nginx_shares_and_a_step_that_it_does_not_take_changes_nothing() {
    let (folder, at, answers) = (tempfile::tempdir().unwrap(), free_address(), free_address());
    let shop = Switched::new("one");
    let (name, red, blue) = (shop.site.name.clone(), shop.site.red(), shop.site.blue());
    let Some(nginx) = Nginx::start(folder.path(), at, answers, shop.web) else { return };
    let switch = format!("{{ bake: 1s, drain: 5s, {STEPS}, {} }}", nginx.adapter());
    let (_proxy, daemon) = shop.serve(&switch, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let load = Load::on(at, CLIENTS);
    load.wait_for("one", 20);

    let id = shop.push(&daemon, "two");
    waits(&daemon, id, "canary");
    status_says(&daemon, &name, "gets 20 % of the clients, step 1 of 2 until");
    share(&load, "two", 20);
    assert!(all_of(&daemon.turnout(&["promote", &name, "--full"])).contains(&format!("{blue} is live")));
    shop.at_rest(&red);
    gone(&load, "one", "two");

    // Somebody breaks its configuration while the next colour has a share.
    let id = shop.push(&daemon, "three");
    waits(&daemon, id, "canary");
    share(&load, "three", 20);
    nginx.break_it();
    assert!(all_of(&daemon.turnout(&["promote", &name])).contains("goes on with step 2 of 2"));
    let failed = daemon.expect_failure(id);
    assert!(failed["error"].as_str().unwrap().contains("`nginx -t`"), "{failed:#?}");
    // Neither could the share be taken back: whoever has it runs on, and that it has is said.
    share(&load, "three", 20);
    assert_eq!((shop.running(&red, "web"), shop.running(&blue, "web")), (1, 1));
    nginx.mend_it();
    shop.at_rest(&red);
    gone(&load, "three", "two");
    let came = load.end();
    assert_eq!(not_stale(&came), Vec::<&String>::new(), "{:?}", came.good);
}

#[test]
fn traefik_leads_and_shares_and_no_request_fails() {
    let (folder, at) = (tempfile::tempdir().unwrap(), free_address());
    let Some(_program) = traefik(folder.path(), at) else { return };
    let shop = Switched::new("one");
    let (name, red, blue) = (shop.site.name.clone(), shop.site.red(), shop.site.blue());
    let switch = format!("{{ bake: 1s, drain: 5s, {STEPS}, {} }}", traefik_adapter(folder.path()));
    let (proxy, daemon) = shop.serve(&switch, &[]);
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    let plan = all_of(&daemon.turnout(&["plan", &name]));
    assert!(plan.contains("led by Traefik with") && plan.contains("does not say whom it leads to"), "{plan}");
    let load = Load::on(at, CLIENTS);
    load.wait_for("one", 20);
    let id = shop.push(&daemon, "two");
    waits(&daemon, id, "canary");
    status_says(&daemon, &name, "gets 20 % of the clients, step 1 of 2 until");
    share(&load, "two", 20);
    assert!(all_of(&daemon.turnout(&["abort", &name])).contains("is called off"));
    shop.at_rest(&blue);
    gone(&load, "two", "one");
    let id = shop.push(&daemon, "three");
    waits(&daemon, id, "canary");
    assert!(all_of(&daemon.turnout(&["promote", &name, "--full"])).contains(&format!("{blue} is live")));
    shop.at_rest(&red);
    gone(&load, "one", "three");
    let came = load.end();
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    assert_eq!(proxy.pid(), None, "nobody needs turnout-proxy");
}
