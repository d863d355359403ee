//! `by: color`: a deployment goes where COLOR in `.env` says, and only there.

use crate::e2e_support;
use e2e_support::{all_of, load::Load, switched::Switched};

/// Clients that ask all the while.
const CLIENTS: usize = 8;

#[test]
fn a_deployment_goes_where_color_says_there_and_back_and_no_request_fails() {
    let shop = Switched::new("one");
    shop.site.env("COLOR=red\n");
    let (_proxy, daemon) = shop.serve("{ by: color, bake: 1s }", &[]);
    let (red, blue) = (shop.site.red(), shop.site.blue());
    let live = || daemon.turnout_json(&["status", "--json"])["repos"][0]["live"]["project"].clone();
    daemon.expect_success(daemon.deploy_by_push(&shop.site.push()));
    assert_eq!(live(), red.as_str());
    let db = shop.site.container(&shop.site.name, "db");
    let load = Load::on(shop.web, CLIENTS);
    load.wait_for("one", 50);

    // COLOR names the one that is live: nothing moves.
    let failed = daemon.expect_failure(shop.push(&daemon, "too early"));
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("still names red, which is live"), "{error}");
    assert!(failed.to_string().contains("write COLOR=blue and deploy"), "{failed}");
    load.wait_for("one", 50);
    assert_eq!(live(), red.as_str());

    for (colour, project, version) in [("blue", &blue, "two"), ("red", &red, "three")] {
        shop.site.env(&format!("COLOR={colour}\n"));
        let done = daemon.expect_success(shop.push(&daemon, version));
        assert_eq!(done["project"], project.as_str());
        load.wait_for(version, 50);
        shop.expect_whole(&daemon, version);
        assert_eq!(live(), project.as_str());
    }
    // The data is where it was, whatever COLOR names: a third colour as well.
    for colour in ["blue", "green"] {
        shop.site.env(&format!("COLOR={colour}\n"));
        let said = all_of(&daemon.turnout(&["plan", &shop.site.name]));
        assert!(said.contains(&format!("writes the volume {red}_data")), "{colour}: {said}");
        assert!(!said.contains(&format!("{colour}{}_data", shop.site.name)), "{colour}: {said}");
    }
    let came = load.end();
    println!("{:?}, the longest after {:?}", came.good, came.longest);
    assert_eq!(came.bad, Vec::<String>::new(), "{:?}", came.good);
    assert_eq!(came.good.keys().collect::<Vec<_>>(), ["one", "three", "two"]);
    assert_eq!(shop.site.container(&shop.site.name, "db"), db, "the database stays as it is");
}
